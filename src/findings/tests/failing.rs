//! What failed, and for what.

use record::{CallFindingKind as Kind, CallRecord, StatusRecord};

use super::{Made, found, kept, made, none, only, row};
use crate::Answer;

const UPDATE: &str = "update virtualmachines";

#[test]
fn a_failure_has_the_reason_and_the_fields_of_its_status() {
    let requests = [
        made(1, "create pods", "", 403).status("Forbidden", &[]),
        made(2, "create pods", "", 422).status("Invalid", &["spec.a[1].b", "metadata.name"]),
        made(3, "create pods", "", 422).status("Invalid", &["metadata.name", "spec.a[2].b"]),
        made(4, "create pods", "", 500),
        made(5, "create pods", "", 201),
        made(6, "create pods", "", 302),
    ];
    let expected = [
        row("Invalid: metadata.name, spec.a[*].b", 2, 2),
        row("Forbidden", 1, 1),
        row("unknown", 1, 1),
    ];
    assert_eq!(found(Kind::Failure, &requests), expected);
    let finding = only(Kind::Failure, &requests[3..]);
    assert_eq!(
        finding.id,
        "failure:virt-controller:CREATE-pods@500:unknown"
    );
    assert_eq!(
        finding.detail,
        "1 of 3 such calls failed with 500; they waited 0.0 s for that."
    );
}

#[test]
fn a_call_without_an_answer_has_the_reason_of_that_for_its_code() {
    let mut request = made(1, "create pods", "", 0);
    request.answer = Answer::None("connect");
    request.audit_id = "id";
    let finding = only(Kind::Failure, &[request]);
    assert_eq!((&*finding.code, &*finding.reason), ("connect", "connect"));
    assert_eq!(finding.example.audit_id, "id");
    assert_eq!(finding.example.at.as_microsecond(), 1_000);
}

#[test]
fn a_patch_that_does_not_apply_names_its_tests() {
    let patch = |at| made(at, "patch pods", "a", 422).status("Invalid", &[]);
    let requests = [
        patch(1).patching(&["/metadata/labels"], &["/metadata/labels"]),
        patch(2).patching(&["/a"], &["/spec/b/17", "/a", "/a"]),
        patch(3).patching(&["/a"], &[]),
        patch(4)
            .patching(&["/a"], &["/a"])
            .status("Invalid", &["a"]),
    ];
    let expected = [
        row("failed: /metadata/labels", 1, 1),
        row("one of: /a, /spec/b/*", 1, 1),
        row("Invalid", 1, 1),
        row("Invalid: a", 1, 1),
    ];
    let mut found = found(Kind::Failure, &requests);
    found.sort();
    let mut expected = expected.to_vec();
    expected.sort();
    assert_eq!(found, expected);
    let finding = only(Kind::Failure, &requests[..1]);
    assert!(finding.id.ends_with("@422:failed-/metadata/labels"));
    assert!(
        finding
            .detail
            .contains("the patch's test of /metadata/labels did not hold")
    );
}

#[test]
fn a_conflict_tells_who_wrote_in_between() {
    let refused = |at| made(at, UPDATE, "a", 409).sent("5").status("Conflict", &[]);
    let theirs = made(2, "patch virtualmachines/status", "a", 200)
        .by("virt-handler")
        .version("6");
    let read = made(1, "get virtualmachines", "a", 200).version("5");
    let finding = only(Kind::Conflict, &[read, theirs, refused(3)]);
    assert_eq!(
        finding.reason,
        "Conflict: virt-handler PATCH-virtualmachines/status"
    );
    assert_eq!(
        finding.id,
        "conflict:virt-controller:UPDATE-virtualmachines@409:\
         Conflict-virt-handler-PATCH-virtualmachines/status"
    );
    assert_eq!((finding.saved, &*finding.code), (1, "409"));
    assert!(
        finding.detail.contains("virt-handler (PATCH"),
        "{finding:?}"
    );

    let own = made(2, UPDATE, "a", 200).sent("5").version("6");
    let finding = only(Kind::Conflict, &[read, own, refused(3)]);
    assert!(finding.detail.contains("the component itself (UPDATE"));
    // The answer to their write came after ours, and it had been sent before that.
    let mut late = theirs;
    late.answered = 4_000;
    let requests = [read, late, refused(3)];
    assert!(
        only(Kind::Conflict, &requests)
            .reason
            .contains("virt-handler")
    );
}

#[test]
fn a_write_that_can_not_be_the_cause_is_not_blamed() {
    let refused = made(3, UPDATE, "a", 409).sent("6").status("Conflict", &[]);
    let unknown = [row("Conflict: unknown", 1, 1)];
    let theirs = made(2, "patch virtualmachines", "a", 200).by("virt-handler");
    for other in [
        // It is the version that was wanted, or an older one.
        theirs.version("6"),
        theirs.version("5"),
        // Another object, another resource, a failure, a dry run, and one that came later.
        crate::Request {
            name: "b",
            ..theirs.version("7")
        },
        made(2, "patch pods", "a", 200).version("7"),
        made(2, "patch virtualmachines", "a", 500),
        crate::Request {
            dry_run: true,
            ..theirs.version("7")
        },
        made(9, "patch virtualmachines", "a", 200).version("7"),
    ] {
        assert_eq!(found(Kind::Conflict, &[other, refused]), unknown);
    }
    // A patch wants the version that it finds: only what was written meanwhile can be the cause.
    let patch = made(9, "patch virtualmachines", "a", 409).status("Conflict", &[]);
    let requests = [theirs.version("7"), patch];
    assert_eq!(found(Kind::Conflict, &requests), unknown);
}

#[test]
fn fields_of_another_manager_are_a_conflict_with_nobodys_write() {
    let apply = made(3, "patch pods", "a", 409).status("Conflict", &[".spec.a[name=\"x\"].b"]);
    let other = made(2, "patch pods", "a", 200).version("7");
    let finding = only(Kind::Conflict, &[other, apply]);
    assert_eq!(finding.reason, "Conflict: .spec.a[*].b");
    assert!(finding.detail.contains("another manager owns"));
}

#[test]
fn a_409_that_is_no_conflict() {
    let exists = made(1, "create pods", "", 409).status("AlreadyExists", &[]);
    let expected = [row("AlreadyExists", 1, 1)];
    assert_eq!(found(Kind::AlreadyExists, &[exists]), expected);
    for request in [
        made(1, "create pods", "", 409).status("Conflict", &[]),
        made(1, "update pods", "a", 409).status("AlreadyExists", &[]),
        made(1, "delete pods", "a", 409).status("Conflict", &[]),
    ] {
        assert_eq!(found(Kind::Failure, &[request]).len(), 1);
    }
}

#[test]
fn calls_on_what_was_deleted_are_on_a_gone_object() {
    let delete = made(1, "delete pods", "a", 200).by("virt-api");
    let status = made(2, "update pods/status", "a", 404).status("NotFound", &[]);
    let finding = only(Kind::GoneObject, &[delete, status]);
    assert_eq!(finding.reason, "deleted: virt-api DELETE-pods");
    assert_eq!(finding.saved, 1);
    // By the UID that the update wanted.
    let update = made(2, "update pods", "a", 409)
        .sent("4")
        .status("Conflict", &[]);
    assert_eq!(found(Kind::GoneObject, &[delete, update]).len(), 1);
    // The object is still there with a new version, and that is why.
    let lingers = delete.version("5");
    assert_eq!(found(Kind::GoneObject, &[lingers, update]), none());
    let expected = [row("Conflict: virt-api DELETE-pods", 1, 1)];
    assert_eq!(found(Kind::Conflict, &[lingers, update]), expected);
    let wanted_that = update.sent("5");
    assert_eq!(found(Kind::GoneObject, &[lingers, wanted_that]).len(), 1);
    // A get is how to learn that it is gone.
    let get = made(2, "get pods", "a", 404).status("NotFound", &[]);
    let expected = [row("deleted: virt-api DELETE-pods", 1, 0)];
    assert_eq!(found(Kind::GoneObject, &[delete, get]), expected);
}

#[test]
fn an_object_that_was_there_is_gone_and_one_that_never_was_is_not_found() {
    let get = |at, code| made(at, "get pods", "a", code);
    let expected = [row("was there", 1, 0)];
    assert_eq!(
        found(Kind::GoneObject, &[get(1, 200), get(9, 404)]),
        expected
    );
    for requests in [
        vec![get(9, 404)],
        vec![made(1, "get pods", "b", 200), get(9, 404)],
        vec![made(1, "delete pods", "a", 404), get(9, 404)],
        vec![made(1, "delete pods", "a", 500), get(9, 404)],
        // The subresource was not found, of an object that is there.
        vec![get(1, 200), made(9, "get pods/guestosinfo", "a", 404)],
    ] {
        assert_eq!(found(Kind::GoneObject, &requests), none());
    }
    // What was made again was not deleted by the delete before.
    let delete = made(1, "delete pods", "a", 200);
    let create = made(2, "create pods", "a", 201);
    let requests = [delete, create, get(9, 404)];
    assert_eq!(found(Kind::GoneObject, &requests), expected);
    let requests = [delete, get(4, 200), get(9, 404)];
    assert_eq!(found(Kind::GoneObject, &requests), expected);
    assert_eq!(found(Kind::GoneObject, &[get(9, 410)]).len(), 1);
}

#[test]
fn an_object_that_a_delete_left_in_place_can_be_in_conflict() {
    // It has finalizers, and its client has seen what was written after the delete.
    let left = made(1, "delete pods", "a", 200).version("5");
    let refused = |version| {
        made(9, "update pods", "a", 409)
            .sent(version)
            .status("Conflict", &[])
    };
    for version in ["4", "7"] {
        let requests = [left, refused(version)];
        assert_eq!(found(Kind::GoneObject, &requests), none());
        assert_eq!(found(Kind::Conflict, &requests).len(), 1);
    }
    let gone = [row("deleted: virt-controller DELETE-pods", 1, 1)];
    assert_eq!(found(Kind::GoneObject, &[left, refused("5")]), gone);
    // Its client saw what the delete left, and then it was written: so it was there.
    let written = made(5, "update pods/status", "a", 200).version("6");
    let requests = [left, written, refused("5")];
    assert_eq!(found(Kind::GoneObject, &requests), none());
    let conflict = [row("Conflict: virt-controller UPDATE-pods/status", 1, 1)];
    assert_eq!(found(Kind::Conflict, &requests), conflict);
    let removed = made(5, "patch pods", "a", 200).removing("6");
    let gone = [row("deleted: virt-controller PATCH-pods", 1, 1)];
    assert_eq!(
        found(Kind::GoneObject, &[left, removed, refused("5")]),
        gone
    );
}

#[test]
fn a_pod_that_was_evicted_stays_for_a_while() {
    let evict = made(1, "create pods/eviction", "a", 201);
    let update = made(9, "update pods/status", "a", 409).sent("5");
    let update = update.status("Conflict", &[]);
    let evicted = [evict, update];
    assert_eq!(found(Kind::GoneObject, &evicted), none());
    assert_eq!(found(Kind::Conflict, &evicted).len(), 1);
    let get = made(9, "get pods", "a", 404);
    let expected = [row("deleted: virt-controller CREATE-pods/eviction", 1, 0)];
    assert_eq!(found(Kind::GoneObject, &[evict, get]), expected);
}

#[test]
fn a_delete_of_a_version_that_was_written_since_is_a_conflict() {
    let delete = made(9, "delete pods", "a", 409).status("Conflict", &[]);
    let written = made(2, "patch pods/status", "a", 200).version("6");
    let expected = [row("Conflict: virt-controller PATCH-pods/status", 1, 1)];
    let of_version = [written, delete.sent("5")];
    assert_eq!(found(Kind::Conflict, &of_version), expected);
    assert_eq!(found(Kind::Failure, &of_version), none());
    let of_other = [written, delete.sent("7")];
    assert_eq!(
        found(Kind::Conflict, &of_other),
        [row("Conflict: unknown", 1, 1)]
    );
}

#[test]
fn a_dry_run_of_a_delete_deletes_nothing() {
    let dry_run = crate::Request {
        dry_run: true,
        ..made(1, "delete pods", "a", 200)
    };
    let get = made(9, "get pods", "a", 404);
    assert_eq!(found(Kind::GoneObject, &[dry_run, get]), none());
}

#[test]
fn a_namespace_is_the_same_object_by_the_url_of_its_create_and_by_its_own() {
    let of_core = |request: crate::Request<'static>, namespace| crate::Request {
        namespace,
        call: kept(CallRecord {
            group: String::new(),
            ..request.call.clone()
        }),
        ..request
    };
    let create = of_core(made(1, "create namespaces", "a", 201), "");
    let get = of_core(made(9, "get namespaces", "a", 404), "a");
    let expected = [row("was there", 1, 0)];
    assert_eq!(found(Kind::GoneObject, &[create, get]), expected);
}

#[test]
fn throttled_calls_name_the_flow_schema_and_not_in_their_id() {
    let mut request = made(1, "create pods", "", 429);
    request.failure = Some(kept(StatusRecord {
        reason: "TooManyRequests".to_owned(),
        flow_schema: "schema-uid".to_owned(),
        priority_level: "level-uid".to_owned(),
        ..StatusRecord::default()
    }));
    let finding = only(Kind::Throttled, &[request]);
    assert!(finding.id.ends_with("@429:TooManyRequests"));
    let level = "by flow schema schema-uid at priority level level-uid;";
    assert!(finding.detail.contains(level), "{}", finding.detail);
    request.failure = Some(kept(StatusRecord {
        flow_schema_name: "service-accounts".to_owned(),
        priority_level_name: "workload-low".to_owned(),
        ..request.failure.unwrap().clone()
    }));
    let named = only(Kind::Throttled, &[request]);
    let level = "by flow schema service-accounts at priority level workload-low;";
    assert!(named.detail.contains(level), "{}", named.detail);
    assert_eq!(named.id, finding.id);
}

#[test]
fn a_conflict_of_patches_says_what_each_was_to_change() {
    let read = made(1, "get pods", "a", 200).version("5");
    let theirs = made(2, "patch pods/status", "a", 200)
        .by("kubelet")
        .patching(&["/status/conditions", "/status/phase"], &[])
        .version("6");
    let refused = made(3, "patch pods", "a", 409).patching(&["/metadata/labels"], &[]);
    let refused = refused.status("Conflict", &[]);
    let finding = only(Kind::Conflict, &[read, theirs, refused]);
    assert_eq!(
        finding.detail,
        "1 of 1 such calls failed with 409: kubelet (PATCH-pods/status) had written the object in \
         between, at /status/conditions, /status/phase, and the refused ones were to change \
         /metadata/labels; they waited 0.0 s for that."
    );
    assert_eq!(finding.reason, "Conflict: kubelet PATCH-pods/status");
}

#[test]
fn a_version_that_is_too_old_is_expired_for_lists_and_watches() {
    for (call, count) in [("list pods", 1), ("watch pods", 1), ("create pods", 0)] {
        let request = made(1, call, "", 410).status("Expired", &[]);
        assert_eq!(found(Kind::Expired, &[request]).len(), count, "{call}");
    }
}

#[test]
fn the_same_call_shortly_after_its_failure_is_a_retry() {
    let update = |at, code| made(at, UPDATE, "a", code);
    let requests = [
        update(1, 409),
        update(100, 409),
        update(200, 200),
        update(300, 200),
    ];
    let finding = only(Kind::Retry, &requests);
    assert_eq!((finding.calls, finding.saved, &*finding.code), (2, 0, ""));
    assert_eq!(finding.reason, "after 409");
    assert!(
        finding
            .detail
            .ends_with("failed with 409; 1 of these succeeded.")
    );
    let list = |at, code| made(at, "list pods", "", code);
    assert_eq!(found(Kind::Retry, &[list(1, 500), list(2, 200)]).len(), 1);
    for again in [
        update(1_003, 200),
        made(100, UPDATE, "b", 200),
        made(100, "patch virtualmachines", "a", 200),
        update(100, 200).by("virt-handler"),
        update(100, 200).in_process(1),
        // It had been sent before the other one failed.
        crate::Request {
            begun: 0,
            ..update(100, 200)
        },
    ] {
        assert_eq!(found(Kind::Retry, &[update(1, 409), again]), none());
    }
    let create = |at, code| made(at, "create pods", "", code);
    assert_eq!(
        found(Kind::Retry, &[create(1, 500), create(2, 201)]),
        none()
    );
}
