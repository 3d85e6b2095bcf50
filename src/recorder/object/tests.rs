//! Objects and statuses as an API server writes them, whole, cut and in pieces.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    encoder::{Message, document},
    json::tests::{any_bytes, any_json, any_pieces},
};

/// As kube-apiserver writes an object of a custom resource: all keys in their order.
pub(crate) fn virtual_machine_instance() -> Value {
    json!({
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {
            "annotations": {
                "kubevirt.io/latest-observed-api-version": "v1",
                "kubectl.kubernetes.io/last-applied-configuration":
                    "{\"kind\":\"VirtualMachine\",\"metadata\":{\"name\":\"other\\\"}\",\"uid\":\"x\"}}\n",
            },
            "creationTimestamp": "2025-03-04T05:06:07Z",
            "finalizers": ["kubevirt.io/virtualMachineControllerFinalize", "foregroundDeleteVirtualMachine"],
            "generation": 14,
            "labels": {"kubevirt.io/nodeName": "node01", "name": "not this"},
            "managedFields": [{
                "apiVersion": "kubevirt.io/v1",
                "fieldsType": "FieldsV1",
                "fieldsV1": {
                    "f:metadata": {
                        "f:annotations": {".": {}, "f:kubevirt.io/latest-observed-api-version": {}},
                        "f:ownerReferences": {".": {}, "k:{\"uid\":\"86d0ef2b\"}": {}},
                    },
                    "f:status": {"f:conditions": {}, "f:phase": {}},
                },
                "manager": "virt-controller",
                "operation": "Update",
                "time": "2025-03-04T05:06:09Z",
            }],
            "name": "testvm",
            "namespace": "default",
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "ConfigMap", "name": "bystander", "uid": "0"},
                {
                    "apiVersion": "kubevirt.io/v1",
                    "blockOwnerDeletion": true,
                    "controller": true,
                    "kind": "VirtualMachine",
                    "name": "testvm",
                    "uid": "86d0ef2b-9a5d-4f0f-8f4e-6f0d0c5ad0a1",
                },
            ],
            "resourceVersion": "48217",
            "uid": "3c1de8b5-2f0c-4a62-90c3-3f7e9c1b2a77",
        },
        "spec": {
            "domain": {"devices": {"disks": [{"name": "containerdisk", "disk": {"bus": "virtio"}}]}},
            "networks": [{"name": "default", "pod": {}}],
        },
        "status": {"phase": "Running", "nodeName": "node01", "conditions": [{"type": "Ready"}]},
    })
}

fn instance() -> Object {
    Object {
        name: "testvm".to_owned(),
        uid: "3c1de8b5-2f0c-4a62-90c3-3f7e9c1b2a77".to_owned(),
        resource_version: "48217".to_owned(),
        generation: Some(14),
        controller: Some(Owner {
            kind: "VirtualMachine".to_owned(),
            name: "testvm".to_owned(),
            uid: "86d0ef2b-9a5d-4f0f-8f4e-6f0d0c5ad0a1".to_owned(),
        }),
        is_removed: false,
    }
}

/// As kube-apiserver writes a built-in object: the fields in the order of Go's types.
pub(super) const POD: &str = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"virt-launcher-testvm-x2x7q","generateName":"virt-launcher-testvm-","namespace":"default","uid":"5f0f5f3e-4d33-4c0e-9f65-6f1f7e6f3c11","resourceVersion":"48230","generation":1,"creationTimestamp":"2025-03-04T05:06:08Z","labels":{"kubevirt.io":"virt-launcher","vm.kubevirt.io/name":"testvm"},"ownerReferences":[{"apiVersion":"kubevirt.io/v1","kind":"VirtualMachineInstance","name":"testvm","uid":"3c1de8b5-2f0c-4a62-90c3-3f7e9c1b2a77","controller":true,"blockOwnerDeletion":true}],"managedFields":[{"manager":"virt-controller","operation":"Update","apiVersion":"v1","time":"2025-03-04T05:06:08Z","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:generateName":{},"f:labels":{".":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"compute\"}":{".":{},"f:name":{}}}}}}]},"spec":{"containers":[{"name":"compute","image":"quay.io/kubevirt/virt-launcher:v1.5.0","command":["/usr/bin/virt-launcher-monitor"]}]},"status":{"phase":"Pending","qosClass":"Burstable"}}
"#;

/// What a Pod with this name says in protobuf, in which all fields are written that aren't
/// pointers.
fn pod_metadata(name: &str) -> Message {
    let owner = |kind, name, uid, is_controller| {
        let owner = Message::default().text(1, kind).text(3, name);
        let owner = owner.text(4, uid).text(5, "kubevirt.io/v1");
        match is_controller {
            Some(is_controller) => owner.number(6, is_controller).number(7, 1),
            None => owner,
        }
    };
    let time = Message::default().number(1, 1_741_064_768).number(2, 0);
    let label = Message::default().text(1, "kubevirt.io").text(2, "name");
    let managed = Message::default()
        .text(1, "virt-controller")
        .bytes(7, &[0xff; 3_000]);
    Message::default()
        .text(1, name)
        .text(2, "virt-launcher-testvm-")
        .text(3, "default")
        .text(4, "")
        .text(5, "5f0f5f3e")
        .text(6, "48230")
        .number(7, 3)
        .message(8, time)
        .message(11, label)
        .message(13, owner("ConfigMap", "bystander", "0", None))
        .message(13, owner("Secret", "bystander", "1", Some(0)))
        .message(
            13,
            owner("VirtualMachineInstance", "testvm", "3c1de8b5", Some(1)),
        )
        .message(13, owner("Late", "second", "2", Some(1)))
        .text(14, "finalizer")
        .message(17, managed)
}

fn pod(name: &str) -> Vec<u8> {
    let spec = Message::default().text(3, "Always").bytes(2, &[0x0b; 500]);
    let raw = Message::default().message(1, pod_metadata(name));
    document("Pod", raw.message(2, spec))
}

fn status(causes: usize) -> Vec<u8> {
    let mut details = Message::default().text(1, "testvm").text(3, "pods");
    for _ in 0..causes {
        let cause = Message::default().text(1, "FieldValueInvalid");
        let cause = cause.text(2, "a message").text(3, "spec.replicas");
        details = details.message(4, cause);
    }
    let details = details.number(5, 1).text(6, "");
    let raw = Message::default()
        .message(1, Message::default().text(2, "1").text(3, ""))
        .text(2, "Failure")
        .text(3, "a message")
        .text(4, "Invalid");
    document("Status", raw.message(5, details).number(6, 422))
}

fn reader(form: Form, data: &[u8], pieces: &[usize]) -> ObjectReader {
    let mut reader = ObjectReader::new(form);
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
pub(super) fn said(
    form: Form,
    data: &[u8],
    pieces: &[usize],
) -> (Seen, bool, bool, Option<Unread>) {
    let reader = reader(form, data, pieces);
    let says = (reader.is_done(), reader.is_whole(), reader.unread());
    (reader.finish(), says.0, says.1, says.2)
}

fn whole(seen: Seen) -> (Seen, bool, bool, Option<Unread>) {
    (seen, true, true, None)
}

fn nothing() -> (Seen, bool, bool, Option<Unread>) {
    (Seen::Nothing, true, false, None)
}

#[test]
fn an_instance_is_seen_whatever_comes_before_its_name() {
    let instance = whole(Seen::Object(instance()));
    let value = virtual_machine_instance();
    let compact = said(Form::Json, value.to_string().as_bytes(), &[]);
    assert_eq!(compact, instance);
    let pretty = serde_json::to_vec_pretty(&value).unwrap();
    assert_eq!(said(Form::Json, &pretty, &[]), instance);
}

#[test]
fn a_pod_is_seen_and_the_reading_ends_with_its_metadata() {
    let pod = Object {
        name: "virt-launcher-testvm-x2x7q".to_owned(),
        uid: "5f0f5f3e-4d33-4c0e-9f65-6f1f7e6f3c11".to_owned(),
        resource_version: "48230".to_owned(),
        generation: Some(1),
        controller: Some(Owner {
            kind: "VirtualMachineInstance".to_owned(),
            name: "testvm".to_owned(),
            uid: "3c1de8b5-2f0c-4a62-90c3-3f7e9c1b2a77".to_owned(),
        }),
        is_removed: false,
    };
    assert_eq!(
        said(Form::Json, POD.as_bytes(), &[]),
        whole(Seen::Object(pod))
    );
    // Here nothing can come that is wanted: no name is missing, and no owner.
    let end = POD.find("],\"managedFields\"").unwrap();
    let cut = reader(Form::Json, &POD.as_bytes()[..end], &[]);
    assert!(cut.is_done() && cut.is_whole());
    // Without an owner it might still come, up to the end of the metadata.
    let orphan = POD.replace("\"controller\":true", "\"controller\":false");
    let end = orphan.find("},\"spec\"").unwrap();
    let cut = reader(Form::Json, &orphan.as_bytes()[..end], &[]);
    assert!(!cut.is_done() && !cut.is_whole());
    let cut = reader(Form::Json, &orphan.as_bytes()[..end + 1], &[]);
    assert!(cut.is_done() && cut.is_whole());
}

#[test]
fn what_was_cut_off_is_visible() {
    // Nothing is missing from the end of the controlling owner on.
    for at in 0..=POD.find("}],\"managedFields\"").unwrap() {
        let cut = reader(Form::Json, &POD.as_bytes()[..at], &[]);
        assert!(!cut.is_done() && !cut.is_whole(), "{at}");
        assert_eq!(cut.unread(), None);
    }
    let text = POD.split_at(POD.find(",\"resourceVersion\"").unwrap()).0;
    let Seen::Object(object) = reader(Form::Json, text.as_bytes(), &[]).finish() else {
        panic!("no object");
    };
    assert_eq!(object.name, "virt-launcher-testvm-x2x7q");
    assert_eq!(object.resource_version, "");
}

#[test]
fn a_pod_in_protobuf_is_seen() {
    let data = pod("virt-launcher-testvm-x2x7q");
    let pod = Object {
        name: "virt-launcher-testvm-x2x7q".to_owned(),
        uid: "5f0f5f3e".to_owned(),
        resource_version: "48230".to_owned(),
        generation: Some(3),
        controller: Some(Owner {
            kind: "VirtualMachineInstance".to_owned(),
            name: "testvm".to_owned(),
            uid: "3c1de8b5".to_owned(),
        }),
        is_removed: false,
    };
    assert_eq!(said(Form::Protobuf, &data, &[]), whole(Seen::Object(pod)));
    let negative = Message::default().text(1, "x").number(7, -1);
    let negative = document("Pod", Message::default().message(1, negative));
    let object = Object {
        name: "x".to_owned(),
        generation: Some(-1),
        ..Object::default()
    };
    assert_eq!(
        said(Form::Protobuf, &negative, &[]),
        whole(Seen::Object(object))
    );
}

#[test]
fn a_status_is_seen_without_its_messages() {
    let value = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {"resourceVersion": "1"},
        "status": "Failure", "message": "a message", "reason": "Invalid",
        "details": {
            "name": "testvm", "kind": "pods",
            "causes": [
                {"reason": "FieldValueInvalid", "message": "a message", "field": "spec.replicas"},
                {"message": "of neither"},
            ],
        },
        "code": 422,
    });
    let cause = Cause {
        reason: "FieldValueInvalid".to_owned(),
        field: "spec.replicas".to_owned(),
    };
    let mut expected = Status {
        reason: "Invalid".to_owned(),
        causes: vec![cause, Cause::default()],
    };
    let found = said(Form::Json, value.to_string().as_bytes(), &[]);
    assert_eq!(found, whole(Seen::Status(expected.clone())));
    expected.causes.pop();
    let found = said(Form::Protobuf, &status(1), &[]);
    assert_eq!(found, whole(Seen::Status(expected.clone())));
    let Seen::Status(many) = said(Form::Protobuf, &status(40), &[]).0 else {
        panic!("no status");
    };
    assert_eq!(many.causes.len(), CAUSES_MAX);
}

#[test]
fn a_status_that_says_less_is_whole_at_its_end() {
    let success = br#"{"kind":"Status","status":"Success","metadata":{}"#;
    let cut = reader(Form::Json, success, &[]);
    assert!(!cut.is_done() && !cut.is_whole());
    let success = [&success[..], b"}"].concat();
    let expected = whole(Seen::Status(Status::default()));
    assert_eq!(said(Form::Json, &success, &[]), expected);
    let raw = Message::default().text(2, "Success");
    let found = said(Form::Protobuf, &document("Status", raw), &[]);
    assert_eq!(found, expected);
}

#[test]
fn the_kind_may_come_last_in_json() {
    let found = said(
        Form::Json,
        br#"{"metadata":{"name":"a"},"reason":"b","kind":"Event"}"#,
        &[],
    );
    let object = Object {
        name: "a".to_owned(),
        ..Object::default()
    };
    assert_eq!(found, whole(Seen::Object(object)));
    let found = said(
        Form::Json,
        br#"{"metadata":{"name":"a"},"reason":"b","kind":"Status"}"#,
        &[],
    );
    let status = Status {
        reason: "b".to_owned(),
        causes: Vec::new(),
    };
    assert_eq!(found, whole(Seen::Status(status)));
}

#[test]
fn lists_tables_and_what_is_no_object_say_nothing() {
    for kind in ["PodList", "List", "Table", "PartialObjectMetadataList"] {
        let json = format!(r#"{{"kind":"{kind}","metadata":{{"name":"a","uid":"b"#);
        assert_eq!(said(Form::Json, json.as_bytes(), &[]), nothing(), "{kind}");
        let raw = Message::default().message(1, Message::default().text(1, "a"));
        let found = said(Form::Protobuf, &document(kind, raw), &[]);
        assert_eq!(found, nothing(), "{kind}");
    }
    for json in [
        "[{\"kind\":\"Pod\"}]",
        "\"ok\"",
        "12 ",
        "{\"major\":\"1\"}",
        "{\"metadata\":{}}",
    ] {
        assert_eq!(said(Form::Json, json.as_bytes(), &[]), nothing(), "{json}");
    }
}

#[test]
fn fields_of_another_type_are_passed_over() {
    let json = br#"{"kind":"Pod","metadata":{"name":["a"],"uid":{"name":"b"},"resourceVersion":7,
        "generation":"7","ownerReferences":{"controller":true},"name":null,"generation":1.5},"#;
    assert_eq!(
        said(Form::Json, json, &[]),
        whole(Seen::Object(Object::default()))
    );
    let wrong = Message::default().number(1, 7).text(7, "a").number(13, 1);
    let wrong = document("Pod", Message::default().message(1, wrong));
    assert_eq!(
        said(Form::Protobuf, &wrong, &[]),
        whole(Seen::Object(Object::default()))
    );
}

#[test]
fn identities_that_are_too_long_are_left_out_and_reasons_cut() {
    let long = "x".repeat(300);
    let metadata = json!({
        "name": long, "uid": long, "resourceVersion": long, "generation": 1,
        "ownerReferences": [{"controller": true, "kind": long, "name": long, "uid": long}],
    });
    let value = json!({"kind": "Pod", "metadata": metadata});
    let Seen::Object(object) = said(Form::Json, value.to_string().as_bytes(), &[]).0 else {
        panic!("no object");
    };
    let expected = Object {
        generation: Some(1),
        controller: Some(Owner::default()),
        ..Object::default()
    };
    assert_eq!(object, expected);
    let value = json!({
        "kind": "Status", "reason": long,
        "details": {"causes": [{"reason": long, "field": long}]},
    });
    let Seen::Status(status) = said(Form::Json, value.to_string().as_bytes(), &[]).0 else {
        panic!("no status");
    };
    assert_eq!(status.reason, long[..REASON_MAX]);
    assert_eq!(status.causes[0].reason, long[..REASON_MAX]);
    assert_eq!(status.causes[0].field, long[..FIELD_MAX]);
    let name = "n".repeat(NAME_MAX);
    let Seen::Object(object) = said(Form::Protobuf, &pod(&name), &[]).0 else {
        panic!("no object");
    };
    assert_eq!(object.name, name);
    let Seen::Object(object) = said(Form::Protobuf, &pod(&(name + "n")), &[]).0 else {
        panic!("no object");
    };
    assert_eq!(object.name, "");
}

#[test]
fn what_is_not_of_its_form_is_malformed() {
    for (form, data) in [
        (Form::Json, &b"k8s\0"[..]),
        (Form::Json, b"kind: Pod"),
        (Form::Json, b"{\"kind\":\"Pod\",}"),
        (Form::Protobuf, b"{\"kind\":\"Pod\"}"),
        (Form::Protobuf, b"k8s\0\x0b"),
        (Form::Protobuf, b"k8s\0\x0a\x02\x12\x01"),
        (Form::Protobuf, b"k8s\0\x0a\x01\x08\x01"),
        (
            Form::Protobuf,
            b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ),
    ] {
        let (_, is_done, is_whole, unread) = said(form, data, &[]);
        assert!(is_done && !is_whole, "{data:?}");
        assert_eq!(unread, Some(Unread::Malformed), "{data:?}");
    }
    let unread = ObjectReader::new(Form::Unread(Unread::Cbor));
    assert!(unread.is_done() && !unread.is_whole());
    assert_eq!(unread.unread(), Some(Unread::Cbor));
}

/// What serde_json finds in a document.
fn known(value: &Value) -> Object {
    let metadata = &value["metadata"];
    let text = |value: &Value, limit: usize| {
        let text = value.as_str().unwrap_or_default();
        (if text.len() > limit { "" } else { text }).to_owned()
    };
    let owners = metadata["ownerReferences"].as_array();
    let mut owners = owners.into_iter().flatten();
    let controller = owners.find(|owner| owner["controller"] == true);
    Object {
        name: text(&metadata["name"], NAME_MAX),
        uid: text(&metadata["uid"], UID_MAX),
        resource_version: text(&metadata["resourceVersion"], RESOURCE_VERSION_MAX),
        generation: metadata["generation"].as_i64(),
        controller: controller.map(|owner| Owner {
            kind: text(&owner["kind"], KIND_MAX),
            name: text(&owner["name"], NAME_MAX),
            uid: text(&owner["uid"], UID_MAX),
        }),
        is_removed: removed_tests::is_removed(metadata),
    }
}

fn any_object() -> impl Strategy<Value = Value> {
    let scalar = || prop_oneof![4 => any::<String>().prop_map(Value::from), 1 => any_json()];
    let owner = (any::<bool>(), scalar(), scalar(), scalar(), any_json());
    let owner = owner.prop_map(|(controller, kind, name, uid, other)| {
        json!({"controller": controller, "kind": kind, "name": name, "uid": uid, "a": other})
    });
    let owners = proptest::collection::vec(owner, 0..4);
    let metadata = (
        any_json(),
        scalar(),
        scalar(),
        scalar(),
        prop_oneof![any::<i64>().prop_map(Value::from), any_json()],
        prop_oneof![3 => owners.prop_map(Value::from), 1 => any_json()],
    );
    (metadata, any_json(), any_json()).prop_map(
        |((managed, name, uid, version, generation, owners), before, spec)| {
            json!({
                "apiVersion": before,
                "kind": "Thing",
                "metadata": {
                    "managedFields": managed, "name": name, "uid": uid, "generation": generation,
                    "resourceVersion": version, "ownerReferences": owners,
                },
                "spec": spec,
            })
        },
    )
}

proptest! {
    #[test]
    fn an_object_is_what_serde_json_finds(value in any_object(), pieces in any_pieces()) {
        let expected = whole(Seen::Object(known(&value)));
        prop_assert_eq!(said(Form::Json, value.to_string().as_bytes(), &pieces), expected.clone());
        let pretty = serde_json::to_vec_pretty(&value).unwrap();
        prop_assert_eq!(said(Form::Json, &pretty, &pieces), expected);
    }

    #[test]
    fn pieces_say_what_the_whole_says(
        pieces in any_pieces(),
        which in 0_usize..4,
        end in any::<usize>(),
        damaged in proptest::option::of((any::<usize>(), any::<u8>())),
    ) {
        let (form, mut data) = match which {
            0 => (Form::Json, virtual_machine_instance().to_string().into_bytes()),
            1 => (Form::Json, POD.as_bytes().to_vec()),
            2 => (Form::Protobuf, pod("virt-launcher-testvm-x2x7q")),
            _ => (Form::Protobuf, status(3)),
        };
        data.truncate(1 + end % data.len());
        if let Some((at, byte)) = damaged {
            let at = at % data.len();
            data[at] = byte;
        }
        prop_assert_eq!(said(form, &data, &pieces), said(form, &data, &[]));
    }

    #[test]
    fn random_bytes_are_read_quietly(data in any_bytes(), pieces in any_pieces()) {
        prop_assert_eq!(said(Form::Json, &data, &pieces), said(Form::Json, &data, &[]));
    }

    #[test]
    fn random_messages_are_read_quietly(
        mut data in proptest::collection::vec(
            prop_oneof![proptest::sample::select(&b"\x0a\x12\x22\x2a\x32\x38\x6a\x02\x05\x10"[..]), any::<u8>()],
            0..200,
        ),
        pieces in any_pieces(),
    ) {
        data.splice(0..0, *b"k8s\0\x0a\x05\x12\x03Pod\x12\xc8\x01\x0a\xa0\x01");
        prop_assert_eq!(said(Form::Protobuf, &data, &pieces), said(Form::Protobuf, &data, &[]));
    }
}
