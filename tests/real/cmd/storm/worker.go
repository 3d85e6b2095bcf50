package main

import (
	"context"
	"fmt"
	"math/rand"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// worker does one operation after the other.
type worker struct {
	*storm
	id     int
	random *rand.Rand
}

// operation sends one or a few requests. What it gets back is the counter's business.
type operation struct {
	name   string
	weight int
	run    func(context.Context, *worker)
}

// operations are the mix: out of all weights, each is drawn by its own.
var operations = []operation{
	{"configmap-write", 60, configMapWrite},
	{"configmap-read", 40, configMapRead},
	{"configmap-update", 40, configMapUpdate},
	{"configmap-conflict", 25, configMapConflict},
	{"configmap-exists", 20, configMapExists},
	{"configmap-delete-collection", 4, configMapDeleteCollection},
	{"configmap-large", 4, configMapLarge},
	{"configmap-dry-run", 8, configMapDryRun},
	{"list-selected", 25, listSelected},
	{"list-pages", 12, listPages},
	{"list-metadata", 8, listMetadata},
	{"lease-renew", 30, leaseRenew},
	{"event-create", 15, eventCreate},
	{"review-create", 8, reviewCreate},
	{"patch-json", 15, patchJSON},
	{"patch-merge", 15, patchMerge},
	{"patch-strategic", 15, patchStrategic},
	{"patch-apply", 15, patchApply},
	{"pod-life", 25, podLife},
	{"pod-status", 15, podStatus},
	{"pod-eviction", 10, podEviction},
	{"pod-log", 12, podLog},
	{"pod-exec", 6, podExec},
	{"pod-exec-websocket", 6, podExecWebSocket},
	{"serviceaccount-token", 12, serviceAccountToken},
	{"deployment-scale", 20, deploymentScale},
	{"deployment-status", 10, deploymentStatus},
	{"custom-write", 30, customWrite},
	{"custom-read", 20, customRead},
	{"custom-status", 10, customStatus},
	{"custom-patch", 15, customPatch},
	{"custom-cluster", 10, customCluster},
	{"watch-some", 15, watchSome},
	{"watch-at-once", 10, watchAtOnce},
	{"watch-timeout", 6, watchTimeout},
	{"watch-custom", 8, watchCustom},
	{"watch-refused", 5, watchRefused},
	{"cancel-read", 25, cancelRead},
	{"cancel-write", 25, cancelWrite},
	{"cancel-large", 4, cancelLarge},
	{"fail-forbidden", 20, failForbidden},
	{"fail-unauthorized", 15, failUnauthorized},
	{"fail-missing", 20, failMissing},
	{"fail-invalid", 20, failInvalid},
	{"fail-http", 20, failHTTP},
	{"raw-non-resource", 25, rawNonResource},
	{"raw-aggregated-discovery", 8, rawAggregatedDiscovery},
	{"raw-discovery", 1, rawDiscovery},
	{"raw-openapi", 1, rawOpenAPI},
	{"raw-head", 12, rawHead},
	{"raw-options", 8, rawOptions},
	{"raw-table", 10, rawTable},
	{"raw-proxy", 6, rawProxy},
}

// operationTimeout ends an operation that hangs; none should.
const operationTimeout = 30 * time.Second

// step does one operation.
func (w *worker) step(ctx context.Context) {
	chosen := w.draw()
	ctx, cancel := context.WithTimeout(withOperation(ctx, chosen.name), operationTimeout)
	defer cancel()
	chosen.run(ctx, w)
}

func (w *worker) draw() operation {
	total := 0
	for _, o := range operations {
		total += o.weight
	}
	at := w.random.Intn(total)
	for _, o := range operations {
		if at -= o.weight; at < 0 {
			return o
		}
	}
	panic("storm: a weight below the total of the weights is some operation's")
}

func (w *worker) pick(from []string) string {
	return from[w.random.Intn(len(from))]
}

// name is one of a few names that all workers share, so that they meet.
func (w *worker) name(kind string) string {
	return fmt.Sprintf("%s-%d", kind, w.random.Intn(12))
}

// meta is the metadata of all that the storm creates; what is left of it is deleted by its label.
func (w *worker) meta(name string) metav1.ObjectMeta {
	labels := map[string]string{stormLabel: "true", "set": fmt.Sprint(w.random.Intn(4))}
	return metav1.ObjectMeta{Name: name, Namespace: w.namespace, Labels: labels}
}

func (w *worker) selector() string {
	return fmt.Sprintf("%s=true,set in (%d,%d)", stormLabel, w.random.Intn(4), w.random.Intn(4))
}
