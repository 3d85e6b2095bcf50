//! `kubetoll classify`: what a request means to kube-apiserver, and to KubeVirt's metric.

use std::io::{self, BufRead, Write};

use clap::Args;
use serde_json::{Value, json};

use classify::{Call, Target, classify, kubevirt::kubevirt_call};
use terminal::{exit::Exit, lines};

/// Say what a request means to kube-apiserver and to KubeVirt's client metric.
///
/// Prints one JSON object a line. `key` is the name in KubeVirt's results, such as PATCH-pods;
/// `error` says why a server refuses the target.
#[derive(Debug, Args)]
#[command(after_help = "Example: kubetoll classify GET '/api/v1/namespaces/default/pods?watch=1'")]
pub(super) struct ClassifyArgs {
    /// HTTP method, such as PATCH.
    #[arg(required_unless_present = "batch")]
    method: Option<String>,
    /// Request target: path and query.
    #[arg(required_unless_present = "batch")]
    target: Option<String>,
    /// Read lines of METHOD TARGET from standard input.
    #[arg(long, conflicts_with_all = ["method", "target"])]
    batch: bool,
}

pub(super) fn run(args: &ClassifyArgs) -> Exit {
    let written = match (&args.method, &args.target) {
        (Some(method), Some(target)) => {
            writeln!(io::stdout(), "{}", describe(method, target.as_bytes()))
        }
        _ => batch(io::stdin().lock(), io::BufWriter::new(io::stdout().lock())),
    };
    lines::exit_after_writing(written)
}

fn batch(input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    for line in input.split(b'\n') {
        let line = line?;
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let at = line.iter().position(u8::is_ascii_whitespace);
        let described = match at.map(|at| (&line[..at], line[at..].trim_ascii_start())) {
            Some((method, target)) => describe(&String::from_utf8_lossy(method), target),
            None => json!({"error": "a line must be METHOD TARGET"}),
        };
        writeln!(output, "{described}")?;
    }
    output.flush()
}

fn describe(method: &str, raw: &[u8]) -> Value {
    let target = match Target::parse(method, raw) {
        Ok(target) => target,
        Err(error) => return json!({"error": error.to_string()}),
    };
    let call = classify(method, &target);
    if call.is_undetermined {
        return json!({"error": "unable to determine kind and namespace: a resource must follow"});
    }
    let kubevirt = kubevirt_call(method, &target);
    let mut described = describe_call(&call);
    described["kubevirt"] = json!({"verb": kubevirt.verb, "resource": kubevirt.resource});
    described["key"] = json!(format!("{}-{}", kubevirt.verb, kubevirt.resource));
    described
}

fn describe_call(call: &Call<'_>) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    json!({
        "resourceRequest": call.is_resource_request,
        "verb": call.verb,
        "apiPrefix": call.api_prefix,
        "apiGroup": text(call.api_group),
        "apiVersion": text(call.api_version),
        "namespace": text(call.namespace),
        "resource": text(call.resource),
        "subresource": text(call.subresource),
        "name": text(&call.name),
    })
}
