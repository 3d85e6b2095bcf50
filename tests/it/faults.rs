//! Runs while something goes wrong: exact all the same, or said to be invalid.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use driver::{
    Driver, Plan, Progress, RunError, RunFailed,
    client::counted,
    proxies::ProxyError,
    workload::{Scenario, Spec},
};
use futures_util::FutureExt;
use lab::{
    apiserver::{AdmissionRequest, AdmissionResponse, Fault},
    embedded::EmbeddedLab,
    simulation::{Identity, Simulation},
};
use record::{BooksKept, CauseSource, ClusterRecord, FailureReason, RunRecord};
use report::{Asked, evaluate};
use tokio_util::sync::CancellationToken;

use crate::support::{proxy::TestProxy, relay::Relay, witness};

/// Does something at each created object.
struct AtStep<F>(F, Mutex<String>);

impl<F: Fn(usize) + Send + Sync> Progress for AtStep<F> {
    fn phase(&self, what: &str) {
        what.clone_into(&mut self.1.lock().unwrap());
    }

    fn step(&self, done: usize, _of: usize) {
        if *self.1.lock().unwrap() == "create" {
            (self.0)(done);
        }
    }

    fn warn(&self, what: &str) {
        panic!("{what}");
    }
}

fn at_step(act: impl Fn(usize) + Send + Sync) -> impl Progress {
    AtStep(act, Mutex::default())
}

struct TestLab {
    lab: EmbeddedLab,
    relay: Relay,
    proxy: TestProxy,
    simulation: Simulation,
    client: kube::Client,
}

impl TestLab {
    /// Components behind the proxy, which reaches the API server through a relay.
    async fn start() -> Self {
        Self::start_with(|_| false).await
    }

    /// The same, but for programs that go around the proxy.
    async fn start_with(goes_around: fn(&str) -> bool) -> Self {
        identity::install_provider();
        let lab = EmbeddedLab::start().await.unwrap();
        let relay = Relay::start(&lab.url).await;
        let proxy = TestProxy::start(&relay.url, &lab.authority.certificate_pem()).await;
        let admin = lab.token_for("kubetoll", &["system:masters"]);
        let client = lab::client(&lab.url, &lab.authority, &admin, "kubetoll").unwrap();
        let connect = |identity: &Identity| {
            let (url, authority) = if goes_around(identity.program) {
                (&lab.url, &lab.authority)
            } else {
                (&proxy.url, &proxy.authority)
            };
            let token = lab.token_for(&identity.user(), &[]);
            lab::client(url, authority, &token, identity.program)
        };
        let simulation = Simulation::start(&client, &connect, Some(&lab.server), 2)
            .await
            .unwrap();
        Self {
            lab,
            relay,
            proxy,
            simulation,
            client,
        }
    }

    async fn run(
        &self,
        scenario: Scenario,
        count: usize,
        progress: &dyn Progress,
    ) -> Result<RunRecord, RunFailed> {
        self.run_plan(&plan(scenario, count), progress).await
    }

    async fn run_plan(&self, plan: &Plan, progress: &dyn Progress) -> Result<RunRecord, RunFailed> {
        let (client, tally) = counted(self.client.clone(), "default");
        let driver = Driver {
            client,
            tally,
            proxies: vec![self.proxy.admin.clone()],
            roster: None,
            spool: None,
            window_hook: None,
            cluster: ClusterRecord::default(),
            progress,
            stop: CancellationToken::new(),
        };
        driver.run(plan).await
    }

    async fn stop(self) {
        self.simulation.stop().await;
        self.proxy.stop().await;
        self.lab.stop();
    }
}

fn plan(scenario: Scenario, count: usize) -> Plan {
    Plan {
        spec: Spec {
            scenario,
            kwok: false,
        },
        count,
        pause: Duration::from_millis(30),
        timeout: Duration::from_secs(60),
        settle: Duration::from_millis(1_000),
        baseline: Duration::ZERO,
        namespace: None,
        keep: false,
        primer: true,
        journal: true,
        simulated: true,
        configuration: std::collections::BTreeMap::new(),
    }
}

/// Pods that the API server says it created are what the books say.
fn successful_creates(record: &RunRecord, resource: &str) -> u64 {
    let rows = evaluate(record, &Asked::default()).rows;
    let rows = rows.into_iter().filter(|row| {
        row.call.verb == "create"
            && row.call.resource == resource
            && row.call.subresource.is_empty()
            && row.outcome.code() == Some(201)
    });
    rows.map(|row| row.count).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_connections_throttling_expired_watches_and_slow_bodies_lose_no_count() {
    let lab = TestLab::start().await;
    for scenario in [Scenario::Vmi, Scenario::Vm, Scenario::Instancetype] {
        let server = Arc::clone(&lab.lab.server);
        let progress = at_step(|done| match done {
            3 => server.inject(Fault::DelayBodies(Duration::from_millis(20))),
            5 => server.inject(Fault::CutWatches),
            8 => server.inject(Fault::DelayBodies(Duration::ZERO)),
            10 => server.inject(Fault::ExpireHistory),
            12 => server.inject(Fault::ThrottleMutating(9)),
            18 => server.inject(Fault::ThrottleMutating(0)),
            15 | 20 => lab.relay.cut(),
            _ => {}
        });
        let record = lab.run(scenario.clone(), 30, &progress).await.unwrap();
        let failed: Vec<_> = record.checks.iter().filter(|check| !check.ok).collect();
        // A create whose answer was cut off is in no row with a code: the check may say so, but
        // nothing may be counted that was not created.
        let created = successful_creates(&record, "pods");
        let found = witness::compare(&record, &lab.lab.server.request_log());
        assert!(found.different.is_empty(), "{:#?}", found.different);
        assert!(found.equal > 300, "{found:?}");
        assert!(
            found.unbooked <= found.unanswered,
            "more than the cut connections explain: {found:?}"
        );
        // Who lost the answer to a create may make another pod before it sees the first.
        let unbooked_pods = found.unbooked_creates.get("pods").copied();
        let unbooked_pods = unbooked_pods.unwrap_or_default();
        let all = created + unbooked_pods;
        assert!((30..=30 + unbooked_pods).contains(&all), "{found:?}");
        let may_fail: Vec<String> = found
            .unbooked_creates
            .keys()
            .map(|resource| format!("created {resource} are in the books"))
            .collect();
        assert!(
            failed.iter().all(|check| may_fail.contains(&check.name)),
            "{failed:?} {found:?}"
        );
    }
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_around_the_proxy_makes_the_run_invalid() {
    let all: fn(&str) -> bool = |_| true;
    for goes_around in [all, |program| program == "virt-controller"] {
        let lab = TestLab::start_with(goes_around).await;
        let record = lab.run(Scenario::Vmi, 3, &at_step(|_| {})).await.unwrap();
        assert!(!record.is_valid());
        let check = record
            .checks
            .iter()
            .find(|check| check.name == "created pods are in the books")
            .unwrap();
        assert!(!check.ok, "{check:?}");
        assert_eq!(
            check.detail,
            "3 created (3 by virt-controller), 0 in the books: a component goes around the proxies; is \
             it that one, and does it use the proxy's address?"
        );
        lab.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_on_the_same_proxy_is_refused_and_leaves_nothing() {
    let lab = TestLab::start().await;
    lab.proxy
        .admin
        .open_run("mine", &record::OpenRun::default())
        .await
        .unwrap();
    let refused = lab
        .run(Scenario::Vmi, 3, &at_step(|_| {}))
        .await
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "the proxy at {} says: run mine is open on these books",
            lab.proxy.admin.url()
        )
    );
    let record = refused.record.unwrap();
    let failure = record.failure.unwrap();
    assert_eq!(
        (failure.reason, failure.books),
        (FailureReason::ProxyRefused, BooksKept::None)
    );
    assert!(record.proxies.is_empty());
    lab.proxy.admin.close_run("mine").await.unwrap();
    assert_eq!(namespaces_left(&lab).await, 0);
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_cleans_up() {
    let lab = TestLab::start().await;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let progress = at_step(move |done| {
        if done == 3 {
            stopped.cancel();
        }
    });
    let (client, tally) = counted(lab.client.clone(), "default");
    let driver = Driver {
        client,
        tally,
        proxies: vec![lab.proxy.admin.clone()],
        roster: None,
        spool: None,
        window_hook: None,
        cluster: ClusterRecord::default(),
        progress: &progress,
        stop,
    };
    let failed = driver.run(&plan(Scenario::Vm, 10)).await.unwrap_err();
    assert!(matches!(failed.cause.cause(), RunError::Interrupted));
    assert_eq!(namespaces_left(&lab).await, 0);
    let record = failed.record.unwrap();
    let failure = record.failure.as_ref().unwrap();
    assert_eq!(
        (failure.reason, failure.books),
        (FailureReason::Interrupted, BooksKept::Closed)
    );
    assert!(!record.is_valid());
    assert!(!record.proxies[0].difference.is_empty());
    assert!(successful_creates(&record, "virtualmachineinstances") <= 3);
    let found = witness::compare(&record, &lab.lab.server.request_log());
    assert!(found.different.is_empty(), "{:#?}", found.different);
    let opened = lab
        .proxy
        .admin
        .open_run("next", &record::OpenRun::default())
        .await;
    assert!(opened.is_ok(), "the interrupted run's books are closed");
    lab.stop().await;
}

/// Namespaces of runs that are not on their way out.
async fn namespaces_left(lab: &TestLab) -> usize {
    let api: kube::Api<k8s_openapi::api::core::v1::Namespace> = kube::Api::all(lab.client.clone());
    let list = api.list(&kube::api::ListParams::default()).await.unwrap();
    let runs = list.items.into_iter().filter(|namespace| {
        let metadata = &namespace.metadata;
        metadata
            .name
            .as_deref()
            .is_some_and(|name| name.starts_with("kubetoll-"))
            && metadata.deletion_timestamp.is_none()
    });
    runs.count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_forgets_the_run_makes_it_invalid() {
    let lab = TestLab::start().await;
    let progress = at_step(|done| {
        if done == 2 {
            lab.proxy.forget_runs();
        }
    });
    let failed = lab.run(Scenario::Vmi, 4, &progress).await.unwrap_err();
    assert!(
        matches!(
            failed.cause.cause(),
            RunError::Proxy(ProxyError::Lost { .. })
        ),
        "{failed:?}"
    );
    let record = failed.record.unwrap();
    let failure = record.failure.as_ref().unwrap();
    assert_eq!(
        (failure.reason, failure.books),
        (FailureReason::ProxyLost, BooksKept::LastKnown)
    );
    // All of them were Running when the books were gone.
    assert_eq!(failure.not_running, None);
    assert_eq!(record.objects.len(), 4);
    let mut checks = record.checks.iter();
    let check = checks.find(|check| check.name == "the proxy gave its books when the run ended");
    let detail = &check.unwrap().detail;
    assert!(
        detail.ends_with("nothing is known of what it counted"),
        "{detail}"
    );
    drop(progress);
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_api_server_goes_away_keeps_what_was_counted() {
    let lab = TestLab::start().await;
    let progress = at_step(|done| {
        if done == 3 {
            lab.lab.stop();
        }
    });
    let mut plan = plan(Scenario::Vmi, 200);
    plan.primer = false;
    let failed = lab.run_plan(&plan, &progress).await.unwrap_err();
    let record = failed.record.unwrap();
    let failure = record.failure.as_ref().unwrap();
    assert_eq!(
        (failure.reason, failure.books),
        (FailureReason::ApiServerUnreachable, BooksKept::Closed),
        "{failure:?}"
    );
    assert!(!record.proxies[0].difference.is_empty());
    assert!(record.objects.len() < 200);
    // What was created is left, and it is said where.
    assert!(matches!(failed.cause, RunError::LeftBehind { .. }));
    drop(progress);
    lab.stop().await;
}

/// What a quota or a webhook says is the same for all objects, but for their names.
#[tokio::test(flavor = "multi_thread")]
async fn objects_whose_pods_are_refused_are_one_group() {
    let lab = TestLab::start().await;
    let refuse = |request: AdmissionRequest| {
        let message = format!("exceeded quota: few, requested: {}", request.name);
        async move { AdmissionResponse::Deny(403, message) }.boxed()
    };
    lab.lab
        .server
        .set_admission(&[("", "pods")], Arc::new(refuse));
    let mut plan = plan(Scenario::Vmi, 12);
    plan.primer = false;
    plan.timeout = Duration::from_secs(8);
    let failed = lab.run_plan(&plan, &at_step(|_| {})).await.unwrap_err();
    let failure = failed.record.unwrap().failure.unwrap();
    assert_eq!(failure.reason, FailureReason::NotRunning);
    let found = failure.not_running.unwrap();
    assert_eq!((found.running, found.count, found.left_out), (0, 12, 0));
    let [group] = &found.groups[..] else {
        panic!("{found:#?}");
    };
    assert_eq!((group.count, group.phase.as_str()), (12, "Pending"));
    assert_eq!(group.names.len(), 3);
    let [cause] = &group.causes[..] else {
        panic!("{found:#?}");
    };
    assert_eq!(
        (cause.source, cause.kind.as_str(), cause.reason.as_str()),
        (CauseSource::Event, "VirtualMachineInstance", "FailedCreate")
    );
    let message = "admission webhook \"virt-api.lab\" denied the request: exceeded quota: few, \
                   requested: …";
    assert!(cause.message.ends_with(message), "{}", cause.message);
    lab.stop().await;
}
