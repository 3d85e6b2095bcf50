//! Attach: one component after the other, each until its calls are counted; all back on failure.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    books,
    clashes::clashes,
    component::Component,
    customize::{self, Entry},
    error::InstallError,
    installer::Installer,
    marks::{DIGEST_ANNOTATION, ORIGINAL_ANNOTATION},
    objects::{CA_KEY, FOUND_KEY, Materials, ca_of_secret, config_map},
    patch::{self, Mode, ProxySpec},
    reasons::{complaint_of_workload, knows_sidecars},
    rights,
    rollout::{Rollout, Wanted, complaint, is_as_wanted, rollout},
    site::{Mounted, Site, advice_to_attach, customization, owner_of_operator},
    template::{annotation, attached, lacking, obstacle, stripped},
};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// How often at least pods are asked why they don't start.
const COMPLAINTS_EVERY: Duration = Duration::from_secs(3);

/// An attach as it was asked for.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The components; the order is ours.
    pub components: Vec<Component>,
    /// Reference of the image that starts `kubetoll-proxy`.
    pub image: String,
    /// How components are told.
    pub mode: Mode,
    /// The port that a component dials; the admin port is the next one.
    pub port: u16,
    /// How many of its last requests each proxy keeps.
    pub recorder: u32,
}

impl Plan {
    fn ordered(&self) -> impl Iterator<Item = Component> {
        let wanted = &self.components;
        Component::ALL
            .into_iter()
            .filter(move |component| wanted.contains(component))
    }

    fn patch(&self, component: Component) -> Value {
        let spec = ProxySpec {
            image: self.image.clone(),
            mode: self.mode,
            port: self.port,
            recorder: self.recorder,
            attached_at: Timestamp::now(),
        };
        patch::patch(component, &spec)
    }
}

/// What an attach changed, as far as it came, and what was there before.
#[derive(Default)]
struct Changes {
    made: Vec<Mounted>,
    touched: Vec<Component>,
    before: Option<Value>,
    operator_before: Option<Value>,
}

impl Installer<'_> {
    /// The objects that an attach would make: Secret and ConfigMap, the KubeVirt object as it would
    /// be, and virt-operator's patch. Changes nothing. Also gives what speaks against it.
    pub async fn preview(&self, plan: &Plan) -> Result<(Vec<Value>, Vec<String>), InstallError> {
        let (site, kubevirt) = self.find().await?;
        let mut warnings: Vec<String> = advice_to_attach(&kubevirt).into_iter().collect();
        if site.mounted(Mounted::ConfigMap).await?.is_some() {
            let keeps = "something is attached already: attach would keep the Secret and the \
                ConfigMap that are there, so don't apply these two";
            warnings.push(keeps.to_owned());
        }
        let found = customization(&kubevirt);
        warnings.extend(
            look_at_kubevirt(plan, &kubevirt)
                .err()
                .map(|error| error.to_string()),
        );
        warnings.extend(clash_warnings(plan, found.as_ref()));
        let secret = Materials::mint()?.secret(&site.namespace);
        let ca = ca_of_secret(&secret).unwrap_or_default();
        let mut objects = vec![secret, config_map(&site.namespace, &ca, found.as_ref())];
        let mut new = found;
        for component in plan.ordered() {
            if let Err(error) = self.look_at(&site, component, plan, new.as_ref()).await {
                warnings.push(error.to_string());
            }
            let patch = plan.patch(component);
            if component.is_customizable() {
                let entry = Entry::new(component, &patch, plan.mode);
                new = customize::with(new.as_ref(), component, &entry);
            } else {
                let mut patch = patch;
                patch["apiVersion"] = json!("apps/v1");
                patch["kind"] = json!(component.workload().kind());
                patch["metadata"] = json!({"namespace": site.namespace, "name": component.name()});
                objects.push(patch);
            }
        }
        objects.push(json!({
            "apiVersion": "kubevirt.io/v1",
            "kind": "KubeVirt",
            "metadata": {"namespace": site.namespace, "name": site.name},
            "spec": {"customizeComponents": new},
        }));
        Ok((objects, warnings))
    }

    /// Attaches; gives the components whose calls are counted now.
    ///
    /// # Errors
    ///
    /// Before anything is changed, what speaks against it. After that the cause, with everything
    /// put back ([`InstallError::Undone`]) or with what could not be
    /// ([`InstallError::LeftBehind`]).
    pub async fn attach(&self, plan: &Plan) -> Result<Vec<Component>, InstallError> {
        let (site, kubevirt) = self.find().await?;
        self.look_at_version().await?;
        look_at_kubevirt(plan, &kubevirt)?;
        let rules = rights::to_attach(&plan.components);
        rights::check(&site.client, Some(&site.namespace), &rules).await?;
        if let Some(owned) = advice_to_attach(&kubevirt) {
            return Err(InstallError::Owned(owned));
        }
        let before = customization(&kubevirt);
        for component in plan.ordered() {
            self.look_at(&site, component, plan, before.as_ref())
                .await?;
        }
        for warning in clash_warnings(plan, before.as_ref()) {
            (self.say)(&format!("warning: {warning}"));
        }
        let mut changes = Changes {
            before,
            ..Changes::default()
        };
        match self.make(&site, plan, &mut changes).await {
            Ok(()) => Ok(plan.ordered().collect()),
            Err(cause) => {
                (self.say)(&format!("{cause}; putting everything back"));
                let cause = Box::new(cause);
                Err(match self.undo(&site, &changes).await {
                    Ok(()) => InstallError::Undone(cause),
                    Err(left) => InstallError::LeftBehind {
                        cause,
                        left: Box::new(left),
                    },
                })
            }
        }
    }

    /// Native sidecars came with Kubernetes 1.29.
    async fn look_at_version(&self) -> Result<(), InstallError> {
        let version = self.client.apiserver_version().await;
        let version = version
            .map_err(|error| InstallError::api("cannot ask the API server's version", &error))?;
        if has_sidecars(&version.major, &version.minor) {
            Ok(())
        } else {
            Err(InstallError::NoSidecars(version.git_version))
        }
    }

    /// What speaks against attaching a component.
    async fn look_at(
        &self,
        site: &Site,
        component: Component,
        plan: &Plan,
        customization: Option<&Value>,
    ) -> Result<(), InstallError> {
        let against = |reason: String| InstallError::Obstacle { component, reason };
        let workload = site.workload(component).await?;
        let workload = workload.ok_or_else(|| against("it is not installed".to_owned()))?;
        if let Some(reason) = obstacle(&workload["spec"]["template"], component, plan.port) {
            return Err(against(reason));
        }
        if plan.mode == Mode::Kubeconfig {
            if component.flags().is_none() {
                let reason = "KubeVirt has no flags for it: use --mode sidecar";
                return Err(against(reason.to_owned()));
            }
            if let Some(other) = customize::foreign_kubeconfig(customization, component) {
                return Err(against(format!("its flag kubeconfig is {other} already")));
            }
        }
        match owner_of_operator(&workload) {
            Some(owned) if component == Component::VirtOperator => Err(InstallError::Owned(owned)),
            _ => Ok(()),
        }
    }

    async fn make(
        &self,
        site: &Site,
        plan: &Plan,
        changes: &mut Changes,
    ) -> Result<(), InstallError> {
        self.provide(site, changes).await?;
        for component in plan.ordered() {
            if self.stop.is_cancelled() {
                return Err(InstallError::Interrupted);
            }
            let wanted = self.apply(site, component, plan, changes).await?;
            self.wait_for_rollout(site, component, &wanted, &self.stop)
                .await?;
            self.wait_for_calls(site, component, &wanted).await?;
        }
        Ok(())
    }

    /// Makes what pods mount, or takes what an earlier attach has made.
    async fn provide(&self, site: &Site, changes: &mut Changes) -> Result<(), InstallError> {
        let secret = match site.mounted(Mounted::Secret).await? {
            Some(secret) => secret,
            None => {
                let secret = Materials::mint()?.secret(&site.namespace);
                let made = &mut changes.made;
                site.create(Mounted::Secret, &secret, made).await?;
                secret
            }
        };
        let ca = ca_of_secret(&secret).unwrap_or_default();
        if let Some(map) = site.mounted(Mounted::ConfigMap).await? {
            // Components that trust another CA than the proxies have would all fail.
            let is_same_ca = map["data"][CA_KEY] == ca;
            return if is_same_ca {
                Ok(())
            } else {
                Err(InstallError::HalfAttached)
            };
        }
        let map = config_map(&site.namespace, &ca, changes.before.as_ref());
        let made = &mut changes.made;
        site.create(Mounted::ConfigMap, &map, made).await
    }

    /// Puts the patch where the component takes it from. One that does the same is left alone.
    async fn apply(
        &self,
        site: &Site,
        component: Component,
        plan: &Plan,
        changes: &mut Changes,
    ) -> Result<Wanted, InstallError> {
        let patch = plan.patch(component);
        let wanted = Wanted::Proxy(patch::digest(&patch));
        (self.say)(&format!("{}: patch", component.name()));
        if component.is_customizable() {
            let entry = Entry::new(component, &patch, plan.mode);
            let there = customize::entry(site.customization().await?.as_ref(), component);
            let is_same = there.flag == entry.flag
                && there
                    .content()
                    .is_some_and(|content| Wanted::Proxy(patch::digest(&content)) == wanted);
            if !is_same {
                changes.touched.push(component);
                site.customize(|now| customize::with(now, component, &entry))
                    .await?;
            }
            return Ok(wanted);
        }
        let operator = site.workload(component).await?.unwrap_or_default();
        let template = &operator["spec"]["template"];
        let is_whole = lacking(template, component, &patch).is_empty();
        if !is_as_wanted(template, &wanted) || !is_whole {
            changes.touched.push(component);
            changes.operator_before = Some(operator);
            site.change_operator(|operator| put_in(operator, &patch))
                .await?;
        }
        Ok(wanted)
    }

    async fn undo(&self, site: &Site, changes: &Changes) -> Result<(), InstallError> {
        let before = changes.before.as_ref();
        let touched = || {
            let touched = changes.touched.iter().rev();
            touched.filter(|component| component.is_customizable())
        };
        let customized = site.customize(|now| {
            let mut now = now.cloned();
            for component in touched() {
                let old = customize::entry(before, *component);
                now = customize::with(now.as_ref(), *component, &old);
            }
            customize::restored(now, before)
        });
        // Each is tried, whatever becomes of the other.
        let customized = customized.await;
        if let Some(before) = &changes.operator_before {
            site.change_operator(|operator| put_back(operator, before))
                .await?;
        }
        customized?;
        // What is half undone needs this wait: Ctrl-C does not end it.
        let uninterrupted = CancellationToken::new();
        for component in changes.touched.iter().rev() {
            let wanted = wanted_before(changes, *component);
            self.wait_for_rollout(site, *component, &wanted, &uninterrupted)
                .await?;
        }
        for made in changes.made.iter().rev() {
            site.delete(*made).await?;
        }
        Ok(())
    }

    /// Waits until all pods of a component are as wanted, or `stop`.
    pub(super) async fn wait_for_rollout(
        &self,
        site: &Site,
        component: Component,
        wanted: &Wanted,
        stop: &CancellationToken,
    ) -> Result<(), InstallError> {
        let deadline = Instant::now() + self.timeout;
        let (mut progress, mut told) = (String::new(), String::new());
        let mut look_again = Instant::now();
        loop {
            let Some(workload) = site.workload(component).await? else {
                return Ok(());
            };
            let Rollout::Pending(now) = rollout(component.workload(), &workload, wanted) else {
                return Ok(());
            };
            let is_over = Instant::now() >= deadline;
            if is_over || now != progress || Instant::now() >= look_again {
                let pods = site.pods(&workload).await?;
                let mut complaints: Vec<String> =
                    pods.iter().find_map(complaint).into_iter().collect();
                complaints.extend(complaint_of_workload(&workload));
                if is_over {
                    complaints.extend(site.last_words(component).await);
                }
                complaints.insert(0, now.clone());
                let detail = complaints.join("; ");
                if is_over {
                    return Err(InstallError::NotRolledOut {
                        component,
                        seconds: self.timeout.as_secs(),
                        detail,
                    });
                }
                if detail != told {
                    (self.say)(&format!("{}: {detail}", component.name()));
                    told = detail;
                }
                progress = now;
                look_again = Instant::now() + COMPLAINTS_EVERY;
            }
            pause(stop).await?;
        }
    }

    /// Waits until every new pod's proxy has counted something.
    async fn wait_for_calls(
        &self,
        site: &Site,
        component: Component,
        wanted: &Wanted,
    ) -> Result<(), InstallError> {
        (self.say)(&format!("{}: wait for its calls", component.name()));
        let deadline = Instant::now() + self.timeout;
        loop {
            let workload = site.workload(component).await?.unwrap_or_default();
            let mut pods = site.pods(&workload).await?;
            pods.retain(|pod| is_as_wanted(pod, wanted));
            let books = books::read(site, &pods).await;
            let silent = books.iter().find(|pod| !matches!(pod.calls, Ok(1..)));
            let detail = match silent {
                None if !books.is_empty() => return Ok(()),
                None => "there is no new pod".to_owned(),
                Some(pod) => match &pod.calls {
                    Ok(_) => format!("pod {} does not use its proxy", pod.pod),
                    Err(reason) => format!("pod {}: {reason}", pod.pod),
                },
            };
            if Instant::now() >= deadline {
                return Err(InstallError::NoCalls {
                    component,
                    seconds: self.timeout.as_secs(),
                    detail,
                });
            }
            pause(&self.stop).await?;
        }
    }
}

/// Older ones than native sidecars would drop what makes an init container one.
fn look_at_kubevirt(plan: &Plan, kubevirt: &Value) -> Result<(), InstallError> {
    let version = &kubevirt["status"]["observedKubeVirtVersion"];
    let version = version.as_str().unwrap_or_default();
    let is_by_operator = plan.components.iter().any(|one| one.is_customizable());
    if is_by_operator && !knows_sidecars(version) {
        return Err(InstallError::OldKubeVirt(version.to_owned()));
    }
    Ok(())
}

/// What others have customized that would undo or misplace a proxy.
fn clash_warnings(plan: &Plan, customization: Option<&Value>) -> Vec<String> {
    let components = plan
        .ordered()
        .filter(|component| component.is_customizable());
    components
        .flat_map(|component| {
            let found = clashes(customization, component, &plan.patch(component));
            found.into_iter().map(move |clash| clash.warning(component))
        })
        .collect()
}

async fn pause(stop: &CancellationToken) -> Result<(), InstallError> {
    match stop.run_until_cancelled(sleep(PAUSE)).await {
        Some(()) => Ok(()),
        None => Err(InstallError::Interrupted),
    }
}

/// Whether a server of this version knows init containers that go on running. Managed clusters
/// write a `+` behind the minor version; one that can't be read is not held against them.
pub(super) fn has_sidecars(major: &str, minor: &str) -> bool {
    let minor = minor.trim_end_matches('+').parse().unwrap_or(u32::MAX);
    major != "1" || minor >= 29
}

/// What a ConfigMap of ours says that was there before the first attach.
pub(super) fn found(config_map: &Value) -> Option<Value> {
    let text = config_map["data"][FOUND_KEY].as_str()?;
    serde_json::from_str(text)
        .ok()
        .filter(|found: &Value| !found.is_null())
}

/// Puts the proxy into virt-operator's pod template in place of an older one, and keeps the
/// template without any.
fn put_in(operator: &mut Value, patch: &Value) {
    let component = Component::VirtOperator;
    let original = stripped(&operator["spec"]["template"], component);
    operator["spec"]["template"] = attached(&original, component, patch);
    let annotations = &mut operator["metadata"]["annotations"];
    if annotations.get(ORIGINAL_ANNOTATION).is_none() {
        annotations[ORIGINAL_ANNOTATION] = json!(original.to_string());
    }
}

/// virt-operator as it was before this attach, which may have had a proxy already.
fn put_back(operator: &mut Value, before: &Value) {
    operator["spec"]["template"] = before["spec"]["template"].clone();
    let had_original = before["metadata"]["annotations"].get(ORIGINAL_ANNOTATION);
    if had_original.is_none() {
        forget_original(operator);
    }
}

/// Takes the stored original away.
pub(super) fn forget_original(operator: &mut Value) {
    if let Some(Value::Object(annotations)) = operator.pointer_mut("/metadata/annotations") {
        annotations.remove(ORIGINAL_ANNOTATION);
    }
}

fn wanted_before(changes: &Changes, component: Component) -> Wanted {
    let had = if component.is_customizable() {
        let entry = customize::entry(changes.before.as_ref(), component);
        entry.content().map(|content| patch::digest(&content))
    } else {
        let template = changes.operator_before.as_ref();
        let template = template.map(|operator| &operator["spec"]["template"]);
        let digest = template.and_then(|template| annotation(template, DIGEST_ANNOTATION));
        digest.map(str::to_owned)
    };
    had.map_or(Wanted::NoProxy, Wanted::Proxy)
}
