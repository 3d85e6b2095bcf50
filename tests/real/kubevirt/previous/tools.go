//go:build tools

// Package previous names the programs of the KubeVirt before, from which the real tier upgrades.
package previous

import (
	_ "kubevirt.io/kubevirt/cmd/virt-api"
	_ "kubevirt.io/kubevirt/cmd/virt-controller"
	_ "kubevirt.io/kubevirt/cmd/virt-operator"
)
