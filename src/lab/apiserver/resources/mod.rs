//! The resources that are served, and their objects: tables, metadata, defaults.

pub(crate) mod defaults;
pub(crate) mod meta;
pub(crate) mod object;
pub(crate) mod registry;
pub(crate) mod resource;
pub(crate) mod tables;
