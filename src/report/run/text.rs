//! The result of a run as text.

use super::{
    bill, failure,
    table::{Shown, Whole, resource_of, table},
};
use crate::{
    budgets::cost::{found, unknown},
    crosscheck,
    graph::scenario_title,
    number::{bytes, grouped, tolls},
    text::align_right,
};
use record::{
    BudgetVerdict, CallFinding, Kept, OtherCount, Quantiles, ResultRow, RunResult, Share,
    ThresholdVerdict, number_of,
};

/// The result of a run.
pub fn run(result: &RunResult) -> String {
    run_shown(result, Shown::default())
}

/// The same, with its rows in another order or not all of them.
pub fn run_shown(result: &RunResult, shown: Shown) -> String {
    let mut text = String::new();
    head(&mut text, result);
    command(&mut text, result);
    failure::head(&mut text, result);
    let rest = if result.cluster.namespace.is_empty() {
        "Calls"
    } else {
        "Unattributed calls (other namespaces, nodes, cluster scope)"
    };
    let whole = Whole::of(&result.rows, result.count);
    for (share, title) in [
        (Share::Workload, "Calls that name the run's namespace"),
        (
            Share::Standing,
            "Standing calls (leases, watches): they come whether or not anything runs",
        ),
        (Share::Unattributed, rest),
    ] {
        let rows_of = result.rows.iter().filter(|row| row.share == share);
        table(&mut text, title, rows_of, whole, shown);
    }
    total(&mut text, result);
    bill::put(&mut text, result, shown.bar);
    baseline(&mut text, result);
    wasted(&mut text, result);
    per_object(&mut text, result);
    what_could_go(&mut text, result);
    values(&mut text, result);
    latency(&mut text, result);
    failure::not_running(&mut text, result);
    own_metrics(&mut text, result);
    let title = "Deletion of the run's objects, with books of its own";
    let own = result
        .deletion
        .iter()
        .filter(|row| row.share == Share::Workload);
    let whole = Whole::of(&result.deletion, result.count);
    table(&mut text, title, own, whole, shown);
    thresholds(&mut text, &result.thresholds);
    budgets(&mut text, &result.budgets);
    checks(&mut text, result);
    headline(&mut text, result);
    text
}

fn head(text: &mut String, result: &RunResult) {
    let simulated = if result.simulated {
        ", KubeVirt SIMULATED"
    } else {
        ""
    };
    let count = match result.count {
        0 => String::new(),
        count => format!("{count} × "),
    };
    put_line!(
        text,
        "\n{count}{}{simulated}   run {}",
        result.scenario,
        result.id
    );
    let cluster = &result.cluster;
    if !cluster.kubernetes_version.is_empty() {
        put_line!(
            text,
            "Kubernetes {}, KubeVirt {}, namespace {}",
            cluster.kubernetes_version,
            if result.simulated {
                "simulated"
            } else {
                or_none(&cluster.kubevirt_version)
            },
            cluster.namespace
        );
    }
    for proxy in &result.proxies {
        let component = proxy.component.as_deref().unwrap_or("all components");
        let since = proxy.since.round(jiff::Unit::Second).unwrap_or(proxy.since);
        let node = proxy.pod.as_ref().map(|pod| format!(" on {}", pod.node));
        put_line!(
            text,
            "proxy {}{} ({component}) counting since {since}",
            proxy.admin,
            node.unwrap_or_default()
        );
    }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "(unknown)" } else { text }
}

fn total(text: &mut String, result: &RunResult) {
    let total = &result.total;
    if total.calls > 0 {
        put_line!(
            text,
            "\nAll calls in the {:.1} s while the books were open: {}, {} sent, {} received",
            total.seconds,
            grouped(total.calls),
            bytes(total.took.request_bytes as f64),
            bytes(total.took.response_bytes as f64)
        );
    }
}

/// What the run is about, last: `100 VMIs: 843 calls, 8.43 each, 2.1 % wasted`, and what they cost. Of
/// a run that is not valid nothing is said in short.
fn headline(text: &mut String, result: &RunResult) {
    let own = result
        .rows
        .iter()
        .filter(|row| row.share == Share::Workload);
    let calls: u64 = own.clone().map(|row| row.count).sum();
    if !result.valid || result.count == 0 || calls == 0 {
        return;
    }
    let wasted: u64 = own.filter(|row| row.wasted).map(|row| row.count).sum();
    put_line!(
        text,
        "\n{}: {} calls, {:.2} each, {:.1} % wasted{}",
        objects(result),
        grouped(calls),
        calls as f64 / result.count as f64,
        100.0 * wasted as f64 / calls as f64,
        bill::headline(result)
    );
}

/// `100 VMIs`, `1 VM`.
fn objects(result: &RunResult) -> String {
    let s = if result.count == 1 { "" } else { "s" };
    let what = match result.scenario.as_str() {
        "vmi" => format!("VMI{s}"),
        "vm" => format!("VM{s}"),
        "instancetype" => format!("VM{s} with instancetype and preference"),
        other => format!("× {}", scenario_title(other)),
    };
    format!("{} {what}", grouped(result.count as u64))
}

/// What a command did besides its calls.
fn command(text: &mut String, result: &RunResult) {
    let Some(command) = &result.command else {
        return;
    };
    let arguments = match command.arguments {
        0 => "without arguments".to_owned(),
        1 => "with 1 argument".to_owned(),
        count => format!("with {count} arguments"),
    };
    put!(
        text,
        "command {} {arguments}, {:.1} s",
        command.program,
        command.seconds
    );
    if let Some(discovery) = &command.discovery {
        let word = if discovery.warm { "warm" } else { "cold" };
        put!(
            text,
            "; discovery began {word} and is {} of the calls",
            discovery.calls
        );
    }
    text.push('\n');
}

/// A window of seconds says how often calls came in it, and no more; from a minute on also how
/// often a minute.
fn baseline(text: &mut String, result: &RunResult) {
    let Some(window) = &result.baseline else {
        return;
    };
    put_line!(
        text,
        "\nBefore the run, in {:.1} s without a create",
        window.seconds
    );
    if window.rows.is_empty() {
        text.push_str("  no calls\n");
    }
    for row in &window.rows {
        put_row(text, row);
        if window.seconds >= 60.0 {
            put!(
                text,
                "  ({:.1} a minute)",
                row.count as f64 * 60.0 / window.seconds
            );
        }
        text.push('\n');
    }
}

/// A row in one line, without its end.
fn put_row(text: &mut String, row: &ResultRow) {
    put!(
        text,
        "  {:>6}  {} {} {} {}",
        row.count,
        row.component,
        row.call.verb,
        resource_of(row),
        row.outcome
    );
}

fn wasted(text: &mut String, result: &RunResult) {
    let wasted: Vec<&ResultRow> = result.rows.iter().filter(|row| row.wasted).collect();
    let total: u64 = wasted.iter().map(|row| row.count).sum();
    let own = wasted.iter().filter(|row| row.share == Share::Workload);
    let own: u64 = own.map(|row| row.count).sum();
    let of_namespace = if own == total || result.cluster.namespace.is_empty() {
        String::new()
    } else {
        format!(", {own} of them in the run's namespace")
    };
    put_line!(
        text,
        "\nWasted calls (404, 409, 422, 429): {total}{of_namespace}"
    );
    for row in wasted {
        put_row(text, row);
        text.push('\n');
    }
}

fn per_object(text: &mut String, result: &RunResult) {
    let Some(cost) = result.per_object.as_ref().filter(|_| result.count > 1) else {
        return;
    };
    put_line!(
        text,
        "\nCalls for one object and what it owns: {} to {}, P50 {}, P95 {}",
        cost.least,
        cost.most,
        cost.p50,
        cost.p95
    );
    text.push_str("  without events, lists, and what objects share, such as an instancetype\n");
    for outlier in &cost.outliers {
        put_line!(text, "  {:>6}  {}", outlier.calls, outlier.name);
    }
}

/// How many findings a run's text shows; `kubetoll why` has them all.
const FINDINGS_SHOWN: usize = 5;

fn what_could_go(text: &mut String, result: &RunResult) {
    let findings = result.findings.as_deref().unwrap_or_default();
    let saved = CallFinding::saved(findings);
    if saved == 0 {
        return;
    }
    let cost = bill::saved(result).map_or_else(String::new, |saved| format!("; {saved}"));
    put_line!(text, "\nWhat could go: {}{cost}", number_of(saved, "call"));
    let saving = findings.iter().filter(|finding| finding.saved > 0);
    saving_table(text, saving.clone().take(FINDINGS_SHOWN), !cost.is_empty());
    let more = match saving.count().saturating_sub(FINDINGS_SHOWN) {
        0 => String::new(),
        more => format!(", and {} more", number_of(more as u64, "finding")),
    };
    put_line!(
        text,
        "  kubetoll why {} has an example of each{more}",
        result.id
    );
}

/// What could go, with what it costs where some of it has a price.
fn saving_table<'r>(
    text: &mut String,
    findings: impl Iterator<Item = &'r CallFinding>,
    is_priced: bool,
) {
    const TITLES: [&str; 8] = [
        "CALLS",
        "COULD GO",
        "TOLLS",
        "FINDING",
        "COMPONENT",
        "CALL",
        "CODE",
        "WHY",
    ];
    let shown = |column: &usize| is_priced || TITLES[*column] != "TOLLS";
    let columns: Vec<usize> = (0..TITLES.len()).filter(shown).collect();
    let titles: Vec<&str> = columns.iter().map(|&column| TITLES[column]).collect();
    let mut table = crate::text::table(&titles);
    for finding in findings {
        let cells = [
            finding.calls.to_string(),
            finding.saved.to_string(),
            finding.saved_tolls.map(tolls).unwrap_or_default(),
            finding.kind.to_string(),
            finding.component.clone(),
            finding.call.clone(),
            finding.code.clone(),
            finding.reason.clone(),
        ];
        table.add_row(columns.iter().map(|&column| &*cells[column]));
    }
    let right = ["CALLS", "COULD GO", "TOLLS", "CODE"];
    let right = (0..titles.len()).filter(|&at| right.contains(&titles[at]));
    align_right(&mut table, &right.collect::<Vec<_>>());
    table.put(text, "  ");
}

fn values(text: &mut String, result: &RunResult) {
    if result.values.is_empty() {
        return;
    }
    let until = match result.failure {
        Some(_) => "until the run failed",
        None => "exact",
    };
    put_line!(
        text,
        "\nKubeVirt's names, over KubeVirt's components, {until}"
    );
    let width = result
        .values
        .keys()
        .map(String::len)
        .max()
        .unwrap_or_default();
    for (name, value) in &result.values {
        put_line!(text, "  {name:<width$}  {value}");
    }
}

fn latency(text: &mut String, result: &RunResult) {
    let latency = &result.latency;
    let is_known = latency.by_status.is_some() || latency.by_driver.is_some();
    if result.count == 0 || !is_known {
        return;
    }
    let over = match result.failure {
        Some(_) => "those that came to Running before the run failed",
        None => "all objects",
    };
    put_line!(text, "\nFrom creation to Running, nearest rank over {over}");
    if let Some(quantiles) = result.latency.by_status {
        for (name, value) in names(quantiles) {
            let value = if value == 0.0 {
                "0 (below the 1 s grain)".to_owned()
            } else {
                format!("{value}")
            };
            put_line!(text, "  vmiCreationToRunningSeconds{name}  {value}");
        }
    }
    if let Some(quantiles) = result.latency.by_driver {
        for (name, value) in names(quantiles) {
            put_line!(
                text,
                "  by the driver's clock {name}        {:.0} ms",
                value * 1e3
            );
        }
    }
}

fn own_metrics(text: &mut String, result: &RunResult) {
    if let Some(check) = &result.crosscheck {
        text.push_str(
            "\nThe components' own metrics while the books were open; what they miss doesn't change \
             the run's exit code\n",
        );
        text.push_str(&crosscheck::text(check));
    }
}

fn names(quantiles: Quantiles) -> [(&'static str, f64); 3] {
    [
        ("P50", quantiles.p50),
        ("P95", quantiles.p95),
        ("P99", quantiles.p99),
    ]
}

fn thresholds(text: &mut String, thresholds: &[ThresholdVerdict]) {
    if thresholds.is_empty() {
        return;
    }
    text.push_str("\nThresholds\n");
    for verdict in thresholds {
        let number =
            |value: Option<f64>| value.map_or("missing".to_owned(), |value| value.to_string());
        let word = match verdict.kept {
            Kept::Yes => "ok      ",
            Kept::No => "EXCEEDED",
            Kept::Unknown => "MISSING ",
        };
        put_line!(
            text,
            "  {word}  {}: {} of at most {}{}",
            verdict.name,
            number(verdict.value),
            number(verdict.limit),
            beside(verdict.other.as_ref(), &verdict.meant)
        );
    }
}

fn budgets(text: &mut String, budgets: &[BudgetVerdict]) {
    if budgets.is_empty() {
        return;
    }
    text.push_str("\nBudgets\n");
    for budget in budgets {
        let (word, count) = match budget.kept {
            Kept::Yes => ("ok      ", found(budget)),
            Kept::No => ("EXCEEDED", found(budget)),
            Kept::Unknown => ("UNKNOWN ", unknown(budget).to_owned()),
        };
        let beside = beside(budget.other.as_ref(), &budget.meant);
        put_line!(text, "  {word}  {}: {count}{beside}", budget.budget);
    }
}

/// What nearly the same name counts, or what was meant by one that is none.
pub(crate) fn beside(other: Option<&OtherCount>, meant: &str) -> String {
    match other {
        Some(other) => format!(" ({} is {})", other.name, other.count),
        None if meant.is_empty() => String::new(),
        None => format!(" ({meant})"),
    }
}

fn checks(text: &mut String, result: &RunResult) {
    text.push_str("\nThe run's checks of itself\n");
    for check in &result.checks {
        let word = if check.ok { "ok    " } else { "FAILED" };
        put_line!(text, "  {word}  {}: {}", check.name, check.detail);
    }
    if !result.valid {
        text.push_str("THE COUNTS ARE NOT VALID\n");
    }
}
