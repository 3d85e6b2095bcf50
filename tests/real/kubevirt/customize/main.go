// Customize says what KubeVirt's own virt-operator makes of customizeComponents. It reads the vectors
// of the test suite (vectors.json beside it) from its standard input, applies the patches of each case
// to each workload by virt-operator's code, and prints the same vectors with those results.
package main

import (
	"bytes"
	"encoding/json"
	"log"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	virtv1 "kubevirt.io/api/core/v1"
	"kubevirt.io/kubevirt/pkg/virt-operator/resource/apply"
)

type vectors struct {
	KubeVirt  string                     `json:"kubevirt"`
	Workloads map[string]json.RawMessage `json:"workloads"`
	Cases     []vector                   `json:"cases"`
}

type vector struct {
	What    string          `json:"what"`
	Given   json.RawMessage `json:"customizeComponents"`
	Results map[string]any  `json:"results"`
}

func main() {
	log.SetFlags(0)
	var all vectors
	check(json.NewDecoder(os.Stdin).Decode(&all))
	for index := range all.Cases {
		one := &all.Cases[index]
		one.Results = map[string]any{}
		for name, workload := range all.Workloads {
			one.Results[name] = customized(workload, one.Given)
		}
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	check(encoder.Encode(all))
}

// customized is the spec of a workload with the patches.
func customized(workload, given json.RawMessage) any {
	// Each time anew: virt-operator sorts the patches where they are.
	var customization virtv1.CustomizeComponents
	check(json.Unmarshal(given, &customization))
	customizer, err := apply.NewCustomizer(customization)
	check(err)
	var kind struct {
		Kind string `json:"kind"`
	}
	check(json.Unmarshal(workload, &kind))
	if kind.Kind == "DaemonSet" {
		set := &appsv1.DaemonSet{}
		check(json.Unmarshal(workload, set))
		return twice(&set.Spec, func() error {
			return customizer.GenericApplyPatches([]*appsv1.DaemonSet{set})
		})
	}
	deployment := &appsv1.Deployment{}
	check(json.Unmarshal(workload, deployment))
	return twice(&deployment.Spec, func() error {
		return customizer.GenericApplyPatches([]*appsv1.Deployment{deployment})
	})
}

// twice applies the patches, and again to the result: virt-operator does so each time that it looks,
// until the KubeVirt object changes. The second result is only there if it is another.
func twice(spec any, apply func() error) map[string]json.RawMessage {
	results := map[string]json.RawMessage{}
	for _, name := range []string{"spec", "again"} {
		check(apply())
		made, err := json.Marshal(spec)
		check(err)
		if !bytes.Equal(made, results["spec"]) {
			results[name] = made
		}
	}
	return results
}

func check(err error) {
	if err != nil {
		log.Fatalf("customize: %v", err)
	}
}
