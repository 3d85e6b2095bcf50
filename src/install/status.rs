//! Status: what is attached, whether it is as it was attached, and what it counts.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    books::{self, PodBooks},
    component::Component,
    customize::{self, Entry},
    error::InstallError,
    installer::Installer,
    marks::{DIGEST_ANNOTATION, KUBECONFIG_ANNOTATION, ORIGINAL_ANNOTATION, SINCE_ANNOTATION},
    objects::CA_KEY,
    patch::{self, Mode, ProxySpec},
    rights,
    site::{Mounted, Site, customization},
    template::{annotation, lacking, sidecar},
};
use identity::mint::not_after;
use record::{ComponentInstallation, INSTALLATION_SCHEMA, Installation, PodInstallation};

/// A component as the API server has it.
pub(super) struct Seen {
    pub(super) component: Component,
    pub(super) entry: Entry,
    pub(super) workload: Value,
    /// Its pods with a proxy.
    pub(super) pods: Vec<Value>,
}

impl Installer<'_> {
    /// Looks at everything, and twice at the counts, `window` apart.
    pub async fn status(&self, window: Duration) -> Result<Installation, InstallError> {
        let (site, kubevirt) = self.find().await?;
        rights::check(&site.client, Some(&site.namespace), &rights::to_look()).await?;
        let customization = customization(&kubevirt);
        let config_map = site.mounted(Mounted::ConfigMap).await?;
        let mut components = Vec::new();
        for component in Component::ALL {
            let seen = look(&site, component, customization.as_ref()).await?;
            components.push((describe(&seen, config_map.is_some()), seen.pods));
        }
        let mut first = Vec::new();
        for (_, pods) in &components {
            first.push((Instant::now(), books::read(&site, pods).await));
        }
        if first.iter().any(|(_, books)| !books.is_empty()) {
            let slept = self.stop.run_until_cancelled(sleep(window)).await;
            slept.ok_or(InstallError::Interrupted)?;
        }
        for ((record, pods), (at, before)) in components.iter_mut().zip(&first) {
            let seconds = at.elapsed().as_secs_f64();
            count(record, before, &books::read(&site, pods).await, seconds);
        }
        let ca = config_map
            .as_ref()
            .and_then(|map| map["data"][CA_KEY].as_str());
        Ok(Installation {
            schema: INSTALLATION_SCHEMA.to_owned(),
            namespace: site.namespace,
            kubevirt: site.name,
            certificates_until: ca.map(|ca| not_after(ca.as_bytes())).transpose()?,
            components: components.into_iter().map(|(record, _)| record).collect(),
        })
    }
}

async fn look(
    site: &Site,
    component: Component,
    customization: Option<&Value>,
) -> Result<Seen, InstallError> {
    let workload = site.workload(component).await?.unwrap_or_default();
    let mut pods = if workload.is_null() {
        Vec::new()
    } else {
        site.pods(&workload).await?
    };
    pods.retain(|pod| sidecar(pod).is_some());
    Ok(Seen {
        component,
        entry: customize::entry(customization, component),
        workload,
        pods,
    })
}

fn describe(seen: &Seen, has_config_map: bool) -> ComponentInstallation {
    let template = &seen.workload["spec"]["template"];
    let proxy = sidecar(template);
    let attached = !seen.entry.is_empty() || proxy.is_some();
    let mode = proxy.map(|_| Mode::of(template).name());
    let status = &seen.workload["status"];
    let wanted = status["desiredNumberScheduled"]
        .as_u64()
        .or(seen.workload["spec"]["replicas"].as_u64());
    let since = annotation(template, SINCE_ANNOTATION);
    let mut drift = drift(seen);
    if attached && !has_config_map {
        drift.push("the ConfigMap with the CA is missing: new pods can't start".to_owned());
    }
    ComponentInstallation {
        component: seen.component.name().to_owned(),
        attached,
        mode: mode.unwrap_or_default().to_owned(),
        image: proxy.map(image).unwrap_or_default().to_owned(),
        since: since.and_then(|since| since.parse().ok()),
        ready: seen.pods.iter().filter(|pod| is_ready(pod)).count() as u64,
        wanted: wanted.unwrap_or_default(),
        drift,
        ..ComponentInstallation::default()
    }
}

/// What is not as it was attached.
pub(super) fn drift(seen: &Seen) -> Vec<String> {
    let template = &seen.workload["spec"]["template"];
    let proxy = sidecar(template);
    let mut drift = Vec::new();
    let digest = annotation(template, DIGEST_ANNOTATION);
    if let Some(content) = seen.entry.content() {
        let written = annotation(&content["spec"]["template"], DIGEST_ANNOTATION);
        if written != Some(&patch::digest(&content)) {
            drift.push("its patch in the KubeVirt object was changed by hand".to_owned());
        }
        if proxy.is_none() {
            drift.push(
                "its workload has no proxy: virt-operator did not apply the patch".to_owned(),
            );
        } else if digest != written {
            drift.push("its workload has an older patch than the KubeVirt object".to_owned());
        }
    } else if proxy.is_some() && seen.component.is_customizable() {
        drift.push("its workload has a proxy, and the KubeVirt object no patch for it".to_owned());
    }
    if !seen.component.is_customizable() {
        drift.extend(operator_drift(&seen.workload, seen.component));
    }
    let wants_flag = annotation(template, KUBECONFIG_ANNOTATION).is_some();
    if seen.component.is_customizable() && wants_flag != seen.entry.flag {
        drift.push("its flag kubeconfig in the KubeVirt object does not fit its patch".to_owned());
    }
    if let Some(proxy) = proxy {
        let others = seen.pods.iter().filter_map(sidecar);
        let others = others.filter(|other| image(other) != image(proxy)).count();
        if others > 0 {
            drift.push(format!("pods with another image of the proxy: {others}"));
        }
    }
    drift
}

/// What of virt-operator's own pod template is not as `attach` left it: nobody reverts a change of
/// it by hand.
fn operator_drift(workload: &Value, component: Component) -> Option<String> {
    let template = &workload["spec"]["template"];
    if sidecar(template).is_none() {
        let was_attached = annotation(workload, ORIGINAL_ANNOTATION).is_some();
        let gone = "its Deployment lost its proxy: attach again, or detach";
        return was_attached.then(|| gone.to_owned());
    }
    let expected = ProxySpec::of(template).map(|spec| patch::patch(component, &spec));
    let digest = annotation(template, DIGEST_ANNOTATION);
    match expected {
        Some(patch) if digest == Some(&patch::digest(&patch)) => {
            let pieces = lacking(template, component, &patch).join(", ");
            let changed = format!("its pod template was changed by hand ({pieces}): attach again");
            (!pieces.is_empty()).then_some(changed)
        }
        _ => {
            let other = "its proxy is not what this program puts in: it was changed by hand, or \
                put in by another version; attach again";
            Some(other.to_owned())
        }
    }
}

fn count(
    record: &mut ComponentInstallation,
    before: &[PodBooks],
    after: &[PodBooks],
    seconds: f64,
) {
    record.pods = before
        .iter()
        .zip(after)
        .map(|(before, after)| {
            let both = before.calls.as_ref().ok().zip(after.calls.as_ref().ok());
            let more = both.and_then(|(before, after)| after.checked_sub(*before));
            PodInstallation {
                pod: after.pod.clone(),
                calls: after.calls.as_ref().ok().copied(),
                calls_per_second: more.map(|more| more as f64 / seconds),
            }
        })
        .collect();
    for pod in after {
        if let Err(reason) = &pod.calls {
            record.drift.push(format!("pod {}: {reason}", pod.pod));
        }
    }
    if !record.pods.is_empty() {
        record.calls = record.pods.iter().map(|pod| pod.calls).sum();
        record.calls_per_second = record.pods.iter().map(|pod| pod.calls_per_second).sum();
    }
}

fn image(container: &Value) -> &str {
    container["image"].as_str().unwrap_or_default()
}

pub(super) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}
