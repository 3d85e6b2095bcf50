//! The rights that a command needs on a cluster: listed, asked for before anything is done, and
//! written as the rules of a Role that would give them.
//!
//! ```
//! use cluster::rights::{Rule, yaml};
//! let rules = [Rule::new("get", "", "pods"), Rule::new("list", "", "pods")];
//! assert_eq!(yaml(&rules), "- apiGroups: [\"\"]\n  resources: [pods]\n  verbs: [get, list]\n");
//! ```

use std::fmt::{self, Write};

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::{Api, Client, api::PostParams};

/// One right: what a rule of a Role would have to allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The verb, such as `list`.
    pub verb: &'static str,
    /// The API group, empty for the core group.
    pub group: &'static str,
    /// The resource, with its subresource after a slash.
    pub resource: &'static str,
    /// The object's name, where one is enough.
    pub name: Option<&'static str>,
}

/// Rights that the user does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The namespace in which they were asked for; `None` is all of the cluster.
    pub namespace: Option<String>,
    /// What is missing: at least one.
    pub rules: Vec<Rule>,
}

impl Rule {
    /// A right on all objects of a resource.
    pub const fn new(verb: &'static str, group: &'static str, resource: &'static str) -> Self {
        Self {
            verb,
            group,
            resource,
            name: None,
        }
    }

    /// A right on one object.
    pub const fn named(
        verb: &'static str,
        group: &'static str,
        resource: &'static str,
        name: &'static str,
    ) -> Self {
        Self {
            verb,
            group,
            resource,
            name: Some(name),
        }
    }
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

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules: Vec<String> = self.rules.iter().map(Rule::to_string).collect();
        let place = match &self.namespace {
            Some(namespace) => format!("a Role in namespace {namespace}"),
            None => "a ClusterRole".to_owned(),
        };
        write!(
            formatter,
            "you may not {}; what is missing, as rules of {place}:\n{}",
            rules.join(", "),
            yaml(&self.rules).trim_end()
        )
    }
}

/// Asks the API server for each; gives those that the user does not have.
pub async fn missing(
    client: &Client,
    namespace: Option<&str>,
    rules: &[Rule],
) -> kube::Result<Option<Missing>> {
    let mut missing = Vec::new();
    for rule in rules {
        if !is_allowed(client, namespace, rule).await? {
            missing.push(rule.clone());
        }
    }
    Ok((!missing.is_empty()).then(|| Missing {
        namespace: namespace.map(str::to_owned),
        rules: missing,
    }))
}

async fn is_allowed(client: &Client, namespace: Option<&str>, rule: &Rule) -> kube::Result<bool> {
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
    let answer = api.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// The `rules` of a Role, YAML; rights that differ in one thing only are one rule.
pub fn yaml(rules: &[Rule]) -> String {
    let mut text = String::new();
    for rule in joined(rules) {
        let group = if rule.group.is_empty() {
            "\"\""
        } else {
            rule.group
        };
        let _ = writeln!(text, "- apiGroups: [{group}]");
        let _ = writeln!(text, "  resources: [{}]", rule.resources.join(", "));
        if !rule.names.is_empty() {
            let _ = writeln!(text, "  resourceNames: [{}]", rule.names.join(", "));
        }
        let _ = writeln!(text, "  verbs: [{}]", rule.verbs.join(", "));
    }
    text
}

/// A Role in a namespace, or a ClusterRole, with these rights, YAML.
pub fn role(name: &str, namespace: Option<&str>, rules: &[Rule]) -> String {
    let (kind, place) = match namespace {
        Some(namespace) => ("Role", format!("\n  namespace: {namespace}")),
        None => ("ClusterRole", String::new()),
    };
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: {name}{place}\n\
         rules:\n{}",
        yaml(rules)
    )
}

/// A rule of a Role.
#[derive(PartialEq)]
struct Joined {
    group: &'static str,
    resources: Vec<&'static str>,
    names: Vec<&'static str>,
    verbs: Vec<&'static str>,
}

fn joined(rules: &[Rule]) -> Vec<Joined> {
    let mut by_object: Vec<Joined> = Vec::new();
    for rule in rules {
        let names: Vec<_> = rule.name.into_iter().collect();
        let same = by_object.iter_mut().find(|one| {
            one.group == rule.group && one.resources == [rule.resource] && one.names == names
        });
        match same {
            Some(one) if one.verbs.contains(&rule.verb) => {}
            Some(one) => one.verbs.push(rule.verb),
            None => by_object.push(Joined {
                group: rule.group,
                resources: vec![rule.resource],
                names,
                verbs: vec![rule.verb],
            }),
        }
    }
    let mut joined: Vec<Joined> = Vec::new();
    for rule in by_object {
        let alike = joined.iter_mut().find(|one| {
            let both_named = !one.names.is_empty() && !rule.names.is_empty();
            let neither = one.names.is_empty() && rule.names.is_empty();
            one.group == rule.group
                && one.verbs == rule.verbs
                && (neither || both_named && one.resources == rule.resources)
        });
        match alike {
            Some(one) if one.resources == rule.resources => one.names.extend(rule.names),
            Some(one) => one.resources.extend(rule.resources),
            None => joined.push(rule),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_joined_and_none_is_added() {
        let rules = [
            Rule::new("get", "apps", "deployments"),
            Rule::named("get", "", "secrets", "one"),
            Rule::named("get", "", "secrets", "two"),
            Rule::named("get", "", "configmaps", "one"),
            Rule::new("get", "apps", "daemonsets"),
            Rule::new("list", "", "pods"),
            Rule::new("list", "", "pods"),
            Rule::new("get", "", "pods/proxy"),
        ];
        let expected = "\
            - apiGroups: [apps]\n  resources: [deployments, daemonsets]\n  verbs: [get]\n\
            - apiGroups: [\"\"]\n  resources: [secrets]\n  resourceNames: [one, two]\n  verbs: [get]\n\
            - apiGroups: [\"\"]\n  resources: [configmaps]\n  resourceNames: [one]\n  verbs: [get]\n\
            - apiGroups: [\"\"]\n  resources: [pods]\n  verbs: [list]\n\
            - apiGroups: [\"\"]\n  resources: [pods/proxy]\n  verbs: [get]\n";
        assert_eq!(yaml(&rules), expected);
    }
}
