//! What may be read of a request: not its secrets, wherever they are and whatever `RUST_LOG` asks.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use cluster::kubeconfig::{Credential, kubeconfig, write_private};
use identity::mint::Authority;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{
    http2::{self, Client, DATA, END_STREAM, Frame},
    recorder::Recorder,
    traced::TracedProxy,
    wait,
    wire::{LONGEST, Upstream, connect_with},
};

/// It is looked for everywhere, and sent everywhere.
const SECRET: &str = "SECRETTOKEN123";

/// Sends it in all places that a request of HTTP/1.1 has, and gives the answer.
async fn tell(process: &TracedProxy, first_line: &str, more: &str) -> String {
    let request = format!(
        "{first_line} HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer {SECRET}\r\n\
         Cookie: session={SECRET}\r\nX-Other: {SECRET}\r\nUser-Agent: agent/{SECRET}\r\n\
         Impersonate-User: {SECRET}\r\n\
         Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.{SECRET}, v5.channel.k8s.io\r\n{more}"
    );
    let mut stream = connect_with(&process.url, &process.authority, &[]).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(Duration::from_millis(300), stream.read_to_end(&mut answer));
    let _ = read.await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn tell_everything(process: &TracedProxy) -> Vec<String> {
    let get =
        |path: &str| format!("GET {path}?token={SECRET}&fieldSelector=metadata.name%3D{SECRET}");
    let mut answers = Vec::new();
    for (first_line, more) in [
        (get("/api/v1/pods"), "Connection: close\r\n\r\n".to_owned()),
        (
            format!("POST /api/v1/namespaces/n/secrets?x={SECRET}"),
            format!("Content-Length: {}\r\n\r\n{SECRET}", SECRET.len()),
        ),
        (
            get("/api/v1/namespaces/n/pods/p/exec"),
            format!("Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n{SECRET}"),
        ),
        (get("/api/v1/%zz"), "\r\n".to_owned()),
        (get("/api"), "Connection: authorization\r\n\r\n".to_owned()),
        (
            get("/api"),
            format!("Connection: Impersonate-{SECRET}\r\n\r\n"),
        ),
        (get("/api"), format!("Transfer-Encoding: {SECRET}\r\n\r\n")),
        (get("/api"), format!("Content-Length: {SECRET}\r\n\r\n")),
        (get("/api"), format!("{SECRET}\r\n\r\n")),
        (format!("{SECRET} \x01 {SECRET}"), "\r\n".to_owned()),
        (format!("CONNECT {SECRET}:443"), "\r\n".to_owned()),
        (get("/api"), format!("X-Forwarded-For: {SECRET}\r\n\r\n")),
    ] {
        answers.push(tell(process, &first_line, &more).await);
    }
    tell_over_http2(process).await;
    // Where TLS is expected.
    let address = process.url.trim_start_matches("https://");
    for bytes in [
        format!("GET /?{SECRET} HTTP/1.1\r\n\r\n"),
        format!("\x16\x03\x01{SECRET}"),
    ] {
        let mut plain = TcpStream::connect(address).await.unwrap();
        plain.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = timeout(Duration::from_secs(2), plain.read_to_end(&mut answer)).await;
        answers.push(String::from_utf8_lossy(&answer).into_owned());
    }
    answers
}

async fn tell_over_http2(process: &TracedProxy) {
    let bearer = format!("Bearer {SECRET}");
    let path = format!("/api/v1/pods?token={SECRET}");
    for bad in [false, true] {
        let mut client = Client::connect_to(&process.url, &process.authority, &[]).await;
        let mut headers = http2::get(&path).to_vec();
        headers[0] = (":method", "POST");
        headers.extend([
            ("authorization", &*bearer),
            ("cookie", SECRET),
            ("x", SECRET),
        ]);
        if bad {
            headers.push(("connection", SECRET));
        }
        client.send(&Frame::head(1, false, &headers)).await;
        client.send(&Frame::new(DATA, END_STREAM, 1, SECRET)).await;
        client.frames_within(Duration::from_millis(300)).await;
        client.send(&Frame::new(0x42, 0, 0, SECRET)).await;
        client.send(&Frame::new(DATA, 0, 0, SECRET)).await;
        client.frames_within(Duration::from_millis(300)).await;
    }
}

async fn admin_pages(process: &TracedProxy) -> Vec<String> {
    let mut pages = Vec::new();
    for first_line in [
        "GET /metrics".to_owned(),
        "GET /snapshot".to_owned(),
        "GET /readyz".to_owned(),
        format!("GET /{SECRET}?x={SECRET}"),
        format!("PUT /runs/{SECRET}/x"),
        format!("GET /runs/unknown?namespace={SECRET}"),
        format!("{SECRET} /metrics"),
    ] {
        let request = format!(
            "{first_line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {SECRET}\r\nConnection: close\r\n\r\n"
        );
        pages.push(process.admin_page(&request).await);
    }
    pages
}

fn has_no_secret(what: &str, text: &str) {
    let at = text.find(SECRET);
    let around = at.map(|at| {
        text[at.saturating_sub(300)..]
            .chars()
            .take(600)
            .collect::<String>()
    });
    assert!(at.is_none(), "{what}: {around:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_a_log_a_metric_or_an_error() {
    let echo =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    let stranger = Authority::new("stranger").unwrap().certificate_pem();
    let (serving, switching) = (Upstream::serving().await, Upstream::echo(echo).await);
    let broken =
        Upstream::once(b"HTTP/1.1 200 SECRETTOKEN123\r\nX: SECRETTOKEN123\0\r\n\r\n").await;
    let recorder = Recorder::start(1).await;
    for (url, ca_pem) in [
        (&serving.url, &serving.ca_pem),
        (&switching.url, &switching.ca_pem),
        (&broken.url, &broken.ca_pem),
        (&recorder.url, &recorder.ca_pem),
        (&recorder.url, &stranger),
        (&"https://127.0.0.1:1".to_owned(), &stranger),
    ] {
        let process = TracedProxy::start(url, ca_pem).await;
        let answers = tell_everything(&process).await;
        // The tunnel gives back what was sent into it.
        let own = answers
            .iter()
            .filter(|answer| !answer.starts_with("HTTP/1.1 101"));
        for answer in own {
            has_no_secret("an answer", answer);
        }
        for page in admin_pages(&process).await {
            // The program that a user agent names is what its calls are counted for.
            has_no_secret("the admin port", &page);
        }
        let log = process.log();
        assert!(log.contains("\"ready\""));
        has_no_secret("the log", &log);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_exec_nor_its_command_tells_a_token() {
    let upstream = Upstream::answering(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    )
    .await;
    let directory = tempfile::tempdir().unwrap();
    let own = directory.path().join("own");
    let credential = Credential::Token(SECRET.to_owned());
    let content = kubeconfig(&upstream.url, upstream.ca_pem.as_bytes(), &credential);
    write_private(&own, content.to_string().as_bytes()).unwrap();
    let copy = directory.path().join("child");
    let script = format!(
        "cp \"$KUBECONFIG\" {0}.new && mv {0}.new {0} && while [ -e {0} ]; do sleep 0.1; done",
        copy.display()
    );
    let child = Command::new(env!("CARGO_BIN_EXE_kubetoll"))
        .args([
            "exec",
            "--no-store",
            "--kubeconfig",
            own.to_str().unwrap(),
            "--",
            "sh",
            "-c",
            &script,
        ])
        .env("RUST_LOG", "trace")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let gate = use_kubeconfig(&copy).await;
    std::fs::remove_file(&copy).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    has_no_secret("exec", &said);
    assert!(!said.contains(&gate), "{said}");
    let heads = upstream.heads();
    let asked: Vec<_> = heads.iter().filter(|head| head.contains("/told")).collect();
    assert_eq!(asked.len(), 1, "{heads:?}");
    assert!(asked[0].contains(&format!("Bearer {SECRET}\r\n")) && !asked[0].contains(&gate));
}

/// Sends a request as the command would, and one without its token; gives the token.
async fn use_kubeconfig(path: &Path) -> String {
    wait::until("the kubeconfig of exec", async || path.exists()).await;
    use base64::{Engine, engine::general_purpose::STANDARD};
    use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
    let config: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cluster = &config["clusters"][0]["cluster"];
    let token = config["users"][0]["user"]["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let ca = STANDARD
        .decode(cluster["certificate-authority-data"].as_str().unwrap())
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&ca).unwrap())
        .unwrap();
    let tls = rustls::ClientConfig::builder_with_provider(identity::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(tls));
    let server = cluster["server"]
        .as_str()
        .unwrap()
        .trim_start_matches("https://");
    for (authorization, status) in [(token.as_str(), "200"), (SECRET, "401")] {
        let tcp = TcpStream::connect(server).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut stream = connector.connect(name, tcp).await.unwrap();
        let request = format!(
            "GET /told HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer {authorization}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = timeout(LONGEST, stream.read_to_end(&mut answer))
            .await
            .unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    }
    token
}

/// Each line of the log is one JSON object, whatever a client wrote.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_writes_lines_into_the_log() {
    let process = TracedProxy::start(
        "https://127.0.0.1:1",
        &Authority::new("x").unwrap().certificate_pem(),
    )
    .await;
    let long = "a".repeat(64 << 10);
    for (target, agent) in [
        (
            "/api/v1/pods%0d%0a{\"level\":\"ERROR\",\"fake\":1}",
            "x\x1b[31mred",
        ),
        ("/api/v1/pods%1b%5b2J?%0afake", &long),
        ("/api/v1/%ff%fe", "\u{ff}\u{fe}fake"),
    ] {
        let mut request = format!("GET {target} HTTP/1.1\r\nHost: p\r\nUser-Agent: ").into_bytes();
        request.extend(agent.chars().map(|letter| letter as u8));
        request.extend(b"\r\n\r\n");
        let mut stream = connect_with(&process.url, &process.authority, &[]).await;
        stream.write_all(&request).await.unwrap();
        let mut answer = vec![0; 4096];
        let _ = timeout(Duration::from_secs(1), stream.read(&mut answer)).await;
    }
    let log = process.log();
    assert!(log.lines().count() > 1, "{log}");
    for line in log.lines() {
        let parsed: serde_json::Value = serde_json::from_str(line).expect(line);
        assert!(parsed.get("fake").is_none(), "{line}");
        assert!(line.len() < 2_000, "{line}");
        assert!(
            line.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
            "{line:?}"
        );
    }
}
