//! What could be saved, by a small list.

use findings::{Answer, Known, Request, savings};
use record::{CallFindingKind, CallRecord, ObjectSeen, SentRecord};

use super::charging::list;
use crate::{all_cpu_us, charge_findings};

fn update() -> CallRecord {
    CallRecord {
        verb: "update".to_owned(),
        group: "kubevirt.io".to_owned(),
        version: "v1".to_owned(),
        resource: "virtualmachineinstances".to_owned(),
        ..CallRecord::default()
    }
}

fn seen(version: &str) -> ObjectSeen {
    ObjectSeen {
        resource_version: version.to_owned(),
        ..ObjectSeen::default()
    }
}

fn sent(version: &str) -> SentRecord {
    SentRecord {
        resource_version: version.to_owned(),
        ..SentRecord::default()
    }
}

/// An update of a VMI whose bodies have as many bytes as the list's together, and 1 KiB more.
fn request(call: &CallRecord, at: i64, code: u16) -> Request<'_> {
    Request {
        component: "virt-controller",
        begun: at - 10,
        answered: at,
        ended: Some(at),
        namespace: "n",
        name: "vmi",
        request_bytes: 1024,
        response_bytes: 8192,
        connection: 1,
        known: Known::ALL,
        ..Request::bare(call, Answer::Code(code))
    }
}

#[test]
fn what_could_go_costs_what_its_outcome_does_at_its_own_size() {
    let (update, list) = (update(), list());
    let other = CallRecord {
        resource: "others".to_owned(),
        ..update.clone()
    };
    let (old, new) = (seen("7"), seen("8"));
    let (wanted, again) = (sent("7"), sent("8"));
    let write = Request {
        sent: Some(&wanted),
        object: Some(&new),
        ..request(&update, 100, 200)
    };
    let no_op = Request {
        sent: Some(&again),
        object: Some(&new),
        ..request(&update, 200, 200)
    };
    let refused = Request {
        sent: Some(&wanted),
        known: Known {
            bytes: false,
            ..Known::ALL
        },
        ..request(&update, 300, 409)
    };
    let without_price = Request {
        object: Some(&old),
        ..request(&other, 400, 409)
    };
    let requests = [write, no_op, refused, without_price];
    let found = savings(&requests, None);
    // 3,000 for the write and 2,500 for the no-op, 100 more for each, and 1,600 for the conflict, whose
    // size is not known.
    assert_eq!(
        all_cpu_us(&requests, &found, &list),
        3_100.0 + 2_600.0 + 1_600.0
    );
    let found = charge_findings(found, &list);
    let saved = found.iter().filter(|finding| finding.saved > 0);
    let saved = saved.map(|finding| (finding.kind, finding.saved_cpu_us, finding.saved_tolls));
    let conflict = CallFindingKind::Conflict;
    assert_eq!(
        saved.collect::<Vec<_>>(),
        [
            (CallFindingKind::NoOpWrite, Some(2_600.0), Some(5.2)),
            (conflict, Some(1_600.0), Some(3.2)),
            (conflict, None, None),
        ]
    );
}
