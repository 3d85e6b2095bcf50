//! What clients can do to the books and to the metrics: little.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::support::{
    http2::{self, Client, Frame},
    recorder::Recorder,
    traced::TracedProxy,
    wire::{LONGEST, Upstream, connect_with},
};

/// Rows of the books, one more for what overflows.
const ROWS_MAX: usize = 20_001;

async fn metrics(process: &TracedProxy) -> String {
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let page = process.admin_page(request).await;
    page.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// The samples of a page of Prometheus's text format; panics where it isn't one.
fn samples(page: &str) -> Vec<(&str, &str)> {
    assert!(page.ends_with('\n'));
    let lines = page
        .lines()
        .filter(|line| !line.starts_with("# ") && !line.is_empty());
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect(line);
            value.parse::<f64>().expect(line);
            let name = series.split('{').next().unwrap();
            assert!(
                name.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
                "{line}"
            );
            if let Some(labels) = series.strip_prefix(name).unwrap().strip_prefix('{') {
                check_labels(labels.strip_suffix('}').expect(line), line);
            }
            (series, value)
        })
        .collect()
}

/// `name="value",…`, values escaped and of a bearable length.
fn check_labels(mut labels: &str, line: &str) {
    while !labels.is_empty() {
        let (name, rest) = labels.split_once("=\"").expect(line);
        assert!(
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{line}"
        );
        let mut end = 0;
        let bytes = rest.as_bytes();
        while bytes[end] != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        assert!(end <= 600, "{line}");
        labels = rest[end + 1..].trim_start_matches(',');
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_made_up_by_clients_fill_the_books_up_to_their_limit() {
    let recorder = Recorder::start(1).await;
    let process = TracedProxy::start(&recorder.url, &recorder.ca_pem).await;
    let mut client = Client::connect_to(&process.url, &process.authority, &[]).await;
    // With a scale of 40 or more the books overflow.
    let count = u32::try_from(super::scaled(1_000)).unwrap();
    let before = process.resident_kib();
    for number in 0..count {
        let path = match number % 4 {
            0 => format!("/api/v1/made-up-{number}"),
            1 => format!("/apis/made.up.{number}/v{number}/things"),
            2 => format!("/apis/apps/v1/namespaces/n/deployments/d/sub{number}"),
            _ => format!("/made/up/{number}"),
        };
        let agent = format!("agent-{number}/1");
        let mut headers = http2::get(&path).to_vec();
        let method = format!("VERB{number}");
        if number % 7 == 0 {
            headers[0] = (":method", &method);
        }
        headers.push(("user-agent", &agent));
        // One that the API server accepts: without it, there are no rows to fill.
        headers.push(("authorization", "Bearer T"));
        client
            .send(&Frame::head(2 * number + 1, true, &headers))
            .await;
        client.status(2 * number + 1).await;
    }
    let snapshot = process.admin().snapshot().await.unwrap();
    assert!(snapshot.rows.len() <= ROWS_MAX, "{}", snapshot.rows.len());
    let answered: u64 = snapshot.rows.iter().map(|row| row.answered).sum();
    assert_eq!(answered, u64::from(count));
    let page = metrics(&process).await;
    assert!(
        samples(&page).len() < 2 * ROWS_MAX + 5_000,
        "{}",
        samples(&page).len()
    );
    let grown = process.grown_kib(before);
    assert!(grown < 96 << 10, "{grown} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_breaks_the_metrics() {
    let upstream = Upstream::serving().await;
    let process = TracedProxy::start(&upstream.url, &upstream.ca_pem).await;
    let long = format!("/api/v1/{}", "x".repeat(10 << 10));
    for (method, target, agent) in [
        ("GET", "/api/v1/a%22%7d%20evil%201%0a", "a\"} evil 1"),
        ("GET", "/api/v1/a%5c%00%ff", "a\\"),
        ("GET", "/apis/%0aevil%201/v1/x", "a\tb"),
        ("GET", "/api/v1/namespaces/n/pods/p/%0aevil", "\u{e9}"),
        ("GET", &long, &"x".repeat(4_000)),
        ("EVIL|~^`", "/api/v1/pods", "{}"),
        ("GET", "/%0a%22", "-"),
    ] {
        let mut request =
            format!("{method} {target} HTTP/1.1\r\nHost: p\r\nConnection: close\r\nUser-Agent: ")
                .into_bytes();
        request.extend(agent.chars().map(|letter| letter as u8));
        request.extend(b"\r\n\r\n");
        let mut stream = connect_with(&process.url, &process.authority, &[]).await;
        stream.write_all(&request).await.unwrap();
        let mut answer = Vec::new();
        let _ = timeout(LONGEST, stream.read_to_end(&mut answer))
            .await
            .unwrap();
        assert!(
            answer.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    let page = metrics(&process).await;
    assert!(samples(&page).len() > 7);
    assert!(!page.lines().any(|line| line.starts_with("evil")), "{page}");
    let requests: f64 = samples(&page)
        .iter()
        .filter(|(series, _)| {
            series.starts_with("kubetoll_requests_total{")
                || series.starts_with("kubetoll_nonresource_requests_total{")
        })
        .map(|(_, value)| value.parse::<f64>().unwrap())
        .sum();
    assert!((requests - 7.0).abs() < 0.1, "{requests}");
}

/// The data port has no page of its own, and the admin port no page of the API server's.
#[tokio::test(flavor = "multi_thread")]
async fn each_port_has_its_own_pages_only() {
    let upstream = Upstream::serving().await;
    let proxy = upstream.proxy().await;
    for path in [
        "/metrics",
        "/livez",
        "/readyz",
        "/healthz",
        "/snapshot",
        "/runs/x",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: p\r\n\r\n");
        let (_, body) = crate::support::wire::exchange(&proxy, request.as_bytes()).await;
        assert_eq!(body, b"ok", "{path}");
    }
    assert_eq!(upstream.heads().len(), 6);
    proxy.stop().await;
    let process = TracedProxy::start(&upstream.url, &upstream.ca_pem).await;
    for (first_line, status) in [
        ("GET /api/v1/pods", "404"),
        ("GET /debug/pprof/", "404"),
        ("POST /metrics", "404"),
        ("PUT /snapshot", "404"),
        ("GET http://evil/api", "403"),
        ("CONNECT evil:1", "4"),
        ("POST /runs/x", "405"),
        ("PUT /runs/..%2f", "404"),
        ("HEAD /metrics", "200"),
    ] {
        let request =
            format!("{first_line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let page = process.admin_page(&request).await;
        assert!(
            page.starts_with(&format!("HTTP/1.1 {status}")),
            "{first_line}: {page}"
        );
        assert!(!page.contains("evil") && !page.contains("pods"), "{page}");
    }
}

/// Scrapers that take nothing, and clients of the admin port that say nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_scraper_holds_up_no_request() {
    let upstream = Upstream::serving().await;
    let proxy = upstream.proxy().await;
    let address = proxy
        .admin
        .url()
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned();
    let mut scrapers = Vec::new();
    for number in 0..80 {
        let mut scraper = tokio::net::TcpStream::connect(&address).await.unwrap();
        if number % 2 == 0 {
            let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(5);
            let _ = scraper.write_all(request.as_bytes()).await;
        }
        scrapers.push(scraper);
    }
    let (head, _) =
        crate::support::wire::exchange(&proxy, b"GET /api HTTP/1.1\r\nHost: p\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    drop(scrapers);
    proxy.stop().await;
}
