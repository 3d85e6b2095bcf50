//! The history, in SQLite and in a real PostgreSQL: what it keeps, refuses and survives.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use jiff::Timestamp;
use record::{Acknowledgement, HistoryRun, Origin, RunRecord, Tally, label};
use store::{Appended, Filter, Location, Store, StoreError};

use crate::support::{lines::assert_line, postgres::Database};

/// Calls `test` with a new history of each kind.
fn on_both(test: impl Fn(&Location)) {
    let dir = tempfile::tempdir().unwrap();
    test(&Location::Sqlite(dir.path().join("new/history.db")));
    if let Some(database) = Database::new() {
        test(&Location::Postgres(database.url()));
    }
}

fn run(id: &str, at: &str) -> HistoryRun {
    let labels = [(label::JOB, "nightly"), (label::SCENARIO, "vmi")];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
    HistoryRun {
        id: id.to_owned(),
        at: at.parse().unwrap(),
        origin: Origin::Counted,
        valid: true,
        failure: None,
        labels: labels.into(),
        objects: Some(100),
        values: BTreeMap::from([
            ("CREATE-pods-count".to_owned(), 100.0),
            ("vmiCreationToRunningSecondsP50".to_owned(), 0.1 + 0.2),
        ]),
        components: BTreeMap::from([(
            "virt-controller".to_owned(),
            BTreeMap::from([("PATCH-pods/status-count".to_owned(), 101.0)]),
        )]),
        cost: None,
        record: None,
    }
}

fn with(mut run: HistoryRun, labels: &[(&str, &str)]) -> HistoryRun {
    let labels = labels.iter().map(|(name, value)| (*name, *value));
    run.labels
        .extend(labels.map(|(name, value)| (name.to_owned(), value.to_owned())));
    run
}

fn record(id: &str) -> RunRecord {
    RunRecord {
        schema: record::RUN_SCHEMA.to_owned(),
        id: id.to_owned(),
        scenario: "vmi".to_owned(),
        simulated: false,
        kubetoll_version: "0.1.0".to_owned(),
        started: Timestamp::UNIX_EPOCH,
        finished: Timestamp::UNIX_EPOCH,
        cluster: record::ClusterRecord::default(),
        configuration: BTreeMap::new(),
        proxies: Vec::new(),
        objects: Vec::new(),
        driver: Vec::new(),
        checks: Vec::new(),
        crosscheck: None,
        api_server: None,
        command: None,
        failure: None,
    }
}

fn ids(runs: &[HistoryRun]) -> Vec<&str> {
    runs.iter().map(|run| run.id.as_str()).collect()
}

#[test]
fn a_run_comes_back_as_it_was_and_its_record_when_asked() {
    on_both(|location| {
        let mut store = Store::open(location).unwrap();
        let mut given = run("b", "2024-10-21T08:00:00.123456789Z");
        given.record = Some(Box::new(record("b")));
        assert_eq!(store.append(&given).unwrap(), Appended::New);
        assert_eq!(store.run("b").unwrap().as_ref(), Some(&given));
        let all = store.runs(&Filter::default()).unwrap();
        assert_eq!(all, [given.without_record()]);
        let all = store.runs_with_records(&Filter::default()).unwrap();
        assert_eq!(all, [given]);
        assert_eq!(store.run("c").unwrap(), None);
    });
}

#[test]
fn a_run_never_changes() {
    on_both(|location| {
        let mut store = Store::open(location).unwrap();
        let first = run("a", "2024-10-21T08:00:00Z");
        assert_eq!(store.append(&first).unwrap(), Appended::New);
        assert_eq!(store.append(&first).unwrap(), Appended::Known);
        let mut other = first.clone();
        other.values.insert("CREATE-pods-count".to_owned(), 101.0);
        let refused = store.append(&other).unwrap_err();
        assert!(matches!(refused, StoreError::Conflict(id) if id == "a"));
        let later = run("b", "2024-10-22T08:00:00Z");
        let tally = store.append_all([other, later.clone(), later]).unwrap();
        let expected = Tally {
            new: 1,
            known: 1,
            removed: 0,
            conflicts: vec!["a".to_owned()],
            refused: Vec::new(),
            other_labels: Vec::new(),
        };
        assert_eq!(tally, expected);
        let labelled = with(first.clone(), &[(label::COMMIT, "d923fdb8")]);
        let tally = store.append_all([labelled]).unwrap();
        assert_eq!((tally.known, tally.other_labels), (1, vec!["a".to_owned()]));
        let other_scenario = with(first.clone(), &[(label::SCENARIO, "vm")]);
        let tally = store.append_all([other_scenario]).unwrap();
        assert_eq!(tally.conflicts, ["a"], "what was run is content");
        assert_eq!(store.run("a").unwrap(), Some(first));
    });
}

#[test]
fn what_could_not_be_read_or_shown_again_is_refused_and_the_rest_goes_in() {
    on_both(|location| {
        let at = "2024-10-21T08:00:00Z";
        let mut nan = run("nan", at);
        nan.values.insert("CREATE-pods-count".to_owned(), f64::NAN);
        let mut bell = run("bell", at);
        bell.values.insert("a\u{7}".to_owned(), 1.0);
        let label = with(run("label", at), &[("a b", "c")]);
        let runs = [
            run("", at),
            nan,
            run("esc\u{1b}[2J", at),
            bell,
            label,
            run("good", at),
        ];
        let mut store = Store::open(location).unwrap();
        let tally = store.append_all(runs).unwrap();
        assert_eq!((tally.new, tally.refused.len()), (1, 5), "{tally:?}");
        assert_eq!(
            tally.refused[1],
            "run \"nan\" can't be stored: \"CREATE-pods-count\" is NaN, which is no number"
        );
        assert_eq!(ids(&store.runs(&Filter::default()).unwrap()), ["good"]);
    });
}

#[test]
fn runs_are_ordered_and_filtered() {
    on_both(|location| {
        let mut store = Store::open(location).unwrap();
        let estimate = HistoryRun {
            origin: Origin::Estimate,
            ..with(
                run("e", "2024-01-02T00:00:00Z"),
                &[(label::JOB, "ci"), ("kubevirt", "v1.8.0")],
            )
        };
        let invalid = HistoryRun {
            valid: false,
            ..with(run("i", "2024-01-03T00:00:00Z"), &[(label::SCENARIO, "vm")])
        };
        let same_time = [
            run("b", "2024-01-01T00:00:00Z"),
            run("B", "2024-01-01T00:00:00Z"),
        ];
        store.append_all([estimate, invalid]).unwrap();
        store.append_all(same_time).unwrap();
        let mut taken = |set: fn(&mut Filter)| {
            let mut filter = Filter::default();
            set(&mut filter);
            ids(&store.runs(&filter).unwrap()).join(" ")
        };
        assert_eq!(taken(|_| {}), "B b e i");
        assert_eq!(taken(|of| of.job = text("ci")), "e");
        assert_eq!(taken(|of| of.scenario = text("vmi")), "B b e");
        assert_eq!(taken(|of| of.labels = label("kubevirt", "v1.8.0")), "e");
        assert_eq!(taken(|of| of.labels = label("kubevirt", "")), "B b i");
        assert_eq!(taken(|of| of.labels = label("x", "' OR 1=1 --")), "");
        assert_eq!(taken(|of| of.since = at("2024-01-02T00:00:00Z")), "e i");
        assert_eq!(taken(|of| of.until = at("2024-01-02T00:00:00Z")), "B b");
        assert_eq!(taken(|of| of.origins = vec![Origin::Estimate]), "e");
    });
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn label(name: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(name.to_owned(), value.to_owned())])
}

fn at(text: &str) -> Option<Timestamp> {
    Some(text.parse().unwrap())
}

#[test]
fn a_beginning_of_an_id_will_do_if_it_is_one_runs() {
    on_both(|location| {
        let mut store = Store::open(location).unwrap();
        let names = ["run-1", "run-10", "run-2%", "other"];
        store
            .append_all(names.map(|id| run(id, "2024-01-01T00:00:00Z")))
            .unwrap();
        let mut found = |id: &str| store.run(id).map(|run| run.map(|run| run.id));
        assert_eq!(found("o").unwrap().as_deref(), Some("other"));
        assert_eq!(found("run-1").unwrap().as_deref(), Some("run-1"));
        assert_eq!(found("run-10").unwrap().as_deref(), Some("run-10"));
        assert_eq!(found("run-2%").unwrap().as_deref(), Some("run-2%"));
        assert_eq!(found("%").unwrap(), None);
        let refused = found("run-").unwrap_err().to_string();
        assert_eq!(
            refused,
            "several runs begin or end with run-: run-1, run-10, run-2%"
        );
    });
}

#[test]
fn labels_and_removals_are_entries_of_their_own() {
    on_both(|location| {
        let mut store = Store::open(location).unwrap();
        let given = run("a", "2024-01-01T00:00:00Z");
        store.append(&given).unwrap();
        let label =
            |value: Option<&str>| BTreeMap::from([("job".to_owned(), value.map(str::to_owned))]);
        for (value, expected) in [(Some("x"), "x"), (None, ""), (Some("y \"z\""), "y \"z\"")] {
            assert_eq!(store.label("a", &label(value)).unwrap(), "a");
            let job = Filter {
                job: Some(expected.to_owned()),
                ..Filter::default()
            };
            let runs = store.runs(&job).unwrap();
            assert_eq!(runs[0].label(label::JOB), expected);
        }
        let wrong = BTreeMap::from([("a b".to_owned(), None)]);
        assert!(matches!(
            store.label("a", &wrong),
            Err(StoreError::Label(_))
        ));
        // Importing it again neither brings the label back nor the run, once it is removed.
        assert_eq!(store.append(&given).unwrap(), Appended::Known);
        assert_eq!(store.delete(&["a".to_owned()]).unwrap(), ["a"]);
        assert_eq!(store.append(&given).unwrap(), Appended::Removed);
        assert_eq!(store.runs(&Filter::default()).unwrap(), []);
        assert!(matches!(
            store.delete(&["a".to_owned()]),
            Err(StoreError::Removed(id)) if id == "a"
        ));
        let checked = store.check().unwrap();
        assert_eq!((checked.runs, checked.removed), (1, 1));
        assert_eq!(checked.damage, [""; 0]);
        store.restore(&["a".to_owned()]).unwrap();
        assert!(matches!(
            store.restore(&["a".to_owned()]),
            Err(StoreError::NotRemoved(id)) if id == "a"
        ));
        assert_eq!(
            store.run("a").unwrap().unwrap().label(label::JOB),
            "y \"z\""
        );
    });
}

#[test]
fn an_acknowledgement_holds_until_it_is_taken_back() {
    on_both(|location| {
        let mut store = Store::open(location).unwrap();
        let ack = |metric: &str| Acknowledgement {
            job: "ci".to_owned(),
            scenario: "vmi".to_owned(),
            metric: metric.to_owned(),
            at: "2024-10-21T08:00:00.5Z".parse().unwrap(),
        };
        for metric in ["PATCH-pods-count", "CREATE-pods-count", "PATCH-pods-count"] {
            store.ack(&ack(metric)).unwrap();
        }
        let both = [ack("CREATE-pods-count"), ack("PATCH-pods-count")];
        assert_eq!(store.acks().unwrap(), both);
        store.unack(&ack("CREATE-pods-count")).unwrap();
        assert_eq!(store.acks().unwrap(), [ack("PATCH-pods-count")]);
    });
}

/// The tables, and a statement of each kind that would change them.
fn changes(schema: &str) -> Vec<String> {
    let tables = ["runs", "labels", "removals", "acknowledgements"];
    let changes = tables.map(|table| {
        let column = match table {
            "runs" => "valid",
            "labels" => "name",
            "removals" => "removed",
            _ => "holds",
        };
        [
            format!("UPDATE {schema}{table} SET {column} = {column}"),
            format!("DELETE FROM {schema}{table}"),
        ]
    });
    changes.into_iter().flatten().collect()
}

/// A history with one entry of each kind.
fn one_of_each(location: &Location) {
    let mut store = Store::open(location).unwrap();
    store.append(&run("a", "2024-01-01T00:00:00Z")).unwrap();
    store.delete(&["a".to_owned()]).unwrap();
    let ack = Acknowledgement {
        job: String::new(),
        scenario: String::new(),
        metric: String::new(),
        at: Timestamp::UNIX_EPOCH,
    };
    store.ack(&ack).unwrap();
}

#[test]
fn sqlite_itself_refuses_changes_and_a_damaged_run_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let location = Location::Sqlite(path.clone());
    one_of_each(&location);
    let raw = rusqlite::Connection::open(&path).unwrap();
    for change in changes("") {
        let refused = raw.execute_batch(&change).unwrap_err().to_string();
        assert_eq!(refused, "the history is append-only", "{change}");
    }
    raw.execute_batch(
        "DROP TRIGGER runs_update; UPDATE runs SET document = replace(document, '100', '101')",
    )
    .unwrap();
    let checked = Store::open(&location).unwrap().check().unwrap();
    let damage = "run a: it is not what was appended: the hash differs";
    assert_eq!(checked.damage, [damage]);
}

#[test]
fn postgresql_itself_refuses_changes() {
    let Some(database) = Database::new() else {
        return;
    };
    one_of_each(&Location::Postgres(database.url()));
    let truncate = "TRUNCATE kubetoll.runs, kubetoll.labels, kubetoll.removals".to_owned();
    for change in changes("kubetoll.").into_iter().chain([truncate]) {
        let said = database.psql(&change);
        assert_line(&said, "ERROR:  the history is append-only");
    }
}

#[test]
fn what_a_newer_kubetoll_or_another_program_wrote_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let location = Location::Sqlite(path.clone());
    one_of_each(&location);
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    let refused = |location: &Location| Store::open(location).err().unwrap();
    assert!(matches!(
        refused(&location),
        StoreError::Newer {
            found: 99,
            known: 2,
            ..
        }
    ));
    let other = dir.path().join("other.db");
    let raw = rusqlite::Connection::open(&other).unwrap();
    raw.execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
    let text = dir.path().join("notes.txt");
    std::fs::write(
        &text,
        "not a database, but a text that is long enough to be one",
    )
    .unwrap();
    for foreign in [other, text] {
        let before = std::fs::read(&foreign).unwrap();
        let error = refused(&Location::Sqlite(foreign.clone()));
        assert!(matches!(error, StoreError::NotAHistory(_)), "{error}");
        assert_eq!(std::fs::read(&foreign).unwrap(), before);
    }
    if let Some(database) = Database::new() {
        let location = Location::Postgres(database.url());
        one_of_each(&location);
        database.psql("INSERT INTO kubetoll.schema_steps VALUES (99)");
        let error = refused(&location);
        assert!(matches!(
            error,
            StoreError::Newer {
                found: 99,
                known: 2,
                ..
            }
        ));
        assert!(!error.to_string().contains("heim"), "{error}");
    }
}

#[test]
fn a_history_of_an_older_kubetoll_is_brought_up_to_date_with_its_runs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let mut histories = vec![Location::Sqlite(path.clone())];
    one_of_each(&histories[0]);
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch("DROP TABLE acknowledgements; PRAGMA user_version = 1")
        .unwrap();
    let database = Database::new();
    if let Some(database) = &database {
        let location = Location::Postgres(database.url());
        one_of_each(&location);
        database.psql(
            "DROP TABLE kubetoll.acknowledgements; DELETE FROM kubetoll.schema_steps WHERE version = 2",
        );
        histories.push(location);
    }
    for location in histories {
        let mut store = Store::open(&location).unwrap();
        assert_eq!(store.acks().unwrap(), []);
        store.restore(&["a".to_owned()]).unwrap();
        assert_eq!(
            store.run("a").unwrap(),
            Some(run("a", "2024-01-01T00:00:00Z"))
        );
        one_of_each(&location);
        assert_eq!(store.acks().unwrap().len(), 1);
    }
}

/// Started by other tests: appends runs and says so for each.
#[test]
#[ignore = "a process that other tests start"]
fn writer() {
    let variable = |name: &str| env::var(name).unwrap();
    let location: Location = variable("WRITER_STORE").parse().unwrap();
    let mut store = Store::open(&location).unwrap();
    let count: u32 = variable("WRITER_COUNT").parse().unwrap();
    for number in 0..count {
        let id = format!("{}-{number}", variable("WRITER_NAME"));
        store.append(&run(&id, "2024-01-01T00:00:00Z")).unwrap();
        println!("\nacknowledged {id}");
    }
}

fn start_writer(location: &str, name: &str, count: u32) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "store::writer", "--ignored", "--nocapture"])
        .env("WRITER_STORE", location)
        .env("WRITER_NAME", name)
        .env("WRITER_COUNT", count.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The ids that a writer acknowledged, as they come.
fn acknowledged(writer: &mut Child) -> impl Iterator<Item = String> + use<> {
    let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    lines.filter_map(|line| Some(line.unwrap().strip_prefix("acknowledged ")?.to_owned()))
}

/// Kills writers in the middle of their work; gives what they had acknowledged.
fn kill_writers(location: &str) -> Vec<String> {
    let mut all = Vec::new();
    for round in 0..5 {
        let mut writer = start_writer(location, &format!("round{round}"), u32::MAX);
        let mut acknowledged = acknowledged(&mut writer);
        all.extend(acknowledged.by_ref().take(1 + 7 * round));
        writer.kill().unwrap();
        all.extend(acknowledged);
        assert!(!writer.wait().unwrap().success());
    }
    all
}

fn assert_all_there(location: &Location, acknowledged: &[String]) {
    let mut store = Store::open(location).unwrap();
    let checked = store.check().unwrap();
    assert_eq!(checked.damage, [""; 0]);
    assert!(checked.runs >= acknowledged.len() as u64);
    for id in acknowledged {
        assert_eq!(
            store.run(id).unwrap().unwrap(),
            run(id, "2024-01-01T00:00:00Z")
        );
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9_of_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let acknowledged = kill_writers(path.to_str().unwrap());
    assert!(acknowledged.len() > 50, "{}", acknowledged.len());
    assert_all_there(&Location::Sqlite(path), &acknowledged);
}

#[test]
fn what_was_acknowledged_survives_kill_9_of_the_writer_and_a_crash_of_postgresql() {
    let Some(database) = Database::alone() else {
        return;
    };
    let acknowledged = kill_writers(&database.url());
    assert!(acknowledged.len() > 50, "{}", acknowledged.len());
    database.server.crash_and_recover();
    assert_all_there(&Location::Postgres(database.url()), &acknowledged);
}

#[test]
fn writers_that_make_the_history_and_write_at_once_lose_nothing() {
    on_both(|location| {
        let text = match location {
            Location::Sqlite(path) => path.to_str().unwrap(),
            Location::Postgres(url) => url,
        };
        let mut writers: Vec<Child> = (0..4)
            .map(|number| start_writer(text, &format!("writer{number}"), 25))
            .collect();
        let mut all = Vec::new();
        for writer in &mut writers {
            all.extend(acknowledged(writer));
            assert!(writer.wait().unwrap().success());
        }
        assert_eq!(all.len(), 100);
        assert_all_there(location, &all);
    });
}
