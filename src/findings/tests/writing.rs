//! Writes that changed nothing, or the same object too often.

use record::CallFindingKind as Kind;

use super::{Made, found, made, none, only, row};
use crate::Request;

#[test]
fn an_update_that_gives_back_the_version_it_sent_changed_nothing() {
    let update = made(1, "update virtualmachines/status", "a", 200).sent("5");
    let finding = only(Kind::NoOpWrite, &[update.version("5")]);
    assert_eq!(
        finding.id,
        "no-op-write:virt-controller:UPDATE-virtualmachines/status:unchanged"
    );
    assert_eq!((finding.calls, finding.saved, &*finding.code), (1, 1, ""));
    assert!(
        finding
            .detail
            .starts_with("1 of 1 such calls changed nothing")
    );
    for request in [
        update.version("6"),
        update,
        update.sent("").version("5"),
        made(1, "update virtualmachines", "a", 201)
            .sent("5")
            .version("5"),
        made(1, "create virtualmachines", "a", 200)
            .sent("5")
            .version("5"),
        Request {
            dry_run: true,
            ..update.version("5")
        },
    ] {
        assert_eq!(found(Kind::NoOpWrite, &[request]), none());
    }
}

#[test]
fn a_patch_that_gives_back_the_version_that_was_seen_changed_nothing() {
    let patch = made(9, "patch pods", "a", 200).patching(&["/metadata/labels"], &[]);
    let get = made(1, "get pods", "a", 200);
    let requests = [get.version("5"), patch.version("5")];
    let expected = [row("unchanged: /metadata/labels", 1, 1)];
    assert_eq!(found(Kind::NoOpWrite, &requests), expected);
    let twice = [
        made(1, "patch pods", "a", 200).version("6"),
        patch.version("6"),
    ];
    assert_eq!(found(Kind::NoOpWrite, &twice), expected);
    for before in [
        get.version("4"),
        get,
        Request {
            name: "b",
            ..get.version("5")
        },
        made(1, "get virtualmachines", "a", 200).version("5"),
        // Somebody saw what the patch had made before its answer came.
        Request {
            answered: 8_500,
            ..get.version("5")
        },
        // So it may be by another clock.
        get.by("virt-handler").version("5"),
    ] {
        let requests = [before, patch.version("5")];
        assert_eq!(found(Kind::NoOpWrite, &requests), none());
    }
    let long_after = Request {
        begun: 199_000,
        answered: 200_000,
        ..patch.version("5")
    };
    let requests = [get.by("virt-handler").version("5"), long_after];
    assert_eq!(found(Kind::NoOpWrite, &requests), expected);
}

#[test]
fn a_write_that_takes_the_last_finalizer_off_removes_the_object_with_its_last_version() {
    let requests = [
        made(1, "get pods", "a", 200).version("5"),
        made(9, "patch pods", "a", 200)
            .patching(&["/metadata/finalizers"], &[])
            .removing("5"),
        made(20, "update pods/status", "a", 404),
    ];
    assert_eq!(found(Kind::NoOpWrite, &requests), none());
    let expected = [row("deleted: virt-controller PATCH-pods", 1, 1)];
    assert_eq!(found(Kind::GoneObject, &requests), expected);
}

fn writes(count: i64, pause: i64) -> Vec<Request<'static>> {
    (1..=count)
        .map(|number| made(number * pause, "patch pods", "a", 200))
        .collect()
}

#[test]
fn an_object_is_hot_from_the_eleventh_write_in_ten_seconds() {
    assert_eq!(found(Kind::HotObject, &writes(10, 1)), none());
    assert_eq!(found(Kind::HotObject, &writes(100, 1_001)), none());
    let expected = [row("more than 10 in 10 s", 11, 0)];
    assert_eq!(found(Kind::HotObject, &writes(11, 1_000)), expected);
    // Only what is in such a window: the last one is alone.
    let mut requests = writes(15, 1);
    requests.push(made(60_000, "patch pods", "a", 200));
    let finding = only(Kind::HotObject, &requests);
    assert_eq!(finding.calls, 15);
    assert!(
        finding.detail.contains("one of 1 object that"),
        "{}",
        finding.detail
    );
    assert!(finding.detail.contains("up to 15 times"));
}

#[test]
fn what_others_wrote_or_failed_to_write_makes_no_object_hot() {
    let change = |request: &mut dyn FnMut(&mut Request<'static>)| {
        let mut requests = writes(11, 1);
        requests.iter_mut().skip(5).for_each(request);
        found(Kind::HotObject, &requests)
    };
    assert_eq!(change(&mut |one| one.name = "b"), none());
    assert_eq!(change(&mut |one| one.namespace = "other"), none());
    assert_eq!(change(&mut |one| one.component = "virt-api"), none());
    assert_eq!(change(&mut |one| one.dry_run = true), none());
    assert_eq!(
        change(&mut |one| one.answer = crate::Answer::Code(409)),
        none()
    );
    // Two processes of a component write together.
    assert_eq!(change(&mut |one| one.instance = 1).len(), 1);
}
