//! Each class of the comparison, by a run of one request and a log.

use jiff::Timestamp;

use super::{AuditEntry, verify};
use record::{
    CallRecord, ClusterRecord, Durations, InFlight, JournalRecord, Outcome, ProxyInfo, ProxyRun,
    RUN_SCHEMA, RowRecord, RunDetailRecord, RunRecord, Snapshot, Verification,
};

const USER: &str = "system:serviceaccount:kubevirt:kubevirt-controller";

fn call() -> CallRecord {
    CallRecord {
        verb: "patch".to_owned(),
        version: "v1".to_owned(),
        resource: "pods".to_owned(),
        kubevirt_verb: "PATCH".to_owned(),
        kubevirt_resource: "pods".to_owned(),
        ..CallRecord::default()
    }
}

fn row(id: u32, code: &str, reason: &str) -> RowRecord {
    RowRecord {
        id,
        component: "virt-controller".to_owned(),
        user: USER.to_owned(),
        call: call(),
        outcome: match code.parse() {
            Ok(code) => Outcome::Code(code),
            Err(_) => Outcome::NoAnswer(reason.to_owned()),
        },
        answered: 1,
        closed: 1,
        cut_short: 0,
        request_bytes: 0,
        response_bytes: 0,
        to_head: Durations::default(),
        to_end: Durations::default(),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn snapshot(taken: i64, rows: Vec<RowRecord>, opened: u64) -> Snapshot {
    Snapshot {
        schema: String::new(),
        proxy: ProxyInfo {
            instance: "i".to_owned(),
            started: at(0),
            version: String::new(),
            component: None,
            upstream: String::new(),
        },
        taken: at(taken),
        overflowed: 0,
        watches: Vec::new(),
        calls: vec![InFlight {
            call: call(),
            opened,
            closed: rows.len() as u64,
            folded: false,
        }],
        rows,
    }
}

/// A run from second 100 to 200 with these bookings, each with an audit ID like `id-ROW`; one
/// more request matched in the log makes the user one of the proxy's.
fn run(bookings: &[(&str, &str)], opened: u64) -> RunRecord {
    let mut rows = vec![row(0, "200", "")];
    let booked = bookings.iter().zip(1..);
    rows.extend(booked.map(|((code, reason), id)| row(id, code, reason)));
    let journal = rows.iter().map(|row| JournalRecord {
        row: row.id,
        at: 0,
        audit_id: if row.outcome.code().is_none() {
            String::new()
        } else {
            format!("id-{}", row.id)
        },
        ..JournalRecord::default()
    });
    let closed = RunDetailRecord {
        journal: journal.collect(),
        snapshot: snapshot(200, rows.clone(), opened),
        objects: Vec::new(),
        objects_lost: 0,
        journal_lost: 0,
        journal_lost_others: 0,
        clients: Vec::new(),
    };
    RunRecord {
        schema: RUN_SCHEMA.to_owned(),
        id: "r".to_owned(),
        scenario: "measure".to_owned(),
        simulated: false,
        kubetoll_version: String::new(),
        started: at(90),
        finished: at(210),
        cluster: ClusterRecord::default(),
        configuration: std::collections::BTreeMap::new(),
        proxies: vec![ProxyRun {
            pod: None,
            admin: String::new(),
            baseline: None,
            opened: snapshot(100, Vec::new(), 0),
            closed,
            difference: rows,
            deletion: None,
        }],
        objects: Vec::new(),
        driver: Vec::new(),
        checks: Vec::new(),
        crosscheck: None,
        api_server: None,
        command: None,
        failure: None,
    }
}

fn entry(id: &str, user: &str, code: u16) -> AuditEntry {
    AuditEntry {
        id: id.to_owned(),
        user: user.to_owned(),
        impersonated: None,
        call: call(),
        object: (String::new(), String::new()),
        code,
        received: at(150),
        staged: at(150),
    }
}

fn compare(bookings: &[(&str, &str)], log: &[(&str, &str, u16)]) -> Verification {
    compare_with(bookings, log, 1 + bookings.len() as u64)
}

fn compare_with(bookings: &[(&str, &str)], log: &[(&str, &str, u16)], opened: u64) -> Verification {
    let mut entries = vec![entry("id-0", USER, 200)];
    entries.extend(log.iter().map(|(id, user, code)| entry(id, user, *code)));
    let found = verify(&run(bookings, opened), &entries);
    assert!(found.by_request && found.overlaps);
    found
}

fn classes(found: &Verification) -> (u64, u64, u64) {
    (
        found.equal,
        found.explained.values().sum(),
        found.unexplained_count,
    )
}

#[test]
fn the_same_request_on_both_sides_is_equal() {
    assert_eq!(
        classes(&compare(&[("409", "")], &[("id-1", USER, 409)])),
        (2, 0, 0)
    );
}

#[test]
fn another_code_user_or_a_missing_side_is_unexplained() {
    assert_eq!(
        classes(&compare(&[("200", "")], &[("id-1", USER, 409)])),
        (1, 0, 1)
    );
    assert_eq!(
        classes(&compare(&[("200", "")], &[("id-1", "someone", 200)])),
        (1, 0, 1)
    );
    assert_eq!(classes(&compare(&[("200", "")], &[])), (1, 0, 1));
    assert_eq!(classes(&compare(&[], &[("around", USER, 200)])), (1, 0, 1));
}

#[test]
fn a_request_without_an_answer_explains_one_event_and_no_more() {
    let gone = ("", "client_gone");
    assert_eq!(classes(&compare(&[gone], &[("x", USER, 200)])), (1, 1, 0));
    assert_eq!(classes(&compare(&[gone], &[])), (1, 1, 0));
    assert_eq!(
        classes(&compare(&[gone], &[("x", USER, 200), ("y", USER, 200)])),
        (1, 1, 1)
    );
}

#[test]
fn answers_before_the_audit_stage_have_no_event() {
    for code in ["400", "429", "431", "500", "504"] {
        assert_eq!(classes(&compare(&[(code, "")], &[])), (1, 1, 0), "{code}");
    }
    let late = compare(&[("504", "")], &[("id-1", USER, 200)]);
    assert_eq!(
        classes(&late),
        (1, 1, 0),
        "the handler ends after the time-out's answer"
    );
    for code in ["201", "403", "404", "409", "422"] {
        assert_eq!(classes(&compare(&[(code, "")], &[])), (1, 0, 1), "{code}");
    }
}

#[test]
fn what_was_under_way_at_the_close_is_explained_as_often_as_it_was() {
    let log = [("x", USER, 200), ("y", USER, 200)];
    assert_eq!(classes(&compare_with(&[], &log, 2)), (1, 1, 1));
    assert_eq!(classes(&compare_with(&[], &log, 3)), (1, 2, 0));
}

#[test]
fn a_row_counts_what_the_journal_has_and_each_request_once() {
    let log = [entry("id-0", USER, 200), entry("id-1", USER, 429)];
    let differences = |change: &dyn Fn(&mut ProxyRun)| {
        let mut run = run(&[("429", "")], 2);
        change(&mut run.proxies[0]);
        verify(&run, &log).unexplained_count
    };
    assert_eq!(differences(&|_| {}), 0);
    assert_eq!(differences(&|proxy| proxy.difference[1].answered += 1), 1);
    assert_eq!(differences(&|proxy| proxy.difference[0].answered -= 1), 1);
    let doubled = |proxy: &mut ProxyRun| {
        proxy.difference[1].answered += 1;
        let line = proxy.closed.journal[1].clone();
        proxy.closed.journal.push(line);
    };
    assert_eq!(differences(&doubled), 1, "not an answer without an event");
    assert!(differences(&|proxy| proxy.closed.journal[0].row = 99) > 0);
}

#[test]
fn a_booking_that_was_never_made_is_not_under_way() {
    let mut run = run(&[("200", "")], 2);
    let proxy = &mut run.proxies[0];
    proxy.closed.journal.pop();
    proxy.difference.pop();
    // The request was opened and closed; only its answer is in no row.
    proxy.closed.snapshot.rows.pop();
    let log = [entry("id-0", USER, 200), entry("id-1", USER, 200)];
    assert_eq!(classes(&verify(&run, &log)), (1, 0, 1));
}

#[test]
fn a_proxy_that_answered_nothing_needs_no_journal() {
    let mut run = run(&[], 1);
    let mut idle = run.proxies[0].clone();
    idle.difference.clear();
    idle.closed.journal.clear();
    run.proxies.push(idle);
    assert!(verify(&run, &[entry("id-0", USER, 200)]).by_request);
}

#[test]
fn users_that_never_came_through_are_listed_apart() {
    let found = compare(&[], &[("x", "system:apiserver", 200)]);
    assert_eq!(classes(&found), (1, 0, 0));
    assert_eq!(found.not_through_the_proxy["system:apiserver"], 1);
}

#[test]
fn an_audit_id_that_a_client_gave_twice_is_two_requests() {
    let mut run = run(&[("200", ""), ("409", "")], 3);
    run.proxies[0].closed.journal[2].audit_id = "id-1".to_owned();
    let log = [
        entry("id-0", USER, 200),
        entry("id-1", USER, 409),
        entry("id-1", USER, 200),
    ];
    assert_eq!(classes(&verify(&run, &log)), (3, 0, 0));
    assert_eq!(classes(&verify(&run, &log[..2])), (2, 0, 1), "booked twice");
}

#[test]
fn requests_that_differ_in_one_way_are_one_line_with_some_of_their_ids() {
    let bookings = [("200", ""); 5];
    let found = compare(&bookings, &[("id-5", "someone", 200)]);
    let kinds: Vec<_> = found
        .unexplained
        .iter()
        .map(|one| (one.count, one.audit_ids.join(" "), one.first == one.last))
        .collect();
    assert_eq!(
        kinds,
        [
            (4, "id-1 id-2 id-3".to_owned(), true),
            (1, "id-5".to_owned(), true)
        ]
    );
    assert_eq!(found.unexplained_count, 5);
}

/// Without audit IDs, the API server and the proxy may disagree on which side of the opening or the
/// closing an answer is.
#[test]
fn a_count_may_differ_by_what_was_answered_at_an_edge() {
    let mut run = run(&[("200", ""), ("200", "")], 3);
    run.proxies[0].closed.journal.clear();
    let compare = |staged: [i64; 4]| {
        let entries = staged.map(|second| AuditEntry {
            staged: at(second),
            ..entry("", USER, 200)
        });
        let found = verify(&run, &entries);
        assert!(!found.by_request);
        classes(&found)
    };
    assert_eq!(compare([110, 150, 190, 250]), (3, 0, 0));
    assert_eq!(compare([110, 150, 200, 250]), (3, 0, 0));
    assert_eq!(compare([100, 110, 150, 190]), (3, 1, 0));
    assert_eq!(compare([110, 150, 160, 190]), (3, 0, 1));
}
