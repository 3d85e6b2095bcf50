package main

import (
	"context"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// leaseRenew does what leader election does: get, update, and create at first.
func leaseRenew(ctx context.Context, w *worker) {
	leases := w.typed.CoordinationV1().Leases(w.namespace)
	name, holder, now := w.name("lease"), "worker", metav1.NewMicroTime(time.Now())
	lease, err := leases.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		lease = &coordinationv1.Lease{ObjectMeta: w.meta(name)}
		_, _ = leases.Create(ctx, lease, metav1.CreateOptions{})
		return
	}
	lease.Spec.HolderIdentity, lease.Spec.RenewTime = &holder, &now
	_, _ = leases.Update(ctx, lease, metav1.UpdateOptions{})
}

func eventCreate(ctx context.Context, w *worker) {
	event := &corev1.Event{
		ObjectMeta:     w.meta(""),
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: w.namespace, Name: w.name("pod"), APIVersion: "v1"},
		Reason:         "Storm",
		Type:           corev1.EventTypeNormal,
	}
	event.GenerateName = "event-"
	_, _ = w.typed.CoreV1().Events(w.namespace).Create(ctx, event, metav1.CreateOptions{})
}

// reviewCreate creates objects that are only answers.
func reviewCreate(ctx context.Context, w *worker) {
	attributes := &authorizationv1.ResourceAttributes{Namespace: w.namespace, Verb: "get", Resource: "pods"}
	if w.random.Intn(2) == 0 {
		review := &authorizationv1.SubjectAccessReview{
			Spec: authorizationv1.SubjectAccessReviewSpec{User: "somebody", ResourceAttributes: attributes},
		}
		_, _ = w.typed.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		return
	}
	review := &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: attributes},
	}
	_, _ = w.typed.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
}

// serviceAccountToken makes an account and asks for a token of it or of one that isn't there.
func serviceAccountToken(ctx context.Context, w *worker) {
	accounts := w.typed.CoreV1().ServiceAccounts(w.namespace)
	name := w.name("account")
	if w.random.Intn(3) == 0 {
		_, _ = accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: w.meta(name)}, metav1.CreateOptions{})
	}
	seconds := int64(600)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	_, _ = accounts.CreateToken(ctx, name, request, metav1.CreateOptions{})
}

func (w *worker) deployment(name string) *appsv1.Deployment {
	replicas := int32(0)
	return &appsv1.Deployment{
		ObjectMeta: w.meta(name),
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{stormLabel: "true"}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{stormLabel: "true"}},
				Spec:       podSpec(),
			},
		},
	}
}

// deploymentScale reads and writes the scale subresource. The replicas stay 0: no pods come of it.
func deploymentScale(ctx context.Context, w *worker) {
	deployments := w.typed.AppsV1().Deployments(w.namespace)
	name := w.name("deployment")
	scale, err := deployments.GetScale(ctx, name, metav1.GetOptions{})
	if err != nil {
		_, _ = deployments.Create(ctx, w.deployment(name), metav1.CreateOptions{})
		return
	}
	_, _ = deployments.UpdateScale(ctx, name, scale, metav1.UpdateOptions{})
	_, _ = deployments.UpdateScale(ctx, name, &autoscalingv1.Scale{ // 422
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.namespace},
		Spec:       autoscalingv1.ScaleSpec{Replicas: -1},
	}, metav1.UpdateOptions{})
}

func deploymentStatus(ctx context.Context, w *worker) {
	deployments := w.typed.AppsV1().Deployments(w.namespace)
	deployment := w.deployment(w.name("deployment"))
	deployment.Status.ObservedGeneration = 1
	_, _ = deployments.UpdateStatus(ctx, deployment, metav1.UpdateOptions{})
	if w.random.Intn(3) == 0 {
		_ = deployments.Delete(ctx, deployment.Name, metav1.DeleteOptions{})
	}
}
