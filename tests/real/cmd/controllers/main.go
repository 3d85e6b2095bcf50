// Command controllers runs some of the controllers of kube-controller-manager, each as that starts it:
// deployment, replicaset, garbage collector, namespace and service account. All of
// kube-controller-manager takes minutes to build.
//
// It runs until it is killed.
package main

import (
	"context"
	"flag"
	"log"
	"time"

	"k8s.io/api/core/v1"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/controller-manager/pkg/clientbuilder"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/kubernetes/pkg/controller/deployment"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/replicaset"
	"k8s.io/kubernetes/pkg/controller/serviceaccount"
)

// kube-controller-manager's defaults.
const (
	resync          = 12 * time.Hour
	refresh         = 30 * time.Second
	namespaceResync = 5 * time.Minute
	workers         = 5
	namespaceSyncs  = 10
	garbageSyncs    = 20
	qps             = 20
	burst           = 30
)

type manager struct {
	clients   clientbuilder.SimpleControllerClientBuilder
	informers informers.SharedInformerFactory
	metadata  metadatainformer.SharedInformerFactory
	started   chan struct{}
}

func config(kubeconfig string) *rest.Config {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	check(err)
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	config.QPS, config.Burst = qps, burst
	return config
}

func (m *manager) client(name string) kubernetes.Interface {
	return m.clients.ClientOrDie(name)
}

func (m *manager) runDeployments(ctx context.Context) {
	apps, pods := m.informers.Apps().V1(), m.informers.Core().V1().Pods()
	client := m.client("deployment-controller")
	deployments, err := deployment.NewDeploymentController(ctx, apps.Deployments(), apps.ReplicaSets(), pods, client)
	check(err)
	go deployments.Run(ctx, workers)
	client = m.client("replicaset-controller")
	replicaSets := replicaset.NewReplicaSetController(ctx, apps.ReplicaSets(), pods, client, replicaset.BurstReplicas)
	go replicaSets.Run(ctx, workers)
}

func (m *manager) runNamespaces(ctx context.Context) {
	config := m.clients.ConfigOrDie("namespace-controller")
	config.QPS *= 20
	config.Burst *= 100
	client := kubernetes.NewForConfigOrDie(config)
	namespaces := namespace.NewNamespaceController(ctx, client, metadata.NewForConfigOrDie(config),
		client.Discovery().ServerPreferredNamespacedResources, m.informers.Core().V1().Namespaces(),
		namespaceResync, v1.FinalizerKubernetes)
	go namespaces.Run(ctx, namespaceSyncs)
	core := m.informers.Core().V1()
	accounts, err := serviceaccount.NewServiceAccountsController(core.ServiceAccounts(), core.Namespaces(),
		m.client("service-account-controller"), serviceaccount.DefaultServiceAccountsControllerOptions())
	check(err)
	go accounts.Run(ctx, 1)
}

func (m *manager) runGarbageCollector(ctx context.Context) {
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(
		memory.NewMemCacheClient(m.clients.DiscoveryClientOrDie("controller-discovery")))
	const name = "generic-garbage-collector"
	config := m.clients.ConfigOrDie(name)
	config.QPS *= 2
	graph := garbagecollector.NewDependencyGraphBuilder(ctx,
		metadata.NewForConfigOrDie(m.clients.ConfigOrDie("metadata-informers")), mapper,
		garbagecollector.DefaultIgnoredResources(),
		informerfactory.NewInformerFactory(m.informers, m.metadata), m.started)
	collector, err := garbagecollector.NewComposedGarbageCollector(ctx, m.client(name),
		metadata.NewForConfigOrDie(config), mapper, graph)
	check(err)
	go collector.Run(ctx, garbageSyncs, refresh)
	go collector.Sync(ctx, m.clients.DiscoveryClientOrDie(name), refresh)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig to use")
	flag.Parse()
	clients := clientbuilder.SimpleControllerClientBuilder{ClientConfig: config(*kubeconfig)}
	m := &manager{
		clients:   clients,
		informers: informers.NewSharedInformerFactory(clients.ClientOrDie("shared-informers"), resync),
		metadata: metadatainformer.NewSharedInformerFactory(
			metadata.NewForConfigOrDie(clients.ConfigOrDie("metadata-informers")), resync),
		started: make(chan struct{}),
	}
	ctx := context.Background()
	m.runDeployments(ctx)
	m.runNamespaces(ctx)
	m.runGarbageCollector(ctx)
	m.informers.Start(ctx.Done())
	m.metadata.Start(ctx.Done())
	close(m.started)
	select {}
}
