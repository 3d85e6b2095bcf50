package main

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
)

// patchJSON patches with a test, which fails half of the times: 422.
func patchJSON(ctx context.Context, w *worker) {
	patch := fmt.Sprintf(`[{"op":"test","path":"/metadata/labels/set","value":"%d"},{"op":"add","path":"/data","value":{"json":"1"}}]`, w.random.Intn(4))
	_, _ = w.configMaps().Patch(ctx, w.name("configmap"), types.JSONPatchType, []byte(patch), metav1.PatchOptions{})
}

// patchMerge patches, at times with a resourceVersion that is stale: 409.
func patchMerge(ctx context.Context, w *worker) {
	patch := fmt.Sprintf(`{"data":{"merge":"%d"}}`, w.random.Intn(100))
	if w.random.Intn(3) == 0 {
		patch = `{"metadata":{"resourceVersion":"1"},"data":{"merge":"stale"}}`
	}
	_, _ = w.configMaps().Patch(ctx, w.name("configmap"), types.MergePatchType, []byte(patch), metav1.PatchOptions{})
}

// patchStrategic patches a pod or its status.
func patchStrategic(ctx context.Context, w *worker) {
	patch := fmt.Sprintf(`{"metadata":{"annotations":{"strategic":"%d"}}}`, w.random.Intn(100))
	var subresources []string
	if w.random.Intn(2) == 0 {
		patch = `{"status":{"conditions":[{"type":"Storm","status":"True"}]}}`
		subresources = []string{"status"}
	}
	_, _ = w.pods().Patch(ctx, w.name("pod"), types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, subresources...)
}

// patchApply applies as one of two field managers; without force they conflict: 409. Where there
// is no such ConfigMap, it creates it: 201.
func patchApply(ctx context.Context, w *worker) {
	configuration := applycorev1.ConfigMap(w.name("configmap"), w.namespace).
		WithLabels(map[string]string{stormLabel: "true"}).
		WithData(map[string]string{"key": fmt.Sprint(w.random.Intn(100))})
	options := metav1.ApplyOptions{FieldManager: w.pick([]string{"storm-a", "storm-b"}), Force: w.random.Intn(2) == 0}
	_, _ = w.configMaps().Apply(ctx, configuration, options)
}
