//! The part of `metav1.ListOptions` that decides what a GET without a name is.

use std::borrow::Cow;

use super::{go_url::Query, selector};

/// What the query of a list or watch says about verb and name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ListOptions<'q> {
    /// `watch` was asked for.
    pub(super) watch: bool,
    /// The name that an exact `metadata.name` field selector gives, if it may be a path segment.
    pub(super) name: Cow<'q, [u8]>,
}

/// Decodes as `ParameterCodec.DecodeParameters` does. Any parameter that doesn't decode resets
/// all of them, and then only `watch` is looked at again: the name is lost, the watch is not.
pub(super) fn decode(query: Query<'_>) -> ListOptions<'_> {
    let mut first = FirstValues::default();
    for (key, value) in query.parameters() {
        first.keep(&key, value);
    }
    let decodes = first.decodes();
    let watch = first
        .watch
        .as_deref()
        .is_some_and(|value| is_true(value) && !(decodes && folds_to_false(value)));
    let name = if decodes {
        first
            .field_selector
            .and_then(name_in)
            .unwrap_or(Cow::Borrowed(b""))
    } else {
        Cow::Borrowed(&b""[..])
    };
    ListOptions { watch, name }
}

/// The first value of each parameter that can matter.
#[derive(Default)]
struct FirstValues<'q> {
    watch: Option<Cow<'q, [u8]>>,
    limit: Option<Cow<'q, [u8]>>,
    timeout_seconds: Option<Cow<'q, [u8]>>,
    label_selector: Option<Cow<'q, [u8]>>,
    field_selector: Option<Cow<'q, [u8]>>,
}

impl<'q> FirstValues<'q> {
    fn keep(&mut self, key: &[u8], value: Cow<'q, [u8]>) {
        let slot = match key {
            b"watch" => &mut self.watch,
            b"limit" => &mut self.limit,
            b"timeoutSeconds" => &mut self.timeout_seconds,
            b"labelSelector" => &mut self.label_selector,
            b"fieldSelector" => &mut self.field_selector,
            _ => return,
        };
        slot.get_or_insert(value);
    }

    fn decodes(&self) -> bool {
        self.limit.as_deref().is_none_or(is_int64)
            && self.timeout_seconds.as_deref().is_none_or(is_int64)
            && self
                .label_selector
                .as_deref()
                .is_none_or(selector::is_label_selector)
            && self
                .field_selector
                .as_deref()
                .is_none_or(|text| selector::parse_fields(text).is_some())
    }
}

/// A boolean parameter: everything but `0` and `false`, also the empty value, is true.
fn is_true(value: &[u8]) -> bool {
    value != b"0" && !value.eq_ignore_ascii_case(b"false")
}

/// The codec compares by Unicode's case folding, under which `ſ` is an `s`; the fallback doesn't.
fn folds_to_false(value: &[u8]) -> bool {
    std::str::from_utf8(value)
        .is_ok_and(|text| text.replace('ſ', "s").eq_ignore_ascii_case("false"))
}

/// What `strconv.ParseInt(value, 10, 64)` takes.
fn is_int64(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_ok_and(|text| text.parse::<i64>().is_ok())
}

fn name_in(field_selector: Cow<'_, [u8]>) -> Option<Cow<'_, [u8]>> {
    let terms = selector::parse_fields(&field_selector)?;
    let name = terms
        .iter()
        .find(|term| term.exact && term.field == b"metadata.name")?;
    is_path_segment(&name.value).then(|| Cow::Owned(name.value.to_vec()))
}

/// What may be a name by `path.IsValidPathSegmentName`.
fn is_path_segment(name: &[u8]) -> bool {
    name != b"." && name != b".." && !name.iter().any(|byte| matches!(byte, b'/' | b'%'))
}
