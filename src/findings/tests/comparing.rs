//! Two runs beside each other, and how findings are sorted and counted per object.

use record::{CallFinding, CallFindingKind as Kind, FindingChangeKind};

use super::{Made, made};
use crate::{Request, compare, findings};

fn refused(count: usize, call: &str) -> Vec<Request<'static>> {
    (1..)
        .take(count)
        .map(|at| made(at * 10_000, call, "a", 403).status("Forbidden", &[]))
        .collect()
}

fn run(parts: &[(usize, &str)], objects: Option<u64>) -> Vec<CallFinding> {
    let requests = parts.iter().flat_map(|(count, call)| refused(*count, call));
    findings(&requests.collect::<Vec<_>>(), objects)
}

#[test]
fn what_is_new_and_gone_and_more_and_less() {
    let a = [(2, "get a"), (2, "get b"), (2, "get c"), (2, "get d")];
    let b = [(2, "get a"), (3, "get b"), (1, "get c"), (9, "get e")];
    let changes = compare(&run(&a, None), &run(&b, None));
    let told: Vec<_> = changes
        .iter()
        .map(|one| (one.change, &*one.call, one.a, one.b, one.difference))
        .collect();
    assert_eq!(
        told,
        [
            (FindingChangeKind::New, "GET-e", 0.0, 9.0, 9.0),
            (FindingChangeKind::More, "GET-b", 2.0, 3.0, 1.0),
            (FindingChangeKind::Less, "GET-c", 2.0, 1.0, -1.0),
            (FindingChangeKind::Gone, "GET-d", 2.0, 0.0, -2.0),
        ]
    );
    assert!(changes.iter().all(|one| !one.per_object));
    assert_eq!(changes[0].id, "failure:virt-controller:GET-e@403:Forbidden");
}

#[test]
fn runs_of_different_sizes_are_compared_per_object() {
    let (small, large) = ([(2, "get a")], [(4, "get a")]);
    assert_eq!(compare(&run(&small, Some(2)), &run(&large, Some(4))), []);
    let changes = compare(&run(&small, Some(2)), &run(&large, Some(2)));
    assert!(changes[0].per_object);
    assert_eq!((changes[0].a, changes[0].b), (1.0, 2.0));
    let changes = compare(&run(&small, Some(2)), &run(&large, None));
    assert!(!changes[0].per_object);
    assert_eq!((changes[0].a, changes[0].b), (2.0, 4.0));
    assert_eq!(run(&small, Some(0))[0].per_object, None);
}

#[test]
fn the_worst_comes_first() {
    let mut requests = refused(2, "patch pods");
    requests.extend(refused(3, "patch nodes"));
    // Not saved: how to learn whether there is one.
    requests.extend((1..9).map(|at| made(at * 10_000, "get pods", "b", 404)));
    let found = findings(&requests, None);
    let order: Vec<_> = found.iter().map(|one| (&*one.call, one.saved)).collect();
    let expected = [("PATCH-nodes", 3), ("PATCH-pods", 2), ("GET-pods", 0)];
    assert_eq!(order, expected);
}

#[test]
fn ids_are_unique_where_reasons_differ_by_punctuation_only() {
    let requests = [
        made(1, "create pods", "", 403).status("A b", &[]),
        made(2, "create pods", "", 403).status("A:b", &[]),
    ];
    let found = findings(&requests, None);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].calls, found[0].saved), (2, 2));
    assert_eq!(found[0].id, "failure:virt-controller:CREATE-pods@403:A-b");
    assert_eq!(found[0].kind, Kind::Failure);
}
