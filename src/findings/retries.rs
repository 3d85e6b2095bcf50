//! Calls that were made again after they had failed.

use std::collections::HashMap;

use super::{Options, found::Found, lines::Lines, micros, why::Why};
use record::CallFindingKind;

/// Counts each call whose last one on the same object, by the same process, had failed shortly
/// before. A list or watch is of no object, but of a namespace or of all.
pub(crate) fn find<'r>(lines: &'r Lines<'r>, options: &Options, found: &mut Found<'r>) {
    let mut last: HashMap<(u32, u32, Option<u32>, &str), usize> = HashMap::new();
    for (at, line) in lines.iter() {
        let request = line.request;
        if line.object.is_none() && !matches!(request.verb(), "list" | "watch") {
            continue;
        }
        let key = (line.sender, line.call, line.object, request.namespace);
        let Some(before) = last.insert(key, at) else {
            continue;
        };
        let before = lines.all[before].request;
        let pause = request.begun.saturating_sub(before.answered);
        if before.answer.is_failure() && (0..=micros(options.retry_seconds)).contains(&pause) {
            let why = Why::After(before.answer);
            found.add(at, CallFindingKind::Retry, why, false);
        }
    }
}
