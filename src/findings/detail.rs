//! Why calls failed or were needless, in a sentence for people.

use std::collections::BTreeSet;

use super::{
    Answer, Options,
    found::{Group, Key},
    lines::Lines,
    why::{Cause, Why, Writer, named},
};
use record::CallFindingKind as Kind;

/// The sentence of a finding.
pub(crate) fn detail(
    key: &Key<'_>,
    group: &Group<'_>,
    lines: &Lines<'_>,
    options: &Options,
) -> String {
    let total = lines.total(key.component, key.name);
    let share = format!("{} of {total} such calls", group.calls);
    let Options {
        retry_seconds,
        hot_writes,
        hot_seconds,
        read_seconds,
        watch_seconds,
        ..
    } = options;
    // What isn't known is left out.
    let moved = |count, how: &str| match group.unmeasured {
        true => String::new(),
        false => format!("; {} {how}", bytes(count)),
    };
    let sent = moved(group.request_bytes, "were sent for that");
    let read = moved(group.response_bytes, "came for that");
    match key.kind {
        Kind::Retry => format!(
            "{share} came within {retry_seconds} s after the same call on the same object had \
             failed{}; {} of these succeeded.",
            failed_with(&key.why),
            group.succeeded,
        ),
        Kind::NoOpWrite => {
            format!("{share} changed nothing, since the object kept the version that it had{sent}.")
        }
        Kind::HotObject => format!(
            "{share} wrote one of {} that the component wrote more than {hot_writes} times \
             within {hot_seconds} s, up to {} times.",
            counted(group.objects.len()),
            group.most,
        ),
        Kind::RepeatedRead => format!(
            "{share} read again within {read_seconds} s what the same process had read, and \
             {}{read}.",
            still(&key.why),
        ),
        Kind::GetOfWatched => format!("{share} asked for an object {}{read}.", of_watch(&key.why)),
        Kind::UnboundedList => format!(
            "{share} had neither resourceVersion nor limit, so that the API server had to give {} in \
             their newest state{}.",
            all_of(&key.why),
            moved(group.response_bytes, "came of them"),
        ),
        Kind::Relist => format!(
            "{share} listed what the same process had listed before{}{read}.",
            after(&key.why)
        ),
        Kind::ShortWatch => format!(
            "{share} ended within {watch_seconds} s, {}, without having asked for that.",
            ended_by(&key.why)
        ),
        Kind::DeprecatedApi => format!(
            "{share} got a warning with their answer: most often, that the version of the API is \
             deprecated."
        ),
        Kind::Failure
        | Kind::Conflict
        | Kind::AlreadyExists
        | Kind::GoneObject
        | Kind::Throttled
        | Kind::Expired => failed(key, group, lines, &share),
    }
}

/// The sentence of failed calls.
fn failed(key: &Key<'_>, group: &Group<'_>, lines: &Lines<'_>, share: &str) -> String {
    let seconds = group.waited as f64 / 1e6;
    let why = match key.kind {
        Kind::AlreadyExists => ": the object was there already".to_owned(),
        Kind::Throttled => format!(": the client is to come again later{}", levels(group)),
        Kind::Expired => ": the version to go on from was no longer kept".to_owned(),
        Kind::Conflict | Kind::GoneObject | Kind::Failure => because(key, group, lines),
        _ => String::new(),
    };
    match key.answer {
        Some(answer @ Answer::Code(_)) => {
            format!("{share} failed with {answer}{why}; they waited {seconds:.1} s for that.")
        }
        Some(Answer::None(reason)) => format!(
            "{share} got no answer of the API server ({reason}); they waited {seconds:.1} s for it."
        ),
        None => format!("{share} failed{why}."),
    }
}

fn because(key: &Key<'_>, group: &Group<'_>, lines: &Lines<'_>) -> String {
    let by = |(component, name): Writer| {
        let name = &lines.names[name as usize];
        if component == key.component {
            format!("the component itself ({name})")
        } else {
            format!("{} ({name})", lines.components[component as usize])
        }
    };
    match &key.why {
        Why::Tests(paths) if paths.len() == 1 => format!(
            ": the patch's test of {} did not hold, or a path that it changes was not there",
            paths[0]
        ),
        Why::Tests(_) => ": one of the patch's tests did not hold, or a path that it changes was \
                          not there"
            .to_owned(),
        Why::Written(Some(writer)) => {
            let between = changed(", at", &group.paths_between);
            let wanted = changed(", and the refused ones were to change", &group.paths);
            format!(
                ": {} had written the object in between{between}{wanted}",
                by(*writer)
            )
        }
        Why::Written(None) => {
            ": it is unknown who had written the object in between, since no write \
                               that was seen is known to be it"
                .to_owned()
        }
        Why::Status(_, fields) if key.kind == Kind::Conflict && !fields.is_empty() => {
            format!(": another manager owns {}", fields.join(", "))
        }
        Why::Status(_, fields) if !fields.is_empty() => {
            format!(": the API server names {}", fields.join(", "))
        }
        Why::Deleted(writer) => format!(": {} had deleted the object before", by(*writer)),
        Why::WasThere => ": the object had been there before, and was not any more".to_owned(),
        _ => String::new(),
    }
}

/// The paths of patches, after these words; nothing without any.
fn changed(words: &str, paths: &BTreeSet<String>) -> String {
    if paths.is_empty() {
        return String::new();
    }
    let named = named(paths.iter().cloned());
    format!("{words} {}", named.join(", "))
}

/// Which flow schemas throttled.
fn levels(group: &Group<'_>) -> String {
    let first = group.levels.iter().min();
    match (first, group.levels.len()) {
        (Some((schema, level)), 1) => {
            format!(", by flow schema {schema} at priority level {level}")
        }
        (Some(_), count) => format!(", by {count} flow schemas"),
        (None, _) => String::new(),
    }
}

fn failed_with(why: &Why<'_>) -> String {
    match why {
        Why::After(Answer::Code(code)) => format!(" with {code}"),
        Why::After(Answer::None(reason)) => format!(" without an answer ({reason})"),
        _ => String::new(),
    }
}

fn still(why: &Why<'_>) -> &'static str {
    match why {
        Why::SameVersion => "its version was the same",
        _ => "no write of the resource was seen in between",
    }
}

fn of_watch(why: &Why<'_>) -> &'static str {
    match why {
        Why::Watched => "of a resource that the same process watches, so that it has it already",
        _ => {
            "of a resource that the same process watches, which may leave it out: its selectors are \
             not known"
        }
    }
}

fn all_of(why: &Why<'_>) -> &'static str {
    match why {
        Why::OfAll => "all objects of the resource",
        _ => "all objects of a namespace",
    }
}

fn after(why: &Why<'_>) -> String {
    match why {
        Why::Again(Cause::Expired) => ", after a watch or list had been answered 410".to_owned(),
        Why::Again(Cause::ErrorEvent) => ", after a watch had delivered an error".to_owned(),
        Why::Again(Cause::Ended(who)) => format!(", after a watch had been ended {}", by_whom(who)),
        _ => String::new(),
    }
}

fn ended_by(why: &Why<'_>) -> String {
    match why {
        Why::EndedBy(who) => by_whom(who),
        _ => String::new(),
    }
}

fn by_whom(who: &str) -> String {
    match who {
        "" => "by whom is unknown".to_owned(),
        "failure" => "by a failure".to_owned(),
        who => format!("by the {who}"),
    }
}

fn counted(objects: usize) -> String {
    match objects {
        1 => "1 object".to_owned(),
        count => format!("{count} objects"),
    }
}

/// `12.3 kB`.
fn bytes(count: u64) -> String {
    match count as f64 {
        count if count >= 1e9 => format!("{:.1} GB", count / 1e9),
        count if count >= 1e6 => format!("{:.1} MB", count / 1e6),
        count if count >= 1e3 => format!("{:.1} kB", count / 1e3),
        count => format!("{count} bytes"),
    }
}
