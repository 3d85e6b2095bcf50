// Command leader takes part in a leader election as KubeVirt's controllers do, for a time or until
// its standard input ends, and says how often it led and lost.
//
// It prints "leading" once it leads, and at its end one JSON line: {"led","lost","renewals","errors"}.
// Renewals and errors are counted at the transport.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// KubeVirt's times.
const (
	lease = 15 * time.Second
	renew = 10 * time.Second
	retry = 2 * time.Second
)

type counts struct {
	led, lost, renewals, errors atomic.Int64
	transport                   http.RoundTripper
}

func (c *counts) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := c.transport.RoundTrip(request)
	switch {
	case err != nil || response.StatusCode >= http.StatusInternalServerError:
		c.errors.Add(1)
	case request.Method == http.MethodPut:
		c.renewals.Add(1)
	}
	return response, err
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig to use")
	duration := flag.Duration("for", 20*time.Second, "how long it takes part; 0s: until standard input ends")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	counted := &counts{}
	config.Wrap(func(transport http.RoundTripper) http.RoundTripper {
		counted.transport = transport
		return counted
	})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		if *duration > 0 {
			time.Sleep(*duration)
		} else {
			_, _ = io.Copy(io.Discard, os.Stdin)
		}
		cancel()
	}()
	leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Name: "leader", Namespace: "default"},
			Client:     kubernetes.NewForConfigOrDie(config).CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: "one"},
		},
		LeaseDuration: lease,
		RenewDeadline: renew,
		RetryPeriod:   retry,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) {
				counted.led.Add(1)
				fmt.Println("leading")
			},
			OnStoppedLeading: func() {
				if ctx.Err() == nil {
					counted.lost.Add(1)
				}
			},
		},
	})
	result := map[string]int64{
		"led": counted.led.Load(), "lost": counted.lost.Load(),
		"renewals": counted.renewals.Load(), "errors": counted.errors.Load(),
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		log.Fatal(err)
	}
}
