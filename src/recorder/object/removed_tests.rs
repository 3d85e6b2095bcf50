//! Objects that are gone with the response that has them.

use serde_json::{Value, json};

use super::{
    Seen,
    tests::{POD, said, virtual_machine_instance},
};
use crate::{
    encoder::{Message, document},
    form::Form,
};

/// The rule, by what serde_json finds.
pub(super) fn is_removed(metadata: &Value) -> bool {
    let grace_period = metadata["deletionGracePeriodSeconds"].as_u64();
    let finalizers = metadata["finalizers"].as_array();
    metadata["deletionTimestamp"].is_string()
        && grace_period.unwrap_or_default() == 0
        && finalizers.is_none_or(Vec::is_empty)
}

fn removed(object: Seen) -> bool {
    matches!(object, Seen::Object(object) if object.is_removed)
}

#[test]
fn an_object_is_removed_that_is_being_deleted_and_kept_by_nothing() {
    let deleted = |change: &dyn Fn(&mut Value)| {
        let mut object = virtual_machine_instance();
        let metadata = &mut object["metadata"];
        metadata["deletionTimestamp"] = json!("2025-03-04T05:07:00Z");
        metadata["deletionGracePeriodSeconds"] = json!(0);
        metadata["finalizers"] = json!([]);
        change(metadata);
        removed(said(Form::Json, object.to_string().as_bytes(), &[]).0)
    };
    assert!(deleted(&|_| {}));
    assert!(deleted(&|metadata| {
        metadata.as_object_mut().unwrap().remove("finalizers");
    }));
    assert!(!deleted(&|metadata| metadata["finalizers"] = json!(["a"])));
    assert!(!deleted(
        &|metadata| metadata["deletionGracePeriodSeconds"] = json!(30)
    ));
    assert!(!deleted(
        &|metadata| metadata["deletionTimestamp"] = Value::Null
    ));
    // Of a built-in object the finalizers come behind the owners.
    let pod = |more: &str| {
        let deleted = "\"creationTimestamp\":\"2025-03-04T05:06:08Z\",\
                       \"deletionTimestamp\":\"2025-03-04T05:07:00Z\",\
                       \"deletionGracePeriodSeconds\":0";
        let text = POD.replace("\"creationTimestamp\":\"2025-03-04T05:06:08Z\"", deleted);
        let text = text.replace("\"managedFields\"", &format!("{more}\"managedFields\""));
        removed(said(Form::Json, text.as_bytes(), &[]).0)
    };
    assert!(pod("") && !pod("\"finalizers\":[\"a\"],"));
}

#[test]
fn an_object_in_protobuf_is_removed_by_the_same_rule() {
    let time = || Message::default().number(1, 1_741_064_768);
    let pod = |grace_period, finalizer: bool| {
        let metadata = Message::default().text(1, "x").text(6, "5");
        let metadata = metadata.message(9, time()).number(10, grace_period);
        let metadata = if finalizer {
            metadata.text(14, "a")
        } else {
            metadata
        };
        let pod = document("Pod", Message::default().message(1, metadata));
        removed(said(Form::Protobuf, &pod, &[]).0)
    };
    assert!(pod(0, false));
    assert!(!pod(30, false) && !pod(0, true));
}

/// A namespace is kept by the finalizers of its spec, which come behind its metadata.
#[test]
fn a_namespace_is_removed_when_its_spec_has_no_finalizers() {
    let metadata = json!({"name": "a", "deletionTimestamp": "2025-03-04T05:07:00Z"});
    let json = |spec: Value, kind: &str| {
        let first = json!({"kind": kind, "metadata": metadata, "spec": spec}).to_string();
        let rest = json!({"metadata": metadata, "spec": spec}).to_string();
        let last = rest.replace(r#"]}}"#, &format!(r#"]}},"kind":"{kind}"}}"#));
        [first, last].map(|text| removed(said(Form::Json, text.as_bytes(), &[]).0))
    };
    let finalizers = |names: &[&str]| json!({"finalizers": names});
    assert_eq!(json(finalizers(&["kubernetes"]), "Namespace"), [false; 2]);
    assert_eq!(json(finalizers(&[]), "Namespace"), [true; 2]);
    // Of other kinds such a field is nothing special.
    assert_eq!(json(finalizers(&["kubernetes"]), "Widget"), [true; 2]);
    let protobuf = |kind: &str, spec: Message| {
        let time = Message::default().number(1, 1_741_064_768);
        let metadata = Message::default().text(1, "a").message(9, time);
        let raw = Message::default().message(1, metadata).message(2, spec);
        removed(said(Form::Protobuf, &document(kind, raw), &[]).0)
    };
    let kept = Message::default().text(1, "kubernetes");
    assert!(!protobuf("Namespace", kept.clone()));
    assert!(protobuf("Namespace", Message::default()));
    assert!(protobuf("Pod", kept));
}
