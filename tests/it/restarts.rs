//! The API server or the proxy goes away and comes back, certificates change: clients notice no
//! more than they would without a proxy.

use std::{
    io::{BufRead, BufReader, Lines},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use cluster::kubeconfig::{Credential, kubeconfig, write_private};
use driver::proxies::{ProxyClient, ProxyError};
use identity::mint::Authority;
use k8s_openapi::api::{coordination::v1::Lease, core::v1::ConfigMap};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use lab::embedded::EmbeddedLab;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use serde_json::Value;
use tokio::{net::TcpStream, task::JoinHandle, time::sleep};
use tokio_rustls::TlsConnector;

use crate::support::{
    process::{ProxyProcess, write_serving},
    proxy::TestProxy,
    real,
    relay::Relay,
    two_ways::TwoWays,
    wait,
};

/// How many informers: few in the suite, more when it is asked for.
fn informers() -> u64 {
    std::env::var("KUBETOLL_INFORMERS").map_or(60, |count| count.parse().unwrap())
}

/// A program of the real tier that says on its first line that it is ready, and on its last what
/// it saw.
struct Running {
    child: Child,
    /// Its end is that of a program that runs for no certain time.
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(command: &mut Command, ready: &str) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), ready);
        Self {
            child,
            input,
            lines,
        }
    }

    fn informers(program: &Path, kubeconfig: &Path, time: Duration, protocol: &str) -> Self {
        let mut command = Command::new(program);
        command
            .arg("-kubeconfig")
            .arg(kubeconfig)
            .args(["-count", &informers().to_string()])
            .args(["-for", &format!("{}s", time.as_secs())]);
        if protocol == "http/1.1" {
            command.env("DISABLE_HTTP2", "1");
        }
        Self::start(&mut command, "synced")
    }

    fn finish(mut self) -> Value {
        drop(self.input);
        let said = self.lines.next().unwrap().unwrap();
        assert!(self.child.wait().unwrap().success());
        serde_json::from_str(&said).unwrap()
    }
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap()
}

fn config_map(name: String) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    }
}

async fn create(client: &Client, name: String) {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let created = api.create(&PostParams::default(), &config_map(name)).await;
    created.unwrap();
}

/// Waits until each informer has a watch that is older than a second: one that brings nothing for a
/// second and then ends makes any reflector list.
async fn all_watch(proxy: &TestProxy) {
    wait::until("a watch of each informer", async || {
        let calls = proxy.admin.snapshot().await.unwrap().calls;
        let watches = calls.iter().filter(|call| call.call.verb == "watch");
        let open: u64 = watches.map(|call| call.opened - call.closed).sum();
        open == informers()
    })
    .await;
    sleep(Duration::from_millis(1_200)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn informers_go_on_where_they_were_when_connections_are_lost() {
    let Some(program) = real::program("informer") else {
        return;
    };
    identity::install_provider();
    let lab = EmbeddedLab::start().await.unwrap();
    let relay = Relay::start(&lab.url).await;
    let proxy = TestProxy::start(&relay.url, &lab.authority.certificate_pem()).await;
    let token = lab.token_for("informer", &["system:masters"]);
    let client = lab::client(&lab.url, &lab.authority, &token, "kubetoll").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let through = dir.path().join("kubeconfig");
    let ca = proxy.authority.certificate_pem();
    let config = kubeconfig(&proxy.url, ca.as_bytes(), &Credential::Token(token));
    write_private(&through, config.to_string().as_bytes()).unwrap();
    for protocol in ["h2", "http/1.1"] {
        let running = Running::informers(&program, &through, Duration::ZERO, protocol);
        for cut in 0..3 {
            all_watch(&proxy).await;
            relay.set_down(cut == 1);
            relay.cut();
            create(&client, format!("{}-{cut}", protocol.replace('/', "-"))).await;
            // For so long nobody is there, once in three times.
            sleep(Duration::from_millis(1_200)).await;
            relay.set_down(false);
        }
        all_watch(&proxy).await;
        let found = running.finish();
        assert_eq!(number(&found, "lists"), informers(), "{protocol}: {found}");
        assert!(
            number(&found, "watches") >= 2 * informers(),
            "{protocol}: {found}"
        );
        // Each of them saw each object.
        let objects = if protocol == "h2" { 3 } else { 6 };
        assert_eq!(
            number(&found, "objects"),
            objects * informers(),
            "{protocol}: {found}"
        );
    }
    proxy.stop().await;
    lab.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_api_server_costs_no_list_more_than_without_a_proxy() {
    let Some(mut two) = TwoWays::start().await else {
        return;
    };
    let program = real::program("informer").unwrap();
    let direct = Running::informers(&program, &two.direct, Duration::from_secs(30), "h2");
    let through = Running::informers(&program, &two.through, Duration::from_secs(20), "h2");
    // The watches are older than a second, as above.
    sleep(Duration::from_secs(2)).await;
    two.cluster.kill_apiserver().await;
    // For so long nobody is there.
    sleep(Duration::from_secs(1)).await;
    two.cluster.restart_apiserver().await.unwrap();
    let (through, direct) = (through.finish(), direct.finish());
    println!("direct {direct}\nthrough {through}");
    assert!(
        number(&through, "lists") <= number(&direct, "lists"),
        "direct {direct}, through {through}"
    );
    assert_eq!(through["objects"], direct["objects"]);
    two.proxy.stop().await;
}

/// Waits until the leader renews its lease.
async fn renewal(leases: &Api<Lease>) {
    let renewed = async || leases.get("leader").await.unwrap().spec.unwrap().renew_time;
    let before = renewed().await;
    wait::until("a renewal", async || renewed().await != before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_keeps_its_lease_through_a_restart_of_the_api_server() {
    let Some(mut two) = TwoWays::start().await else {
        return;
    };
    let mut command = Command::new(real::program("leader").unwrap());
    command
        .arg("-kubeconfig")
        .arg(&two.through)
        .args(["-for", "0s"]);
    let leader = Running::start(&mut command, "leading");
    let leases: Api<Lease> = Api::namespaced(two.cluster.admin_client().unwrap(), "default");
    renewal(&leases).await;
    two.cluster.kill_apiserver().await;
    two.cluster.restart_apiserver().await.unwrap();
    for _ in 0..2 {
        renewal(&leases).await;
    }
    let found = leader.finish();
    assert_eq!(
        (number(&found, "led"), number(&found, "lost")),
        (1, 0),
        "{found}"
    );
    assert!(number(&found, "renewals") >= 3, "{found}");
    two.proxy.stop().await;
}

/// An embedded API server, `kubetoll-proxy` before it, and clients that never stop asking.
struct UnderLoad {
    lab: EmbeddedLab,
    proxy: ProxyProcess,
    authority: Authority,
    dir: tempfile::TempDir,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Result<(), String>>>,
}

impl UnderLoad {
    /// The upstream's first address is one where nobody listens.
    async fn start(clients: usize) -> Self {
        identity::install_provider();
        let lab = EmbeddedLab::start().await.unwrap();
        let authority = Authority::new("proxy").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("upstream-ca.crt");
        write_private(&ca, lab.authority.certificate_pem().as_bytes()).unwrap();
        turn_link(dir.path(), &authority, 0);
        let token = dir.path().join("current/admin-token");
        let upstream = format!("https://127.0.0.1:1,{}", lab.url);
        let arguments = [
            "--upstream",
            &upstream,
            "--upstream-ca",
            ca.to_str().unwrap(),
            "--admin-token-file",
            token.to_str().unwrap(),
        ];
        let proxy = ProxyProcess::launch(&dir.path().join("current"), &arguments);
        let mut this = Self {
            lab,
            proxy,
            authority,
            dir,
            stop: Arc::default(),
            answered: Arc::default(),
            clients: Vec::new(),
        };
        for number in 0..clients {
            this.clients.push(this.client(number));
        }
        this
    }

    /// Reads and writes over connections that it makes anew all the time, until it is told to
    /// stop or nobody listens any more.
    fn client(&self, number: usize) -> JoinHandle<Result<(), String>> {
        let token = self.lab.token_for("load", &["system:masters"]);
        let (url, ca) = (self.proxy.url.clone(), self.authority.certificate());
        let (stop, answered) = (Arc::clone(&self.stop), Arc::clone(&self.answered));
        tokio::spawn(async move {
            let mut round = 0;
            while !stop.load(Ordering::Relaxed) {
                let client = client_of(&url, &ca, &token);
                for _ in 0..20 {
                    round += 1;
                    match ask(&client, &format!("c-{number}-{round}")).await {
                        Ok(()) => drop(answered.fetch_add(1, Ordering::Relaxed)),
                        Err(error) if error.contains("Connection refused") => return Ok(()),
                        Err(error) => return Err(error),
                    }
                }
            }
            Ok(())
        })
    }

    /// Waits until so many more requests are answered.
    async fn answers(&self, more: u64) {
        let before = self.answered.load(Ordering::Relaxed);
        wait::until("answers", async || {
            self.answered.load(Ordering::Relaxed) >= before + more
        })
        .await;
    }

    /// Each request of the clients was answered; how many there were.
    async fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.unwrap().unwrap();
        }
        self.lab.stop();
        self.answered.load(Ordering::Relaxed)
    }
}

fn client_of(url: &str, ca: &[u8], token: &str) -> Client {
    let mut config = kube::Config::new(url.parse().unwrap());
    config.root_cert = Some(vec![ca.to_vec()]);
    config.auth_info.token = Some(token.to_owned().into());
    config.default_retry = false;
    config.try_into().unwrap()
}

async fn ask(client: &Client, name: &str) -> Result<(), String> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let object = config_map(name.to_owned());
    let created = api.create(&PostParams::default(), &object).await;
    created.map_err(|error| format!("create {name}: {error:?}"))?;
    let got = api.get(name).await;
    got.map_err(|error| format!("get {name}: {error:?}"))?;
    Ok(())
}

/// Replaces a folder's files as kubelet does: a new folder, and a link that is turned to it.
fn turn_link(dir: &Path, authority: &Authority, generation: u32) {
    let folder = dir.join(format!("generation-{generation}"));
    std::fs::create_dir(&folder).unwrap();
    write_serving(&folder, authority);
    write_private(
        &folder.join("admin-token"),
        admin_token(generation).as_bytes(),
    )
    .unwrap();
    let link = dir.join("new-link");
    std::os::unix::fs::symlink(&folder, &link).unwrap();
    std::fs::rename(&link, dir.join("current")).unwrap();
}

fn admin_token(generation: u32) -> String {
    format!("admin-token-{generation}")
}

/// Whether the admin port takes this token.
async fn takes(proxy: &ProxyProcess, token: &str) -> bool {
    let admin = ProxyClient::new(&proxy.admin, Some(token)).unwrap();
    match admin.snapshot().await {
        Ok(_) => true,
        Err(ProxyError::WrongToken { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

/// The certificate that the proxy presents now.
async fn presented(proxy: &ProxyProcess, authority: &Authority) -> Vec<u8> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate()).unwrap();
    let tls = ClientConfig::builder_with_provider(identity::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let address = proxy.url.trim_start_matches("https://");
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connector = TlsConnector::from(Arc::new(tls));
    let stream = connector.connect(name, tcp).await.unwrap();
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    chain[0].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_and_tokens_change_under_load_and_no_request_fails() {
    let load = UnderLoad::start(4).await;
    let before = presented(&load.proxy, &load.authority).await;
    assert!(takes(&load.proxy, &admin_token(0)).await);
    assert!(!takes(&load.proxy, &admin_token(1)).await);
    turn_link(load.dir.path(), &load.authority, 1);
    // The upstream's CA gets company, and is replaced as one file.
    let other = Authority::new("other").unwrap().certificate_pem();
    let both = format!("{other}{}", load.lab.authority.certificate_pem());
    let new = load.dir.path().join("new-ca");
    write_private(&new, both.as_bytes()).unwrap();
    std::fs::rename(&new, load.dir.path().join("upstream-ca.crt")).unwrap();
    for _ in 0..150 {
        sleep(Duration::from_millis(200)).await;
        // Asked in this order, one of the two is always good.
        let old = takes(&load.proxy, &admin_token(0)).await;
        let new = takes(&load.proxy, &admin_token(1)).await;
        assert!(old || new, "no token is good");
        if !old && presented(&load.proxy, &load.authority).await != before {
            break;
        }
    }
    assert_ne!(before, presented(&load.proxy, &load.authority).await);
    assert!(!takes(&load.proxy, &admin_token(0)).await);
    assert!(takes(&load.proxy, &admin_token(1)).await);
    load.answers(50).await;
    assert!(load.finish().await > 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_stops_under_load_fails_no_request() {
    let mut load = UnderLoad::start(8).await;
    load.answers(100).await;
    load.proxy.terminate();
    let status = load.proxy.wait(Duration::from_secs(12));
    assert!(status.success(), "{status}");
    assert!(load.finish().await > 50);
}
