//! What may be logged.

use std::env;

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;

/// The crates of this workspace that log.
pub const OURS: [&str; 5] = ["driver", "kubetoll", "lab", "proxy", "terminal"];

/// Libraries log headers and bytes of requests at their lower levels; our own crates never do.
/// Whatever `RUST_LOG` asks for, only these speak below warnings.
pub fn is_safe(metadata: &Metadata<'_>) -> bool {
    let name = metadata.target().split("::").next();
    name.is_some_and(|name| OURS.contains(&name)) || *metadata.level() <= Level::WARN
}

/// What `RUST_LOG` asks for, or `otherwise` where it asks for nothing that can be read. A directive
/// for `kubetoll` is one for all crates of this workspace.
pub fn filter(otherwise: &str) -> EnvFilter {
    let asked = env::var(EnvFilter::DEFAULT_ENV).ok();
    let asked = asked.filter(|asked| !asked.is_empty());
    let parsed = asked.and_then(|asked| for_all_crates(&asked).parse().ok());
    parsed.unwrap_or_else(|| EnvFilter::new(otherwise))
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
}
