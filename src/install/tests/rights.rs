//! The Role in docs/OPERATING.md is what the commands ask for, no more and no less.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{Component, rights};
use cluster::rights::Rule;

type Right = (String, String, String, Option<String>);

fn right(rule: &Rule) -> Right {
    (
        rule.verb.to_owned(),
        rule.group.to_owned(),
        rule.resource.to_owned(),
        rule.name.map(str::to_owned),
    )
}

/// Every verb of every resource of a Role.
fn rights_of(role: &Value) -> BTreeSet<Right> {
    let texts = |value: &Value| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items
            .map(|item| item.as_str().unwrap().to_owned())
            .collect()
    };
    let mut rights = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        let names = texts(&rule["resourceNames"]).into_iter().map(Some);
        let mut names: Vec<Option<String>> = names.collect();
        if names.is_empty() {
            names.push(None);
        }
        let group = texts(&rule["apiGroups"]).remove(0);
        for resource in texts(&rule["resources"]) {
            for verb in texts(&rule["verbs"]) {
                rights.extend(
                    names
                        .iter()
                        .map(|name| (verb.clone(), group.clone(), resource.clone(), name.clone())),
                );
            }
        }
    }
    rights
}

#[test]
fn the_documented_role_is_what_is_asked_for() {
    let docs = include_str!("../../../docs/OPERATING.md");
    let (_, role) = docs.split_once("```yaml\n").unwrap();
    let role: Value = serde_saphyr::from_str(role.split_once("```").unwrap().0).unwrap();
    let mut asked: BTreeSet<Right> = rights::to_attach(&Component::ALL)
        .iter()
        .map(right)
        .collect();
    asked.insert(right(&rights::FIND));
    asked.insert(right(&rights::EVENTS));
    assert_eq!(rights_of(&role), asked);
    for rule in rights::to_detach(&Component::ALL) {
        assert!(asked.contains(&right(&rule)), "{rule}");
    }
}

#[test]
fn virt_operator_needs_rights_of_its_own() {
    let without = rights::to_attach(&[Component::VirtApi]);
    let writes = |rule: &&Rule| rule.group == "apps" && rule.verb != "get";
    assert_eq!(without.iter().filter(writes).count(), 0);
    let with = rights::to_attach(&[Component::VirtOperator]);
    let rules: Vec<String> = with.iter().filter(writes).map(Rule::to_string).collect();
    let expected = ["update deployments.apps virt-operator"];
    assert_eq!(rules, expected);
}
