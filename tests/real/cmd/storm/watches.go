package main

import (
	"context"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// startWatch opens a watch beside the worker and lets until end it. With all places taken there
// is no watch.
func (w *worker) startWatch(ctx context.Context, open func(context.Context) (watch.Interface, error), until func(watch.Interface)) {
	select {
	case w.held <- struct{}{}:
	default:
		return
	}
	// The operation's own context ends before the watch does.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), operationTimeout)
	w.watches.Add(1)
	go func() {
		defer w.watches.Done()
		defer func() { <-w.held }()
		defer cancel()
		opened, err := open(ctx)
		if err != nil {
			return
		}
		defer opened.Stop()
		until(opened)
	}()
}

// takeEvents takes up to count events, for at most the time given.
func takeEvents(count int, wait time.Duration) func(watch.Interface) {
	return func(opened watch.Interface) {
		timeout := time.After(wait)
		for range count {
			select {
			case _, more := <-opened.ResultChan():
				if !more {
					return
				}
			case <-timeout:
				return
			}
		}
	}
}

// watchSome stops in the middle of the stream.
func watchSome(ctx context.Context, w *worker) {
	options := metav1.ListOptions{LabelSelector: stormLabel + "=true", AllowWatchBookmarks: true}
	open := func(ctx context.Context) (watch.Interface, error) { return w.configMaps().Watch(ctx, options) }
	if w.random.Intn(2) == 0 {
		open = func(ctx context.Context) (watch.Interface, error) {
			return w.typed.CoreV1().Pods(metav1.NamespaceAll).Watch(ctx, options)
		}
	}
	w.startWatch(ctx, open, takeEvents(1+w.random.Intn(20), time.Second))
}

// watchAtOnce stops as soon as the watch is open.
func watchAtOnce(ctx context.Context, w *worker) {
	options := metav1.ListOptions{FieldSelector: "metadata.name=" + w.name("configmap")}
	opened, err := w.configMaps().Watch(ctx, options)
	if err == nil {
		opened.Stop()
	}
}

// watchTimeout lets the server end the watch.
func watchTimeout(ctx context.Context, w *worker) {
	second := int64(1)
	open := func(ctx context.Context) (watch.Interface, error) {
		return w.typed.CoordinationV1().Leases(w.namespace).Watch(ctx, metav1.ListOptions{TimeoutSeconds: &second})
	}
	w.startWatch(ctx, open, takeEvents(1<<20, operationTimeout))
}

// watchCustom watches in JSON.
func watchCustom(ctx context.Context, w *worker) {
	resource := w.customResource()
	open := func(ctx context.Context) (watch.Interface, error) {
		return w.custom(resource).Watch(ctx, metav1.ListOptions{ResourceVersion: "0"})
	}
	w.startWatch(ctx, open, takeEvents(1+w.random.Intn(5), time.Second))
}

// watchRefused opens watches that the server refuses, and the old form of a watch, which it takes.
func watchRefused(ctx context.Context, w *worker) {
	switch w.random.Intn(4) {
	case 0:
		_, _ = w.denied.CoreV1().ConfigMaps(w.namespace).Watch(ctx, metav1.ListOptions{})
	case 1:
		_, _ = w.configMaps().Watch(ctx, metav1.ListOptions{ResourceVersion: "not-a-number"})
	case 2:
		_, _ = w.unknown.CoreV1().ConfigMaps(w.namespace).Watch(ctx, metav1.ListOptions{})
	case 3:
		w.raw().send(ctx, http.MethodGet, "/api/v1/watch/namespaces/"+w.namespace+"/configmaps?timeoutSeconds=1", nil)
	}
}
