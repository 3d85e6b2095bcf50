//! What the program says of the way to the API server: when it starts, and later.

use identity::mint::Authority;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::support::{
    lines::assert_line,
    relay::Relay,
    traced::TracedProxy,
    wait,
    wire::{Upstream, connect_with},
};

/// What is behind the head of an answer of the admin port; the age of a failure is `N`.
async fn page(proxy: &TracedProxy, path: &str) -> (String, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let answer = proxy.admin_page(&request).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    let is_age = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let words = body.split(' ').collect::<Vec<_>>();
    let words = words
        .iter()
        .map(|word| if is_age(word) { "N" } else { *word });
    (status.to_owned(), words.collect::<Vec<_>>().join(" "))
}

/// The lines of the log with these words.
fn logged(proxy: &TracedProxy, message: &str) -> Vec<serde_json::Value> {
    let log = proxy.log();
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines
        .filter(|line: &serde_json::Value| line["fields"]["message"] == message)
        .collect()
}

/// What a proxy says that can't reach `upstream`.
async fn complaint(upstream: &str, ca_pem: &str, reason: &str) -> String {
    let proxy = TracedProxy::start(upstream, ca_pem).await;
    let said = || logged(&proxy, "the API server is not reached");
    wait::until("the line in the log", async || !said().is_empty()).await;
    let line = &said()[0];
    assert_eq!(
        (&line["level"], &line["fields"]["reason"]),
        (&"WARN".into(), &reason.into())
    );
    let error = line["fields"]["error"].as_str().unwrap();
    let address = upstream.trim_start_matches("https://");
    let ok = || "200".to_owned();
    assert_eq!(page(&proxy, "/readyz").await, (ok(), "ok\n".to_owned()));
    let failed = format!(
        "[+]accepting ok\n[-]upstream {address} failed N s ago, status not affected: {error}\n\
         readyz check passed\n"
    );
    let verbose = page(&proxy, "/readyz?verbose").await;
    assert_eq!(verbose, (ok(), failed));
    let gauge =
        format!("kubetoll_upstream_reached{{address=\"{address}\",front_proxy=\"false\"}} 0");
    let (_, metrics) = page(&proxy, "/metrics").await;
    assert_line(&metrics, &gauge);
    error.replace(address, "ADDRESS")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_ca_name_or_address_is_told_when_the_program_starts() {
    let server = Upstream::serving().await;
    let stranger = Authority::new("stranger").unwrap().certificate_pem();
    assert_eq!(
        complaint(&server.url, &stranger, "tls").await,
        "cannot reach ADDRESS: its certificate is signed by CN=upstream, and trusted is CN=stranger"
    );
    let same_name = Authority::new("upstream").unwrap().certificate_pem();
    assert_eq!(
        complaint(&server.url, &same_name, "tls").await,
        "cannot reach ADDRESS: its certificate is signed by another CA of the name CN=upstream than \
         the one that is trusted: the CA is another cluster's, or was exchanged"
    );
    let localhost = server.url.replace("127.0.0.1", "localhost");
    assert_eq!(
        complaint(&localhost, &server.ca_pem, "tls").await,
        "cannot reach ADDRESS: its certificate is not for localhost, but for 127.0.0.1"
    );
    let refused = complaint("https://127.0.0.1:1", &server.ca_pem, "connect").await;
    assert_eq!(
        refused,
        "cannot reach ADDRESS: tcp connect error: Connection refused (os error 111)"
    );
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", plain.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = plain.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            let _ = stream.read(&mut [0; 1_024]).await;
        }
    });
    let plain = complaint(&url, &server.ca_pem, "tls").await;
    let words = "cannot reach ADDRESS: what answers there is no TLS server: ";
    assert!(plain.starts_with(words), "{plain}");
    // Nothing was asked of the server.
    assert!(server.heads().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_the_way_follows_later_dials() {
    let server = Upstream::once(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let relay = Relay::start(&server.url).await;
    let proxy = TracedProxy::start(&relay.url, &server.ca_pem).await;
    let reached = || logged(&proxy, "the API server is reached");
    wait::until("the line in the log", async || !reached().is_empty()).await;
    let address = relay.url.trim_start_matches("https://");
    let state = async || {
        let (status, page) = page(&proxy, "/readyz?verbose").await;
        assert_eq!(status, "200");
        page.lines().nth(1).unwrap().to_owned()
    };
    let ok = format!("[+]upstream {address} ok");
    assert_eq!(state().await, ok);
    let request = async || {
        let mut client = connect_with(&proxy.url, &proxy.authority, &[]).await;
        let request = b"GET /version HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n";
        client.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer[..12]).into_owned()
    };
    relay.set_down(true);
    assert_eq!(request().await, "HTTP/1.1 503");
    let failed =
        format!("[-]upstream {address} failed N s ago, status not affected: cannot reach ");
    let now = state().await;
    assert!(now.starts_with(&failed), "{now}");
    relay.set_down(false);
    assert_eq!(request().await, "HTTP/1.1 200");
    assert_eq!(state().await, ok);
}
