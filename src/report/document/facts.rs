//! What there is to tell of a run.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::Compared;
use crate::{graph::scenario_title, number::grouped, run::bill, text::resource};
use classify::kubevirt::is_kubevirt_component;
use record::{
    AUDIT_CHECK, AUDIT_COUNT_CHECK, CallFinding, CallRecord, Check, Outcome, ResultRow, RowRecord,
    RunRecord, RunResult, Share,
};
use stats::nearest_rank;

/// How many calls a ranking has.
const RANKS: usize = 8;
/// How many components a timeline tells apart; the others are one line.
const LINES_MAX: usize = 5;
/// How many points a timeline has at the most; beyond that a point is of several seconds.
const POINTS_MAX: i64 = 900;
/// From this length on, a window says how often a minute something comes.
pub(super) const RATE_FROM_SECONDS: f64 = 60.0;

/// What a report shows of a run, before it is words.
pub struct Document<'r> {
    pub(super) record: &'r RunRecord,
    pub(super) result: &'r RunResult,
    pub(super) calls: Vec<Call>,
    pub(super) components: Vec<ComponentCost>,
    pub(super) timeline: Option<Timeline>,
    pub(super) phases: Vec<Phase>,
    pub(super) compared: Option<&'r Compared>,
}

/// What a component called, with what outcome.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) component: String,
    pub(super) verb: String,
    pub(super) resource: String,
    /// The code, or why there is none.
    pub(super) outcome: String,
    pub(super) count: u64,
    /// Of these, calls that named the run's namespace.
    pub(super) workload: u64,
    pub(super) standing: u64,
    pub(super) sent: u64,
    pub(super) received: u64,
    /// Seconds until the response's head, summed.
    pub(super) seconds: f64,
    /// What the API server's CPU for them costs, as far as they have prices.
    pub(super) tolls: Option<f64>,
    pub(super) wasted: bool,
    pub(super) assumed: bool,
}

/// What a component's calls for the run's objects come to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ComponentCost {
    pub(super) component: String,
    pub(super) workload: u64,
    pub(super) per_object: f64,
    pub(super) all: u64,
    pub(super) wasted: u64,
    /// Of the calls for the objects, for each of these.
    pub(super) tolls_per_object: f64,
    pub(super) kubevirt: bool,
}

/// Calls by time and component, from the journal.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Timeline {
    /// Seconds that a point stands for.
    pub(super) step: i64,
    /// By component, the busiest first: calls a second at each point.
    pub(super) lines: Vec<(String, Vec<f64>)>,
    /// Calls that the journal lost.
    pub(super) lost: u64,
}

/// When objects came to a phase.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Phase {
    pub(super) name: String,
    /// Seconds after the object's creation, by the server's whole seconds.
    pub(super) after: Vec<f64>,
    /// Seconds after the run's first create, sorted.
    pub(super) reached: Vec<f64>,
}

impl<'r> Document<'r> {
    /// The report of `record`, whose result is `result`; `compared` if there are earlier runs.
    pub fn new(
        record: &'r RunRecord,
        result: &'r RunResult,
        compared: Option<&'r Compared>,
    ) -> Self {
        Self {
            record,
            result,
            calls: calls(record, result),
            components: components(result),
            timeline: timeline(record),
            phases: phases(record),
            compared,
        }
    }

    /// `100 × VMI: 1,203 API calls, 12.03 per object`.
    pub(super) fn headline(&self) -> String {
        let calls: u64 = self.components.iter().map(|cost| cost.workload).sum();
        let scenario = scenario_title(&self.result.scenario);
        match self.result.count {
            0 => {
                let all: u64 = self.components.iter().map(|cost| cost.all).sum();
                format!("{scenario}: {} API calls", grouped(all))
            }
            count => format!(
                "{count} × {scenario}: {} API calls for them, {:.2} each",
                grouped(calls),
                calls as f64 / count as f64
            ),
        }
    }

    pub(super) fn wasted(&self) -> Vec<&Call> {
        self.calls.iter().filter(|call| call.wasted).collect()
    }

    pub(super) fn wasted_count(&self) -> u64 {
        self.wasted().iter().map(|call| call.count).sum()
    }

    /// Calls that could go.
    pub(super) fn saved_count(&self) -> u64 {
        CallFinding::saved(self.result.findings.as_deref().unwrap_or_default())
    }

    /// `, 12.3 tolls (0.2 %)`: what they cost, if some of them have a price.
    pub(super) fn saved_cost(&self) -> String {
        bill::saved(self.result).map_or_else(String::new, |saved| format!(", {saved}"))
    }

    /// What all calls cost that have a price.
    pub(super) fn all_tolls(&self) -> f64 {
        self.calls.iter().filter_map(|call| call.tolls).sum()
    }

    pub(super) fn all_count(&self) -> u64 {
        self.calls.iter().map(|call| call.count).sum()
    }

    pub(super) fn standing(&self) -> Vec<&Call> {
        self.calls.iter().filter(|call| call.standing > 0).collect()
    }

    pub(super) fn failed_checks(&self) -> usize {
        self.result.checks.iter().filter(|check| !check.ok).count()
    }

    /// The check that compared the books with the API server's own log, if there was one.
    pub(super) fn audit(&self) -> Option<&Check> {
        let mut checks = self.result.checks.iter();
        checks.find(|check| [AUDIT_CHECK, AUDIT_COUNT_CHECK].contains(&&*check.name))
    }

    /// Rows of the deletion that named the run's namespace.
    pub(super) fn deletion(&self) -> Vec<&ResultRow> {
        let rows = self.result.deletion.iter();
        rows.filter(|row| row.share == Share::Workload).collect()
    }

    pub(super) fn ranked(&self, by: impl Fn(&Call) -> f64) -> Vec<(String, f64)> {
        let mut sums: BTreeMap<(&str, &str, &str), f64> = BTreeMap::new();
        for call in &self.calls {
            let name = (&*call.component, &*call.verb, &*call.resource);
            *sums.entry(name).or_default() += by(call);
        }
        let name = |(component, verb, resource)| format!("{component} {verb} {resource}");
        let mut ranked: Vec<(String, f64)> = sums
            .into_iter()
            .map(|(key, sum)| (name(key), sum))
            .collect();
        ranked.sort_by(|one, other| other.1.total_cmp(&one.1));
        ranked.retain(|(_, sum)| *sum > 0.0);
        ranked.truncate(RANKS);
        ranked
    }
}

impl Timeline {
    /// Each point's second after the first call, and its rates.
    pub(super) fn points(&self) -> Vec<(i64, Vec<f64>)> {
        let points = self.lines.first().map_or(0, |(_, rates)| rates.len());
        let rates = |point: usize| self.lines.iter().map(move |(_, rates)| rates[point]);
        let at = |point: usize| (point as i64 * self.step, rates(point).collect());
        (0..points).map(at).collect()
    }
}

/// Component, verb, resource and outcome of a row.
type CallKey = [String; 4];

fn call_key(component: &str, call: &CallRecord, outcome: &Outcome) -> CallKey {
    let name = resource(&call.group, &call.resource, &call.subresource, &call.path);
    [
        component.to_owned(),
        call.verb.clone(),
        name,
        outcome.to_string(),
    ]
}

/// Rows of the books by component, call and outcome; what each was for comes from the result. The
/// dearest first; what has no price comes last, by its count.
fn calls(record: &RunRecord, result: &RunResult) -> Vec<Call> {
    let mut calls = counted(record);
    for row in &result.rows {
        let key = call_key(&row.component, &row.call, &row.outcome);
        if let Some(call) = calls.get_mut(&key) {
            match row.share {
                Share::Workload => call.workload += row.count,
                Share::Standing => call.standing += row.count,
                Share::Unattributed => {}
            }
            if let Some(tolls) = row.cost_tolls {
                *call.tolls.get_or_insert_default() += tolls;
            }
            call.wasted |= row.wasted;
            call.assumed |= row.assumed;
        }
    }
    let mut calls: Vec<Call> = calls.into_values().filter(|call| call.count > 0).collect();
    calls.sort_by(|one, other| {
        let tolls = |call: &Call| call.tolls.unwrap_or(f64::NEG_INFINITY);
        let dearest = tolls(other).total_cmp(&tolls(one));
        dearest.then(other.count.cmp(&one.count))
    });
    calls
}

/// Counts and sizes by the books.
fn counted(record: &RunRecord) -> BTreeMap<CallKey, Call> {
    let mut calls: BTreeMap<CallKey, Call> = BTreeMap::new();
    for row in record.rows() {
        let key = call_key(&row.component, &row.call, &row.outcome);
        let [component, verb, resource, outcome] = key.clone();
        let call = calls.entry(key).or_insert_with(|| Call {
            component,
            verb,
            resource,
            outcome,
            count: 0,
            workload: 0,
            standing: 0,
            sent: 0,
            received: 0,
            seconds: 0.0,
            tolls: None,
            wasted: false,
            assumed: false,
        });
        call.count += row.answered;
        call.sent += row.request_bytes;
        call.received += row.response_bytes;
        call.seconds += row.to_head.sum_seconds;
    }
    calls
}

fn components(result: &RunResult) -> Vec<ComponentCost> {
    let names: BTreeSet<&str> = result.rows.iter().map(|row| &*row.component).collect();
    let objects = result.count.max(1) as f64;
    let tolls = |name: &str| -> f64 {
        let own = |row: &&ResultRow| row.component == name && row.share == Share::Workload;
        let rows = result.rows.iter().filter(own);
        rows.filter_map(|row| row.cost_tolls).sum()
    };
    let cost = |name: &str| {
        let sum = |wanted: &dyn Fn(&ResultRow) -> bool| -> u64 {
            let rows = result
                .rows
                .iter()
                .filter(|row| row.component == name && wanted(row));
            rows.map(|row| row.count).sum()
        };
        let workload = sum(&|row| row.share == Share::Workload);
        ComponentCost {
            component: name.to_owned(),
            workload,
            per_object: workload as f64 / objects,
            all: sum(&|_| true),
            wasted: sum(&|row| row.wasted),
            tolls_per_object: tolls(name) / objects,
            kubevirt: is_kubevirt_component(name),
        }
    };
    let mut costs: Vec<ComponentCost> = names.into_iter().map(cost).collect();
    costs.sort_by_key(|cost| std::cmp::Reverse((cost.workload, cost.all)));
    costs
}

fn timeline(record: &RunRecord) -> Option<Timeline> {
    let mut answered: Vec<(i64, &str)> = Vec::new();
    for proxy in &record.proxies {
        let components: BTreeMap<u32, &RowRecord> =
            proxy.difference.iter().map(|row| (row.id, row)).collect();
        answered.extend(proxy.closed.journal.iter().filter_map(|line| {
            let row = components.get(&line.row)?;
            Some((line.at, &*row.component))
        }));
    }
    let first = answered.iter().map(|(at, _)| *at).min()?;
    let last = answered.iter().map(|(at, _)| *at).max()?;
    let seconds = (last - first) / 1_000_000 + 1;
    let step = (seconds + POINTS_MAX - 1) / POINTS_MAX;
    let points = ((seconds + step - 1) / step) as usize;
    let mut lines: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (at, component) in &answered {
        let point = ((at - first) / 1_000_000 / step) as usize;
        let line = lines.entry(component).or_insert_with(|| vec![0.0; points]);
        line[point] += 1.0 / step as f64;
    }
    let mut lines: Vec<(String, Vec<f64>)> = lines
        .into_iter()
        .map(|(component, line)| (component.to_owned(), line))
        .collect();
    let total = |line: &[f64]| line.iter().sum::<f64>();
    lines.sort_by(|one, other| total(&other.1).total_cmp(&total(&one.1)));
    Some(Timeline {
        step,
        lines: together(lines),
        lost: record
            .proxies
            .iter()
            .map(|proxy| proxy.closed.journal_lost)
            .sum(),
    })
}

/// All lines beyond the first few as one.
fn together(mut lines: Vec<(String, Vec<f64>)>) -> Vec<(String, Vec<f64>)> {
    if lines.len() <= LINES_MAX + 1 {
        return lines;
    }
    let rest = lines.split_off(LINES_MAX);
    let name = format!("{} others", rest.len());
    let sum = rest.into_iter().map(|(_, line)| line).reduce(|sum, line| {
        let pairs = sum.into_iter().zip(line);
        pairs.map(|(one, other)| one + other).collect()
    });
    lines.extend(sum.map(|sum| (name, sum)));
    lines
}

fn phases(record: &RunRecord) -> Vec<Phase> {
    let first = record.objects.iter().map(|object| object.create_sent).min();
    let Some(first) = first else {
        return Vec::new();
    };
    let seconds = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs_f64();
    let mut phases: BTreeMap<&str, Phase> = BTreeMap::new();
    for object in &record.objects {
        for (name, at) in &object.phases {
            let phase = phases.entry(name).or_insert_with(|| Phase {
                name: name.clone(),
                after: Vec::new(),
                reached: Vec::new(),
            });
            phase
                .after
                .extend(object.created.map(|created| seconds(created, *at)));
            // Whole seconds of another clock can be before the driver's first create.
            phase.reached.push(seconds(first, *at).max(0.0));
        }
    }
    let mut phases: Vec<Phase> = phases.into_values().collect();
    for phase in &mut phases {
        phase.reached.sort_by(f64::total_cmp);
    }
    let middle = |phase: &Phase| nearest_rank(&phase.after, 50.0).unwrap_or_default();
    phases.sort_by(|one, other| {
        let order = place(&one.name).cmp(&place(&other.name));
        order.then(middle(one).total_cmp(&middle(other)))
    });
    phases
}

/// The order in which a VMI comes to its phases.
fn place(phase: &str) -> usize {
    const ORDER: [&str; 4] = ["Pending", "Scheduling", "Scheduled", "Running"];
    let found = ORDER.iter().position(|known| *known == phase);
    found.unwrap_or(ORDER.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_components_have_lines_of_their_own_and_nothing_is_lost() {
        let lines = (0..9).map(|index| (format!("c{index}"), vec![f64::from(9 - index), 1.0]));
        let lines = together(lines.collect());
        let names: Vec<&str> = lines.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["c0", "c1", "c2", "c3", "c4", "4 others"]);
        assert_eq!(lines[5].1, [10.0, 4.0]);
    }
}
