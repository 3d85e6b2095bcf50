package main

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// soon is a context that ends while the request is under way, or before it, or after it.
func (w *worker) soon(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, time.Duration(w.random.Intn(6000))*time.Microsecond)
}

func cancelRead(ctx context.Context, w *worker) {
	ctx, cancel := w.soon(ctx)
	defer cancel()
	if w.random.Intn(2) == 0 {
		_, _ = w.configMaps().Get(ctx, w.name("configmap"), metav1.GetOptions{})
		return
	}
	_, _ = w.dynamic.Resource(virtualMachines).List(ctx, metav1.ListOptions{})
}

func cancelWrite(ctx context.Context, w *worker) {
	ctx, cancel := w.soon(ctx)
	defer cancel()
	if w.random.Intn(2) == 0 {
		_, _ = w.configMaps().Create(ctx, w.configMap(w.name("configmap")), metav1.CreateOptions{})
		return
	}
	_, _ = w.custom(virtualMachines).Patch(ctx, w.name("custom"), types.MergePatchType, []byte(`{"spec":{"cancelled":true}}`), metav1.PatchOptions{})
}

// cancelLarge is cancelled while its body is on the way up or down.
func cancelLarge(ctx context.Context, w *worker) {
	ctx, cancel := w.soon(ctx)
	defer cancel()
	configMap := w.configMap(w.name("large"))
	configMap.Data["key"] = strings.Repeat("z", largeSize)
	_, _ = w.configMaps().Create(ctx, configMap, metav1.CreateOptions{})
}

// failForbidden impersonates a user without rights: 403 for each verb.
func failForbidden(ctx context.Context, w *worker) {
	configMaps := w.denied.CoreV1().ConfigMaps(w.namespace)
	name := w.name("configmap")
	switch w.random.Intn(6) {
	case 0:
		_, _ = configMaps.Get(ctx, name, metav1.GetOptions{})
	case 1:
		_, _ = configMaps.List(ctx, metav1.ListOptions{})
	case 2:
		_, _ = configMaps.Create(ctx, w.configMap(name), metav1.CreateOptions{})
	case 3:
		_ = configMaps.Delete(ctx, name, metav1.DeleteOptions{})
	case 4:
		_ = configMaps.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
	case 5:
		_, _ = configMaps.Patch(ctx, name, types.MergePatchType, []byte(`{}`), metav1.PatchOptions{})
	}
}

func failUnauthorized(ctx context.Context, w *worker) {
	configMaps := w.unknown.CoreV1().ConfigMaps(w.namespace)
	switch w.random.Intn(3) {
	case 0:
		_, _ = configMaps.Get(ctx, w.name("configmap"), metav1.GetOptions{})
	case 1:
		_, _ = configMaps.Create(ctx, w.configMap(w.name("configmap")), metav1.CreateOptions{})
	case 2:
		_, _ = configMaps.List(ctx, metav1.ListOptions{})
	}
}

// failMissing asks for what isn't there: 404.
func failMissing(ctx context.Context, w *worker) {
	missing := w.name("missing")
	switch w.random.Intn(4) {
	case 0:
		_, _ = w.configMaps().Get(ctx, missing, metav1.GetOptions{})
	case 1:
		_ = w.pods().Delete(ctx, missing, metav1.DeleteOptions{})
	case 2:
		_, _ = w.configMaps().Patch(ctx, missing, types.MergePatchType, []byte(`{}`), metav1.PatchOptions{})
	case 3:
		configMap := w.configMap(missing)
		configMap.ResourceVersion = "1"
		_, _ = w.configMaps().Update(ctx, configMap, metav1.UpdateOptions{})
	}
}

// failInvalid sends objects that don't validate (422) or don't fit their request (400).
func failInvalid(ctx context.Context, w *worker) {
	switch w.random.Intn(4) {
	case 0:
		_, _ = w.configMaps().Create(ctx, w.configMap("Not_A_Name"), metav1.CreateOptions{})
	case 1:
		_, _ = w.pods().Create(ctx, &corev1.Pod{ObjectMeta: w.meta(w.name("pod"))}, metav1.CreateOptions{})
	case 2:
		configMap := w.configMap(w.name("configmap"))
		configMap.Namespace = "elsewhere"
		_, _ = w.configMaps().Create(ctx, configMap, metav1.CreateOptions{})
	case 3:
		_, _ = w.configMaps().Patch(ctx, w.name("configmap"), types.JSONPatchType, []byte(`[{"op":"nothing"}]`), metav1.PatchOptions{})
	}
}

// failHTTP sends what the server refuses before it is any object.
func failHTTP(ctx context.Context, w *worker) {
	one, all := w.path("configmaps/"+w.name("configmap")), w.path("configmaps")
	object := []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"refused"}}`)
	switch w.random.Intn(9) {
	case 0:
		w.raw().send(ctx, http.MethodPost, one, object, "Content-Type", "application/json") // 405
	case 1:
		w.raw().send(ctx, http.MethodPut, all, object, "Content-Type", "application/json") // 405
	case 2:
		w.raw().send(ctx, http.MethodPatch, all, object, "Content-Type", "application/merge-patch+json") // 405
	case 3:
		w.raw().send(ctx, http.MethodPatch, one, []byte(`{}`), "Content-Type", "text/plain") // 415
	case 4:
		w.raw().send(ctx, http.MethodPost, all, object, "Content-Type", "application/xml") // 415
	case 5:
		w.raw().send(ctx, http.MethodGet, one, nil, "Accept", "application/xml") // 406
	case 6:
		w.raw().send(ctx, http.MethodPost, all, []byte(`{"apiVersion":`), "Content-Type", "application/json") // 400
	case 7:
		w.raw().send(ctx, http.MethodGet, all+"?limit=many", nil) // 400
	case 8:
		w.raw().send(ctx, http.MethodPost, all, bytes.Repeat([]byte(" "), 3200<<10), "Content-Type", "application/json") // 413
	}
}
