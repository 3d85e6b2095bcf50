// Command tunnels opens tunnels to a pod as kubectl and virtctl do, with client-go's own executors
// and port forwarder over SPDY and WebSocket, so that the same tunnels can be compared directly and
// through a proxy. The server is podserver.
//
// With -count 0 it tries each case once and prints a line for it. Otherwise it opens -count tunnels
// that echo, -parallel at a time, each of which stays open until all of its batch are, and prints
// one JSON line: {"done":{KIND:COUNT},"failed":[...],"seconds"}.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// longest is how long one tunnel may take.
const longest = 2 * time.Minute

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig to use")
	count := flag.Int("count", 0, "number of tunnels, of all kinds in turn; 0: each case once")
	parallel := flag.Int("parallel", 1, "how many are open at once")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	if *count == 0 {
		for _, each := range cases() {
			limited, cancel := context.WithTimeout(ctx, longest)
			fmt.Printf("%s: %s\n", each.name, each.run(limited, config))
			cancel()
		}
		return
	}
	if err := json.NewEncoder(os.Stdout).Encode(many(ctx, config, *count, *parallel)); err != nil {
		log.Fatal(err)
	}
}

type result struct {
	Done    map[string]int `json:"done"`
	Failed  []string       `json:"failed"`
	Seconds float64        `json:"seconds"`
}

func many(ctx context.Context, config *rest.Config, count, parallel int) result {
	started := time.Now()
	total := result{Done: map[string]int{}, Failed: []string{}}
	for first := 0; first < count; first += parallel {
		batch(ctx, config, first, min(parallel, count-first), &total)
	}
	total.Seconds = time.Since(started).Seconds()
	return total
}

// batch opens size tunnels, and lets each go on once all are open.
func batch(ctx context.Context, config *rest.Config, first, size int, total *result) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	var open, done sync.WaitGroup
	var lock sync.Mutex
	open.Add(size)
	all := make(chan struct{})
	go func() {
		open.Wait()
		close(all)
	}()
	for number := first; number < first+size; number++ {
		kind := echoes[number%len(echoes)]
		done.Add(1)
		go func() {
			defer done.Done()
			opened := sync.OnceFunc(open.Done)
			defer opened()
			err := kind.run(ctx, config, func() {
				opened()
				select {
				case <-all:
				case <-ctx.Done():
				}
			})
			lock.Lock()
			defer lock.Unlock()
			if err != nil {
				total.Failed = append(total.Failed, fmt.Sprintf("%d %s: %v", number, kind.name, err))
			} else {
				total.Done[kind.name]++
			}
		}()
	}
	done.Wait()
}
