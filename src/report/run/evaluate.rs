//! From the record of a run to its result.

use std::collections::BTreeMap;

use findings::Request;
use prices::bill;
use record::{
    BudgetVerdict, CallFinding, CallRecord, Kept, ObjectRecord, Outcome, PerObject,
    PerfAuditResults, PerfAuditThreshold, PerfAuditValue, PriceList, ProxyRun, ProxyTook,
    ResultRow, RowRecord, RunRecord, RunResult, Share, ThresholdFile, ThresholdVerdict, Took,
    Total, Window,
};
use terminal::exit::Exit;

use crate::{
    Budget,
    budgets::budget::Judged,
    run::{
        charged::Charged,
        cost::priced,
        metrics::{kubevirt_values, latency, metrics},
        per_object::per_object,
        thresholds::Counted,
    },
};

/// Components whose calls the lab assumes, since no recording of them exists.
const ASSUMED: [&str; 2] = ["virt-handler", "kubelet"];
/// Codes of work for nothing.
const WASTED: [u16; 4] = [404, 409, 422, 429];

/// What is asked of a run, beside what it checks of itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    /// perfscale-audit's thresholds, if there are some.
    pub thresholds: Option<&'a ThresholdFile>,
    /// Budgets of single rows.
    pub budgets: &'a [Budget],
    /// The exit code of the command that was run, if one was.
    pub child_exit_code: Option<u8>,
    /// What calls cost, if that is known.
    pub prices: Option<&'a PriceList>,
}

/// Derives the result of a run, with what becomes of what was asked and the exit code of that.
pub fn evaluate(record: &RunRecord, asked: &Asked<'_>) -> RunResult {
    let values = kubevirt_values(record);
    let latency = latency(&record.objects);
    let metrics = metrics(&values, &latency, record.crosscheck.as_ref());
    let requests = record.keeps_journal().then(|| findings::requests(record));
    let Charged { rows, findings } =
        Charged::new(record, run_rows(record), requests.as_deref(), asked.prices);
    let deletion = deletion(record, asked.prices);
    let priced = priced(&rows, findings.as_deref());
    let judged = Judged {
        rows: &rows,
        priced: &priced,
        values: &values,
        findings: findings.as_deref(),
        objects: record.objects.len(),
    };
    let counted = Counted {
        metrics: &metrics,
        of: judged,
    };
    // What a run counted until it failed keeps no limit, and exceeds none.
    let is_judged = record.failure.is_none();
    let thresholds = asked.thresholds.filter(|_| is_judged);
    let thresholds = thresholds.map(|file| counted.judge(file));
    let thresholds = thresholds.unwrap_or_default();
    let per_object = requests.and_then(|requests| cost_per_object(record, &requests));
    let budgets = asked.budgets.iter().filter(|_| is_judged);
    let budgets = budgets.map(|budget| budget.judge(&judged));
    let budgets: Vec<BudgetVerdict> = budgets.collect();
    let exit = verdict(record.is_valid(), &thresholds, &budgets);
    let total = total(record);
    RunResult {
        id: record.id.clone(),
        scenario: record.scenario.clone(),
        simulated: record.simulated,
        count: record.objects.len(),
        cluster: record.cluster.clone(),
        valid: record.is_valid(),
        failure: record.failure.clone(),
        checks: record.checks.clone(),
        proxies: record.proxies.iter().map(took_part).collect(),
        bill: asked
            .prices
            .map(|list| bill(&rows, total.seconds, record.api_server.as_ref(), list)),
        rows,
        baseline: baseline(record),
        total,
        deletion: deletion.rows,
        deletion_findings: deletion.findings,
        per_object,
        findings,
        thresholds,
        values,
        latency,
        crosscheck: record.crosscheck.clone(),
        driver: record.driver.clone(),
        budgets,
        exit_code: exit.code(),
        command: record.command.clone(),
        child_exit_code: asked.child_exit_code,
    }
}

/// What was counted while the books were open.
pub(super) fn run_rows(record: &RunRecord) -> Vec<ResultRow> {
    let books = record.proxies.iter();
    let books = books.map(|proxy| (&proxy.difference[..], &proxy.closed.objects[..]));
    share_rows(record, books)
}

fn deletion(record: &RunRecord, prices: Option<&PriceList>) -> Charged {
    let books = record.proxies.iter().filter_map(|proxy| {
        let deletion = proxy.deletion.as_ref()?;
        Some((&deletion.difference[..], &deletion.objects[..]))
    });
    let rows = share_rows(record, books);
    let keeps_journal = record.keeps_deletion_journal();
    let requests = keeps_journal.then(|| findings::deletion_requests(record));
    Charged::new(record, rows, requests.as_deref(), prices)
}

/// The findings of a journal.
pub(super) fn found(record: &RunRecord, requests: &[Request<'_>]) -> Vec<CallFinding> {
    findings::findings(requests, record.object_count())
}

/// What each of the run's objects cost, by the journal.
fn cost_per_object<'r>(record: &'r RunRecord, requests: &[Request<'r>]) -> Option<PerObject> {
    let names = record.objects.iter().map(|object| &*object.name);
    let namespace = &record.cluster.namespace;
    per_object(findings::calls_per_object(requests, namespace, names))
}

/// How a command that made or read a run ends.
pub fn run_exit(result: &RunResult) -> Exit {
    verdict(result.valid, &result.thresholds, &result.budgets)
}

/// Counts that are not valid and a limit of which nothing is known are worse than one that is
/// exceeded.
fn verdict(valid: bool, thresholds: &[ThresholdVerdict], budgets: &[BudgetVerdict]) -> Exit {
    let thresholds = thresholds.iter().map(|one| one.kept);
    let budgets = budgets.iter().map(|one| one.kept);
    let all: Vec<Kept> = thresholds.chain(budgets).collect();
    let any = |kept: Kept| all.contains(&kept);
    if !valid || any(Kept::Unknown) {
        Exit::NotValid
    } else if any(Kept::No) {
        Exit::NotMet
    } else {
        Exit::Ok
    }
}

fn took_part(proxy: &ProxyRun) -> ProxyTook {
    ProxyTook {
        admin: proxy.admin.clone(),
        pod: proxy.pod.clone(),
        instance: proxy.opened.proxy.instance.clone(),
        since: proxy.opened.proxy.started,
        component: proxy.opened.proxy.component.clone(),
    }
}

/// KubeVirt's results file: what the run knows, under KubeVirt's names, and nothing else.
pub fn perf_audit_results(result: &RunResult) -> PerfAuditResults {
    let known = metrics(&result.values, &result.latency, result.crosscheck.as_ref());
    let mut values: BTreeMap<String, PerfAuditValue> = known
        .into_iter()
        .map(|(name, value)| {
            (
                name,
                PerfAuditValue {
                    value,
                    threshold_result: None,
                },
            )
        })
        .collect();
    for verdict in &result.thresholds {
        let (Some(value), Some(limit)) = (verdict.value, verdict.limit) else {
            continue;
        };
        let expected = &verdict.expected;
        let ratio = (!expected.metric.is_empty()).then(|| value / (limit / expected.ratio));
        if let Some(entry) = values.get_mut(&verdict.name) {
            entry.threshold_result = Some(PerfAuditThreshold {
                threshold_value: limit,
                threshold_metric: expected.metric.clone(),
                threshold_ratio: ratio,
                threshold_exceeded: verdict.kept == Kept::No,
            });
        }
    }
    PerfAuditResults { values }
}

/// The name of KubeVirt's results file for a scenario.
pub fn perf_audit_file_name(scenario: &str) -> Option<&'static str> {
    match scenario {
        "vmi" => Some("VMI-perf-audit-results.json"),
        "vm" => Some("VM-perf-audit-results.json"),
        "instancetype" => Some("VM-instance-type-preference-perf-audit-results.json"),
        _ => None,
    }
}

fn total(record: &RunRecord) -> Total {
    let mut total = Total::default();
    for row in record.rows() {
        total.calls += row.answered;
        total.took += took_by(row);
    }
    let windows = record.proxies.iter().map(|proxy| {
        let (from, to) = (proxy.opened.taken, proxy.closed.snapshot.taken);
        to.duration_since(from).as_secs_f64()
    });
    total.seconds = windows.fold(0.0, f64::max);
    total
}

fn took_by(row: &RowRecord) -> Took {
    Took {
        request_bytes: row.request_bytes,
        response_bytes: row.response_bytes,
        seconds_to_head: row.to_head.sum_seconds,
    }
}

/// What was counted between opening a baseline window and the run.
fn baseline(record: &RunRecord) -> Option<Window> {
    let mut seconds: f64 = 0.0;
    let mut differences = Vec::new();
    for proxy in &record.proxies {
        let before = proxy.baseline.as_ref()?;
        let length = proxy.opened.taken.duration_since(before.taken);
        seconds = seconds.max(length.as_secs_f64());
        differences.push(proxy.opened.since(before).ok()?);
    }
    Some(Window {
        seconds,
        rows: share_rows(record, differences.iter().map(|rows| (&rows[..], &[][..]))),
    })
}

/// The rows of all proxies, each split by whose cost it is.
fn share_rows<'r>(
    record: &RunRecord,
    books: impl Iterator<Item = (&'r [RowRecord], &'r [ObjectRecord])>,
) -> Vec<ResultRow> {
    let namespace = &record.cluster.namespace;
    let mut rows = BTreeMap::new();
    for (difference, objects) in books {
        for row in difference {
            let own = objects
                .iter()
                .filter(|object| object.row == row.id && !namespace.is_empty())
                .filter(|object| object.namespace == *namespace)
                .map(|object| object.count)
                .sum();
            add(&mut rows, row, Share::Workload, own);
            add(
                &mut rows,
                row,
                share_of_rest(row),
                row.answered.saturating_sub(own),
            );
        }
    }
    let count = record.objects.len().max(1) as f64;
    let mut rows: Vec<ResultRow> = rows.into_values().collect();
    for row in &mut rows {
        row.per_object = row.count as f64 / count;
        row.assumed = record.simulated && ASSUMED.contains(&row.component.as_str());
    }
    rows
}

fn share_of_rest(row: &RowRecord) -> Share {
    if row.call.resource == "leases" || row.call.verb == "watch" {
        Share::Standing
    } else {
        Share::Unattributed
    }
}

/// Rows of the same component, call and outcome of several proxies or users are one.
type RowKey = (Share, String, CallRecord, Outcome);

fn add(rows: &mut BTreeMap<RowKey, ResultRow>, row: &RowRecord, share: Share, count: u64) {
    if count == 0 {
        return;
    }
    let key = (
        share,
        row.component.clone(),
        row.call.clone(),
        row.outcome.clone(),
    );
    let entry = rows.entry(key).or_insert_with(|| ResultRow {
        share,
        component: row.component.clone(),
        call: row.call.clone(),
        outcome: row.outcome.clone(),
        count: 0,
        per_object: 0.0,
        took: Some(Took::default()),
        wasted: row
            .outcome
            .code()
            .is_some_and(|code| WASTED.contains(&code)),
        assumed: false,
        cost_cpu_us: None,
        cost_tolls: None,
    });
    entry.count += count;
    let all = count == row.answered;
    entry.took = entry.took.filter(|_| all).map(|mut took| {
        took += took_by(row);
        took
    });
}
