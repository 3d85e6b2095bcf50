//! A user's own VMI or VM, to be created many times.

use serde_json::Value;

use super::kind::{Kind, VM, VMI};

/// Longest name that leaves room for a suffix.
const NAME_MAX: usize = 57;

/// A manifest of a VMI or VM.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    object: Value,
    kind: Kind,
    name: String,
}

/// A manifest that can't be created many times.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Not a VMI or VM.
    #[error("it must be one VirtualMachineInstance or VirtualMachine of kubevirt.io/v1")]
    WrongKind,
    /// No name, or one that leaves no room for a suffix.
    #[error("it needs metadata.name or metadata.generateName of at most {NAME_MAX} characters")]
    NoName,
}

impl Template {
    /// Takes a manifest. Its namespace and its status are dropped; its name gets a suffix.
    pub fn new(mut object: Value) -> Result<Self, TemplateError> {
        let kind = [VMI, VM]
            .into_iter()
            .find(|kind| object["kind"] == kind.kind && object["apiVersion"] == kind.api_version())
            .ok_or(TemplateError::WrongKind)?;
        let text = |key: &str| object["metadata"][key].as_str();
        let name = text("name").or_else(|| text("generateName"));
        let name = name.unwrap_or_default().trim_end_matches('-').to_owned();
        if name.is_empty() || name.len() > NAME_MAX {
            return Err(TemplateError::NoName);
        }
        if let Some(fields) = object.as_object_mut() {
            fields.remove("status");
        }
        if let Some(metadata) = object["metadata"].as_object_mut() {
            for server_side in [
                "namespace",
                "generateName",
                "resourceVersion",
                "uid",
                "creationTimestamp",
                "managedFields",
                "generation",
            ] {
                metadata.remove(server_side);
            }
        }
        Ok(Self { object, kind, name })
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn object(&self, suffix: &str) -> Value {
        let mut object = self.object.clone();
        object["metadata"]["name"] = format!("{}-{suffix}", self.name).into();
        object
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_named_vmi_or_vm_is_a_template() {
        let vm = json!({"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine",
            "metadata": {"name": "mine", "namespace": "x", "uid": "1"}, "status": {}});
        let object = Template::new(vm).unwrap().object("abc");
        assert_eq!(object["metadata"], json!({"name": "mine-abc"}));
        assert!(object.get("status").is_none());
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}});
        assert_eq!(Template::new(pod), Err(TemplateError::WrongKind));
        let nameless = json!({"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine"});
        assert_eq!(Template::new(nameless), Err(TemplateError::NoName));
    }
}
