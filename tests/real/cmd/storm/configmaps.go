package main

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

func (w *worker) configMaps() typedcorev1.ConfigMapInterface {
	return w.typed.CoreV1().ConfigMaps(w.namespace)
}

func (w *worker) configMap(name string) *corev1.ConfigMap {
	value := strings.Repeat("x", w.random.Intn(200))
	return &corev1.ConfigMap{ObjectMeta: w.meta(name), Data: map[string]string{"key": value}}
}

// configMapWrite creates one or, more rarely, deletes it.
func configMapWrite(ctx context.Context, w *worker) {
	name := w.name("configmap")
	if w.random.Intn(3) > 0 {
		_, _ = w.configMaps().Create(ctx, w.configMap(name), metav1.CreateOptions{})
		return
	}
	_ = w.configMaps().Delete(ctx, name, metav1.DeleteOptions{})
}

func configMapRead(ctx context.Context, w *worker) {
	_, _ = w.configMaps().Get(ctx, w.name("configmap"), metav1.GetOptions{})
}

// configMapUpdate updates without a resourceVersion: the last one wins.
func configMapUpdate(ctx context.Context, w *worker) {
	_, _ = w.configMaps().Update(ctx, w.configMap(w.name("configmap")), metav1.UpdateOptions{})
}

// configMapConflict writes what it read twice; the second resourceVersion is stale.
func configMapConflict(ctx context.Context, w *worker) {
	configMap, err := w.configMaps().Get(ctx, w.name("configmap"), metav1.GetOptions{})
	if err != nil {
		return
	}
	for _, value := range []string{"first", "second"} {
		configMap.Data = map[string]string{"key": value}
		_, _ = w.configMaps().Update(ctx, configMap, metav1.UpdateOptions{})
	}
}

// configMapExists creates the same one twice.
func configMapExists(ctx context.Context, w *worker) {
	configMap := w.configMap(w.name("configmap"))
	for range 2 {
		_, _ = w.configMaps().Create(ctx, configMap, metav1.CreateOptions{})
	}
}

func configMapDeleteCollection(ctx context.Context, w *worker) {
	_ = w.configMaps().DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: w.selector()})
}

// largeSize is the value of a large ConfigMap: more than a TLS record, an HTTP/2 frame and a
// flow-control window hold.
const largeSize = 500 << 10

// configMapLarge sends a large body, gets it back and deletes it.
func configMapLarge(ctx context.Context, w *worker) {
	configMap := w.configMap(w.name("large"))
	configMap.Data["key"] = strings.Repeat("y", largeSize)
	_, _ = w.configMaps().Create(ctx, configMap, metav1.CreateOptions{})
	_, _ = w.configMaps().Get(ctx, configMap.Name, metav1.GetOptions{})
	_ = w.configMaps().Delete(ctx, configMap.Name, metav1.DeleteOptions{})
}

func configMapDryRun(ctx context.Context, w *worker) {
	configMap := w.configMap("")
	configMap.GenerateName = "generated-"
	_, _ = w.configMaps().Create(ctx, configMap, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
}
