package main

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
)

// stormLabel is on all that the storm creates.
const stormLabel = "kubetoll.dev/storm"

// prepare creates the namespace and what the operations need in it.
func (s *storm) prepare(ctx context.Context) error {
	ctx = withOperation(ctx, "prepare")
	labels := map[string]string{stormLabel: "true"}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace, Labels: labels}}
	_, err := s.typed.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	// Pods need it where the ServiceAccount admission plugin is on and no controller makes it.
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Labels: labels}}
	_, err = s.typed.CoreV1().ServiceAccounts(s.namespace).Create(ctx, account, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	return nil
}

// startInformers runs typed informers beside the workers; the function that it returns stops them.
func (s *storm) startInformers(ctx context.Context) func() {
	ctx, cancel := context.WithCancel(withOperation(ctx, "informer"))
	factory := informers.NewSharedInformerFactoryWithOptions(s.typed, 0, informers.WithNamespace(s.namespace))
	factory.Core().V1().ConfigMaps().Informer()
	factory.Core().V1().Pods().Informer()
	factory.Start(ctx.Done())
	return func() {
		cancel()
		factory.Shutdown()
	}
}

// leftovers are the resources that operations create in the namespace, besides the custom ones.
var leftovers = []schema.GroupVersionResource{
	{Version: "v1", Resource: "pods"},
	{Version: "v1", Resource: "configmaps"},
	{Version: "v1", Resource: "events"},
	{Version: "v1", Resource: "serviceaccounts"},
	{Group: "apps", Version: "v1", Resource: "deployments"},
	{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"},
	{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"},
}

// cleanUp removes what the storm created: all objects by their label, and the namespace if it has
// that label too.
func (s *storm) cleanUp(ctx context.Context) error {
	ctx = withOperation(ctx, "clean-up")
	now := int64(0)
	byLabel := metav1.ListOptions{LabelSelector: stormLabel + "=true"}
	var failed []error
	for _, resource := range append(leftovers, customResources...) {
		err := s.dynamic.Resource(resource).Namespace(s.namespace).
			DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &now}, byLabel)
		failed = append(failed, ignoreNotFound(err))
	}
	for _, resource := range customClusterResources {
		err := s.dynamic.Resource(resource).DeleteCollection(ctx, metav1.DeleteOptions{}, byLabel)
		failed = append(failed, ignoreNotFound(err))
	}
	return errors.Join(append(failed, s.removeNamespace(ctx))...)
}

// removeNamespace deletes the namespace and takes its finalizer away, which a control plane
// without controller manager would leave for ever. It is empty already.
func (s *storm) removeNamespace(ctx context.Context) error {
	namespaces := s.typed.CoreV1().Namespaces()
	namespace, err := namespaces.Get(ctx, s.namespace, metav1.GetOptions{})
	if err != nil || namespace.Labels[stormLabel] != "true" {
		return ignoreNotFound(err)
	}
	if err := namespaces.Delete(ctx, s.namespace, metav1.DeleteOptions{}); err != nil {
		return ignoreNotFound(err)
	}
	if namespace, err = namespaces.Get(ctx, s.namespace, metav1.GetOptions{}); err != nil {
		return ignoreNotFound(err)
	}
	namespace.Spec.Finalizers = nil
	_, err = namespaces.Finalize(ctx, namespace, metav1.UpdateOptions{})
	if apierrors.IsConflict(err) { // a namespace controller is at it already
		return nil
	}
	return ignoreNotFound(err)
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
