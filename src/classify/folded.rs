//! The coarse name of a call: a closed set, whatever is asked for.
//!
//! What nobody was authenticated for is counted by it, so that who has no credential can't make up
//! rows. A log that is compared with the books is named by it on its own side as well.

use super::{
    CallName, INVALID,
    known::{known_resource, known_resource_of_any_group},
    path_class,
};

/// Stands for a verb, resource or subresource that is none of the known ones.
pub const OTHER: &str = "(other)";

/// kube-apiserver's verbs, and HTTP's methods in lower case for paths that are no resource; empty
/// for another method on a resource.
pub const VERBS: &[&str] = &[
    "",
    "connect",
    "create",
    "delete",
    "deletecollection",
    "get",
    "head",
    "list",
    "options",
    "patch",
    "post",
    "proxy",
    "put",
    "trace",
    "update",
    "watch",
];

/// Verbs of KubeVirt's client metric: its own, and methods as they are.
const KUBEVIRT_VERBS: &[&str] = &[
    "CONNECT", "CREATE", "DELETE", "GET", "HEAD", "LIST", "OPTIONS", "PATCH", "TRACE", "UPDATE",
    "WATCH", "none",
];

impl CallName<'_> {
    /// The coarse name: verb, group and resource if they are known ones, [`OTHER`] in place of
    /// each that isn't and of any subresource, no version. Folding twice changes nothing.
    pub fn folded(&self) -> CallName<'static> {
        let (group, resource) = match self.resource {
            "" => ("", ""),
            resource => known_resource(self.group, resource).unwrap_or(("", OTHER)),
        };
        CallName {
            verb: known(VERBS, self.verb),
            group,
            version: "",
            resource,
            subresource: if self.subresource.is_empty() {
                ""
            } else {
                OTHER
            },
            path: match self.path {
                "" => "",
                INVALID => INVALID,
                path => path_class(path.as_bytes()),
            },
            kubevirt_verb: known(KUBEVIRT_VERBS, self.kubevirt_verb),
            kubevirt_resource: folded_kubevirt_resource(self.kubevirt_resource),
        }
    }
}

/// A resource of KubeVirt's client metric, or [`OTHER`] if it is none that is known.
pub fn folded_kubevirt_resource(resource: &str) -> &'static str {
    match resource {
        "none" => "none",
        resource => known_resource_of_any_group(resource).unwrap_or(OTHER),
    }
}

fn known(all: &[&'static str], one: &str) -> &'static str {
    all.iter()
        .find(|known| **known == one)
        .copied()
        .unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::{Target, classify, kubevirt::kubevirt_call};

    fn folded(method: &str, target: &str) -> CallName<'static> {
        let target = Target::parse(method, target.as_bytes()).unwrap();
        let call = classify(method, &target);
        CallName::new(&call, kubevirt_call(method, &target)).folded()
    }

    #[test]
    fn known_names_stay_and_made_up_ones_become_one() {
        let name = folded(
            "PATCH",
            "/apis/kubevirt.io/v1/namespaces/n/virtualmachines/x/status",
        );
        let parts = [
            "patch",
            "kubevirt.io",
            "",
            "virtualmachines",
            OTHER,
            "",
            "PATCH",
            "virtualmachines",
        ];
        assert_eq!(name.parts(), parts);
        let name = folded("GET", "/apis/made.up/v1/namespaces/n/things/x");
        assert_eq!(name.parts(), ["get", "", "", OTHER, "", "", "GET", OTHER]);
        assert_eq!(folded("BREW", "/version").verb, OTHER);
        assert_eq!(folded("GET", "/version/7").path, "/version/*");
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_the_names_are_a_closed_set(
            asked in proptest::collection::vec(
                ("[A-Z]{1,6}", "/(api|apis/[a-z]{1,2})/v[0-9]{1,3}/[a-z]{1,5}(/[a-z]{1,3}){0,3}|/[a-z]{1,9}"),
                1..64,
            ),
        ) {
            let names: BTreeSet<_> = asked
                .iter()
                .map(|(method, target)| folded(method, target))
                .collect();
            for name in &names {
                prop_assert_eq!(name.folded(), *name);
                prop_assert!(VERBS.contains(&name.verb) || name.verb == OTHER);
                prop_assert!(name.version.is_empty());
            }
        }
    }
}
