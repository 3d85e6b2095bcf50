//! Logs as API servers write them, and as disks and people damage them.

use proptest::prelude::*;

use super::*;
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
        match reader.line(line.as_bytes()) {
            Ok(Some(entry)) => counter.add(&entry),
            Ok(None) => {}
            Err(bad) => damaged.push(bad.line),
        }
    }
    (counter.report(), damaged)
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
fn what_is_remembered_is_bounded() {
    let mut ids = event::Ids::<2>::default();
    for id in ["a", "b", "c"] {
        ids.insert(id);
    }
    assert!(!ids.contains("a") && ids.contains("b") && ids.contains("c"));
    ids.remove("b");
    assert!(!ids.contains("b"));
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
    let mut reader = AuditReader::default();
    let line = event("a", "ResponseComplete", "create", PODS, 201);
    let entry = reader.line(line.as_bytes()).unwrap().unwrap();
    let run: RunRecord = serde_json::from_str(
        r#"{"schema":"kubetoll.run/1","id":"r","scenario":"vmi","simulated":false,
        "kubetoll_version":"0","started":"2025-01-01T00:00:00Z","finished":"2025-01-01T00:00:00Z",
        "cluster":{"server":"","context":"","namespace":"","kubernetes_version":"","kubevirt_version":""},
        "configuration":{},"proxies":[],"objects":[],"driver":[],"checks":[]}"#,
    )
    .unwrap();
    assert!(!verify(&run, &[entry]).overlaps);
}

const EVENT: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/n/pods?watch=1","verb":"watch","user":{"username":"u"},"objectRef":{"resource":"pods"},"responseStatus":{"code":200},"requestReceivedTimestamp":"2026-01-01T00:00:00.000000Z","stageTimestamp":"2026-01-01T00:00:01.000000Z"}"#;

#[test]
fn an_event_nested_without_end_is_a_bad_line() {
    let deep = format!("{}{}", r#"{"annotations":"#, "[".repeat(200_000));
    assert!(AuditReader::default().line(deep.as_bytes()).is_err());
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
        let _ = reader.line(&line);
        // What follows is read as if nothing had been before it.
        let next = EVENT.replace(r#""auditID":"a""#, r#""auditID":"b""#);
        prop_assert!(matches!(reader.line(next.as_bytes()), Ok(Some(_))));
    }
}
