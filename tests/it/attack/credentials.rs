//! Made-up credentials, on a real kube-apiserver: nobody's calls are booked as somebody else's, and
//! nobody without a credential fills the books.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use driver::measure::{self, Plan};
use lab::real::RealCluster;
use record::{RunRecord, Snapshot, UNAUTHENTICATED, UNPROVEN};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use verify::audit::{AuditReader, verify};

use crate::{
    kit::crowd::forged,
    support::{
        proxy::TestProxy,
        real,
        wire::{LONGEST, books, connect, read_head},
    },
};

struct Site {
    cluster: RealCluster,
    proxy: TestProxy,
    /// A good token of virt-controller's service account.
    controller: String,
    /// One of somebody else's.
    other: String,
}

impl Site {
    /// `None` where the real tier can't run and need not.
    async fn start() -> Option<Self> {
        identity::install_provider();
        let cluster = RealCluster::start(real::assets()?, &[]).await.unwrap();
        let mut tokens = cluster.prepare_kubevirt(&[]).await.unwrap();
        let mut token = |name: &str| {
            let key = ("kubevirt".to_owned(), name.to_owned());
            tokens.remove(&key).unwrap()
        };
        Some(Self {
            proxy: TestProxy::start(&cluster.url(), &cluster.ca_pem()).await,
            controller: token("kubevirt-controller"),
            other: token("kubevirt-apiserver"),
            cluster,
        })
    }

    /// Sends a request and gives the status of its answer, 0 where none comes.
    async fn ask(&self, request: &str) -> u16 {
        let mut stream = connect(&self.proxy).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = timeout(LONGEST, read_head(&mut stream)).await.unwrap();
        head.map_or(0, |(head, _)| head[9..12].parse().unwrap())
    }

    async fn ask_with(&self, token: &str, target: &str) -> u16 {
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: p\r\nUser-Agent: virt-controller/v1\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        self.ask(&request).await
    }

    async fn settled(&self, answered: u64) -> Snapshot {
        timeout(LONGEST, async {
            loop {
                let books = books(&self.proxy).await;
                let rows = books.rows.iter();
                if rows.map(|row| row.answered).sum::<u64>() >= answered {
                    return books;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("request {answered} is not booked"))
    }
}

fn answered(books: &Snapshot, component: &str) -> u64 {
    let rows = books.rows.iter().filter(|row| row.component == component);
    rows.map(|row| row.answered).sum()
}

fn components(books: &Snapshot) -> Vec<&str> {
    let mut components: Vec<_> = books.rows.iter().map(|row| &*row.component).collect();
    components.sort_unstable();
    components.dedup();
    components
}

/// Codes that are right, request line, and header lines of requests that never get past the API
/// server's authentication, or not as the one whom `FORGED` names. `OTHER` is a good token of
/// somebody else; in `Sec-WebSocket-Protocol` it is encoded once more.
const FORGERIES: &str = r"
400         | GET /api/v1/pods?timeout=x                     | Authorization: Bearer FORGED
400         | PATCH /api/v1/namespaces/n/pods/p?timeout=x    | Authorization: Bearer FORGED
500         | GET /api/v1/watch                              | Authorization: Bearer FORGED
401         | GET /version                                   | Authorization: Bearer FORGED
401         | GET /api/v1/pods                               | Authorization: Bearer FORGED
200 400 401 | OPTIONS *                                      | Authorization: Bearer FORGED
401         | OPTIONS /api/v1/pods                           | Authorization: Bearer FORGED; Origin: https://a; Access-Control-Request-Method: GET
401         | BREW /api/v1/pods                              | Authorization: Bearer FORGED
400         | GET /api/v1/pods/%zz                           | Authorization: Bearer FORGED
400         | GET /api/v1/pods                               | Authorization: Bearer FORGED; Connection: authorization
400         | GET /api/v1/pods                               | Authorization: Bearer FORGED; Host: other
200         | GET /version                                   | Authorization: Bearer  FORGED
403         | GET /api/v1/pods                               | Authorization: Bearer  FORGED
200         | GET /version                                   | Authorization: Token FORGED
200         | GET /version                                   | Authorization: Bearer\tFORGED
200         | GET /version                                   | Authorization: ; Authorization: Bearer FORGED
401         | GET /api/v1/pods                               | Authorization: Bearer FORGED; Authorization: Bearer OTHER
401         | GET /api/v1/pods                               | Authorization:  bEaReR FORGED x y
404         | GET /api/v1/namespaces/default/pods/p/exec?command=a | Authorization: Bearer FORGED; Upgrade: websocket; Connection: Upgrade; Sec-WebSocket-Version: 13; Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==; Sec-WebSocket-Protocol: v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.OTHER
401         | GET /api/v1/pods                               | Authorization: Bearer FORGED; Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.OTHER
";

/// The requests, and the codes of their answers.
fn forgeries<'t>(forged: &str, other: &str) -> Vec<(String, Vec<&'t str>)> {
    let encoded = URL_SAFE_NO_PAD.encode(other);
    let lines = FORGERIES.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let [codes, request, headers] = line.split('|').collect::<Vec<_>>().try_into().unwrap();
            let headers: String = headers
                .split(';')
                .map(|header| format!("{}\r\n", header.strip_prefix(' ').unwrap_or(header)))
                .collect();
            let headers = headers
                .replace("k8s.io.OTHER", &format!("k8s.io.{encoded}"))
                .replace("OTHER", other)
                .replace("FORGED", forged)
                .replace("\\t", "\t");
            let agent = "User-Agent: virt-controller/v1.8.0 (linux/amd64)";
            let request = format!(
                "{} HTTP/1.1\r\nHost: p\r\n{agent}\r\n{headers}\r\n",
                request.trim()
            );
            (request, codes.split_whitespace().collect())
        })
        .collect()
}

/// Requests without an end, which their clients leave.
const LEFT: [&str; 3] = [
    "POST /api/v1/namespaces/default/pods HTTP/1.1\r\nHost: p\r\nContent-Length: 10\r\n",
    "PUT /api/v1/namespaces/default/pods/p HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n",
    "DELETE /api/v1/namespaces/default/pods/p HTTP/1.1\r\nHost: p\r\nContent-Length: 10\r\n",
];

fn plan() -> Plan {
    Plan {
        id: "forgeries".to_owned(),
        scenario: "forgeries".to_owned(),
        namespace: "default".to_owned(),
        journal: true,
        pairs: None,
        lease: Duration::from_secs(600),
        silence: Duration::from_millis(300),
        settle_longest: Duration::from_secs(30),
    }
}

/// The run is valid, and the audit log has nothing that the books can't explain.
pub(super) fn prove(record: &RunRecord, cluster: &RealCluster) {
    assert!(record.is_valid(), "{:?}", record.checks);
    let log = std::fs::read(cluster.audit_log()).unwrap();
    let mut reader = AuditReader::default();
    let mut entries = Vec::new();
    for line in log.split(|&byte| byte == b'\n') {
        reader.line(line, |entry| entries.push(entry)).unwrap();
    }
    let found = verify(record, &entries);
    let text = report::text::verification(&found);
    assert!(found.by_request && found.unexplained_count == 0, "{text}");
}

/// The token of a component is believed only where the API server's answer proves that it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_made_up_token_writes_into_no_components_rows() {
    let Some(site) = Site::start().await else {
        return;
    };
    let proxies = [site.proxy.admin.clone()];
    let opened = measure::open(&plan(), &proxies).await.unwrap();
    let mut sent = 0;
    for (number, (request, codes)) in forgeries(&forged(0), &site.other).iter().enumerate() {
        let code = site.ask(request).await.to_string();
        assert!(
            codes.contains(&code.as_str()),
            "{number}: {code} to {request}"
        );
        sent += 1;
        site.settled(sent).await;
    }
    for head in LEFT {
        let mut stream = connect(&site.proxy).await;
        let request = format!(
            "{head}User-Agent: virt-controller/v1\r\nAuthorization: Bearer {}\r\n\r\n1\r\nx",
            forged(1)
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        sent += 1;
        site.settled(sent - 1).await;
        drop(stream);
    }
    let books = site.settled(sent).await;
    assert_eq!(
        components(&books),
        [UNAUTHENTICATED, UNPROVEN],
        "{books:#?}"
    );
    assert!(books.rows.iter().all(|row| row.user.is_empty()));

    // The real one: a first answer that proves nothing is nobody's, afterwards it is its own.
    let good = &site.controller;
    assert_eq!(site.ask_with(good, "/api/v1/watch").await, 500);
    assert_eq!(site.ask_with(good, "/api/v1/pods").await, 200);
    assert_eq!(site.ask_with(good, "/api/v1/watch").await, 500);
    assert_eq!(site.ask_with(good, "/version?timeout=x").await, 400);
    assert_eq!(site.ask_with(&forged(2), "/api/v1/watch").await, 500);
    let books = site.settled(sent + 5).await;
    assert_eq!(answered(&books, "virt-controller"), 3, "{books:#?}");
    let record = measure::close(&plan(), opened, &proxies, None)
        .await
        .unwrap();
    prove(&record, &site.cluster);
    site.proxy.stop().await;
}

/// Sends many requests over one connection, each when the one before is answered.
async fn ask_all(site: &Site, requests: impl Iterator<Item = String>) -> u64 {
    let mut stream = connect(&site.proxy).await;
    let mut count = 0;
    for request in requests {
        stream.write_all(request.as_bytes()).await.unwrap();
        let (head, body) = timeout(LONGEST, read_head(&mut stream))
            .await
            .unwrap()
            .unwrap();
        assert!(head.starts_with("HTTP/1.1 401"), "{head}");
        let length = head.to_lowercase();
        let length = length.split("content-length: ").nth(1).unwrap();
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        let mut rest = vec![0; length - body.len()];
        stream.read_exact(&mut rest).await.unwrap();
        count += 1;
    }
    count
}

/// Names made up by who has no credential: the one that comes after them has a row of its own,
/// the run stays valid, and every request is counted.
#[tokio::test(flavor = "multi_thread")]
async fn refused_requests_fill_neither_the_parties_nor_the_rows() {
    let Some(site) = Site::start().await else {
        return;
    };
    let proxies = [site.proxy.admin.clone()];
    let opened = measure::open(&plan(), &proxies).await.unwrap();
    let count = super::scaled(1_500) as u64;
    let requests = (0..count).map(|number| {
        format!(
            "GET /apis/made.up.{number}/v{number}/namespaces/n{number}/things{number}/x HTTP/1.1\r\nHost: p\r\nUser-Agent: agent-{number}/1\r\nAuthorization: Bearer {}\r\n\r\n",
            forged(number)
        )
    });
    let sent = ask_all(&site, requests).await;
    assert_eq!(site.ask_with(&site.controller, "/api/v1/pods").await, 200);
    let books = site.settled(sent + 1).await;
    assert_eq!(answered(&books, "virt-controller"), 1);
    assert_eq!(answered(&books, UNAUTHENTICATED), sent);
    assert!(books.rows.len() < 10, "{:#?}", books.rows);
    assert_eq!(books.overflowed, 0);
    let record = measure::close(&plan(), opened, &proxies, None)
        .await
        .unwrap();
    let objects = &record.proxies[0].closed.objects;
    assert!(objects.len() < 10, "{objects:#?}");
    prove(&record, &site.cluster);
    site.proxy.stop().await;
}
