package main

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// listSelected lists with one of the selectors that change what RequestInfo makes of a list: a
// metadata.name becomes the request's name.
func listSelected(ctx context.Context, w *worker) {
	options := []metav1.ListOptions{
		{},
		{LabelSelector: w.selector()},
		{FieldSelector: "metadata.name=" + w.name("configmap")},
		{FieldSelector: "metadata.namespace!=" + w.namespace},
		{ResourceVersion: "0"},
		{ResourceVersion: "1", ResourceVersionMatch: metav1.ResourceVersionMatchExact},
		{FieldSelector: "no.such.field=x"},
		{LabelSelector: "in in in"},
	}[w.random.Intn(8)]
	switch w.random.Intn(4) {
	case 0:
		_, _ = w.configMaps().List(ctx, options)
	case 1:
		_, _ = w.pods().List(ctx, options)
	case 2:
		options.LabelSelector = stormLabel + "=true"
		_, _ = w.typed.CoreV1().ConfigMaps(metav1.NamespaceAll).List(ctx, options)
	case 3:
		_, _ = w.typed.CoreV1().Nodes().List(ctx, options)
	}
}

// listPages follows the continue token for a few pages; a token that is none gets a 400.
func listPages(ctx context.Context, w *worker) {
	options := metav1.ListOptions{Limit: 1 + int64(w.random.Intn(3))}
	for range 4 {
		list, err := w.configMaps().List(ctx, options)
		if err != nil || list.Continue == "" {
			return
		}
		options.Continue = list.Continue
	}
	options.Continue = "no-token"
	_, _ = w.configMaps().List(ctx, options)
}

func listMetadata(ctx context.Context, w *worker) {
	resource := schema.GroupVersionResource{Version: "v1", Resource: w.pick([]string{"configmaps", "pods", "serviceaccounts"})}
	_, _ = w.metadata.Resource(resource).Namespace(w.namespace).List(ctx, metav1.ListOptions{Limit: 20})
}
