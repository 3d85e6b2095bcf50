//! Requests and answers from a seed, as clients of Kubernetes make them, and odd ones.

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use super::Line;

/// A body and how its end is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Payload {
    None,
    Length(Vec<u8>),
    /// Chunks, and trailers after them.
    Chunks(Vec<Vec<u8>>, Vec<Line>),
}

#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) target: String,
    pub(super) lines: Vec<Line>,
    pub(super) payload: Payload,
    /// The client waits for `100 Continue` before it sends the body; HTTP/1.1 only.
    pub(super) expects: bool,
}

/// What the proxy adds for each line of a head.
const LINE: usize = 128;

impl Request {
    /// What its head costs the proxy, about.
    pub(super) fn head_bytes(&self) -> usize {
        let lines = self.lines.iter();
        let lines = lines.map(|(name, value)| name.len() + value.len() + LINE);
        self.target.len() + lines.sum::<usize>()
    }
}

#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) lines: Vec<Line>,
    pub(super) payload: Payload,
}

/// A request, and the answer that it gets.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) request: Request,
    pub(super) answer: Answer,
}

const METHODS: [&str; 12] = [
    "GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "PATCH", "DELETE", "DELETE", "OPTIONS",
    "PURGE",
];

const TARGETS: [&str; 26] = [
    "/",
    "/api",
    "/apis",
    "/version",
    "/healthz?verbose",
    "/openapi/v2",
    "/openapi/v3/apis/apps/v1?hash=AB%2FCD",
    "/metrics",
    "/api/v1/pods",
    "/api/v1/pods?",
    "/api/v1/pods?limit=500&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ%3D%3D",
    "/api/v1/pods?labelSelector=a%3Db%2Cc+in+%28d%2Ce%29&fieldSelector=metadata.name%3Dx",
    "/api/v1/namespaces/n/pods/p/log?follow=true&container=c",
    "/apis/apps/v1/namespaces/n/deployments/d/status",
    "/apis/kubevirt.io/v1/namespaces/n/virtualmachineinstances/vmi-1",
    "/apis/apps/v1/namespaces/n/deployments/d?fieldManager=k&force=true&dryRun=All",
    "/api/v1/namespaces/n/services/https:s:443/proxy/a//b/../c?x=/y?z",
    "//api/v1/pods",
    "/api/v1/./pods/../x/%2e%2e/%2F%252f",
    "/%61pi/v1/pods%00%0d%0a;a=b",
    "/api/v1/pods?watch=false&watch=true&x=1;y&%ZZ=+&&=",
    "/api/v1/watch",
    "/api/v1/namespaces//pods/",
    "/api/v1/pods/a|b^c{d}~!$&'()*,:@",
    "/api/v1/pods/\u{e9}\u{4e16}",
    "/x/c%c0%af\\..\\",
];

pub(super) const ACCEPTS: [&str; 9] = [
    "application/json",
    "application/json, */*",
    "application/vnd.kubernetes.protobuf,application/json",
    "application/vnd.kubernetes.protobuf;stream=watch",
    "application/cbor-seq",
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
];

const CONTENT_TYPES: [&str; 11] = [
    "application/json",
    "application/yaml",
    "application/cbor",
    "application/vnd.kubernetes.protobuf",
    "application/apply-patch+yaml",
    "application/apply-patch+cbor",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/json;stream=watch",
    "text/plain; charset=utf-8",
];

/// Lines that any request may have; the values are free of what would not be text on HTTP/2.
const REQUEST_LINES: [(&str, &[u8]); 28] = [
    (
        "User-Agent",
        b"virt-controller/v0.0.0 (linux/amd64) kubernetes/$Format",
    ),
    ("user-agent", b""),
    (
        "Authorization",
        b"Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.",
    ),
    ("Authorization", b"Basic eDp5"),
    ("Accept-Encoding", b"gzip"),
    ("Accept-Encoding", b"identity, *;q=0"),
    ("If-None-Match", b"\"A1B2\", W/\"x\""),
    ("If-Modified-Since", b"Tue, 24 Nov 2026 00:00:00 GMT"),
    ("Range", b"bytes=0-99"),
    ("Impersonate-User", b"system:serviceaccount:a:b"),
    ("Impersonate-Group", b"one"),
    ("Impersonate-Group", b"two"),
    ("Impersonate-Extra-Scopes%2fx", b"a"),
    ("X-Stream-Protocol-Version", b"v5.channel.k8s.io"),
    ("X-Stream-Protocol-Version", b"v4.channel.k8s.io"),
    ("Kubectl-Command", b"kubectl get"),
    ("Kubectl-Session", b"3c8a-11"),
    (
        "traceparent",
        b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ),
    ("Cookie", b"a=b; c=d"),
    ("Cookie", b"e=f"),
    ("X-Forwarded-For", b"1.2.3.4"),
    ("X-Forwarded-For", b"5.6.7.8, ::1"),
    ("X-Forwarded-Proto", b"https"),
    ("X-CuStOm", b"two  spaces\tand a tab"),
    ("x_under_score", b"1"),
    ("X-Latin", b"caf\xe9"),
    ("Audit-ID", b"client-chosen"),
    ("X-Empty", b""),
];

/// What one hop keeps to itself, and what only an authenticating proxy may say.
const TAKEN_OFF: [(&str, &[u8]); 7] = [
    ("Keep-Alive", b"timeout=5"),
    ("Proxy-Connection", b"keep-alive"),
    ("Proxy-Authorization", b"Basic eDp5"),
    ("X-Remote-User", b"system:admin"),
    ("X-Remote-Extra-Scopes", b"all"),
    ("x_remote_group", b"system:masters"),
    ("X-Hop", b"named by Connection"),
];

const STATUSES: [u16; 24] = [
    200, 200, 200, 200, 200, 201, 202, 204, 304, 301, 400, 401, 403, 404, 405, 409, 410, 415, 422,
    429, 500, 503, 504, 299,
];

const ANSWER_LINES: [(&str, &[u8]); 20] = [
    ("Audit-Id", b"6f7bd2b1-2f1c-4a5e-8f7e-6f0d3b6c5a11"),
    ("Cache-Control", b"no-cache, private"),
    ("Content-Type", b"application/json"),
    ("Content-Type", b"application/vnd.kubernetes.protobuf"),
    ("Content-Encoding", b"gzip"),
    ("Vary", b"Accept"),
    ("Vary", b"Accept-Encoding"),
    ("ETag", b"\"0D1E\""),
    ("Last-Modified", b"Tue, 24 Nov 2026 00:00:00 GMT"),
    ("Date", b"Tue, 24 Nov 2026 00:00:00 GMT"),
    ("Expires", b"0"),
    ("X-Kubernetes-Pf-Flowschema-Uid", b"1ab1-2"),
    ("X-Kubernetes-Pf-Prioritylevel-Uid", b"3cd3-4"),
    ("Warning", b"299 - \"deprecated\""),
    ("Warning", b"299 - \"unknown field \\\"spec.x\\\"\""),
    ("Retry-After", b"1"),
    ("Location", b"https://elsewhere.example/x?y=z"),
    ("Set-Cookie", b"a=b; Secure"),
    ("Set-Cookie", b"c=d"),
    ("Www-Authenticate", b"Basic realm=\"caf\xe9\""),
];

impl Case {
    /// The case of a seed, always the same one.
    pub(super) fn generate(seed: u64, http2: bool) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let method = *METHODS.choose(&mut random).unwrap();
        let payload = request_payload(&mut random, method);
        let mut lines = some_of(&mut random, &REQUEST_LINES);
        lines.push(line("Accept", pick(&mut random, &ACCEPTS)));
        if payload != Payload::None {
            lines.push(line("Content-Type", pick(&mut random, &CONTENT_TYPES)));
        }
        rare_lines(&mut random, &mut lines, http2);
        declare_trailers(&mut lines, &payload);
        // For an empty body nobody waits.
        let has_body = match &payload {
            Payload::None => false,
            Payload::Length(body) => !body.is_empty(),
            Payload::Chunks(..) => true,
        };
        let request = Request {
            method,
            target: target(&mut random, method),
            expects: !http2 && has_body && random.random_ratio(1, 20),
            lines,
            payload,
        };
        Self {
            request,
            answer: Answer::generate(&mut random, method, http2),
        }
    }
}

impl Answer {
    fn generate(random: &mut StdRng, method: &str, http2: bool) -> Self {
        let status = *STATUSES.choose(random).unwrap();
        let mut lines = some_of(random, &ANSWER_LINES);
        let mut payload = payload(random);
        if matches!(status, 204 | 304) {
            payload = Payload::None;
        }
        if method == "HEAD" {
            // The length of what GET would give.
            if let Payload::Length(body) = &payload {
                lines.push(line("Content-Length", &body.len().to_string()));
            }
            payload = Payload::None;
        }
        if !http2 && random.random_ratio(1, 20) {
            lines.extend([line("Connection", "x-hop"), line("X-Hop", "answer")]);
            lines.push(line("Keep-Alive", "timeout=5"));
        }
        declare_trailers(&mut lines, &payload);
        Self {
            status,
            lines,
            payload,
        }
    }
}

pub(super) fn line(name: &str, value: &str) -> Line {
    (name.to_owned(), value.as_bytes().to_vec())
}

fn pick<'a>(random: &mut StdRng, texts: &[&'a str]) -> &'a str {
    texts.choose(random).unwrap()
}

/// Each line with a chance, in their order or in another.
fn some_of(random: &mut StdRng, lines: &[(&str, &[u8])]) -> Vec<Line> {
    let mut chosen: Vec<Line> = Vec::new();
    for (name, value) in lines {
        if random.random_ratio(1, 4) {
            let at = if random.random_ratio(1, 3) {
                random.random_range(0..=chosen.len())
            } else {
                chosen.len()
            };
            chosen.insert(at, ((*name).to_owned(), value.to_vec()));
        }
    }
    chosen
}

fn rare_lines(random: &mut StdRng, lines: &mut Vec<Line>, http2: bool) {
    match random.random_range(0..40) {
        0 => lines.push(line("X-Long", &"v".repeat(20_000))),
        1 => lines.extend((0..150).map(|number| line(&format!("X-Many-{number}"), "m"))),
        2 => lines.extend((0..60).map(|_| line("Impersonate-Group", "same name"))),
        3 | 4 => lines.push(line("TE", "trailers")),
        5 | 6 => {
            let taken = TAKEN_OFF.iter().filter(|(name, _)| {
                // HTTP/2 has no header of one hop.
                !http2 || name.to_ascii_lowercase().contains("remote")
            });
            lines.extend(taken.map(|(name, value)| ((*name).to_owned(), value.to_vec())));
            if !http2 {
                lines.push(line("Connection", "keep-alive, X-HOP ,te"));
            }
        }
        _ => {}
    }
}

fn declare_trailers(lines: &mut Vec<Line>, payload: &Payload) {
    if let Payload::Chunks(_, trailers) = payload
        && !trailers.is_empty()
    {
        let names: Vec<_> = trailers.iter().map(|(name, _)| name.as_str()).collect();
        lines.push(line("Trailer", &names.join(", ")));
    }
}

fn target(random: &mut StdRng, method: &str) -> String {
    if method == "OPTIONS" && random.random_ratio(1, 4) {
        return "*".to_owned();
    }
    let mut target = pick(random, &TARGETS).to_owned();
    if random.random_ratio(1, 50) {
        target.push_str(if target.contains('?') { "&" } else { "?" });
        target.push_str("continue=");
        target.push_str(&"A".repeat(random.random_range(1_000..30_000)));
    }
    target
}

fn request_payload(random: &mut StdRng, method: &str) -> Payload {
    // Reads seldom have a body; everything else does as often as not.
    let ratio = if matches!(method, "GET" | "HEAD" | "OPTIONS") {
        random.random_ratio(1, 12)
    } else {
        random.random_ratio(5, 6)
    };
    if ratio {
        payload(random)
    } else {
        Payload::None
    }
}

fn payload(random: &mut StdRng) -> Payload {
    match random.random_range(0..10) {
        0 => Payload::None,
        1 => Payload::Length(Vec::new()),
        2..=6 => Payload::Length(bytes(random)),
        _ => {
            let chunks = (0..random.random_range(0..6))
                .map(|_| bytes(random))
                .collect();
            let trailers = match random.random_range(0..4) {
                0 => vec![line("X-Checksum", "abc"), line("X-Second", "1 2")],
                _ => Vec::new(),
            };
            Payload::Chunks(chunks, trailers)
        }
    }
}

/// Any bytes, mostly few, never none. Large ones repeat a block, each time with its number.
fn bytes(random: &mut StdRng) -> Vec<u8> {
    let longest = *[64, 64, 2_000, 20_000, 200_000].choose(random).unwrap();
    let length = random.random_range(1..longest);
    let mut block = [0; 512];
    random.fill(&mut block[..]);
    let mut bytes = Vec::with_capacity(length + block.len());
    for number in 0_u64.. {
        if bytes.len() >= length {
            break;
        }
        bytes.extend(&number.to_le_bytes());
        bytes.extend(&block);
    }
    bytes.truncate(length);
    bytes
}
