//! What is told when something is not as it was attached.

use serde_json::{Value, json};

use super::spec;
use crate::{
    Component,
    customize::Entry,
    patch::{Mode, patch},
    status::{Seen, drift},
    template::attached,
};

/// virt-operator with a proxy, and what the API server adds.
fn operator() -> Seen {
    let component = Component::VirtOperator;
    let bare = json!({
        "metadata": {},
        "spec": {
            "containers": [{"name": "virt-operator", "env": [{"name": "OWN", "value": "1"}]}],
            "volumes": [{"name": "certs"}],
        },
    });
    let mut template = attached(&bare, component, &patch(component, &spec(Mode::Sidecar)));
    template["spec"]["initContainers"][0]["terminationMessagePath"] = json!("/dev/log");
    template["spec"]["volumes"][1]["projected"]["defaultMode"] = json!(420);
    Seen {
        component,
        entry: Entry::default(),
        workload: json!({
            "metadata": {"annotations": {"kubetoll.dev/original": bare.to_string()}},
            "spec": {"template": template},
        }),
        pods: Vec::new(),
    }
}

#[test]
fn a_change_of_virt_operator_by_hand_is_told() {
    assert_eq!(told(&operator()), "");
    let by_hand = "its pod template was changed by hand";
    let cases = [
        (
            "/containers/0/env/0/value",
            json!("10.96.0.1"),
            "(environment)",
        ),
        ("/containers/0/volumeMounts", json!([]), "(mounts)"),
        ("/volumes/0/secret/secretName", json!("other"), "(volumes)"),
        (
            "/initContainers/0/args/3",
            json!("--upstream=x"),
            "(the proxy's container)",
        ),
        (
            "/initContainers/0/image",
            json!("other"),
            "not what this program puts in",
        ),
        ("/initContainers", json!([]), "lost its proxy"),
    ];
    for (at, value, expected) in cases {
        let mut one = operator();
        let at = format!("/spec/template/spec{at}");
        *one.workload.pointer_mut(&at).unwrap() = value;
        let told = told(&one);
        assert!(told.contains(expected), "{at}: {told}");
        assert_eq!(told.contains(by_hand), expected.starts_with('('), "{told}");
    }
}

fn seen(mode: Mode) -> Seen {
    let component = Component::VirtApi;
    let patch = patch(component, &spec(mode));
    let template = patch["spec"]["template"].clone();
    Seen {
        component,
        entry: Entry::new(component, &patch, mode),
        workload: json!({"spec": {"template": template.clone()}}),
        pods: vec![template],
    }
}

fn told(seen: &Seen) -> String {
    drift(seen).join("; ")
}

/// The entry's patch with one word exchanged.
fn edited(entry: &Entry, from: &str, to: &str) -> Entry {
    let mut entry = entry.clone();
    if let Some(patch) = &mut entry.patch {
        let text = patch["patch"].as_str().unwrap().replace(from, to);
        patch["patch"] = json!(text);
    }
    entry
}

#[test]
fn nothing_is_told_where_all_is_as_attached_or_nothing_is() {
    for mode in [Mode::Sidecar, Mode::Kubeconfig] {
        assert_eq!(told(&seen(mode)), "");
    }
    let bare = Seen {
        entry: Entry::default(),
        workload: Value::Null,
        pods: Vec::new(),
        ..seen(Mode::Sidecar)
    };
    assert_eq!(told(&bare), "");
}

#[test]
fn each_drift_is_told() {
    let mut one = seen(Mode::Sidecar);
    one.entry = edited(&one.entry, "IfNotPresent", "Always");
    assert_eq!(
        told(&one),
        "its patch in the KubeVirt object was changed by hand"
    );

    let mut one = seen(Mode::Sidecar);
    let mut other = spec(Mode::Sidecar);
    other.image = "other".to_owned();
    let newer = patch(one.component, &other);
    one.entry = Entry::new(one.component, &newer, Mode::Sidecar);
    assert_eq!(
        told(&one),
        "its workload has an older patch than the KubeVirt object"
    );

    let mut one = seen(Mode::Sidecar);
    one.workload = json!({"spec": {"template": {}}});
    let expected = "its workload has no proxy: virt-operator did not apply the patch";
    assert_eq!(told(&one), expected);

    let mut one = seen(Mode::Sidecar);
    one.entry = Entry::default();
    let expected = "its workload has a proxy, and the KubeVirt object no patch for it";
    assert_eq!(told(&one), expected);

    let mut one = seen(Mode::Kubeconfig);
    one.entry.flag = false;
    let expected = "its flag kubeconfig in the KubeVirt object does not fit its patch";
    assert_eq!(told(&one), expected);

    let mut one = seen(Mode::Sidecar);
    one.pods[0]["spec"]["initContainers"][0]["image"] = json!("older");
    assert_eq!(told(&one), "pods with another image of the proxy: 1");
}
