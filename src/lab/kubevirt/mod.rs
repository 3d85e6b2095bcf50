//! Simulated KubeVirt components: virt-controller, virt-api, a virt-handler per node, kube-scheduler and kubelet.
//!
//! Each one is a controller under its own identity: it watches, keeps a cache, and reconciles keys of a work queue with
//! the calls that the real one makes, in its order. Nothing is scripted: a conflict is a race between two writers, and
//! its retry is a new look at the cache. What the calls are follows recorded runs of KubeVirt's own virt-controller and
//! virt-api against a kube-apiserver; only virt-handler's are assumed, see its module.
//!
//! ```no_run
//! # async fn example(clients: lab::kubevirt::ComponentClients) {
//! use lab::kubevirt::{Components, Options, prerequisites};
//! let options = Options::default();
//! for object in prerequisites(&options) {
//!     // create it
//! }
//! let components = Components::start(clients, &options);
//! components.ready().await;
//! // create VMIs or VMs
//! components.stop().await;
//! # }
//! ```

mod cache;
mod controller;
mod expectations;
mod handler;
mod kubelet;
mod lease;
mod names;
mod object;
mod options;
mod phase;
mod prerequisites;
mod queue;
mod recorder;
mod resources;
mod rest;
mod scheduler;
mod tasks;
mod time;
mod virt_api;

use std::sync::Arc;

use kube::Client;

pub use self::options::Options;
pub use self::prerequisites::prerequisites;
pub use self::virt_api::{AdmissionRequest, VirtApi, Webhooks};

use self::cache::Cache;
use self::tasks::Tasks;

/// One client per component; its identity and user agent are what the API server sees of the component.
pub struct ComponentClients {
    /// virt-controller.
    pub controller: Client,
    /// virt-api.
    pub api: Client,
    /// virt-handlers, each with the name of its node.
    pub handler: Vec<(String, Client)>,
    /// kube-scheduler.
    pub scheduler: Client,
    /// kubelet, of all nodes.
    pub kubelet: Client,
}

/// The running components.
pub struct Components {
    tasks: Tasks,
    virt_api: Arc<VirtApi>,
    caches: Vec<Arc<Cache>>,
}

impl Components {
    /// Starts all components as tasks of the current tokio runtime. What [`prerequisites`] gives should exist, and
    /// rustls have a default provider. Errors are logged and work is repeated, for as long as it takes.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn start(clients: ComponentClients, options: &Options) -> Self {
        let tasks = Tasks::default();
        let (virt_api, mut caches) = virt_api::start(clients.api, options.webhooks, &tasks);
        caches.extend(controller::start(clients.controller, options, &tasks));
        caches.extend(scheduler::start(clients.scheduler, options, &tasks));
        caches.extend(kubelet::start(clients.kubelet, options, &tasks));
        let nodes = clients.handler.len();
        for (index, handler) in clients.handler.into_iter().enumerate() {
            caches.extend(handler::start(handler, (index, nodes), options, &tasks));
        }
        Self {
            tasks,
            virt_api,
            caches,
        }
    }

    /// virt-api, for the API server to ask.
    #[must_use]
    pub fn virt_api(&self) -> Arc<VirtApi> {
        self.virt_api.clone()
    }

    /// Waits until every component has listed what it watches. Without this, the lists of a start fall into what is
    /// measured.
    pub async fn ready(&self) {
        cache::all_synced("lab", &self.caches).await;
    }

    /// Ends all components and waits for them. Calls that are under way are dropped.
    pub async fn stop(&self) {
        self.tasks.stop().await;
    }
}
