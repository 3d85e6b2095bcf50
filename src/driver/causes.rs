//! What an object's status or an event says about why it is not Running.

use kube::api::DynamicObject;
use serde_json::Value;

use crate::workload::{Kind, POD};
use record::{Cause, CauseSource, printable_line};

/// Longest message, in characters.
const MESSAGE_MAX: usize = 240;
/// Longest reason, type or name of a container, in characters: a CamelCase word as a rule.
const WORD_MAX: usize = 64;
/// What differs from object to object, so that messages can be compared.
const SOME_NAME: &str = "…";
/// What the names of virt-launcher pods begin with.
const LAUNCHER: &str = "virt-launcher-";
/// Conditions that are not True of what runs well, either.
const INDIFFERENT: [&str; 2] = ["LiveMigratable", "StorageLiveMigratable"];

/// The names that an object's messages may have, which no other object's have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'n>([&'n str; 2]);

impl<'n> Names<'n> {
    /// The object's and its pod's; empty if it has none.
    pub(super) fn of(object: &'n str, pod: &'n str) -> Self {
        Self([object, pod])
    }
}

/// Conditions of a VM or VMI that are not as they should be.
pub(super) fn causes_of_workload(
    kind: Kind,
    object: &DynamicObject,
    names: Names<'_>,
) -> Vec<Cause> {
    let conditions = object.data["status"]["conditions"].as_array();
    let bad =
        conditions
            .into_iter()
            .flatten()
            .filter(|condition| match condition["type"].as_str() {
                Some("Failure") => condition["status"] == "True",
                Some(other) => condition["status"] == "False" && !INDIFFERENT.contains(&other),
                None => false,
            });
    bad.map(|condition| {
        let name = word(&condition["type"]);
        let source = CauseSource::Condition;
        cause(source, kind.kind, name, condition, names)
    })
    .collect()
}

/// Why a pod is not scheduled, and what its containers wait for.
pub(super) fn causes_of_pod(pod: &DynamicObject, names: Names<'_>) -> Vec<Cause> {
    let status = &pod.data["status"];
    let scheduled = status["conditions"].as_array().into_iter().flatten();
    let mut causes: Vec<Cause> = scheduled
        .filter(|condition| condition["type"] == "PodScheduled" && condition["status"] == "False")
        .map(|condition| {
            let (source, name) = (CauseSource::Condition, word(&condition["type"]));
            cause(source, POD.kind, name, condition, names)
        })
        .collect();
    for list in ["initContainerStatuses", "containerStatuses"] {
        for container in status[list].as_array().into_iter().flatten() {
            let waiting = &container["state"]["waiting"];
            // Every container is in creation for a while, and that says nothing.
            let is_said = waiting["message"].is_string() || waiting["reason"] == "CrashLoopBackOff";
            if is_said {
                let (source, name) = (CauseSource::Container, word(&container["name"]));
                causes.push(cause(source, POD.kind, name, waiting, names));
            }
        }
    }
    causes
}

/// What a warning event says about an object of `kind`.
pub(super) fn warning(kind: &str, event: &Value, names: Names<'_>) -> Cause {
    let kind = shortened(kind, WORD_MAX);
    let source = CauseSource::Event;
    cause(source, &kind, String::new(), event, names)
}

fn cause(source: CauseSource, kind: &str, name: String, said: &Value, names: Names<'_>) -> Cause {
    let message = said["message"].as_str().unwrap_or_default();
    Cause {
        source,
        kind: kind.to_owned(),
        name,
        reason: word(&said["reason"]),
        message: shortened(&without_names(message, names), MESSAGE_MAX),
    }
}

fn word(value: &Value) -> String {
    shortened(value.as_str().unwrap_or_default(), WORD_MAX)
}

/// On one line, and not longer than that many characters.
fn shortened(text: &str, most: usize) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = printable_line(&words);
    if text.chars().count() <= most {
        return text.into_owned();
    }
    let mut short: String = text.chars().take(most - 1).collect();
    short.push('…');
    short
}

/// A message without what no other object's message has.
fn without_names(message: &str, Names(names): Names<'_>) -> String {
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.');
    let mut text = String::with_capacity(message.len());
    let mut rest = message;
    while !rest.is_empty() {
        let end = rest
            .find(|letter| !is_of_name(letter))
            .unwrap_or(rest.len());
        let (token, after) = rest.split_at(end);
        let ends = token.trim_end_matches('.');
        let is_name = !ends.is_empty() && names.contains(&ends);
        if is_name || (ends.starts_with(LAUNCHER) && ends.len() > LAUNCHER.len()) {
            text.push_str(SOME_NAME);
            text.push_str(&token[ends.len()..]);
        } else {
            text.push_str(token);
        }
        let between = after.find(is_of_name).unwrap_or(after.len());
        text.push_str(&after[..between]);
        rest = &after[between..];
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{client::resource, workload::VMI};

    fn object(kind: Kind, status: &Value) -> DynamicObject {
        DynamicObject::new("testvmi-a", &resource(kind)).data(json!({"status": status}))
    }

    fn names() -> Names<'static> {
        Names::of("testvmi-a", "virt-launcher-testvmi-a-x2x2x")
    }

    #[test]
    fn what_a_quota_refuses_is_the_same_for_all_objects() {
        let message = "failed to create virtual machine pod: pods \"virt-launcher-testvmi-a-bcdfg\" \
                       is forbidden: exceeded quota: few, requested: pods=1, used: pods=3";
        let status = json!({"conditions": [
            {"type": "Synchronized", "status": "False", "reason": "FailedCreate", "message": message},
            {"type": "LiveMigratable", "status": "False", "reason": "X", "message": "x"},
            {"type": "Ready", "status": "True"},
        ]});
        let causes = causes_of_workload(VMI, &object(VMI, &status), names());
        assert_eq!(
            causes,
            [Cause {
                source: CauseSource::Condition,
                kind: "VirtualMachineInstance".to_owned(),
                name: "Synchronized".to_owned(),
                reason: "FailedCreate".to_owned(),
                message: "failed to create virtual machine pod: pods \"…\" is forbidden: exceeded \
                          quota: few, requested: pods=1, used: pods=3"
                    .to_owned(),
            }]
        );
    }

    #[test]
    fn a_pod_says_why_it_is_not_scheduled_and_what_its_containers_wait_for() {
        let status = json!({
            "conditions": [
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                    "message": "0/4 nodes are available.\n\tpreemption: none"},
                {"type": "Ready", "status": "False"},
            ],
            "containerStatuses": [
                {"name": "compute", "state": {"waiting": {"reason": "ContainerCreating"}}},
                {"name": "disk", "state": {"waiting": {"reason": "ImagePullBackOff",
                    "message": "Back-off pulling image \u{1b}[31m\"a\""}}},
            ],
        });
        let causes = causes_of_pod(&object(POD, &status), names());
        let said = |cause: &Cause| format!("{} {}: {}", cause.name, cause.reason, cause.message);
        let said: Vec<String> = causes.iter().map(said).collect();
        assert_eq!(
            said,
            [
                "PodScheduled Unschedulable: 0/4 nodes are available. preemption: none",
                "disk ImagePullBackOff: Back-off pulling image \\u001b[31m\"a\"",
            ]
        );
    }

    #[test]
    fn messages_are_short_and_names_in_them_are_left_out() {
        let of = |message: &str| without_names(message, names());
        assert_eq!(of("testvmi-a. It, testvmi-ab"), "…. It, testvmi-ab");
        assert_eq!(of("(virt-launcher-testvmi-a-x2x2x)"), "(…)");
        assert_eq!(of("ü…testvmi-a"), "ü……");
        let long = warning("Pod", &json!({"message": "x".repeat(1_000)}), names());
        assert_eq!(long.message.chars().count(), MESSAGE_MAX);
        assert!(long.message.ends_with("x…"));
    }
}
