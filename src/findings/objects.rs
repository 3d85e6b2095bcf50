//! How many calls each object of a run cost, with what it owns.

use std::collections::HashMap;

use super::Request;
use record::{ObjectCalls, OwnerSeen};

/// Longest chain of owners that is followed: a VM, its VMI, its pod.
const OWNERS_MAX: usize = 8;

/// What is known of the objects that answers had.
#[derive(Default)]
struct Owners<'r> {
    /// By UID: name and controller.
    seen: HashMap<&'r str, (&'r str, Option<&'r OwnerSeen>)>,
    /// UIDs by group, resource and name.
    uids: HashMap<(&'r str, &'r str, &'r str), &'r str>,
}

impl<'r> Owners<'r> {
    fn of(requests: &[Request<'r>]) -> Self {
        let mut owners = Self::default();
        for request in requests {
            let Some(object) = request.object.filter(|object| !object.uid.is_empty()) else {
                continue;
            };
            let controller = object.controller.as_ref();
            owners.seen.insert(&object.uid, (&object.name, controller));
            let call = request.call;
            let key = (&*call.group, &*call.resource, &*object.name);
            owners.uids.insert(key, &object.uid);
        }
        owners
    }

    /// The name of the object that a request was about, or of the one that owns it in the end.
    fn name_of(&self, request: &Request<'r>) -> &'r str {
        let call = request.call;
        let key = (&*call.group, &*call.resource, request.name);
        let (mut name, mut uid) = (request.name, self.uids.get(&key).copied());
        for _ in 0..OWNERS_MAX {
            let seen = uid.and_then(|uid| self.seen.get(uid));
            let Some((_, Some(controller))) = seen else {
                break;
            };
            (name, uid) = (&controller.name, Some(&*controller.uid));
        }
        name
    }
}

/// The calls that each of `names` cost, in their order: those on objects in `namespace` that have the
/// name or are owned by one that has. An object is known by its name, as a VM and its VMI are.
pub fn calls_per_object<'r>(
    requests: &[Request<'r>],
    namespace: &str,
    names: impl Iterator<Item = &'r str>,
) -> Vec<ObjectCalls> {
    let owners = Owners::of(requests);
    let mut counts: HashMap<&str, u64> = HashMap::new();
    let of_run = requests.iter().filter(|request| !request.is_before);
    for request in of_run.filter(|request| request.namespace == namespace) {
        *counts.entry(owners.name_of(request)).or_default() += 1;
    }
    let calls = |name| counts.get(name).copied().unwrap_or_default();
    names
        .map(|name| ObjectCalls {
            name: name.to_owned(),
            calls: calls(name),
        })
        .collect()
}
