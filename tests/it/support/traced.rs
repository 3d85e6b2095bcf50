//! The proxy's binary with everything it writes, for what only a process shows: descriptors,
//! memory, logs.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command},
    time::Duration,
};

use crate::kit::built::kubetoll_proxy;
use driver::proxies::ProxyClient;
use identity::mint::Authority;
use tokio::time::sleep;

use super::wait;

/// A running `kubetoll-proxy`; killed when dropped.
pub struct TracedProxy {
    child: Child,
    directory: tempfile::TempDir,
    pub url: String,
    pub admin_url: String,
    pub authority: Authority,
}

impl Drop for TracedProxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl TracedProxy {
    /// In front of `upstream`, logging everything that `RUST_LOG` can ask for.
    pub async fn start(upstream: &str, ca_pem: &str) -> Self {
        Self::start_with(upstream, ca_pem, &[], None, None).await
    }

    /// With a limit of open files, if given.
    pub async fn start_limited(upstream: &str, ca_pem: &str, descriptors: Option<u32>) -> Self {
        Self::start_with(upstream, ca_pem, &[], descriptors, None).await
    }

    /// With more arguments.
    pub async fn start_with_arguments(upstream: &str, ca_pem: &str, arguments: &[&str]) -> Self {
        Self::start_with(upstream, ca_pem, arguments, None, None).await
    }

    /// Whose admin port asks for `token`.
    pub async fn start_with_token(upstream: &str, ca_pem: &str, token: &str) -> Self {
        Self::start_with(upstream, ca_pem, &[], None, Some(token)).await
    }

    async fn start_with(
        upstream: &str,
        ca_pem: &str,
        arguments: &[&str],
        descriptors: Option<u32>,
        token: Option<&str>,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new("test proxy").unwrap();
        let leaf = authority
            .serving("proxy", &["127.0.0.1".to_owned()])
            .unwrap();
        let file = |name: &str, text: &str| -> PathBuf {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let limit = descriptors.map_or(String::new(), |most| format!("ulimit -n {most}; "));
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{limit}exec \"$0\" \"$@\"")])
            .arg(kubetoll_proxy())
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--upstream", upstream, "--log-format", "json"])
            .args(arguments)
            .arg("--upstream-ca")
            .arg(file("ca.crt", ca_pem))
            .arg("--tls-cert")
            .arg(file("tls.crt", &leaf.certificate_pem))
            .arg("--tls-key")
            .arg(file("tls.key", &leaf.key_pem))
            .args(token.map(|_| "--admin-token-file"))
            .args(token.map(|token| file("token", token)))
            .env("RUST_LOG", "trace")
            .stdout(File::create(directory.path().join("stdout")).unwrap())
            .stderr(File::create(directory.path().join("stderr")).unwrap());
        let child = command.spawn().unwrap();
        let mut process = Self {
            child,
            directory,
            url: String::new(),
            admin_url: String::new(),
            authority,
        };
        let ready = process.ready().await;
        let address = |field: &str| ready["fields"][field].as_str().unwrap().to_owned();
        process.url = format!("https://{}", address("listen"));
        process.admin_url = format!("http://{}", address("admin"));
        process
    }

    async fn ready(&mut self) -> serde_json::Value {
        let mut ready = None;
        wait::until("the line that the proxy is ready", async || {
            let log = self.log();
            assert!(self.child.try_wait().unwrap().is_none(), "{log}");
            let line = log.lines().find(|line| line.contains("\"ready\""));
            ready = line.map(|line| serde_json::from_str(line).unwrap());
            ready.is_some()
        })
        .await;
        ready.unwrap()
    }

    /// Waits until it has done all that it can: until it uses no CPU time for a while.
    pub async fn idle(&self) {
        let mut ticks = None;
        wait::until("an idle proxy", async || {
            // Many times as long as a scheduler lets a process wait.
            sleep(Duration::from_millis(300)).await;
            ticks.replace(self.cpu_ticks()) == Some(self.cpu_ticks())
        })
        .await;
    }

    /// Everything it wrote so far.
    pub fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.directory.path().join(name)).unwrap();
        read("stdout") + &read("stderr")
    }

    pub fn admin(&self) -> ProxyClient {
        self.admin_with(None)
    }

    /// The admin port, with the token that it asks for.
    pub fn admin_with(&self, token: Option<&str>) -> ProxyClient {
        ProxyClient::new(&self.admin_url, token).unwrap()
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.unwrap().split_whitespace().nth(1).unwrap();
        number.parse().unwrap()
    }

    /// By how many KiB its resident memory has grown since `before`; tells it, too.
    pub fn grown_kib(&self, before: u64) -> u64 {
        let grown = self.resident_kib().saturating_sub(before);
        eprintln!("memory of the proxy: {before} KiB, and {grown} KiB more");
        grown
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id()))
            .unwrap()
            .count()
    }

    /// CPU time used, in hundredths of a second.
    pub fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        fields[11..13]
            .iter()
            .map(|ticks| ticks.parse::<u64>().unwrap())
            .sum()
    }

    /// A page of the admin port, head and body.
    pub async fn admin_page(&self, request: &str) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let address = self.admin_url.trim_start_matches("http://");
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut page = Vec::new();
        stream.read_to_end(&mut page).await.unwrap();
        String::from_utf8_lossy(&page).into_owned()
    }
}
