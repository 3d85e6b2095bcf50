//! Bodies of writes as clients send them, whole, cut and in pieces.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    encoder::{Message, document},
    json::tests::{any_bytes, any_json, any_pieces},
    object::tests::virtual_machine_instance,
};

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const JSON: &str = "application/json";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

fn reader(content_type: &str, data: &[u8], pieces: &[usize]) -> SentReader {
    let form = Form::of(content_type.as_bytes(), false);
    read_all(
        SentReader::new(form, Change::of(content_type.as_bytes())),
        data,
        pieces,
    )
}

fn read_all(mut reader: SentReader, data: &[u8], pieces: &[usize]) -> SentReader {
    let mut rest = data;
    for piece in pieces {
        let (first, behind) = rest.split_at(rest.len().min(*piece));
        reader.read(first);
        rest = behind;
    }
    reader.read(rest);
    reader
}

/// All that a reader says at the end.
fn said(content_type: &str, data: &[u8], pieces: &[usize]) -> (Sent, bool, bool, Option<Unread>) {
    let reader = reader(content_type, data, pieces);
    let says = (reader.is_done(), reader.is_whole(), reader.unread());
    (reader.finish(), says.0, says.1, says.2)
}

fn sent(content_type: &str, value: &Value) -> Sent {
    let (sent, is_done, is_whole, unread) = said(content_type, value.to_string().as_bytes(), &[]);
    assert!(is_done && is_whole, "{value}");
    assert_eq!(unread, None, "{value}");
    sent
}

fn paths(paths: &[&str]) -> Sent {
    Sent {
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        ..Sent::default()
    }
}

fn version(resource_version: &str) -> Sent {
    Sent {
        resource_version: resource_version.to_owned(),
        ..Sent::default()
    }
}

#[test]
fn of_an_object_only_its_version_is_wanted() {
    let mut value = virtual_machine_instance();
    assert_eq!(sent(JSON, &value), version("48217"));
    value["metadata"]["resourceVersion"] = json!("9".repeat(65));
    assert_eq!(sent(JSON, &value), Sent::default());
    let create = json!({"kind": "Pod", "metadata": {"generateName": "a-"}, "spec": {}});
    assert_eq!(sent(JSON, &create), Sent::default());
    assert_eq!(sent(JSON, &json!({"kind": "Binding"})), Sent::default());
    let cut = br#"{"metadata":{"resourceVersion":"7"#;
    let expected = (Sent::default(), false, false, None);
    assert_eq!(said(JSON, cut, &[]), expected);
    let expected = (version("7"), true, true, None);
    assert_eq!(said(JSON, &[&cut[..], b"\""].concat(), &[]), expected);
}

#[test]
fn an_object_in_protobuf_is_read_as_well() {
    let object = |metadata| {
        let spec = Message::default().text(6, "not this");
        let raw = Message::default().message(1, metadata).message(2, spec);
        document("Pod", raw)
    };
    let update = object(Message::default().text(1, "a").text(6, "48230").text(7, ""));
    let expected = (version("48230"), true, true, None);
    assert_eq!(said(PROTOBUF, &update, &[]), expected);
    let create = object(Message::default().text(1, "a"));
    let expected = (Sent::default(), true, true, None);
    assert_eq!(said(PROTOBUF, &create, &[]), expected);
    let (_, is_done, is_whole, unread) = said(PROTOBUF, &update[..9], &[]);
    assert!(!is_done && !is_whole && unread.is_none());
}

/// What the options of a delete say.
fn options(form: Form, data: &[u8], pieces: &[usize]) -> (Sent, bool, Option<Unread>) {
    let reader = read_all(SentReader::new(form, Change::Deletion), data, pieces);
    let (is_whole, unread) = (reader.is_whole(), reader.unread());
    (reader.finish(), is_whole, unread)
}

#[test]
fn a_delete_says_whether_it_is_a_dry_run_and_which_version_it_is_for() {
    let dry_run = Sent {
        dry_run: true,
        ..version("7")
    };
    for (value, expected) in [
        (
            json!({"apiVersion": "v1", "kind": "DeleteOptions", "dryRun": ["All"],
                "preconditions": {"resourceVersion": "7", "uid": "u"}}),
            dry_run.clone(),
        ),
        (
            json!({"preconditions": {"uid": "7"}, "dryRun": []}),
            Sent::default(),
        ),
        (
            json!({"resourceVersion": "7", "x": {"dryRun": ["All"]}}),
            Sent::default(),
        ),
        (
            json!({"preconditions": {"x": {"resourceVersion": "7"}}, "dryRun": null}),
            Sent::default(),
        ),
        (json!("DeleteOptions"), Sent::default()),
    ] {
        let text = value.to_string();
        for pieces in [&[][..], &[1; 99]] {
            let found = options(Form::Json, text.as_bytes(), pieces);
            assert_eq!(found, (expected.clone(), true, None), "{value}");
        }
    }
    let preconditions = Message::default().text(1, "u").text(2, "7");
    let of_version = Message::default().number(1, 30).message(2, preconditions);
    let policy = of_version.clone().text(4, "Foreground");
    for (raw, expected) in [
        (policy.text(5, "All"), dry_run),
        (of_version, version("7")),
        (Message::default(), Sent::default()),
    ] {
        let document = document("DeleteOptions", raw);
        for pieces in [&[][..], &[1; 99]] {
            let found = options(Form::Protobuf, &document, pieces);
            assert_eq!(found, (expected.clone(), true, None));
        }
    }
    let (_, is_whole, unread) = options(Form::Json, b"{]", &[]);
    assert!(!is_whole && unread == Some(Unread::Malformed));
}

#[test]
fn an_eviction_says_the_same_within() {
    let dry_run = Sent {
        dry_run: true,
        ..version("7")
    };
    let evicted = |form, data: &[u8], pieces: &[usize]| {
        let reader = read_all(SentReader::new(form, Change::Eviction), data, pieces);
        (reader.is_whole(), reader.finish())
    };
    let within = json!({"dryRun": ["All"], "preconditions": {"resourceVersion": "7"}});
    for (value, expected) in [
        (
            json!({"metadata": {"name": "a"}, "deleteOptions": within}),
            dry_run.clone(),
        ),
        (
            json!({"dryRun": ["All"], "deleteOptions": {}}),
            Sent::default(),
        ),
        (json!({"metadata": {"name": "a"}}), Sent::default()),
        (json!([]), Sent::default()),
    ] {
        let text = value.to_string();
        for pieces in [&[][..], &[1; 150]] {
            let found = evicted(Form::Json, text.as_bytes(), pieces);
            assert_eq!(found, (true, expected.clone()), "{value}");
        }
    }
    let options = Message::default()
        .message(2, Message::default().text(2, "7"))
        .text(5, "All");
    let metadata = Message::default().text(1, "a");
    let eviction = Message::default().message(1, metadata).message(2, options);
    let document = document("Eviction", eviction);
    for pieces in [&[][..], &[1; 150]] {
        let found = evicted(Form::Protobuf, &document, pieces);
        assert_eq!(found, (true, dry_run.clone()));
    }
}

#[test]
fn a_json_patch_says_its_paths_whatever_comes_first() {
    // As KubeVirt's controllers write them.
    let patch = br#"[ {"op":"test","path":"/metadata/labels/kubevirt.io~1nodeName","value":"a"},
        {"value":{"path":"/x","op":"test"},"path":"/status/phase","op":"replace"},
        {"path":"/spec/running","value":[{"path":"/y"}],"op":"t\u0065st"},
        {"op":"remove","path":"/metadata/finalizers/0"},
        {"op":"move","from":"/spec/a","path":"/spec/b"},
        {"from":"/spec/c","path":"/spec/d","op":"copy"},
        {"op":"replace"},
        {"op":"add","path":"","value":{}} ]"#;
    let expected = Sent {
        tests: vec![
            "/metadata/labels/kubevirt.io~1nodeName".to_owned(),
            "/spec/running".to_owned(),
        ],
        ..paths(&[
            "/status/phase",
            "/metadata/finalizers/0",
            "/spec/b",
            "/spec/a",
            "/spec/d",
            "",
        ])
    };
    let found = said(JSON_PATCH, patch, &[]);
    assert_eq!(found, (expected, true, true, None));
}

#[test]
fn paths_and_tests_are_bounded_and_the_others_counted() {
    let long = format!("/{}", "x".repeat(PATH_MAX));
    let mut operations = vec![
        json!({"op": "test", "path": long}),
        json!({"op": "add", "path": long}),
        json!({"op": "add", "path": long[..PATH_MAX]}),
    ];
    for index in 0..70 {
        operations.push(json!({"op": "test", "path": format!("/t/{index}")}));
        operations.push(json!({"op": "add", "path": format!("/p/{index}")}));
    }
    let found = sent(JSON_PATCH, &Value::from(operations));
    assert_eq!(found.paths[0], long[..PATH_MAX]);
    assert_eq!((found.paths.len(), found.tests.len()), (64, 64));
    assert_eq!(found.paths[63], "/p/62");
    assert_eq!(found.more, 2 + 7 + 6);
}

#[test]
fn a_part_of_an_object_says_which_fields_it_names() {
    let part = json!({
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {
            "annotations": {"a/b": "x", "c~d": null, "": "y"},
            "name": "testvm",
            "namespace": "default",
            "resourceVersion": "7",
            "uid": "86d0ef2b",
        },
        "spec": {"running": true, "template": {"spec": {"volumes": [{"emptyDir": {}}], "domain": {}}}},
        "status": null,
    });
    let expected = Sent {
        resource_version: "7".to_owned(),
        ..paths(&[
            "/metadata/annotations/",
            "/metadata/annotations/a~1b",
            "/metadata/annotations/c~0d",
            "/metadata/uid",
            "/spec/running",
            "/spec/template/spec/domain",
            "/spec/template/spec/volumes",
            "/status",
        ])
    };
    for content_type in [MERGE_PATCH, STRATEGIC, APPLY] {
        assert_eq!(sent(content_type, &part), expected, "{content_type}");
    }
    let directive = json!({"metadata": {"$setElementOrder/finalizers": ["a"], "name": "b"}});
    let found = sent(STRATEGIC, &directive);
    assert_eq!(found, paths(&["/metadata/$setElementOrder~1finalizers"]));
    assert_eq!(sent(APPLY, &json!({})), Sent::default());
    let identity = json!({"metadata": {"name": "a", "resourceVersion": null}});
    assert_eq!(sent(MERGE_PATCH, &identity), Sent::default());
}

#[test]
fn pointers_that_are_too_long_are_counted_and_those_behind_them_are_right() {
    let key = "k".repeat(100);
    let part = json!({
        "a": {&key: {&key: {&key: {"b": 1, "c": {"d": [2], "e": {}}}, "f": 3}}},
        "z": {"y".repeat(1_000): 1, "x".repeat(255): {"w": 1}, "x": 1},
    });
    let expected = Sent {
        more: 3 + 2,
        ..paths(&[&format!("/a/{key}/{key}/f"), "/z/x"])
    };
    assert_eq!(sent(MERGE_PATCH, &part), expected);
    let deep = "{\"a\":".repeat(9_000) + "1" + &"}".repeat(9_000);
    let found = said(MERGE_PATCH, deep.as_bytes(), &[]);
    let expected = Sent {
        more: 1,
        ..Sent::default()
    };
    assert_eq!(found, (expected, true, true, None));
}

#[test]
fn what_is_none_of_its_kind_is_malformed() {
    for (content_type, data) in [
        (APPLY, "apiVersion: v1\nkind: Pod\n"),
        (APPLY, "# a comment\n"),
        (APPLY, "- a\n"),
        (APPLY, "{a: b}"),
        (MERGE_PATCH, "[]"),
        (MERGE_PATCH, "\"a\""),
        (JSON_PATCH, "{}"),
        (JSON_PATCH, "[1]"),
        (JSON_PATCH, "[{\"op\":\"add\",]"),
        (JSON, "{\"metadata\" 1}"),
        (PROTOBUF, "{}"),
    ] {
        let (_, is_done, is_whole, unread) = said(content_type, data.as_bytes(), &[]);
        assert!(is_done && !is_whole, "{data}");
        assert_eq!(unread, Some(Unread::Malformed), "{data}");
    }
    let cbor = reader("application/apply-patch+cbor", b"\xa0", &[]);
    assert_eq!(cbor.unread(), Some(Unread::Cbor));
}

/// The leaves of a part, by serde_json.
fn leaves(value: &Value, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (key, value) in members {
                let key = key.replace('~', "~0").replace('/', "~1");
                leaves(value, &format!("{pointer}/{key}"), found);
            }
        }
        _ if pointer.is_empty() => {}
        _ => found.push(pointer.to_owned()),
    }
}

fn any_operation() -> impl Strategy<Value = Value> {
    let operation = proptest::sample::select(&["test", "add", "remove", "replace", "copy"][..]);
    (operation, "(/[a-z~]{0,99}){0,4}", any_json(), any::<bool>()).prop_map(
        |(operation, path, value, is_named_last)| {
            // Keys are written in their order.
            let name = if is_named_last { "path" } else { "a" };
            let mut members = json!({"op": operation, "path": path, "value": value});
            members[name] = json!(path);
            members
        },
    )
}

proptest! {
    #[test]
    fn leaves_are_those_that_serde_json_finds(
        part in proptest::collection::btree_map("[a-z/~]{1,9}", any_json(), 0..9),
        pieces in any_pieces(),
    ) {
        let part = Value::Object(part.into_iter().collect());
        let mut expected = Vec::new();
        leaves(&part, "", &mut expected);
        let all = expected.len();
        expected.retain(|path| path.len() <= PATH_MAX);
        expected.truncate(PATHS_MAX);
        let (sent, is_done, is_whole, unread) =
            said(MERGE_PATCH, part.to_string().as_bytes(), &pieces);
        prop_assert_eq!((is_done, is_whole, unread), (true, true, None));
        prop_assert_eq!(sent.more, (all - expected.len()) as u64);
        prop_assert_eq!(sent.paths, expected);
    }

    #[test]
    fn operations_are_those_that_serde_json_finds(
        operations in proptest::collection::vec(any_operation(), 0..9),
        pieces in any_pieces(),
    ) {
        let patch = Value::from(operations);
        let path_of = |operation: &Value| operation["path"].as_str().unwrap().to_owned();
        let (tests, others): (Vec<_>, Vec<_>) =
            patch.as_array().unwrap().iter().partition(|operation| operation["op"] == "test");
        let (sent, _, is_whole, unread) =
            said(JSON_PATCH, patch.to_string().as_bytes(), &pieces);
        prop_assert_eq!((is_whole, unread), (true, None));
        let short = |found: Vec<&Value>| -> Vec<String> {
            found.into_iter().map(path_of).filter(|path| path.len() <= PATH_MAX).collect()
        };
        let (tests, others) = (short(tests), short(others));
        let all = patch.as_array().unwrap().len();
        prop_assert_eq!(sent.more, (all - tests.len() - others.len()) as u64);
        prop_assert_eq!((sent.tests, sent.paths), (tests, others));
    }

    #[test]
    fn pieces_say_what_the_whole_says(
        data in any_bytes(),
        part in any_json(),
        pieces in any_pieces(),
        which in 0_usize..5,
        is_random in any::<bool>(),
    ) {
        let content_type = [JSON_PATCH, MERGE_PATCH, APPLY, JSON, PROTOBUF][which];
        let data = if is_random { data } else { part.to_string().into_bytes() };
        prop_assert_eq!(said(content_type, &data, &pieces), said(content_type, &data, &[]));
    }
}
