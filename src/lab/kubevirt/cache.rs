//! The objects of one type as a component last saw them, kept current by a list and a watch.
//!
//! They are kept as compressed text, since a tree takes some hundred times the memory: with some thousand virtual
//! machines the trees of all caches would be the largest part of a lab. Who looks at an object gets a tree of its own.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::StreamExt;
use kube::Api;
use kube::core::{ApiResource, DynamicObject, TypeMeta};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Config, Event, watcher};
use tokio::sync::watch;

use super::object::Key;
use super::rest::Rest;
use super::tasks::Tasks;
use crate::packing::{self, Packer};

/// An object that several look at.
pub(crate) type Shared = Arc<DynamicObject>;

/// An object as compressed text.
#[derive(Debug, Clone)]
pub(crate) struct Packed(packing::Packed);

impl Packed {
    pub(crate) fn of(object: &DynamicObject, packer: &mut Packer) -> Self {
        let text = serde_json::to_vec(object);
        Self(packer.pack(&text.expect("an object is written to memory")))
    }

    pub(crate) fn unpack(&self) -> Shared {
        let object = serde_json::from_slice(&self.0.unpack());
        Arc::new(object.expect("the text was written from an object"))
    }
}

/// What an index files an object under; empty means nothing.
pub(crate) type IndexOf = fn(&DynamicObject) -> String;

/// The newest known state, which may be older than the API server's.
pub(crate) struct Cache {
    index_of: IndexOf,
    content: RwLock<Content>,
    synced: watch::Sender<bool>,
}

#[derive(Default)]
struct Content {
    objects: HashMap<Key, Entry>,
    index: HashMap<String, BTreeSet<Key>>,
    packer: Packer,
}

struct Entry {
    object: Packed,
    /// What the index files it under.
    filed: String,
}

impl Cache {
    fn new(index_of: IndexOf) -> Self {
        Self {
            index_of,
            content: RwLock::default(),
            synced: watch::Sender::new(false),
        }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Shared> {
        let content = self.content.read().unwrap_or_else(PoisonError::into_inner);
        let entry = content.objects.get(key)?;
        let object = entry.object.clone();
        drop(content);
        Some(object.unpack())
    }

    pub(crate) fn has(&self, key: &Key) -> bool {
        let content = self.content.read().unwrap_or_else(PoisonError::into_inner);
        content.objects.contains_key(key)
    }

    /// The objects that the index files under `value`, by name.
    pub(crate) fn indexed(&self, value: &str) -> Vec<Shared> {
        let content = self.content.read().unwrap_or_else(PoisonError::into_inner);
        let Some(keys) = content.index.get(value) else {
            return vec![];
        };
        let entries = keys.iter().filter_map(|key| content.objects.get(key));
        let packed: Vec<Packed> = entries.map(|entry| entry.object.clone()).collect();
        drop(content);
        packed.iter().map(Packed::unpack).collect()
    }

    /// How many objects the index files under `value`.
    pub(crate) fn count(&self, value: &str) -> usize {
        let content = self.content.read().unwrap_or_else(PoisonError::into_inner);
        content.index.get(value).map_or(0, BTreeSet::len)
    }

    /// Waits for the first complete list.
    pub(crate) async fn synced(&self) {
        let mut synced = self.synced.subscribe();
        // The sender is in this cache, so it outlives the wait.
        let _ = synced.wait_for(|synced| *synced).await;
    }

    fn put(&self, key: &Key, object: &DynamicObject) -> Option<Packed> {
        let filed = (self.index_of)(object);
        let mut content = self.content.write().unwrap_or_else(PoisonError::into_inner);
        let entry = Entry {
            object: Packed::of(object, &mut content.packer),
            filed: filed.clone(),
        };
        let old = content.objects.insert(key.clone(), entry);
        if let Some(old) = &old {
            content.unfile(&old.filed, key);
        }
        if !filed.is_empty() {
            content.index.entry(filed).or_default().insert(key.clone());
        }
        old.map(|old| old.object)
    }

    fn remove(&self, key: &Key) -> Option<Packed> {
        let mut content = self.content.write().unwrap_or_else(PoisonError::into_inner);
        let old = content.objects.remove(key)?;
        content.unfile(&old.filed, key);
        Some(old.object)
    }

    fn keys(&self) -> Vec<Key> {
        let content = self.content.read().unwrap_or_else(PoisonError::into_inner);
        content.objects.keys().cloned().collect()
    }
}

impl Content {
    fn unfile(&mut self, filed: &str, key: &Key) {
        if let Some(keys) = self.index.get_mut(filed) {
            keys.remove(key);
            if keys.is_empty() {
                self.index.remove(filed);
            }
        }
    }
}

/// A change that a watch told.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) key: Key,
    /// The state before; `None` for a new object.
    pub(crate) old: Option<Packed>,
    /// The state now; `None` for one that is gone.
    pub(crate) new: Option<Shared>,
    /// The last state of one that is gone, if the watch told it.
    last: Option<Shared>,
}

impl Change {
    /// From one state to the next.
    pub(crate) fn new(key: Key, old: Option<Packed>, new: Shared) -> Self {
        Self {
            key,
            old,
            new: Some(new),
            last: None,
        }
    }

    /// The newest state that is known.
    pub(crate) fn object(&self) -> Option<Shared> {
        let told = self.new.as_ref().or(self.last.as_ref()).cloned();
        told.or_else(|| self.old.as_ref().map(Packed::unpack))
    }
}

type Handler = Box<dyn Fn(&Change) + Send + Sync>;

/// Takes off an object what a component never looks at.
pub(crate) type Trim = fn(&mut DynamicObject);

/// A list and a watch that fill a cache and tell handlers what changed.
pub(crate) struct Informer {
    resource: ApiResource,
    config: Config,
    cache: Arc<Cache>,
    trim: Trim,
    handlers: Vec<Handler>,
}

impl Informer {
    pub(crate) fn new(resource: &ApiResource) -> Self {
        Self {
            resource: resource.clone(),
            config: Config::default(),
            cache: Arc::new(Cache::new(|_| String::new())),
            trim: |_| (),
            handlers: vec![],
        }
    }

    /// Only the objects with these labels.
    pub(crate) fn labels(mut self, selector: &str) -> Self {
        self.config = self.config.labels(selector);
        self
    }

    /// Only the objects with these fields.
    pub(crate) fn fields(mut self, selector: &str) -> Self {
        self.config = self.config.fields(selector);
        self
    }

    /// Keeps of each object what `trim` leaves.
    pub(crate) fn trimmed(mut self, trim: Trim) -> Self {
        self.trim = trim;
        self
    }

    /// Files the objects under what `index_of` says.
    pub(crate) fn indexed_by(mut self, index_of: IndexOf) -> Self {
        self.cache = Arc::new(Cache::new(index_of));
        self
    }

    pub(crate) fn cache(&self) -> Arc<Cache> {
        self.cache.clone()
    }

    /// Calls `handler` for each change, after the cache has it.
    pub(crate) fn on(&mut self, handler: impl Fn(&Change) + Send + Sync + 'static) {
        self.handlers.push(Box::new(handler));
    }

    /// Lists and watches until the component stops. Dropped watches are opened again, and what was missed is listed.
    pub(crate) fn start(self, rest: &Rest, tasks: &Tasks) -> Arc<Cache> {
        let cache = self.cache.clone();
        let api: Api<DynamicObject> = Api::all_with(rest.client(), &self.resource);
        tasks.spawn(async move { self.run(api).await });
        cache
    }

    async fn run(self, api: Api<DynamicObject>) {
        let plural = self.resource.plural.clone();
        let mut events = watcher(api, self.config.clone()).default_backoff().boxed();
        let mut listed = BTreeSet::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.take(event, &mut listed),
                Err(error) => report(&plural, &error),
            }
        }
    }

    fn take(&self, event: Event<DynamicObject>, listed: &mut BTreeSet<Key>) {
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(object) => {
                listed.insert(Key::of(&object));
                self.apply(object);
            }
            Event::InitDone => self.finish_list(listed),
            Event::Apply(object) => self.apply(object),
            Event::Delete(object) => self.forget(&Key::of(&object), Some(object)),
        }
    }

    /// What a new list does not have is gone.
    fn finish_list(&self, listed: &BTreeSet<Key>) {
        for key in self.cache.keys() {
            if !listed.contains(&key) {
                self.forget(&key, None);
            }
        }
        self.cache.synced.send_replace(true);
    }

    fn apply(&self, mut object: DynamicObject) {
        // Items of a list come without their type.
        object.types.get_or_insert_with(|| TypeMeta {
            api_version: self.resource.api_version.clone(),
            kind: self.resource.kind.clone(),
        });
        (self.trim)(&mut object);
        let key = Key::of(&object);
        let old = self.cache.put(&key, &object);
        self.tell(&Change::new(key, old, Arc::new(object)));
    }

    fn forget(&self, key: &Key, last: Option<DynamicObject>) {
        self.tell(&Change {
            key: key.clone(),
            old: self.cache.remove(key),
            new: None,
            last: last.map(Arc::new),
        });
    }

    fn tell(&self, change: &Change) {
        for handler in &self.handlers {
            handler(change);
        }
    }
}

/// How long a component may wait for its first lists before it says so.
const SYNC_WARNING: Duration = Duration::from_secs(10);

fn report(plural: &str, error: &watcher::Error) {
    tracing::warn!(resource = plural, %error, "a watch or list failed, it will be repeated");
}

/// Waits until all caches have their first list, and says so if that takes long.
pub(crate) async fn all_synced(component: &str, caches: &[Arc<Cache>]) {
    for cache in caches {
        while tokio::time::timeout(SYNC_WARNING, cache.synced())
            .await
            .is_err()
        {
            tracing::warn!(component, "still waiting for the first list of a resource");
        }
    }
}
