//! Logs as API servers write them, and as disks and people damage them.

use proptest::prelude::*;

use super::{recent::Latest, *};
use record::{AuditReport, RunRecord};

fn event(id: &str, stage: &str, verb: &str, uri: &str, code: u16) -> String {
    format!(
        r#"{{"kind":"Event","auditID":"{id}","stage":"{stage}","requestURI":"{uri}","verb":"{verb}",
        "user":{{"username":"system:serviceaccount:kubevirt:kubevirt-controller"}},
        "responseStatus":{{"code":{code}}},
        "requestReceivedTimestamp":"2026-11-24T01:00:00.000000Z",
        "stageTimestamp":"2026-11-24T01:00:01.000000Z"}}"#
    )
    .replace('\n', "")
}

/// Counts lines; gives the report and the numbers of damaged lines.
fn count(lines: &[String]) -> (AuditReport, Vec<u64>) {
    let mut reader = AuditReader::default();
    let mut counter = AuditCounter::new(AuditFilter::default());
    let mut damaged = Vec::new();
    for line in lines {
        if let Err(bad) = reader.line(line.as_bytes(), |entry| counter.add(&entry)) {
            damaged.push(bad.line);
        }
    }
    (counter.report(reader.log()), damaged)
}

fn total(lines: &[String]) -> u64 {
    count(lines).0.counts.iter().map(|count| count.count).sum()
}

const PODS: &str = "/api/v1/namespaces/n/pods";
const WATCH: &str = "/api/v1/pods?watch=true";

#[test]
fn a_request_counts_once_however_many_stages_it_has() {
    let short = |stage| event("a", stage, "create", PODS, 201);
    assert_eq!(
        total(&[short("RequestReceived"), short("ResponseComplete")]),
        1
    );
    assert_eq!(
        total(&[short("ResponseComplete"), short("ResponseComplete")]),
        1
    );
    assert_eq!(total(&[short("RequestReceived")]), 0);
    assert_eq!(total(&[short("Panic")]), 1);
    let long = |stage| event("w", stage, "watch", WATCH, 200);
    assert_eq!(total(&[long("ResponseStarted")]), 1);
    assert_eq!(
        total(&[long("ResponseStarted"), long("ResponseComplete")]),
        1
    );
    assert_eq!(
        total(&[long("ResponseComplete")]),
        1,
        "a policy without ResponseStarted"
    );
    assert_eq!(
        total(&[long("ResponseComplete"), long("ResponseStarted")]),
        1,
        "rotated files in any order"
    );
    let exec = event(
        "e",
        "ResponseStarted",
        "get",
        "/api/v1/namespaces/n/pods/p/exec?command=x",
        101,
    );
    assert_eq!(total(&[exec]), 1);
    assert_eq!(
        total(&[event("u", "ResponseStarted", "list", PODS, 401)]),
        1,
        "401 has one stage"
    );
}

#[test]
fn damaged_lines_are_named_and_the_rest_is_counted() {
    let good = |id| event(id, "ResponseComplete", "create", PODS, 201);
    let torn = good("b")[..40].to_owned();
    let (report, damaged) = count(&[good("a"), torn, String::new(), "{}".to_owned(), good("c")]);
    assert_eq!(damaged, [2, 4]);
    assert_eq!(report.counts[0].count, 2);
    assert_eq!(report.values["CREATE-pods-count"].value as u64, 2);
}

#[test]
fn a_body_that_is_no_text_costs_no_request() {
    let good = event("a", "ResponseComplete", "patch", PODS, 200);
    let line = good
        .replace("?", "")
        .replace("\"verb\"", "\"requestObject\":{\"data\":\"?\"},\"verb\"");
    let line: Vec<u8> = line
        .bytes()
        .map(|byte| if byte == b'?' { 0xff } else { byte })
        .collect();
    let mut counted = 0;
    AuditReader::default()
        .line(&line, |_| counted += 1)
        .unwrap();
    assert_eq!(counted, 1);
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut ids = Latest::<char, 2>::default();
    for id in ['a', 'b', 'c'] {
        ids.insert(id);
    }
    assert!(!ids.contains(&'a') && ids.contains(&'b') && ids.contains(&'c'));
    ids.remove(&'b');
    assert!(!ids.contains(&'b'));
}

#[test]
fn values_are_of_kubevirts_components_and_an_impersonated_user_is_noted() {
    let own = event(
        "a",
        "ResponseComplete",
        "patch",
        "/api/v1/namespaces/n/pods/p/status",
        200,
    );
    let other = own
        .replace("\"a\"", "\"b\"")
        .replace("kubevirt:kubevirt-controller", "kube-system:kwok")
        .replace(
            "\"responseStatus\"",
            r#""impersonatedUser":{"username":"someone"},"responseStatus""#,
        );
    let (report, _) = count(&[own, other]);
    assert_eq!(report.values["PATCH-pods-count"].value as u64, 1);
    let components: Vec<&str> = report
        .counts
        .iter()
        .map(|count| count.component.as_str())
        .collect();
    assert!(components.contains(&"system:serviceaccount:kube-system:kwok as someone"));
}

#[test]
fn a_log_of_another_time_does_not_overlap() {
    let line = event("a", "ResponseComplete", "create", PODS, 201);
    let entries = entries(line.as_bytes());
    let run: RunRecord = serde_json::from_str(
        r#"{"schema":"kubetoll.run/1","id":"r","scenario":"vmi","simulated":false,
        "kubetoll_version":"0","started":"2025-01-01T00:00:00Z","finished":"2025-01-01T00:00:00Z",
        "cluster":{"server":"","context":"","namespace":"","kubernetes_version":"","kubevirt_version":""},
        "configuration":{},"proxies":[],"objects":[],"driver":[],"checks":[]}"#,
    )
    .unwrap();
    assert!(!verify(&run, &entries).overlaps);
}

const EVENT: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/n/pods?watch=1","verb":"watch","user":{"username":"u"},"objectRef":{"resource":"pods"},"responseStatus":{"code":200},"requestReceivedTimestamp":"2026-01-01T00:00:00.000000Z","stageTimestamp":"2026-01-01T00:00:01.000000Z"}"#;

#[test]
fn an_event_nested_without_end_is_a_bad_line() {
    let deep = format!("{}{}", r#"{"annotations":"#, "[".repeat(200_000));
    let read = AuditReader::default().line(deep.as_bytes(), |_| {});
    assert!(read.is_err());
}

#[test]
fn requests_with_one_audit_id_are_told_apart_by_all_else() {
    let first = event("a", "ResponseComplete", "create", PODS, 201);
    let received = r#""requestReceivedTimestamp":"2026-11-24T01:00:00"#;
    for (what, other) in [
        ("time", first.replace(received, &format!("{received}.5"))),
        ("verb", first.replace("create", "list")),
        ("URI", first.replace(PODS, "/api/v1/namespaces/m/pods")),
        ("user", first.replace("kubevirt-controller", "other")),
    ] {
        let other = other.replace("00.5.000000Z", "00.500000Z");
        assert_eq!(total(&[first.clone(), other.clone()]), 2, "{what}");
        assert_eq!(
            total(&[first.clone(), other.clone(), first.clone(), other]),
            2
        );
    }
    let watch = |stage, second: u8| {
        event("w", stage, "watch", WATCH, 200)
            .replace("01:00:00.000000Z", &format!("01:00:{second:02}.000000Z"))
    };
    let log = [
        watch("ResponseStarted", 1),
        watch("ResponseStarted", 2),
        watch("ResponseComplete", 1),
        watch("ResponseComplete", 2),
    ];
    assert_eq!(total(&log), 2);
}

#[test]
fn a_stage_that_the_policy_leaves_out_is_missed() {
    let missing = |lines: &[String]| count(lines).0.log.missing;
    let short = |stage| event("a", stage, "create", PODS, 201);
    let watch = |stage, received: &str| {
        event("w", stage, "watch", WATCH, 200).replace("01:00:00.000000Z", received)
    };
    let began_within = || watch("ResponseComplete", "01:00:02.000000Z");
    assert_eq!(missing(&[]), [""; 0]);
    assert_eq!(missing(&[short("RequestReceived")]), ["ResponseComplete"]);
    assert_eq!(
        missing(&[short("RequestReceived"), short("Panic")]),
        [""; 0]
    );
    assert_eq!(
        missing(&[short("ResponseComplete"), began_within()]),
        ["ResponseStarted"]
    );
    // It began before the log: an older file may have its start.
    let began_before = watch("ResponseComplete", "00:59:00.000000Z");
    assert_eq!(missing(&[short("ResponseComplete"), began_before]), [""; 0]);
    let other = event("x", "ResponseStarted", "watch", WATCH, 200);
    assert_eq!(
        missing(&[short("ResponseComplete"), other, began_within()]),
        [""; 0]
    );
}

fn entries(line: &[u8]) -> Vec<AuditEntry> {
    let mut entries = Vec::new();
    let mut reader = AuditReader::default();
    reader.line(line, |entry| entries.push(entry)).unwrap();
    entries
}

#[test]
fn events_are_found_in_what_pipelines_make_of_a_line() {
    let id = |id| event(id, "ResponseComplete", "create", PODS, 201);
    let text =
        |id: &str| serde_json::Value::from(event(id, "ResponseComplete", "create", PODS, 201));
    for (line, place, events) in [
        (format!("master-0 {}", id("a")), "after other text", 1),
        (
            format!("2026-11-24T01:00:00Z stdout F {}", id("a")),
            "after other text",
            1,
        ),
        (
            format!(r#"{{"log":{},"stream":"stdout"}}"#, text("a")),
            "log",
            1,
        ),
        (
            format!(r#"{{"message":{},"ingestionTime":1}}"#, text("a")),
            "message",
            1,
        ),
        (format!(r#"{{"@message":{}}}"#, text("a")), "@message", 1),
        (
            format!(
                r#"{{"category":"kube-audit","properties":{{"log":{}}}}}"#,
                text("a")
            ),
            "properties.log",
            1,
        ),
        (
            format!(
                r#"{{"records":[{{"properties":{{"log":{}}}}},{{"properties":{{"log":{}}}}}]}}"#,
                text("a"),
                text("b")
            ),
            "records[].properties.log",
            2,
        ),
        (
            format!(
                r#"{{"kind":"EventList","items":[{},{}]}}"#,
                id("a"),
                id("b")
            ),
            "items[]",
            2,
        ),
        (
            format!(
                r#"{{"log":{}}}"#,
                serde_json::Value::from(format!("host {}", id("a")))
            ),
            "log, after other text",
            1,
        ),
    ] {
        let (report, damaged) = count(&[line.clone(), id("c")]);
        assert!(damaged.is_empty(), "{line}");
        assert_eq!(report.counts[0].count, events + 1, "{line}");
        let wrapped: Vec<_> = report.log.wrapped.into_iter().collect();
        assert_eq!(wrapped, [(place.to_owned(), events)], "{line}");
    }
}

#[test]
fn what_only_looks_like_a_wrapped_event_is_none() {
    let good = event("a", "ResponseComplete", "create", PODS, 201);
    let text = serde_json::Value::from(good.clone());
    let damaged_outside = good.replace(r#""stage":"ResponseComplete","#, "");
    let holds_one = damaged_outside.replace(
        "{\"kind\"",
        &format!(r#"{{"auditID":"z","requestObject":{{"data":{text}}},"kind""#),
    );
    let mut nested = good.clone();
    for _ in 0..8 {
        nested = format!(r#"{{"message":{}}}"#, serde_json::Value::from(nested));
    }
    let far = format!("{} {good}", "x".repeat(2000));
    for line in [
        holds_one,
        nested,
        far,
        r#"{"log":"I1124 started {"}"#.to_owned(),
    ] {
        let (report, damaged) = count(std::slice::from_ref(&line));
        assert_eq!((report.counts.len(), damaged), (0, vec![1]), "{line}");
    }
    // Names that somebody else chose are cut, and not told apart without end.
    let names: Vec<String> = (0..50)
        .map(|at| format!(r#"{{"{}{at}":{text}}}"#, "n".repeat(at * 10)))
        .collect();
    let wrapped = count(&names).0.log.wrapped;
    assert!(wrapped.len() <= 21, "{wrapped:?}");
    assert!(wrapped.keys().all(|place| place.chars().count() <= 101));
    assert_eq!(wrapped.values().sum::<u64>(), 50);
}

proptest! {
    /// Lines that were cut, mixed up or overwritten.
    #[test]
    fn no_audit_log_panics(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut line = EVENT.as_bytes().to_vec();
        for (at, byte) in changes {
            let at = at.index(line.len());
            line[at] = byte;
        }
        if cuts {
            line.truncate(cut.index(line.len()));
        }
        let mut reader = AuditReader::default();
        let _ = reader.line(&line, |_| {});
        // What follows is read as if nothing had been before it.
        let next = EVENT.replace(r#""auditID":"a""#, r#""auditID":"b""#);
        let mut entries = 0;
        prop_assert!(reader.line(next.as_bytes(), |_| entries += 1).is_ok());
        prop_assert_eq!(entries, 1);
    }
}
