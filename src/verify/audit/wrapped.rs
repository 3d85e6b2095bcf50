//! Audit events inside of what logging pipelines make of a line.
//!
//! A line may begin with words, such as the name of a host; an event may be a member of an object,
//! or the text of a string, in a list or not: `{"records":[{"properties":{"log":"{…}"}}]}`.

use std::fmt::Display;

use serde::{
    Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::event::Event;

/// How many objects, lists and strings may be around an event.
const DEPTH_MAX: usize = 6;
/// Longest text before the JSON of a line.
const BEFORE_MAX: usize = 1024;
/// Longest description of where an event is.
const PLACE_MAX: usize = 100;
/// Where an event is that has other text before it.
const AFTER_TEXT: &str = "after other text";

/// Gives each event in a line that is none itself, with where it is: `properties.log`.
pub(super) fn events(line: &str, found: &mut dyn FnMut(&str, &Event<'_>)) {
    Search { depth: 0, found }.text(line, "");
}

struct Search<'f> {
    depth: usize,
    found: &'f mut dyn FnMut(&str, &Event<'_>),
}

impl Search<'_> {
    /// JSON that may have other text before it.
    fn text(&mut self, text: &str, place: &str) {
        let text = text.trim();
        if text.starts_with(['{', '[']) {
            return self.value(text, place);
        }
        if let Some(at) = text.bytes().take(BEFORE_MAX).position(|byte| byte == b'{') {
            self.value(&text[at..], &step(place, ", ", AFTER_TEXT));
        }
    }

    fn value(&mut self, json: &str, place: &str) {
        match json.bytes().next() {
            Some(b'{') => match serde_json::from_str::<Event<'_>>(json) {
                Ok(event) => (self.found)(place, &event),
                Err(_) => self.members(json, place),
            },
            Some(b'[') => self.members(json, place),
            Some(b'"') if json.contains('{') => {
                if let Ok(text) = serde_json::from_str::<String>(json) {
                    self.text(&text, place);
                }
            }
            _ => {}
        }
    }

    fn members(&mut self, json: &str, place: &str) {
        if self.depth < DEPTH_MAX {
            let members = Members {
                search: Search {
                    depth: self.depth + 1,
                    found: self.found,
                },
                place,
            };
            // What is no JSON to its end has been searched as far as it goes.
            let _ = serde_json::Deserializer::from_str(json).deserialize_any(members);
        }
    }
}

/// Searches the members of an object or a list, one after another.
struct Members<'f, 'p> {
    search: Search<'f>,
    place: &'p str,
}

impl<'de> Visitor<'de> for Members<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an object or a list")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if name == "auditID" {
                // A damaged event: the objects in it can hold what only looks like one.
                return Ok(());
            }
            let value = map.next_value::<&RawValue>()?;
            self.search
                .value(value.get(), &step(self.place, ".", &name));
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        let place = format!("{}[]", self.place);
        while let Some(value) = list.next_element::<&RawValue>()? {
            self.search.value(value.get(), &place);
        }
        Ok(())
    }
}

/// One step further in; what is too long to be told ends in dots.
fn step(place: &str, between: &str, next: impl Display) -> String {
    let whole = if place.is_empty() {
        next.to_string()
    } else {
        format!("{place}{between}{next}")
    };
    if whole.chars().count() <= PLACE_MAX {
        return whole;
    }
    let kept: String = whole.chars().take(PLACE_MAX).collect();
    format!("{}…", kept.trim_end_matches('…'))
}
