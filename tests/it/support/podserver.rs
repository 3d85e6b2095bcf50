//! The program that serves exec, attach and port-forward with the kubelet's own handlers.

use std::process::Stdio;

use cluster::kubeconfig::write_private;
use identity::mint::Authority;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStdout, Command},
};

use super::real;

/// A program that serves exec, attach and port-forward; it ends when it is dropped.
pub struct PodServer {
    server: Child,
    said: BufReader<ChildStdout>,
    pub url: String,
    pub authority: Authority,
    pub dir: TempDir,
}

impl PodServer {
    pub async fn start(arguments: &[&str]) -> Option<Self> {
        let program = real::program("podserver")?;
        identity::install_provider();
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new("pods").unwrap();
        let leaf = authority
            .serving("pods", &["127.0.0.1".to_owned()])
            .unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            write_private(&path, text.as_bytes()).unwrap();
            path
        };
        let mut server = Command::new(program)
            .args(arguments)
            .arg("-certificate")
            .arg(file("tls.crt", &leaf.certificate_pem))
            .arg("-key")
            .arg(file("tls.key", &leaf.key_pem))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(server.stdout.take().unwrap());
        let mut url = String::new();
        said.read_line(&mut url).await.unwrap();
        let url = url.trim().to_owned();
        Some(Self {
            server,
            said,
            url,
            authority,
            dir,
        })
    }

    /// Ends the server and gives its records of upgraded connections.
    pub async fn records(mut self) -> Value {
        drop(self.server.stdin.take());
        let mut records = String::new();
        self.said.read_to_string(&mut records).await.unwrap();
        serde_json::from_str(&records).unwrap()
    }
}
