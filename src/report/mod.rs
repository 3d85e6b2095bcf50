//! Writers: what a record looks like to people.

pub mod text;
