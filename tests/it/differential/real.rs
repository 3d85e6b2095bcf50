//! Reads, and requests that change nothing when they are repeated, to a real kube-apiserver.

use std::time::Duration;

use lab::real::RealCluster;
use tokio::time::sleep;

use super::{
    Exchange, Message,
    client::Client,
    compare::{differences, expected},
    generate::{ACCEPTS, Payload, Request, line},
    http1::value,
};
use crate::{
    kit::client::Target,
    support::{proxy::TestProxy, real},
};

/// What time and other clients change in between goes away when both are asked again, and what a
/// server changes that has just started, as its OpenAPI, a little later.
const TRIES: usize = 8;
const PAUSE: Duration = Duration::from_millis(500);

const OBJECT: &str = "/api/v1/namespaces/default/configmaps/c";

const READS: [&str; 18] = [
    "/api",
    "/apis",
    "/apis/apps/v1",
    "/version",
    "/openapi/v3",
    "/openapi/v3/version",
    "/healthz?verbose",
    "/nowhere",
    "/api/v1/watch",
    "/api/v1/namespaces",
    "/api/v1/namespaces?limit=1",
    "/api/v1/namespaces/default/configmaps/c",
    "/api/v1/namespaces/default/configmaps/nobody",
    "//api/v1/namespaces",
    "/api/v1/configmaps?fieldSelector=metadata.name%3Dc",
    "/api/v1/configmaps?fieldSelector=%3D%3D&x=1;y",
    "/api/v1/configmaps?limit=x",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
];

/// Method, target, content type and body.
const WRITES: [(&str, &str, &str, &str); 10] = [
    (
        "PATCH",
        "/api/v1/namespaces/default/configmaps/c?fieldManager=f",
        "application/apply-patch+yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: b}\n",
    ),
    (
        "PATCH",
        OBJECT,
        "application/merge-patch+json",
        r#"{"data": {"a": "b"}}"#,
    ),
    (
        "PATCH",
        OBJECT,
        "application/json-patch+json",
        r#"[{"op": "test", "path": "/data/a", "value": "c"}]"#,
    ),
    (
        "PATCH",
        OBJECT,
        "application/strategic-merge-patch+json",
        "{}",
    ),
    (
        "PUT",
        OBJECT,
        "application/json",
        r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}}"#,
    ),
    (
        "POST",
        "/api/v1/namespaces/default/configmaps",
        "application/yaml",
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}",
    ),
    (
        "POST",
        "/api/v1/namespaces/default/configmaps",
        "application/vnd.kubernetes.protobuf",
        "not protobuf",
    ),
    (
        "POST",
        "/api/v1/namespaces/default/configmaps",
        "text/none",
        "x",
    ),
    (
        "DELETE",
        "/api/v1/namespaces/default/configmaps/nobody",
        "application/json",
        r#"{"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}"#,
    ),
    (
        "DELETE",
        "/api/v1/namespaces/default/configmaps/c?dryRun=All",
        "application/json",
        r#"{"apiVersion": "v1", "kind": "DeleteOptions", "dryRun": ["All"]}"#,
    ),
];

fn requests(token: &str) -> Vec<Request> {
    let authorized = |method, target: &str, payload| Request {
        method,
        target: target.to_owned(),
        lines: vec![
            line("Authorization", &format!("Bearer {token}")),
            // Otherwise each answer has one of its own.
            line("Audit-ID", "the-same"),
            line("User-Agent", "differential"),
        ],
        payload,
        expects: false,
    };
    let mut all = Vec::new();
    for target in READS {
        for accept in ACCEPTS {
            for method in ["GET", "HEAD"] {
                let mut request = authorized(method, target, Payload::None);
                request.lines.push(line("Accept", accept));
                all.push(request.clone());
                request.lines.push(line("Accept-Encoding", "gzip"));
                all.push(request);
            }
        }
    }
    let watch = "/api/v1/configmaps?watch=1&fieldSelector=metadata.name%3Dc&resourceVersion=0&timeoutSeconds=1";
    for accept in [
        "application/json",
        "application/vnd.kubernetes.protobuf;stream=watch",
    ] {
        let mut request = authorized("GET", watch, Payload::None);
        request.lines.push(line("Accept", accept));
        all.push(request);
    }
    for (method, target, content_type, body) in WRITES {
        let bytes = body.as_bytes().to_vec();
        for payload in [
            Payload::Length(bytes.clone()),
            Payload::Chunks(vec![bytes], Vec::new()),
        ] {
            let mut request = authorized(method, target, payload);
            request.lines.push(line("Content-Type", content_type));
            all.push(request.clone());
            request.expects = true;
            all.push(request);
        }
    }
    // Nobody, and who is not known.
    all.push(Request {
        lines: Vec::new(),
        ..authorized("GET", "/api/v1/secrets", Payload::None)
    });
    all.push(Request {
        lines: vec![line("Authorization", "Bearer unknown")],
        ..authorized("GET", "/api/v1/secrets", Payload::None)
    });
    all
}

/// The second is the moment at which it was answered, and each 401 and 403 has an ID of its own.
fn without_its_moment(mut answer: Message) -> Message {
    for (name, value) in &mut answer.lines {
        if name.eq_ignore_ascii_case("date") || name.eq_ignore_ascii_case("audit-id") {
            *value = b"some".to_vec();
        }
    }
    answer
}

struct Both {
    http2: bool,
    direct: (Client, Target),
    through: (Client, Target),
}

impl Both {
    async fn ask(&mut self, request: &Request) -> Result<Vec<String>, String> {
        let mut answers = Vec::new();
        for (client, target) in [&mut self.direct, &mut self.through] {
            let answered = client.ask(target, request, "0").await?;
            answers.push(Exchange {
                arrived: Message::default(),
                answered: without_its_moment(answered),
            });
        }
        let (through, direct) = (
            answers.pop().unwrap_or_else(|| unreachable!()),
            answers.remove(0),
        );
        let mut direct = expected(direct, self.http2);
        direct.arrived = Message::default();
        Ok(differences(&direct, &through))
    }

    async fn assert_same(&mut self, request: &Request) {
        let mut differ = Vec::new();
        for _ in 0..TRIES {
            differ = self.ask(request).await.unwrap_or_else(|error| vec![error]);
            if differ.is_empty() {
                return;
            }
            sleep(PAUSE).await;
        }
        let Request {
            method,
            target,
            lines,
            ..
        } = request;
        panic!("{method} {target} {:?}: {differ:?}", lines.last());
    }

    /// The answer through the proxy. The connection may be about to end, since the API server ends
    /// those of requests without a credential.
    async fn answer_through(&mut self, request: &Request) -> Message {
        let (client, through) = &mut self.through;
        for _ in 1..TRIES {
            if let Ok(answer) = client.ask(through, request, "0").await {
                return answer;
            }
        }
        client.ask(through, request, "0").await.unwrap()
    }

    /// Asks for what was answered already: 304.
    async fn assert_unmodified(&mut self, requests: &[Request], target: &str) {
        // Aggregated discovery has an ETag.
        let request = requests.iter().find(|request| {
            let accepts = value(&request.lines, "accept");
            request.target == target && accepts.is_some_and(|accepts| accepts.contains("v=v2"))
        });
        let mut request = request.unwrap().clone();
        let answer = self.answer_through(&request).await;
        let etag = value(&answer.lines, "etag").unwrap();
        request.lines.push(line("If-None-Match", etag));
        let answer = self.answer_through(&request).await;
        assert_eq!(answer.start, "304", "{answer:?}");
        self.assert_same(&request).await;
    }
}

async fn compare(http2: bool) {
    let Some(assets) = real::assets() else {
        return;
    };
    identity::install_provider();
    let cluster = RealCluster::start(assets, &[]).await.unwrap();
    let proxy = TestProxy::start(&cluster.url(), &cluster.ca_pem()).await;
    let mut both = Both {
        http2,
        direct: (
            Client::new(http2),
            Target::new(&cluster.url(), cluster.authority()),
        ),
        through: (
            Client::new(http2),
            Target::new(&proxy.url, &proxy.authority),
        ),
    };
    let requests = requests(cluster.admin_token());
    // The object is made by the first of the writes.
    let create = requests
        .iter()
        .find(|request| request.method == "PATCH")
        .unwrap();
    both.ask(create).await.unwrap();
    for request in &requests {
        both.assert_same(request).await;
    }
    for target in ["/apis", "/api"] {
        both.assert_unmodified(&requests, target).await;
    }
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_api_server_answers_the_same_over_http1() {
    compare(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_api_server_answers_the_same_over_http2() {
    compare(true).await;
}
