//! The books' promises: once each, consistent under load, bounded.

use std::{sync::Arc, thread, time::Duration};

use super::*;

fn name<'a>(verb: &'a str, resource: &'a str) -> CallName<'a> {
    CallName::from_parts([verb, "", "v1", resource, "", "", "GET", resource])
}

fn answer(entry: &mut Entry, party: &Arc<Party>, outcome: Outcome) {
    entry.answer(Answer {
        outcome,
        party,
        elapsed: Duration::from_millis(7),
        at_micros: 1,
        audit_id: Some("a-b-c"),
        object: &|| ObjectRef {
            namespace: "ns".into(),
            name: "x".into(),
        },
    });
}

#[test]
fn an_entry_has_three_moments() {
    let books = Arc::new(Books::new());
    let party = books.party("virt-api", "");
    let mut entry = books.open(&name("get", "pods"));
    assert_eq!(books.snapshot().calls[0].in_flight(), 1);
    entry.add_request_bytes(5);
    answer(&mut entry, &party, Outcome::Code(200));
    answer(&mut entry, &party, Outcome::Code(500));
    entry.add_response_bytes(11);
    let open = books.snapshot();
    assert_eq!(open.rows.len(), 1);
    assert_eq!((open.rows[0].answered, open.rows[0].closed), (1, 0));
    entry.close(Ending::Complete, Duration::from_secs(60));
    entry.close(Ending::Failed, Duration::from_secs(60));
    drop(entry);
    let row = &books.snapshot().rows[0];
    assert_eq!((row.answered, row.closed, row.cut_short), (1, 1, 0));
    assert_eq!((row.request_bytes, row.response_bytes), (5, 11));
    assert_eq!(row.to_head.buckets[1], 1);
    assert_eq!(row.to_end.buckets[BUCKETS_SECONDS.len()], 1);
    assert_eq!(books.snapshot().calls[0].in_flight(), 0);
}

#[test]
fn an_entry_that_is_lost_is_still_in_the_books() {
    let books = Arc::new(Books::new());
    drop(books.open(&name("get", "pods")));
    let snapshot = books.snapshot();
    assert_eq!(
        snapshot.rows[0].outcome,
        Outcome::NoAnswer(Reason::Internal)
    );
    assert_eq!(snapshot.rows[0].closed, 1);
    assert_eq!(snapshot.calls[0].in_flight(), 0);
}

#[test]
fn the_detail_of_a_run_is_the_difference_of_its_snapshots() {
    let books = Arc::new(Books::new());
    let party = books.party("virt-api", "");
    let mut before = books.open(&name("get", "pods"));
    answer(&mut before, &party, Outcome::Code(200));
    let mut across = books.open(&name("get", "pods"));
    let opened = books.open_run("one", RunOptions { journal: true }).unwrap();
    assert_eq!(
        books.open_run("two", RunOptions::default()),
        Err(RunError::Busy("one".to_owned()))
    );
    answer(&mut across, &party, Outcome::Code(200));
    assert_eq!(
        books.close_run("two").unwrap_err(),
        RunError::Unknown("two".to_owned())
    );
    let (closed, detail) = books.close_run("one").unwrap();
    assert_eq!(closed.rows[0].answered - opened.rows[0].answered, 1);
    assert_eq!(detail.objects[0].count, 1);
    assert_eq!(&*detail.objects[0].object.name, "x");
    assert_eq!(&*detail.journal[0].audit_id, "a-b-c");
    assert_eq!(books.run_id(), None);
}

#[test]
fn parties_and_calls_are_capped_and_nothing_is_lost() {
    let books = Arc::new(Books::new());
    let total = ROWS_MAX + 50;
    for number in 0..total {
        let party = books.party(&format!("client-{number}"), "");
        let mut entry = books.open(&name("get", &format!("r{number}")));
        answer(&mut entry, &party, Outcome::Code(200));
    }
    let snapshot = books.snapshot();
    assert_eq!(books.parties.len(), PARTIES_MAX);
    assert!(snapshot.rows.len() <= ROWS_MAX + 1);
    let answered: u64 = snapshot.rows.iter().map(|row| row.answered).sum();
    assert_eq!(answered, total as u64);
    assert_eq!(snapshot.overflowed, 50);
}

#[test]
fn names_with_shifted_parts_are_different_calls() {
    let books = Arc::new(Books::new());
    let party = books.party("c", "");
    for parts in [
        ["get", "", "v1", "pods", "status", "", "GET", "pods"],
        ["get", "", "v1", "podsstatus", "", "", "GET", "pods"],
        ["get", "v1", "", "pods", "status", "", "GET", "pods"],
    ] {
        answer(
            &mut books.open(&CallName::from_parts(parts)),
            &party,
            Outcome::Code(200),
        );
    }
    assert_eq!(books.snapshot().rows.len(), 3);
}

/// Each thread books pods, then nodes, in turn: in every instant there are as many pods as nodes,
/// or one more per thread.
#[test]
fn a_snapshot_is_one_instant() {
    const THREADS: u64 = 4;
    let books = Arc::new(Books::new());
    let book = |resource: &str| {
        let party = books.party("c", "");
        answer(
            &mut books.open(&name("get", resource)),
            &party,
            Outcome::Code(200),
        );
    };
    book("pods");
    book("nodes");
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    book("pods");
                    book("nodes");
                }
            });
        }
        for _ in 0..500 {
            let snapshot = books.snapshot();
            let pods = snapshot.rows[0].answered;
            let nodes = snapshot.rows[1].answered;
            assert!(pods >= nodes && pods - nodes <= THREADS, "{pods} {nodes}");
            for call in snapshot.calls {
                assert!(call.opened >= call.closed);
            }
        }
    });
    assert_eq!(books.snapshot().rows[1].answered, THREADS * 5_000 + 1);
}
