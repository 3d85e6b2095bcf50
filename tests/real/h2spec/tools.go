//go:build tools

// Package h2spec pins the conformance suite of HTTP/2 that the real tier builds.
package h2spec

import _ "github.com/summerwind/h2spec/cmd/h2spec"
