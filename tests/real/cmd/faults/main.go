// Command faults makes calls that need not be made, each kind a known number of times, and calls beside
// them that look alike and are needed. It speaks protobuf, as Kubernetes' own controllers do. A second
// writer, with a user agent of its own, writes in between.
//
// What it does is in its functions; what there is to be found in that is in tests/it/controllers.rs.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	apps "k8s.io/client-go/applyconfigurations/apps/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

const namespace = "default"

var (
	ctx     = context.Background()
	dryRun  = []string{metav1.DryRunAll}
	created = metav1.CreateOptions{}
	updated = metav1.UpdateOptions{}
	patched = metav1.PatchOptions{}
	got     = metav1.GetOptions{}
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

// expect ends the program if an error is not the one that was to come.
func expect(is func(error) bool, err error) {
	if !is(err) {
		log.Fatalf("not the error that was to come: %v", err)
	}
}

func named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name}
}

func deployment(name string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	replicas := int32(1)
	return &appsv1.Deployment{ObjectMeta: named(name), Spec: appsv1.DeploymentSpec{
		Replicas: &replicas,
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "example.com/a"}}},
		},
	}}
}

// watching returns when an informer has got an object of that name, which create makes: then its watch
// is open.
func watching(informer cache.SharedIndexInformer, name string, create func()) {
	seen := make(chan struct{}, 1)
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(object any) {
		if object.(metav1.Object).GetName() == name {
			seen <- struct{}{}
		}
	}})
	check(err)
	go informer.Run(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		log.Fatal("no cache")
	}
	create()
	<-seen
}

// watched gets seven objects that it watches, and three that it watches by their metadata alone: whole,
// and then their metadata.
func watched(config *rest.Config, client kubernetes.Interface) {
	maps := client.CoreV1().ConfigMaps(namespace)
	create := func(name string) func() {
		return func() { must(maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: named(name)}, created)) }
	}
	informer := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
	for i := range 7 {
		create(fmt.Sprint("map-", i))()
	}
	watching(informer.Core().V1().ConfigMaps().Informer(), "last", create("last"))
	for i := range 7 {
		must(maps.Get(ctx, fmt.Sprint("map-", i), got))
	}
	accounts := client.CoreV1().ServiceAccounts(namespace)
	account := func(name string) func() {
		return func() { must(accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: named(name)}, created)) }
	}
	resource := corev1.SchemeGroupVersion.WithResource("serviceaccounts")
	partial := must(metadata.NewForConfig(config))
	metadataInformer := metadatainformer.NewSharedInformerFactory(partial, 0).ForResource(resource)
	for i := range 3 {
		account(fmt.Sprint("account-", i))()
	}
	watching(metadataInformer.Informer(), "last", account("last"))
	for i := range 3 {
		must(accounts.Get(ctx, fmt.Sprint("account-", i), got))
		must(partial.Resource(resource).Namespace(namespace).Get(ctx, fmt.Sprint("account-", i), got))
	}
}

// unchanged writes a status five times that is there already, applies twice what it applied, once as a
// dry run, and sets the scale that is set.
func unchanged(client kubernetes.Interface) {
	deployments := client.AppsV1().Deployments(namespace)
	object := must(deployments.Create(ctx, deployment("unchanged"), created))
	object.Status.Replicas = 1
	object = must(deployments.UpdateStatus(ctx, object, updated))
	for range 5 {
		object = must(deployments.UpdateStatus(ctx, object, updated))
	}
	configuration := apps.Deployment("unchanged", namespace).WithLabels(map[string]string{"a": "b"})
	apply := func(options metav1.ApplyOptions) {
		options.FieldManager = "faults"
		must(deployments.Apply(ctx, configuration, options))
	}
	apply(metav1.ApplyOptions{})
	apply(metav1.ApplyOptions{})
	apply(metav1.ApplyOptions{DryRun: dryRun})
	scale := func(replicas int) {
		patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)
		must(deployments.Patch(ctx, "unchanged", types.MergePatchType, patch, patched, "scale"))
	}
	scale(2)
	scale(2)
}

// conflicting updates four times what a second writer has updated, deletes twice a version that is not
// there any more, and then succeeds with both.
func conflicting(client, second kubernetes.Interface) {
	deployments := client.AppsV1().Deployments(namespace)
	stale := must(deployments.Create(ctx, deployment("contended"), created))
	for i := range 4 {
		latest := must(second.AppsV1().Deployments(namespace).Get(ctx, "contended", got))
		latest.Annotations = map[string]string{"i": fmt.Sprint(i)}
		must(second.AppsV1().Deployments(namespace).Update(ctx, latest, updated))
		_, err := deployments.Update(ctx, stale, updated)
		expect(apierrors.IsConflict, err)
	}
	of := func(version string) metav1.DeleteOptions {
		return metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &version}}
	}
	for range 2 {
		expect(apierrors.IsConflict, deployments.Delete(ctx, "contended", of(stale.ResourceVersion)))
	}
	latest := must(second.AppsV1().Deployments(namespace).Get(ctx, "contended", got))
	check(deployments.Delete(ctx, "contended", of(latest.ResourceVersion)))
}

// repeated gets one object six times in a row, whole, and its metadata once.
func repeated(config *rest.Config, client kubernetes.Interface) {
	for range 6 {
		must(client.CoreV1().Namespaces().Get(ctx, namespace, got))
	}
	partial := must(metadata.NewForConfig(config))
	resource := corev1.SchemeGroupVersion.WithResource("namespaces")
	must(partial.Resource(resource).Get(ctx, namespace, got))
}

// gone writes three times to an object that it has deleted, and once after it tried to as a dry run.
func gone(client kubernetes.Interface) {
	quotas := client.CoreV1().ResourceQuotas(namespace)
	object := must(quotas.Create(ctx, &corev1.ResourceQuota{ObjectMeta: named("gone")}, created))
	check(quotas.Delete(ctx, "gone", metav1.DeleteOptions{DryRun: dryRun}))
	check(quotas.DeleteCollection(ctx, metav1.DeleteOptions{DryRun: dryRun}, metav1.ListOptions{}))
	object.Labels = map[string]string{"a": "b"}
	latest := must(quotas.Update(ctx, object, updated))
	_, err := quotas.Update(ctx, object, updated)
	expect(apierrors.IsConflict, err)
	check(quotas.Delete(ctx, "gone", metav1.DeleteOptions{}))
	for range 3 {
		_, err := quotas.UpdateStatus(ctx, latest, updated)
		expect(apierrors.IsNotFound, err)
	}
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig to use")
	flag.Parse()
	config := must(clientcmd.BuildConfigFromFlags("", *kubeconfig))
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	config.QPS = -1
	client := kubernetes.NewForConfigOrDie(config)
	other := rest.CopyConfig(config)
	other.UserAgent = "second/v1"
	second := kubernetes.NewForConfigOrDie(other)
	watched(config, client)
	unchanged(client)
	conflicting(client, second)
	repeated(config, client)
	gone(client)
}
