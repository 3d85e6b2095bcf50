package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	authorization "k8s.io/api/authorization/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const namespace = "default"

// caller has one client whose calls are counted, one whose calls aren't, and one that reaches
// nobody.
type caller struct {
	registry                  *prometheus.Registry
	counter                   *prometheus.CounterVec
	adds                      *prometheus.CounterVec
	depth                     *prometheus.GaugeVec
	waited                    *prometheus.HistogramVec
	hooked, unhooked, nowhere kubernetes.Interface
	number                    atomic.Int64
}

func newCaller(kubeconfig, userAgent string) (*caller, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	config.UserAgent = userAgent
	c := &caller{registry: prometheus.NewRegistry(), counter: newCounter()}
	queue := []string{"name"}
	c.adds = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kubevirt_workqueue_adds_total", Help: "Adds."}, queue)
	c.depth = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "kubevirt_workqueue_depth", Help: "Depth."}, queue)
	c.waited = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "kubevirt_workqueue_queue_duration_seconds", Help: "Time in the queue.",
		Buckets: prometheus.ExponentialBuckets(1e-8, 10, 10),
	}, queue)
	c.registry.MustRegister(c.counter, c.adds, c.depth, c.waited,
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if c.unhooked, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	hooked := rest.CopyConfig(config)
	hooked.Wrap(func(next http.RoundTripper) http.RoundTripper { return &hook{next, c.counter} })
	if c.hooked, err = kubernetes.NewForConfig(hooked); err != nil {
		return nil, err
	}
	nowhere := rest.CopyConfig(hooked)
	nowhere.Host = "https://127.0.0.1:1"
	c.nowhere, err = kubernetes.NewForConfig(nowhere)
	return c, err
}

func (c *caller) forget(http.ResponseWriter, *http.Request) {
	c.counter.Reset()
}

func (c *caller) load(w http.ResponseWriter, r *http.Request) {
	for _, part := range []struct {
		parameter string
		call      func(context.Context, int64) error
	}{{"requests", c.call}, {"unhooked", c.review}, {"failing", c.fail}} {
		text := r.URL.Query().Get(part.parameter)
		if text == "" {
			continue
		}
		count, err := strconv.Atoi(text)
		for i := 0; err == nil && i < count; i++ {
			err = part.call(r.Context(), c.number.Add(1))
		}
		if err != nil {
			http.Error(w, part.parameter+": "+err.Error(), http.StatusInternalServerError)
			return
		}
	}
}

// call makes one of several calls, some of which the API server refuses: that is no failure.
func (c *caller) call(ctx context.Context, number int64) error {
	c.adds.WithLabelValues("work").Inc()
	c.depth.WithLabelValues("work").Set(float64(number % 3))
	c.waited.WithLabelValues("work").Observe(0.005)
	maps := c.hooked.CoreV1().ConfigMaps(namespace)
	name := fmt.Sprintf("component-%d", number/8)
	object := &core.ConfigMap{ObjectMeta: meta.ObjectMeta{Name: name}}
	switch number % 8 {
	case 0, 1: // the second time it exists
		_, _ = maps.Create(ctx, object, meta.CreateOptions{})
	case 2:
		_, _ = maps.Update(ctx, object, meta.UpdateOptions{})
	case 3:
		_, _ = maps.Patch(ctx, name, types.MergePatchType, []byte(`{"data":{"a":"b"}}`), meta.PatchOptions{})
	case 4:
		_, _ = maps.Get(ctx, name, meta.GetOptions{})
	case 5:
		_, _ = maps.List(ctx, meta.ListOptions{Limit: 1})
	case 6:
		_ = maps.Delete(ctx, name, meta.DeleteOptions{})
	case 7:
		return c.watchOrVersion(ctx, number)
	}
	return ctx.Err()
}

func (c *caller) watchOrVersion(ctx context.Context, number int64) error {
	if number%16 == 7 {
		_, err := c.hooked.Discovery().ServerVersion()
		return err
	}
	watch, err := c.hooked.CoreV1().Pods(namespace).Watch(ctx, meta.ListOptions{})
	if err == nil {
		watch.Stop()
	}
	return err
}

func (c *caller) review(ctx context.Context, _ int64) error {
	review := &authorization.SubjectAccessReview{Spec: authorization.SubjectAccessReviewSpec{
		User:               "somebody",
		ResourceAttributes: &authorization.ResourceAttributes{Verb: "get", Resource: "pods"},
	}}
	_, err := c.unhooked.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, meta.CreateOptions{})
	return err
}

func (c *caller) fail(ctx context.Context, _ int64) error {
	ctx, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	_, err := c.nowhere.CoreV1().ConfigMaps(namespace).List(ctx, meta.ListOptions{})
	if err == nil {
		return fmt.Errorf("somebody answered where nobody should be")
	}
	return nil
}
