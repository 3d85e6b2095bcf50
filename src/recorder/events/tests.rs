//! Watches as an API server writes them, whole, cut and in pieces.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    encoder::{self, Message, document, frame},
    json::tests::{any_bytes, any_json, any_pieces},
};

const TYPES: [&str; 8] = [
    "ADDED",
    "MODIFIED",
    "DELETED",
    "BOOKMARK",
    "ERROR",
    "",
    "ADD",
    "A_TYPE_THAT_IS_LONGER_THAN_ANY",
];

fn counts(types: &[usize]) -> EventCounts {
    let count = |index: usize| types.iter().filter(|kind| **kind == index).count() as u64;
    EventCounts {
        added: count(0),
        modified: count(1),
        deleted: count(2),
        bookmarks: count(3),
        errors: count(4),
        other: count(5) + count(6) + count(7),
    }
}

/// All that is said of a body in pieces.
fn said(form: Form, data: &[u8], pieces: &[usize]) -> (EventCounts, bool, Option<Unread>) {
    let mut events = Events::new(form);
    let mut rest = data;
    for piece in pieces {
        let (first, behind) = rest.split_at(rest.len().min(*piece));
        events.read(first);
        rest = behind;
    }
    events.read(rest);
    (events.counts(), events.is_between(), events.unread())
}

/// An event as kube-apiserver writes it: its type first.
fn line(kind: &str, object: &serde_json::Value) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")
}

#[test]
fn events_are_counted_by_type_in_either_form() {
    let object = json!({"kind": "Pod", "metadata": {"name": "{\"type\":\"ERROR\"\n"}});
    let mut lines = String::new();
    let mut frames = Vec::new();
    let raw = Message::default().message(1, Message::default().text(1, "a"));
    let types = [0, 0, 1, 2, 3, 4, 5, 6, 7, 1, 1];
    for index in types {
        lines.push_str(&line(TYPES[index], &object));
        frames.extend(encoder::event(TYPES[index], &document("Pod", raw.clone())));
    }
    let expected = (counts(&types), true, None);
    assert_eq!(said(Form::Json, lines.as_bytes(), &[]), expected);
    assert_eq!(said(Form::Protobuf, &frames, &[]), expected);
}

#[test]
fn an_event_counts_once_it_has_passed_whole() {
    let mut events = Events::new(Form::Json);
    events.read(b"");
    assert!(events.is_between());
    events.read(b"{\"type\":\"ADDED\",\"object\":{}}");
    assert!(!events.is_between());
    assert_eq!(events.counts(), EventCounts::default());
    events.read(b"\n");
    events.read(b"");
    assert!(events.is_between());
    assert_eq!(events.counts(), counts(&[0]));
    let whole = encoder::event("DELETED", b"k8s\0");
    let mut events = Events::new(Form::Protobuf);
    assert!(events.is_between());
    for at in 0..whole.len() {
        events.read(&whole[at..=at]);
        let is_whole = at + 1 == whole.len();
        assert_eq!(events.is_between(), is_whole);
        assert_eq!(events.counts(), counts(&[2][..usize::from(is_whole)]));
    }
}

#[test]
fn documents_that_begin_otherwise_are_read_to_their_own_ends() {
    let documents = concat!(
        " {\"type\": \"ADDED\",\n \"object\": {\"a\": [{}, \"}\\\"{\"]}\n}\n",
        "{\"object\":{\"type\":\"ERROR\"},\"type\":\"MODIFIED\"}{\"type\" :\"DELETED\"}\r\n",
        "{\"type\":\"BOOK\\u004dARK\",\"object\":{}}\n\n",
        "{\"xype\":\"ADDED\"}\n{}\n{\"type\":null}\n",
        "{\"type\":\"A_TYPE_LONGER_THAN_ANY\\u0020OTHER\\\"\",\"object\":{}}\n",
        "{\"type\":\"ERROR\",\"object\":{}} \r\n",
    );
    let expected = counts(&[0, 1, 2, 3, 4, 5, 5, 5, 5]);
    let found = said(Form::Json, documents.as_bytes(), &[]);
    assert_eq!(found, (expected, true, None));
}

#[test]
fn counting_goes_on_behind_what_is_no_event() {
    let well = "{\"type\":\"ADDED\",\"object\":{}}\n";
    for wrong in [
        "no event\n",
        "7\n",
        "[{\"type\":\"ADDED\"}]\n",
        "{\"type\":\"ADDED\n",
        "{\"type\":\"ADDED\",\n",
        "{\"type\" \"ADDED\"}\n",
        "{\"object\":\\}\n",
        "{\"object\":\"\u{1}\",\"type\":\"\u{1}\"}\n",
    ] {
        let text = [well, wrong, well].concat();
        let expected = (counts(&[0, 0]), true, Some(Unread::Malformed));
        let found = said(Form::Json, text.as_bytes(), &[]);
        assert_eq!(found, expected, "{wrong:?}");
    }
    let well = encoder::event("ADDED", b"x");
    for wrong in [
        &b"k8s\0\x0a\x05ADDED"[..],
        b"\x0a\x05ADDED\x12\x09x",
        b"\x0a",
        b"\x00",
    ] {
        let data = [&well[..], &frame(wrong), &well].concat();
        let expected = (counts(&[0, 5, 0]), true, Some(Unread::Malformed));
        assert_eq!(said(Form::Protobuf, &data, &[]), expected, "{wrong:?}");
    }
    // Without a type, but protobuf.
    let data = [&frame(b"")[..], &frame(b"\x12\x01x")].concat();
    let expected = (counts(&[5, 5]), true, None);
    assert_eq!(said(Form::Protobuf, &data, &[]), expected);
}

#[test]
fn what_is_not_read_is_between_events_only_before_it_begins() {
    let mut events = Events::new(Form::Unread(Unread::Compressed));
    events.read(b"");
    assert!(events.is_between());
    events.read(b"\n");
    assert!(!events.is_between());
    assert_eq!(events.unread(), Some(Unread::Compressed));
    assert_eq!(events.counts(), EventCounts::default());
}

proptest! {
    #[test]
    fn lines_are_counted_by_type_in_any_pieces(
        events in proptest::collection::vec((0_usize..8, any_json(), any::<bool>()), 0..9),
        pieces in any_pieces(),
    ) {
        let mut text = String::new();
        for (index, object, is_pretty) in &events {
            let kind = TYPES[*index];
            if *is_pretty {
                // The keys in the order of their names: the type comes last.
                let event = json!({"type": kind, "object": object});
                text.push_str(&serde_json::to_string_pretty(&event).unwrap());
            } else {
                text.push_str(&line(kind, object));
            }
        }
        let types: Vec<usize> = events.iter().map(|(index, ..)| *index).collect();
        let (found, _, unread) = said(Form::Json, text.as_bytes(), &pieces);
        prop_assert_eq!((found, unread), (counts(&types), None));
    }

    #[test]
    fn frames_are_counted_by_type_in_any_pieces_and_end_where_they_end(
        events in proptest::collection::vec((0_usize..8, proptest::collection::vec(any::<u8>(), 0..700)), 0..6),
        pieces in proptest::collection::vec(1_usize..97, 1..9),
    ) {
        let mut data = Vec::new();
        let mut ends = vec![0];
        for (index, object) in &events {
            data.extend(encoder::event(TYPES[*index], object));
            ends.push(data.len());
        }
        let types: Vec<usize> = events.iter().map(|(index, _)| *index).collect();
        let mut read = Events::new(Form::Protobuf);
        let mut at = 0;
        for piece in pieces.iter().cycle() {
            prop_assert_eq!(read.is_between(), ends.contains(&at), "{}", at);
            let whole = ends.iter().filter(|end| (1..=at).contains(*end)).count();
            prop_assert_eq!(read.counts(), counts(&types[..whole]));
            if at == data.len() {
                break;
            }
            let end = data.len().min(at + piece);
            read.read(&data[at..end]);
            at = end;
        }
        prop_assert_eq!(read.unread(), None);
    }

    #[test]
    fn a_line_end_is_between_events_and_nothing_else_is(data in any_bytes(), pieces in any_pieces()) {
        let (_, is_between, _) = said(Form::Json, &data, &pieces);
        prop_assert_eq!(is_between, data.last().is_none_or(|last| *last == b'\n'));
    }

    #[test]
    fn random_bytes_are_read_quietly(
        data in any_bytes(),
        frames in proptest::collection::vec(
            prop_oneof![
                proptest::sample::select(&b"\x0a\x12\x05k"[..]).prop_map(|byte| vec![byte]),
                proptest::collection::vec(any::<u8>(), 0..20).prop_map(|content| frame(&content)),
            ],
            0..20,
        ),
        lines in proptest::collection::vec(
            proptest::sample::select(&[
                "{\"type\":\"", "ADDED", "\\u0044", "\"", ",", "\"object\":", "{}", "}", "\n", " ",
                "{\"type\"", ":", "{", "A_TYPE_LONGER_THAN",
            ][..]),
            0..40,
        ),
        pieces in any_pieces(),
    ) {
        for (form, data) in [
            (Form::Json, data.clone()),
            (Form::Json, lines.concat().into_bytes()),
            (Form::Protobuf, data),
            (Form::Protobuf, frames.concat()),
        ] {
            prop_assert_eq!(said(form, &data, &pieces), said(form, &data, &[]));
        }
    }
}
