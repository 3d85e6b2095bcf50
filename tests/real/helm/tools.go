//go:build tools

// Package helm pins the program that renders the chart in the real tier.
package helm

import _ "helm.sh/helm/v3/cmd/helm"
