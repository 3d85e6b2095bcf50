//! The history for a terminal.

use crate::text::{align_right, table};
use record::{Checked, HistoryRun, ImportReport, label};

/// One line per run.
pub fn runs(runs: &[HistoryRun]) -> String {
    let mut table = table(&[
        "ID",
        "TIME",
        "JOB",
        "SCENARIO",
        "KUBEVIRT",
        "KUBERNETES",
        "ORIGIN",
        "OBJECTS",
        "METRICS",
        "VALID",
    ]);
    for run in runs {
        let objects = run.objects.map(|count| count.to_string());
        table.add_row([
            run.id.clone(),
            format!("{:.0}", run.at),
            run.label(label::JOB).to_owned(),
            run.label(label::SCENARIO).to_owned(),
            run.label(label::KUBEVIRT).to_owned(),
            run.label(label::KUBERNETES).to_owned(),
            run.origin.as_str().to_owned(),
            objects.unwrap_or_default(),
            run.values.len().to_string(),
            if run.valid { "yes" } else { "NO" }.to_owned(),
        ]);
    }
    align_right(&mut table, &[7, 8]);
    format!("{table}\n")
}

/// One run: labels and numbers.
pub fn run(run: &HistoryRun) -> String {
    let mut text = format!("{}\n", run.id);
    put_line!(text, "  time     {}", run.at);
    put_line!(text, "  origin   {}", run.origin.as_str());
    put_line!(text, "  valid    {}", if run.valid { "yes" } else { "NO" });
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
    text
}

fn values(text: &mut String, title: &str, values: &std::collections::BTreeMap<String, f64>) {
    let width = values.keys().map(String::len).max().unwrap_or(0);
    put_line!(text, "\n{title}");
    for (name, value) in values {
        put_line!(text, "  {name:width$}  {value}");
    }
}

/// What became of an import.
pub fn imported(report: &ImportReport) -> String {
    let runs = &report.runs;
    let mut text = format!("{} runs new, {} known already", runs.new, runs.known);
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
        put!(text, ", {} files skipped", report.skipped.len());
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
        "{} runs ({} of them removed), {} damaged\n",
        checked.runs,
        checked.removed,
        checked.damage.len()
    );
    for line in &checked.damage {
        put_line!(text, "  {line}");
    }
    text
}
