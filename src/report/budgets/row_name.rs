//! What a user calls a row: `PATCH-pods/status`, `UPDATE-virtualmachines@409`.

use std::str::FromStr;

use record::{Outcome, ResultRow};

/// `VERB-resource[/subresource][@code]`; the API group is not part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowName {
    verb: String,
    /// Resource and subresource, or a path.
    resource: String,
    /// As it was given; empty for rows without a code.
    code: Option<String>,
}

impl FromStr for RowName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (verb, resource) = text.trim().split_once('-').ok_or(())?;
        let (resource, code) = match resource.split_once('@') {
            Some((resource, code)) => (resource, Some(code.to_owned())),
            None => (resource, None),
        };
        if verb.is_empty() || resource.is_empty() {
            return Err(());
        }
        Ok(Self {
            verb: verb.to_lowercase(),
            resource: resource.to_owned(),
            code,
        })
    }
}

impl RowName {
    /// Whether it is the name of `row`; without a code it is the name of all.
    pub(crate) fn names(&self, row: &ResultRow) -> bool {
        row.call.verb == self.verb
            && resource(row) == self.resource
            && self.code.as_ref().is_none_or(|code| *code == code_of(row))
    }
}

fn code_of(row: &ResultRow) -> String {
    match &row.outcome {
        Outcome::NoAnswer(_) => String::new(),
        answered => answered.to_string(),
    }
}

/// A row's name without its code.
pub(crate) fn row_name(row: &ResultRow) -> String {
    format!("{}-{}", row.call.verb.to_uppercase(), resource(row))
}

fn resource(row: &ResultRow) -> String {
    let call = &row.call;
    match (call.resource.as_str(), call.subresource.as_str()) {
        ("", _) => call.path.clone(),
        (resource, "") => resource.to_owned(),
        (resource, subresource) => format!("{resource}/{subresource}"),
    }
}
