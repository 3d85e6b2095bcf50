//! What holds for all runs.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{
    prelude::{Just, Strategy, any},
    prop_assert, prop_assert_eq, proptest,
    sample::select,
    strategy::ValueTree,
    test_runner::TestRunner,
};
use record::{CallFinding, CallFindingKind, CallRecord, ObjectSeen, SentRecord, StatusRecord};

use super::{Made, made};
use crate::{Answer, Options, Request, find, findings, lines::Lines};

/// What the requests of all cases refer to, made once.
struct Pool {
    calls: Vec<&'static CallRecord>,
    objects: Vec<Option<&'static ObjectSeen>>,
    sent: Vec<Option<&'static SentRecord>>,
    failures: Vec<Option<&'static StatusRecord>>,
}

static POOL: std::sync::LazyLock<Pool> = std::sync::LazyLock::new(|| {
    // What is there several times comes more often.
    let verbs = [
        "get", "get", "get", "list", "watch", "create", "update", "patch", "patch", "delete",
    ];
    let resources = ["pods", "pods", "pods/status", "virtualmachines"];
    let calls = verbs.iter().flat_map(|verb| {
        let of = |resource| made(0, &format!("{verb} {resource}"), "", 200).call;
        resources.map(of)
    });
    let version = |version| made(0, "get pods", "", 200).version(version).object;
    let sent = |version| made(0, "get pods", "", 200).sent(version).sent;
    let status =
        |reason, fields: &[&str]| made(0, "get pods", "", 200).status(reason, fields).failure;
    Pool {
        calls: calls.collect(),
        objects: vec![None, version("1"), version("2"), version("3")],
        sent: vec![
            None,
            sent("1"),
            sent("2"),
            made(0, "patch pods", "", 200)
                .patching(&["/a"], &["/a", "/b"])
                .sent,
        ],
        failures: vec![
            None,
            status("Conflict", &[]),
            status("Conflict", &["a"]),
            status("AlreadyExists", &[]),
            status("NotFound", &[]),
        ],
    }
});

fn answer() -> impl Strategy<Value = Answer<'static>> {
    let codes = [
        200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 201, 202, 302, 400, 403, 404,
        404, 409, 409, 410, 422, 429, 500, 504,
    ];
    let mut answers: Vec<_> = codes.map(Answer::Code).to_vec();
    answers.extend(["connect", "client gone"].map(Answer::None));
    select(answers)
}

fn request() -> impl Strategy<Value = Request<'static>> {
    let call = (select(POOL.calls.clone()), answer());
    let who = (
        select(vec!["virt-api", "virt-api", "virt-api", "virt-handler"]),
        0..2_u32,
    );
    let object = (
        select(vec!["", "a", "a", "a", "b"]),
        select(vec!["", "ns", "ns", "ns"]),
    );
    let bodies = (
        select(POOL.objects.clone()),
        select(POOL.sent.clone()),
        select(POOL.failures.clone()),
    );
    let times = (0..40_i64, 0..10_i64, proptest::option::of(0..40_i64));
    let flags = (
        proptest::bool::weighted(0.1),
        proptest::bool::weighted(0.1),
        any::<bool>(),
    );
    let is_told = any::<bool>();
    (call, who, object, bodies, times, flags, is_told).prop_map(
        |(call, who, object, bodies, times, flags, is_told)| {
            let base = made(0, "get pods", "", 200);
            let answered = times.0 * 200_000;
            Request {
                call: call.0,
                answer: call.1,
                component: who.0,
                instance: who.1,
                name: object.0,
                namespace: object.1,
                object: bodies.0,
                sent: bodies.1,
                failure: bodies.2,
                begun: answered - times.1 * 100_000,
                answered,
                ended: times.2.map(|later| answered + later * 1_000_000),
                is_before: flags.0,
                dry_run: flags.1,
                warned: flags.2,
                query: base.query.filter(|_| is_told),
                ..base
            }
        },
    )
}

fn run() -> impl Strategy<Value = Vec<Request<'static>>> {
    proptest::collection::vec(request(), 0..200)
}

/// All but the example, which two equal requests can give.
fn counts(findings: &[CallFinding]) -> Vec<(&str, u64, u64, &str, i64)> {
    let told = findings.iter().map(|one| {
        let at = one.example.at.as_microsecond();
        (&*one.id, one.calls, one.saved, &*one.detail, at)
    });
    told.collect()
}

proptest! {
    #[test]
    fn each_failed_request_is_in_one_finding_with_a_code(requests in run()) {
        let mut failed: BTreeMap<(&str, String), u64> = BTreeMap::new();
        let of_run = requests.iter().filter(|one| !one.is_before);
        for request in of_run.filter(|one| one.answer.is_failure()) {
            let key = (request.component, request.answer.to_string());
            *failed.entry(key).or_default() += 1;
        }
        let mut told: BTreeMap<(&str, String), u64> = BTreeMap::new();
        let found = findings(&requests, Some(3));
        for finding in found.iter().filter(|one| !one.code.is_empty()) {
            prop_assert!(finding.kind.has_code());
            let key = (&*finding.component, finding.code.clone());
            *told.entry(key).or_default() += finding.calls;
        }
        prop_assert!(found.iter().all(|one| one.kind.has_code() != one.code.is_empty()));
        prop_assert_eq!(told, failed);
    }

    #[test]
    fn without_bodies_the_same_calls_failed_and_no_more_is_claimed(requests in run()) {
        let unread: Vec<_> = requests.iter().map(|one| one.unread()).collect();
        let [told, untold] = [&requests, &unread].map(|requests| findings(requests, None));
        let calls = |found: &[CallFinding], kinds: &[CallFindingKind]| {
            let of_kinds = found.iter().filter(|one| kinds.contains(&one.kind));
            of_kinds.map(|one| one.calls).sum::<u64>()
        };
        let failures = &CallFindingKind::ALL[..6];
        prop_assert_eq!(calls(&untold, failures), calls(&told, failures));
        let gone = &[CallFindingKind::GoneObject];
        prop_assert!(calls(&untold, gone) <= calls(&told, gone));
        for finding in untold {
            prop_assert!(finding.kind != CallFindingKind::NoOpWrite);
            let is_conflict = finding.kind == CallFindingKind::Conflict;
            prop_assert!(!is_conflict || ["Conflict: unknown", "Conflict: a"].contains(&&*finding.reason));
            prop_assert!(!finding.reason.contains("failed:") && !finding.reason.contains("one of"));
            prop_assert!(finding.reason != "same version" && !finding.detail.contains("bytes"));
        }
    }

    #[test]
    fn each_request_is_saved_at_most_once(requests in run()) {
        let lines = Lines::new(&requests);
        let options = Options::default();
        let found = find(&lines, &options);
        let saved_by = found.saved_by.clone();
        let savings = found.findings(None, &options);
        for (at, kind) in saved_by.iter().enumerate() {
            prop_assert!(kind.is_none() || !lines.all[at].request.is_before);
            // Each is among the requests of one finding of its kind, and of no other.
            let of = savings.iter().filter(|(_, saved)| saved.contains(&at));
            let kinds = of.map(|(finding, _)| finding.kind);
            prop_assert_eq!(kinds.collect::<Vec<_>>(), Vec::from_iter(*kind));
        }
        let findings: Vec<_> = savings.into_iter().map(|(finding, _)| finding).collect();
        for kind in CallFindingKind::ALL {
            let by_kind = saved_by.iter().filter(|by| **by == Some(kind)).count();
            let of_kind = findings.iter().filter(|one| one.kind == kind);
            prop_assert_eq!(of_kind.map(|one| one.saved).sum::<u64>(), by_kind as u64);
            prop_assert!(by_kind == 0 || kind.saves());
        }
        prop_assert!(findings.iter().all(|one| one.saved <= one.calls && one.calls > 0));
        let saved: u64 = findings.iter().map(|one| one.saved).sum();
        prop_assert!(saved <= requests.iter().filter(|one| !one.is_before).count() as u64);
    }

    #[test]
    fn the_order_of_the_requests_changes_nothing(
        (requests, shuffled) in run().prop_flat_map(|run| {
            (Just(run.clone()), Just(run).prop_shuffle())
        })
    ) {
        let (once, again) = (findings(&requests, None), findings(&shuffled, None));
        prop_assert_eq!(counts(&once), counts(&again));
    }

    #[test]
    fn ids_are_unique_and_sorted_worst_first(requests in run()) {
        let found = findings(&requests, None);
        let ids: BTreeSet<_> = found.iter().map(|one| &one.id).collect();
        prop_assert_eq!(ids.len(), found.len());
        let is_worse = |a: &CallFinding, b: &CallFinding| {
            (b.saved, b.calls, &a.id) <= (a.saved, a.calls, &b.id)
        };
        prop_assert!(found.is_sorted_by(is_worse));
        prop_assert_eq!(crate::compare(&found, &found), []);
    }
}

#[test]
fn random_runs_have_findings_of_all_kinds() {
    let mut runner = TestRunner::deterministic();
    let mut kinds = BTreeSet::new();
    for _ in 0..100 {
        let requests = run().new_tree(&mut runner).unwrap().current();
        kinds.extend(findings(&requests, None).iter().map(|one| one.kind));
    }
    assert!(CallFindingKind::ALL.iter().eq(&kinds), "{kinds:?}");
}

#[test]
fn requests_of_the_same_moment_have_an_order_by_all_that_matters() {
    let get = |at, version| made(at, "get pods", "a", 200).version(version);
    let at_once = [get(1, "5"), get(1, "6")];
    let [once, again] = [[0, 1], [1, 0]]
        .map(|[first, second]| findings(&[at_once[first], at_once[second], get(9, "5")], None));
    assert_eq!(once, again);
}

#[test]
fn a_request_at_the_ends_of_time_is_found_too() {
    let times = [i64::MIN, 0, i64::MAX];
    let requests = times.map(|time| Request {
        begun: time,
        answered: time,
        ended: Some(time),
        name: "a",
        ..made(0, "get pods", "a", 500)
    });
    let found = findings(&requests, None);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].calls, 3);
}
