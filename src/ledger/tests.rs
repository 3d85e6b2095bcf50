//! The books' promises: once each, consistent under load, bounded.

use std::{sync::Arc, thread, time::Duration};

use super::*;
use classify::{CallName, OTHER};
use recorder::Line;

fn name<'a>(verb: &'a str, resource: &'a str) -> CallName<'a> {
    CallName::from_parts([verb, "", "v1", resource, "", "", "GET", resource])
}

/// Answers a request for `resource`, made by an authenticated client.
fn answer(entry: &mut Entry, party: &Arc<Party>, outcome: Outcome, resource: &str) {
    answer_as(
        entry,
        party,
        outcome,
        &name("get", resource),
        Standing::Authenticated,
    );
}

fn answer_as(
    entry: &mut Entry,
    party: &Arc<Party>,
    outcome: Outcome,
    name: &CallName<'_>,
    standing: Standing,
) {
    entry.answer(Answer {
        outcome,
        party,
        standing,
        name: &|with| with(name),
        elapsed: Duration::from_millis(7),
        object: &|| ObjectRef {
            namespace: "ns".into(),
            name: "x".into(),
        },
        line: &|row| Line {
            row,
            at_micros: 1,
            audit_id: "a-b-c".into(),
            ..Line::default()
        },
    });
}

/// A request from its opening to its answer; it closes when it is dropped.
fn book(books: &Arc<Books>, party: &Arc<Party>, name: &CallName<'_>, standing: Standing) {
    let mut entry = books.open(name, standing == Standing::Authenticated);
    answer_as(&mut entry, party, Outcome::Code(200), name, standing);
}

#[test]
fn an_entry_has_three_moments() {
    let books = Arc::new(Books::new());
    let party = books.party("virt-api", "");
    let mut entry = books.open(&name("get", "pods"), true);
    assert_eq!(books.snapshot().calls[0].in_flight(), 1);
    entry.add_request_bytes(5);
    answer(&mut entry, &party, Outcome::Code(200), "pods");
    answer(&mut entry, &party, Outcome::Code(500), "pods");
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
    drop(books.open(&name("get", "pods"), true));
    let snapshot = books.snapshot();
    assert_eq!(
        snapshot.rows[0].outcome,
        Outcome::NoAnswer(Reason::Internal)
    );
    assert_eq!(snapshot.rows[0].closed, 1);
    assert_eq!(snapshot.calls[0].in_flight(), 0);
}

const JOURNAL: RunOptions = RunOptions {
    journal: true,
    objects: OBJECTS_MAX,
};

#[test]
fn the_detail_of_a_run_is_the_difference_of_its_snapshots() {
    let books = Arc::new(Books::new());
    let party = books.party("virt-api", "");
    let mut before = books.open(&name("get", "pods"), true);
    answer(&mut before, &party, Outcome::Code(200), "pods");
    let mut across = books.open(&name("get", "pods"), true);
    let opened = books.open_run("one", JOURNAL).unwrap();
    assert_eq!(
        books.open_run("two", RunOptions::default()),
        Err(RunError::Busy("one".to_owned()))
    );
    answer(&mut across, &party, Outcome::Code(200), "pods");
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
        let party = books.party("client", "");
        let resource = format!("r{number}");
        book(
            &books,
            &party,
            &name("get", &resource),
            Standing::Authenticated,
        );
    }
    let snapshot = books.snapshot();
    assert!(snapshot.rows.len() <= ROWS_MAX + 1);
    let answered: u64 = snapshot.rows.iter().map(|row| row.answered).sum();
    assert_eq!(answered, total as u64);
    assert_eq!(snapshot.overflowed, 50);
    assert!(snapshot.calls.iter().all(|call| call.in_flight() == 0));
}

#[test]
fn a_client_that_finds_the_parties_full_is_said_to_be_lost() {
    let books = Arc::new(Books::new());
    for number in 0..PARTIES_MAX + 7 {
        let party = books.party(&format!("client-{number}"), "");
        book(
            &books,
            &party,
            &name("get", "pods"),
            Standing::Authenticated,
        );
    }
    assert_eq!(books.parties.len(), PARTIES_MAX);
    assert_eq!(books.snapshot().overflowed, 7);
}

/// What unauthenticated clients ask for fills neither the rows nor the objects of anybody else, is
/// counted all the same, and makes no run invalid.
#[test]
fn who_is_not_authenticated_fills_no_table() {
    let books = Arc::new(Books::new());
    books.open_run("run", RunOptions::default()).unwrap();
    let total = 5 * FOLDED_ROWS_MAX;
    let nobody = Arc::clone(books.unauthenticated());
    for number in 0..total {
        let (verb, resource) = (format!("v{number}"), format!("r{number}"));
        book(
            &books,
            &nobody,
            &name(&verb, &resource),
            Standing::Unauthenticated,
        );
        let outcome = Outcome::Code(u16::try_from(number).unwrap());
        let pods = name("get", "pods");
        answer_as(
            &mut books.open(&pods, false),
            &nobody,
            outcome,
            &pods,
            Standing::Unauthenticated,
        );
    }
    let controller = books.party("virt-controller", "");
    book(
        &books,
        &controller,
        &name("get", "widgets"),
        Standing::Authenticated,
    );
    let (snapshot, detail) = books.close_run("run").unwrap();
    let (others, own): (Vec<_>, Vec<_>) = snapshot
        .rows
        .iter()
        .partition(|row| row.component == UNAUTHENTICATED);
    assert_eq!(own.len(), 1);
    assert_eq!(own[0].call[3], "widgets");
    let counted: u64 = others.iter().map(|row| row.answered).sum();
    assert_eq!(counted, 2 * total as u64);
    assert_eq!((snapshot.overflowed, detail.objects_lost), (0, 0));
    let named = detail
        .objects
        .iter()
        .filter(|one| !one.object.name.is_empty());
    assert_eq!(named.count(), 1);
    assert!(snapshot.calls.iter().all(|call| call.in_flight() == 0));
}

/// A call has its own name once an authenticated client has made it; the component's refused
/// requests then have it too, those that nobody answers for never.
#[test]
fn a_call_has_its_own_name_once_it_was_made_with_a_credential() {
    let books = Arc::new(Books::new());
    let virt_api = books.party("virt-api", "");
    let call = name("get", "widgets");
    book(&books, &virt_api, &call, Standing::Configured);
    book(&books, &virt_api, &call, Standing::Authenticated);
    book(&books, &virt_api, &call, Standing::Configured);
    let nobody = Arc::clone(books.unproven());
    book(&books, &nobody, &call, Standing::Unauthenticated);
    let resources: Vec<_> = books
        .snapshot()
        .rows
        .iter()
        .map(|row| (row.component.clone(), row.call[3].clone(), row.answered))
        .collect();
    let expected = [
        ("virt-api", OTHER, 1),
        ("virt-api", "widgets", 2),
        (UNPROVEN, OTHER, 1),
    ]
    .map(|(component, resource, count)| (component.to_owned(), resource.to_owned(), count));
    assert_eq!(resources, expected);
}

#[test]
fn the_journal_is_bounded_for_each_kind_of_client() {
    let books = Arc::new(Books::new());
    books.open_run("run", JOURNAL).unwrap();
    let nobody = Arc::clone(books.unauthenticated());
    for _ in 0..100_001 {
        book(
            &books,
            &nobody,
            &name("get", "pods"),
            Standing::Unauthenticated,
        );
    }
    let party = books.party("virt-api", "");
    book(
        &books,
        &party,
        &name("get", "pods"),
        Standing::Authenticated,
    );
    let (_, detail) = books.close_run("run").unwrap();
    assert_eq!((detail.journal_lost, detail.journal_lost_others), (0, 1));
    assert_eq!(detail.journal.len(), 100_001);
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
        let name = CallName::from_parts(parts);
        book(&books, &party, &name, Standing::Authenticated);
    }
    assert_eq!(books.snapshot().rows.len(), 3);
}

/// Each thread books pods, then nodes, in turn: in every instant there are as many pods as nodes,
/// or one more per thread.
#[test]
fn a_snapshot_is_one_instant() {
    const THREADS: u64 = 4;
    let books = Arc::new(Books::new());
    let party = books.party("c", "");
    let book = |resource: &str| {
        book(
            &books,
            &party,
            &name("get", resource),
            Standing::Authenticated,
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

#[test]
fn a_run_has_the_room_that_it_asks_for() {
    let books = Arc::new(Books::new());
    let party = books.party("virt-api", "");
    for (objects, lost) in [(1, 1), (2, 0)] {
        let options = RunOptions {
            objects,
            ..RunOptions::default()
        };
        books.open_run("run", options).unwrap();
        for resource in ["pods", "nodes"] {
            book(
                &books,
                &party,
                &name("get", resource),
                Standing::Authenticated,
            );
        }
        let (_, detail) = books.close_run("run").unwrap();
        assert_eq!((detail.objects.len(), detail.objects_lost), (objects, lost));
    }
}

/// An answered request whose line is still open, and that line.
fn begun(books: &Arc<Books>, party: &Arc<Party>) -> (Entry, Arc<Line>) {
    let mut entry = books.open(&name("get", "pods"), true);
    let line = entry.answer(Answer {
        outcome: Outcome::Code(200),
        party,
        standing: Standing::Authenticated,
        name: &|with| with(&name("get", "pods")),
        elapsed: Duration::ZERO,
        object: &ObjectRef::default,
        line: &|row| Line {
            row,
            ..Line::default()
        },
    });
    (entry, line.unwrap())
}

fn end(line: &Line) {
    line.end.set(recorder::End::default()).unwrap();
}

/// What a reader has: by the place of a line whether it has ended.
fn take(page: &JournalPage, has: &mut std::collections::BTreeMap<usize, bool>) {
    let lines = page.lines.iter();
    has.extend(lines.map(|(place, line)| (*place, line.end.get().is_some())));
}

#[test]
fn a_page_has_what_is_new_and_what_has_ended_since() {
    let books = Arc::new(Books::new());
    let party = books.party("virt-api", "");
    books.open_run("run", JOURNAL).unwrap();
    let (_entry, watch) = begun(&books, &party);
    let (_entry, quick) = begun(&books, &party);
    end(&quick);
    let first = books.journal_page("run", Position::default()).unwrap();
    let mut has = std::collections::BTreeMap::new();
    take(&first, &mut has);
    assert_eq!(has, [(0, false), (1, true)].into());
    assert_eq!((first.length, first.has_more), (2, false));
    let snapshot = first.snapshot.unwrap();
    assert_eq!(snapshot.rows[0].answered, 2);

    let idle = books.journal_page("run", first.next).unwrap();
    assert!(idle.snapshot.is_none() && idle.lines.is_empty() && idle.next == first.next);
    end(&watch);
    let (_entry, _open) = begun(&books, &party);
    let second = books.journal_page("run", first.next).unwrap();
    take(&second, &mut has);
    assert_eq!(has, [(0, true), (1, true), (2, false)].into());
    assert_eq!(second.snapshot.unwrap().rows[0].answered, 3);
    // A page that was lost on its way comes again.
    let again = books.journal_page("run", first.next).unwrap();
    assert_eq!((again.lines.len(), again.next), (2, second.next));
    // And the end has all of them all the same.
    assert_eq!(books.close_run("run").unwrap().1.journal.len(), 3);
    assert!(books.journal_page("run", second.next).is_err());
}

#[test]
fn pages_are_bounded_and_together_they_are_the_journal() {
    let books = Arc::new(Books::new());
    let party = books.party("virt-api", "");
    books.open_run("run", JOURNAL).unwrap();
    let count = 2 * PAGE_MAX + 500;
    let open: Vec<_> = (0..count).map(|_| begun(&books, &party)).collect();
    let (mut from, mut has) = (Position::default(), std::collections::BTreeMap::new());
    for round in 0.. {
        let page = books.journal_page("run", from).unwrap();
        assert!(page.lines.len() <= 2 * PAGE_MAX && round < 10);
        take(&page, &mut has);
        from = page.next;
        if round == 0 {
            assert!(page.has_more);
            open.iter().for_each(|(_, line)| end(line));
        }
        if !page.has_more {
            break;
        }
    }
    assert_eq!(has.len(), count);
    assert!(has.values().all(|has_ended| *has_ended));
    let other = books.journal_page("other", from);
    assert_eq!(other.unwrap_err(), RunError::Unknown("other".to_owned()));
}

/// Whenever it is asked for, a page's books count the lines up to its end and no other.
#[test]
fn the_books_of_a_page_count_its_lines() {
    let books = Arc::new(Books::new());
    let party = books.party("virt-api", "");
    books.open_run("run", JOURNAL).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..3_000).for_each(|_| drop(begun(&books, &party))));
        }
        let mut from = Position::default();
        while from.lines < 12_000 {
            let page = books.journal_page("run", from).unwrap();
            if let Some(snapshot) = page.snapshot {
                let counted: u64 = snapshot.rows.iter().map(|row| row.answered).sum();
                assert_eq!(counted, page.length as u64);
            }
            from = page.next;
        }
    });
}
