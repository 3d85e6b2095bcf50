//! KubeVirt's labels, annotations, finalizers and conditions that more than one component uses.

/// Namespace of KubeVirt's own objects.
pub(crate) const NAMESPACE: &str = "kubevirt";

/// Marks an object that virt-controller has seen in this version of the API.
pub(crate) const OBSERVED: &str = "kubevirt.io/latest-observed-api-version";
/// Which version of the API the object was stored in.
pub(crate) const STORAGE_OBSERVED: &str = "kubevirt.io/storage-observed-api-version";
/// The only version of the API that the components speak.
pub(crate) const API_VERSION: &str = "v1";

/// Holds a VMI back until its pod is gone.
pub(crate) const VMI_FINALIZER: &str = "foregroundDeleteVirtualMachine";
/// Holds a VM back until its VMI is gone.
pub(crate) const VM_FINALIZER: &str = "kubevirt.io/virtualMachineControllerFinalize";

/// Label of pods: `virt-launcher`.
pub(crate) const APP: &str = "kubevirt.io";
/// Value of [`APP`].
pub(crate) const VIRT_LAUNCHER: &str = "virt-launcher";
/// Label of pods: uid of their VMI.
pub(crate) const CREATED_BY: &str = "kubevirt.io/created-by";
/// Label of pods: name of their VMI.
pub(crate) const VMI_NAME: &str = "vm.kubevirt.io/name";
/// Annotation of pods: name of their VMI, at full length.
pub(crate) const DOMAIN: &str = "kubevirt.io/domain";
/// Label of VMIs and pods: where they run.
pub(crate) const NODE_NAME: &str = "kubevirt.io/nodeName";
/// Label of nodes that virt-handler serves.
pub(crate) const SCHEDULABLE: &str = "kubevirt.io/schedulable";
/// Annotation of nodes: when virt-handler was last there.
pub(crate) const HEARTBEAT: &str = "kubevirt.io/heartbeat";
/// Readiness gate of a virt-launcher pod.
pub(crate) const UNPAUSED: &str = "kubevirt.io/virtual-machine-unpaused";
