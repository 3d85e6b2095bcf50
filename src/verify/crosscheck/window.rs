//! A window of time: what was read at its ends and in between, compared.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    compare::{Wire, compare},
    reading::{Call, Reading},
    usage::{Watched, values},
};
use record::{CROSSCHECK_SCHEMA, ComponentCheck, Crosscheck, Finding, Snapshot};

/// Readings of all endpoints, and the books before and after them.
pub struct Moment {
    /// Of each proxy, before the readings were taken.
    pub before: Vec<Snapshot>,
    /// Of each endpoint, with its time in seconds of any clock.
    pub readings: Vec<(f64, Reading)>,
    /// Of each proxy, after the readings were taken.
    pub after: Vec<Snapshot>,
    /// When the last of it was taken.
    pub taken: Timestamp,
}

/// A window that is not over. Proxies and endpoints have the same order at all moments.
pub struct Window {
    opened: Moment,
    watched: Vec<Watched>,
}

/// What a comparison alone comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// What components count is what they call, but for what is known to be missed.
    Agrees,
    /// A component's counter misses calls, or invents some.
    Differs,
    /// Something went wrong, so that nothing can be said.
    NotKnown,
}

impl Moment {
    /// Whether nothing was answered to these components while the readings were taken.
    pub fn is_still<'c>(&self, components: impl Iterator<Item = &'c str> + Clone) -> bool {
        let is_ours = |component: &str| components.clone().any(|name| name == component);
        self.before.iter().zip(&self.after).all(|(before, after)| {
            let answered = after.since(before).unwrap_or_default();
            let mut rows = answered.iter();
            !rows.any(|row| row.answered > 0 && is_ours(&row.component))
        })
    }
}

impl Window {
    /// Begins with the first readings of `endpoints`: each a component and the endpoint's URL.
    pub fn open<'e>(endpoints: impl Iterator<Item = (&'e str, String)>, opened: Moment) -> Self {
        let watched = endpoints
            .zip(&opened.readings)
            .map(|((component, url), (at, first))| {
                Watched::new(component, &url, *at, first.clone())
            });
        Self {
            watched: watched.collect(),
            opened,
        }
    }

    /// When it began.
    pub fn opened(&self) -> Timestamp {
        self.opened.taken
    }

    /// Takes one more reading of each endpoint, with its time in seconds.
    pub fn see(&mut self, readings: Vec<(f64, Reading)>) {
        for (one, (at, reading)) in self.watched.iter_mut().zip(readings) {
            one.see(at, reading);
        }
    }

    /// Ends it, and compares; `proxies` are the proxies' URLs. What the components miss of the
    /// resources in `allowed` is known. The exit codes are left to whoever knows them.
    pub fn close(
        mut self,
        mut closed: Moment,
        proxies: &[&str],
        allowed: &BTreeSet<String>,
    ) -> Crosscheck {
        self.see(std::mem::take(&mut closed.readings));
        let watched = &self.watched;
        let names: BTreeSet<&str> = watched.iter().map(|one| one.component.as_str()).collect();
        let (wires, mut problems) = wires(proxies, &self.opened, &closed, &names);
        let components = wires.iter().map(|(name, wire)| {
            let endpoints = watched.iter().filter(|one| one.component == *name);
            let endpoints: Vec<&Watched> = endpoints.collect();
            let found = problems_of(name, wire, &endpoints);
            let rows = if found.is_empty() {
                compare(wire, &own(&endpoints), allowed)
            } else {
                Vec::new()
            };
            problems.extend(found);
            ComponentCheck {
                component: (*name).to_owned(),
                endpoints: endpoints.iter().map(|one| one.url.clone()).collect(),
                counter: endpoints
                    .iter()
                    .find_map(|one| one.counter())
                    .map(str::to_owned),
                rows,
            }
        });
        Crosscheck {
            components: components.collect(),
            values: values(watched),
            ..nothing(self.opened.taken, closed.taken, problems)
        }
    }
}

/// The comparison of a window in which something failed, in words.
pub fn failed(opened: Timestamp, closed: Timestamp, problem: String) -> Crosscheck {
    nothing(opened, closed, vec![problem])
}

/// What a comparison alone comes to.
pub fn verdict(check: &Crosscheck) -> Verdict {
    let mut rows = check.components.iter().flat_map(|one| &one.rows);
    if !check.problems.is_empty() {
        Verdict::NotKnown
    } else if rows.any(|row| matches!(row.finding, Finding::Missed | Finding::Invented)) {
        Verdict::Differs
    } else {
        Verdict::Agrees
    }
}

fn nothing(opened: Timestamp, closed: Timestamp, problems: Vec<String>) -> Crosscheck {
    Crosscheck {
        schema: CROSSCHECK_SCHEMA.to_owned(),
        opened,
        closed,
        components: Vec::new(),
        problems,
        values: BTreeMap::new(),
        exit_code: 0,
        child_exit_code: None,
    }
}

/// What makes a comparison of a component worthless.
fn problems_of(name: &str, wire: &Wire, endpoints: &[&Watched]) -> Vec<String> {
    let restarted = endpoints.iter().filter(|one| one.restarted());
    let mut problems: Vec<String> = restarted
        .map(|one| {
            format!(
                "{name} at {} or its counters were started anew in the window, so that its own \
                 counts of it are not known",
                one.url
            )
        })
        .collect();
    if wire.is_silent() {
        problems.push(format!(
            "the proxies counted no call of {name}: nothing was compared"
        ));
    }
    problems
}

/// What all endpoints of a component counted.
fn own(endpoints: &[&Watched]) -> BTreeMap<Call, u64> {
    let mut own = BTreeMap::new();
    for (call, count) in endpoints.iter().flat_map(|one| one.calls()) {
        *own.entry(call).or_default() += count;
    }
    own
}

/// What the proxies counted of each component, and what is wrong with their books.
fn wires<'n>(
    proxies: &[&str],
    opened: &Moment,
    closed: &Moment,
    names: &BTreeSet<&'n str>,
) -> (BTreeMap<&'n str, Wire>, Vec<String>) {
    let mut wires: BTreeMap<&str, Wire> =
        names.iter().map(|name| (*name, Wire::default())).collect();
    let mut problems = Vec::new();
    for (at, proxy) in proxies.iter().enumerate() {
        let most = closed.after[at].since(&opened.before[at]);
        let least = closed.before[at].since(&opened.after[at]);
        if closed.after[at].overflowed != opened.before[at].overflowed {
            problems.push(format!("the books of {proxy} overflowed"));
        }
        match most.and_then(|most| Ok((most, least?))) {
            Ok((most, least)) => {
                for (name, wire) in &mut wires {
                    wire.add_most(name, &most);
                    wire.add_least(name, &least);
                }
            }
            Err(error) => problems.push(format!("{proxy}: {error}")),
        }
    }
    (wires, problems)
}
