//! What virt-operator's double makes of `customizeComponents` is what KubeVirt's own code made of it
//! (tests/vectors/install says how that was written down).

use install::{Component, clashes::clashes, customize::entry, template::lacking};
use serde_json::{Value, json};

use crate::support::kubevirt::{KubeVirt, workload};

const KINDS: [(&str, &str, Component); 2] = [
    ("virt-api", "Deployment", Component::VirtApi),
    ("virt-handler", "DaemonSet", Component::VirtHandler),
];

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../vectors/install/customized.json")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_played_operator_applies_patches_as_kubevirts_own_does() {
    let Some(kubevirt) = KubeVirt::install(json!({})).await else {
        return;
    };
    kubevirt.settle().await;
    kubevirt.stop_doubles();
    let vectors = vectors();
    for case in vectors["cases"].as_array().unwrap() {
        for (name, kind, _) in KINDS {
            assert_eq!(
                vectors["workloads"][name]["spec"],
                workload(name, kind)["spec"],
                "the double's workloads are others: make the vectors again"
            );
            let made = kubevirt
                .customized(name, kind, &case["customizeComponents"])
                .await;
            let own = &case["results"][name]["spec"];
            let own = kubevirt.stored(name, kind, own).await;
            assert_eq!(made, own, "{name}: {}", case["what"]);
        }
    }
}

/// Where nothing is told, a proxy is whole in what virt-operator makes, which stays so when it applies
/// the patches again.
#[test]
fn what_does_not_go_together_with_a_proxy_is_told() {
    let (mut told, mut whole) = (0, 0);
    for case in vectors()["cases"].as_array().unwrap() {
        let given = &case["customizeComponents"];
        for (name, _, component) in KINDS {
            let Some(ours) = entry(Some(given), component).content() else {
                continue;
            };
            if !clashes(Some(given), component, &ours).is_empty() {
                told += 1;
                continue;
            }
            let result = &case["results"][name];
            assert_eq!(result.get("again"), None, "{name}: {}", case["what"]);
            let lacking = lacking(&result["spec"]["template"], component, &ours);
            assert!(lacking.is_empty(), "{name}: {}: {lacking:?}", case["what"]);
            whole += 1;
        }
    }
    assert_eq!((told, whole), (4, 5));
}
