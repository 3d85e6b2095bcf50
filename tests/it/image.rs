//! The image of static binaries: its archive, and its programs in a folder with nothing else.

use std::{
    collections::BTreeSet,
    fs,
    net::UdpSocket,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Arc, Mutex},
    thread,
};

use http::Method;
use identity::mint::Authority;
use lab::embedded::EmbeddedLab;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::{
    deploying,
    kit::client::Target,
    support::{
        image,
        lines::assert_line,
        process::{ProxyProcess, write_serving},
        skip,
    },
};

/// What a container's user is: `USER` of the image.
const USER: &str = "65532:65532";
const SERVING: &str = "/etc/kubetoll-proxy";
const ADMIN: &str = "/etc/kubetoll-admin";
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// A loopback address whose port 53 nobody else uses.
const NAME_SERVER: &str = "127.0.0.153";

fn unpack(archive: &Path, into: &Path) {
    let tar = Command::new("tar")
        .arg("--extract")
        .arg("--file")
        .arg(archive)
        .arg("--directory")
        .arg(into)
        .status();
    assert!(tar.unwrap().success());
}

/// An unpacked archive.
struct Archive(TempDir);

impl Archive {
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        unpack(image::archive(), dir.path());
        Self(dir)
    }

    fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&fs::read(self.0.path().join(path)).unwrap()).unwrap()
    }

    /// Where a descriptor's blob is, whose digest and size must be what it says.
    fn blob(&self, descriptor: &Value) -> String {
        let digest = descriptor["digest"].as_str().unwrap();
        let hex = digest.strip_prefix("sha256:").unwrap();
        let path = format!("blobs/sha256/{hex}");
        let bytes = fs::read(self.0.path().join(&path)).unwrap();
        assert_eq!(digest_of(&bytes), digest);
        assert_eq!(descriptor["size"], bytes.len());
        path
    }

    fn manifest(&self) -> Value {
        self.json(&self.blob(&self.json("index.json")["manifests"][0]))
    }
}

fn digest_of(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let hex = digest.iter().map(|byte| format!("{byte:02x}"));
    format!("sha256:{}", hex.collect::<String>())
}

#[test]
fn the_archive_is_an_oci_image_of_two_programs() {
    let archive = Archive::open();
    assert_eq!(archive.json("oci-layout")["imageLayoutVersion"], "1.0.0");
    let index = archive.json("index.json");
    let annotations = &index["manifests"][0]["annotations"];
    for name in [
        "io.containerd.image.name",
        "org.opencontainers.image.ref.name",
    ] {
        assert_eq!(annotations[name], "docker.io/library/kubetoll:local");
    }
    let manifest = archive.manifest();
    let config = archive.json(&archive.blob(&manifest["config"]));
    let mut blobs = BTreeSet::from([archive.blob(&manifest["config"])]);
    blobs.insert(archive.blob(&index["manifests"][0]));
    let layers = manifest["layers"].as_array().unwrap();
    let contents = config["rootfs"]["diff_ids"].as_array().unwrap();
    assert_eq!(layers.len(), contents.len());
    for (layer, content) in layers.iter().zip(contents) {
        let path = archive.blob(layer);
        let file = fs::File::open(archive.0.path().join(&path)).unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(file), &mut bytes).unwrap();
        assert_eq!(content, &digest_of(&bytes));
        blobs.insert(path);
    }
    let there = fs::read_dir(archive.0.path().join("blobs/sha256")).unwrap();
    let there = there.map(|file| file.unwrap().file_name().into_string().unwrap());
    let there: BTreeSet<String> = there.map(|name| format!("blobs/sha256/{name}")).collect();
    assert_eq!(blobs, there);
    is_what_the_dockerfile_says(&config["config"]);
}

fn is_what_the_dockerfile_says(config: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/image/Dockerfile");
    let text = fs::read_to_string(path).unwrap();
    let (_, last_stage) = text.split_once("FROM scratch\n").unwrap();
    assert_eq!(config["User"], USER);
    assert!(last_stage.contains(&format!("\nUSER {USER}\n")));
    let entry = format!("\nENTRYPOINT {}\n", config["Entrypoint"]);
    assert!(last_stage.contains(&entry), "{entry}");
}

/// The image's files as a container has them, with what every container runtime adds.
struct Container(TempDir);

impl Container {
    /// `None` for who may not change the root folder.
    fn make() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skip::because("the image runs for root only");
            return None;
        }
        let archive = Archive::open();
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        for layer in archive.manifest()["layers"].as_array().unwrap() {
            unpack(&archive.0.path().join(archive.blob(layer)), dir.path());
        }
        let files = fs::read_dir(dir.path()).unwrap();
        let files = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut files: Vec<String> = files.collect();
        files.sort();
        assert_eq!(files, ["LICENSE", "kubetoll", "kubetoll-proxy"]);
        let container = Self(dir);
        container.add_what_runtimes_add();
        Some(container)
    }

    /// The devices are in the OCI's runtime specification. The crate `getrandom` looks its system
    /// call up in the C library at run time, which a static program can't, and then reads them.
    fn add_what_runtimes_add(&self) {
        for folder in ["dev", "etc", "tmp"] {
            fs::create_dir(self.path(folder)).unwrap();
        }
        let world = fs::Permissions::from_mode(0o1777);
        fs::set_permissions(self.path("tmp"), world).unwrap();
        fs::set_permissions(self.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        for (name, minor) in [("random", "8"), ("urandom", "9")] {
            let mknod = Command::new("mknod")
                .arg("--mode=666")
                .arg(self.path("dev").join(name))
                .args(["c", "1", minor])
                .status();
            assert!(mknod.unwrap().success());
        }
        let hosts = "127.0.0.1 localhost\n127.0.0.1 api.in-hosts.example\n";
        fs::write(self.path("etc/hosts"), hosts).unwrap();
        let servers = format!("nameserver {NAME_SERVER}\n");
        fs::write(self.path("etc/resolv.conf"), servers).unwrap();
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// A serving certificate, the API server's CA and a token, where the chart mounts them.
    fn mount(&self, authority: &Authority, ca_pem: &str) {
        for folder in [SERVING, ADMIN, SERVICE_ACCOUNT] {
            fs::create_dir_all(self.path(&folder[1..])).unwrap();
        }
        write_serving(&self.path(&SERVING[1..]), authority);
        let ca = self.path(&SERVICE_ACCOUNT[1..]).join("ca.crt");
        fs::write(ca, ca_pem).unwrap();
        fs::write(self.path(&ADMIN[1..]).join("token"), "a token").unwrap();
        for file in fs::read_dir(self.path(&SERVING[1..])).unwrap() {
            // A Secret is mounted for all to read.
            let all = fs::Permissions::from_mode(0o644);
            fs::set_permissions(file.unwrap().path(), all).unwrap();
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("chroot");
        command
            .arg(format!("--userspec={USER}"))
            .arg(self.0.path())
            .arg(program)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    fn proxy(&self, upstream: &str) -> ProxyProcess {
        let mut command = self.command("/kubetoll-proxy");
        command.arg(format!("--tls-cert={SERVING}/tls.crt"));
        command.arg(format!("--tls-key={SERVING}/tls.key"));
        command.arg(format!("--upstream-ca={SERVICE_ACCOUNT}/ca.crt"));
        command.args(["--upstream-server-name=127.0.0.1", "--upstream", upstream]);
        ProxyProcess::spawn(command)
    }
}

/// A name server that knows one name.
struct NameServer(Arc<Mutex<BTreeSet<String>>>);

const NAME_HEADER: usize = 12;
const TYPE_A: [u8; 2] = [0, 1];

impl NameServer {
    fn start(known: &'static str) -> Self {
        let socket = UdpSocket::bind((NAME_SERVER, 53)).unwrap();
        let asked = Arc::new(Mutex::new(BTreeSet::new()));
        let names = Arc::clone(&asked);
        thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut buffer) {
                let (name, answer) = answer(&buffer[..length], known);
                names.lock().unwrap().insert(name);
                socket.send_to(&answer, client).unwrap();
            }
        });
        Self(asked)
    }

    fn asked(&self) -> BTreeSet<String> {
        self.0.lock().unwrap().clone()
    }
}

/// The name that a query asks for, and the answer: 127.0.0.1 for the one that is known.
fn answer(query: &[u8], known: &str) -> (String, Vec<u8>) {
    let mut labels = Vec::new();
    let mut at = NAME_HEADER;
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).into_owned());
        at = end;
    }
    let name = labels.join(".");
    let question = &query[NAME_HEADER..at + 5];
    let is_known = name == known;
    let has_address = is_known && query[at + 1..at + 3] == TYPE_A;
    let mut answer = query[..2].to_vec();
    // A response, recursion as wanted and available; 3 is NXDOMAIN.
    answer.extend([0x81, if is_known { 0x80 } else { 0x83 }]);
    answer.extend([0, 1, 0, u8::from(has_address), 0, 0, 0, 0]);
    answer.extend(question);
    if has_address {
        // The name by a pointer, class IN, 5 s, 4 bytes.
        answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 127, 0, 0, 1]);
    }
    (name, answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_programs_run_in_an_empty_folder_and_resolve_names() {
    identity::install_provider();
    let Some(container) = Container::make() else {
        return;
    };
    let names = NameServer::start("api.in-dns.example");
    let lab = EmbeddedLab::start().await.unwrap();
    let authority = Authority::new("image").unwrap();
    container.mount(&authority, &lab.authority.certificate_pem());
    let port = lab.url.rsplit_once(':').unwrap().1.to_owned();
    let token = lab.token_for("someone", &["system:masters"]);
    for (host, code) in [
        ("api.in-hosts.example", 200),
        ("api.in-dns.example", 200),
        ("api.nowhere.example", 503),
    ] {
        let proxy = container.proxy(&format!("https://{host}:{port}"));
        let answered = get_version(&proxy.url, &authority, &token).await;
        assert_eq!(answered, code, "{host}");
    }
    let asked = names.asked();
    assert!(!asked.contains("api.in-hosts.example"), "{asked:?}");
    assert!(asked.contains("api.in-dns.example"), "{asked:?}");
    a_run_is_kept_in_a_history(&container);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_charts_proxy_starts_in_the_image_and_drains_within_its_grace_period() {
    identity::install_provider();
    let (Some(container), Some((arguments, grace))) =
        (Container::make(), deploying::proxy_container())
    else {
        return;
    };
    let lab = EmbeddedLab::start().await.unwrap();
    let authority = Authority::new("image").unwrap();
    container.mount(&authority, &lab.authority.certificate_pem());
    let port = lab.url.rsplit_once(':').unwrap().1;
    let mut command = container.command("/kubetoll-proxy");
    command.env("KUBERNETES_SERVICE_HOST", "127.0.0.1");
    command.env("KUBERNETES_SERVICE_PORT", port);
    // Where others may listen already.
    let fixed = ["--listen=0.0.0.0:16443", "--admin=0.0.0.0:16444"];
    assert!(
        fixed
            .iter()
            .all(|flag| arguments.iter().any(|argument| argument == flag))
    );
    command.args(
        arguments
            .iter()
            .filter(|flag| !fixed.contains(&flag.as_str())),
    );
    let mut proxy = ProxyProcess::spawn(command);
    let token = lab.token_for("someone", &["system:masters"]);
    assert_eq!(get_version(&proxy.url, &authority, &token).await, 200);
    proxy.terminate();
    assert!(proxy.wait(grace).success());
}

async fn get_version(url: &str, authority: &Authority, token: &str) -> u16 {
    let target = Target::new(url, authority);
    let mut connection = target.http1().await.unwrap();
    let mut request = target.request_http1(Method::GET, "/version", b"");
    let bearer = format!("Bearer {token}").parse().unwrap();
    request.headers_mut().insert("authorization", bearer);
    connection
        .send_request(request)
        .await
        .unwrap()
        .status()
        .as_u16()
}

/// The other program, with SQLite in it.
fn a_run_is_kept_in_a_history(container: &Container) {
    let run = |arguments: &[&str]| -> Output {
        let mut command = container.command("/kubetoll");
        command.args(arguments).args(["--store", "/tmp/history.db"]);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        output
    };
    run(&["run", "vmi", "--count", "2", "--job", "image"]);
    let listed = run(&["runs", "list", "--job", "image"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert_line(
        &listed,
        "run-…Z  vmi                 v1.34.4     simulated        2       …  yes",
    );
}
