//! Detach: takes away what is ours, wherever an attach left off.

use serde_json::Value;

use super::{
    attach::{forget_original, found},
    component::Component,
    customize::{self, Entry},
    error::InstallError,
    installer::Installer,
    marks::ORIGINAL_ANNOTATION,
    rights,
    rollout::Wanted,
    site::{Mounted, Site, advice_to_detach, customization},
    template::{annotation, sidecar, stripped},
};

/// What a detach did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detached {
    /// The components that had something of ours.
    pub components: Vec<Component>,
    /// Whether Secret and ConfigMap are gone, since nobody mounts them any more.
    pub objects: bool,
    /// What the user should know.
    pub notes: Vec<String>,
}

impl Installer<'_> {
    /// Detaches these components, waits until their pods are without a proxy, and removes the
    /// Secret and the ConfigMap when no component needs them any more. Where nothing is attached it
    /// does nothing.
    pub async fn detach(&self, components: &[Component]) -> Result<Detached, InstallError> {
        let (site, kubevirt) = self.find().await?;
        let rules = rights::to_detach(components);
        rights::check(&site.client, Some(&site.namespace), &rules).await?;
        let before = customization(&kubevirt);
        let mut detached = Detached::default();
        for component in Component::ALL.into_iter().rev() {
            if components.contains(&component) && has_ours(&site, component, &before).await? {
                detached.components.push(component);
            }
        }
        let is_customized = components
            .iter()
            .any(|component| !customize::entry(before.as_ref(), *component).is_empty());
        if is_customized {
            if let Some(owned) = advice_to_detach(&kubevirt) {
                return Err(InstallError::Owned(owned));
            }
            (self.say)("take the patches away");
            let config_map = own(site.mounted(Mounted::ConfigMap).await)?;
            let found = config_map.as_ref().map(found);
            site.customize(|now| without(now, components, found.as_ref()))
                .await?;
        }
        if detached.components.contains(&Component::VirtOperator) {
            detached.notes.extend(self.restore_operator(&site).await?);
        }
        for component in &detached.components {
            self.wait_for_rollout(&site, *component, &Wanted::NoProxy, &self.stop)
                .await?;
        }
        detached.objects = remove_objects(&site).await?;
        Ok(detached)
    }

    /// Gives virt-operator its old pod template back. Says if somebody changed it since.
    async fn restore_operator(&self, site: &Site) -> Result<Option<String>, InstallError> {
        let operator = site.workload(Component::VirtOperator).await?;
        let operator = operator.unwrap_or_default();
        let bare = stripped(&operator["spec"]["template"], Component::VirtOperator);
        let original = operator["metadata"]["annotations"][ORIGINAL_ANNOTATION].as_str();
        let original: Option<Value> = original.and_then(|text| serde_json::from_str(text).ok());
        site.change_operator(|operator| {
            let template = &operator["spec"]["template"];
            operator["spec"]["template"] = stripped(template, Component::VirtOperator);
            forget_original(operator);
        })
        .await?;
        let is_changed = original.is_some_and(|original| original != bare);
        Ok(is_changed.then(|| {
            "virt-operator's pod template was changed by somebody while it was attached; those \
             changes were kept"
                .to_owned()
        }))
    }
}

async fn has_ours(
    site: &Site,
    component: Component,
    customization: &Option<Value>,
) -> Result<bool, InstallError> {
    let entry = customize::entry(customization.as_ref(), component);
    let workload = site.workload(component).await?.unwrap_or_default();
    let has_original = annotation(&workload, ORIGINAL_ANNOTATION).is_some();
    Ok(!entry.is_empty() || has_original || sidecar(&workload["spec"]["template"]).is_some())
}

/// `customizeComponents` without these components; as it was found once nothing of ours is left.
/// `found` is what the ConfigMap says, if there is one.
fn without(
    now: Option<&Value>,
    components: &[Component],
    found: Option<&Option<Value>>,
) -> Option<Value> {
    let mut left = now.cloned();
    for component in components {
        left = customize::with(left.as_ref(), *component, &Entry::default());
    }
    let is_free = Component::ALL
        .iter()
        .all(|component| customize::entry(left.as_ref(), *component).is_empty());
    match found {
        Some(found) if is_free => customize::restored(left, found.as_ref()),
        _ => left,
    }
}

/// Removes Secret and ConfigMap unless a component needs them. Says whether there was one.
async fn remove_objects(site: &Site) -> Result<bool, InstallError> {
    let customization = site.customization().await?;
    for component in Component::ALL {
        if has_ours(site, component, &customization).await? {
            return Ok(false);
        }
    }
    let mut removed = false;
    for which in [Mounted::Secret, Mounted::ConfigMap] {
        if own(site.mounted(which).await)?.is_some() {
            removed |= site.delete(which).await?;
        }
    }
    Ok(removed)
}

/// What has the name and belongs to somebody else stays.
fn own(found: Result<Option<Value>, InstallError>) -> Result<Option<Value>, InstallError> {
    match found {
        Err(InstallError::Foreign { .. }) => Ok(None),
        other => other,
    }
}
