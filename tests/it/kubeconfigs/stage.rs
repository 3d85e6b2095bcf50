//! A real API server with everything that may stand before it, and one kubeconfig at a time.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use cluster::kubeconfig::{Credential, kubeconfig};
use identity::mint::{Authority, Leaf};
use lab::real::RealCluster;
use serde_json::{Value, json};

use crate::support::{
    fronts, real,
    tunnels::{Tunnels, server_config},
};

/// The name by which the API server is known to proxies; nobody else knows it.
pub(super) const NAME: &str = "kubernetes.default.svc";
/// The one name of the front whose certificate has no other.
pub(super) const OTHER_NAME: &str = "other.test";
/// The path of the API server behind the front that has one.
pub(super) const PREFIX: &str = "/k8s/clusters/c-1";

pub(super) struct Stage {
    pub(super) cluster: RealCluster,
    pub(super) kubectl: String,
    /// For cases that need none of their own.
    tunnels: Arc<Tunnels>,
    /// Ports: below a path, with a certificate that signs itself, with another name.
    pub(super) below: u16,
    pub(super) itself: u16,
    pub(super) other: u16,
    /// The certificate that signs itself, PEM.
    pub(super) leaf_pem: String,
    /// A token with an end, as an OpenID provider gives one.
    pub(super) id_token: String,
    /// A user's certificate.
    pub(super) user: Leaf,
    pub(super) dir: tempfile::TempDir,
}

impl Stage {
    pub(super) async fn set() -> Option<Self> {
        identity::install_provider();
        let cluster = RealCluster::start(real::assets()?, &[]).await.unwrap();
        let (url, ca) = (cluster.url(), cluster.ca_pem());
        let authority = cluster.authority();
        let names = ["127.0.0.1", NAME];
        let (itself, leaf_pem) = itself(&names);
        let stage = Self {
            kubectl: cluster.assets().kubectl().to_str().unwrap().to_owned(),
            tunnels: tunnels(authority).await,
            below: fronts::start(server_config(authority, &names), &url, &ca, PREFIX).await,
            itself: fronts::start(itself, &url, &ca, "").await,
            other: fronts::start(server_config(authority, &[OTHER_NAME]), &url, &ca, "").await,
            leaf_pem,
            id_token: String::new(),
            user: authority.client("certified", "system:masters").unwrap(),
            dir: tempfile::tempdir().unwrap(),
            cluster,
        };
        Some(stage.with_objects())
    }

    /// Proxies that nobody else uses.
    pub(super) async fn tunnels(&self) -> Arc<Tunnels> {
        tunnels(self.cluster.authority()).await
    }

    fn with_objects(mut self) -> Self {
        let mut case = Case::new(&self, "admin");
        case.write();
        let admin = |arguments: &[&str]| {
            let output = case
                .command(&self.kubectl)
                .args(arguments)
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        admin(&["create", "namespace", "dev"]);
        admin(&["create", "serviceaccount", "oidc"]);
        self.id_token = admin(&["create", "token", "oidc"]).trim().to_owned();
        self
    }
}

async fn tunnels(authority: &Authority) -> Arc<Tunnels> {
    Arc::new(Tunnels::start(authority, &["127.0.0.1", OTHER_NAME]).await)
}

/// A server's TLS with a certificate that signs itself and is no authority, and that certificate.
fn itself(names: &[&str]) -> (rustls::ServerConfig, String) {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    params.is_ca = rcgen::IsCa::ExplicitNoCa;
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = params.self_signed(&key).unwrap();
    let der = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let tls = rustls::ServerConfig::builder_with_provider(identity::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], der.into())
        .unwrap();
    (tls, leaf.pem())
}

/// A kubeconfig in a folder of its own, with the environment that it is read in.
pub(super) struct Case {
    pub(super) config: Value,
    /// Whether context and cluster are in one file, and the user is in another that is listed behind
    /// it, with a context of the same name.
    pub(super) is_split: bool,
    pub(super) folder: PathBuf,
    pub(super) environment: Vec<(String, String)>,
    /// Whether the API server is named by [`NAME`], since a proxy stands before it.
    pub(super) is_named: bool,
    /// The proxies that may stand before the API server.
    pub(super) tunnels: Arc<Tunnels>,
}

impl Case {
    /// The admin's, by a token.
    pub(super) fn new(stage: &Stage, name: &str) -> Self {
        let token = Credential::Token(stage.cluster.admin_token().to_owned());
        let ca = stage.cluster.ca_pem();
        let folder = stage
            .dir
            .path()
            .join(name.replace(|it: char| !it.is_ascii_alphanumeric(), "-"));
        fs::create_dir_all(&folder).unwrap();
        Self {
            config: kubeconfig(&stage.cluster.url(), ca.as_bytes(), &token),
            is_split: false,
            folder,
            environment: Vec::new(),
            is_named: false,
            tunnels: Arc::clone(&stage.tunnels),
        }
    }

    pub(super) fn cluster(&mut self) -> &mut Value {
        &mut self.config["clusters"][0]["cluster"]
    }

    pub(super) fn user(&mut self) -> &mut Value {
        &mut self.config["users"][0]["user"]
    }

    pub(super) fn context(&mut self) -> &mut Value {
        &mut self.config["contexts"][0]["context"]
    }

    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.environment.push((name.to_owned(), value.into()));
    }

    /// Writes a file beside the kubeconfig.
    pub(super) fn file(&self, name: &str, content: &str) {
        let path = self.folder.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A plugin beside the kubeconfig that gives `status` if `$info`, what it is told, passes
    /// `check`.
    pub(super) fn plugin(&self, version: &str, status: &Value, check: &str) {
        let credential = json!({"kind": "ExecCredential", "apiVersion": version, "status": status});
        self.file("credential.json", &credential.to_string());
        let folder = self.folder.display();
        let script = format!(
            "#!/bin/sh\ninfo=\"$KUBERNETES_EXEC_INFO\"\n{check} || exit 9\nexec cat {folder}/credential.json\n"
        );
        self.file("plugin", &script);
    }

    /// Writes the kubeconfig as it is now.
    pub(super) fn write(&mut self) {
        if self.is_named {
            let server = self.cluster()["server"].as_str().unwrap_or_default();
            let named = server.replace("127.0.0.1", NAME);
            self.cluster()["server"] = json!(named);
        }
        let mut list = self.folder.join("config").into_os_string();
        if self.is_split {
            list = self.split();
        }
        fs::write(self.folder.join("config"), self.config.to_string()).unwrap();
        self.set("KUBECONFIG", list.to_str().unwrap());
    }

    /// Writes the first file, and leaves the other one what the first has not.
    fn split(&mut self) -> OsString {
        let mut first = self.config.clone();
        first["users"] = json!([]);
        first.as_object_mut().unwrap().remove("current-context");
        fs::write(self.folder.join("first"), first.to_string()).unwrap();
        self.config["clusters"] = json!([]);
        self.context()["namespace"] = json!("kube-public");
        let files = ["missing", "first", "config"].map(|name| self.folder.join(name));
        std::env::join_paths(files).unwrap()
    }

    /// A program with the case's environment and nothing else of this process's.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", &self.folder)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }

    /// `kubetoll exec` before a command, with what is said in `said`.
    pub(super) fn exec(&self, options: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_kubetoll"));
        command.arg("exec").args(options).arg("--no-store");
        command
    }
}

/// PEM as kubeconfigs have it.
pub(super) fn encoded(pem: &str) -> Value {
    json!(STANDARD.encode(pem))
}

/// What a file has.
pub(super) fn content(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}
