//! What is told of patches of others that do not go together with a proxy.

use serde_json::{Value, json};

use super::spec;
use crate::clashes::Reason;
use crate::{
    Component,
    clashes::{
        Reason::{Number, Replaced},
        clashes,
    },
    patch::{Mode, patch},
};

/// What is found in one patch for virt-api, which may be longer than ours.
fn found(
    form: &str,
    (kind, name): (&str, &str),
    content: &Value,
    is_long: bool,
) -> Vec<(String, Reason)> {
    let ours = patch(Component::VirtApi, &spec(Mode::Sidecar));
    let padding = " ".repeat(if is_long { ours.to_string().len() } else { 0 });
    let theirs = json!({
        "resourceType": kind, "resourceName": name, "type": form,
        "patch": format!("{content}{padding}"),
    });
    let customization = json!({"patches": [theirs]});
    let found = clashes(Some(&customization), Component::VirtApi, &ours);
    let found = found.into_iter().map(|clash| (clash.path, clash.reason));
    found.collect()
}

const API: (&str, &str) = ("Deployment", "virt-api");

fn operation(path: &str) -> Value {
    json!([{"op": "add", "path": path, "value": {}}])
}

#[test]
fn places_in_a_list_are_told_and_whole_lists_where_they_come_after_ours() {
    let pod = "/spec/template/spec";
    for (path, reason) in [
        (format!("{pod}/volumes/0"), Number),
        (format!("{pod}/containers/0/env/1/value"), Number),
        (format!("{pod}/volumes"), Replaced),
        (format!("{pod}/containers"), Replaced),
        ("/spec/template/metadata/annotations".to_owned(), Replaced),
        (pod.to_owned(), Replaced),
        (String::new(), Replaced),
    ] {
        let short = found("json", API, &operation(&path), false);
        assert_eq!(short.len(), usize::from(reason == Number), "{path}");
        let long = found("json", API, &operation(&path), true);
        assert_eq!(long, [(path, reason)]);
    }
    for path in [
        "volumes/-",
        "nodeSelector",
        "tolerations/0",
        "vol",
        "containers/0/args/1",
    ] {
        let path = format!("{pod}/{path}");
        let told = found("json", API, &operation(&path), true);
        assert_eq!(told, [], "{path}");
    }
    let moved = json!([{"op": "move", "from": format!("{pod}/volumes/1"), "path": "/metadata/x"}]);
    let told = found("json", API, &moved, false);
    assert_eq!(told, [(format!("{pod}/volumes/1"), Number)]);
}

#[test]
fn a_merge_patch_after_ours_is_told_for_its_lists() {
    let lists = json!({"spec": {"template": {
        "metadata": {"annotations": null},
        "spec": {"volumes": [], "nodeSelector": {"a": "b"}},
    }}});
    let paths = [
        "/spec/template/metadata/annotations",
        "/spec/template/spec/volumes",
    ];
    let told = found("merge", API, &lists, true);
    assert_eq!(told, paths.map(|path| (path.to_owned(), Replaced)));
    assert_eq!(found("merge", API, &lists, false), []);
    let maps = json!({"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}});
    assert_eq!(found("merge", API, &maps, true), []);
    assert_eq!(found("strategic", API, &lists, true), []);
}

#[test]
fn kinds_and_names_are_compared_as_virt_operator_does() {
    let path = operation("/spec/template/spec/volumes/0");
    for (named, count) in [
        (("deployment", "VIRT-API"), 1),
        (("*", "*"), 1),
        (("DaemonSet", "*"), 0),
        (("Deployment", "virt-controller"), 0),
    ] {
        assert_eq!(found("json", named, &path, false).len(), count, "{named:?}");
    }
}
