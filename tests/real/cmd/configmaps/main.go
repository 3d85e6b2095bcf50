// Command configmaps creates ConfigMaps of one size with several workers over one connection, and
// says how many of them were created.
//
// It prints one JSON line: {"created","failed","errors"}, where errors are the first few.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const errorsShown = 5

type outcome struct {
	sync.Mutex
	Created int      `json:"created"`
	Failed  int      `json:"failed"`
	Errors  []string `json:"errors"`
}

func (o *outcome) note(err error) {
	o.Lock()
	defer o.Unlock()
	if err == nil {
		o.Created++
		return
	}
	o.Failed++
	if len(o.Errors) < errorsShown {
		o.Errors = append(o.Errors, err.Error())
	}
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig to use")
	count := flag.Int("count", 1000, "how many ConfigMaps")
	size := flag.Int("bytes", 100<<10, "bytes of data of each")
	workers := flag.Int("workers", 20, "how many are created at once")
	prefix := flag.String("prefix", "c", "how their names begin")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		log.Fatal(err)
	}
	// The credential is proved before anything large is sent, as by every client's discovery.
	if _, err := client.Discovery().ServerGroups(); err != nil {
		log.Fatal(err)
	}
	data := map[string]string{"key": strings.Repeat("x", *size)}
	found := &outcome{Errors: []string{}}
	numbers := make(chan int)
	var group sync.WaitGroup
	for range *workers {
		group.Go(func() {
			for number := range numbers {
				name := fmt.Sprintf("%s-%d", *prefix, number)
				configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}
				_, err := client.CoreV1().ConfigMaps("default").Create(context.Background(), configMap, metav1.CreateOptions{})
				found.note(err)
			}
		})
	}
	for number := range *count {
		numbers <- number
	}
	close(numbers)
	group.Wait()
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		log.Fatal(err)
	}
}
