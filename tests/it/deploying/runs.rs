//! The runs of the CronJob, and what `kubetoll` says of them.

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;

use super::{documents, everything, output, pod_template, rendered};

#[test]
fn kubetoll_knows_the_arguments_of_the_runs() {
    let Some(manifests) = everything() else {
        return;
    };
    let mut scenarios = Vec::new();
    let objects = manifests.iter().flat_map(|text| documents(text));
    for object in objects.filter(|object| object["kind"] == "CronJob") {
        assert_eq!(object["spec"]["schedule"], "0 0,8,16 * * *");
        let spec = &pod_template(&object).unwrap()["spec"];
        for list in ["initContainers", "containers"] {
            for container in spec[list].as_array().unwrap() {
                let arguments = container["args"].as_array().unwrap();
                let arguments = arguments.iter().filter_map(Value::as_str);
                let mut kubetoll = Command::new(env!("CARGO_BIN_EXE_kubetoll"));
                // What comes before --help is looked at first.
                output(kubetoll.args(arguments.clone()).arg("--help"));
                scenarios.extend(arguments.skip(1).take(1).map(str::to_owned));
            }
        }
    }
    assert_eq!(scenarios, ["vmi", "vm", "instancetype"].repeat(3));
}

/// One right: namespace or nothing, group, resource, name or nothing, verb.
type Right = (Option<String>, String, String, Option<String>, String);

fn rights(manifest: &str) -> BTreeSet<Right> {
    let mut found = BTreeSet::new();
    let roles = documents(manifest);
    let roles = roles.iter().filter(|object| !object["rules"].is_null());
    for role in roles {
        let namespace = role["metadata"]["namespace"].as_str().map(str::to_owned);
        for rule in role["rules"].as_array().unwrap() {
            let texts = |key: &str| -> Vec<String> {
                let texts = rule[key].as_array().into_iter().flatten();
                texts.filter_map(Value::as_str).map(str::to_owned).collect()
            };
            let mut names: Vec<Option<String>> =
                texts("resourceNames").into_iter().map(Some).collect();
            if names.is_empty() {
                names.push(None);
            }
            for (group, resource) in pairs(&texts("apiGroups"), &texts("resources")) {
                for (name, verb) in pairs(&names, &texts("verbs")) {
                    let (namespace, group) = (namespace.clone(), group.clone());
                    found.insert((namespace, group, resource.clone(), name, verb));
                }
            }
        }
    }
    found
}

fn pairs<A: Clone, B: Clone>(left: &[A], right: &[B]) -> Vec<(A, B)> {
    let all = left.iter();
    let all = all.flat_map(|a| right.iter().map(move |b| (a.clone(), b.clone())));
    all.collect()
}

#[test]
fn the_runs_have_the_rights_that_kubetoll_asks_for_and_no_more() {
    let Some(manifest) = rendered("proxy.enabled=false,runs.enabled=true") else {
        return;
    };
    let mut kubetoll = Command::new(env!("CARGO_BIN_EXE_kubetoll"));
    kubetoll.args(["rbac", "run", "--kubevirt-namespace", "kubevirt"]);
    kubetoll.args(["--proxy-via", "pod-network", "--with-token-file"]);
    let asked = rights(&output(&mut kubetoll));
    assert!(asked.len() > 10, "{asked:?}");
    assert_eq!(rights(&manifest), asked);
}
