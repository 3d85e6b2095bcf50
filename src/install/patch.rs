//! The strategic merge patch that puts a proxy beside a component.

use aws_lc_rs::digest::{SHA256, digest as sha256};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    component::Component,
    marks::{
        ADMIN_PORT_NAME, CLIENT_VOLUME, COMPONENT_ANNOTATION, DIGEST_ANNOTATION,
        KUBECONFIG_ANNOTATION, PROXY_PORT_NAME, SERVICE_ACCOUNT, SIDECAR, SINCE_ANNOTATION,
        TLS_VOLUME,
    },
    objects::{CA_KEY, CONFIG_MAP, SECRET},
    template,
};

/// The port that the component dials unless another is asked for; the admin port is the next one.
pub const PORT: u16 = 16443;

const TLS_DIRECTORY: &str = "/etc/kubetoll-proxy";
const CLIENT_DIRECTORY: &str = "/etc/kubetoll";
/// As long as the kubelet makes its own tokens, in seconds.
const TOKEN_SECONDS: u32 = 3607;
/// The argument by which a proxy keeps its last requests.
const RECORDER: &str = "--recorder=";
/// Memory that a proxy asks for, in MiB; and for so many requests that it keeps, one more.
const MEMORY: u32 = 64;
const REQUESTS_PER_MIB: u32 = 1_000;
/// How long a proxy may take to start, in seconds: its image is there then.
const START_SECONDS: u32 = 60;

/// How a component is told to use its proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// By its environment and a service account volume whose CA is the proxy's.
    Sidecar,
    /// By the flag `--kubeconfig`; its service account volume stays as it is.
    Kubeconfig,
}

impl Mode {
    /// The mode of a pod template with a proxy.
    pub fn of(template: &Value) -> Self {
        match template::annotation(template, KUBECONFIG_ANNOTATION) {
            Some(_) => Self::Kubeconfig,
            None => Self::Sidecar,
        }
    }

    /// As the command line and the record of an installation have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sidecar => "sidecar",
            Self::Kubeconfig => "kubeconfig",
        }
    }
}

/// A proxy as it is asked for.
#[derive(Debug, Clone)]
pub struct ProxySpec {
    /// Reference of the image that starts `kubetoll-proxy`.
    pub image: String,
    /// How the component is told.
    pub mode: Mode,
    /// The port that the component dials; the admin port is the next one.
    pub port: u16,
    /// How many of the last requests it keeps.
    pub recorder: u32,
    /// When it is put in.
    pub attached_at: Timestamp,
}

impl ProxySpec {
    /// The proxy that a pod template has; `None` if it has none that we could have put there.
    pub fn of(template: &Value) -> Option<Self> {
        let proxy = template::sidecar(template)?;
        let since = template::annotation(template, SINCE_ANNOTATION)?;
        Some(Self {
            image: proxy["image"].as_str()?.to_owned(),
            mode: Mode::of(template),
            port: proxy["ports"][0]["containerPort"]
                .as_u64()
                .and_then(|port| u16::try_from(port).ok())
                .filter(|port| *port < u16::MAX)?,
            recorder: recorder(proxy),
            attached_at: since.parse().ok()?,
        })
    }
}

/// How many requests a proxy's arguments let it keep.
fn recorder(proxy: &Value) -> u32 {
    let arguments = proxy["args"].as_array().into_iter().flatten();
    let mut arguments = arguments.filter_map(Value::as_str);
    let number = arguments.find_map(|argument| argument.strip_prefix(RECORDER));
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

/// The strategic merge patch of a component's workload.
pub fn patch(component: Component, spec: &ProxySpec) -> Value {
    let mut annotations = json!({COMPONENT_ANNOTATION: component.name()});
    if spec.mode == Mode::Kubeconfig {
        annotations[KUBECONFIG_ANNOTATION] = json!(kubeconfig(spec.port));
    }
    let mut patch = json!({"spec": {"template": {
        "metadata": {"annotations": annotations},
        "spec": {
            "initContainers": [sidecar(component, spec)],
            "containers": [client(component, spec)],
            "volumes": [
                {"name": TLS_VOLUME, "secret": {"secretName": SECRET}},
                client_volume(spec.mode),
            ],
        },
    }}});
    let digest = digest(&patch);
    let annotations = &mut patch["spec"]["template"]["metadata"]["annotations"];
    annotations[DIGEST_ANNOTATION] = json!(digest);
    annotations[SINCE_ANNOTATION] = json!(spec.attached_at.to_string());
    patch
}

/// A digest of everything that a patch does, so not of its own digest and time.
pub fn digest(patch: &Value) -> String {
    let mut patch = patch.clone();
    if let Some(Value::Object(annotations)) =
        patch.pointer_mut("/spec/template/metadata/annotations")
    {
        annotations.remove(DIGEST_ANNOTATION);
        annotations.remove(SINCE_ANNOTATION);
    }
    let digest = sha256(&SHA256, patch.to_string().as_bytes());
    digest.as_ref()[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A native sidecar: an init container that goes on running, and ends after the component.
fn sidecar(component: Component, spec: &ProxySpec) -> Value {
    let admin = spec.port + 1;
    let ready = json!({"path": "/readyz", "port": ADMIN_PORT_NAME});
    let memory = MEMORY + spec.recorder.div_ceil(REQUESTS_PER_MIB);
    json!({
        "name": SIDECAR,
        "image": spec.image,
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
        "args": arguments(component, spec),
        "ports": [
            {"name": PROXY_PORT_NAME, "containerPort": spec.port, "protocol": "TCP"},
            {"name": ADMIN_PORT_NAME, "containerPort": admin, "protocol": "TCP"},
        ],
        "startupProbe": {"httpGet": ready, "periodSeconds": 1, "failureThreshold": START_SECONDS},
        "readinessProbe": {"httpGet": ready, "periodSeconds": 10},
        // No limits: a proxy that is killed for its memory takes its counts along.
        "resources": {"requests": {"cpu": "10m", "memory": format!("{memory}Mi")}},
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "privileged": false,
            "readOnlyRootFilesystem": true,
            "runAsNonRoot": true,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"name": TLS_VOLUME, "mountPath": TLS_DIRECTORY, "readOnly": true}],
    })
}

fn arguments(component: Component, spec: &ProxySpec) -> Vec<String> {
    let mut arguments = vec![
        format!("--listen=127.0.0.1:{}", spec.port),
        // The kubelet's probes and the API server's pod proxy come to the pod's address.
        format!("--admin=0.0.0.0:{}", spec.port + 1),
        format!("--admin-token-file={TLS_DIRECTORY}/token"),
        "--upstream=in-cluster".to_owned(),
        format!("--tls-cert={TLS_DIRECTORY}/tls.crt"),
        format!("--tls-key={TLS_DIRECTORY}/tls.key"),
        format!("--component={}", component.name()),
    ];
    if spec.recorder > 0 {
        arguments.push(format!("{RECORDER}{}", spec.recorder));
    }
    arguments
}

/// What changes for the component itself.
fn client(component: Component, spec: &ProxySpec) -> Value {
    let directory = match spec.mode {
        Mode::Sidecar => SERVICE_ACCOUNT,
        Mode::Kubeconfig => CLIENT_DIRECTORY,
    };
    let mut container = Map::new();
    container.insert("name".to_owned(), json!(component.name()));
    if spec.mode == Mode::Sidecar {
        // A container's own environment comes before what the kubelet says of Services.
        let env = json!([
            {"name": "KUBERNETES_SERVICE_HOST", "value": "127.0.0.1"},
            {"name": "KUBERNETES_SERVICE_PORT", "value": spec.port.to_string()},
        ]);
        container.insert("env".to_owned(), env);
    }
    // A mount at the service account's place keeps the API server from mounting its own there.
    let mounts = json!([{"name": CLIENT_VOLUME, "mountPath": directory, "readOnly": true}]);
    container.insert("volumeMounts".to_owned(), mounts);
    Value::Object(container)
}

fn client_volume(mode: Mode) -> Value {
    let ca = json!({"configMap": {
        "name": CONFIG_MAP, "items": [{"key": CA_KEY, "path": "ca.crt"}],
    }});
    let field = |path: &str, field: &str| {
        json!({"downwardAPI": {"items": [
            {"path": path, "fieldRef": {"apiVersion": "v1", "fieldPath": field}},
        ]}})
    };
    let sources = match mode {
        Mode::Sidecar => json!([
            {"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN_SECONDS}},
            ca,
            field("namespace", "metadata.namespace"),
        ]),
        Mode::Kubeconfig => {
            let annotation = format!("metadata.annotations['{KUBECONFIG_ANNOTATION}']");
            json!([ca, field("kubeconfig", &annotation)])
        }
    };
    json!({"name": CLIENT_VOLUME, "projected": {"sources": sources}})
}

/// A kubeconfig without a secret: it names the kubelet's own token file.
fn kubeconfig(port: u16) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": SIDECAR, "cluster": {
            "server": format!("https://127.0.0.1:{port}"),
            "certificate-authority": format!("{CLIENT_DIRECTORY}/ca.crt"),
        }}],
        "users": [{"name": SIDECAR, "user": {"tokenFile": format!("{SERVICE_ACCOUNT}/token")}}],
        "contexts": [{"name": SIDECAR, "context": {"cluster": SIDECAR, "user": SIDECAR}}],
        "current-context": SIDECAR,
    })
    .to_string()
}
