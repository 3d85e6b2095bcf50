//! `kubetoll attach`, `kubetoll detach` and `kubetoll status`.

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use jiff::SignedDuration;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::shared::{cluster::ClusterArgs, output::Output};
use install::{InstallError, Installer, Plan, patch::PORT};
use terminal::{
    exit::{Exit, Misuse},
    lines, print_line, tell,
};

/// What `attach` says where it is not told an image.
const NO_IMAGE: &str = "\
--image is missing: there is no published image. In Kubetoll's source folder, make one of static
binaries, which needs no container engine, and load it into the cluster (kind here):

  deploy/image/build
  kind load image-archive target/image/kubetoll.tar
  kubetoll attach --image kubetoll:local";

/// A component of KubeVirt, as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Component {
    #[value(name = "virt-api")]
    Api,
    #[value(name = "virt-handler")]
    Handler,
    #[value(name = "virt-controller")]
    Controller,
    #[value(name = "virt-operator")]
    Operator,
}

impl From<Component> for install::Component {
    fn from(component: Component) -> Self {
        match component {
            Component::Api => Self::VirtApi,
            Component::Handler => Self::VirtHandler,
            Component::Controller => Self::VirtController,
            Component::Operator => Self::VirtOperator,
        }
    }
}

/// How a component is told to use its proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// By its environment and a service account volume with the proxy's CA.
    Sidecar,
    /// By its flag --kubeconfig.
    Kubeconfig,
}

/// Form of what `--dry-run` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Form {
    /// What would change, for people.
    #[default]
    Text,
    /// The objects, for kubectl apply. The Secret among them holds a private key.
    Yaml,
}

/// Put proxies into the pods of KubeVirt's components, one component at a time.
///
/// Makes a Secret and a ConfigMap in KubeVirt's namespace and puts a patch for each component into
/// the KubeVirt object (spec.customizeComponents), which virt-operator applies; virt-operator's own
/// Deployment is patched by itself. Waits for each rollout, and until the API server can read calls
/// of every new pod from its proxy. If that fails, or on Ctrl-C, everything is put back.
///
/// Patches of others stay as they are. Installations of the HyperConverged operator and of the
/// Operator Lifecycle Manager are recognized; for them it says what to do instead.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubetoll attach --image kubetoll:local --dry-run
  kubetoll attach --image registry.example/kubetoll@sha256:... --component virt-controller
  kubetoll attach --image kubetoll:local --context kind-kubevirt --timeout 15m

`kubetoll detach` takes them out again. The rights that are needed: docs/OPERATING.md.")]
pub(super) struct AttachArgs {
    /// Components to attach [default: all].
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAMES")]
    component: Vec<Component>,
    /// Image that starts kubetoll-proxy, best by digest.
    #[arg(long, value_name = "REF")]
    image: Option<String>,
    /// How a component is told to use its proxy.
    #[arg(long, value_enum, default_value = "sidecar")]
    mode: Mode,
    /// Port in the pod for the component; the next one is the admin port.
    #[arg(long, value_name = "PORT", default_value_t = PORT, value_parser = clap::value_parser!(u16).range(1024..65535))]
    port: u16,
    /// Let each proxy keep its last ROWS requests, to be asked for at any time with
    /// `kubetoll journal --proxy`; about 1 kB of its pod's memory for each.
    #[arg(long, value_name = "ROWS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    recorder: u32,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Longest wait for one component: for its rollout, and then for its calls.
    #[arg(long, default_value = "10m", value_name = "DURATION")]
    timeout: SignedDuration,
    /// Print what would be made and changed, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Form of what --dry-run prints.
    #[arg(long, value_enum, default_value_t, requires = "dry_run")]
    output: Form,
}

/// Take the proxies out of KubeVirt's pods.
///
/// Removes Kubetoll's patches from the KubeVirt object and leaves those of others, gives
/// virt-operator's Deployment its old pods back, waits for the rollouts, and removes the Secret and
/// the ConfigMap when no component needs them any more. Does nothing where nothing is attached, and
/// finishes what an attach or a detach left half done.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubetoll detach
  kubetoll detach --component virt-operator --context kind-kubevirt")]
pub(super) struct DetachArgs {
    /// Components to detach [default: all].
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAMES")]
    component: Vec<Component>,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Longest wait for the rollout of one component.
    #[arg(long, default_value = "10m", value_name = "DURATION")]
    timeout: SignedDuration,
}

/// Say which components have a proxy, since when, what it counts, and what is not as attached.
///
/// Reads each proxy's counters twice through the API server. Exits with 3 if something is not as it
/// was attached: a patch that was changed, a workload without its proxy, another image.
#[derive(Debug, Args)]
#[command(after_help = "Example: kubetoll status --output json --window 10s")]
pub(super) struct StatusArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Over which time calls per second are counted.
    #[arg(long, default_value = "2s", value_name = "DURATION")]
    window: SignedDuration,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

pub(super) async fn attach(args: AttachArgs, stop: CancellationToken) -> Result<Exit> {
    let Some(image) = args.image.clone().filter(|image| !image.is_empty()) else {
        tell!("kubetoll: {NO_IMAGE}");
        return Ok(Exit::Usage);
    };
    if !is_image(&image) {
        let form = "[REGISTRY/]NAME[:TAG][@DIGEST], the name in lower case";
        bail!(Misuse(format!("--image {image:?} is no image: {form}")));
    }
    let plan = Plan {
        components: components(&args.component),
        image,
        mode: match args.mode {
            Mode::Sidecar => install::patch::Mode::Sidecar,
            Mode::Kubeconfig => install::patch::Mode::Kubeconfig,
        },
        port: args.port,
        recorder: args.recorder,
    };
    let installer = installer(&args.cluster, args.timeout, stop).await?;
    if args.dry_run {
        return match installer.preview(&plan).await {
            Ok((objects, warnings)) => print_preview(&objects, &warnings, args.output),
            Err(error) => Ok(explain(&error)),
        };
    }
    Ok(match installer.attach(&plan).await {
        Ok(attached) => {
            for component in attached {
                print_line!("{}: attached, its calls are counted", component.name());
            }
            Exit::Ok
        }
        Err(error) => explain(&error),
    })
}

/// Whether a kubelet would take this for a reference. Source: the grammar of
/// github.com/distribution/reference, without the lengths.
fn is_image(reference: &str) -> bool {
    let is_of = |text: &str, more: &str, is_usual: fn(&u8) -> bool| {
        let is_good = |byte: u8| is_usual(&byte) || more.contains(char::from(byte));
        !text.is_empty() && text.bytes().all(is_good)
    };
    let (rest, digest) = match reference.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (reference, None),
    };
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => {
            (Some(first), path)
        }
        _ => (None, name),
    };
    let is_name = |part| {
        is_of(part, "._-", |byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit()
        })
    };
    path.split('/').all(is_name)
        && registry.is_none_or(|registry| is_of(registry, ".-:[]", u8::is_ascii_alphanumeric))
        && tag.is_none_or(|tag| is_of(tag, "._-", u8::is_ascii_alphanumeric))
        && digest.is_none_or(|digest| is_of(digest, "+._-:", u8::is_ascii_alphanumeric))
}

pub(super) async fn detach(args: DetachArgs, stop: CancellationToken) -> Result<Exit> {
    let installer = installer(&args.cluster, args.timeout, stop).await?;
    Ok(match installer.detach(&components(&args.component)).await {
        Ok(detached) => {
            if detached.components.is_empty() {
                print_line!("nothing is attached");
            }
            for component in detached.components {
                print_line!("{}: detached", component.name());
            }
            if detached.objects {
                print_line!("Secret and ConfigMap: removed");
            }
            for note in detached.notes {
                tell!("kubetoll: {note}");
            }
            Exit::Ok
        }
        Err(error) => explain(&error),
    })
}

pub(super) async fn status(args: StatusArgs, stop: CancellationToken) -> Result<Exit> {
    let installer = installer(&args.cluster, args.window, stop).await?;
    let installation = match installer.status(args.window.unsigned_abs()).await {
        Ok(installation) => installation,
        Err(error) => return Ok(explain(&error)),
    };
    let text = args.output.of(&installation, |installation| {
        report::installation::text(installation, jiff::Timestamp::now())
    })?;
    let is_well = installation
        .components
        .iter()
        .all(|component| component.drift.is_empty());
    let written = lines::print(&text);
    Ok(match written {
        Exit::Ok if !is_well => Exit::NotMet,
        exit => exit,
    })
}

async fn installer(
    cluster: &ClusterArgs,
    timeout: SignedDuration,
    stop: CancellationToken,
) -> Result<Installer<'static>> {
    Ok(Installer {
        client: cluster.client().await?,
        namespace: cluster.namespace.clone(),
        timeout: timeout.unsigned_abs(),
        stop,
        say: &|line| tell!("{line} ..."),
    })
}

fn components(asked: &[Component]) -> Vec<install::Component> {
    if asked.is_empty() {
        return install::Component::ALL.to_vec();
    }
    asked.iter().map(|component| (*component).into()).collect()
}

fn explain(error: &InstallError) -> Exit {
    tell!("kubetoll: {error}");
    if error.is_interruption() {
        Exit::Interrupted
    } else {
        Exit::Failed
    }
}

fn print_preview(objects: &[Value], warnings: &[String], form: Form) -> Result<Exit> {
    let mut text = String::new();
    for object in objects {
        match form {
            Form::Yaml => text += &format!("---\n{}", serde_saphyr::to_string(object)?),
            Form::Text => text += &summary(object)?,
        }
    }
    for warning in warnings {
        tell!("kubetoll: {warning}");
    }
    let written = lines::print(&text);
    Ok(written)
}

/// An object without what is secret, and with its patches legible.
fn summary(object: &Value) -> Result<String> {
    let of = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
    let kind = object["kind"].as_str().unwrap_or_default();
    let head = format!("{kind} {}/{}\n", of("namespace"), of("name"));
    let body = match kind {
        "Secret" | "ConfigMap" => return Ok(head),
        "KubeVirt" => {
            let patches = &object["spec"]["customizeComponents"]["patches"];
            let mut text = String::new();
            for patch in patches.as_array().into_iter().flatten() {
                let content = patch["patch"].as_str().unwrap_or_default();
                let content: Value = serde_json::from_str(content).unwrap_or_default();
                let target = patch["resourceName"].as_str().unwrap_or_default();
                text += &format!("patch of {target}:\n{}", serde_saphyr::to_string(&content)?);
            }
            text
        }
        _ => format!("patch:\n{}", serde_saphyr::to_string(&object["spec"])?),
    };
    Ok(head + &body)
}

#[cfg(test)]
mod tests {
    use super::is_image;

    #[test]
    fn an_image_is_told_from_what_can_not_be_one() {
        for image in [
            "kubetoll",
            "kubetoll:local",
            "localhost:5000/kubetoll",
            "Registry.example:5000/team/kubetoll-proxy:v1.0_A@sha256:0123",
            "[::1]:5000/kubetoll:1",
        ] {
            assert!(is_image(image), "{image}");
        }
        for other in [
            "",
            " ",
            "kubetoll:",
            "kubetoll local",
            "kubetoll:a b",
            "Kubetoll",
            "a//b",
            "/a",
            "kubetoll@",
            "kubetoll\n",
            "https://registry.example/kubetoll",
        ] {
            assert!(!is_image(other), "{other}");
        }
    }
}
