//! By which names and places a proxy is known in a pod template, and what Kubernetes has there.

/// Name of the sidecar.
pub(super) const SIDECAR: &str = "kubetoll-proxy";
/// Name of the admin port. Never `metrics`: KubeVirt's own Service selects that name.
pub(super) const ADMIN_PORT_NAME: &str = "toll-admin";
/// Name of the port that the component dials.
pub(super) const PROXY_PORT_NAME: &str = "toll-proxy";

/// Annotation of a pod template: the component. It is the mark of a patch of Kubetoll's.
pub(super) const COMPONENT_ANNOTATION: &str = "kubetoll.dev/component";
/// Annotation of a pod template: the patch's digest.
pub(super) const DIGEST_ANNOTATION: &str = "kubetoll.dev/patch";
/// Annotation of a pod template: when it was attached.
pub(super) const SINCE_ANNOTATION: &str = "kubetoll.dev/attached-at";
/// Annotation of a pod template: the kubeconfig of mode `kubeconfig`.
pub(super) const KUBECONFIG_ANNOTATION: &str = "kubetoll.dev/kubeconfig";
/// Annotation of virt-operator's Deployment: its pod template before the patch, JSON.
pub(super) const ORIGINAL_ANNOTATION: &str = "kubetoll.dev/original";

/// Where mode `kubeconfig` mounts its file. KubeVirt lower-cases flags, names and values.
pub(super) const KUBECONFIG: &str = "/etc/kubetoll/kubeconfig";
/// Volume of the sidecar: certificate, key and token.
pub(super) const TLS_VOLUME: &str = "toll-tls";
/// Volume of the component: what makes it trust the proxy.
pub(super) const CLIENT_VOLUME: &str = "toll-client";

/// Where the API server mounts a pod's service account.
pub(super) const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
