//! Why calls failed or were needless, as programs read it.

use std::collections::BTreeSet;

use super::{Answer, Options, lines::Lines};
use record::{SentRecord, StatusRecord};

/// How many fields or paths a reason names.
const NAMED_MAX: usize = 8;

/// Who wrote an object: component and name of the call, as [`Lines`] has them.
pub(crate) type Writer = (u32, u32);

/// Why calls are in a finding. What is equal here is one finding.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Why<'r> {
    /// No response came, for this reason.
    NoAnswer(&'r str),
    /// What the `Status` says: its reason, and the fields of its causes.
    Status(&'r str, Vec<String>),
    /// One of these tests of a JSON patch did not hold.
    Tests(Vec<String>),
    /// The object had been written since, if it is known by whom.
    Written(Option<Writer>),
    /// The object had been deleted by this call.
    Deleted(Writer),
    /// The object had been there, and nobody is known to have deleted it.
    WasThere,
    /// The same call had failed so.
    After(Answer<'r>),
    /// What was written, of a patch, was there before.
    Unchanged(Vec<String>),
    /// The object was written too often.
    TooOften,
    /// The version that was read is the same as before.
    SameVersion,
    /// No write was seen since it was read before.
    NoWriteSeen,
    /// A watch delivers all of these objects.
    Watched,
    /// A watch delivers some of these objects, and it isn't known whether this one.
    PerhapsWatched,
    /// A list of all there are.
    OfAll,
    /// A list of all of a namespace.
    OfNamespace,
    /// A list for the second time, after this.
    Again(Cause<'r>),
    /// A watch was ended by the server, the client, a failure or the proxy.
    EndedBy(&'r str),
    /// The API of this group and version has a warning.
    Api(&'r str, &'r str),
}

/// What came before a list for the second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Cause<'r> {
    /// Nothing that was seen.
    Unknown,
    /// A watch was ended by this.
    Ended(&'r str),
    /// A watch delivered an error.
    ErrorEvent,
    /// A watch or list was answered 410.
    Expired,
}

impl<'r> Why<'r> {
    /// What a failure's `Status` says.
    pub(crate) fn status(failure: Option<&'r StatusRecord>) -> Self {
        let causes = failure.map_or(&[][..], |failure| &failure.causes);
        let fields = causes.iter().map(|cause| match &*cause.field {
            "" => cause.reason.clone(),
            field => general(field),
        });
        Self::Status(failure.map_or("", |failure| &failure.reason), named(fields))
    }

    /// The tests of a JSON patch.
    pub(crate) fn tests(sent: &SentRecord) -> Self {
        Self::Tests(named(sent.tests.iter().map(|path| general_path(path))))
    }

    /// The paths of a patch that changed nothing.
    pub(crate) fn unchanged(sent: Option<&SentRecord>) -> Self {
        let paths = sent.map_or(&[][..], |sent| &sent.paths);
        Self::Unchanged(named(paths.iter().map(|path| general_path(path))))
    }

    /// In few words.
    pub(crate) fn reason(&self, lines: &Lines<'_>, options: &Options) -> String {
        match self {
            Self::NoAnswer(reason) => (*reason).to_owned(),
            Self::Status("", fields) => with_list("unknown", fields),
            Self::Status(reason, fields) => with_list(reason, fields),
            Self::Tests(paths) if paths.len() == 1 => with_list("failed", paths),
            Self::Tests(paths) => with_list("one of", paths),
            Self::Written(None) => "Conflict: unknown".to_owned(),
            Self::Written(Some(writer)) => format!("Conflict: {}", written_by(*writer, lines)),
            Self::Deleted(writer) => format!("deleted: {}", written_by(*writer, lines)),
            Self::WasThere => "was there".to_owned(),
            Self::After(answer) => format!("after {answer}"),
            Self::Unchanged(paths) => with_list("unchanged", paths),
            Self::TooOften => {
                let Options {
                    hot_writes,
                    hot_seconds,
                    ..
                } = options;
                format!("more than {hot_writes} in {hot_seconds} s")
            }
            Self::SameVersion => "same version".to_owned(),
            Self::NoWriteSeen => "no write seen".to_owned(),
            Self::Watched => "watched".to_owned(),
            Self::PerhapsWatched => "perhaps watched".to_owned(),
            Self::OfAll => "all objects".to_owned(),
            Self::OfNamespace => "one namespace".to_owned(),
            Self::Again(cause) => cause.reason(),
            Self::EndedBy("") => "ended by unknown".to_owned(),
            Self::EndedBy(who) => format!("ended by {who}"),
            Self::Api("", version) => (*version).to_owned(),
            Self::Api(group, version) => format!("{group}/{version}"),
        }
    }
}

impl Cause<'_> {
    fn reason(self) -> String {
        match self {
            Self::Unknown => "again".to_owned(),
            Self::Ended(who) => format!("after a watch ended by {who}"),
            Self::ErrorEvent => "after an error event".to_owned(),
            Self::Expired => "after 410".to_owned(),
        }
    }
}

/// `virt-handler UPDATE-virtualmachineinstances/status`.
fn written_by((component, name): Writer, lines: &Lines<'_>) -> String {
    let component = lines.components[component as usize];
    format!("{component} {}", lines.names[name as usize])
}

fn with_list(text: &str, list: &[String]) -> String {
    if list.is_empty() {
        text.to_owned()
    } else {
        format!("{text}: {}", list.join(", "))
    }
}

/// Each once, in the order of their texts, which doesn't depend on that of a map; the first ones,
/// and how many more there are.
pub(crate) fn named(texts: impl Iterator<Item = String>) -> Vec<String> {
    let texts: BTreeSet<String> = texts.collect();
    let more = texts.len().saturating_sub(NAMED_MAX);
    let mut named: Vec<String> = texts.into_iter().take(NAMED_MAX).collect();
    if more > 0 {
        named.push(format!("{more} more"));
    }
    named
}

/// A field without indexes and keys, which may be names: `spec.containers[*].image`.
fn general(field: &str) -> String {
    let mut general = String::with_capacity(field.len());
    let mut depth = 0_u32;
    for letter in field.chars() {
        match letter {
            '[' if depth == 0 => {
                general.push_str("[*");
                depth = 1;
            }
            '[' => depth += 1,
            ']' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    general.push(']');
                }
            }
            letter if depth == 0 => general.push(letter),
            _ => {}
        }
    }
    general
}

/// A JSON pointer without indexes: `/spec/volumes/*`.
pub(crate) fn general_path(path: &str) -> String {
    let is_index = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts = path.split('/');
    let parts: Vec<&str> = parts
        .map(|part| if is_index(part) { "*" } else { part })
        .collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_index_and_no_key_is_in_a_reason() {
        for (field, shown) in [
            ("spec.a", "spec.a"),
            ("spec.a[12].b[x[1]].c", "spec.a[*].b[*].c"),
            (".spec.a[name=\"vm-1\"].b", ".spec.a[*].b"),
            ("a]b", "a]b"),
            ("a[b", "a[*"),
        ] {
            assert_eq!(general(field), shown);
        }
        assert_eq!(
            general_path("/spec/volumes/12/name"),
            "/spec/volumes/*/name"
        );
        assert_eq!(general_path("/a/1b/-"), "/a/1b/-");
    }

    #[test]
    fn a_reason_names_a_few_fields_each_once_in_one_order() {
        let many = (0..20).rev().map(|number| format!("f{number:02}"));
        let named = named(many.clone().chain(many));
        assert_eq!(named.len(), NAMED_MAX + 1);
        assert_eq!((&*named[0], &*named[NAMED_MAX]), ("f00", "12 more"));
    }
}
