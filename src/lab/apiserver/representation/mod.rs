//! How objects and answers are written: JSON, tables for kubectl, partial metadata; and bodies that are read from protobuf.
//!
//! No command of Kubetoll asks for tables or sends protobuf: kubectl and client-go do, whom the tests run against this
//! server.

pub(crate) mod answer;
pub(crate) mod messages;
pub(crate) mod protobuf;
pub(crate) mod view;
