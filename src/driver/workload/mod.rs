//! What a run creates: the objects of KubeVirt's density tests, exactly as those tests submit them.
//!
//! Source: KubeVirt's `tests/performance/density.go` and `density-kwok.go`.
//! Invariant: pure; randomness comes in as a value.

mod kind;
mod template;

use serde_json::{Value, json};

pub(crate) use kind::{EVENT, KUBEVIRT, NAMESPACE, NODE, POD};
pub use kind::{Kind, VM, VM_INSTANCETYPE, VM_PREFERENCE, VMI};
pub use template::{Template, TemplateError};

/// The image that KubeVirt's tests boot.
const IMAGE: &str = "registry:5000/kubevirt/cirros-container-disk-demo:devel";
/// `#!/bin/bash\necho 'hello'\n`
const USER_DATA: &str = "IyEvYmluL2Jhc2gKZWNobyAnaGVsbG8nCg==";
/// KubeVirt's tests pad names to the longest that a label value may have.
const NAME_LENGTH: usize = 63;
/// The names of the one instancetype and the one preference of a run.
const INSTANCETYPE: &str = "instancetype-density";
const PREFERENCE: &str = "preference-density";

/// One of KubeVirt's three density tests, or a user's own object.
#[derive(Debug, Clone, PartialEq)]
pub enum Scenario {
    /// VMIs with nothing but what a VMI must have.
    Vmi,
    /// VMs with run strategy Always.
    Vm,
    /// VMs with one instancetype and one preference for all.
    Instancetype,
    /// Copies of a user's VMI or VM.
    Template(Template),
}

/// What is created, and where it may run.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Of what kind the objects are.
    pub scenario: Scenario,
    /// Adds the node selector and tolerations of KubeVirt's KWOK lane.
    pub kwok: bool,
}

impl Spec {
    /// The kind that the run creates.
    pub fn kind(&self) -> Kind {
        match &self.scenario {
            Scenario::Vmi => VMI,
            Scenario::Vm | Scenario::Instancetype => VM,
            Scenario::Template(template) => template.kind(),
        }
    }

    /// `vmi`, `vm`, `instancetype` or `template`, as in a record.
    pub fn name(&self) -> &'static str {
        match &self.scenario {
            Scenario::Vmi => "vmi",
            Scenario::Vm => "vm",
            Scenario::Instancetype => "instancetype",
            Scenario::Template(_) => "template",
        }
    }

    /// The kinds that an API server must have for this.
    pub fn needs(&self) -> Vec<Kind> {
        let mut kinds = vec![VMI];
        if self.kind() == VM {
            kinds.push(VM);
        }
        if self.scenario == Scenario::Instancetype {
            kinds.extend([VM_INSTANCETYPE, VM_PREFERENCE]);
        }
        kinds
    }

    /// Objects that must be there before the first one is created.
    pub fn prerequisites(&self) -> Vec<(Kind, Value)> {
        if self.scenario != Scenario::Instancetype {
            return Vec::new();
        }
        vec![
            (
                VM_INSTANCETYPE,
                json!({
                    "apiVersion": VM_INSTANCETYPE.api_version(),
                    "kind": VM_INSTANCETYPE.kind,
                    "metadata": {"name": INSTANCETYPE},
                    "spec": {"cpu": {"guest": 1}, "memory": {"guest": "90Mi"}},
                }),
            ),
            (
                VM_PREFERENCE,
                json!({
                    "apiVersion": VM_PREFERENCE.api_version(),
                    "kind": VM_PREFERENCE.kind,
                    "metadata": {"name": PREFERENCE},
                    "spec": {"devices": {"preferredDiskBus": "virtio"}},
                }),
            ),
        ]
    }

    /// One object; `suffix` makes its name unique.
    pub fn object(&self, suffix: &str) -> Value {
        let name = padded_name(suffix);
        let mut object = match &self.scenario {
            Scenario::Vmi => vmi(&name),
            Scenario::Vm => vm(&name, &minimal_vmi_spec()),
            Scenario::Instancetype => instancetype_vm(&name),
            Scenario::Template(template) => template.object(suffix),
        };
        if self.kwok {
            let pointer = if self.kind() == VM {
                "/spec/template/spec"
            } else {
                "/spec"
            };
            if let Some(spec) = object.pointer_mut(pointer) {
                spec["nodeSelector"] = json!({"type": "kwok"});
                spec["tolerations"] = kwok_tolerations();
            }
        }
        object
    }
}

/// `testvmi-abcde-xxxx…`
fn padded_name(suffix: &str) -> String {
    format!("{:x<NAME_LENGTH$}", format!("testvmi-{suffix}-"))
}

fn vmi(name: &str) -> Value {
    json!({
        "apiVersion": VMI.api_version(),
        "kind": VMI.kind,
        "metadata": {"name": name, "annotations": annotations()},
        "spec": minimal_vmi_spec(),
    })
}

fn vm(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": VM.api_version(),
        "kind": VM.kind,
        "metadata": {"name": name},
        "spec": {
            "runStrategy": "Always",
            "template": {"metadata": {"annotations": annotations()}, "spec": spec},
        },
    })
}

fn instancetype_vm(name: &str) -> Value {
    let mut spec = minimal_vmi_spec();
    // Sizes and buses come from the instancetype and the preference.
    spec["domain"] = json!({"devices": {"disks": [{"name": "disk0", "disk": {}}, {"name": "cloudinitdisk", "disk": {}}]}});
    if let Some(fields) = spec.as_object_mut() {
        fields.remove("networks");
        fields.remove("terminationGracePeriodSeconds");
    }
    let mut vm = vm(name, &spec);
    vm["spec"]["instancetype"] =
        json!({"name": INSTANCETYPE, "kind": "virtualmachineinstancetype"});
    vm["spec"]["preference"] = json!({"name": PREFERENCE, "kind": "virtualmachinepreference"});
    vm
}

fn annotations() -> Value {
    json!({"kubevirt.io/created-by-test": "kubetoll"})
}

fn minimal_vmi_spec() -> Value {
    json!({
        "terminationGracePeriodSeconds": 0,
        "domain": {
            "devices": {
                "autoattachGraphicsDevice": false,
                "interfaces": [{"name": "default", "masquerade": {}}],
                "disks": [
                    {"name": "disk0", "disk": {"bus": "virtio"}},
                    {"name": "cloudinitdisk", "disk": {"bus": "virtio"}},
                ],
            },
            "resources": {
                "requests": {"cpu": "100m", "memory": "90Mi"},
                "limits": {"cpu": "100m", "memory": "90Mi"},
            },
        },
        "networks": [{"name": "default", "pod": {}}],
        "volumes": [
            {"name": "disk0", "containerDisk": {"image": IMAGE}},
            {"name": "cloudinitdisk", "cloudInitNoCloud": {"userDataBase64": USER_DATA}},
        ],
    })
}

fn kwok_tolerations() -> Value {
    json!([
        {"key": "CriticalAddonsOnly", "operator": "Exists"},
        {"key": "kwok.x-k8s.io/node", "effect": "NoSchedule", "operator": "Exists"},
        {"key": "kwok.x-k8s.io/node", "effect": "NoExecute", "operator": "Exists"},
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_padded_to_the_longest_label_value() {
        let object = Spec {
            scenario: Scenario::Vmi,
            kwok: true,
        }
        .object("abcde");
        let name = object["metadata"]["name"].as_str().unwrap();
        assert!(name.starts_with("testvmi-abcde-xxx") && name.len() == 63);
        assert_eq!(object["spec"]["nodeSelector"]["type"], "kwok");
    }

    #[test]
    fn an_instancetype_vm_leaves_sizes_and_buses_to_the_instancetype() {
        let spec = Spec {
            scenario: Scenario::Instancetype,
            kwok: false,
        };
        let vm = spec.object("abcde");
        let template = &vm["spec"]["template"]["spec"];
        assert!(template["domain"].get("resources").is_none());
        assert!(template.get("networks").is_none());
        assert_eq!(vm["spec"]["runStrategy"], "Always");
        let names: Vec<_> = spec
            .prerequisites()
            .iter()
            .map(|(_, object)| object["metadata"]["name"].clone())
            .collect();
        assert_eq!(names[0], vm["spec"]["instancetype"]["name"]);
        assert_eq!(names[1], vm["spec"]["preference"]["name"]);
    }
}
