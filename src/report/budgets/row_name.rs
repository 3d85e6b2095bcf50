//! What a user calls a row: `PATCH-pods/status`, `UPDATE-virtualmachines@409`.

use std::{collections::BTreeSet, str::FromStr};

use classify::{VERBS, known_resources, path_class};
use record::{Outcome, ResultRow};

/// The end of KubeVirt's names of counts, and of a component's as the history has them.
pub(crate) const COUNT: &str = "-count";

/// Subresources of Kubernetes and of KubeVirt.
const SUBRESOURCES: &[&str] = &[
    "addvolume",
    "approval",
    "attach",
    "binding",
    "console",
    "ephemeralcontainers",
    "eviction",
    "exec",
    "expand-spec",
    "filesystemlist",
    "finalize",
    "freeze",
    "guestosinfo",
    "log",
    "memorydump",
    "migrate",
    "pause",
    "portforward",
    "proxy",
    "removevolume",
    "reset",
    "resize",
    "restart",
    "scale",
    "sev",
    "softreboot",
    "start",
    "status",
    "stop",
    "token",
    "unfreeze",
    "unpause",
    "usbredir",
    "userlist",
    "vnc",
    "vsock",
];

/// `VERB-resource[.group][/subresource][@code]`; without a group of any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowName {
    /// Without the code, as it was given.
    text: String,
    verb: String,
    /// Resource with its group if it was given, and subresource; or a path.
    resource: String,
    /// As it was given; empty for rows without a code.
    code: Option<String>,
}

impl FromStr for RowName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (text, code) = match text.trim().split_once('@') {
            Some((text, code)) => (text, Some(code.to_owned())),
            None => (text.trim(), None),
        };
        let (verb, resource) = text.split_once('-').ok_or(())?;
        if verb.is_empty() || resource.is_empty() {
            return Err(());
        }
        Ok(Self {
            text: text.to_owned(),
            verb: verb.to_lowercase(),
            resource: resource.to_owned(),
            code,
        })
    }
}

impl RowName {
    /// The name without the code.
    pub(crate) fn without_code(&self) -> &str {
        &self.text
    }

    /// Its verb in small letters, if there is none of that name.
    pub(crate) fn unknown_verb(&self) -> Option<&str> {
        (!VERBS.contains(&&*self.verb)).then_some(&self.verb)
    }

    /// Whether it is not the name of a row, but of KubeVirt's value.
    pub(crate) fn is_kubevirts(&self) -> bool {
        self.text.ends_with(COUNT)
    }

    /// Whether it has a code, so that it is the name of a part of a row.
    pub(crate) fn has_code(&self) -> bool {
        self.code.is_some()
    }

    /// Whether it is the name of `row`; without a code it is the name of all.
    pub(crate) fn names(&self, row: &ResultRow) -> bool {
        self.is_of_call(row) && self.code.as_ref().is_none_or(|code| *code == code_of(row))
    }

    fn is_of_call(&self, row: &ResultRow) -> bool {
        row.call.verb == self.verb
            && (resource(row, false) == self.resource || resource(row, true) == self.resource)
    }

    /// Whether there can be such a row: one of the rows has it with whatever code, or it is made of
    /// known names. A resource of which the group is given is believed.
    pub(crate) fn is_known(&self, rows: &[ResultRow]) -> bool {
        if rows.iter().any(|row| self.is_of_call(row)) {
            return true;
        }
        let is_path =
            self.resource.starts_with('/') && path_class(self.resource.as_bytes()) != "other";
        let (resource, subresource) = match self.resource.split_once('/') {
            Some((resource, subresource)) => (resource, Some(subresource)),
            None => (&*self.resource, None),
        };
        let is_resource =
            resource.contains('.') || known_resources().any(|known| known == resource);
        let is_subresource = subresource.is_none_or(|name| SUBRESOURCES.contains(&name));
        VERBS.contains(&&*self.verb) && (is_path || (is_resource && is_subresource))
    }

    /// Names that may have been meant: of rows that are there, and of known resources.
    pub(crate) fn candidates(&self, rows: &[ResultRow]) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = rows.iter().map(row_name).collect();
        if VERBS.contains(&&*self.verb) {
            let verb = self.verb.to_uppercase();
            names.extend(known_resources().map(|resource| format!("{verb}-{resource}")));
        }
        names
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
    format!("{}-{}", row.call.verb.to_uppercase(), resource(row, false))
}

fn resource(row: &ResultRow, with_group: bool) -> String {
    let call = &row.call;
    if call.resource.is_empty() {
        return call.path.clone();
    }
    let mut text = call.resource.clone();
    if with_group && !call.group.is_empty() {
        text = format!("{text}.{}", call.group);
    }
    if !call.subresource.is_empty() {
        text = format!("{text}/{}", call.subresource);
    }
    text
}
