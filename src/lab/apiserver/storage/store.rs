//! The objects in memory: one collection for each resource type with its own lock, one counter of resourceVersions for
//! all.
//!
//! A collection keeps the newest events in order. A watch is a position in them, so that a slow client costs nothing but
//! its position, and is dropped once that position has left the window. Versions are given under the collection's lock;
//! therefore a reader that holds it has seen every event of the type up to the counter.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::apiserver::resources::object::{Draft, Key, Object};
use crate::apiserver::resources::registry::{self, RESOURCES, ResourceId};
use crate::packing::Packer;

/// Most bytes of the compressed texts of a collection's history: 10,000 events of pods take 5 MB.
const HISTORY_BYTES: usize = 32 << 20;

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Added,
    Modified,
    Deleted,
}

/// One entry of a collection's history. `object` is the new state, for a deletion the last one.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) change: Change,
    pub(crate) object: Arc<Object>,
    pub(crate) previous: Option<Arc<Object>>,
}

/// Why an object could not be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Exists,
    NoNamespace,
    Terminating,
}

/// Another writer was faster: the object is gone or has another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Raced;

/// The history does not reach back that far; `oldest` is the version from which on it is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expired {
    pub(crate) oldest: u64,
}

/// Events after a position. `version` is a position that has seen them all, for a bookmark and for the next call.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) events: Vec<Event>,
    pub(crate) version: u64,
}

#[derive(Debug, Default)]
struct Collection {
    objects: BTreeMap<Key, Arc<Object>>,
    packer: Packer,
    history: VecDeque<Event>,
    /// Bytes of the compressed texts in `history`.
    history_bytes: usize,
    /// Events up to this version are no longer in `history`.
    floor: u64,
}

#[derive(Debug)]
struct Slot {
    collection: Mutex<Collection>,
    changed: watch::Sender<()>,
}

/// All collections.
#[derive(Debug)]
pub(crate) struct Store {
    version: AtomicU64,
    slots: Vec<Slot>,
    window: usize,
    changed: watch::Sender<()>,
}

impl Store {
    /// `window` is how many events a resource type remembers.
    pub(crate) fn new(window: usize) -> Self {
        let slot = |_| Slot {
            collection: Mutex::default(),
            changed: watch::Sender::new(()),
        };
        Self {
            version: AtomicU64::new(1),
            slots: RESOURCES.iter().map(slot).collect(),
            window: window.max(1),
            changed: watch::Sender::new(()),
        }
    }

    /// The newest resourceVersion.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    pub(crate) fn get(&self, id: ResourceId, key: &Key) -> Option<Arc<Object>> {
        self.collection(id).objects.get(key).cloned()
    }

    /// Creates. A namespaced object needs a namespace that is not terminating; that is checked under the lock of the
    /// type, so that the removal of a namespace's contents misses nothing.
    pub(crate) fn insert(&self, id: ResourceId, draft: Draft) -> Result<Arc<Object>, Refusal> {
        let mut collection = self.collection(id);
        if RESOURCES[id].namespaced {
            self.check_namespace(&draft.facts().key.namespace)?;
        }
        if collection.objects.contains_key(&draft.facts().key) {
            return Err(Refusal::Exists);
        }
        let object = Arc::new(draft.seal(self.next_version(), &mut collection.packer));
        collection
            .objects
            .insert(object.facts.key.clone(), object.clone());
        self.record(
            id,
            collection,
            Event {
                change: Change::Added,
                object: object.clone(),
                previous: None,
            },
        );
        Ok(object)
    }

    fn check_namespace(&self, name: &str) -> Result<(), Refusal> {
        let key = Key {
            namespace: String::new(),
            name: name.to_owned(),
        };
        match self.get(registry::namespaces(), &key) {
            None => Err(Refusal::NoNamespace),
            Some(namespace) if namespace.facts.deleting => Err(Refusal::Terminating),
            Some(_) => Ok(()),
        }
    }

    /// Puts `draft` in the place of `current`, if that still is the newest version.
    pub(crate) fn replace(
        &self,
        id: ResourceId,
        current: &Arc<Object>,
        draft: Draft,
    ) -> Result<Arc<Object>, Raced> {
        let mut collection = self.collection(id);
        collection.check_newest(current)?;
        let draft = draft.sharing_facts_with(current);
        let object = Arc::new(draft.seal(self.next_version(), &mut collection.packer));
        collection
            .objects
            .insert(object.facts.key.clone(), object.clone());
        let previous = Some(current.clone());
        self.record(
            id,
            collection,
            Event {
                change: Change::Modified,
                object: object.clone(),
                previous,
            },
        );
        Ok(object)
    }

    /// Removes `current`, if that still is the newest version; `last` is its last state.
    pub(crate) fn remove(
        &self,
        id: ResourceId,
        current: &Arc<Object>,
        last: Draft,
    ) -> Result<Arc<Object>, Raced> {
        let mut collection = self.collection(id);
        collection.check_newest(current)?;
        let object = Arc::new(last.seal(self.next_version(), &mut collection.packer));
        collection.objects.remove(&current.facts.key);
        let previous = Some(current.clone());
        self.record(
            id,
            collection,
            Event {
                change: Change::Deleted,
                object: object.clone(),
                previous,
            },
        );
        Ok(object)
    }

    /// All objects, of one namespace if it is not empty, in the order of their keys, and the version they stand for.
    pub(crate) fn snapshot(&self, id: ResourceId, namespace: &str) -> (Vec<Arc<Object>>, u64) {
        let collection = self.collection(id);
        (
            collection.range(namespace).cloned().collect(),
            self.version(),
        )
    }

    /// The same as it was at `version`, by taking back the events since then.
    pub(crate) fn snapshot_at(
        &self,
        id: ResourceId,
        namespace: &str,
        version: u64,
    ) -> Result<Vec<Arc<Object>>, Expired> {
        let collection = self.collection(id);
        if version < collection.floor {
            return Err(Expired {
                oldest: collection.floor,
            });
        }
        let mut objects: BTreeMap<_, _> = collection
            .range(namespace)
            .map(|object| (object.facts.key.clone(), object.clone()))
            .collect();
        for event in collection
            .history
            .iter()
            .rev()
            .take_while(|event| event.object.version > version)
        {
            let key = &event.object.facts.key;
            if !namespace.is_empty() && key.namespace != namespace {
                continue;
            }
            match &event.previous {
                Some(previous) => objects.insert(key.clone(), previous.clone()),
                None => objects.remove(key),
            };
        }
        Ok(objects.into_values().collect())
    }

    /// Whether a namespace holds any object of the type.
    pub(crate) fn any_in(&self, id: ResourceId, namespace: &str) -> bool {
        self.collection(id).range(namespace).next().is_some()
    }

    /// At most `limit` events after `version`.
    pub(crate) fn since(
        &self,
        id: ResourceId,
        version: u64,
        limit: usize,
    ) -> Result<Batch, Expired> {
        let collection = self.collection(id);
        if version < collection.floor {
            return Err(Expired {
                oldest: collection.floor,
            });
        }
        let first = collection
            .history
            .partition_point(|event| event.object.version <= version);
        let events: Vec<_> = collection
            .history
            .range(first..)
            .take(limit)
            .cloned()
            .collect();
        let seen = match events.last() {
            Some(last) if first + events.len() < collection.history.len() => last.object.version,
            _ => self.version().max(version),
        };
        Ok(Batch {
            events,
            version: seen,
        })
    }

    /// Wakes at changes of one resource type.
    pub(crate) fn subscribe(&self, id: ResourceId) -> watch::Receiver<()> {
        self.slots[id].changed.subscribe()
    }

    /// Wakes at changes of any type.
    pub(crate) fn subscribe_all(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Forgets all events: every position until now, also of running watches, is too old.
    pub(crate) fn forget_history(&self) {
        for id in 0..self.slots.len() {
            let mut collection = self.collection(id);
            collection.history.clear();
            collection.history_bytes = 0;
            collection.floor = self.next_version();
            drop(collection);
            self.slots[id].changed.send_replace(());
        }
    }

    fn collection(&self, id: ResourceId) -> MutexGuard<'_, Collection> {
        self.slots[id]
            .collection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called under the lock of the collection that the version is for.
    fn next_version(&self) -> u64 {
        self.version.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn record(&self, id: ResourceId, mut collection: MutexGuard<'_, Collection>, event: Event) {
        collection.history_bytes += event.object.stored_size();
        collection.history.push_back(event);
        while collection.history.len() > self.window || collection.history_bytes > HISTORY_BYTES {
            let Some(oldest) = collection.history.pop_front() else {
                break;
            };
            collection.history_bytes -= oldest.object.stored_size();
            collection.floor = oldest.object.version;
        }
        drop(collection);
        self.slots[id].changed.send_replace(());
        self.changed.send_replace(());
    }
}

impl Collection {
    fn check_newest(&self, current: &Arc<Object>) -> Result<(), Raced> {
        match self.objects.get(&current.facts.key) {
            Some(newest) if newest.version == current.version => Ok(()),
            _ => Err(Raced),
        }
    }

    fn range(&self, namespace: &str) -> impl Iterator<Item = &Arc<Object>> {
        let start = Key {
            namespace: namespace.to_owned(),
            name: String::new(),
        };
        let inside = move |key: &Key| namespace.is_empty() || key.namespace == namespace;
        let from_start = self
            .objects
            .range((Bound::Included(start), Bound::Unbounded));
        from_start
            .take_while(move |(key, _)| inside(key))
            .map(|(_, object)| object)
    }
}
