//go:build tools

// Package scheduler names the program that tests/real/kubevirt/build builds here: Kubernetes's own
// modules are newer than those that KubeVirt asks for.
package scheduler

import _ "k8s.io/kubernetes/cmd/kube-scheduler"
