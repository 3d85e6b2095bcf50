//go:build tools

// Package kubernetes names the programs that tests/real/kubevirt/build builds here: Kubernetes's own
// modules are newer than those that KubeVirt asks for.
package kubernetes

import (
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kube-scheduler"
	_ "k8s.io/kubernetes/cmd/kubelet"
)
