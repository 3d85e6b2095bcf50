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
use crate::identity::mint::Authority;

/// A service account and the program that uses it.
struct Identity {
    namespace: &'static str,
    account: &'static str,
    program: &'static str,
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

/// Where the components connect to: the proxy.
pub struct Through<'a> {
    /// Its URL.
    pub url: &'a str,
    /// The CA of its certificate.
    pub authority: &'a Authority,
    /// A token for a service account, by namespace and name.
    pub token: &'a (dyn Fn(&str, &str) -> String + Sync),
}

/// Running components.
pub struct Simulation {
    components: Components,
}

impl Simulation {
    /// Creates with `admin` what the components need, starts them, and waits until they have seen
    /// all that is there. With `server`, virt-api is its webhook.
    pub async fn start(
        admin: &Client,
        through: &Through<'_>,
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
        let client = |identity: &Identity| {
            let token = (through.token)(identity.namespace, identity.account);
            super::client(through.url, through.authority, &token, identity.program)
        };
        let mut handler = Vec::new();
        for node in options.node_names() {
            handler.push((node, client(&HANDLER)?));
        }
        let clients = ComponentClients {
            controller: client(&CONTROLLER)?,
            api: client(&API)?,
            handler,
            scheduler: client(&SCHEDULER)?,
            kubelet: client(&KUBELET)?,
        };
        let components = Components::start(clients, &options);
        if let Some(server) = server {
            ask_virt_api(server, &components.virt_api());
        }
        components.ready().await;
        Ok(Self { components })
    }

    /// Ends all components.
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
