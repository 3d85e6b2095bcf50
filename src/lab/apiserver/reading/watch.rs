//! watch: a position in a collection's history that the connection pulls forward.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use rand::Rng;
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::read::{self, Filter};
use crate::apiserver::representation::answer::Answer;
use crate::apiserver::representation::view::{View, encode};
use crate::apiserver::requests::call::Call;
use crate::apiserver::resources::object::Object;
use crate::apiserver::server::ApiServer;
use crate::apiserver::status::Failure;
use crate::apiserver::storage::store::{Change, Event, Expired};

/// How many events are taken from the history, or from the initial state, at once.
const BATCH: usize = 256;

/// How long before its end a watch gets its last bookmark.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);

/// The annotation of the bookmark that says that the initial state is complete.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

struct Watcher {
    server: Arc<ApiServer>,
    call: Call,
    filter: Filter,
    /// Objects of the initial state that are still to be sent.
    initial: VecDeque<Arc<Object>>,
    /// Whether the end of the initial state is to be announced.
    announce: bool,
    position: u64,
    deadline: Instant,
    next_bookmark: Option<Instant>,
    finished: bool,
    changed: Receiver<()>,
    cut: Receiver<()>,
    stop: CancellationToken,
}

/// Starts a watch. A version that is too old is told in the stream, as kube-apiserver does.
pub(crate) fn start(
    server: Arc<ApiServer>,
    call: Call,
    stop: CancellationToken,
) -> Result<Answer, Failure> {
    let filter = Filter::of(&call)?;
    let asked = read::asked_version(&call)?;
    let wants_initial = check_initial_events(&call)?;
    let bookmarks = call.query.flag("allowWatchBookmarks");
    let deadline = Instant::now() + lifetime(&server, &call)?;
    let from_now = matches!(asked, None | Some(0)) || wants_initial == Some(true);
    let (initial, position) = match asked {
        _ if from_now => server.store.snapshot(call.id, &filter.namespace),
        Some(version) => (vec![], version),
        None => (vec![], server.store.version()),
    };
    let skip = wants_initial == Some(false);
    let initial = initial
        .into_iter()
        .filter(|object| !skip && filter.matches(object))
        .collect();
    let watcher = Watcher {
        initial,
        // Kubernetes announces the end of the initial state to older clients too.
        announce: bookmarks && from_now && wants_initial != Some(false),
        position,
        deadline,
        next_bookmark: bookmarks.then(|| next_bookmark(&server, deadline)),
        finished: false,
        changed: server.store.subscribe(call.id),
        cut: server.faults.cut(),
        stop,
        filter,
        call,
        server,
    };
    Ok(Answer::stream(stream::unfold(
        watcher,
        |mut watcher| async move { watcher.next().await.map(|chunk| (chunk, watcher)) },
    )))
}

/// `sendInitialEvents`, if given, with Kubernetes's demand on resourceVersionMatch.
fn check_initial_events(call: &Call) -> Result<Option<bool>, Failure> {
    let wanted = call
        .query
        .get("sendInitialEvents")
        .map(|_| call.query.flag("sendInitialEvents"));
    match (wanted, call.query.text("resourceVersionMatch")) {
        (Some(_), "NotOlderThan") | (None, "") => Ok(wanted),
        (Some(_), _) => Err(read::forbidden_match(
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        )),
        (None, _) => Err(read::forbidden_match(
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        )),
    }
}

/// After the interval, and once more shortly before the end, so that the client can resume from there.
fn next_bookmark(server: &ApiServer, deadline: Instant) -> Instant {
    let now = Instant::now();
    let regular = now + server.options.bookmark_interval;
    match deadline
        .checked_sub(LAST_BOOKMARK)
        .filter(|last| *last > now)
    {
        Some(last) => regular.min(last),
        None => regular,
    }
}

fn lifetime(server: &ApiServer, call: &Call) -> Result<Duration, Failure> {
    let asked =
        read::number(call, "timeoutSeconds")?.and_then(|seconds| u64::try_from(seconds).ok());
    let least = server.options.watch_timeout;
    Ok(match asked.filter(|seconds| *seconds > 0) {
        Some(seconds) => Duration::from_secs(seconds.min(7 * 86_400)),
        None => least.mul_f64(1.0 + rand::rng().random::<f64>()),
    })
}

impl Watcher {
    /// The next chunk: one or more events, each on its line. `None` ends the watch.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.finished || self.stop.is_cancelled() || self.cut.has_changed().unwrap_or(true) {
                return None;
            }
            if Instant::now() >= self.next_due() {
                return self.time_is_up();
            }
            if let Some(chunk) = self.ready() {
                return Some(chunk);
            }
            let due = self.next_due();
            tokio::select! {
                _ = self.cut.changed() => return None,
                () = self.stop.cancelled() => return None,
                changed = self.changed.changed() => self.finished = changed.is_err(),
                () = tokio::time::sleep_until(due) => {}
            }
        }
    }

    fn next_due(&self) -> Instant {
        self.next_bookmark
            .map_or(self.deadline, |bookmark| bookmark.min(self.deadline))
    }

    /// What can be sent now, if anything.
    fn ready(&mut self) -> Option<Bytes> {
        if !self.initial.is_empty() {
            return Some(self.initial_chunk());
        }
        if self.announce {
            self.announce = false;
            return Some(self.bookmark(true));
        }
        loop {
            self.changed.mark_unchanged();
            let batch = match self.server.store.since(self.call.id, self.position, BATCH) {
                Ok(batch) => batch,
                Err(expired) => return Some(self.expired(expired)),
            };
            self.position = batch.version;
            let mut chunk = vec![];
            for event in &batch.events {
                self.write_event(&mut chunk, event);
            }
            if !chunk.is_empty() {
                return Some(chunk.into());
            }
            if batch.events.len() < BATCH {
                return None;
            }
        }
    }

    fn initial_chunk(&mut self) -> Bytes {
        let mut chunk = vec![];
        for object in self.initial.drain(..BATCH.min(self.initial.len())) {
            write_line(
                &mut chunk,
                "ADDED",
                &self.call.view.one(self.call.resource, &object.json()),
            );
        }
        chunk.into()
    }

    /// An object that starts or ceases to be selected is added or deleted for this watch.
    fn write_event(&self, chunk: &mut Vec<u8>, event: &Event) {
        let before = event
            .previous
            .as_ref()
            .is_some_and(|previous| self.filter.matches(previous));
        let after = event.change != Change::Deleted && self.filter.matches(&event.object);
        let view = |json: &Bytes| self.call.view.one(self.call.resource, json);
        match (before, after) {
            (false, false) => {}
            (false, true) => write_line(chunk, "ADDED", &view(&event.object.json())),
            (true, true) => write_line(chunk, "MODIFIED", &view(&event.object.json())),
            (true, false) if event.change == Change::Deleted => {
                write_line(chunk, "DELETED", &view(&event.object.json()));
            }
            (true, false) => write_line(chunk, "DELETED", &view(&as_left(event))),
        }
    }

    fn bookmark(&mut self, end_of_initial: bool) -> Bytes {
        self.next_bookmark = self
            .next_bookmark
            .map(|_| next_bookmark(&self.server, self.deadline));
        let mut metadata =
            json!({"creationTimestamp": null, "resourceVersion": self.position.to_string()});
        if end_of_initial {
            metadata["annotations"] = json!({INITIAL_EVENTS_END: "true"});
        }
        let (kind, api_version) = match self.call.view {
            View::Object => (self.call.resource.kind, self.call.resource.api_version()),
            View::Table => ("Table", "meta.k8s.io/v1".to_owned()),
            View::Metadata => ("PartialObjectMetadata", "meta.k8s.io/v1".to_owned()),
        };
        let mut chunk = vec![];
        let object = json!({"kind": kind, "apiVersion": api_version, "metadata": metadata});
        write_line(&mut chunk, "BOOKMARK", &encode(&object));
        chunk.into()
    }

    /// A bookmark is due, or the watch is over. The bookmark follows what else there is to send; while the initial state
    /// is not complete it would claim too much.
    fn time_is_up(&mut self) -> Option<Bytes> {
        self.finished = Instant::now() >= self.deadline;
        if self.finished {
            return None;
        }
        let complete = self.initial.len() <= BATCH;
        let mut chunk = self.ready().map(Vec::from).unwrap_or_default();
        if complete && !self.finished {
            let announce = std::mem::take(&mut self.announce);
            chunk.extend_from_slice(&self.bookmark(announce));
        }
        Some(chunk.into())
    }

    fn expired(&mut self, expired: Expired) -> Bytes {
        self.finished = true;
        let mut chunk = vec![];
        let status = Failure::expired(self.position, expired.oldest).to_status();
        write_line(&mut chunk, "ERROR", &encode(&status));
        chunk.into()
    }
}

/// The object as it was when it was still selected, under the version of the event that ended that.
fn as_left(event: &Event) -> Bytes {
    let mut value = event
        .previous
        .as_ref()
        .map_or(Value::Null, |previous| previous.parse());
    value["metadata"]["resourceVersion"] = event.object.version.to_string().into();
    encode(&value)
}

fn write_line(chunk: &mut Vec<u8>, kind: &str, object: &Bytes) {
    chunk.extend_from_slice(b"{\"type\":\"");
    chunk.extend_from_slice(kind.as_bytes());
    chunk.extend_from_slice(b"\",\"object\":");
    chunk.extend_from_slice(object);
    chunk.extend_from_slice(b"}\n");
}
