//! Watches a run's objects: when each VMI came to each phase, and who created what.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::StreamExt;
use jiff::Timestamp;
use kube::{
    Client, ResourceExt,
    api::DynamicObject,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use tokio::{sync::watch, task::JoinHandle};

use super::client::api;
use crate::workload::{Kind, POD, VM, VMI};

/// What was seen of one object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    /// `metadata.name`.
    pub name: String,
    /// Who created it, by the oldest entry of `managedFields`.
    pub creator: String,
    /// `metadata.creationTimestamp`, in whole seconds.
    pub created: Option<Timestamp>,
    /// When the driver first saw the phase Running.
    pub running_seen: Option<Timestamp>,
    /// `status.phase` as it was seen last; empty if there is none.
    pub phase: String,
    /// `status.phaseTransitionTimestamps`, by phase.
    pub phases: BTreeMap<String, Timestamp>,
    /// Whether it is still there.
    pub exists: bool,
}

/// All objects that a watch has shown.
#[derive(Debug, Clone, Default)]
pub(super) struct Objects {
    /// By kind's plural and UID.
    seen: BTreeMap<(&'static str, String), Seen>,
    /// How many of them are still there.
    left: usize,
    /// Names of VMIs in the order in which they were first seen Running.
    running: Vec<String>,
}

impl Objects {
    /// Each with its kind's plural and its UID.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &str, &Seen)> {
        let seen = self.seen.iter();
        seen.map(|((plural, uid), seen)| (*plural, uid.as_str(), seen))
    }

    /// Whether a watch has shown it.
    pub(super) fn has(&self, plural: &'static str, uid: &str) -> bool {
        self.seen.contains_key(&(plural, uid.to_owned()))
    }

    /// How many are still there.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Names of VMIs in the order in which they were first seen Running; what was added since a look
    /// is behind what it showed.
    pub(super) fn running(&self) -> &[String] {
        &self.running
    }
}

/// Watches of one namespace. They survive dropped connections and expired versions.
pub(super) struct Observer {
    objects: watch::Receiver<Arc<Objects>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Observer {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Observer {
    /// Starts to watch VMIs, pods and, if `with_vms`, VMs in a namespace.
    pub(super) fn start(client: &Client, namespace: &str, with_vms: bool) -> Self {
        let (sender, objects) = watch::channel(Arc::new(Objects::default()));
        let sender = Arc::new(sender);
        let mut kinds = vec![VMI, POD];
        if with_vms {
            kinds.push(VM);
        }
        let tasks = kinds.into_iter().map(|kind| {
            let events = watcher(api(client, namespace, kind), watcher::Config::default());
            let sender = Arc::clone(&sender);
            tokio::spawn(async move {
                let mut events = std::pin::pin!(events.default_backoff());
                while let Some(event) = events.next().await {
                    match event {
                        Ok(event) => note(&sender, kind, event),
                        Err(error) => tracing::debug!(kind = kind.kind, %error, "watch again"),
                    }
                }
            })
        });
        Self {
            objects,
            tasks: tasks.collect(),
        }
    }

    /// What was seen so far.
    pub(super) fn objects(&self) -> Arc<Objects> {
        Arc::clone(&self.objects.borrow())
    }

    /// Waits until `enough` says so; gives what it was shown last if `longest` is over before.
    pub(super) async fn wait_for(
        &mut self,
        longest: Duration,
        enough: impl FnMut(&Arc<Objects>) -> bool,
    ) -> bool {
        let waited = tokio::time::timeout(longest, self.objects.wait_for(enough)).await;
        matches!(waited, Ok(Ok(_)))
    }
}

fn note(sender: &watch::Sender<Arc<Objects>>, kind: Kind, event: Event<DynamicObject>) {
    let now = Timestamp::now();
    sender.send_if_modified(|objects| {
        let objects = Arc::make_mut(objects);
        match event {
            Event::Apply(object) | Event::InitApply(object) => {
                objects.update(kind, &object, now);
            }
            Event::Delete(object) => objects.remove(kind, &object, now),
            // A new list follows: what it doesn't show is gone.
            Event::Init => {
                objects.forget(kind);
                return false;
            }
            Event::InitDone => {}
        }
        true
    });
}

impl Objects {
    fn update(&mut self, kind: Kind, object: &DynamicObject, now: Timestamp) {
        let key = (kind.plural, object.uid().unwrap_or_default());
        let seen = self.seen.entry(key).or_insert_with(|| Seen::new(object));
        self.left += usize::from(!seen.exists);
        seen.exists = true;
        if seen.update(object, now) && kind == VMI {
            self.running.push(seen.name.clone());
        }
    }

    fn remove(&mut self, kind: Kind, object: &DynamicObject, now: Timestamp) {
        self.update(kind, object, now);
        let key = (kind.plural, object.uid().unwrap_or_default());
        if let Some(seen) = self.seen.get_mut(&key) {
            seen.exists = false;
            self.left -= 1;
        }
    }

    fn forget(&mut self, kind: Kind) {
        let of_kind = self.seen.iter_mut();
        for (_, seen) in of_kind.filter(|((plural, _), _)| *plural == kind.plural) {
            self.left -= usize::from(seen.exists);
            seen.exists = false;
        }
    }
}

impl Seen {
    /// Not there yet.
    fn new(object: &DynamicObject) -> Self {
        Self {
            name: object.name_any(),
            creator: creator(object),
            created: object.creation_timestamp().map(|time| time.0),
            running_seen: None,
            phase: String::new(),
            phases: BTreeMap::new(),
            exists: false,
        }
    }

    /// Takes over the status; gives whether it is the first one that is Running.
    fn update(&mut self, object: &DynamicObject, now: Timestamp) -> bool {
        let status = &object.data["status"];
        let phase = status["phase"].as_str().unwrap_or_default();
        phase.clone_into(&mut self.phase);
        let transitions = status["phaseTransitionTimestamps"].as_array();
        for transition in transitions.into_iter().flatten() {
            let phase = transition["phase"].as_str();
            let time = transition["phaseTransitionTimestamp"].as_str();
            if let (Some(phase), Some(Ok(time))) = (phase, time.map(str::parse)) {
                self.phases.insert(phase.to_owned(), time);
            }
        }
        let is_first = self.phase == "Running" && self.running_seen.is_none();
        if is_first {
            self.running_seen = Some(now);
        }
        is_first
    }
}

fn creator(object: &DynamicObject) -> String {
    let fields = object.managed_fields().iter();
    let oldest = fields.min_by_key(|entry| entry.time.as_ref().map(|time| time.0));
    oldest
        .and_then(|entry| entry.manager.clone())
        .unwrap_or_default()
}
