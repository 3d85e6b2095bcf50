//! A component with a counter of its own, behind proxies in front of a real kube-apiserver.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use cluster::kubeconfig::Credential;
use identity::mint::Authority;
use lab::real::RealCluster;

use super::{process::ProxyProcess, real};

/// A real kube-apiserver, and what proxies in front of it need.
pub struct Cluster {
    pub cluster: RealCluster,
    pub authority: Authority,
    pub dir: tempfile::TempDir,
}

impl Cluster {
    pub async fn start() -> Option<Self> {
        identity::install_provider();
        let cluster = RealCluster::start(real::assets()?, &[]).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.crt"), cluster.ca_pem()).unwrap();
        Some(Self {
            cluster,
            authority: Authority::new("proxy").unwrap(),
            dir,
        })
    }

    pub fn proxy(&self, arguments: &[&str]) -> ProxyProcess {
        let (url, ca) = (self.cluster.url(), self.dir.path().join("ca.crt"));
        let mut all = vec!["--upstream", &url, "--upstream-ca", ca.to_str().unwrap()];
        all.extend(arguments);
        ProxyProcess::start(self.dir.path(), &self.authority, &all)
    }

    pub fn kubeconfig(&self, name: &str, proxy: &ProxyProcess) -> String {
        let credential = Credential::Token(self.cluster.admin_token().to_owned());
        let ca = self.authority.certificate_pem();
        let written = self
            .cluster
            .write_kubeconfig_for(name, &proxy.url, &ca, &credential);
        written.unwrap().display().to_string()
    }
}

/// A component with a counter of its own; killed when dropped.
pub struct Component {
    child: Child,
    /// Where its counter is.
    pub metrics: String,
}

impl Drop for Component {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Component {
    pub fn start(kubeconfig: &str, user_agent: &str, more: &[&str]) -> Self {
        let mut child = Command::new(real::program("component").unwrap())
            .args(["-kubeconfig", kubeconfig, "-user-agent", user_agent])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let started: BTreeMap<String, String> = serde_json::from_str(&line).unwrap();
        Self {
            child,
            metrics: started["metrics"].clone(),
        }
    }

    /// The URL that asks it for something.
    pub fn url(&self, what: &str) -> String {
        self.metrics.replace("/metrics", what)
    }

    /// Makes calls, and waits until they are made.
    pub fn ask(&self, what: &str) {
        assert!(self.begin(what).wait().unwrap().success());
    }

    /// Begins to make calls; killed, it ends them.
    pub fn begin(&self, what: &str) -> Child {
        let program = real::program("component").unwrap();
        let mut asking = Command::new(program);
        asking.args(["-ask", &self.url(what)]).spawn().unwrap()
    }
}
