//! `kubetoll rbac`: what a user must be allowed.

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use super::shared::{attached::Via, cluster::namespace};
use cluster::rights::{Rule, role};
use driver::{
    reach::Way,
    workload::{Scenario, Spec},
};
use install::{Component, rights};
use terminal::{
    exit::{Exit, Misuse},
    lines,
};

/// Print the rights that a command needs, as Roles for kubectl apply.
///
/// Nothing is asked of a cluster. Each command asks for its rights first by itself, and names those
/// that are missing. A Role gives rights to nobody before a RoleBinding names whom.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubetoll rbac attach | kubectl apply -f -
  kubetoll rbac run --proxy-via pod-network --with-token-file")]
pub(super) struct RbacArgs {
    /// The command: attach, detach, status, or run.
    #[arg(value_enum)]
    command: For,
    /// KubeVirt's namespace, to be named to the command too.
    #[arg(long, value_name = "NAME", default_value = "kubevirt", value_parser = namespace)]
    kubevirt_namespace: String,
    /// run: in this namespace in place of one that it makes.
    #[arg(long, value_name = "NAME", value_parser = namespace)]
    namespace: Option<String>,
    /// run: how it reaches the attached proxies; auto is all ways [default: port-forward].
    #[arg(long, value_enum, value_name = "WAY")]
    proxy_via: Option<Via>,
    /// run: it gets the admin token with --proxy-token-file, and needs not read the Secret.
    #[arg(long)]
    with_token_file: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum For {
    Attach,
    Detach,
    Status,
    Run,
}

pub(super) fn run(args: &RbacArgs) -> Result<Exit> {
    let is_for_run = args.namespace.is_some() || args.proxy_via.is_some() || args.with_token_file;
    if is_for_run && args.command != For::Run {
        let options = "--namespace, --proxy-via and --with-token-file are of `kubetoll rbac run`; \
            KubeVirt's namespace is --kubevirt-namespace";
        bail!(Misuse(options.to_owned()));
    }
    let written = lines::print(&args.text());
    Ok(written)
}

impl RbacArgs {
    fn text(&self) -> String {
        let (name, rules) = match self.command {
            For::Attach => {
                let mut rules = rights::to_attach(&Component::ALL);
                rules.push(rights::EVENTS);
                ("kubetoll-attach", rules)
            }
            For::Detach => ("kubetoll-detach", rights::to_detach(&Component::ALL)),
            For::Status => ("kubetoll-status", rights::to_look()),
            For::Run => ("kubetoll-run", self.to_discover()),
        };
        let rules = [vec![rights::FIND], rules].concat();
        let mut text = role(name, Some(&self.kubevirt_namespace), &rules);
        if self.command == For::Run {
            let namespace = self.namespace.as_deref();
            text += "---\n";
            text += &role(
                "kubetoll-run-workload",
                namespace,
                &to_run(namespace.is_some()),
            );
        }
        text
    }

    fn to_discover(&self) -> Vec<Rule> {
        let mut rules = rights::to_discover();
        if !self.with_token_file {
            rules.push(rights::TOKEN);
        }
        let via = self.proxy_via.unwrap_or(Via::PortForward);
        rules.extend(via.ways(false).into_iter().flat_map(Way::rights));
        rules
    }
}

/// For each scenario, and what a run reads only if it may.
fn to_run(in_given_namespace: bool) -> Vec<Rule> {
    let scenarios = [Scenario::Vmi, Scenario::Vm, Scenario::Instancetype];
    let rights = scenarios.into_iter().flat_map(|scenario| {
        let spec = Spec {
            scenario,
            kwok: false,
        };
        driver::rights_of(&spec, in_given_namespace)
    });
    let optional = driver::rights_if_given(in_given_namespace);
    rights.chain(optional).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: RbacArgs,
    }

    fn printed(arguments: &[&str]) -> String {
        let line = [&["rbac"], arguments].concat();
        Line::parse_from(line).args.text()
    }

    #[test]
    fn the_documented_roles_are_what_is_printed() {
        let docs = include_str!("../../docs/OPERATING.md");
        for command in ["attach", "run"] {
            let block = format!("```yaml\n{}```\n", printed(&[command]));
            assert!(docs.contains(&block), "{block}");
        }
    }

    #[test]
    fn a_run_that_needs_less_is_given_less() {
        let all = printed(&["run", "--proxy-via", "auto"]);
        for resource in ["pods/portforward", "pods/proxy", "secrets", "namespaces"] {
            assert!(all.contains(resource), "{resource}");
        }
        let few = printed(&[
            "run",
            "--proxy-via",
            "pod-network",
            "--with-token-file",
            "--namespace",
            "density",
        ]);
        for resource in [
            "pods/",
            "secrets",
            "namespaces",
            "deletecollection",
            "ClusterRole",
        ] {
            assert!(!few.contains(resource), "{resource}: {few}");
        }
        let look = printed(&["status", "--kubevirt-namespace", "elsewhere"]);
        assert!(look.contains("namespace: elsewhere") && !look.contains("create"));
    }
}
