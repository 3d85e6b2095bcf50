//! The changes of a history as text.

use jiff::tz::TimeZone;

use super::{
    detect::SeriesCount,
    steps::{RUNS_IF_CONSTANT, Sensitivity},
};
use crate::{
    budgets::cost_name::unit_after,
    history::text::including,
    number::detailed,
    text::{align_right, table},
};
use record::{Acknowledgement, Change, ChangeKind, RunValue, number_of};

/// Changes by job and time, with the ids that `changes ack` takes; with `around`, the runs around each.
/// `not_valid` is how many of the runs in which they were found are not valid, `short` what
/// [`too_short`] says of them.
pub fn changes(changes: &[Change], around: bool, not_valid: usize, short: Option<&str>) -> String {
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
    put_line!(text, "{}", number_of(changes.len() as u64, "change"));
    if let Some(short) = short {
        put_line!(text, "{short}");
    }
    if let Some(including) = including(not_valid) {
        put_line!(text, "in all runs, {including}");
    }
    text
}

/// That series are too short to tell a change; `None` if none is.
pub fn too_short(series: SeriesCount, how: &Sensitivity) -> Option<String> {
    let SeriesCount { all, short } = series;
    let are = if short == 1 { "is" } else { "are" };
    let needed = RUNS_IF_CONSTANT;
    let lasting = how.min_runs;
    (short > 0).then(|| {
        format!(
            "{short} of {all} series {are} too short to tell: a step takes {needed} runs before it and \
             {needed} after, {lasting} and {lasting} where numbers vary",
        )
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_that_are_too_short_are_told() {
        let how = Sensitivity::default();
        let told = |all, short| too_short(SeriesCount { all, short }, &how);
        assert_eq!(told(2, 0), None);
        let one = "1 of 2 series is too short to tell: a step takes 3 runs before it and 3 after, 10 \
                   and 10 where numbers vary";
        assert_eq!(told(2, 1).as_deref(), Some(one));
        assert_eq!(
            changes(&[], false, 0, Some(one)),
            format!("0 changes\n{one}\n")
        );
    }
}
