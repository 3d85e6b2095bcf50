//! Events: a component hands them over, one task posts them in order, as client-go's broadcaster does.

use serde_json::{Value, json};
use tokio::sync::mpsc;

use kube::core::{ApiResource, DynamicObject};

use super::object::ObjectExt;
use super::resources;
use super::rest::Rest;
use super::tasks::Tasks;
use super::time;

/// How many events may wait; further ones are dropped, as client-go does.
const WAITING: usize = 1000;

/// Where a component's events go in.
#[derive(Clone)]
pub(crate) struct Recorder {
    component: &'static str,
    events: mpsc::Sender<(&'static ApiResource, Value)>,
}

impl Recorder {
    pub(crate) fn start(component: &'static str, rest: &Rest, tasks: &Tasks) -> Self {
        let (events, waiting) = mpsc::channel(WAITING);
        tasks.spawn(post(rest.clone(), waiting));
        Self { component, events }
    }

    /// A `core/v1` event in the namespace of `about`.
    pub(crate) fn record(&self, about: &DynamicObject, kind: &str, reason: &str, message: &str) {
        let now = time::seconds();
        let event = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": metadata(about),
            "involvedObject": about.reference(), "type": kind, "reason": reason, "message": message,
            "source": {"component": self.component}, "reportingComponent": self.component,
            "reportingInstance": "", "firstTimestamp": now, "lastTimestamp": now, "count": 1,
        });
        self.send(&resources::EVENTS, event);
    }

    /// An `events.k8s.io/v1` event, as the scheduler makes.
    pub(crate) fn report(&self, about: &DynamicObject, kind: &str, reason: &str, note: &str) {
        let event = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": metadata(about),
            "eventTime": time::micros(), "reportingController": self.component,
            "reportingInstance": format!("{}-lab", self.component), "action": "Binding",
            "regarding": about.reference(), "type": kind, "reason": reason, "note": note,
        });
        self.send(&resources::NEW_EVENTS, event);
    }

    fn send(&self, resource: &'static ApiResource, event: Value) {
        if self.events.try_send((resource, event)).is_err() {
            tracing::warn!(component = self.component, "an event was dropped");
        }
    }
}

fn metadata(about: &DynamicObject) -> Value {
    let name = about.metadata.name.as_deref().unwrap_or_default();
    json!({
        "name": format!("{name}.{}", time::event_suffix()),
        "namespace": about.metadata.namespace.as_deref().unwrap_or("default"),
    })
}

async fn post(rest: Rest, mut waiting: mpsc::Receiver<(&'static ApiResource, Value)>) {
    while let Some((resource, event)) = waiting.recv().await {
        let namespace = event["metadata"]["namespace"].as_str().unwrap_or_default();
        if let Err(error) = rest.create(resource, namespace, &event).await {
            tracing::warn!(%error, "an event was not stored");
        }
    }
}
