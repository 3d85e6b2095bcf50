//! What may be logged.

use std::env;

use tracing::{Level, Metadata};
use tracing_subscriber::{
    Layer,
    filter::{FilterExt, ParseError, Targets, filter_fn},
    layer::SubscriberExt,
    registry,
    registry::Registry,
    util::SubscriberInitExt,
};

/// The crates of this workspace that log.
pub const OURS: [&str; 5] = ["driver", "kubetoll", "lab", "proxy", "terminal"];

/// Libraries log headers and bytes of requests at their lower levels; our own crates never do.
/// Whatever `RUST_LOG` asks for, only these speak below warnings.
fn is_safe(metadata: &Metadata<'_>) -> bool {
    let name = metadata.target().split("::").next();
    name.is_some_and(|name| OURS.contains(&name)) || *metadata.level() <= Level::WARN
}

/// From here on `lines` has what `RUST_LOG` asks for, or `otherwise` where it asks for nothing. A
/// directive for `kubetoll` is one for all crates of this workspace.
///
/// # Panics
/// Where it was called before.
pub fn begin(lines: impl Layer<Registry> + Send + Sync, otherwise: &str) {
    let asked = env::var("RUST_LOG").unwrap_or_default();
    let (filter, problem) = match parse(&asked, otherwise) {
        Ok(filter) => (filter, None),
        Err(error) => (parse("", otherwise).unwrap_or_default(), Some(error)),
    };
    let filter = filter.and(filter_fn(is_safe));
    registry().with(lines.with_filter(filter)).init();
    if let Some(error) = problem {
        tracing::error!(%error, "RUST_LOG can't be read; this logs as if it were not set");
    }
}

fn parse(asked: &str, otherwise: &str) -> Result<Targets, ParseError> {
    let directives = if asked.is_empty() { otherwise } else { asked };
    for_all_crates(directives).parse()
}

fn for_all_crates(directives: &str) -> String {
    let directives = directives.split(',').map(|directive| {
        let rest = directive.strip_prefix("kubetoll");
        match rest.filter(|rest| rest.is_empty() || rest.starts_with('=')) {
            Some(rest) => OURS.map(|name| format!("{name}{rest}")).join(","),
            None => directive.to_owned(),
        }
    });
    directives.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directive_for_kubetoll_is_one_for_all_its_crates() {
        assert_eq!(
            for_all_crates("warn,kubetoll=debug,h2=off"),
            "warn,driver=debug,kubetoll=debug,lab=debug,proxy=debug,terminal=debug,h2=off"
        );
        assert_eq!(for_all_crates("proxy=trace"), "proxy=trace");
        assert!(for_all_crates("kubetoll").starts_with("driver,kubetoll,"));
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_nothing_is_what_is_logged_otherwise() {
        let logs = |asked, target, level| {
            parse(asked, "info,h2=off").map(|filter| filter.would_enable(target, &level))
        };
        assert!(logs("", "proxy::accept", Level::INFO).unwrap());
        assert!(!logs("", "proxy::accept", Level::DEBUG).unwrap());
        assert!(!logs("", "h2", Level::ERROR).unwrap());
        assert!(logs("warn,kubetoll=debug", "proxy::accept", Level::DEBUG).unwrap());
        assert!(!logs("warn,kubetoll=debug", "hyper", Level::INFO).unwrap());
        assert!(logs("kubetoll=loud", "proxy", Level::INFO).is_err());
    }
}
