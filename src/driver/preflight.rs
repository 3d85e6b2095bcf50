//! Looks before a run whether it can succeed, and says whose turn it is if not.

use kube::{Api, Client};

use super::{
    at_once::try_ask_all, capacity::look_at_capacity, context::Driver, error::RunError,
    flow_control, plan::Plan, proxies::ProxyClient,
};
use crate::workload::{EVENT, KUBEVIRT, Kind, NAMESPACE, NODE, POD, Spec};
use cluster::rights::{Rule, missing};
use record::ClusterRecord;

/// Looks at the API server, the kinds, the driver's rights, the proxies and the room that there is;
/// gives the versions of Kubernetes and KubeVirt, of which the driver may know KubeVirt's.
pub(super) async fn preflight(driver: &Driver<'_>, plan: &Plan) -> Result<ClusterRecord, RunError> {
    let (client, spec) = (&driver.client, &plan.spec);
    let version = client.apiserver_version().await;
    let version = version.map_err(|error| RunError::no_api(&error))?;
    for kind in spec.needs() {
        look_for_kind(client, kind).await?;
    }
    look_at_rights(client, spec, plan.namespace.as_deref()).await?;
    try_ask_all(&driver.proxies, ProxyClient::snapshot).await?;
    look_at_capacity(client, plan, driver.progress).await?;
    let cluster = ClusterRecord {
        kubernetes_version: version.git_version,
        kubevirt_version: match driver.cluster.kubevirt_version.as_str() {
            "" => kubevirt_version(client).await,
            known => known.to_owned(),
        },
        ..ClusterRecord::default()
    };
    Ok(cluster)
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
    let missing = missing(client, namespace, &rights_of(spec, namespace.is_some())).await;
    match missing.map_err(|error| RunError::api("cannot ask for my rights", error))? {
        None => Ok(()),
        Some(missing) => Err(RunError::NoRights(missing)),
    }
}

/// What the driver does in the run's namespace, which is given or its own.
pub fn rights_of(spec: &Spec, is_given: bool) -> Vec<Rule> {
    let mut rights = vec![(spec.kind(), vec!["create", "delete"])];
    for kind in spec.needs() {
        let verbs = match (kind.is_workload(), is_given) {
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
    let rule = |kind: Kind, verb| Rule::new(verb, kind.group, kind.plural);
    let rules = rights
        .into_iter()
        .flat_map(|(kind, verbs)| verbs.into_iter().map(move |verb| rule(kind, verb)));
    rules.collect()
}

/// What the driver reads if it may: events that say why something is not Running, and of the whole
/// cluster the nodes' room and the names of flow schemas.
pub fn rights_if_given(is_given: bool) -> Vec<Rule> {
    let list = |kind: Kind| Rule::new("list", kind.group, kind.plural);
    let mut rights = vec![list(EVENT)];
    if !is_given {
        rights.push(list(NODE));
        rights.extend(flow_control::rights());
    }
    rights
}

/// KubeVirt's version by its own object; empty where there is none.
async fn kubevirt_version(client: &Client) -> String {
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
    use crate::workload::Scenario;

    fn asked(scenario: Scenario, is_given: bool) -> Vec<String> {
        let spec = Spec {
            scenario,
            kwok: false,
        };
        let rights = rights_of(&spec, is_given);
        rights.iter().map(Rule::to_string).collect()
    }

    #[test]
    fn a_run_asks_for_what_it_does_and_for_nothing_else() {
        let has = |rights: &[String], right: &str| rights.iter().any(|one| one == right);
        let vmis = asked(Scenario::Vmi, false);
        assert_eq!(vmis[0], "create virtualmachineinstances.kubevirt.io");
        assert!(has(&vmis, "watch pods") && has(&vmis, "delete namespaces"));
        assert!(!vmis.iter().any(|right| right.contains("virtualmachines")));
        let vms = asked(Scenario::Vm, false);
        assert!(has(&vms, "watch virtualmachineinstances.kubevirt.io"));
        assert!(has(
            &vms,
            "deletecollection virtualmachineinstances.kubevirt.io"
        ));
        assert!(!has(&vms, "create virtualmachineinstances.kubevirt.io"));
        let given = asked(Scenario::Instancetype, true);
        let preference = "delete virtualmachinepreferences.instancetype.kubevirt.io";
        assert!(has(&given, preference));
        assert!(!given.iter().any(|right| right.contains("namespaces")));
        assert!(
            !given
                .iter()
                .any(|right| right.starts_with("deletecollection"))
        );
    }
}
