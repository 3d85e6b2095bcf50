//! The simulated components against either API server, each with the identity of the real one.

use std::sync::Arc;

use futures_util::FutureExt;
use kube::{
    Api, Client,
    api::{DynamicObject, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::Value;

use super::{
    apiserver::{self, AdmissionResponse, ApiServer},
    kubevirt::{self, ComponentClients, Components, VirtApi, prerequisites},
};

/// A service account and the program that uses it.
pub struct Identity {
    /// The service account's namespace.
    pub namespace: &'static str,
    /// User name of the service account that the component has.
    pub account: &'static str,
    /// The name in its User-Agent.
    pub program: &'static str,
}

const CONTROLLER: Identity = Identity {
    namespace: "kubevirt",
    account: "kubevirt-controller",
    program: "virt-controller",
};
const API: Identity = Identity {
    namespace: "kubevirt",
    account: "kubevirt-apiserver",
    program: "virt-api",
};
const HANDLER: Identity = Identity {
    namespace: "kubevirt",
    account: "kubevirt-handler",
    program: "virt-handler",
};
const SCHEDULER: Identity = Identity {
    namespace: "kube-system",
    account: "kube-scheduler",
    program: "kube-scheduler",
};
const KUBELET: Identity = Identity {
    namespace: "kube-system",
    account: "kubelet",
    program: "kubelet",
};

/// The service accounts of all components: namespace and name.
pub fn service_accounts() -> impl Iterator<Item = (&'static str, &'static str)> {
    [CONTROLLER, API, HANDLER, SCHEDULER, KUBELET]
        .into_iter()
        .map(|identity| (identity.namespace, identity.account))
}

/// Makes a component's client, as a rule through the proxy.
pub type Connect<'a> = &'a (dyn Fn(&Identity) -> kube::Result<Client> + Sync);

/// The simulated components of a lab, while they run.
pub struct Simulation {
    components: Components,
}

impl Identity {
    /// The user name of the service account.
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.account)
    }
}

impl Simulation {
    /// Creates with `admin` what the components need, starts them, and waits until they have seen
    /// all that is there. With `server`, virt-api is its webhook.
    pub async fn start(
        admin: &Client,
        connect: Connect<'_>,
        server: Option<&Arc<ApiServer>>,
        nodes: usize,
    ) -> kube::Result<Self> {
        let options = kubevirt::Options {
            nodes,
            webhooks: match server {
                Some(_) => kubevirt::Webhooks::Asked,
                None => kubevirt::Webhooks::Watched,
            },
            ..kubevirt::Options::default()
        };
        for object in prerequisites(&options) {
            create(admin, object).await?;
        }
        let mut handler = Vec::new();
        for node in options.node_names() {
            handler.push((node, connect(&HANDLER)?));
        }
        let clients = ComponentClients {
            controller: connect(&CONTROLLER)?,
            api: connect(&API)?,
            handler,
            scheduler: connect(&SCHEDULER)?,
            kubelet: connect(&KUBELET)?,
        };
        let components = Components::start(clients, &options);
        if let Some(server) = server {
            ask_virt_api(server, &components.virt_api());
        }
        components.ready().await;
        Ok(Self { components })
    }

    /// Ends all components and waits for them.
    pub async fn stop(self) {
        self.components.stop().await;
    }
}

/// Makes virt-api the webhook of the embedded API server.
fn ask_virt_api(server: &ApiServer, virt_api: &Arc<VirtApi>) {
    let virt_api = Arc::clone(virt_api);
    let hook = move |request: apiserver::AdmissionRequest| {
        let virt_api = Arc::clone(&virt_api);
        async move {
            let (group, _, resource) = request.resource;
            let question = kubevirt::AdmissionRequest {
                operation: request.operation.to_owned(),
                group: group.to_owned(),
                resource: resource.to_owned(),
                subresource: request.subresource,
                namespace: request.namespace,
                name: request.name,
                user: request.user.name,
                object: request.object,
            };
            match virt_api.admit(question).await {
                Some(object) => AdmissionResponse::Mutate(object),
                None => AdmissionResponse::Allow,
            }
        }
        .boxed()
    };
    let resources = [
        ("", "pods"),
        ("kubevirt.io", "virtualmachines"),
        ("kubevirt.io", "virtualmachineinstances"),
    ];
    server.set_admission(&resources, Arc::new(hook));
}

/// Creates an object of any kind; one that is there already is left as it is.
pub(super) async fn create(client: &Client, object: Value) -> kube::Result<()> {
    let object: DynamicObject = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
    let types = object.types.clone().unwrap_or_default();
    let (group, version) = types
        .api_version
        .rsplit_once('/')
        .unwrap_or(("", &types.api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &types.kind));
    let api: Api<DynamicObject> = match &object.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    match api.create(&PostParams::default(), &object).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        other => other.map(drop),
    }
}
