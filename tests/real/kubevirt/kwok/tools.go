//go:build tools

// Package kwok names the program that tests/real/kubevirt/build builds here.
package kwok

import _ "sigs.k8s.io/kwok/cmd/kwok"
