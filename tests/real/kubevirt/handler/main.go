// Handler plays virt-handler, which can't be built without libvirt and libnbd: it starts with
// virt-handler's arguments, is ready where virt-handler would be, watches the virtual machines of
// its node and tells once a minute that it is alive, as virt-handler does. It runs no machines.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/clientcmd"
)

// Where virt-operator puts the certificate that virt-handler serves with.
const certificates = "/etc/virt-handler/servercertificates/"

func main() {
	pflag.CommandLine.ParseErrorsWhitelist.UnknownFlags = true
	kubeconfig := pflag.String("kubeconfig", "", "in place of the pod's service account")
	node := pflag.String("hostname-override", "", "name of the node")
	port := pflag.Int("port", 8443, "of /healthz")
	pflag.Parse()
	// Without a file it is the pod's service account.
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	check(err)
	client, err := dynamic.NewForConfig(config)
	check(err)
	watchMachines(client, *node)
	go beat(client, *node)
	http.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	address := fmt.Sprintf(":%d", *port)
	check(http.ListenAndServeTLS(address, certificates+"tls.crt", certificates+"tls.key", nil))
}

func watchMachines(client dynamic.Interface, node string) {
	onNode := func(options *metav1.ListOptions) { options.LabelSelector = "kubevirt.io/nodeName=" + node }
	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(client, 0, metav1.NamespaceAll, onNode)
	machines := schema.GroupVersionResource{Group: "kubevirt.io", Version: "v1", Resource: "virtualmachineinstances"}
	factory.ForResource(machines).Informer()
	factory.Start(context.Background().Done())
}

// beat says that the node takes virtual machines, which is not so: none can be scheduled to it, since
// it has no devices of KubeVirt.
func beat(client dynamic.Interface, node string) {
	nodes := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "nodes"})
	for ; ; time.Sleep(time.Minute) {
		now := time.Now().UTC().Format(time.RFC3339)
		patch := fmt.Sprintf(`{"metadata": {"labels": {"kubevirt.io/schedulable": "true"},
			"annotations": {"kubevirt.io/heartbeat": %q}}}`, now)
		_, err := nodes.Patch(context.Background(), node, types.StrategicMergePatchType,
			[]byte(patch), metav1.PatchOptions{})
		if err != nil {
			log.Printf("node %s: %v", node, err)
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatalf("handler: %v", err)
	}
}
