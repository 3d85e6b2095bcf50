//! The proxies that are attached, pod by pod, for whoever measures with them.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    books,
    component::Component,
    customize,
    error::InstallError,
    installer::Installer,
    marks::SIDECAR,
    rights,
    rollout::{Rollout, complaint, progress},
    site::{Mounted, Site, customization},
    status::is_ready,
    template::sidecar,
};

/// One instant of the attached components.
#[derive(Debug, Clone)]
pub struct Attached {
    /// The namespace of the KubeVirt object and of the components.
    pub namespace: String,
    /// KubeVirt's version by its own object; empty if it does not say.
    pub kubevirt_version: String,
    /// Every pod of the attached components, by component and name.
    pub members: Vec<Member>,
    /// The components whose pods have no proxy.
    pub without: Vec<Component>,
    /// Why a run can't start now; empty if it can.
    pub obstacles: Vec<String>,
    /// By component, how often its workload's specification was changed.
    generations: BTreeMap<Component, u64>,
}

/// A pod of an attached component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The component that the pod is of.
    pub component: Component,
    /// The pod's name.
    pub pod: String,
    /// Its UID: another pod of the same name has another.
    pub uid: String,
    /// The node that it runs on.
    pub node: String,
    /// The pod's address, if it has one yet.
    pub address: String,
    /// The proxy's admin port; `None` where the pod has no proxy.
    pub port: Option<u16>,
    /// Its containers that run on, by name.
    pub containers: BTreeMap<String, Container>,
}

/// A container as the kubelet says it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Container {
    /// When it was started.
    pub started: Option<Timestamp>,
    /// How often it was restarted.
    pub restarts: u64,
}

impl Installer<'_> {
    /// The attached proxies, all of them ready.
    ///
    /// # Errors
    ///
    /// Nothing is attached ([`InstallError::NothingAttached`]), or a pod of an attached component
    /// could not take part ([`InstallError::NotReady`]).
    pub async fn attached(&self) -> Result<Attached, InstallError> {
        let attached = self.attached_now().await?;
        if attached.members.is_empty() && attached.obstacles.is_empty() {
            return Err(InstallError::NothingAttached(attached.namespace));
        }
        if attached.obstacles.is_empty() {
            Ok(attached)
        } else {
            Err(InstallError::NotReady(attached.obstacles))
        }
    }

    /// The attached components as they are, whether or not they could take part.
    pub async fn attached_now(&self) -> Result<Attached, InstallError> {
        let (site, kubevirt) = self.find().await?;
        rights::check(&self.client, Some(&site.namespace), &rights::to_discover()).await?;
        let customization = customization(&kubevirt);
        let version = &kubevirt["status"]["observedKubeVirtVersion"];
        let mut attached = Attached {
            namespace: site.namespace.clone(),
            kubevirt_version: version.as_str().unwrap_or_default().to_owned(),
            members: Vec::new(),
            without: Vec::new(),
            obstacles: Vec::new(),
            generations: BTreeMap::new(),
        };
        for component in Component::ALL {
            let has_patch = !customize::entry(customization.as_ref(), component).is_empty();
            attached.look_at(&site, component, has_patch).await?;
        }
        Ok(attached)
    }

    /// The token that the admin ports ask for, from the Secret of the attached pods.
    pub async fn admin_token(&self, namespace: &str) -> Result<String, InstallError> {
        rights::check(&self.client, Some(namespace), &[rights::TOKEN]).await?;
        let site = Site {
            client: self.client.clone(),
            namespace: namespace.to_owned(),
            name: String::new(),
        };
        let secret = site.mounted(Mounted::Secret).await?.unwrap_or_default();
        let token = secret["data"]["token"].as_str();
        let token = token.and_then(|token| STANDARD.decode(token).ok());
        let token = token.and_then(|token| String::from_utf8(token).ok());
        token
            .map(|token| token.trim().to_owned())
            .ok_or(InstallError::NoToken)
    }
}

impl Attached {
    async fn look_at(
        &mut self,
        site: &Site,
        component: Component,
        has_patch: bool,
    ) -> Result<(), InstallError> {
        let Some(workload) = site.workload(component).await? else {
            return Ok(());
        };
        let mut pods = site.all_pods(&workload).await?;
        // What has ended makes no calls any more.
        pods.retain(|pod| {
            !["Succeeded", "Failed"]
                .iter()
                .any(|end| pod["status"]["phase"] == *end)
        });
        let is_led = sidecar(&workload["spec"]["template"]).is_some();
        if !is_led && !pods.iter().any(|pod| sidecar(pod).is_some()) {
            match has_patch {
                true => self.obstacles.push(format!(
                    "{}: virt-operator has not applied its patch",
                    component.name()
                )),
                false => self.without.push(component),
            }
            return Ok(());
        }
        let generation = workload["metadata"]["generation"].as_u64();
        self.generations
            .insert(component, generation.unwrap_or_default());
        if let Rollout::Pending(detail) = progress(component.workload(), &workload) {
            self.obstacles
                .push(format!("{}: {detail}", component.name()));
        }
        self.obstacles.extend(pods.iter().filter_map(obstacle));
        let mut members: Vec<Member> = pods.iter().map(|pod| member(component, pod)).collect();
        members.sort_by(|one, other| one.pod.cmp(&other.pod));
        self.members.extend(members);
        Ok(())
    }

    /// What a later look shows to be another than it was; empty where the same processes stood in
    /// front of the same components all the time.
    pub fn changes(&self, later: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        for before in &self.members {
            match later.members.iter().find(|after| after.uid == before.uid) {
                None => changes.push(format!("{} vanished", before.title())),
                Some(after) => changes.extend(before.restarted(after).map(|container| {
                    format!("container {container} of {} was restarted", before.title())
                })),
            }
        }
        let is_new = |after: &&Member| !self.members.iter().any(|one| one.uid == after.uid);
        for after in later.members.iter().filter(is_new) {
            let proxy = if after.port.is_some() {
                ""
            } else {
                ", without a proxy"
            };
            changes.push(format!("{} appeared{proxy}", after.title()));
        }
        for (component, before) in &self.generations {
            let after = later.generations.get(component);
            if after.is_some_and(|after| after != before) {
                let kind = component.workload().kind();
                changes.push(format!("{kind} {} was changed", component.name()));
            }
        }
        changes
    }
}

impl Member {
    /// The pod and where it runs.
    pub fn title(&self) -> String {
        format!("pod {} on node {}", self.pod, self.node)
    }

    /// The proxy's container; one that never started where the pod has none.
    pub fn proxy(&self) -> Container {
        self.containers.get(SIDECAR).cloned().unwrap_or_default()
    }

    /// The containers that are another process in a later look at the same pod.
    fn restarted<'m>(&'m self, later: &'m Self) -> impl Iterator<Item = &'m str> {
        let containers = self.containers.iter();
        let changed = containers
            .filter(|(name, before)| later.containers.get(*name).is_some_and(|it| it != *before));
        changed.map(|(name, _)| name.as_str())
    }
}

/// Why a pod of an attached component can't take part.
fn obstacle(pod: &Value) -> Option<String> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    if pod["metadata"].get("deletionTimestamp").is_some() {
        return Some(format!("pod {name} is being deleted"));
    }
    if books::admin_port(pod).is_none() {
        return Some(format!(
            "pod {name} has no proxy: the rollout is not complete"
        ));
    }
    if is_ready(pod) {
        return None;
    }
    Some(complaint(pod).unwrap_or_else(|| format!("pod {name} is not ready")))
}

fn member(component: Component, pod: &Value) -> Member {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let statuses = |list: &str| pod["status"][list].as_array().into_iter().flatten();
    // Other init containers ended before the component began.
    let proxy = statuses("initContainerStatuses").filter(|status| status["name"] == SIDECAR);
    let containers = proxy.chain(statuses("containerStatuses")).map(|status| {
        let started = status["state"]["running"]["startedAt"].as_str();
        let container = Container {
            started: started.and_then(|started| started.parse().ok()),
            restarts: status["restartCount"].as_u64().unwrap_or_default(),
        };
        (text(&status["name"]), container)
    });
    Member {
        component,
        pod: text(&pod["metadata"]["name"]),
        uid: text(&pod["metadata"]["uid"]),
        node: text(&pod["spec"]["nodeName"]),
        address: text(&pod["status"]["podIP"]),
        port: books::admin_port(pod),
        containers: containers.collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(pods: &[Value], generation: u64) -> Attached {
        let component = Component::VirtHandler;
        Attached {
            namespace: "kubevirt".to_owned(),
            kubevirt_version: String::new(),
            members: pods.iter().map(|pod| member(component, pod)).collect(),
            without: Vec::new(),
            obstacles: Vec::new(),
            generations: BTreeMap::from([(component, generation)]),
        }
    }

    fn pod(uid: &str, started: &str, restarts: u64) -> Value {
        let container = |name: &str, started: &str, restarts: u64| {
            json!({
                "name": name, "restartCount": restarts,
                "state": {"running": {"startedAt": started}},
            })
        };
        json!({
            "metadata": {"name": format!("pod-{uid}"), "uid": uid},
            "spec": {"nodeName": "node"},
            "status": {
                "initContainerStatuses": [
                    container("virt-launcher", "2025-01-01T00:00:00Z", restarts),
                    container(SIDECAR, started, 0),
                ],
                "containerStatuses": [container("virt-handler", "2025-01-01T00:00:00Z", restarts)],
            },
        })
    }

    #[test]
    fn what_is_another_process_or_another_workload_is_a_change() {
        let (early, late) = ("2025-01-01T00:00:00Z", "2025-01-01T00:00:09Z");
        let before = seen(&[pod("a", early, 0), pod("b", early, 0)], 1);
        assert_eq!(before.changes(&before), Vec::<String>::new());
        let later = seen(&[pod("a", late, 0), pod("c", early, 0)], 2);
        let expected = [
            "container kubetoll-proxy of pod pod-a on node node was restarted",
            "pod pod-b on node node vanished",
            "pod pod-c on node node appeared, without a proxy",
            "DaemonSet virt-handler was changed",
        ];
        assert_eq!(before.changes(&later), expected);
        let again = seen(&[pod("a", early, 1), pod("b", early, 0)], 1);
        let expected = ["container virt-handler of pod pod-a on node node was restarted"];
        assert_eq!(before.changes(&again), expected);
    }
}
