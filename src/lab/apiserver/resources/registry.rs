//! How a resource is found. Discovery, routing, selectors and columns are all read from the static tables in
//! [`super::tables`].

use std::collections::HashMap;
use std::sync::LazyLock;

use super::resource::Resource;
use super::tables::{KUBEVIRTS, NATIVE};

/// Where a resource stands in [`RESOURCES`].
pub(crate) type ResourceId = usize;

/// Every resource, Kubernetes's own first.
pub(crate) static RESOURCES: LazyLock<Vec<&'static Resource>> =
    LazyLock::new(|| NATIVE.iter().chain(KUBEVIRTS).collect());

static BY_NAME: LazyLock<HashMap<(&'static str, &'static str, &'static str), ResourceId>> =
    LazyLock::new(|| {
        RESOURCES
            .iter()
            .enumerate()
            .map(|(id, resource)| ((resource.group, resource.version, resource.plural), id))
            .collect()
    });

/// The group of the access reviews, which are answered and not stored.
const REVIEWS: (&str, &str) = ("authorization.k8s.io", "v1");

/// The resource that a path names.
pub(crate) fn find(group: &str, version: &str, plural: &str) -> Option<ResourceId> {
    BY_NAME.get(&(group, version, plural)).copied()
}

/// Whether a group and version are compiled into kube-apiserver.
pub(crate) fn is_native(group: &str, version: &str) -> bool {
    let mut native = NATIVE
        .iter()
        .map(|resource| (resource.group, resource.version))
        .chain([REVIEWS]);
    native.any(|known| known == (group, version))
}

/// Where `namespaces` stands.
pub(crate) fn namespaces() -> ResourceId {
    find("", "v1", "namespaces").expect("the table holds namespaces")
}

/// The groups with their versions, in the order of the table; `""` is the core group.
pub(crate) fn groups() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = vec![];
    for (group, version) in RESOURCES
        .iter()
        .map(|resource| (resource.group, resource.version))
        .chain([REVIEWS])
    {
        match groups.iter_mut().find(|known| known.0 == group) {
            Some((_, versions)) if versions.contains(&version) => {}
            Some((_, versions)) => versions.push(version),
            None => groups.push((group, vec![version])),
        }
    }
    groups
}
