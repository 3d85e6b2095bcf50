//! Counts of an audit log.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::AuditEntry;
use classify::kubevirt::{component_of_user, is_kubevirt_component};
use record::{AuditCount, AuditLog, AuditReport, Value};

/// How many callers are remembered, to say which there are when a name is none of them.
const CALLERS_MAX: usize = 10_000;

/// Which requests are counted.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only requests whose counted stage is at this time or later.
    pub since: Option<Timestamp>,
    /// Only requests whose counted stage is before this time.
    pub until: Option<Timestamp>,
    /// Only these components or users; all if empty.
    pub components: Vec<String>,
}

/// Sums requests by user, call and code.
#[derive(Debug, Default)]
pub struct AuditCounter {
    filter: AuditFilter,
    counts: BTreeMap<CountKey, u64>,
    values: BTreeMap<String, u64>,
    /// Components and users that called at any time; only where some are asked for.
    callers: BTreeSet<String>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct CountKey {
    component: String,
    verb: String,
    group: String,
    resource: String,
    subresource: String,
    path: String,
    code: u16,
}

impl AuditFilter {
    /// Whether `entry` is counted.
    pub fn takes(&self, entry: &AuditEntry) -> bool {
        let component = component_of_user(&entry.user);
        let named = |wanted: &String| *wanted == entry.user || component == Some(wanted);
        self.since.is_none_or(|since| entry.staged >= since)
            && self.until.is_none_or(|until| entry.staged < until)
            && (self.components.is_empty() || self.components.iter().any(named))
    }
}

impl AuditCounter {
    /// Counts what `filter` takes.
    pub fn new(filter: AuditFilter) -> Self {
        Self {
            filter,
            ..Self::default()
        }
    }

    /// Counts the request of one entry.
    pub fn add(&mut self, entry: &AuditEntry) {
        self.remember(&entry.user);
        if !self.filter.takes(entry) {
            return;
        }
        let component = match &entry.impersonated {
            Some(impersonated) => format!("{} as {impersonated}", entry.user),
            None => entry.user.clone(),
        };
        let key = CountKey {
            component,
            verb: entry.call.verb.clone(),
            group: entry.call.group.clone(),
            resource: entry.call.resource.clone(),
            subresource: entry.call.subresource.clone(),
            path: entry.call.path.clone(),
            code: entry.code,
        };
        *self.counts.entry(key).or_default() += 1;
        if component_of_user(&entry.user).is_some_and(is_kubevirt_component) {
            let key = format!("{}-count", entry.call.key());
            *self.values.entry(key).or_default() += 1;
        }
    }

    fn remember(&mut self, user: &str) {
        let is_full = self.callers.len() >= CALLERS_MAX;
        if self.filter.components.is_empty() || is_full || self.callers.contains(user) {
            return;
        }
        self.callers
            .extend(component_of_user(user).map(str::to_owned));
        self.callers.insert(user.to_owned());
    }

    /// Components and users that were asked for, and of which the log has no request at any time.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        let wanted = self.filter.components.iter();
        wanted
            .filter(|wanted| !self.callers.contains(*wanted))
            .map(String::as_str)
    }

    /// The components and users of the log, if some were asked for; not all of very many.
    pub fn callers(&self) -> impl Iterator<Item = &str> {
        self.callers.iter().map(String::as_str)
    }

    /// The counts by user, call and code, and KubeVirt's values; `log` is what they were read from.
    pub fn report(self, log: AuditLog) -> AuditReport {
        let counts = self.counts.into_iter().map(|(key, count)| AuditCount {
            component: key.component,
            verb: key.verb,
            group: key.group,
            resource: key.resource,
            subresource: key.subresource,
            path: key.path,
            code: key.code,
            count,
            cost_cpu_us: None,
        });
        let values = self.values.into_iter().map(|(name, count)| {
            let value = count as f64;
            (name, Value { value })
        });
        AuditReport {
            counts: counts.collect(),
            values: values.collect(),
            log,
            bill: None,
        }
    }
}
