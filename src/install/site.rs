//! A KubeVirt installation on the API server: its objects, read and changed.

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, PostParams},
};
use serde_json::Value;

use super::{
    component::{Component, WorkloadKind},
    error::InstallError,
    installer::Installer,
    objects::{CONFIG_MAP, OWNER_LABEL, SECRET, is_ours},
    reasons::{complaint_of_events, complaint_of_kubevirt},
    rights,
};
use cluster::causes::of_api_server;

/// How often a change is tried again that somebody else's change came before.
const TRIES: u32 = 8;
/// Events of KubeVirt's namespace that are looked through.
const EVENTS_MAX: u32 = 500;
/// Most bytes of a proxy's metrics: its series are bounded, and so is this.
const METRICS_MAX: usize = 64 << 20;

/// An object that attached pods mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mounted {
    Secret,
    ConfigMap,
}

impl Mounted {
    fn kind(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Secret => SECRET,
            Self::ConfigMap => CONFIG_MAP,
        }
    }

    fn resource(self) -> ApiResource {
        match self {
            Self::Secret => resource("", "v1", "Secret", "secrets"),
            Self::ConfigMap => resource("", "v1", "ConfigMap", "configmaps"),
        }
    }
}

/// Where KubeVirt is.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) client: Client,
    pub(super) namespace: String,
    /// Name of the KubeVirt object.
    pub(super) name: String,
}

impl Installer<'_> {
    /// Finds the one KubeVirt object.
    pub(super) async fn find(&self) -> Result<(Site, Value), InstallError> {
        let namespace = self.namespace.as_deref();
        rights::check(&self.client, namespace, &[rights::FIND]).await?;
        let resource = kubevirts();
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        let list = match api.list(&ListParams::default()).await {
            Ok(list) => list.items,
            Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
            Err(error) => return Err(InstallError::api("cannot look for KubeVirt", &error)),
        };
        let place = |object: &DynamicObject| object.metadata.namespace.clone().unwrap_or_default();
        match list.as_slice() {
            [] => Err(InstallError::NoKubeVirt(self.namespace.clone())),
            [one] => {
                let site = Site {
                    client: self.client.clone(),
                    namespace: place(one),
                    name: one.metadata.name.clone().unwrap_or_default(),
                };
                Ok((site, value(one)))
            }
            several => Err(InstallError::SeveralKubeVirts(
                several.iter().map(place).collect(),
            )),
        }
    }
}

impl Site {
    fn api(&self, resource: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, resource)
    }

    /// The KubeVirt object's `customizeComponents`.
    pub(super) async fn customization(&self) -> Result<Option<Value>, InstallError> {
        let kubevirt = self.api(&kubevirts()).get(&self.name).await;
        let kubevirt =
            kubevirt.map_err(|error| InstallError::api("cannot read KubeVirt", &error))?;
        Ok(customization(&value(&kubevirt)))
    }

    /// Changes `customizeComponents`, and nothing else; again if somebody else was faster. Says
    /// whether there was anything to change.
    pub(super) async fn customize(
        &self,
        change: impl Fn(Option<&Value>) -> Option<Value>,
    ) -> Result<bool, InstallError> {
        let api = self.api(&kubevirts());
        let failed =
            |error: &kube::Error| InstallError::api("cannot change the KubeVirt object", error);
        for _ in 0..TRIES {
            let mut kubevirt = api.get(&self.name).await.map_err(|error| failed(&error))?;
            let spec = &mut kubevirt.data["spec"];
            let old = spec.get("customizeComponents").cloned();
            let new = change(old.as_ref());
            if new == old {
                return Ok(false);
            }
            match (new, spec.as_object_mut()) {
                (Some(new), _) => spec["customizeComponents"] = new,
                (None, Some(spec)) => drop(spec.remove("customizeComponents")),
                (None, None) => return Ok(false),
            }
            match api
                .replace(&self.name, &PostParams::default(), &kubevirt)
                .await
            {
                Ok(_) => return Ok(true),
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        Err(InstallError::Contended("the KubeVirt object"))
    }

    /// A component's workload; `None` if there is none.
    pub(super) async fn workload(
        &self,
        component: Component,
    ) -> Result<Option<Value>, InstallError> {
        let kind = component.workload();
        let found = self.api(&workloads(kind)).get_opt(component.name()).await;
        let found = found.map_err(|error| {
            let what = format!("cannot read {} {}", kind.kind(), component.name());
            InstallError::api(what, &error)
        })?;
        Ok(found.as_ref().map(value))
    }

    /// Changes virt-operator's Deployment; again if somebody else was faster.
    pub(super) async fn change_operator(
        &self,
        change: impl Fn(&mut Value),
    ) -> Result<(), InstallError> {
        let api = self.api(&workloads(WorkloadKind::Deployment));
        let name = Component::VirtOperator.name();
        let failed = |error: &kube::Error| InstallError::api("cannot change virt-operator", error);
        for _ in 0..TRIES {
            let found = api.get_opt(name).await.map_err(|error| failed(&error))?;
            let Some(found) = found else {
                return Ok(());
            };
            let old = value(&found);
            let mut new = old.clone();
            change(&mut new);
            if new == old {
                return Ok(());
            }
            let new: DynamicObject = serde_json::from_value(new)
                .map_err(|error| failed(&kube::Error::SerdeError(error)))?;
            match api.replace(name, &PostParams::default(), &new).await {
                Ok(_) => return Ok(()),
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        Err(InstallError::Contended("virt-operator's Deployment"))
    }

    /// The pods of a workload that are not on their way out.
    pub(super) async fn pods(&self, workload: &Value) -> Result<Vec<Value>, InstallError> {
        let mut pods = self.all_pods(workload).await?;
        pods.retain(|pod| pod["metadata"].get("deletionTimestamp").is_none());
        Ok(pods)
    }

    /// The pods of a workload.
    pub(super) async fn all_pods(&self, workload: &Value) -> Result<Vec<Value>, InstallError> {
        let labels = workload["spec"]["selector"]["matchLabels"].as_object();
        let selector: Vec<String> = labels
            .into_iter()
            .flatten()
            .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
            .collect();
        let all = ListParams::default().labels(&selector.join(","));
        let api = self.api(&resource("", "v1", "Pod", "pods"));
        let pods = api.list(&all).await;
        let pods = pods.map_err(|error| InstallError::api("cannot list pods", &error))?;
        Ok(pods.iter().map(value).collect())
    }

    /// What the KubeVirt object and events say about a component's rollout; each as far as it may be
    /// read. It is asked for when the time is over.
    pub(super) async fn last_words(&self, component: Component) -> Vec<String> {
        let mut said = Vec::new();
        if let Ok(kubevirt) = self.api(&kubevirts()).get(&self.name).await {
            said.extend(complaint_of_kubevirt(&value(&kubevirt)));
        }
        let warnings = ListParams::default()
            .fields("type=Warning")
            .limit(EVENTS_MAX);
        let events = self.api(&resource("", "v1", "Event", "events"));
        match events.list(&warnings).await {
            Ok(events) => {
                let events: Vec<Value> = events.iter().map(value).collect();
                let (kind, name) = (component.workload(), component.name());
                said.extend(complaint_of_events(kind, name, &events));
            }
            Err(error) => said.push(format!("events can't be read: {}", of_api_server(&error))),
        }
        said
    }

    /// An object that pods mount. One that isn't ours is an error.
    pub(super) async fn mounted(&self, which: Mounted) -> Result<Option<Value>, InstallError> {
        let found = self.api(&which.resource()).get_opt(which.name()).await;
        let found = found.map_err(|error| {
            let what = format!("cannot read {} {}", which.kind(), which.name());
            InstallError::api(what, &error)
        })?;
        match found.as_ref().map(value) {
            Some(object) if !is_ours(&object) => Err(InstallError::Foreign {
                kind: which.kind(),
                name: which.name(),
            }),
            other => Ok(other),
        }
    }

    /// Creates an object that pods mount, and notes it in `made`, also where it is not known
    /// whether that came to pass; not where somebody else has made it.
    pub(super) async fn create(
        &self,
        which: Mounted,
        object: &Value,
        made: &mut Vec<Mounted>,
    ) -> Result<(), InstallError> {
        let what = || format!("cannot create {} {}", which.kind(), which.name());
        let object: DynamicObject = serde_json::from_value(object.clone())
            .map_err(|error| InstallError::api(what(), &kube::Error::SerdeError(error)))?;
        let api = self.api(&which.resource());
        let created = api.create(&PostParams::default(), &object).await;
        if !matches!(&created, Err(kube::Error::Api(status)) if status.code == 409) {
            made.push(which);
        }
        created
            .map(drop)
            .map_err(|error| InstallError::api(what(), &error))
    }

    /// Deletes an object that pods mount, if it is there. Its label is not asked for again: the
    /// name is Kubetoll's, and what has it without the label was refused before.
    pub(super) async fn delete(&self, which: Mounted) -> Result<bool, InstallError> {
        let api = self.api(&which.resource());
        match api.delete(which.name(), &DeleteParams::default()).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(error) => {
                let what = format!("cannot delete {} {}", which.kind(), which.name());
                Err(InstallError::api(what, &error))
            }
        }
    }

    /// The metrics of a pod's proxy, through the API server's pod proxy. That path takes the
    /// caller's `Authorization` off, and metrics need none.
    pub(super) async fn metrics(&self, pod: &str, port: u16) -> Result<String, String> {
        let path = format!(
            "/api/v1/namespaces/{}/pods/http:{pod}:{port}/proxy/metrics",
            self.namespace
        );
        let request = Request::get(path).body(kube::client::Body::empty());
        let request = request.map_err(|error| error.to_string())?;
        let response = self.client.send(request).await;
        let response = response.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), METRICS_MAX)
            .collect()
            .await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        if status != StatusCode::OK {
            return Err(format!("its admin port can't be read ({status})"));
        }
        String::from_utf8(body.to_vec()).map_err(|error| error.to_string())
    }
}

/// `customizeComponents` of a KubeVirt object.
pub(super) fn customization(kubevirt: &Value) -> Option<Value> {
    kubevirt["spec"].get("customizeComponents").cloned()
}

/// What to attach by where another operator would revert a change of this KubeVirt object.
pub(super) fn advice_to_attach(kubevirt: &Value) -> Option<String> {
    advice(
        kubevirt,
        "Apply the Secret and the ConfigMap of `kubetoll attach --dry-run --output yaml`, and put \
         its patches as a JSON patch into the annotation kubevirt.kubevirt.io/jsonpatch of the \
         HyperConverged object",
    )
}

/// What to detach by there.
pub(super) fn advice_to_detach(kubevirt: &Value) -> Option<String> {
    advice(
        kubevirt,
        "Take Kubetoll's patches out of the annotation kubevirt.kubevirt.io/jsonpatch of the \
         HyperConverged object, and then run `kubetoll detach` again, which does the rest",
    )
}

fn advice(kubevirt: &Value, instead: &str) -> Option<String> {
    let metadata = &kubevirt["metadata"];
    let is_owned = is_owned_by(metadata, "HyperConverged")
        || metadata["labels"][OWNER_LABEL.0] == "hco-operator";
    is_owned.then(|| {
        format!(
            "the HyperConverged operator owns this KubeVirt object and would revert the change. \
             {instead}"
        )
    })
}

/// Who would revert a change of virt-operator's Deployment, and what to do instead.
pub(super) fn owner_of_operator(deployment: &Value) -> Option<String> {
    let metadata = &deployment["metadata"];
    let is_owned = is_owned_by(metadata, "ClusterServiceVersion")
        || metadata["labels"].get("olm.owner").is_some();
    is_owned.then(|| {
        "the Operator Lifecycle Manager owns virt-operator's Deployment and would revert the \
         change. Attach the other components with --component, and lead virt-operator to a proxy \
         by env, volumes and volumeMounts in its Subscription's spec.config"
            .to_owned()
    })
}

fn is_owned_by(metadata: &Value, kind: &str) -> bool {
    let owners = metadata["ownerReferences"].as_array();
    owners
        .into_iter()
        .flatten()
        .any(|owner| owner["kind"] == kind)
}

fn kubevirts() -> ApiResource {
    resource("kubevirt.io", "v1", "KubeVirt", "kubevirts")
}

fn workloads(kind: WorkloadKind) -> ApiResource {
    resource("apps", "v1", kind.kind(), kind.plural())
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: if group.is_empty() {
            version.to_owned()
        } else {
            format!("{group}/{version}")
        },
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

/// Objects are handled as they are on the wire, so that a field that this program does not know
/// goes back as it came.
fn value(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}
