//! The requests of a log one by one, as `findings` takes them.

use std::collections::HashMap;

use serde::Deserialize;

use super::{
    bodies::{self, cut, parsed},
    event::{AuditEntry, Event},
    numbers::Numbers,
    reader::{AuditReader, BadLine, Told},
    recent::Identity,
    seen::Stage,
};
use classify::{Target, kubevirt::component_of_user, request_options};
use findings::{Answer, Known, Request};
use record::{
    AuditLog, CallRecord, ClientRecord, ObjectSeen, QueryRecord, SentRecord, StatusRecord,
    UNAUTHENTICATED,
};

/// Bytes of a user agent that are kept.
const USER_AGENT_MAX: usize = 256;

/// The requests of a log, each with what its events tell of it.
#[derive(Debug, Default)]
pub struct AuditRequests {
    reader: AuditReader,
    kept: Kept,
}

/// What is kept of the requests.
#[derive(Debug, Default)]
struct Kept {
    requests: Vec<OneRequest>,
    /// Places of those that an event may still tell more of.
    open: HashMap<Identity, usize>,
    callers: Numbers<Caller>,
    calls: Numbers<CallRecord>,
    texts: Numbers<Box<str>>,
    queries: Numbers<QueryRecord>,
    failures: Numbers<StatusRecord>,
}

/// Who made requests: one process, as far as a log tells processes apart.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Caller {
    user: String,
    client: ClientRecord,
    /// The pod of the credential, or else the addresses that the request came from.
    place: String,
}

/// A request, with numbers for what it has in common with others.
#[derive(Debug)]
struct OneRequest {
    caller: u32,
    call: u32,
    code: u16,
    begun: i64,
    answered: i64,
    ended: Option<i64>,
    namespace: u32,
    name: u32,
    query: u32,
    failure: Option<u32>,
    audit_id: Box<str>,
    sent: Option<Box<SentRecord>>,
    object: Option<Box<ObjectSeen>>,
    knows_object: bool,
    dry_run: bool,
    warned: bool,
}

impl AuditRequests {
    /// Takes one line of a log.
    ///
    /// # Errors
    /// If the line is no event and has none in it, or one that can't be counted.
    pub fn line(&mut self, line: &[u8]) -> Result<(), BadLine> {
        let kept = &mut self.kept;
        self.reader.told(line, &mut |told| kept.take(told))
    }

    /// What the log has been so far.
    pub fn log(&self) -> AuditLog {
        self.reader.log()
    }

    /// The requests, in the order of their first events.
    pub fn requests(&self) -> Vec<Request<'_>> {
        let kept = &self.kept;
        let shared = Shared {
            callers: kept.callers.values(),
            calls: kept.calls.values(),
            texts: kept
                .texts
                .values()
                .into_iter()
                .map(|text| &**text)
                .collect(),
            queries: kept.queries.values(),
            failures: kept.failures.values(),
        };
        let requests = kept.requests.iter();
        requests.map(|request| shared.request(request)).collect()
    }
}

impl Kept {
    fn take(&mut self, told: Told<'_>) {
        match told.first {
            Some((entry, target)) => self.add(told.request, told.stage, told.event, entry, target),
            None => self.add_more(told.request, told.stage, told.event),
        }
    }

    fn add(
        &mut self,
        identity: Identity,
        stage: Stage,
        event: &Event<'_>,
        entry: AuditEntry,
        target: &Target<'_>,
    ) {
        let options = request_options(target);
        let (knows_object, object) = bodies::object(event, &entry.call);
        let sent = bodies::sent(event, &entry.call);
        let failure = bodies::failure(event);
        let (namespace, name) = &entry.object;
        let name = match &object {
            Some(object) if name.is_empty() && entry.call.verb == "create" => &object.name,
            _ => name,
        };
        let ends = stage.is_last() || entry.code == 401;
        // Of a watch only the beginning of the response says when it was answered.
        let is_end_only = stage.is_last() && entry.call.verb == "watch" && entry.code < 400;
        let answered = if is_end_only {
            entry.received
        } else {
            entry.staged
        };
        let request = OneRequest {
            caller: self.callers.of_owned(caller(event)),
            code: entry.code,
            begun: entry.received.as_microsecond(),
            answered: answered.as_microsecond(),
            ended: ends.then_some(entry.staged.as_microsecond()),
            namespace: self.texts.of(&**namespace),
            name: self.texts.of(&**name),
            query: self.queries.of_owned((&options).into()),
            failure: failure.map(|failure| self.failures.of_owned(failure)),
            audit_id: entry.id.into(),
            object: object.map(Box::new),
            knows_object,
            dry_run: options.dry_run || sent.as_ref().is_some_and(|sent| sent.dry_run),
            sent: sent.as_ref().map(|sent| Box::new(sent.into())),
            warned: is_warned(event),
            call: self.calls.of_owned(entry.call),
        };
        if !ends || is_end_only {
            self.open.insert(identity, self.requests.len());
        }
        self.requests.push(request);
    }

    /// Takes the end of a response, or a beginning that came after it.
    fn add_more(&mut self, identity: Identity, stage: Stage, event: &Event<'_>) {
        let Some(at) = self.open.remove(&identity) else {
            return;
        };
        let staged = event.stage_timestamp.as_microsecond();
        let request = &mut self.requests[at];
        match (stage, request.ended) {
            (Stage::ResponseStarted, Some(_)) => request.answered = staged,
            (Stage::ResponseComplete | Stage::Panic, None) => {
                request.ended = Some(staged);
                request.warned |= is_warned(event);
                // As a response starts there is only its code.
                let failure = bodies::failure(event).filter(|_| request.failure.is_none());
                if let Some(failure) = failure {
                    request.failure = Some(self.failures.of_owned(failure));
                }
            }
            // The same once more.
            _ => {
                self.open.insert(identity, at);
            }
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Annotations {
    #[serde(rename = "k8s.io/deprecated")]
    deprecated: String,
}

/// Whether the answer had the warning that the API is deprecated.
fn is_warned(event: &Event<'_>) -> bool {
    parsed::<Annotations>(event.annotations).deprecated == "true"
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Extra {
    #[serde(rename = "authentication.kubernetes.io/pod-uid")]
    pod_uid: Vec<String>,
}

fn caller(event: &Event<'_>) -> Caller {
    let pod = parsed::<Extra>(event.user.extra).pod_uid.pop();
    let addresses = || event.source_ips.map_or("", |ips| ips.get()).to_owned();
    let impersonated = event.impersonated_user.as_ref();
    Caller {
        user: event.user.username.clone(),
        client: ClientRecord {
            user_agent: cut(&event.user_agent, USER_AGENT_MAX).to_owned(),
            impersonated: impersonated.map_or_else(String::new, |user| user.username.clone()),
        },
        place: pod.unwrap_or_else(addresses),
    }
}

/// What requests have in common, by number.
struct Shared<'a> {
    callers: Vec<&'a Caller>,
    calls: Vec<&'a CallRecord>,
    texts: Vec<&'a str>,
    queries: Vec<&'a QueryRecord>,
    failures: Vec<&'a StatusRecord>,
}

impl<'a> Shared<'a> {
    fn request(&self, kept: &'a OneRequest) -> Request<'a> {
        let caller = self.callers[kept.caller as usize];
        Request {
            is_before: false,
            instance: kept.caller,
            component: component(&caller.user),
            user: &caller.user,
            call: self.calls[kept.call as usize],
            answer: Answer::Code(kept.code),
            begun: kept.begun,
            answered: kept.answered,
            ended: kept.ended,
            namespace: self.texts[kept.namespace as usize],
            name: self.texts[kept.name as usize],
            audit_id: &kept.audit_id,
            request_bytes: 0,
            response_bytes: 0,
            connection: 0,
            client: Some(&caller.client),
            query: Some(self.queries[kept.query as usize]),
            sent: kept.sent.as_deref(),
            object: kept.object.as_deref(),
            failure: kept.failure.map(|failure| self.failures[failure as usize]),
            watch: None,
            dry_run: kept.dry_run,
            repeats: 0,
            warned: kept.warned,
            known: Known {
                sent: kept.sent.is_some(),
                object: kept.knows_object,
                bytes: false,
            },
        }
    }
}

/// Whose requests a user's are.
fn component(user: &str) -> &str {
    match component_of_user(user) {
        Some(component) => component,
        None if user.is_empty() => UNAUTHENTICATED,
        None => user,
    }
}
