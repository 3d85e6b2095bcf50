//! The rights that each command needs, asked for before anything is done.

use std::fmt;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::{Api, Client, api::PostParams};

use super::{
    Component, InstallError,
    objects::{CONFIG_MAP, SECRET},
};

/// One right: what a rule of a Role would have to allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The verb.
    pub verb: &'static str,
    /// The API group, empty for the core group.
    pub group: &'static str,
    /// The resource, with its subresource after a slash.
    pub resource: &'static str,
    /// The object's name, where one is enough.
    pub name: Option<&'static str>,
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(formatter, ".{}", self.group)?;
        }
        match self.name {
            Some(name) => write!(formatter, " {name}"),
            None => Ok(()),
        }
    }
}

/// To find KubeVirt.
pub(super) const FIND: Rule = rule("list", "kubevirt.io", "kubevirts", None);

/// To say how an installation is.
pub(super) const LOOK: [Rule; 5] = [
    rule("get", "", "configmaps", Some(CONFIG_MAP)),
    rule("get", "apps", "deployments", None),
    rule("get", "apps", "daemonsets", None),
    rule("list", "", "pods", None),
    rule("get", "", "pods/proxy", None),
];

const CHANGE: [Rule; 5] = [
    rule("get", "kubevirt.io", "kubevirts", None),
    rule("update", "kubevirt.io", "kubevirts", None),
    rule("get", "", "secrets", Some(SECRET)),
    rule("delete", "", "secrets", Some(SECRET)),
    rule("delete", "", "configmaps", Some(CONFIG_MAP)),
];

const CREATE: [Rule; 2] = [
    rule("create", "", "secrets", None),
    rule("create", "", "configmaps", None),
];

const OPERATOR: Rule = rule("update", "apps", "deployments", Some("virt-operator"));

const fn rule(
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    name: Option<&'static str>,
) -> Rule {
    Rule {
        verb,
        group,
        resource,
        name,
    }
}

/// To attach these components.
pub(super) fn to_attach(components: &[Component]) -> Vec<Rule> {
    let mut rules = to_detach(components);
    rules.extend(CREATE);
    rules
}

/// To detach these components.
pub(super) fn to_detach(components: &[Component]) -> Vec<Rule> {
    let mut rules: Vec<Rule> = LOOK.into_iter().chain(CHANGE).collect();
    if components.contains(&Component::VirtOperator) {
        rules.push(OPERATOR);
    }
    rules
}

/// Asks for each; tells all that are missing.
pub(super) async fn check(
    client: &Client,
    namespace: Option<&str>,
    rules: &[Rule],
) -> Result<(), InstallError> {
    let mut missing = Vec::new();
    for rule in rules {
        if !may(client, namespace, rule).await? {
            missing.push(rule.clone());
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(InstallError::NoRights(missing))
    }
}

async fn may(client: &Client, namespace: Option<&str>, rule: &Rule) -> Result<bool, InstallError> {
    let (resource, subresource) = match rule.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource)),
        None => (rule.resource, None),
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some(rule.verb.to_owned()),
                group: Some(rule.group.to_owned()),
                resource: Some(resource.to_owned()),
                subresource: subresource.map(str::to_owned),
                namespace: namespace.map(str::to_owned),
                name: rule.name.map(str::to_owned),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = api.create(&PostParams::default(), &review).await;
    let answer = answer.map_err(|error| InstallError::api("cannot ask for my rights", &error))?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
