package main

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

// The custom resources are KubeVirt's. Where its CRDs aren't installed, their requests get a 404.
var (
	virtualMachines         = schema.GroupVersionResource{Group: "kubevirt.io", Version: "v1", Resource: "virtualmachines"}
	virtualMachineInstances = schema.GroupVersionResource{Group: "kubevirt.io", Version: "v1", Resource: "virtualmachineinstances"}
	clusterPreferences      = schema.GroupVersionResource{Group: "instancetype.kubevirt.io", Version: "v1beta1", Resource: "virtualmachineclusterpreferences"}

	customResources        = []schema.GroupVersionResource{virtualMachines, virtualMachineInstances}
	customClusterResources = []schema.GroupVersionResource{clusterPreferences}
	customKinds            = map[schema.GroupVersionResource]string{
		virtualMachines:         "VirtualMachine",
		virtualMachineInstances: "VirtualMachineInstance",
		clusterPreferences:      "VirtualMachineClusterPreference",
	}
)

func (w *worker) customResource() schema.GroupVersionResource {
	return customResources[w.random.Intn(len(customResources))]
}

func (w *worker) custom(resource schema.GroupVersionResource) dynamic.ResourceInterface {
	return w.dynamic.Resource(resource).Namespace(w.namespace)
}

func (w *worker) customObject(resource schema.GroupVersionResource, name string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"round": int64(w.random.Intn(100))}}}
	object.SetAPIVersion(resource.GroupVersion().String())
	object.SetKind(customKinds[resource])
	object.SetName(name)
	object.SetLabels(map[string]string{stormLabel: "true"})
	return object
}

func customWrite(ctx context.Context, w *worker) {
	resource, name := w.customResource(), w.name("custom")
	switch w.random.Intn(5) {
	case 0, 1:
		_, _ = w.custom(resource).Create(ctx, w.customObject(resource, name), metav1.CreateOptions{})
	case 2, 3:
		object, err := w.custom(resource).Get(ctx, name, metav1.GetOptions{})
		if err == nil {
			_, _ = w.custom(resource).Update(ctx, object, metav1.UpdateOptions{})
		}
	case 4:
		_ = w.custom(resource).Delete(ctx, name, metav1.DeleteOptions{})
	}
}

func customRead(ctx context.Context, w *worker) {
	resource := w.customResource()
	if w.random.Intn(2) == 0 {
		_, _ = w.custom(resource).Get(ctx, w.name("custom"), metav1.GetOptions{})
		return
	}
	_, _ = w.custom(resource).List(ctx, metav1.ListOptions{Limit: 5})
}

// customStatus writes the status subresource; VirtualMachineInstances have none: 404.
func customStatus(ctx context.Context, w *worker) {
	resource := w.customResource()
	object, err := w.custom(resource).Get(ctx, w.name("custom"), metav1.GetOptions{})
	if err != nil {
		return
	}
	object.Object["status"] = map[string]any{"phase": w.pick([]string{"Scheduling", "Running"})}
	_, _ = w.custom(resource).UpdateStatus(ctx, object, metav1.UpdateOptions{})
}

// customPatch patches with each type; a strategic one gets a 415, since custom resources have no
// Go type to take the strategy from.
func customPatch(ctx context.Context, w *worker) {
	resource, name := w.customResource(), w.name("custom")
	switch w.random.Intn(4) {
	case 0:
		patch := `[{"op":"add","path":"/spec/json","value":1}]`
		_, _ = w.custom(resource).Patch(ctx, name, types.JSONPatchType, []byte(patch), metav1.PatchOptions{})
	case 1:
		patch := fmt.Sprintf(`{"spec":{"merge":%d}}`, w.random.Intn(100))
		_, _ = w.custom(resource).Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	case 2:
		_, _ = w.custom(resource).Patch(ctx, name, types.StrategicMergePatchType, []byte(`{}`), metav1.PatchOptions{})
	case 3:
		_, _ = w.custom(resource).Apply(ctx, name, w.customObject(resource, name), metav1.ApplyOptions{FieldManager: "storm"})
	}
}

// customCluster works on a resource without namespace.
func customCluster(ctx context.Context, w *worker) {
	preferences, name := w.dynamic.Resource(clusterPreferences), w.namespace+"-"+w.name("preference")
	switch w.random.Intn(4) {
	case 0:
		_, _ = preferences.Create(ctx, w.customObject(clusterPreferences, name), metav1.CreateOptions{})
	case 1:
		_, _ = preferences.Get(ctx, name, metav1.GetOptions{})
	case 2:
		_, _ = preferences.List(ctx, metav1.ListOptions{})
	case 3:
		_ = preferences.Delete(ctx, name, metav1.DeleteOptions{})
	}
}
