//! The history for a terminal.

use std::collections::{BTreeSet, HashMap};

use crate::text::{align_right, table};
use exchange::NotAllRunning;
use record::{Checked, HistoryRun, ImportReport, RunCost, label, number_of};

/// One line per run, the last `last` of them, with ids that are as short as they can be to tell all of
/// the runs apart.
pub fn runs(runs: &[HistoryRun], last: usize) -> String {
    let hidden = runs.len().saturating_sub(last);
    let shown = &runs[hidden..];
    let ids = short_ids(runs);
    let jobs: BTreeSet<&str> = shown.iter().map(|run| run.label(label::JOB)).collect();
    let several_jobs = jobs.len() > 1;
    let mut text = String::new();
    if let (false, Some(job)) = (several_jobs, jobs.first()) {
        put_line!(text, "job {}", if job.is_empty() { "(none)" } else { job });
        text.push('\n');
    }
    let mut head = vec!["ID", "TIME"];
    head.extend(several_jobs.then_some("JOB"));
    head.extend([
        "SCENARIO",
        "KUBEVIRT",
        "KUBERNETES",
        "ORIGIN",
        "OBJECTS",
        "METRICS",
        "VALID",
    ]);
    let mut table = table(&head);
    for (run, id) in shown.iter().zip(&ids[hidden..]) {
        let objects = run.objects.map(|count| count.to_string());
        let mut cells = vec![(*id).to_owned(), format!("{:.0}", run.at)];
        cells.extend(several_jobs.then(|| run.label(label::JOB).to_owned()));
        cells.extend([
            run.label(label::SCENARIO).to_owned(),
            run.label(label::KUBEVIRT).to_owned(),
            run.label(label::KUBERNETES).to_owned(),
            run.origin.as_str().to_owned(),
            objects.unwrap_or_default(),
            run.values.len().to_string(),
            valid(run),
        ]);
        table.add_row(cells);
    }
    align_right(&mut table, &[head.len() - 3, head.len() - 2]);
    table.put(&mut text, "");
    if hidden > 0 {
        put_line!(
            text,
            "{} {} not shown: --last N shows N runs, --all shows all",
            number_of(hidden as u64, "earlier run"),
            if hidden == 1 { "is" } else { "are" }
        );
    }
    text
}

/// The shortest end of each id, after a slash, that no other id has.
fn short_ids(runs: &[HistoryRun]) -> Vec<&str> {
    let mut ids_with: HashMap<&str, u32> = HashMap::new();
    for run in runs {
        for end in ends(&run.id) {
            *ids_with.entry(end).or_default() += 1;
        }
    }
    let short = |run: &'_ HistoryRun| -> usize {
        let own = ends(&run.id).find(|end| ids_with[end] == 1);
        own.map_or(0, |end| run.id.len() - end.len())
    };
    runs.iter().map(|run| &run.id[short(run)..]).collect()
}

/// What of an id is after a slash, the shortest first, and the id. The last part alone is not told:
/// it is a scenario or a number.
fn ends(id: &str) -> impl Iterator<Item = &str> {
    let slashes = id.rmatch_indices('/').map(move |(at, _)| &id[at + 1..]);
    slashes.skip(1).chain([id])
}

/// One run: labels and numbers.
pub fn run(run: &HistoryRun) -> String {
    let mut text = format!("{}\n", run.id);
    put_line!(text, "  time     {}", run.at);
    put_line!(text, "  origin   {}", run.origin.as_str());
    put_line!(text, "  valid    {}", valid(run));
    if let Some(reason) = run.failure {
        put_line!(text, "  failed   {}", reason.sentence());
    } else if let (false, Some(why)) = (run.valid, NotAllRunning::of_run(run)) {
        put_line!(text, "  reason   {why}");
    }
    if let Some(objects) = run.objects {
        put_line!(text, "  objects  {objects}");
    }
    let raw = if run.record.is_some() { "yes" } else { "no" };
    put_line!(text, "  record   {raw}");
    for (name, value) in &run.labels {
        put_line!(text, "  {name}={value}");
    }
    values(&mut text, "KubeVirt's names", &run.values);
    for (component, counts) in &run.components {
        values(&mut text, component, counts);
    }
    if let Some(cost) = &run.cost {
        put_cost(&mut text, cost);
    }
    text
}

/// `including 2 runs that are not valid`; `None` if all are.
pub fn including_not_valid<'r>(runs: impl IntoIterator<Item = &'r HistoryRun>) -> Option<String> {
    including(runs.into_iter().filter(|run| !run.valid).count())
}

/// The same of runs that were counted before.
pub(crate) fn including(not_valid: usize) -> Option<String> {
    let are = if not_valid == 1 { "is" } else { "are" };
    let runs = number_of(not_valid as u64, "run");
    (not_valid > 0).then(|| format!("including {runs} that {are} not valid"))
}

/// Whether its numbers mean something, and why not if it failed.
fn valid(run: &HistoryRun) -> String {
    match (run.failure, run.valid) {
        (Some(reason), _) => format!("NO: {}", reason.as_str()),
        (None, true) => "yes".to_owned(),
        (None, false) => match NotAllRunning::of_run(run) {
            Some(NotAllRunning { running, of, .. }) => format!("NO: {running} of {of} Running"),
            None => "NO".to_owned(),
        },
    }
}

fn values(text: &mut String, title: &str, values: &std::collections::BTreeMap<String, f64>) {
    let width = values.keys().map(String::len).max().unwrap_or(0);
    put_line!(text, "\n{title}");
    for (name, value) in values {
        put_line!(text, "  {name:width$}  {value}");
    }
}

/// What all calls cost, and those of each component.
fn put_cost(text: &mut String, cost: &RunCost) {
    let rounded = |tolls: f64| (tolls * 100.0).round() / 100.0;
    let rows = cost.components.iter().flat_map(|(component, costs)| {
        let named = costs.iter();
        named.map(move |(name, tolls)| (format!("cost:{component}:{name}"), rounded(*tolls)))
    });
    let all = ("cost".to_owned(), rounded(cost.tolls));
    let title = format!("Cost in tolls, by the list of {}", cost.list);
    values(text, &title, &rows.chain([all]).collect());
    if cost.unpriced_calls > 0 {
        put_line!(
            text,
            "  {} more {} no price",
            number_of(cost.unpriced_calls, "call"),
            if cost.unpriced_calls == 1 {
                "has"
            } else {
                "have"
            }
        );
    }
}

/// What became of an import.
pub fn imported(report: &ImportReport) -> String {
    let runs = &report.runs;
    let mut text = format!(
        "{} new, {} known already",
        number_of(runs.new, "run"),
        runs.known
    );
    if runs.removed > 0 {
        put!(text, ", {} removed before and left so", runs.removed);
    }
    let refused = runs.conflicts.len() + runs.refused.len();
    if refused > 0 {
        put!(text, ", {refused} refused");
    }
    if !report.not_valid.is_empty() {
        put!(text, ", {} not valid", report.not_valid.len());
    }
    if !report.skipped.is_empty() {
        let skipped = number_of(report.skipped.len() as u64, "file");
        put!(text, ", {skipped} skipped");
    }
    if !report.left_out.is_empty() {
        put!(text, ", {} left out", report.left_out.len());
    }
    text.push('\n');
    text
}

/// What a check found.
pub fn checked(checked: &Checked) -> String {
    let mut text = format!(
        "{} ({} of them removed), {} damaged\n",
        number_of(checked.runs, "run"),
        checked.removed,
        checked.damage.len()
    );
    for line in &checked.damage {
        put_line!(text, "  {line}");
    }
    text
}
