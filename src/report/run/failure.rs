//! What the text of a failed run says beyond its rows.

use record::{Cause, CauseSource, NotRunning, NotRunningGroup, RunResult};

/// That it failed, why, and what the rows are worth.
pub(super) fn head(text: &mut String, result: &RunResult) {
    let Some(failure) = &result.failure else {
        return;
    };
    put_line!(text, "\nTHE RUN FAILED: {}", failure.reason.sentence());
    put_line!(text, "{}", failure.detail);
    put_line!(text, "{}", failure.books.sentence());
}

/// The objects that were not Running, by why.
pub(super) fn not_running(text: &mut String, result: &RunResult) {
    let failure = result.failure.as_ref();
    let Some(found) = failure.and_then(|failure| failure.not_running.as_ref()) else {
        return;
    };
    let NotRunning { running, count, .. } = found;
    put_line!(
        text,
        "\nNot Running when the run failed: {} of {count}",
        count - running
    );
    for group in &found.groups {
        put_group(text, group);
    }
    if found.left_out > 0 {
        put_line!(text, "  {:>6}  for other reasons", found.left_out);
    }
    for unknown in &found.unknown {
        put_line!(text, "  not known: {unknown}");
    }
}

fn put_group(text: &mut String, group: &NotRunningGroup) {
    let phase = match group.phase.as_str() {
        "" => "no phase",
        phase => phase,
    };
    put_line!(text, "  {:>6}  {phase}", group.count);
    if group.causes.is_empty() {
        put_line!(text, "          nothing that was read says why");
    }
    for cause in &group.causes {
        put_cause(text, cause);
    }
    let more = if group.count > group.names.len() {
        ", ..."
    } else {
        ""
    };
    put_line!(text, "          {}{more}", group.names.join(", "));
}

fn put_cause(text: &mut String, cause: &Cause) {
    let Cause {
        kind, name, reason, ..
    } = cause;
    let place = match cause.source {
        CauseSource::Event => format!("{kind} event"),
        CauseSource::Container => format!("{kind} container {name}"),
        CauseSource::Condition => format!("{kind} condition {name}"),
    };
    let reason = match reason.as_str() {
        "" => String::new(),
        reason => format!(" {reason}"),
    };
    let message = match cause.message.as_str() {
        "" => String::new(),
        message => format!(": {message}"),
    };
    put_line!(text, "          {place}{reason}{message}");
}
