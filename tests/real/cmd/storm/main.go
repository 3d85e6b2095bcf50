// Command storm sends kube-apiserver a mix of every kind of request that clients make, as fast as
// it can, and says how many got which answer.
//
// The mix is drawn from a seed: all verbs, patches of all types, subresources, watches, requests
// that are refused, requests that are cancelled under way, and requests that aren't for resources.
// Each worker's sequence of operations depends on the seed only; the answers depend on timing.
//
// At its end it prints one line: {"requests":N,"answered":{"GET 200":n,...},"errors":n,"seconds":s}.
// A request is counted when its response head is there; without one it is an error. The sum over
// answered and errors is requests.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand"
	"os"
	"os/signal"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

type options struct {
	kubeconfig string
	requests   int
	workers    int
	seed       int64
	namespace  string
	keep       bool
	log        string
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("storm: ")
	var o options
	flag.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig of the API server (needed)")
	flag.IntVar(&o.requests, "requests", 20000, "send at least this many requests")
	flag.IntVar(&o.workers, "workers", 8, "operations at once")
	flag.Int64Var(&o.seed, "seed", 1, "seed of the mix")
	flag.StringVar(&o.namespace, "namespace", "storm", "namespace, created if missing")
	flag.BoolVar(&o.keep, "keep", false, "leave the namespace and what is in it")
	flag.StringVar(&o.log, "log", "", "write a line for each request to this file: ID, operation, method, URI and answer, separated by tabs;\n"+
		"the ID is sent as Audit-ID, so that it is the audit event's too")
	flag.Parse()
	if o.kubeconfig == "" || o.requests < 1 || o.workers < 1 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(o); err != nil {
		log.Fatal(err)
	}
}

// run prepares the namespace, lets the workers loose, cleans up and prints the counts.
func run(o options) error {
	quietClientGo()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	counts, err := newCounter(o.seed, o.log)
	if err != nil {
		return err
	}
	s, err := newStorm(o.kubeconfig, o.namespace, counts)
	if err != nil {
		return err
	}
	started := time.Now()
	if err := s.prepare(ctx); err != nil {
		return fmt.Errorf("preparing namespace %s: %w", o.namespace, err)
	}
	s.blow(ctx, o)
	if !o.keep {
		if err := s.cleanUp(context.WithoutCancel(ctx)); err != nil {
			return fmt.Errorf("removing namespace %s: %w", o.namespace, err)
		}
	}
	s.closeConnections()
	seconds := time.Since(started).Seconds()
	if err := counts.close(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(counts.summary(seconds))
}

// blow runs the workers until enough requests were sent, with informers beside them, and waits
// until all their watches have ended.
func (s *storm) blow(ctx context.Context, o options) {
	stopInformers := s.startInformers(ctx)
	var workers sync.WaitGroup
	for id := range o.workers {
		w := &worker{storm: s, id: id, random: rand.New(rand.NewSource(o.seed*1000 + int64(id)))}
		workers.Add(1)
		go func() {
			defer workers.Done()
			for s.counts.sent() < o.requests && ctx.Err() == nil {
				w.step(ctx)
			}
		}()
	}
	workers.Wait()
	s.watches.Wait()
	stopInformers()
}

// quietClientGo drops client-go's log: refused requests are what the storm is for.
func quietClientGo() {
	flags := flag.NewFlagSet("klog", flag.PanicOnError)
	klog.InitFlags(flags)
	_ = flags.Set("logtostderr", "false")
	_ = flags.Set("stderrthreshold", "FATAL")
	klog.SetOutput(io.Discard)
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
}
