//! Entries come and go in `customizeComponents`, and what others have there stays.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::spec;
use crate::{
    Component,
    customize::{Entry, entry, foreign_kubeconfig, restored, with},
    marks::KUBECONFIG,
    patch::{Mode, patch},
};

fn ours(component: Component, mode: Mode) -> Entry {
    Entry::new(component, &patch(component, &spec(mode)), mode)
}

const CUSTOMIZABLE: [Component; 3] = [
    Component::VirtApi,
    Component::VirtHandler,
    Component::VirtController,
];

/// A patch of somebody else, perhaps one that looks much like ours, or no JSON at all.
fn foreign() -> impl Strategy<Value = Value> {
    let annotated = |name: &'static str| {
        let annotations = json!({"theirs": name, "kubetoll.dev/other": "virt-api"});
        json!({"spec": {"template": {"metadata": {"annotations": annotations}}}}).to_string()
    };
    let content = prop_oneof![
        Just(annotated("a")),
        Just("kubetoll.dev/component: virt-api".to_owned()),
        Just(String::new()),
        "[a-z{}\":]{0,40}",
    ];
    let name = prop_oneof![Just("*"), Just("virt-api"), Just("virt-controller")];
    (content, name).prop_map(|(patch, name)| {
        json!({"resourceType": "Deployment", "resourceName": name, "type": "strategic", "patch": patch})
    })
}

/// `customizeComponents` as others may have left it.
fn customization() -> impl Strategy<Value = Option<Value>> {
    let patches = prop::option::of(prop::collection::vec(foreign(), 0..4));
    let flags = prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!({"controller": {}})),
        Just(json!({"controller": {"v": "5"}, "api": {"kubeconfig": "/their/own"}})),
    ];
    let some = (patches, flags).prop_map(|(patches, flags)| {
        let mut all = json!({});
        if let Some(patches) = patches {
            all["patches"] = json!(patches);
        }
        if !flags.is_null() {
            all["flags"] = flags;
        }
        all
    });
    prop_oneof![Just(None), some.prop_map(Some)]
}

proptest! {
    #[test]
    fn attach_and_detach_in_any_order_leave_what_was_there(
        before in customization(),
        there in Just(CUSTOMIZABLE.to_vec()).prop_shuffle(),
        back in Just(CUSTOMIZABLE.to_vec()).prop_shuffle(),
        kubeconfig in any::<bool>(),
    ) {
        let mode = if kubeconfig { Mode::Kubeconfig } else { Mode::Sidecar };
        let mut now = before.clone();
        let there: Vec<Component> = there
            .into_iter()
            .filter(|one| !kubeconfig || foreign_kubeconfig(before.as_ref(), *one).is_none())
            .collect();
        for component in &there {
            now = with(now.as_ref(), *component, &ours(*component, mode));
            prop_assert_eq!(&entry(now.as_ref(), *component), &ours(*component, mode));
        }
        let all = now.as_ref().unwrap()["patches"].as_array().unwrap().clone();
        let theirs = before.as_ref().and_then(|before| before["patches"].as_array().cloned());
        let theirs = theirs.unwrap_or_default();
        prop_assert_eq!(&all[..theirs.len()], &theirs[..]);
        prop_assert_eq!(all.len(), theirs.len() + there.len());
        for component in &back {
            now = with(now.as_ref(), *component, &Entry::default());
            prop_assert!(entry(now.as_ref(), *component).is_empty());
        }
        prop_assert_eq!(restored(now, before.as_ref()), before);
    }
}

#[test]
fn another_patch_takes_the_place_of_the_old_one() {
    let theirs = json!({
        "resourceType": "Deployment", "resourceName": "*", "type": "merge", "patch": "{}",
    });
    let component = Component::VirtApi;
    let first = with(None, component, &ours(component, Mode::Kubeconfig)).unwrap();
    assert_eq!(first["flags"]["api"]["kubeconfig"], KUBECONFIG);
    let mut both = first.clone();
    both["patches"].as_array_mut().unwrap().push(theirs.clone());
    let second = with(Some(&both), component, &ours(component, Mode::Sidecar)).unwrap();
    let patches = second["patches"].as_array().unwrap();
    assert_eq!(patches.len(), 2);
    assert_eq!(
        Some(&patches[0]),
        ours(component, Mode::Sidecar).patch.as_ref()
    );
    assert_eq!(patches[1], theirs);
    assert_eq!(second.get("flags"), None);
}

#[test]
fn what_others_changed_meanwhile_is_kept() {
    let component = Component::VirtApi;
    let mut now = with(None, component, &ours(component, Mode::Sidecar)).unwrap();
    now["flags"] = json!({"api": {"v": "9"}});
    let left = with(Some(&now), component, &Entry::default());
    let kept = json!({"flags": {"api": {"v": "9"}}});
    assert_eq!(restored(left, None), Some(kept));
}
