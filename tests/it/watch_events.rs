//! The events of watches on a real kube-apiserver: the books have as many of each type as their
//! clients read.

use std::collections::BTreeMap;

use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use lab::real::RealCluster;
use record::WatchEvents;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    kit::client::{Body, Target},
    support::{
        proxy::TestProxy,
        real,
        wire::{LONGEST, books},
    },
};

const OBJECTS: usize = 20;
const WATCH: &str = "/api/v1/namespaces/default/configmaps?watch=true&sendInitialEvents=true\
                     &resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";

type Counts = BTreeMap<String, u64>;

/// A client of one proxy.
struct Client {
    target: Target,
    token: String,
}

impl Client {
    fn request(&self, path: &str, accept: &str) -> http::request::Builder {
        Request::builder()
            .method(Method::GET)
            .uri(format!("https://{}{path}", self.target.address))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::ACCEPT, accept)
    }

    async fn watch(&self, accept: &str) -> Incoming {
        let request = self.request(WATCH, accept).body(Body::default()).unwrap();
        let mut sender = self.target.http2().await.unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.into_body()
    }

    /// A watch over a WebSocket, which ends at once.
    async fn watch_by_websocket(&self) {
        let request = self
            .request(WATCH, "application/json")
            .header(header::HOST, &self.target.address)
            .header(header::ORIGIN, format!("https://{}", self.target.address))
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
            .body(Body::default())
            .unwrap();
        let mut sender = self.target.http1().await.unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    }
}

/// Reads events until `deleted` objects are deleted. `take` takes the first event off the bytes.
async fn read(mut body: Incoming, take: fn(&mut Vec<u8>) -> Option<String>) -> Counts {
    let (mut counts, mut bytes) = (Counts::new(), Vec::new());
    while counts.get("DELETED").copied().unwrap_or_default() < OBJECTS as u64 {
        let frame = timeout(LONGEST, body.frame()).await.unwrap();
        if let Ok(data) = frame.unwrap().unwrap().into_data() {
            bytes.extend_from_slice(&data);
        }
        while let Some(kind) = take(&mut bytes) {
            *counts.entry(kind).or_default() += 1;
        }
    }
    assert!(bytes.is_empty(), "no event was in the middle");
    counts
}

fn take_json(bytes: &mut Vec<u8>) -> Option<String> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line: Vec<u8> = bytes.drain(..=end).collect();
    let event: Value = serde_json::from_slice(&line).unwrap();
    Some(event["type"].as_str().unwrap().to_owned())
}

/// A length in four bytes, and a message whose first field is the type.
fn take_protobuf(bytes: &mut Vec<u8>) -> Option<String> {
    let length = u32::from_be_bytes(bytes.get(..4)?.try_into().unwrap()) as usize;
    bytes.get(..4 + length)?;
    let message: Vec<u8> = bytes.drain(..4 + length).skip(4).collect();
    assert_eq!(message[0], 0x0a);
    let text = &message[2..2 + message[1] as usize];
    Some(String::from_utf8(text.to_vec()).unwrap())
}

async fn change_all(cluster: &RealCluster) {
    let api: Api<ConfigMap> = Api::default_namespaced(cluster.admin_client().unwrap());
    for number in 0..OBJECTS {
        let name = format!("events-{number}");
        let object = ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                ..ObjectMeta::default()
            },
            data: Some([("key".to_owned(), "a line\n".repeat(1_000))].into()),
            ..ConfigMap::default()
        };
        api.create(&PostParams::default(), &object).await.unwrap();
        for change in 0..number % 4 {
            let patch = Patch::Merge(json!({"data": {"change": change.to_string()}}));
            let patched = api.patch(&name, &PatchParams::default(), &patch).await;
            patched.unwrap();
        }
        api.delete(&name, &DeleteParams::default()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_watches_are_counted_as_their_clients_read_them() {
    let Some(assets) = real::assets() else {
        return;
    };
    identity::install_provider();
    let cluster = RealCluster::start(assets, &[]).await.unwrap();
    let proxy = TestProxy::start(&cluster.url(), &cluster.ca_pem()).await;
    let client = Client {
        target: Target::new(&proxy.url, &proxy.authority),
        token: cluster.admin_token().to_owned(),
    };
    let json = client.watch("application/json").await;
    let protobuf = client.watch("application/vnd.kubernetes.protobuf").await;
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let table = client.watch(table).await;
    client.watch_by_websocket().await;
    change_all(&cluster).await;
    let read = tokio::join!(
        read(json, take_json),
        read(protobuf, take_protobuf),
        read(table, take_json)
    );
    assert_eq!(read.0, read.1);
    let changes: u64 = (0..OBJECTS as u64).map(|number| number % 4).sum();
    assert_eq!(read.0["MODIFIED"], changes);
    let mut expected = Counts::new();
    for (kind, count) in [read.0, read.1, read.2].into_iter().flatten() {
        *expected.entry(kind).or_default() += count;
    }
    let bookmarks = expected["BOOKMARK"];
    assert!(bookmarks >= 2, "the end of what was there");
    let books = books(&proxy).await;
    let mut counted = WatchEvents::default();
    for watches in books.watches {
        for (kind, count) in watches.events {
            *counted.events.entry(kind).or_default() += count;
        }
        for (why, count) in watches.unread {
            *counted.unread.entry(why).or_default() += count;
        }
    }
    // One comes each minute, and perhaps when nobody reads any more.
    let counted_bookmarks = counted.events.insert("BOOKMARK".to_owned(), bookmarks);
    assert!(counted_bookmarks >= Some(bookmarks));
    assert_eq!(counted.events, expected);
    assert_eq!(counted.unread, [("websocket".to_owned(), 1)].into());
    proxy.stop().await;
}
