//! The changes of a history as text.

use jiff::tz::TimeZone;

use crate::{
    budgets::cost_name::unit_after,
    history::text::including,
    number::detailed,
    text::{align_right, table},
};
use record::{Acknowledgement, Change, ChangeKind, RunValue};

/// Changes by job and time, with the ids that `changes ack` takes; with `around`, the runs around each.
/// `not_valid` is how many of the runs in which they were found are not valid.
pub fn changes(changes: &[Change], around: bool, not_valid: usize) -> String {
    let mut text = String::new();
    let mut changes: Vec<&Change> = changes.iter().collect();
    changes.sort_by(|one, other| {
        (&one.job, one.at, &one.scenario, &one.metric).cmp(&(
            &other.job,
            other.at,
            &other.scenario,
            &other.metric,
        ))
    });
    for same_job in changes.chunk_by(|one, other| one.job == other.job) {
        let mut table = table(&["ID", "KIND", "BEFORE", "AFTER", "", "CONFIDENCE", "RUNS"]);
        for change in same_job {
            table.add_row(row(change));
        }
        align_right(&mut table, &[2, 3, 4, 5, 6]);
        table.put(&mut text, "");
        for change in same_job.iter().filter(|_| around) {
            put_line!(text, "\n  {}", change.id);
            for run in &change.around {
                put_line!(text, "    {}", line(change, run));
            }
        }
        text.push('\n');
    }
    put_line!(text, "{} changes", changes.len());
    if let Some(including) = including(not_valid) {
        put_line!(text, "in all runs, {including}");
    }
    text
}

fn row(change: &Change) -> [String; 7] {
    let kind = match (change.kind, change.before) {
        (ChangeKind::Missing, _) => "went missing",
        (ChangeKind::Back, Some(_)) => "came back",
        (ChangeKind::Back, None) => "first seen",
        (ChangeKind::Step, _) => "step",
    };
    let unit = unit_after(&change.metric);
    let value = |value: Option<f64>| match value {
        Some(value) => format!("{}{unit}", detailed(value)),
        None => "-".to_owned(),
    };
    let percent = change.percent.map(|percent| format!("{percent:+.1} %"));
    [
        change.id.clone(),
        kind.to_owned(),
        value(change.before),
        value(change.after),
        percent.unwrap_or_default(),
        confidence(change.confidence),
        format!("{} + {}", change.runs_before, change.runs_after),
    ]
}

/// Rounded down: chance is never told to be impossible.
fn confidence(confidence: f64) -> String {
    if confidence > 0.9999 {
        "> 99.99 %".to_owned()
    } else {
        format!("{:.2} %", 100.0 * confidence)
    }
}

fn line(change: &Change, run: &RunValue) -> String {
    let mark = if run.at < change.at {
        "before"
    } else {
        "after "
    };
    let value = run.value.map_or_else(|| "-".to_owned(), detailed);
    format!("{mark}  {}  {value:>9}  {}", minute(run.at), run.run)
}

fn minute(at: jiff::Timestamp) -> String {
    let at = at.to_zoned(TimeZone::UTC);
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// Acknowledgements, one a line, as `changes ack` takes them.
pub fn acknowledgements(acks: &[Acknowledgement]) -> String {
    let mut text = String::new();
    for ack in acks {
        put_line!(text, "{}", ack_id(ack));
    }
    if acks.is_empty() {
        text.push_str("no change is acknowledged\n");
    }
    text
}

fn ack_id(ack: &Acknowledgement) -> String {
    crate::changes::detect::change_id(&ack.job, &ack.scenario, &ack.metric, ack.at)
}
