//! Requests of logs of each level, as API servers write them.

use findings::{Answer, Known};
use record::{CauseSeen, QueryRecord, SentRecord, StatusRecord};
use serde_json::{Value, json};

use super::AuditRequests;

/// A patch of a pod at level Metadata, with other members in the place of some.
fn event(other: &Value) -> Value {
    let mut event = json!({
        "kind": "Event",
        "level": "Metadata",
        "auditID": "a",
        "stage": "ResponseComplete",
        "requestURI": "/api/v1/namespaces/n/pods/p",
        "verb": "patch",
        "user": {"username": "system:serviceaccount:kubevirt:kubevirt-handler"},
        "sourceIPs": ["10.0.0.1"],
        "userAgent": "virt-handler/v1",
        "objectRef": {"resource": "pods", "namespace": "n", "name": "p"},
        "responseStatus": {"metadata": {}, "code": 200},
        "requestReceivedTimestamp": "2026-11-24T01:00:00.000001Z",
        "stageTimestamp": "2026-11-24T01:00:00.000500Z",
    });
    for (name, value) in other.as_object().unwrap() {
        event[name] = value.clone();
    }
    event
}

fn log(events: &[Value]) -> AuditRequests {
    let mut requests = AuditRequests::default();
    for event in events {
        requests.line(event.to_string().as_bytes()).unwrap();
    }
    requests
}

/// An event of level RequestResponse.
fn with_bodies(verb: &str, resource: &str, sent: &Value, answer: &Value) -> Value {
    event(&json!({
        "level": "RequestResponse",
        "verb": verb,
        "requestURI": format!("/api/v1/namespaces/n/{resource}"),
        "requestObject": sent,
        "responseObject": answer,
    }))
}

const MICROS: i64 = 1_795_482_000_000_000;

#[test]
fn a_request_of_level_metadata_has_all_but_bodies() {
    let log = log(&[event(&json!({
        "requestURI": "/api/v1/namespaces/n/pods/p?dryRun=All&fieldManager=x",
        "impersonatedUser": {"username": "someone"},
        "annotations": {"k8s.io/deprecated": "true"},
    }))]);
    let requests = log.requests();
    let [request] = requests[..] else {
        panic!("{requests:?}");
    };
    assert_eq!(
        (request.component, request.answer),
        ("virt-handler", Answer::Code(200))
    );
    assert_eq!(
        request.user,
        "system:serviceaccount:kubevirt:kubevirt-handler"
    );
    let call = request.call;
    assert_eq!(
        (&*call.verb, &*call.version, &*call.resource),
        ("patch", "v1", "pods")
    );
    assert_eq!(
        (request.namespace, request.name, request.audit_id),
        ("n", "p", "a")
    );
    let times = (request.begun, request.answered, request.ended);
    assert_eq!(times, (MICROS + 1, MICROS + 500, Some(MICROS + 500)));
    let client = request.client.unwrap();
    assert_eq!(
        (&*client.user_agent, &*client.impersonated),
        ("virt-handler/v1", "someone")
    );
    assert!(request.dry_run && request.warned);
    assert_eq!(request.query, Some(&QueryRecord::default()));
    assert_eq!(
        (request.sent, request.object, request.failure),
        (None, None, None)
    );
    assert_eq!(request.known, Known::default());
    assert_eq!(log.log().levels["Metadata"], 1);
}

#[test]
fn the_version_that_an_update_sent_is_known_at_every_level() {
    let update = |version: Value| {
        event(&json!({
            "verb": "update",
            "objectRef": {"resource": "pods", "namespace": "n", "name": "p", "resourceVersion": version},
        }))
    };
    let log = log(&[update(json!("7")), with_id("b", update(json!("")))]);
    let requests = log.requests();
    assert_eq!(requests[0].sent.unwrap().resource_version, "7");
    let known = requests
        .iter()
        .map(|request| (request.known.sent, request.known.object));
    assert_eq!(known.collect::<Vec<_>>(), [(true, false), (false, false)]);
}

fn with_id(id: &str, mut event: Value) -> Value {
    event["auditID"] = json!(id);
    event
}

#[test]
fn paths_of_patches_are_read_whatever_their_kind() {
    let json_patch = json!([
        {"op": "test", "path": "/metadata/labels/a", "value": "mark"},
        {"op": "add", "path": "/spec/b", "value": {"mark": "mark"}},
    ]);
    let merge_patch = json!({"metadata": {"resourceVersion": "3", "labels": {"a": "mark"}}});
    let answer = json!({"kind": "Pod", "metadata": {
        "name": "p", "uid": "u", "resourceVersion": "4", "deletionTimestamp": "x",
        "deletionGracePeriodSeconds": 0}});
    let log = log(&[
        with_bodies("patch", "pods/p", &json_patch, &answer),
        with_id("b", with_bodies("patch", "pods/p", &merge_patch, &answer)),
        with_id(
            "c",
            with_bodies("patch", "pods/p", &json!("no patch"), &answer),
        ),
    ]);
    let requests = log.requests();
    let paths = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
    let operations = SentRecord {
        paths: paths(&["/spec/b"]),
        tests: paths(&["/metadata/labels/a"]),
        ..SentRecord::default()
    };
    let part = SentRecord {
        resource_version: "3".to_owned(),
        paths: paths(&["/metadata/labels/a"]),
        ..SentRecord::default()
    };
    let sent: Vec<_> = requests.iter().map(|request| request.sent).collect();
    assert_eq!(sent, [Some(&operations), Some(&part), None]);
    let object = requests[0].object.unwrap();
    assert_eq!((&*object.uid, &*object.resource_version), ("u", "4"));
    assert!(object.is_removed);
    assert!(!format!("{log:?}").contains("mark"), "a value is kept");
    assert!(!requests[2].known.sent && requests[2].known.object);
}

#[test]
fn a_body_that_is_no_object_of_its_own_is_not_read() {
    let object = json!({"kind": "Pod", "metadata": {"name": "made", "resourceVersion": "4"}});
    for (verb, resource, is_known, has_object) in [
        ("create", "pods", true, true),
        ("get", "pods/p", true, true),
        ("update", "pods/p/status", true, true),
        ("update", "secrets/p", false, false),
        ("get", "pods/p/log", false, false),
        ("list", "pods", false, false),
    ] {
        let log = log(&[with_bodies(verb, resource, &object, &object)]);
        let request = log.requests()[0];
        let found = (request.known.object, request.object.is_some());
        assert_eq!(found, (is_known, has_object), "{verb} {resource}");
    }
    let status = json!({"kind": "Status", "status": "Success"});
    let log = log(&[with_bodies("delete", "pods/p", &Value::Null, &status)]);
    let request = log.requests()[0];
    assert!(
        request.known.object && request.object.is_none(),
        "it is gone at once"
    );
}

#[test]
fn a_create_has_the_name_that_it_sent_or_was_given() {
    let nameless = json!({"resource": "pods", "namespace": "n"});
    let object = json!({"kind": "Pod", "metadata": {"name": "given"}});
    let mut create = with_bodies("create", "pods", &json!({}), &object);
    create["objectRef"] = nameless;
    let log = log(&[
        create.clone(),
        with_id("b", with_bodies("create", "pods", &json!({}), &object)),
    ]);
    let names: Vec<_> = log
        .requests()
        .iter()
        .map(|request| request.name.to_owned())
        .collect();
    assert_eq!(names, ["given", "p"]);
}

#[test]
fn a_failure_has_the_reason_and_causes_of_its_status() {
    let long = "é".repeat(300);
    let log = log(&[event(&json!({"responseStatus": {
        "status": "Failure", "message": "mark", "reason": "Invalid", "code": 422,
        "details": {"causes": [{"reason": "FieldValueInvalid", "message": "mark", "field": long}]},
    }}))]);
    let requests = log.requests();
    let cause = CauseSeen {
        reason: "FieldValueInvalid".to_owned(),
        field: "é".repeat(128),
    };
    let expected = StatusRecord {
        reason: "Invalid".to_owned(),
        causes: vec![cause],
        ..StatusRecord::default()
    };
    assert_eq!(requests[0].failure, Some(&expected));
    assert!(!format!("{log:?}").contains("mark"));
}

#[test]
fn a_watch_is_answered_as_it_starts_and_ends_as_it_is_complete_in_any_order() {
    let stage = |stage: &str, at: &str| {
        event(&json!({
            "verb": "watch", "stage": stage,
            "requestURI": "/api/v1/pods?watch=true&timeoutSeconds=9",
            "stageTimestamp": format!("2026-11-24T01:00:0{at}Z"),
        }))
    };
    let (started, complete) = (
        stage("ResponseStarted", "1"),
        stage("ResponseComplete", "5"),
    );
    let times = |events: &[&Value]| {
        let events: Vec<Value> = events.iter().copied().cloned().collect();
        let log = log(&events);
        let requests = log.requests();
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].query.unwrap().timeout_seconds, Some(9));
        let after = |at: i64| (at - MICROS) / 1_000;
        (after(requests[0].answered), requests[0].ended.map(after))
    };
    assert_eq!(times(&[&started]), (1_000, None), "it is open at the end");
    assert_eq!(
        times(&[&started, &started, &complete]),
        (1_000, Some(5_000))
    );
    assert_eq!(
        times(&[&complete, &complete, &started]),
        (1_000, Some(5_000))
    );
    assert_eq!(
        times(&[&complete]),
        (0, Some(5_000)),
        "when it was answered is not known"
    );
}

#[test]
fn a_watch_that_failed_has_the_reason_with_its_end() {
    let stage = |stage: &str, status: Value| {
        event(&json!({
            "verb": "watch", "stage": stage, "requestURI": "/api/v1/pods?watch=true",
            "responseStatus": status,
        }))
    };
    let log = log(&[
        stage("ResponseStarted", json!({"code": 410})),
        stage(
            "ResponseComplete",
            json!({"code": 410, "reason": "Expired"}),
        ),
    ]);
    let requests = log.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].failure.unwrap().reason, "Expired");
}

#[test]
fn processes_are_told_apart_by_pod_or_address_and_user_agent() {
    let user = "system:serviceaccount:kubevirt:kubevirt-handler";
    let of_pod = |pod: &str| json!({"username": user, "extra": {"authentication.kubernetes.io/pod-uid": [pod]}});
    let others = [
        json!({}),
        json!({"sourceIPs": ["10.0.0.2"]}),
        json!({"userAgent": "virt-handler/v2"}),
        json!({"user": of_pod("x")}),
        json!({"user": of_pod("x"), "sourceIPs": ["10.0.0.2"]}),
        json!({"user": of_pod("y")}),
        json!({"user": {}}),
        json!({}),
    ];
    let events = others
        .iter()
        .zip('a'..)
        .map(|(other, id)| with_id(&id.to_string(), event(other)));
    let log = log(&events.collect::<Vec<_>>());
    let requests = log.requests();
    let instances: Vec<u32> = requests.iter().map(|request| request.instance).collect();
    assert_eq!(instances, [0, 1, 2, 3, 3, 4, 5, 0]);
    assert_eq!(requests[6].component, "(unauthenticated)");
}

#[test]
fn a_delete_has_the_options_of_its_body() {
    let options = json!({"dryRun": ["All"], "preconditions": {"resourceVersion": "7"}});
    let gone = json!({"kind": "Status", "status": "Success"});
    let log = log(&[
        with_bodies("delete", "pods/p", &options, &gone),
        with_id("b", with_bodies("delete", "pods/p", &json!({}), &gone)),
        with_id(
            "c",
            with_bodies("deletecollection", "pods", &options, &gone),
        ),
        with_id("d", with_bodies("delete", "secrets/p", &options, &gone)),
    ]);
    let requests = log.requests();
    let found = requests.iter().map(|request| {
        let version = request.sent.map(|sent| &*sent.resource_version);
        (request.dry_run, version, request.known.sent)
    });
    let of_version = (true, Some("7"), true);
    let expected = [
        of_version,
        (false, Some(""), true),
        of_version,
        (false, None, false),
    ];
    assert_eq!(found.collect::<Vec<_>>(), expected);
}
