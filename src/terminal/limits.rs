//! Limits that the system sets to this process.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Sets the soft limit of a resource, without `most` to the hard limit.
pub fn set(resource: Resource, most: Option<u64>) {
    let mut limit = getrlimit(resource);
    limit.current = most.or(limit.maximum);
    if let Err(error) = setrlimit(resource, limit) {
        tracing::warn!(?resource, %error, "cannot set a limit of the process");
    }
}

/// As many open files as the system lets this process have, as Go's programs do by themselves.
pub fn allow_open_files() {
    set(Resource::Nofile, None);
}
