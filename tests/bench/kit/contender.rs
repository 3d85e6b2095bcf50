//! Proxies that are measured beside each other: each forwards to the same upstream, with TLS on
//! both sides and one thread, ours by default, and writes no log of requests.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use cluster::kubeconfig::write_private;
use identity::mint::{Authority, Leaf};
use tempfile::TempDir;
use tokio::{net::TcpStream, time::sleep};

use super::{
    built::kubetoll_proxy,
    client::Target,
    cpu::{Reading, SystemCalls},
    proxy::ProxyProcess,
    upstream::{Upstream, free_port},
};

/// Names another build of Kubetoll's proxy, to see what a change did.
const BEFORE: &str = "KUBETOLL_PROXY_BEFORE";
/// The argument by which a program becomes a forwarder that does nothing else.
pub const BARE: &str = "--bare";
/// Beginnings of the names of those that are measured besides the first, separated by commas; all
/// without it.
const ONLY: &str = "KUBETOLL_BENCH_ONLY";

/// A protocol, on both sides of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    pub fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// A running proxy.
pub struct Contender {
    pub name: &'static str,
    /// From its start until it took connections.
    pub ready_after: Duration,
    process: Process,
    targets: [Target; 2],
}

enum Process {
    Ours(Box<ProxyProcess>),
    Other(Other),
}

struct Other {
    child: Child,
    _files: TempDir,
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Contender {
    /// All of them, Kubetoll's first, as it is started by default and with two threads. The others'
    /// programs are in the folder `programs`.
    pub async fn start_all(programs: &Path, upstream: &Upstream) -> Vec<Self> {
        let ours = kubetoll_proxy();
        let mut all = vec![Self::ours("kubetoll-proxy", ours, upstream, &[])];
        if is_wanted("kubetoll-proxy, 2 threads") {
            let arguments = ["--threads", "2"];
            all.push(Self::ours(
                "kubetoll-proxy, 2 threads",
                ours,
                upstream,
                &arguments,
            ));
        }
        if let Some(before) = env::var_os(BEFORE) {
            all.push(Self::ours(
                "kubetoll-proxy, before",
                before.as_ref(),
                upstream,
                &[],
            ));
        }
        for (name, configure) in [
            ("nginx", nginx as fn(&Site) -> Command),
            ("HAProxy", haproxy),
            ("HAProxy, none shared", haproxy_without_sharing),
            ("Envoy", envoy),
            ("bare, by hyper", bare_tasks),
            ("bare, in one task", bare_direct),
        ] {
            if is_wanted(name) {
                all.push(Self::other(name, configure, programs, upstream).await);
            }
        }
        all
    }

    fn ours(name: &'static str, program: &Path, upstream: &Upstream, arguments: &[&str]) -> Self {
        let ca = upstream.authority.certificate_pem();
        let proxy = ProxyProcess::start_program(program, &upstream.url, &ca, arguments);
        let target = Target::new(&proxy.url, &proxy.authority);
        Self {
            name,
            ready_after: proxy.ready_after,
            process: Process::Ours(Box::new(proxy)),
            targets: [target.clone(), target],
        }
    }

    async fn other(
        name: &'static str,
        configure: fn(&Site) -> Command,
        programs: &Path,
        upstream: &Upstream,
    ) -> Self {
        let files = tempfile::tempdir().unwrap();
        let authority = Authority::new("contender-ca").unwrap();
        let site = Site {
            programs: programs.to_owned(),
            dir: files.path().to_owned(),
            upstream: upstream.url.trim_start_matches("https://").to_owned(),
            ports: [free_port(), free_port()],
        };
        let names = ["127.0.0.1".to_owned()];
        site.publish(&authority.serving("contender", &names).unwrap(), upstream);
        let mut command = configure(&site);
        let started = Instant::now();
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        let process = Process::Other(Other {
            child,
            _files: files,
        });
        let targets = site
            .ports
            .map(|port| Target::new(&format!("https://127.0.0.1:{port}"), &authority));
        for target in &targets {
            until_listening(target).await;
        }
        Self {
            name,
            ready_after: started.elapsed(),
            process,
            targets,
        }
    }

    /// Where clients of this protocol connect to.
    pub fn target(&self, protocol: Protocol) -> &Target {
        &self.targets[usize::from(protocol == Protocol::Http2)]
    }

    /// Whether it is a proxy that somebody may use in place of Kubetoll's.
    pub fn is_rival(&self) -> bool {
        !matches!(self.process, Process::Ours(_)) && !self.name.starts_with("bare")
    }

    fn id(&self) -> u32 {
        match &self.process {
            Process::Ours(proxy) => proxy.id(),
            Process::Other(other) => other.child.id(),
        }
    }

    /// What it has used so far.
    pub fn used(&self) -> Reading {
        Reading::of(self.id())
    }

    /// Counts its system calls.
    pub fn system_calls(&self) -> Option<SystemCalls> {
        SystemCalls::of(self.id())
    }

    /// Resident memory in KiB.
    pub fn memory_kib(&self) -> u64 {
        super::proxy::memory_kib(self.id())
    }
}

fn is_wanted(name: &str) -> bool {
    env::var(ONLY).map_or(true, |only| {
        only.split(',').any(|one| name.starts_with(one))
    })
}

async fn until_listening(target: &Target) {
    for _ in 0..10_000 {
        if TcpStream::connect(&target.address).await.is_ok() {
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
    panic!("nobody listens on {}", target.address);
}

/// What another proxy is started with: the first port is for HTTP/1.1, the second one for HTTP/2.
struct Site {
    programs: PathBuf,
    dir: PathBuf,
    upstream: String,
    ports: [u16; 2],
}

impl Site {
    fn publish(&self, leaf: &Leaf, upstream: &Upstream) {
        let both = format!("{}{}", leaf.certificate_pem, leaf.key_pem);
        for (name, text) in [
            ("tls.crt", &leaf.certificate_pem),
            ("tls.key", &leaf.key_pem),
            ("both", &both),
            ("upstream.crt", &upstream.authority.certificate_pem()),
        ] {
            write_private(&self.dir.join(name), text.as_bytes()).unwrap();
        }
    }

    /// Writes the configuration, and gives the program that is to read it.
    fn command(&self, program: &str, configuration: &str) -> Command {
        let [http1, http2] = self.ports.map(|port| port.to_string());
        let (host, port) = self.upstream.split_once(':').unwrap();
        let text = configuration
            .replace("{dir}", &self.dir.display().to_string())
            .replace("{http1}", &http1)
            .replace("{http2}", &http2)
            .replace("{host}", host)
            .replace("{port}", port);
        fs::write(self.dir.join("configuration"), text).unwrap();
        Command::new(self.programs.join(program))
    }
}

/// It speaks HTTP/1.1 to the upstream in both cases: this version knows no other.
fn nginx(site: &Site) -> Command {
    let mut command = site.command("nginx", include_str!("../others/nginx.conf"));
    command
        .arg("-p")
        .arg(&site.dir)
        .args(["-e", "stderr", "-c"])
        .arg(site.dir.join("configuration"));
    command
}

fn haproxy(site: &Site) -> Command {
    haproxy_with(site, "always")
}

/// Each client has upstream connections of its own, as in Kubetoll's.
fn haproxy_without_sharing(site: &Site) -> Command {
    haproxy_with(site, "never")
}

fn haproxy_with(site: &Site, reuse: &str) -> Command {
    let configuration = include_str!("../others/haproxy.cfg").replace("{reuse}", reuse);
    let mut command = site.command("haproxy", &configuration);
    command
        .args(["-db", "-q", "-f"])
        .arg(site.dir.join("configuration"));
    command
}

fn envoy(site: &Site) -> Command {
    let mut command = site.command("envoy", include_str!("../others/envoy.yaml"));
    let file = site.dir.join("envoy.yaml");
    fs::rename(site.dir.join("configuration"), &file).unwrap();
    command
        .args(["--concurrency", "1", "--use-dynamic-base-id"])
        .args(["--log-level", "error", "--config-path"])
        .arg(file);
    command
}

/// This program itself, as one of the forwarders that do nothing else.
fn bare_tasks(site: &Site) -> Command {
    bare(site, "tasks")
}

fn bare_direct(site: &Site) -> Command {
    bare(site, "direct")
}

fn bare(site: &Site, how: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args([BARE, how, &site.upstream])
        .arg(&site.dir)
        .args(site.ports.map(|port| port.to_string()));
    command
}
