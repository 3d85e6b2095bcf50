//! Clients that come with a certificate, on a real kube-apiserver: told why they can't pass,
//! passed through by their server name, or passed on as who they are.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use cluster::kubeconfig::{Credential, kubeconfig, write_private};
use driver::proxies::ProxyClient;
use identity::mint::Authority;
use lab::real::RealCluster;
use record::Snapshot;

use crate::support::{
    http2::{self, Client, Frame},
    kubevirt::free_ports,
    lines::assert_line,
    process::ProxyProcess,
    real,
};

struct Cluster {
    cluster: RealCluster,
    proxy_authority: Authority,
    /// The CA of authenticating proxies.
    front: Authority,
    dir: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Option<Self> {
        identity::install_provider();
        let assets = real::assets()?;
        let dir = tempfile::tempdir().unwrap();
        let front = Authority::new("front-proxy-ca").unwrap();
        let ca = dir.path().join("front-proxy-ca.crt");
        write_private(&ca, front.certificate_pem().as_bytes()).unwrap();
        let flags = [
            format!("--requestheader-client-ca-file={}", ca.display()),
            "--requestheader-allowed-names=front-proxy-client".to_owned(),
            "--requestheader-username-headers=X-Remote-User".to_owned(),
            "--requestheader-group-headers=X-Remote-Group".to_owned(),
            "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
        ];
        let cluster = RealCluster::start(assets, &flags).await.unwrap();
        let this = Self {
            cluster,
            proxy_authority: Authority::new("proxy").unwrap(),
            front,
            dir,
        };
        this.write("ca.crt", &this.cluster.ca_pem());
        Some(this)
    }

    fn write(&self, name: &str, content: &str) -> String {
        let path = self.dir.path().join(name);
        write_private(&path, content.as_bytes()).unwrap();
        path.display().to_string()
    }

    fn proxy(&self, arguments: &[String]) -> ProxyProcess {
        let mut all = vec![
            "--upstream".to_owned(),
            self.cluster.url(),
            "--upstream-ca".to_owned(),
            self.dir.path().join("ca.crt").display().to_string(),
        ];
        all.extend_from_slice(arguments);
        ProxyProcess::start(self.dir.path(), &self.proxy_authority, &all)
    }

    /// The arguments of a proxy that the API server takes as an authenticating one, if `signer`
    /// is the CA that it knows.
    fn front_proxy(&self, signer: &Authority, name: &str) -> Vec<String> {
        let leaf = signer.client(name, "proxies").unwrap();
        vec![
            "--front-proxy-cert".to_owned(),
            self.write("front-proxy.crt", &leaf.certificate_pem),
            "--front-proxy-key".to_owned(),
            self.write("front-proxy.key", &leaf.key_pem),
            "--client-ca".to_owned(),
            self.dir.path().join("ca.crt").display().to_string(),
        ]
    }

    fn certificate(signer: &Authority, user: &str, group: &str) -> Credential {
        let leaf = signer.client(user, group).unwrap();
        Credential::Certificate {
            certificate_pem: leaf.certificate_pem,
            key_pem: leaf.key_pem,
        }
    }

    fn admin(&self) -> Credential {
        Self::certificate(
            self.cluster.authority(),
            "kubernetes-admin",
            "system:masters",
        )
    }

    fn kubeconfig(&self, name: &str, url: &str, ca: &str, credential: &Credential) -> PathBuf {
        self.cluster
            .write_kubeconfig_for(name, url, ca, credential)
            .unwrap()
    }

    fn through(&self, proxy: &ProxyProcess, credential: &Credential) -> PathBuf {
        let ca = self.proxy_authority.certificate_pem();
        self.kubeconfig("through", &proxy.url, &ca, credential)
    }

    fn kubectl(&self, kubeconfig: &Path, arguments: &str) -> Output {
        Command::new(self.cluster.assets().kubectl())
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(arguments.split(' '))
            .output()
            .unwrap()
    }

    /// What the API server takes the client for.
    fn whoami(&self, kubeconfig: &Path) -> serde_json::Value {
        let output = self.kubectl(kubeconfig, "auth whoami -o json");
        assert!(output.status.success(), "{output:?}");
        let review: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        review["status"]["userInfo"].clone()
    }
}

/// kubectl's words for a 401, and the proxy's.
const ENDS_AT_THE_PROXY: &str = "error: You must be logged in to the server (kubetoll-proxy: a \
    client certificate ends at the proxy and can't be passed on: use a token, or have the proxy pass \
    this connection through by its server name (--sni-passthrough))";

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn books(proxy: &ProxyProcess) -> Snapshot {
    let admin = ProxyClient::new(&proxy.admin, None).unwrap();
    admin.snapshot().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_ends_at_the_proxy_is_explained_and_a_token_beside_it_passes() {
    let Some(lab) = Cluster::start().await else {
        return;
    };
    let proxy = lab.proxy(&[]);
    let refused = lab.kubectl(
        &lab.through(&proxy, &lab.admin()),
        "get --raw /api/v1/namespaces",
    );
    assert!(!refused.status.success());
    assert_line(&said(&refused), ENDS_AT_THE_PROXY);
    // Nothing that the API server would take for a credential: directly the certificate would
    // count, and here the request would be nobody's.
    let basic = "get --raw /api/v1/namespaces --username=a --password=b";
    let refused = lab.kubectl(&lab.through(&proxy, &lab.admin()), basic);
    assert_line(&said(&refused), ENDS_AT_THE_PROXY);
    let both = lab.through(&proxy, &lab.admin());
    let token = format!("get namespaces --token={}", lab.cluster.admin_token());
    assert!(lab.kubectl(&both, &token).status.success());
    let books = books(&proxy).await;
    let refused = books
        .rows
        .iter()
        .filter(|row| row.outcome.reason() == Some("refused"));
    assert!(refused.map(|row| row.answered).sum::<u64>() > 0);
}

/// Upstream connections that the proxy opened.
fn opened(proxy: &ProxyProcess) -> u64 {
    let page = proxy.metrics();
    let mut lines = page.lines();
    let line = lines.find(|line| line.contains("side=\"upstream\",event=\"opened\""));
    let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    value.unwrap_or_else(|| panic!("no such counter: {page}"))
}

/// It ends the connection of a client without a credential after each request, and so does the
/// proxy.
#[tokio::test(flavor = "multi_thread")]
async fn kube_apiservers_end_of_an_anonymous_connection_is_passed_on() {
    let Some(lab) = Cluster::start().await else {
        return;
    };
    let proxy = lab.proxy(&[]);
    for (number, token) in [(1, None), (2, Some("Bearer nobody"))] {
        let mut client = Client::connect_to(&proxy.url, &lab.proxy_authority, &[]).await;
        let mut headers = http2::get("/version").to_vec();
        headers.extend(token.map(|token| ("authorization", token)));
        client.send(&Frame::head(1, true, &headers)).await;
        assert_eq!(client.end().await, Some(0));
        assert_eq!(opened(&proxy), number);
    }
    let token = format!("Bearer {}", lab.cluster.admin_token());
    let mut client = Client::connect_to(&proxy.url, &lab.proxy_authority, &[]).await;
    let mut headers = http2::get("/api/v1/namespaces").to_vec();
    headers.push(("authorization", &token));
    for stream in (1..21).step_by(2) {
        client.send(&Frame::head(stream, true, &headers)).await;
        assert_eq!(client.status(stream).await, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_asks_for_a_listed_name_passes_through_and_keeps_its_certificate() {
    let Some(lab) = Cluster::start().await else {
        return;
    };
    let proxy = lab.proxy(&["--sni-passthrough=localhost".to_owned()]);
    let url = proxy.url.replace("127.0.0.1", "localhost");
    let passed = lab.kubeconfig("passed", &url, &lab.cluster.ca_pem(), &lab.admin());
    assert_eq!(lab.whoami(&passed)["username"], "kubernetes-admin");
    // Any other name, or none, is served by the proxy itself.
    let token = Credential::Token(lab.cluster.admin_token().to_owned());
    assert_eq!(
        lab.whoami(&lab.through(&proxy, &token))["username"],
        "admin"
    );
    let books = books(&proxy).await;
    assert!(
        books.rows.iter().all(|row| row.user.is_empty()),
        "a static token names nobody: {books:?}"
    );
    assert!(books.rows.iter().any(|row| row.call.verb == "create"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authenticating_proxy_passes_users_on_as_who_they_are() {
    let Some(lab) = Cluster::start().await else {
        return;
    };
    let proxy = lab.proxy(&lab.front_proxy(&lab.front, "front-proxy-client"));
    let direct = lab.kubeconfig(
        "direct",
        &lab.cluster.url(),
        &lab.cluster.ca_pem(),
        &lab.admin(),
    );
    let through = lab.through(&proxy, &lab.admin());
    let (is, seen) = (lab.whoami(&direct), lab.whoami(&through));
    assert_eq!(seen["username"], is["username"]);
    assert_eq!(seen["groups"], is["groups"]);
    for command in [
        "get namespaces",
        "create configmap c --from-literal=a=b -n default",
        "patch configmap c -n default --type=merge -p {\"data\":{\"a\":\"c\"}}",
        "get configmap c -n default --as=nobody --as-group=system:masters",
        "delete configmap c -n default",
    ] {
        let output = lab.kubectl(&through, command);
        assert!(output.status.success(), "{command}: {output:?}");
    }
    // Clients with a token still pass as themselves, over connections of their own.
    let token = Credential::Token(lab.cluster.admin_token().to_owned());
    assert_eq!(
        lab.whoami(&lab.through(&proxy, &token))["username"],
        "admin"
    );
    let books = books(&proxy).await;
    let named = |user: &str| books.rows.iter().filter(|row| row.user == user).count();
    assert!(named("kubernetes-admin") > 0, "{books:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_becomes_somebody_else_at_an_authenticating_proxy() {
    let Some(lab) = Cluster::start().await else {
        return;
    };
    let proxy = lab.proxy(&lab.front_proxy(&lab.front, "front-proxy-client"));
    let plain = Cluster::certificate(lab.cluster.authority(), "mallory", "guests");
    let spoofed = spoof(&lab, &proxy, Some(&plain), "").await;
    assert_eq!(spoofed["username"], "mallory");
    assert_eq!(
        spoofed["groups"],
        serde_json::json!(["guests", "system:authenticated"])
    );
    // The certificate wins over a token, as it does in the API server.
    let spoofed = spoof(&lab, &proxy, Some(&plain), lab.cluster.admin_token()).await;
    assert_eq!(spoofed["username"], "mallory");
    let anonymous = spoof(&lab, &proxy, None, "").await;
    assert!(anonymous.is_null(), "{anonymous}");
    let token = spoof(&lab, &proxy, None, lab.cluster.admin_token()).await;
    assert_eq!(token["username"], "admin");
    // A certificate of another CA, and one without a name.
    let stranger = Authority::new("stranger").unwrap();
    let forged = Cluster::certificate(&stranger, "kubernetes-admin", "system:masters");
    let refused = lab.kubectl(&lab.through(&proxy, &forged), "get namespaces");
    assert!(!refused.status.success(), "{refused:?}");
    let nameless = Cluster::certificate(lab.cluster.authority(), "", "system:masters");
    let refused = lab.kubectl(
        &lab.through(&proxy, &nameless),
        "get --raw /api/v1/namespaces",
    );
    assert_line(
        &said(&refused),
        "error: You must be logged in to the server (kubetoll-proxy: the certificate's subject has \
         no common name)",
    );
}

/// Says to be an administrator in every way that a client can, and gives who the API server
/// takes it for; null where it takes it for nobody.
async fn spoof(
    lab: &Cluster,
    proxy: &ProxyProcess,
    certificate: Option<&Credential>,
    token: &str,
) -> serde_json::Value {
    let ca = lab.write("proxy-ca.crt", &lab.proxy_authority.certificate_pem());
    let review = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}"#;
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--cacert", &ca, "--data", review])
        .args(["--header", "Content-Type: application/json"])
        .args(["--header", "X-Remote-User: system:admin"])
        .args(["--header", "x_remote_user: system:admin"])
        .args(["--header", "X-Remote-Group: system:masters"])
        .args(["--header", "X-Remote-Extra-Scopes: all"])
        .args(["--header", "X-Remote-Uid: 0"]);
    if !token.is_empty() {
        curl.args(["--header", &format!("Authorization: Bearer {token}")]);
    }
    if let Some(Credential::Certificate {
        certificate_pem,
        key_pem,
    }) = certificate
    {
        curl.args(["--cert", &lab.write("client.crt", certificate_pem)])
            .args(["--key", &lab.write("client.key", key_pem)]);
    }
    let url = format!(
        "{}/apis/authentication.k8s.io/v1/selfsubjectreviews",
        proxy.url
    );
    let output = curl.arg(url).output().expect("curl is installed");
    assert!(output.status.success(), "{output:?}");
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let user = &answer["status"]["userInfo"];
    assert!(
        user["extra"]["scopes"].is_null() && user["uid"] != "0",
        "{user}"
    );
    user.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_the_api_server_does_not_know_speaks_for_nobody() {
    let Some(lab) = Cluster::start().await else {
        return;
    };
    let stranger = Authority::new("stranger").unwrap();
    for (signer, name) in [
        (&stranger, "front-proxy-client"),
        (&lab.front, "another-name"),
    ] {
        let proxy = lab.proxy(&lab.front_proxy(signer, name));
        let refused = lab.kubectl(&lab.through(&proxy, &lab.admin()), "get namespaces");
        assert!(!refused.status.success(), "{name}: {refused:?}");
    }
}

/// With a token, and with a certificate, for which there is another way to the API server.
#[tokio::test]
async fn a_proxy_that_is_led_to_itself_says_so_and_goes_no_round() {
    identity::install_provider();
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("proxy").unwrap();
    let clients = Authority::new("clients").unwrap();
    let write = |name: &str, content: &str| {
        let path = dir.path().join(name);
        write_private(&path, content.as_bytes()).unwrap();
        path.display().to_string()
    };
    let own = clients.client("front-proxy-client", "proxies").unwrap();
    let at = format!("127.0.0.1:{}", free_ports());
    let proxy = ProxyProcess::start(
        dir.path(),
        &authority,
        &[
            "--listen".to_owned(),
            at.clone(),
            format!("--upstream=https://{at}"),
            format!(
                "--upstream-ca={}",
                write("ca.crt", &authority.certificate_pem())
            ),
            format!(
                "--client-ca={}",
                write("clients.crt", &clients.certificate_pem())
            ),
            format!(
                "--front-proxy-cert={}",
                write("front.crt", &own.certificate_pem)
            ),
            format!("--front-proxy-key={}", write("front.key", &own.key_pem)),
        ],
    );
    let ca = authority.certificate_pem();
    for credential in [
        Credential::Token("any".to_owned()),
        Cluster::certificate(&clients, "somebody", "somewhere"),
    ] {
        let text = kubeconfig(&proxy.url, ca.as_bytes(), &credential).to_string();
        let config = kube::config::Kubeconfig::from_yaml(&text).unwrap();
        let options = kube::config::KubeConfigOptions::default();
        let mut config = kube::Config::from_custom_kubeconfig(config, &options)
            .await
            .unwrap();
        config.default_retry = false;
        let client = kube::Client::try_from(config).unwrap();
        let kube::Error::Api(status) = client.apiserver_version().await.unwrap_err() else {
            panic!("the proxy gives no answer");
        };
        let address = proxy.url.trim_start_matches("https://");
        let words = format!("kubetoll-proxy: {address} leads back to this proxy");
        assert_eq!(status.message, words);
    }
    let answered: u64 = books(&proxy)
        .await
        .rows
        .iter()
        .map(|row| row.answered)
        .sum();
    assert_eq!(answered, 2);
}
