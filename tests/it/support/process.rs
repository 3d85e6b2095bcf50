//! `kubetoll-proxy` as a process of its own.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::kit::built::kubetoll_proxy;
use cluster::kubeconfig::write_private;
use identity::mint::Authority;

/// A running `kubetoll-proxy`; killed when dropped.
pub struct ProxyProcess {
    child: Child,
    pub url: String,
    pub admin: String,
}

impl Drop for ProxyProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl ProxyProcess {
    /// With a serving certificate of `authority`, whose files go to `dir`, on ports of its own,
    /// which its log tells.
    pub fn start(dir: &Path, authority: &Authority, arguments: &[impl AsRef<OsStr>]) -> Self {
        write_serving(dir, authority);
        Self::launch(dir, arguments)
    }

    /// With the serving certificate that is in `dir`.
    pub fn launch(dir: &Path, arguments: &[impl AsRef<OsStr>]) -> Self {
        let mut command = Command::new(kubetoll_proxy());
        command
            .arg("--tls-cert")
            .arg(dir.join("tls.crt"))
            .arg("--tls-key")
            .arg(dir.join("tls.key"))
            .args(arguments);
        Self::spawn(command)
    }

    /// As the command says, but on ports of its own; where to listen, the command may say.
    pub fn spawn(mut command: Command) -> Self {
        if !command.get_args().any(|one| one == "--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let mut child = command
            .args(["--admin", "127.0.0.1:0"])
            .args(["--log-format", "json"])
            .env_remove("RUST_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = log
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.contains("\"ready\""))
            .expect("the proxy starts");
        // Somebody must read on, or the proxy stops at a full pipe.
        thread::spawn(move || {
            log.map_while(Result::ok)
                .for_each(|line| eprintln!("{line}"))
        });
        let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
        let address = |field: &str| ready["fields"][field].as_str().unwrap().to_owned();
        Self {
            child,
            url: format!("https://{}", address("listen")),
            admin: format!("http://{}", address("admin")),
        }
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its page of metrics.
    pub fn metrics(&self) -> String {
        let address = self.admin.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).unwrap();
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let kill = Command::new("kill").arg(self.id().to_string()).status();
        assert!(kill.unwrap().success());
    }

    /// Waits for its end.
    pub fn wait(&mut self, longest: Duration) -> ExitStatus {
        let deadline = Instant::now() + longest;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the proxy still runs");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Writes a new serving certificate for the loopback address.
pub fn write_serving(dir: &Path, authority: &Authority) {
    let leaf = authority
        .serving("kubetoll-proxy", &["127.0.0.1".to_owned()])
        .unwrap();
    write_private(&dir.join("tls.crt"), leaf.certificate_pem.as_bytes()).unwrap();
    write_private(&dir.join("tls.key"), leaf.key_pem.as_bytes()).unwrap();
}
