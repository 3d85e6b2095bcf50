//! What a call sets off: calls of admission webhooks, and events of watches.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::Request;
use http_body_util::BodyExt;
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};

use super::{caller::Call, error::PricingError, life::Life, session::Session, subject::Subject};
use prices::{Extra, Size, What};
use record::{PricedOutcome, WebhookKind};

/// How many watches get each event, where it is measured what each further one takes.
const MANY: u32 = 11;
/// Batches of updates in one life of the objects, and no more than there are objects. What a webhook or
/// a watch takes is a small difference of two of them.
const UPDATES: u64 = 4;
/// Longest wait for a webhook to be called.
const WEBHOOK_WAIT: Duration = Duration::from_secs(15);
/// Longest wait for events to be delivered.
const EVENTS_WAIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(10);

/// A server of admission webhooks that the API server reaches, and that lets everything pass.
#[derive(Debug, Clone)]
pub struct WebhookServer {
    /// Its URL.
    pub url: String,
    /// The certificate that its own is signed with, PEM.
    pub ca_pem: String,
    /// How often it was called.
    pub calls: Arc<AtomicU64>,
}

/// Namespaces in which an update sets something off.
pub(super) struct Extras {
    namespace: String,
    webhooks: Option<WebhookServer>,
    events: Arc<AtomicU64>,
    watches: JoinSet<()>,
}

/// What is measured, with the end of its namespace's name.
fn all() -> [(Extra, &'static str); 5] {
    [
        (Extra::Nothing, "alone"),
        (Extra::Webhook(WebhookKind::Mutating), "mutating"),
        (Extra::Webhook(WebhookKind::Validating), "validating"),
        (Extra::Watches(1), "watched"),
        (Extra::Watches(MANY), "watched-by-many"),
    ]
}

impl Extras {
    /// Makes the namespaces, webhooks and watches.
    pub(super) async fn new(
        session: &mut Session<'_>,
        namespace: &str,
        subjects: &[Subject],
        webhooks: Option<WebhookServer>,
    ) -> Result<Self, PricingError> {
        let mut extras = Self {
            namespace: namespace.to_owned(),
            webhooks,
            events: Arc::default(),
            watches: JoinSet::new(),
        };
        for (extra, suffix) in all() {
            let namespace = format!("{namespace}-{suffix}");
            create_namespace(session, &namespace).await?;
            match extra {
                Extra::Nothing => (),
                Extra::Watches(count) => {
                    for subject in subjects.iter().filter(|subject| subject.with_extras) {
                        let path = subject.collection(&namespace);
                        extras.watch(session.client, &path, count).await?;
                    }
                }
                Extra::Webhook(kind) => extras.hook(session, kind, subjects).await?,
            }
        }
        Ok(extras)
    }

    /// Opens so many watches.
    async fn watch(
        &mut self,
        client: &Client,
        collection: &str,
        count: u32,
    ) -> Result<(), PricingError> {
        for _ in 0..count {
            let mut body = open_watch(client, collection).await?;
            let (client, collection) = (client.clone(), collection.to_owned());
            let events = Arc::clone(&self.events);
            self.watches.spawn(async move {
                loop {
                    count_events(body, &events).await;
                    // The API server ends a watch of a custom resource when its definition changes.
                    let Ok(again) = open_watch(&client, &collection).await else {
                        break;
                    };
                    body = again;
                }
            });
        }
        Ok(())
    }

    /// Makes the configuration of a webhook for updates in its namespace, and waits until it counts.
    async fn hook(
        &self,
        session: &mut Session<'_>,
        kind: WebhookKind,
        subjects: &[Subject],
    ) -> Result<(), PricingError> {
        let Some(server) = &self.webhooks else {
            return Ok(());
        };
        let (path, object) = configuration(kind, &self.namespace, server, subjects);
        create(session, path, &object).await?;
        let deadline = Instant::now() + WEBHOOK_WAIT;
        let Some(subject) = subjects.iter().find(|subject| subject.with_extras) else {
            return Ok(());
        };
        let namespace = format!("{}-{}", self.namespace, suffix(kind));
        let mut life = Life::new(subject, &namespace, Size::Small, 1);
        life.make(session).await?;
        while server.calls.load(Ordering::Relaxed) == 0 && Instant::now() < deadline {
            let changed = life.changed("", "waiting");
            session.prepare(life.puts(&changed)).await?;
            life.look_again(session).await?;
            sleep(PAUSE).await;
        }
        server.calls.store(0, Ordering::Relaxed);
        life.unmake(session).await
    }

    /// Updates of objects that set each of the things off.
    pub(super) async fn measure(
        &self,
        session: &mut Session<'_>,
        subject: &Subject,
        size: Size,
        count: usize,
    ) -> Result<(), PricingError> {
        for (extra, suffix) in all() {
            if matches!(extra, Extra::Webhook(_)) && self.webhooks.is_none() {
                continue;
            }
            let namespace = format!("{}-{suffix}", self.namespace);
            let mut life = Life::new(subject, &namespace, size, count);
            self.measure_one(session, extra, &mut life).await?;
        }
        Ok(())
    }

    async fn measure_one(
        &self,
        session: &mut Session<'_>,
        extra: Extra,
        life: &mut Life<'_>,
    ) -> Result<(), PricingError> {
        self.counter(extra).store(0, Ordering::Relaxed);
        life.make(session).await?;
        let updates = UPDATES.min(life.objects.len() as u64);
        let by_batch = life.objects.len() as u64 * u64::from(each(extra));
        // What the creations set off must not be taken for what the updates do.
        let by_creating = if matches!(extra, Extra::Watches(_)) {
            by_batch
        } else {
            0
        };
        let before = self.set_off(extra, by_creating).await;
        let what = What::With(extra, life.priced("update", ""), PricedOutcome::Success);
        for time in 1..=updates {
            life.update_all(session, what.clone(), &format!("updated-{time}"))
                .await?;
            // Each batch pays for what it sets off, and for nothing of the one before.
            self.set_off(extra, by_creating + time * by_batch).await;
        }
        let due = updates * by_batch;
        let after = self.set_off(extra, by_creating + due).await;
        if (before, after) != (by_creating, by_creating + due) {
            let seen = after.saturating_sub(before);
            session.forget_last(&what, &format!("{seen} were set off in place of {due}"));
        }
        life.unmake(session).await?;
        // Events of these deletions must not be taken for those of the next creations.
        self.set_off(extra, 2 * by_creating + due).await;
        Ok(())
    }

    fn counter(&self, extra: Extra) -> &AtomicU64 {
        match (extra, &self.webhooks) {
            (Extra::Webhook(_), Some(server)) => &server.calls,
            _ => &self.events,
        }
    }

    /// How many have been set off, as soon as there are as many as are due.
    async fn set_off(&self, extra: Extra, due: u64) -> u64 {
        let deadline = Instant::now() + EVENTS_WAIT;
        while self.counter(extra).load(Ordering::Relaxed) < due && Instant::now() < deadline {
            sleep(PAUSE).await;
        }
        self.counter(extra).load(Ordering::Relaxed)
    }

    /// Takes away what was made, but for the watches, which end with this.
    pub(super) async fn clean_up(&self, session: &mut Session<'_>) -> Result<(), PricingError> {
        let mut calls = Vec::new();
        for (extra, suffix) in all() {
            if let Extra::Webhook(kind) = extra {
                let name = format!("{}-{suffix}", self.namespace);
                calls.push(Call::delete(format!("{}/{name}", configurations(kind))));
            }
            calls.push(Call::delete(format!(
                "/api/v1/namespaces/{}-{suffix}",
                self.namespace
            )));
        }
        session.prepare(calls).await?;
        Ok(())
    }
}

async fn open_watch(client: &Client, collection: &str) -> Result<Body, PricingError> {
    let request = Request::get(format!("{collection}?watch=1&timeoutSeconds=86400"))
        .body(Body::empty())
        .map_err(|error| PricingError::Call(error.to_string()))?;
    Ok(client.send(request).await?.into_body())
}

/// Counts the lines of a watch until it ends.
async fn count_events(mut body: Body, events: &AtomicU64) {
    while let Some(Ok(frame)) = body.frame().await {
        let data = frame.into_data().unwrap_or_default();
        let ends = data.iter().filter(|byte| **byte == b'\n').count();
        events.fetch_add(ends as u64, Ordering::Relaxed);
    }
}

/// How many of such things one call sets off.
fn each(extra: Extra) -> u32 {
    match extra {
        Extra::Nothing => 0,
        Extra::Webhook(_) => 1,
        Extra::Watches(watches) => watches,
    }
}

fn suffix(kind: WebhookKind) -> &'static str {
    match kind {
        WebhookKind::Mutating => "mutating",
        WebhookKind::Validating => "validating",
    }
}

fn configurations(kind: WebhookKind) -> String {
    format!(
        "/apis/admissionregistration.k8s.io/v1/{}webhookconfigurations",
        suffix(kind)
    )
}

/// Where a webhook's configuration is created, and what it is.
fn configuration(
    kind: WebhookKind,
    namespace: &str,
    server: &WebhookServer,
    subjects: &[Subject],
) -> (String, Value) {
    let name = format!("{namespace}-{}", suffix(kind));
    let kind_name = match kind {
        WebhookKind::Mutating => "MutatingWebhookConfiguration",
        WebhookKind::Validating => "ValidatingWebhookConfiguration",
    };
    let rules = subjects.iter().filter(|subject| subject.with_extras);
    let rules: Vec<Value> = rules
        .map(|subject| {
            json!({"operations": ["UPDATE"], "apiGroups": [subject.group],
                "apiVersions": [subject.version], "resources": [subject.plural]})
        })
        .collect();
    let object = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind_name,
        "metadata": {"name": name},
        "webhooks": [{
            "name": "price.kubetoll.dev", "rules": rules, "admissionReviewVersions": ["v1"],
            "sideEffects": "None", "timeoutSeconds": 5,
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
            "clientConfig": {"url": server.url, "caBundle": base64(server.ca_pem.as_bytes())},
        }],
    });
    (configurations(kind), object)
}

fn base64(bytes: &[u8]) -> Value {
    serde_json::to_value(k8s_openapi::ByteString(bytes.to_vec())).unwrap_or_default()
}

pub(super) async fn create_namespace(
    session: &mut Session<'_>,
    name: &str,
) -> Result<(), PricingError> {
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    create(session, "/api/v1/namespaces".to_owned(), &object).await
}

/// Makes something that must not be there yet.
pub(super) async fn create(
    session: &mut Session<'_>,
    path: String,
    object: &Value,
) -> Result<(), PricingError> {
    let answers = session
        .prepare(vec![Call::post(path.clone(), object)])
        .await?;
    match answers.first().map(|answer| answer.code) {
        Some(201) => Ok(()),
        code => Err(PricingError::Refused {
            what: path,
            code: code.unwrap_or_default(),
        }),
    }
}
