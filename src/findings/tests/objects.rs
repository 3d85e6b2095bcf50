//! What single objects cost.

use record::{ObjectSeen, OwnerSeen};

use super::{kept, made};
use crate::{Request, calls_per_object};

/// A request whose response has an object of that UID with that controller.
fn owned(request: Request<'static>, uid: &str, owner: &str) -> Request<'static> {
    let controller = (!owner.is_empty()).then(|| OwnerSeen {
        kind: "Any".to_owned(),
        name: owner.to_owned(),
        uid: format!("uid-of-{owner}"),
    });
    Request {
        object: Some(kept(ObjectSeen {
            name: request.name.to_owned(),
            uid: uid.to_owned(),
            controller,
            ..ObjectSeen::default()
        })),
        ..request
    }
}

#[test]
fn what_an_object_owns_is_its_cost() {
    let pod = made(3, "create pods", "launcher-a", 201);
    let vmi = made(2, "create virtualmachineinstances", "a", 201);
    let requests = [
        owned(vmi, "uid-of-a-vmi", "a"),
        Request {
            object: Some(kept(ObjectSeen {
                name: "launcher-a".to_owned(),
                uid: "uid-of-pod".to_owned(),
                controller: Some(OwnerSeen {
                    kind: "VirtualMachineInstance".to_owned(),
                    name: "a".to_owned(),
                    uid: "uid-of-a-vmi".to_owned(),
                }),
                ..ObjectSeen::default()
            })),
            ..pod
        },
        // Its answer has no object, but its name is known.
        made(4, "patch pods/status", "launcher-a", 422),
        made(5, "update virtualmachines", "b", 200),
        made(6, "update virtualmachines", "c", 200),
        Request {
            namespace: "other",
            ..made(7, "update virtualmachines", "b", 200)
        },
        Request {
            is_before: true,
            ..made(8, "update virtualmachines", "b", 200)
        },
    ];
    let found = calls_per_object(&requests, "ns", ["a", "b", "none"].into_iter());
    let calls: Vec<u64> = found.iter().map(|object| object.calls).collect();
    assert_eq!(calls, [3, 1, 0]);
}
