//! Looks before a run whether it can succeed, and says whose turn it is if not.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::{Api, Client, api::PostParams};

use super::{
    RunError,
    cleanup::{NAMESPACE, is_workload},
    observe::POD,
    proxies::ProxyClient,
};
use crate::{
    record::{ClusterRecord, Snapshot},
    workload::{Kind, Spec},
};

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
    look_at_rights(client, spec, namespace).await?;
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
    spec: &Spec,
    namespace: Option<&str>,
) -> Result<(), RunError> {
    for (kind, verbs) in rights(spec, namespace.is_some()) {
        for verb in verbs {
            ask(client, verb, kind, namespace).await?;
        }
    }
    Ok(())
}

/// What the driver does in the run's namespace, which was there before or is its own.
fn rights(spec: &Spec, is_given: bool) -> Vec<(Kind, Vec<&'static str>)> {
    let mut rights = vec![(spec.kind(), vec!["create", "delete"])];
    for kind in spec.needs() {
        let verbs = match (is_workload(&kind), is_given) {
            (true, false) => vec!["list", "watch", "deletecollection"],
            (true, true) => vec!["list", "watch"],
            (false, false) => vec!["create"],
            (false, true) => vec!["list", "create", "delete"],
        };
        rights.push((kind, verbs));
    }
    rights.push((POD, vec!["list", "watch"]));
    if !is_given {
        rights.push((NAMESPACE, vec!["create", "delete"]));
    }
    rights
}

async fn ask(
    client: &Client,
    verb: &str,
    kind: Kind,
    namespace: Option<&str>,
) -> Result<(), RunError> {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some(verb.to_owned()),
                group: Some(kind.group.to_owned()),
                resource: Some(kind.plural.to_owned()),
                namespace: namespace.filter(|_| kind != NAMESPACE).map(str::to_owned),
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
        resource: kind.plural.to_owned(),
        group: kind.group.to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Scenario, VM, VM_PREFERENCE, VMI};

    fn asked(scenario: Scenario, is_given: bool) -> Vec<(Kind, &'static str)> {
        let spec = Spec {
            scenario,
            kwok: false,
        };
        let rights = rights(&spec, is_given).into_iter();
        rights
            .flat_map(|(kind, verbs)| verbs.into_iter().map(move |verb| (kind, verb)))
            .collect()
    }

    #[test]
    fn a_run_asks_for_what_it_does_and_for_nothing_else() {
        let vmis = asked(Scenario::Vmi, false);
        assert_eq!(vmis[0], (VMI, "create"));
        assert!(vmis.contains(&(POD, "watch")) && vmis.contains(&(NAMESPACE, "delete")));
        assert!(!vmis.iter().any(|(kind, _)| *kind == VM));
        let vms = asked(Scenario::Vm, false);
        assert!(vms.contains(&(VMI, "watch")) && vms.contains(&(VMI, "deletecollection")));
        assert!(!vms.contains(&(VMI, "create")));
        let given = asked(Scenario::Instancetype, true);
        assert!(given.contains(&(VM_PREFERENCE, "delete")));
        assert!(!given.iter().any(|(kind, _)| *kind == NAMESPACE));
        assert!(!given.iter().any(|(_, verb)| *verb == "deletecollection"));
    }
}
