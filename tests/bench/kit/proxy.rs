//! `kubetoll-proxy` as a process, with its memory and descriptors in sight.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::symlink,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::built::kubetoll_proxy;
use cluster::kubeconfig::write_private;
use driver::proxies::ProxyClient;
use identity::mint::Authority;
use tempfile::TempDir;

/// A running proxy in front of an upstream; killed when dropped.
pub struct ProxyProcess {
    child: Child,
    certificates: TempDir,
    generation: usize,
    pub url: String,
    /// From its start until it said that it is ready.
    pub ready_after: Duration,
    pub admin: ProxyClient,
    pub authority: Authority,
}

impl Drop for ProxyProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl ProxyProcess {
    /// On ports of its own, in front of `upstream`, whose CA is `ca_pem`.
    pub fn start(upstream: &str, ca_pem: &str) -> Self {
        Self::start_with(upstream, ca_pem, &[])
    }

    /// The same, with more arguments.
    pub fn start_with(upstream: &str, ca_pem: &str, more: &[&str]) -> Self {
        Self::start_program(kubetoll_proxy(), upstream, ca_pem, more)
    }

    /// The same of another build.
    pub fn start_program(program: &Path, upstream: &str, ca_pem: &str, more: &[&str]) -> Self {
        let authority = Authority::new("proxy").unwrap();
        let certificates = tempfile::tempdir().unwrap();
        let dir = certificates.path();
        publish(dir, &authority, 0);
        for name in ["tls.crt", "tls.key"] {
            symlink(Path::new("..data").join(name), dir.join(name)).unwrap();
        }
        fs::write(dir.join("upstream.crt"), ca_pem).unwrap();
        let started = Instant::now();
        let mut child = Command::new(program)
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--upstream", upstream, "--upstream-ca"])
            .arg(dir.join("upstream.crt"))
            .arg("--tls-cert")
            .arg(dir.join("tls.crt"))
            .arg("--tls-key")
            .arg(dir.join("tls.key"))
            .args(["--log-format", "json"])
            .args(more)
            .env_remove("RUST_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = log
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.contains("\"ready\""))
            .unwrap();
        let ready_after = started.elapsed();
        // A pipe that nobody reads would stop the proxy.
        thread::spawn(move || log.for_each(drop));
        let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
        let address = |field: &str| ready["fields"][field].as_str().unwrap().to_owned();
        Self {
            url: format!("https://{}", address("listen")),
            ready_after,
            admin: ProxyClient::new(&format!("http://{}", address("admin")), None).unwrap(),
            child,
            certificates,
            generation: 0,
            authority,
        }
    }

    /// Another serving certificate of the same CA, swapped in as kubelet does. The proxy finds it
    /// within 10 s.
    pub fn replace_certificate(&mut self) {
        self.generation += 1;
        publish(self.certificates.path(), &self.authority, self.generation);
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in KiB.
    pub fn memory_kib(&self) -> u64 {
        memory_kib(self.id())
    }

    /// Open file descriptors.
    pub fn descriptors(&self) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        open.unwrap().count()
    }
}

/// Resident memory of a process in KiB.
pub fn memory_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.unwrap().split_whitespace().nth(1).unwrap();
    number.parse().unwrap()
}

/// Writes a certificate and its key into a new folder and points `..data` to it.
fn publish(dir: &Path, authority: &Authority, generation: usize) {
    let leaf = authority
        .serving("proxy", &["127.0.0.1".to_owned()])
        .unwrap();
    let folder = format!("..{generation}");
    fs::create_dir(dir.join(&folder)).unwrap();
    for (name, text) in [("tls.crt", leaf.certificate_pem), ("tls.key", leaf.key_pem)] {
        write_private(&dir.join(&folder).join(name), text.as_bytes()).unwrap();
    }
    symlink(&folder, dir.join("..new")).unwrap();
    fs::rename(dir.join("..new"), dir.join("..data")).unwrap();
}
