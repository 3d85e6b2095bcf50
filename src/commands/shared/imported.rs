//! What came of an import into the history.

use anyhow::Result;

use super::output::Output;
use record::ImportReport;
use report::history_text;
use terminal::{exit::Exit, lines, tell};

/// How many of a kind are said one by one.
const TOLD_MAX: usize = 20;

/// Prints what came of an import; what was skipped or refused makes it a failure.
pub(crate) fn finish(report: &ImportReport, output: Output) -> Result<Exit> {
    for id in &report.runs.conflicts {
        tell!("kubetoll: {id} is in the history with other content, and a run never changes");
    }
    for id in report.runs.other_labels.iter().take(TOLD_MAX) {
        tell!(
            "kubetoll: {id} has other labels in the history, which stay: see `kubetoll runs label`"
        );
    }
    for refused in &report.runs.refused {
        tell!("kubetoll: {refused}");
    }
    for (what, list) in [
        ("skipped", &report.skipped),
        ("left out", &report.left_out),
        ("kept, and not valid", &report.not_valid),
    ] {
        for one in list.iter().take(TOLD_MAX) {
            tell!("kubetoll: {what}: {one}");
        }
        if list.len() > TOLD_MAX {
            tell!("kubetoll: {what}: {} more", list.len() - TOLD_MAX);
        }
    }
    let exit = lines::print(&output.of(report, history_text::imported)?);
    Ok(if report.is_complete() {
        exit
    } else {
        Exit::Failed
    })
}
