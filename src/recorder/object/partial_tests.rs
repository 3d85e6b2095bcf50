//! Objects of which a response has the metadata alone.

use serde_json::json;

use super::{Object, Seen, tests::said};
use crate::{
    encoder::{Message, document},
    form::Form,
};

#[test]
fn of_an_object_its_metadata_may_be_all_there_is() {
    let expected = Seen::Object(Object {
        name: "a".to_owned(),
        resource_version: "7".to_owned(),
        ..Object::default()
    });
    let kind = "PartialObjectMetadata";
    let metadata = json!({"name": "a", "resourceVersion": "7"});
    let json = json!({"kind": kind, "metadata": metadata}).to_string();
    let found = said(Form::Json, json.as_bytes(), &[]);
    assert_eq!(found, (expected.clone(), true, true, None));
    let metadata = Message::default().text(1, "a").text(6, "7");
    let raw = Message::default().message(1, metadata);
    let found = said(Form::Protobuf, &document(kind, raw), &[]);
    assert_eq!(found, (expected, true, true, None));
}
