//! Watches, what they make needless, and what follows from their end.

use record::{CallFindingKind as Kind, QueryRecord, WatchRecord};

use super::{Made, found, kept, made, none, only, row};
use crate::Request;

fn watch(at: i64) -> Request<'static> {
    made(at, "watch pods", "", 200)
}

fn get(at: i64) -> Request<'static> {
    made(at, "get pods", "a", 200)
}

fn list(at: i64) -> Request<'static> {
    made(at, "list pods", "", 200)
}

fn of_all_namespaces(request: Request<'static>) -> Request<'static> {
    Request {
        namespace: "",
        ..request
    }
}

#[test]
fn a_get_of_what_is_watched_is_needless() {
    let expected = [row("watched", 1, 1)];
    let of_one = Request {
        name: "a",
        ..watch(1).query(QueryRecord {
            field_keys: vec!["metadata.name".to_owned()],
            ..QueryRecord::default()
        })
    };
    for watch in [
        watch(1),
        of_all_namespaces(watch(1)),
        of_one,
        watch(1).ended(3, "server"),
    ] {
        assert_eq!(found(Kind::GetOfWatched, &[watch, get(9)]), expected);
        let not_found = made(9, "get pods", "a", 404);
        assert_eq!(found(Kind::GetOfWatched, &[watch, not_found]), expected);
    }
    for watch in [
        made(1, "watch virtualmachines", "", 200),
        made(1, "watch pods", "", 410),
        Request {
            namespace: "other",
            ..watch(1)
        },
        Request {
            name: "b",
            ..of_one
        },
        watch(1).by("virt-handler"),
        watch(1).in_process(1),
        watch(10),
    ] {
        assert_eq!(found(Kind::GetOfWatched, &[watch, get(9)]), none());
    }
    let ended = watch(1).ended(3, "client");
    assert_eq!(found(Kind::GetOfWatched, &[ended, get(60_000)]), none());
    let log = made(9, "get pods/log", "a", 200);
    assert_eq!(found(Kind::GetOfWatched, &[watch(1), log]), none());
}

#[test]
fn a_watch_that_may_leave_out_the_object_saves_nothing() {
    let expected = [row("perhaps watched", 1, 0)];
    let keys = vec!["app".to_owned()];
    let by_label = watch(1).query(QueryRecord {
        label_keys: keys.clone(),
        ..QueryRecord::default()
    });
    let by_field = watch(1).query(QueryRecord {
        field_keys: keys,
        ..QueryRecord::default()
    });
    let open_before = Request {
        is_before: true,
        query: None,
        ..of_all_namespaces(watch(1))
    };
    for watch in [by_label, by_field, open_before] {
        assert_eq!(found(Kind::GetOfWatched, &[watch, get(9)]), expected);
    }
    let sure = [by_label, watch(2), get(9)];
    assert_eq!(found(Kind::GetOfWatched, &sure), [row("watched", 1, 1)]);
}

/// As a request by which a client wants nothing but the metadata.
fn of_metadata(request: Request<'static>) -> Request<'static> {
    let list = if request.call.verb == "list" {
        "List"
    } else {
        ""
    };
    request.query(QueryRecord {
        as_kind: format!("PartialObjectMetadata{list}"),
        ..QueryRecord::default()
    })
}

#[test]
fn a_watch_of_metadata_does_not_deliver_whole_objects() {
    let expected = [row("watched", 1, 1)];
    let kind = Kind::GetOfWatched;
    assert_eq!(found(kind, &[of_metadata(watch(1)), get(9)]), none());
    let both = [of_metadata(watch(1)), of_metadata(get(9))];
    assert_eq!(found(kind, &both), expected);
    assert_eq!(found(kind, &[watch(1), of_metadata(get(9))]), expected);
    let with_whole = [of_metadata(watch(1)), watch(2), get(9)];
    assert_eq!(found(kind, &with_whole), expected);
}

#[test]
fn a_list_of_metadata_is_none_of_whole_objects_again() {
    for kind in [Kind::Relist, Kind::RepeatedRead] {
        let of_each = [list(1), of_metadata(list(9))];
        assert_eq!(found(kind, &of_each), none(), "{kind}");
        let of_one = [of_metadata(list(1)), of_metadata(list(9))];
        assert_eq!(found(kind, &of_one).len(), 1, "{kind}");
    }
    // What is watched then is of the same kind.
    let ended = of_metadata(watch(5)).ended(8, "server");
    let again = [of_metadata(list(1)), ended, of_metadata(list(9_000))];
    let expected = [row("after a watch ended by server", 1, 0)];
    assert_eq!(found(Kind::Relist, &again), expected);
    let other = [list(1), ended, list(9_000)];
    assert_eq!(found(Kind::Relist, &other), [row("again", 1, 0)]);
}

#[test]
fn a_list_for_the_second_time_has_what_came_before_for_its_cause() {
    let error = kept(WatchRecord {
        errors: 1,
        ended_by: "server".to_owned(),
        ..WatchRecord::default()
    });
    let failed = Request {
        watch: Some(error),
        ..watch(5).ended(90, "server")
    };
    for (between, reason) in [
        (
            watch(5).ended(90, "server"),
            "after a watch ended by server",
        ),
        (failed, "after an error event"),
        (made(5, "watch pods", "", 410), "after 410"),
        (watch(5), "again"),
        (watch(5).ended(200, "server"), "again"),
        (made(5, "watch nodes", "", 410), "again"),
    ] {
        let requests = [list(1), between, list(100)];
        assert_eq!(found(Kind::Relist, &requests), [row(reason, 1, 0)]);
    }
    // What came before the list before is no cause of this one.
    let twice = [list(1), watch(5).ended(90, "server"), list(100), list(150)];
    let expected = [
        row("after a watch ended by server", 1, 0),
        row("again", 1, 0),
    ];
    assert_eq!(found(Kind::Relist, &twice), expected);
    let failing = [list(1), watch(5).ended(90, "failure"), list(100)];
    let finding = only(Kind::Relist, &failing);
    assert!(
        finding
            .detail
            .contains("a watch had been ended by a failure")
    );
    let long_ago = [list(1), watch(5).ended(90, "server"), list(40_000)];
    assert_eq!(found(Kind::Relist, &long_ago), [row("again", 1, 0)]);
    let finding = only(
        Kind::Relist,
        &[list(1), made(5, "watch pods", "", 410), list(9)],
    );
    assert!(
        finding
            .detail
            .contains("after a watch or list had been answered 410")
    );
}

#[test]
fn a_list_of_something_else_is_none_for_the_second_time() {
    let page = QueryRecord {
        is_continued: true,
        ..QueryRecord::default()
    };
    let selected = QueryRecord {
        label_keys: vec!["app".to_owned()],
        ..QueryRecord::default()
    };
    for other in [
        made(1, "list nodes", "", 200),
        made(1, "list pods", "", 500),
        list(1).by("virt-handler"),
        list(1).in_process(1),
        list(1).query(page),
        list(1).query(selected),
        of_all_namespaces(list(1)),
        Request {
            is_before: true,
            ..list(1)
        },
        watch(1),
    ] {
        assert_eq!(found(Kind::Relist, &[other, list(9)]), none());
    }
    // A watch that begins with all objects is a list.
    let streamed = watch(9).query(QueryRecord {
        initial_events: true,
        ..QueryRecord::default()
    });
    assert_eq!(found(Kind::Relist, &[list(1), streamed]).len(), 1);
}

#[test]
fn a_watch_that_ended_with_its_process_is_not_short() {
    let ended = watch(1).ended(5, "client");
    assert_eq!(found(Kind::ShortWatch, &[ended, list(2)]), none());
    assert_eq!(found(Kind::ShortWatch, &[watch(1).ended(5, "")]), none());
    let expected = [row("ended by client", 1, 0)];
    assert_eq!(found(Kind::ShortWatch, &[ended, list(9)]), expected);
    let of_others = [ended, list(9).in_process(1), list(9).by("virt-handler")];
    assert_eq!(found(Kind::ShortWatch, &of_others), none());
}

#[test]
fn a_watch_that_ended_soon_is_short() {
    let short = watch(1).ended(30_000, "failure");
    let finding = only(Kind::ShortWatch, &[short]);
    assert_eq!((&*finding.reason, finding.saved), ("ended by failure", 0));
    assert!(finding.detail.contains("by a failure"));
    let timed = |seconds| QueryRecord {
        timeout_seconds: Some(seconds),
        ..QueryRecord::default()
    };
    let asked = short.query(timed(300));
    assert_eq!(found(Kind::ShortWatch, &[asked]).len(), 1);
    for watch in [
        watch(1).ended(30_001, "failure"),
        watch(1),
        short.query(timed(30)),
        made(1, "watch pods", "", 403).ended(2, "server"),
        list(1),
    ] {
        assert_eq!(found(Kind::ShortWatch, &[watch]), none());
    }
}
