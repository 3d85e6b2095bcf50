//! A PostgreSQL server for the tests, from Debian's package, with TLS and a password.

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use identity::mint::Authority;

use super::skip;

/// The user's password; it holds what a URL has to escape.
const PASSWORD: &str = "ge@heim/1";
const PASSWORD_IN_URL: &str = "ge%40heim%2F1";
/// How long a start may take.
const START: Duration = Duration::from_secs(60);

/// A running server; stopped when the last test that uses it lets go.
pub struct Server {
    programs: PathBuf,
    dir: tempfile::TempDir,
    port: u16,
    user: Option<(u32, u32)>,
    process: Mutex<Child>,
}

/// An empty database of the server.
pub struct Database {
    pub server: Arc<Server>,
    name: String,
}

impl Database {
    /// A new one; `None` where PostgreSQL is missing and may be.
    pub fn new() -> Option<Self> {
        Some(Self::on(Server::shared()?))
    }

    /// A new one on a server of its own; `None` where PostgreSQL is missing and may be.
    pub fn alone() -> Option<Self> {
        Some(Self::on(Arc::new(Server::start(programs()?))))
    }

    fn on(server: Arc<Server>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        server.psql("postgres", &format!("CREATE DATABASE {name}"));
        Self { server, name }
    }

    /// Its URL; TLS with the server's own authority.
    pub fn url(&self) -> String {
        let authority = self.server.dir.path().join("ca.crt");
        format!(
            "{}?sslmode=verify-full&sslrootcert={}",
            self.bare_url(),
            authority.display()
        )
    }

    /// Its URL without parameters.
    pub fn bare_url(&self) -> String {
        format!(
            "postgres://kubetoll:{PASSWORD_IN_URL}@localhost:{}/{}",
            self.server.port, self.name
        )
    }

    /// Runs SQL as a user would; gives what psql says, errors too.
    pub fn psql(&self, sql: &str) -> String {
        self.server.psql(&self.name, sql)
    }
}

impl Server {
    fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Some(server);
        }
        let server = Arc::new(Self::start(programs()?));
        *shared = Arc::downgrade(&server);
        Some(server)
    }

    fn start(programs: PathBuf) -> Self {
        identity::install_provider();
        let dir = tempfile::tempdir().unwrap();
        let user = unprivileged();
        write_secrets(dir.path());
        own(dir.path(), user);
        let made = as_user(&programs.join("initdb"), user)
            .args([
                "--auth=scram-sha-256",
                "--username=kubetoll",
                "--encoding=UTF8",
                "--no-sync",
            ])
            .arg(format!(
                "--pwfile={}",
                dir.path().join("password").display()
            ))
            .arg(dir.path().join("data"))
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let process = Mutex::new(run(&programs, dir.path(), port, user));
        let server = Self {
            programs,
            dir,
            port,
            user,
            process,
        };
        server.wait();
        server
    }

    /// Ends it as a power cut does, and starts it again.
    pub fn crash_and_recover(&self) {
        let mut process = self.process.lock().unwrap();
        let data = self.dir.path().join("data");
        let stopped = as_user(&self.programs.join("pg_ctl"), self.user)
            .args(["stop", "--mode=immediate", "--silent", "--pgdata"])
            .arg(data)
            .status()
            .unwrap();
        assert!(stopped.success());
        process.wait().unwrap();
        *process = run(&self.programs, self.dir.path(), self.port, self.user);
        drop(process);
        self.wait();
    }

    fn wait(&self) {
        let began = Instant::now();
        while self.psql("postgres", "SELECT 'up'").trim() != "up" {
            assert!(
                began.elapsed() < START,
                "{}",
                self.psql("postgres", "SELECT 'up'")
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn psql(&self, database: &str, sql: &str) -> String {
        let output = Command::new(self.programs.join("psql"))
            .args([
                "--no-psqlrc",
                "--tuples-only",
                "--no-align",
                "--host=localhost",
            ])
            .args(["--username=kubetoll", "--command", sql, "--port"])
            .args([&self.port.to_string(), database])
            .env("PGPASSWORD", PASSWORD)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = as_user(&self.programs.join("pg_ctl"), self.user)
            .args(["stop", "--mode=immediate", "--silent", "--pgdata"])
            .arg(self.dir.path().join("data"))
            .status();
        let _ = process.kill();
        let _ = process.wait();
    }
}

fn run(programs: &Path, dir: &Path, port: u16, user: Option<(u32, u32)>) -> Child {
    let file = |name: &str| dir.join(name).display().to_string();
    let mut server = as_user(&programs.join("postgres"), user);
    server.arg("-D").arg(dir.join("data"));
    for setting in [
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        "unix_socket_directories=".to_owned(),
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", file("tls.crt")),
        format!("ssl_key_file={}", file("tls.key")),
    ] {
        server.arg("-c").arg(setting);
    }
    server.stdout(Stdio::null()).stderr(Stdio::null());
    server.spawn().unwrap()
}

/// The password, and a certificate for `localhost`.
fn write_secrets(dir: &Path) {
    let authority = Authority::new("test database").unwrap();
    let leaf = authority
        .serving("localhost", &["localhost".to_owned()])
        .unwrap();
    for (name, text) in [
        ("password", PASSWORD),
        ("ca.crt", &authority.certificate_pem()),
        ("tls.crt", &leaf.certificate_pem),
        ("tls.key", &leaf.key_pem),
    ] {
        fs::write(dir.join(name), text).unwrap();
        let mode = if name == "ca.crt" { 0o644 } else { 0o600 };
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// The server refuses to be root: then it runs as the package's user.
fn unprivileged() -> Option<(u32, u32)> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    if uid?.split_whitespace().next() != Some("0") {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let user = users.lines().find(|line| line.starts_with("postgres:"));
    let fields: Vec<&str> = user.expect("a user postgres").split(':').collect();
    Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
}

fn own(dir: &Path, user: Option<(u32, u32)>) {
    let Some((uid, gid)) = user else { return };
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    for path in entries.chain([dir.to_owned()]) {
        std::os::unix::fs::chown(path, Some(uid), Some(gid)).unwrap();
    }
}

fn as_user(program: &Path, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").stdin(Stdio::null());
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}

/// The folder of the newest version's programs; `None` where there is none and may be none.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let newest = versions
        .map(|version| version.unwrap().path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .max_by_key(|bin| {
            let version = bin.parent()?.file_name()?.to_str()?;
            version.parse::<u32>().ok()
        });
    if newest.is_none() {
        skip::because("PostgreSQL is not installed");
    }
    newest
}
