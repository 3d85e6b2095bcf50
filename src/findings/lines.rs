//! Requests in the order of time, with small numbers in the place of all that is compared.

use std::{collections::HashMap, hash::Hash};

use super::Request;
use record::{CallRecord, call_name};

/// A request and what it is known by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'r> {
    pub(crate) request: &'r Request<'r>,
    /// Its component.
    pub(crate) component: u32,
    /// Its component in that process.
    pub(crate) sender: u32,
    /// Verb, group, version, resource and subresource.
    pub(crate) call: u32,
    /// How the call is shown, without group and version.
    pub(crate) name: u32,
    /// Group and resource.
    pub(crate) resource: u32,
    /// The object: group, resource, namespace and name; nothing for what names none.
    pub(crate) object: Option<u32>,
}

/// The requests of a run.
#[derive(Debug, Default)]
pub(crate) struct Lines<'r> {
    pub(crate) all: Vec<Line<'r>>,
    /// By [`Line::component`].
    pub(crate) components: Vec<&'r str>,
    /// By [`Line::name`].
    pub(crate) names: Vec<String>,
    /// Requests of the run by component and name.
    totals: HashMap<(u32, u32), u64>,
}

/// Numbers from 0 in the order of their keys' first appearance.
#[derive(Debug)]
struct Ids<K>(HashMap<K, u32>);

impl<K> Default for Ids<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Ids<K> {
    fn of(&mut self, key: K) -> u32 {
        let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        *self.0.entry(key).or_insert(next)
    }

    /// By their numbers.
    fn keys(self) -> Vec<K> {
        let mut keys: Vec<(K, u32)> = self.0.into_iter().collect();
        keys.sort_unstable_by_key(|(_, number)| *number);
        keys.into_iter().map(|(key, _)| key).collect()
    }
}

/// The numbers given so far.
#[derive(Debug, Default)]
struct Numbers<'r> {
    components: Ids<&'r str>,
    senders: Ids<(u32, u32)>,
    calls: Ids<&'r CallRecord>,
    names: Ids<String>,
    /// By the number of a call.
    name_of_call: Vec<u32>,
    resources: Ids<(&'r str, &'r str)>,
    objects: Ids<(u32, &'r str, &'r str)>,
}

impl<'r> Numbers<'r> {
    fn line(&mut self, request: &'r Request<'r>) -> Line<'r> {
        let call = self.calls.of(request.call);
        if call as usize == self.name_of_call.len() {
            let name = self.names.of(name_of(request.call));
            self.name_of_call.push(name);
        }
        let component = self.components.of(request.component);
        let resource = (&*request.call.group, &*request.call.resource);
        let resource = self.resources.of(resource);
        let object = object_of(request);
        Line {
            request,
            component,
            sender: self.senders.of((component, request.instance)),
            call,
            name: self.name_of_call[call as usize],
            resource,
            object: object.map(|(namespace, name)| self.objects.of((resource, namespace, name))),
        }
    }
}

impl<'r> Lines<'r> {
    pub(crate) fn new(requests: &'r [Request<'r>]) -> Self {
        let mut sorted: Vec<&'r Request<'r>> = requests.iter().collect();
        sorted.sort_by(|a, b| a.order(b));
        let mut numbers = Numbers::default();
        let mut lines = Self::default();
        for request in sorted {
            let line = numbers.line(request);
            lines.count(&line);
            lines.all.push(line);
        }
        lines.components = numbers.components.keys();
        lines.names = numbers.names.keys();
        lines
    }

    fn count(&mut self, line: &Line<'_>) {
        let counted = u64::from(!line.request.is_before);
        let total = self.totals.entry((line.component, line.name));
        *total.or_default() += counted;
    }

    /// How many requests of the run a component made by that name.
    pub(crate) fn total(&self, component: u32, name: u32) -> u64 {
        self.totals
            .get(&(component, name))
            .copied()
            .unwrap_or_default()
    }

    /// The lines with their places, in the order of time.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Line<'r>)> {
        self.all.iter().enumerate()
    }
}

/// Namespace and name. A namespace is in itself by its URL, and in none by that of its create.
fn object_of<'r>(request: &Request<'r>) -> Option<(&'r str, &'r str)> {
    let call = request.call;
    if request.name.is_empty() || call.resource.is_empty() {
        return None;
    }
    let is_namespace = call.group.is_empty() && call.resource == "namespaces";
    let namespace = if is_namespace { "" } else { request.namespace };
    Some((namespace, request.name))
}

fn name_of(call: &CallRecord) -> String {
    call_name(&call.verb, &call.resource, &call.subresource, &call.path)
}
