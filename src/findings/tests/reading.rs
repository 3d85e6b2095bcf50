//! Reads that were made before.

use record::{CallFindingKind as Kind, QueryRecord};

use super::{Made, found, made, none, row};
use crate::Request;

fn get(at: i64) -> Request<'static> {
    made(at, "get pods", "a", 200)
}

fn list(at: i64) -> Request<'static> {
    made(at, "list pods", "", 200)
}

#[test]
fn the_same_object_within_a_second_is_read_again() {
    let expected = [row("same version", 2, 2)];
    let requests = [1, 500, 1_400].map(|at| get(at).version("5"));
    assert_eq!(found(Kind::RepeatedRead, &requests), expected);
    for again in [
        get(500).version("6"),
        get(1_003).version("5"),
        get(500).version("5").in_process(1),
        get(500).version("5").by("virt-handler"),
        Request {
            name: "b",
            ..get(500).version("5")
        },
        made(500, "get pods/status", "a", 200).version("5"),
        made(500, "get pods", "a", 404).version("5"),
        get(500).version("5").query(QueryRecord {
            resource_version: Some("0".to_owned()),
            ..QueryRecord::default()
        }),
    ] {
        let requests = [get(1).version("5"), again];
        assert_eq!(found(Kind::RepeatedRead, &requests), none(), "{again:?}");
    }
}

#[test]
fn without_versions_no_write_may_be_seen_in_between() {
    let expected = [row("no write seen", 1, 1)];
    let write = made(300, "patch pods", "b", 200);
    for read in [get, list] {
        assert_eq!(found(Kind::RepeatedRead, &[read(1), read(500)]), expected);
        let written = [read(1), write.by("virt-handler"), read(500)];
        assert_eq!(found(Kind::RepeatedRead, &written), none());
        for nothing in [
            made(300, "patch pods", "b", 409),
            made(300, "patch virtualmachines", "b", 200),
            Request {
                dry_run: true,
                ..write
            },
        ] {
            let requests = [read(1), nothing, read(500)];
            assert_eq!(found(Kind::RepeatedRead, &requests), expected);
        }
        // Equal versions say more than a write that was seen.
        let requests = [read(1).version("5"), write, read(500).version("5")];
        assert_eq!(found(Kind::RepeatedRead, &requests).len(), 1);
    }
    let logs = [1, 500].map(|at| made(at, "get pods/log", "a", 200));
    assert_eq!(found(Kind::RepeatedRead, &logs), none());
}

#[test]
fn lists_by_selectors_and_pages_may_be_different_ones() {
    let of = |query: &QueryRecord| [1, 500].map(|at| list(at).query(query.clone()));
    let keys = vec!["app".to_owned()];
    let queries = [
        QueryRecord {
            label_keys: keys.clone(),
            ..QueryRecord::default()
        },
        QueryRecord {
            field_keys: keys,
            ..QueryRecord::default()
        },
        QueryRecord {
            is_continued: true,
            ..QueryRecord::default()
        },
    ];
    for query in &queries {
        assert_eq!(found(Kind::RepeatedRead, &of(query)), none());
    }
    let by_name = QueryRecord {
        field_keys: vec!["metadata.name".to_owned()],
        ..QueryRecord::default()
    };
    let named = of(&by_name).map(|one| Request { name: "a", ..one });
    assert_eq!(found(Kind::RepeatedRead, &named).len(), 1);
    let unknown = of(&by_name).map(|one| Request { query: None, ..one });
    assert_eq!(found(Kind::RepeatedRead, &unknown), none());
}

#[test]
fn a_list_of_all_is_unbounded() {
    let mut of_all = list(1);
    of_all.namespace = "";
    assert_eq!(
        found(Kind::UnboundedList, &[of_all, list(2)]),
        [row("all objects", 1, 0), row("one namespace", 1, 0)]
    );
    let limited = QueryRecord {
        limit: Some(500),
        ..QueryRecord::default()
    };
    let any_version = QueryRecord {
        resource_version: Some("0".to_owned()),
        ..QueryRecord::default()
    };
    let page = QueryRecord {
        is_continued: true,
        ..QueryRecord::default()
    };
    for request in [
        list(1).query(limited),
        list(1).query(any_version),
        list(1).query(page),
        Request {
            name: "a",
            ..list(1)
        },
        Request {
            query: None,
            ..list(1)
        },
        made(1, "list pods", "", 500),
        get(1),
    ] {
        assert_eq!(found(Kind::UnboundedList, &[request]), none());
    }
}

#[test]
fn a_warning_is_counted_by_the_version_of_the_api() {
    let warned = Request {
        warned: true,
        ..get(1)
    };
    let expected = [row("kubevirt.io/v1", 1, 0)];
    assert_eq!(found(Kind::DeprecatedApi, &[warned, get(2)]), expected);
}
