// Command informer runs client-go informers for a time, or until its standard input ends, and says what they did, so that the same
// informers can be compared directly and through a proxy.
//
// It prints "synced" once all are, and at its end one JSON line: {"lists","watches","events","objects","errors"}; lists and watches are
// counted at the transport, events are the handlers' calls, objects is the size of all stores.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

type counts struct {
	lists, watches, events, errors atomic.Int64
	transport                      http.RoundTripper
}

func (c *counts) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := c.transport.RoundTrip(request)
	switch {
	case err != nil || response.StatusCode != http.StatusOK:
		c.errors.Add(1)
	case request.URL.Query().Get("watch") == "true":
		c.watches.Add(1)
	default:
		c.lists.Add(1)
	}
	return response, err
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig to use")
	resource := flag.String("resource", "configmaps", "resource of the core group")
	namespace := flag.String("namespace", "default", "namespace")
	count := flag.Int("count", 1, "number of informers")
	duration := flag.Duration("for", 5*time.Second, "how long they run once they are synced; 0s: until standard input ends")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	// Throttled, the last informers would start when the first ones have been through it all.
	config.QPS = -1
	counted := &counts{}
	config.Wrap(func(transport http.RoundTripper) http.RoundTripper {
		counted.transport = transport
		return counted
	})
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		log.Fatal(err)
	}
	stop := make(chan struct{})
	stores := make([]cache.Store, *count)
	synced := make([]cache.InformerSynced, *count)
	for i := range stores {
		stores[i], synced[i] = start(client, *resource, *namespace, counted, stop)
	}
	if !cache.WaitForCacheSync(stop, synced...) {
		log.Fatal("the informers did not sync")
	}
	fmt.Println("synced")
	if *duration > 0 {
		time.Sleep(*duration)
	} else {
		_, _ = io.Copy(io.Discard, os.Stdin)
	}
	objects := 0
	for _, store := range stores {
		objects += len(store.ListKeys())
	}
	close(stop)
	result := map[string]int64{
		"lists": counted.lists.Load(), "watches": counted.watches.Load(), "events": counted.events.Load(),
		"objects": int64(objects), "errors": counted.errors.Load(),
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		log.Fatal(err)
	}
}

func start(client dynamic.Interface, resource, namespace string, counted *counts, stop chan struct{}) (cache.Store, cache.InformerSynced) {
	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(client, 0, namespace, nil)
	informer := factory.ForResource(schema.GroupVersionResource{Version: "v1", Resource: resource}).Informer()
	event := func() { counted.events.Add(1) }
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { event() },
		UpdateFunc: func(any, any) { event() },
		DeleteFunc: func(any) { event() },
	}); err != nil {
		log.Fatal(err)
	}
	go informer.Run(stop)
	return informer.GetStore(), informer.HasSynced
}
