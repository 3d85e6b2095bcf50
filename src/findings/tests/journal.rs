//! From the record of a run to its requests.

use std::collections::BTreeMap;

use jiff::Timestamp;
use record::{
    CallRecord, ClientRecord, ClusterRecord, Durations, JournalRecord, ObjectSeen, Outcome,
    ProxyInfo, ProxyRun, RUN_SCHEMA, RowRecord, RunDetailRecord, RunRecord, Snapshot,
};

use crate::{Answer, Known, requests};

fn row(id: u32, verb: &str, outcome: Outcome, open: u64) -> RowRecord {
    RowRecord {
        id,
        component: "virt-api".to_owned(),
        user: "user".to_owned(),
        call: CallRecord {
            verb: verb.to_owned(),
            resource: "pods".to_owned(),
            ..CallRecord::default()
        },
        outcome,
        answered: 10 + open,
        closed: 10,
        cut_short: 0,
        request_bytes: 0,
        response_bytes: 0,
        to_head: Durations::default(),
        to_end: Durations::default(),
    }
}

fn snapshot(rows: Vec<RowRecord>) -> Snapshot {
    Snapshot {
        schema: String::new(),
        proxy: ProxyInfo {
            instance: String::new(),
            started: Timestamp::UNIX_EPOCH,
            version: String::new(),
            component: None,
            upstream: String::new(),
        },
        taken: Timestamp::UNIX_EPOCH,
        overflowed: 0,
        rows,
        watches: Vec::new(),
        calls: Vec::new(),
    }
}

fn proxy(before: Vec<RowRecord>, rows: Vec<RowRecord>, journal: Vec<JournalRecord>) -> ProxyRun {
    ProxyRun {
        admin: String::new(),
        pod: None,
        baseline: None,
        opened: snapshot(before),
        closed: RunDetailRecord {
            snapshot: snapshot(rows.clone()),
            objects: Vec::new(),
            objects_lost: 0,
            journal,
            journal_lost: 0,
            journal_lost_others: 0,
            clients: vec![ClientRecord {
                user_agent: "agent".to_owned(),
                impersonated: String::new(),
            }],
        },
        difference: rows,
        deletion: None,
    }
}

fn run(proxies: Vec<ProxyRun>) -> RunRecord {
    RunRecord {
        schema: RUN_SCHEMA.to_owned(),
        id: String::new(),
        scenario: String::new(),
        simulated: false,
        kubetoll_version: String::new(),
        started: Timestamp::UNIX_EPOCH,
        finished: Timestamp::UNIX_EPOCH,
        cluster: ClusterRecord::default(),
        configuration: BTreeMap::new(),
        proxies,
        objects: Vec::new(),
        driver: Vec::new(),
        checks: Vec::new(),
        crosscheck: None,
        api_server: None,
        command: None,
        failure: None,
    }
}

#[test]
fn each_line_is_joined_with_its_row() {
    let create = row(7, "create", Outcome::Code(201), 0);
    let line = JournalRecord {
        row: 7,
        at: 5_000,
        head_us: 1_000,
        end_us: Some(1_500),
        connection: 3,
        namespace: "ns".to_owned(),
        object: Some(Box::new(ObjectSeen {
            name: "made".to_owned(),
            ..ObjectSeen::default()
        })),
        ..JournalRecord::default()
    };
    let lost = JournalRecord {
        row: 8,
        ..line.clone()
    };
    let run = run(vec![proxy(Vec::new(), vec![create], vec![line, lost])]);
    let requests = requests(&run);
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert_eq!((request.component, request.user), ("virt-api", "user"));
    assert_eq!((request.begun, request.answered), (4_000, 5_000));
    assert_eq!(request.ended, Some(5_500));
    // A create's name is that of its object.
    assert_eq!((request.namespace, request.name), ("ns", "made"));
    assert_eq!(request.client.unwrap().user_agent, "agent");
    // It had no options, which is known.
    assert!(request.query.is_some());
}

#[test]
fn what_was_not_read_is_not_known() {
    let line = JournalRecord {
        row: 1,
        end_us: Some(1),
        connection: 1,
        ..JournalRecord::default()
    };
    let cases = [
        (line.clone(), Known::ALL),
        (
            JournalRecord {
                unread: "never".to_owned(),
                ..line.clone()
            },
            Known {
                bytes: true,
                ..Known::default()
            },
        ),
        (
            JournalRecord {
                unread: "malformed".to_owned(),
                object: Some(Box::default()),
                ..line.clone()
            },
            Known {
                sent: false,
                ..Known::ALL
            },
        ),
        (
            JournalRecord {
                connection: 0,
                ..line
            },
            Known::default(),
        ),
    ];
    for (line, known) in cases {
        let row = row(1, "patch", Outcome::Code(200), 0);
        let run = run(vec![proxy(Vec::new(), vec![row], vec![line])]);
        assert_eq!(requests(&run)[0].known, known);
    }
}

#[test]
fn rows_of_several_proxies_are_their_own_and_requests_are_in_order() {
    let line = |row, at| JournalRecord {
        row,
        at,
        ..JournalRecord::default()
    };
    let code = row(1, "get", Outcome::Code(200), 0);
    let none = row(1, "get", Outcome::NoAnswer("connect".to_owned()), 0);
    let other = row(
        2,
        "get",
        Outcome::Other {
            code: "<error>".to_owned(),
            reason: String::new(),
        },
        0,
    );
    let run = run(vec![
        proxy(Vec::new(), vec![code], vec![line(1, 20), line(1, 5)]),
        proxy(
            Vec::new(),
            vec![none, other],
            vec![line(1, 10), line(2, 15)],
        ),
    ]);
    let requests = requests(&run);
    let told: Vec<_> = requests
        .iter()
        .map(|one| (one.answered, one.instance, one.answer))
        .collect();
    let expected = [
        (5, 0, Answer::Code(200)),
        (10, 1, Answer::None("connect")),
        (15, 1, Answer::None("<error>")),
        (20, 0, Answer::Code(200)),
    ];
    assert_eq!(told, expected);
    // A line of an older proxy does not say that there were no options, nor which client it was.
    assert!(requests.iter().all(|one| one.query.is_none()));
    assert!(requests.iter().all(|one| one.client.is_none()));
}

#[test]
fn a_watch_that_was_open_before_the_run_is_known_and_not_counted() {
    let before = vec![
        row(1, "watch", Outcome::Code(200), 2),
        row(2, "watch", Outcome::Code(200), 0),
        row(3, "get", Outcome::Code(200), 1),
    ];
    let run = run(vec![proxy(before, Vec::new(), Vec::new())]);
    let requests = requests(&run);
    assert_eq!(requests.len(), 1);
    assert!(requests[0].is_before && requests[0].query.is_none());
    assert_eq!(crate::findings(&requests, None), []);
}
