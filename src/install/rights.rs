//! The rights that each command needs, asked for before anything is done.

use kube::Client;

use super::{
    component::Component,
    error::InstallError,
    objects::{CONFIG_MAP, SECRET},
};
use cluster::rights::{Rule, missing};

/// What it takes to find the KubeVirt object.
pub const FIND: Rule = Rule::new("list", "kubevirt.io", "kubevirts");

/// To see components' workloads and pods.
const SEE: [Rule; 5] = [
    Rule::named("get", "apps", "deployments", "virt-api"),
    Rule::named("get", "apps", "deployments", "virt-controller"),
    Rule::named("get", "apps", "deployments", "virt-operator"),
    Rule::named("get", "apps", "daemonsets", "virt-handler"),
    Rule::new("list", "", "pods"),
];

const LOOK: [Rule; 2] = [
    Rule::named("get", "", "configmaps", CONFIG_MAP),
    Rule::new("get", "", "pods/proxy"),
];

const CHANGE: [Rule; 5] = [
    Rule::new("get", "kubevirt.io", "kubevirts"),
    Rule::new("update", "kubevirt.io", "kubevirts"),
    Rule::named("get", "", "secrets", SECRET),
    Rule::named("delete", "", "secrets", SECRET),
    Rule::named("delete", "", "configmaps", CONFIG_MAP),
];

const CREATE: [Rule; 2] = [
    Rule::new("create", "", "secrets"),
    Rule::new("create", "", "configmaps"),
];

const OPERATOR: Rule = Rule::named("update", "apps", "deployments", "virt-operator");

/// To say how an installation is.
pub fn to_look() -> Vec<Rule> {
    [&SEE[..], &LOOK].concat()
}

/// To attach these components.
pub fn to_attach(components: &[Component]) -> Vec<Rule> {
    let mut rules = to_detach(components);
    rules.extend(CREATE);
    rules
}

/// To detach these components.
pub fn to_detach(components: &[Component]) -> Vec<Rule> {
    let mut rules = [&to_look()[..], &CHANGE].concat();
    if components.contains(&Component::VirtOperator) {
        rules.push(OPERATOR);
    }
    rules
}

/// What an attach reads only if it may: events that say why a rollout does not go on.
pub const EVENTS: Rule = Rule::new("list", "", "events");

/// To find the attached proxies.
pub fn to_discover() -> Vec<Rule> {
    SEE.to_vec()
}

/// To read the token of the admin ports.
pub const TOKEN: Rule = Rule::named("get", "", "secrets", SECRET);

/// Asks for each; tells all that are missing.
pub(super) async fn check(
    client: &Client,
    namespace: Option<&str>,
    rules: &[Rule],
) -> Result<(), InstallError> {
    let missing = missing(client, namespace, rules).await;
    match missing.map_err(|error| InstallError::api("cannot ask for my rights", &error))? {
        None => Ok(()),
        Some(missing) => Err(InstallError::NoRights(missing)),
    }
}
