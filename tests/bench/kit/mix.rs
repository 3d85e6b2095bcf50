//! The calls of a run of 100 VMIs on KubeVirt's own controllers, as docs/REAL-KUBEVIRT.md has them,
//! with bodies of their sizes and watches that hear of each write.

use bytes::Bytes;
use http::{Method, StatusCode};

use super::{
    bodies,
    script::{Answer, Script},
};

/// A program that makes calls over a connection of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    Controller,
    Handler,
    Api,
}

impl Component {
    pub const ALL: [Self; 3] = [Self::Controller, Self::Handler, Self::Api];

    pub fn name(self) -> &'static str {
        match self {
            Self::Controller => "virt-controller",
            Self::Handler => "virt-handler",
            Self::Api => "virt-api",
        }
    }

    /// Where its watches are.
    pub fn watches(self) -> &'static [&'static str] {
        match self {
            Self::Controller => &[INSTANCES_WATCH, PODS_WATCH],
            Self::Handler => &[INSTANCES_WATCH],
            Self::Api => &[],
        }
    }
}

/// One call, and its answer.
#[derive(Debug, Clone)]
pub struct Call {
    pub component: Component,
    pub method: Method,
    pub path: String,
    pub content_type: &'static str,
    pub sent: Bytes,
    pub status: StatusCode,
    pub answer: Bytes,
    /// The watch that hears of it.
    watch: Option<&'static str>,
}

const JSON: &str = "application/json";
const JSON_PATCH: &str = "application/json-patch+json";
const INSTANCES_WATCH: &str = "/apis/kubevirt.io/v1/virtualmachineinstances?allowWatchBookmarks=true&resourceVersion=1234567&timeoutSeconds=541&watch=true";
const PODS_WATCH: &str = "/api/v1/pods?allowWatchBookmarks=true&labelSelector=kubevirt.io&resourceVersion=1234567&timeoutSeconds=541&watch=true";

/// The calls for so many VMIs.
pub fn calls(instances: usize) -> Vec<Call> {
    let bodies = Bodies::new();
    (0..instances)
        .flat_map(|number| bodies.calls(number))
        .collect()
}

/// What an API server answers to them.
pub fn script(calls: &[Call]) -> Script {
    let mut script = Script::default();
    for call in calls {
        let event = call
            .watch
            .map(|watch| (watch, bodies::modified(&call.answer)));
        script.add(
            (call.method.clone(), call.path.clone()),
            Answer {
                status: call.status,
                body: call.answer.clone(),
                event,
            },
        );
    }
    script
}

/// How many events a watch delivers while all calls are made once.
pub fn events(calls: &[Call], watch: &str) -> usize {
    calls
        .iter()
        .filter(|call| call.watch == Some(watch))
        .count()
}

/// Their bytes.
pub fn event_bytes(calls: &[Call], watch: &str) -> u64 {
    let heard = calls.iter().filter(|call| call.watch == Some(watch));
    heard
        .map(|call| bodies::modified(&call.answer).len() as u64)
        .sum()
}

struct Bodies {
    instance: Bytes,
    instance_sent: Bytes,
    pod: Bytes,
    pod_sent: Bytes,
}

impl Bodies {
    fn new() -> Self {
        Self {
            instance: bodies::instance(),
            instance_sent: bodies::instance_sent(),
            pod: bodies::pod(),
            pod_sent: bodies::pod_sent(),
        }
    }

    fn calls(&self, number: usize) -> Vec<Call> {
        let mut calls = vec![
            self.read_instance(number),
            self.create_pod(),
            self.update_instance(Component::Controller, number),
            create_event(),
            self.patch_pod(number, "", "/metadata/labels"),
            self.update_instance(Component::Controller, number),
            self.patch_pod(number, "/status", "/status/conditions"),
            self.update_instance(Component::Handler, number),
        ];
        if number.is_multiple_of(4) {
            calls.push(failed_patch(number));
        }
        if number.is_multiple_of(5) {
            calls.push(renew_lease());
        }
        calls
    }

    fn read_instance(&self, number: usize) -> Call {
        Call {
            component: Component::Api,
            method: Method::GET,
            path: instance_path(number),
            sent: Bytes::new(),
            ..self.update_instance(Component::Api, number)
        }
        .unheard()
    }

    fn update_instance(&self, component: Component, number: usize) -> Call {
        Call {
            component,
            method: Method::PUT,
            path: instance_path(number),
            content_type: JSON,
            sent: self.instance_sent.clone(),
            status: StatusCode::OK,
            answer: self.instance.clone(),
            watch: Some(INSTANCES_WATCH),
        }
    }

    fn create_pod(&self) -> Call {
        Call {
            component: Component::Controller,
            method: Method::POST,
            path: "/api/v1/namespaces/kubevirt-perf-test/pods".to_owned(),
            content_type: JSON,
            sent: self.pod_sent.clone(),
            status: StatusCode::CREATED,
            answer: self.pod.clone(),
            watch: Some(PODS_WATCH),
        }
    }

    fn patch_pod(&self, number: usize, subresource: &str, field: &str) -> Call {
        Call {
            method: Method::PATCH,
            path: format!("{}{subresource}", pod_path(number)),
            content_type: JSON_PATCH,
            sent: bodies::patch(field),
            status: StatusCode::OK,
            ..self.create_pod()
        }
    }
}

impl Call {
    fn unheard(mut self) -> Self {
        self.watch = None;
        self
    }
}

fn failed_patch(number: usize) -> Call {
    Call {
        component: Component::Controller,
        method: Method::PATCH,
        path: format!("{}-gone", pod_path(number)),
        content_type: JSON_PATCH,
        sent: bodies::patch("/metadata/labels"),
        status: StatusCode::UNPROCESSABLE_ENTITY,
        answer: bodies::test_failed(),
        watch: None,
    }
}

fn create_event() -> Call {
    Call {
        component: Component::Controller,
        method: Method::POST,
        path: "/api/v1/namespaces/kubevirt-perf-test/events".to_owned(),
        content_type: JSON,
        sent: bodies::event(false),
        status: StatusCode::CREATED,
        answer: bodies::event(true),
        watch: None,
    }
}

fn renew_lease() -> Call {
    Call {
        component: Component::Controller,
        method: Method::PUT,
        path: "/apis/coordination.k8s.io/v1/namespaces/kubevirt/leases/virt-controller".to_owned(),
        content_type: JSON,
        sent: bodies::lease(),
        status: StatusCode::OK,
        answer: bodies::lease(),
        watch: None,
    }
}

fn instance_path(number: usize) -> String {
    format!(
        "/apis/kubevirt.io/v1/namespaces/kubevirt-perf-test/virtualmachineinstances/vmi-{number:04}"
    )
}

fn pod_path(number: usize) -> String {
    format!("/api/v1/namespaces/kubevirt-perf-test/pods/virt-launcher-vmi-{number:04}-x7k2p")
}
