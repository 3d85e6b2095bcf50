//! Bodies in protobuf, written by hand.

use proptest::prelude::*;
use serde_json::json;

use crate::apiserver::representation::protobuf::{Unreadable, decode};

/// A field that holds bytes; lengths stay below 128 here.
fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
    [
        &[number << 3 | 2, u8::try_from(content.len()).unwrap()],
        content,
    ]
    .concat()
}

fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let meta = [bytes(1, api_version.as_bytes()), bytes(2, kind.as_bytes())].concat();
    [b"k8s\0".to_vec(), bytes(1, &meta), bytes(2, raw)].concat()
}

#[test]
fn a_secret_and_its_metadata() {
    let labels = bytes(11, &[bytes(1, b"a"), bytes(2, b"b")].concat());
    let metadata = [
        bytes(1, b"s"),
        bytes(2, b""),
        labels,
        bytes(14, b"x/y"),
        bytes(8, &[]),
    ]
    .concat();
    let data = [bytes(1, b"key"), bytes(2, &[0, 255])].concat();
    let raw = [
        bytes(1, &metadata),
        bytes(2, &data),
        bytes(3, b"Opaque"),
        vec![5 << 3, 1],
    ]
    .concat();
    let secret = decode(&body("v1", "Secret", &raw)).unwrap();
    let expected = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "s", "labels": {"a": "b"}, "finalizers": ["x/y"]},
        "data": {"key": "AP8="}, "type": "Opaque", "immutable": true,
    });
    assert_eq!(secret, expected);
}

#[test]
fn a_lease_with_times_and_pointers() {
    let time = [vec![8, 0x80, 0xa3, 0x05], vec![16, 0xe8, 0x07]].concat();
    let spec = [
        bytes(1, b""),
        vec![2 << 3, 15],
        bytes(4, &time),
        vec![5 << 3, 0],
    ]
    .concat();
    let lease = decode(&body("coordination.k8s.io/v1", "Lease", &bytes(2, &spec))).unwrap();
    let expected = json!({
        "holderIdentity": "", "leaseDurationSeconds": 15, "leaseTransitions": 0,
        "renewTime": "1970-01-02T00:00:00.000001Z",
    });
    assert_eq!(lease["spec"], expected);
}

#[test]
fn what_cannot_be_read() {
    assert_eq!(decode(b"{}"), Err(Unreadable::Malformed));
    assert_eq!(
        decode(&body("v1", "Pod", b"")),
        Err(Unreadable::UnknownType)
    );
    assert_eq!(
        decode(&body("v1", "Secret", &[10, 9, 1])),
        Err(Unreadable::Malformed)
    );
    assert_eq!(
        decode(&body("v1", "Secret", &[0xff; 12])),
        Err(Unreadable::Malformed)
    );
    assert_eq!(
        decode(&body("v1", "Secret", &[10 << 3 | 3])),
        Err(Unreadable::Malformed)
    );
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(raw in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = decode(&body("v1", "Event", &raw));
        let _ = decode(&[b"k8s\0", &raw[..]].concat());
    }
}
