//! The controllers that an API server is never without: the garbage collector and the removal of namespaces' contents.
//! They work on the store directly, so their calls, which in a cluster are kube-controller-manager's, are not in the log.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use super::remove::{self, DeleteOptions, FOREGROUND, ORPHAN, is_free};
use crate::apiserver::resources::object::{Draft, Facts, Key, Owner};
use crate::apiserver::resources::registry::{self, RESOURCES, ResourceId};
use crate::apiserver::server::ApiServer;
use crate::apiserver::storage::store::{Change, Event, Expired, Store};

/// How many events of a type are read at once.
const BATCH: usize = 256;

type Place = (ResourceId, Key);

/// Collects for ever; of several only one works at a time.
pub(crate) async fn run(server: Arc<ApiServer>) {
    let _only_one = server.collecting.lock().await;
    let mut changed = server.store.subscribe_all();
    let mut collector = Collector::new(&server.store);
    collector.rebuild();
    loop {
        changed.mark_unchanged();
        if collector.catch_up().is_err() {
            collector.rebuild();
        }
        if collector.work().await {
            continue;
        }
        if changed.changed().await.is_err() {
            return;
        }
    }
}

struct Collector<'a> {
    store: &'a Store,
    /// Up to which version each type's events have been read.
    positions: Vec<u64>,
    /// By the uid of the owner.
    dependents: HashMap<String, HashSet<Place>>,
    /// Objects whose owners are to be looked at.
    orphan_candidates: HashSet<Place>,
    /// Objects that are being deleted and wait for their dependents.
    waiting: HashSet<Place>,
    /// Namespaces whose contents are to be deleted.
    to_sweep: HashSet<String>,
    /// Namespaces that go when they are empty.
    terminating: HashSet<String>,
}

impl<'a> Collector<'a> {
    fn new(store: &'a Store) -> Self {
        Self {
            store,
            positions: vec![0; RESOURCES.len()],
            dependents: HashMap::new(),
            orphan_candidates: HashSet::new(),
            waiting: HashSet::new(),
            to_sweep: HashSet::new(),
            terminating: HashSet::new(),
        }
    }

    /// Starts from the objects as they are.
    fn rebuild(&mut self) {
        self.dependents.clear();
        for id in 0..RESOURCES.len() {
            let (objects, version) = self.store.snapshot(id, "");
            self.positions[id] = version;
            for object in objects {
                self.note(id, &object.facts);
            }
        }
    }

    /// Reads what has happened since the last time.
    fn catch_up(&mut self) -> Result<(), Expired> {
        for id in 0..RESOURCES.len() {
            loop {
                let batch = self.store.since(id, self.positions[id], BATCH)?;
                self.positions[id] = batch.version;
                for event in &batch.events {
                    self.take(id, event);
                }
                if batch.events.len() < BATCH {
                    break;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, id: ResourceId, event: &Event) {
        let facts = &event.object.facts;
        if let Some(previous) = &event.previous {
            self.forget(id, &previous.facts);
        }
        if event.change == Change::Deleted {
            self.wake_kin(id, facts);
        } else {
            self.note(id, facts);
        }
    }

    fn forget(&mut self, id: ResourceId, facts: &Facts) {
        let place = (id, facts.key.clone());
        for owner in &facts.owners {
            if let Some(places) = self.dependents.get_mut(&owner.uid) {
                places.remove(&place);
                if places.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
        }
    }

    fn note(&mut self, id: ResourceId, facts: &Facts) {
        let place = (id, facts.key.clone());
        for owner in &facts.owners {
            self.dependents
                .entry(owner.uid.clone())
                .or_default()
                .insert(place.clone());
        }
        if !facts.deleting {
            if !facts.owners.is_empty() {
                self.orphan_candidates.insert(place);
            }
            return;
        }
        if RESOURCES[id].is_namespaces() && self.terminating.insert(facts.key.name.clone()) {
            self.to_sweep.insert(facts.key.name.clone());
        }
        if facts
            .finalizers
            .iter()
            .any(|finalizer| finalizer == FOREGROUND || finalizer == ORPHAN)
        {
            self.waiting.insert(place);
        }
    }

    /// An object is gone: its dependents may have lost their last owner, its owners the last one they waited for.
    fn wake_kin(&mut self, id: ResourceId, facts: &Facts) {
        let dependents = self
            .dependents
            .get(&facts.uid)
            .into_iter()
            .flatten()
            .cloned();
        self.orphan_candidates.extend(dependents);
        for owner in &facts.owners {
            self.waiting.extend(place_of(owner, &facts.key.namespace));
        }
        if RESOURCES[id].is_namespaces() {
            self.terminating.remove(&facts.key.name);
        }
    }

    /// Does what has come up. True if there was something, so that its consequences are read at once.
    async fn work(&mut self) -> bool {
        let mut worked = false;
        for (id, key) in std::mem::take(&mut self.orphan_candidates) {
            worked |= self.check_owners(id, &key);
            tokio::task::yield_now().await;
        }
        for (id, key) in std::mem::take(&mut self.waiting) {
            worked |= self.finish_deletion(id, &key);
            tokio::task::yield_now().await;
        }
        for namespace in std::mem::take(&mut self.to_sweep) {
            self.sweep(&namespace).await;
            worked = true;
        }
        let empty: Vec<_> = self
            .terminating
            .iter()
            .filter(|name| self.is_empty(name))
            .cloned()
            .collect();
        for name in empty {
            let key = Key {
                namespace: String::new(),
                name,
            };
            worked |= edit(self.store, registry::namespaces(), &key, |namespace| {
                namespace["spec"]
                    .as_object_mut()
                    .is_some_and(|spec| spec.remove("finalizers").is_some())
            });
        }
        worked
    }

    /// Deletes an object whose owners are all gone; of several, takes those out that are.
    fn check_owners(&self, id: ResourceId, key: &Key) -> bool {
        let Some(object) = self.store.get(id, key) else {
            return false;
        };
        let facts = &object.facts;
        let (present, gone): (Vec<_>, Vec<_>) = facts
            .owners
            .iter()
            .partition(|owner| self.exists(owner, &key.namespace));
        if gone.is_empty() || facts.deleting {
            return false;
        }
        if present.is_empty() {
            self.delete(id, key, &facts.uid);
        } else {
            let gone: Vec<_> = gone.into_iter().map(|owner| owner.uid.clone()).collect();
            edit(self.store, id, key, |value| drop_owners(value, &gone));
        }
        true
    }

    /// An owner of a type that this server does not know counts as present.
    fn exists(&self, owner: &Owner, namespace: &str) -> bool {
        let Some((id, key)) = place_of(owner, namespace) else {
            return true;
        };
        self.store
            .get(id, &key)
            .is_some_and(|object| object.facts.uid == owner.uid)
    }

    fn delete(&self, id: ResourceId, key: &Key, uid: &str) {
        let options = DeleteOptions {
            uid: Some(uid.to_owned()),
            ..DeleteOptions::default()
        };
        if let Err(failure) = remove::remove(self.store, id, key, &options) {
            tracing::debug!(%failure, "the garbage collector leaves an object that has changed");
        }
    }

    /// Foreground: deletes the dependents and waits for those that block. Orphan: sets them free.
    fn finish_deletion(&self, id: ResourceId, key: &Key) -> bool {
        let Some(owner) = self
            .store
            .get(id, key)
            .filter(|object| object.facts.deleting)
        else {
            return false;
        };
        let has = |name: &str| {
            owner
                .facts
                .finalizers
                .iter()
                .any(|finalizer| finalizer == name)
        };
        let uid = &owner.facts.uid;
        let dependents: Vec<_> = self
            .dependents
            .get(uid)
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        if has(ORPHAN) {
            for (id, key) in &dependents {
                edit(self.store, *id, key, |value| {
                    drop_owners(value, std::slice::from_ref(uid))
                });
            }
            return edit(self.store, id, key, |value| drop_finalizer(value, ORPHAN));
        }
        if !has(FOREGROUND) {
            return false;
        }
        let blocked = dependents
            .iter()
            .filter(|(id, key)| self.delete_dependent(*id, key, uid))
            .count();
        blocked == 0
            && edit(self.store, id, key, |value| {
                drop_finalizer(value, FOREGROUND)
            })
    }

    /// True if the dependent still stands and blocks its owner.
    fn delete_dependent(&self, id: ResourceId, key: &Key, owner: &str) -> bool {
        let Some(object) = self.store.get(id, key) else {
            return false;
        };
        if !object.facts.deleting {
            self.delete(id, key, &object.facts.uid);
        }
        let left = self.store.get(id, key);
        left.is_some_and(|left| {
            left.facts
                .owners
                .iter()
                .any(|known| known.uid == owner && known.blocks)
        })
    }

    async fn sweep(&self, namespace: &str) {
        for (id, _) in RESOURCES
            .iter()
            .enumerate()
            .filter(|(_, resource)| resource.namespaced)
        {
            for object in self.store.snapshot(id, namespace).0 {
                self.delete(id, &object.facts.key, &object.facts.uid);
                tokio::task::yield_now().await;
            }
        }
    }

    fn is_empty(&self, namespace: &str) -> bool {
        let mut namespaced = RESOURCES
            .iter()
            .enumerate()
            .filter(|(_, resource)| resource.namespaced);
        !self.to_sweep.contains(namespace)
            && namespaced.all(|(id, _)| !self.store.any_in(id, namespace))
    }
}

/// Where an owner stands, if its type is known.
fn place_of(owner: &Owner, namespace: &str) -> Option<Place> {
    let group = owner
        .api_version
        .split_once('/')
        .map_or("", |(group, _)| group);
    let id = RESOURCES
        .iter()
        .position(|resource| resource.group == group && resource.kind == owner.kind)?;
    let namespace = if RESOURCES[id].namespaced {
        namespace
    } else {
        ""
    };
    Some((
        id,
        Key {
            namespace: namespace.to_owned(),
            name: owner.name.clone(),
        },
    ))
}

fn drop_owners(value: &mut Value, uids: &[String]) -> bool {
    let gone = |owner: &Value| uids.iter().any(|uid| owner["uid"] == *uid);
    retain(value, "ownerReferences", |owner| !gone(owner))
}

fn drop_finalizer(value: &mut Value, name: &str) -> bool {
    retain(value, "finalizers", |finalizer| finalizer != name)
}

/// Keeps only some elements of a list in metadata; true if that changed something.
fn retain(value: &mut Value, list: &str, keep: impl Fn(&Value) -> bool) -> bool {
    let Some(items) = value["metadata"]
        .get_mut(list)
        .and_then(Value::as_array_mut)
    else {
        return false;
    };
    let before = items.len();
    items.retain(keep);
    items.len() < before
}

/// Changes a stored object; `change` says whether there is something to store. Removes it if nothing holds it any more.
fn edit(store: &Store, id: ResourceId, key: &Key, change: impl Fn(&mut Value) -> bool) -> bool {
    while let Some(current) = store.get(id, key) {
        let mut value = current.parse();
        if !change(&mut value) {
            return false;
        }
        let draft = Draft::new(RESOURCES[id], &value);
        let stored = if current.facts.deleting && is_free(RESOURCES[id], &value) {
            store.remove(id, &current, draft)
        } else {
            store.replace(id, &current, draft)
        };
        if stored.is_ok() {
            return true;
        }
    }
    false
}
