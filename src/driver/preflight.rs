//! Looks before a run whether it can succeed, and says whose turn it is if not.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::{Api, Client, api::PostParams};

use super::{RunError, proxies::ProxyClient};
use crate::{
    record::{ClusterRecord, Snapshot},
    workload::{Kind, Spec},
};

/// What the driver does in the run's namespace.
const VERBS: [&str; 4] = ["create", "list", "watch", "deletecollection"];

/// Looks at the API server, the kinds, the driver's rights and the proxies.
pub(super) async fn preflight(
    client: &Client,
    spec: &Spec,
    namespace: Option<&str>,
    proxies: &[ProxyClient],
) -> Result<(ClusterRecord, Vec<Snapshot>), RunError> {
    let version = client.apiserver_version().await;
    let version = version.map_err(|error| RunError::no_api(&error))?;
    for kind in spec.needs() {
        look_for_kind(client, kind).await?;
    }
    look_at_rights(client, spec.kind(), namespace).await?;
    let mut snapshots = Vec::new();
    for proxy in proxies {
        snapshots.push(proxy.snapshot().await?);
    }
    let cluster = ClusterRecord {
        kubernetes_version: version.git_version,
        kubevirt_version: kubevirt_version(client).await,
        ..ClusterRecord::default()
    };
    Ok((cluster, snapshots))
}

async fn look_for_kind(client: &Client, kind: Kind) -> Result<(), RunError> {
    let list = client.list_api_group_resources(&kind.api_version()).await;
    let found = match list {
        Ok(list) => list
            .resources
            .iter()
            .any(|resource| resource.name == kind.plural),
        Err(kube::Error::Api(status)) if status.code == 404 => false,
        Err(error) => return Err(RunError::api("cannot ask which kinds there are", error)),
    };
    if found {
        Ok(())
    } else {
        Err(RunError::MissingKind(kind))
    }
}

async fn look_at_rights(
    client: &Client,
    kind: Kind,
    namespace: Option<&str>,
) -> Result<(), RunError> {
    for verb in VERBS {
        ask(client, verb, kind.group, kind.plural, namespace).await?;
    }
    if namespace.is_none() {
        for verb in ["create", "delete"] {
            ask(client, verb, "", "namespaces", None).await?;
        }
    }
    Ok(())
}

async fn ask(
    client: &Client,
    verb: &str,
    group: &str,
    resource: &str,
    namespace: Option<&str>,
) -> Result<(), RunError> {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some(verb.to_owned()),
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                namespace: namespace.map(str::to_owned),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = api.create(&PostParams::default(), &review).await;
    let answer = answer.map_err(|error| RunError::api("cannot ask for my rights", error))?;
    if answer.status.is_some_and(|status| status.allowed) {
        return Ok(());
    }
    Err(RunError::NoRight {
        verb: verb.to_owned(),
        resource: resource.to_owned(),
        group: group.to_owned(),
    })
}

/// KubeVirt's version by its own object; empty where there is none.
async fn kubevirt_version(client: &Client) -> String {
    const KUBEVIRT: Kind = Kind {
        group: "kubevirt.io",
        version: "v1",
        kind: "KubeVirt",
        plural: "kubevirts",
    };
    let api: Api<kube::api::DynamicObject> =
        Api::all_with(client.clone(), &super::client::resource(KUBEVIRT));
    let list = api.list(&kube::api::ListParams::default()).await;
    list.ok()
        .and_then(|list| list.items.into_iter().next())
        .and_then(|kubevirt| {
            let version = &kubevirt.data["status"]["observedKubeVirtVersion"];
            version.as_str().map(str::to_owned)
        })
        .unwrap_or_default()
}
