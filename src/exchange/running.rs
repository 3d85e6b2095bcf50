//! How many VMIs of a run were Running when its source counted them by phase.

use std::{collections::BTreeMap, fmt};

use record::HistoryRun;

/// What the name of a metric ends in that counts the VMIs in one phase.
const PHASE_COUNT: &str = "-phase-count";
/// Phases of VMIs that are Running, or were.
const RUNNING: [&str; 3] = ["running", "succeeded", "unknown"];

/// VMIs of a run that were not Running when they were counted.
///
/// The count is a gauge, and what it shows is as old as the last scrape. Prometheus took the counts
/// of calls from virt-controller in the same scrape, so they lack the calls that came after it,
/// whether those VMIs got Running later or never did: which of both the source doesn't tell.
#[derive(Debug, Clone, PartialEq)]
pub struct NotAllRunning {
    /// VMIs that were Running, or had been.
    pub running: f64,
    /// VMIs that were asked for or counted, whichever is more.
    pub of: f64,
    /// The other phases with their VMIs, in alphabetical order; less than what is missing where
    /// VMIs were in no phase yet.
    others: Vec<(String, f64)>,
}

impl NotAllRunning {
    /// What the values of a run say if `asked` VMIs were asked for. `None` if all were Running, or
    /// nothing was counted by phase.
    pub(super) fn of(values: &BTreeMap<String, f64>, asked: Option<u64>) -> Option<Self> {
        let by_phase = values.iter().filter_map(|(name, count)| {
            let phase = name.strip_suffix(PHASE_COUNT)?;
            Some((phase.to_owned(), *count))
        });
        let (there, others): (Vec<_>, Vec<_>) =
            by_phase.partition(|(phase, _)| RUNNING.contains(&phase.as_str()));
        if there.is_empty() && others.is_empty() {
            return None;
        }
        // The standard library's sum of nothing is -0, which would be shown.
        let sum = |counts: &[(String, f64)]| counts.iter().fold(0.0, |sum, (_, count)| sum + count);
        let running = sum(&there);
        let of = (running + sum(&others)).max(asked.unwrap_or_default() as f64);
        (running < of).then_some(Self {
            running,
            of,
            others,
        })
    }

    /// The same of a run of the history.
    pub fn of_run(run: &HistoryRun) -> Option<Self> {
        Self::of(&run.values, run.objects)
    }
}

impl fmt::Display for NotAllRunning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            running,
            of,
            others,
        } = self;
        write!(
            out,
            "{running} of {of} VMIs were Running when Prometheus last looked"
        )?;
        let others: Vec<String> = others
            .iter()
            .map(|(phase, count)| format!("{count} {phase}"))
            .collect();
        if others.is_empty() {
            return Ok(());
        }
        write!(out, " ({})", others.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(phases: &[(&str, f64)], asked: Option<u64>) -> Option<String> {
        let values = phases.iter();
        let values = values.map(|(phase, count)| (format!("{phase}-phase-count"), *count));
        NotAllRunning::of(&values.collect(), asked).map(|found| found.to_string())
    }

    #[test]
    fn all_are_running_if_as_many_are_as_were_asked_for_and_none_is_in_another_phase() {
        for (phases, asked) in [
            // KubeVirt's VMI test has a primer, which is Running as well.
            (&[("running", 101.0)][..], Some(100)),
            (&[("running", 100.0)], Some(100)),
            (&[("running", 90.0)], Some(90)),
            (&[("running", 40.0)], None),
            (&[("running", 60.0), ("succeeded", 40.0)], Some(100)),
            // A source that counts no phases proves nothing.
            (&[], Some(100)),
        ] {
            assert_eq!(said(phases, asked), None, "{phases:?} {asked:?}");
        }
    }

    #[test]
    fn what_is_missing_is_said_with_its_phases() {
        let looked = "VMIs were Running when Prometheus last looked";
        for (phases, asked, expected) in [
            (
                &[("running", 74.0), ("scheduled", 27.0)][..],
                Some(100),
                format!("74 of 101 {looked} (27 scheduled)"),
            ),
            (
                &[("running", 97.0)],
                Some(100),
                format!("97 of 100 {looked}"),
            ),
            (
                &[("scheduling", 23.0), ("scheduled", 33.0)],
                Some(100),
                format!("0 of 100 {looked} (33 scheduled, 23 scheduling)"),
            ),
            (
                &[("running", 950.0), ("failed", 50.0)],
                None,
                format!("950 of 1000 {looked} (50 failed)"),
            ),
        ] {
            assert_eq!(said(phases, asked), Some(expected));
        }
    }
}
