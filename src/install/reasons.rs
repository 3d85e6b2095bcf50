//! Why a rollout does not go on, as the cluster says it: conditions of workloads and of the KubeVirt
//! object, and events.

use serde_json::Value;

use super::component::WorkloadKind;

/// Longest message, in characters.
const MESSAGE_MAX: usize = 300;

/// What a Deployment's conditions say against it. A ResourceQuota that asks for limits, a LimitRange
/// or a webhook refuses pods so.
pub(super) fn complaint_of_workload(workload: &Value) -> Option<String> {
    let bad = [("ReplicaFailure", "True"), ("Progressing", "False")];
    bad.into_iter()
        .find_map(|(name, status)| condition(workload, name, status))
}

/// What the KubeVirt object's conditions say about virt-operator's work.
pub(super) fn complaint_of_kubevirt(kubevirt: &Value) -> Option<String> {
    let bad = [
        ("Synchronized", "False"),
        ("Degraded", "True"),
        ("Created", "False"),
    ];
    bad.into_iter()
        .find_map(|(name, status)| condition(kubevirt, name, status))
        .map(|said| format!("the KubeVirt object: {said}"))
}

fn condition(object: &Value, name: &str, status: &str) -> Option<String> {
    let conditions = object["status"]["conditions"].as_array()?;
    let found = conditions
        .iter()
        .find(|condition| condition["type"] == name && condition["status"] == status)?;
    Some(said(name, found))
}

/// The newest warning about a workload, or about a ReplicaSet of it.
pub(super) fn complaint_of_events(
    kind: WorkloadKind,
    name: &str,
    events: &[Value],
) -> Option<String> {
    let is_about = |event: &&Value| {
        let about = &event["involvedObject"];
        let other = about["name"].as_str().unwrap_or_default();
        if about["kind"] == kind.kind() {
            return other == name;
        }
        // The Deployment's name, and a hash.
        let hash = other
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('-'));
        about["kind"] == "ReplicaSet" && hash.is_some_and(|hash| !hash.contains('-'))
    };
    let is_warning = |event: &&Value| event["type"] == "Warning";
    let newest = events
        .iter()
        .filter(is_warning)
        .filter(is_about)
        .max_by_key(|event| time_of(event))?;
    Some(said("event", newest))
}

/// RFC 3339 is in order as text.
fn time_of(event: &Value) -> &str {
    let times = [&event["lastTimestamp"], &event["eventTime"]];
    times
        .into_iter()
        .find_map(Value::as_str)
        .unwrap_or_default()
}

fn said(name: &str, said: &Value) -> String {
    let text = |field: &str| said[field].as_str().unwrap_or_default();
    let message = shortened(text("message"));
    format!("{name} {}: {message}", text("reason"))
}

/// Without its middle: virt-operator puts all of a Deployment before what is wrong with it.
fn shortened(message: &str) -> String {
    let characters: Vec<char> = message.chars().collect();
    if characters.len() <= MESSAGE_MAX {
        return message.to_owned();
    }
    let (head, tail) = (MESSAGE_MAX / 3, MESSAGE_MAX - MESSAGE_MAX / 3);
    let part = |part: &[char]| part.iter().collect::<String>();
    let end = part(&characters[characters.len() - tail..]);
    format!("{} … {end}", part(&characters[..head]))
}

/// KubeVirt's first version whose virt-operator knows init containers that go on running: an older
/// one drops `restartPolicy` from a patch, and the component would wait for its proxy to end.
const SIDECARS_SINCE: (u32, u32) = (1, 3);

/// Whether virt-operator of this version can put in a native sidecar. A version that can't be read
/// is not held against it.
pub(super) fn knows_sidecars(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split('.');
    let mut next = || numbers.next().and_then(|number| number.parse::<u32>().ok());
    match (next(), next()) {
        (Some(major), Some(minor)) => (major, minor) >= SIDECARS_SINCE,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_quota_is_named_by_the_deployment_and_by_events() {
        let message =
            "pods \"virt-api-1-x\" is forbidden: failed quota: q: must specify limits.cpu";
        let workload = json!({"status": {"conditions": [
            {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"},
            {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message},
        ]}});
        let said = format!("ReplicaFailure FailedCreate: {message}");
        assert_eq!(complaint_of_workload(&workload), Some(said));
        assert_eq!(complaint_of_workload(&json!({})), None);

        let event = |kind: &str, name: &str, at: &str, message: &str| {
            json!({"type": "Warning", "reason": "FailedCreate", "message": message,
                "lastTimestamp": at, "involvedObject": {"kind": kind, "name": name}})
        };
        let events = [
            event("ReplicaSet", "virt-api-5d4f", "2024-01-01T00:00:00Z", "old"),
            event("ReplicaSet", "virt-api-6b7c", "2024-01-02T00:00:00Z", "new"),
            event(
                "ReplicaSet",
                "virt-api-other-6b7c",
                "2024-01-03T00:00:00Z",
                "another's",
            ),
            event(
                "DaemonSet",
                "virt-handler",
                "2024-01-04T00:00:00Z",
                "of a DaemonSet",
            ),
        ];
        let of = |kind, name| complaint_of_events(kind, name, &events);
        assert_eq!(
            of(WorkloadKind::Deployment, "virt-api").unwrap(),
            "event FailedCreate: new"
        );
        assert_eq!(
            of(WorkloadKind::DaemonSet, "virt-handler").unwrap(),
            "event FailedCreate: of a DaemonSet"
        );
        assert_eq!(of(WorkloadKind::Deployment, "virt-operator"), None);
    }

    #[test]
    fn the_kubevirt_object_says_what_virt_operator_could_not_do() {
        let kubevirt = json!({"status": {"conditions": [
            {"type": "Available", "status": "True"},
            {"type": "Degraded", "status": "True", "reason": "DeploymentFailed", "message": "no"},
        ]}});
        let said = "the KubeVirt object: Degraded DeploymentFailed: no";
        assert_eq!(complaint_of_kubevirt(&kubevirt).unwrap(), said);
    }

    #[test]
    fn a_long_message_keeps_its_beginning_and_its_end() {
        let long = format!("unable{}ü: duplicate value", "{}".repeat(400));
        let short = shortened(&long);
        assert_eq!(short.chars().count(), MESSAGE_MAX + 3);
        assert!(short.starts_with("unable{}") && short.ends_with("ü: duplicate value"));
        assert_eq!(shortened("ü"), "ü");
    }

    #[test]
    fn native_sidecars_came_with_kubevirt_1_3() {
        for (version, knows) in [
            ("v1.2.2", false),
            ("v0.59.0", false),
            ("v1.3.0", true),
            ("v1.10.0-rc.1", true),
            ("devel", true),
            ("", true),
        ] {
            assert_eq!(knows_sidecars(version), knows, "{version}");
        }
    }
}
