package main

import (
	"context"
	"io"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/remotecommand"
)

// stormNode doesn't exist: pods are bound to it and never run.
const stormNode = "kubetoll-storm-node"

func (w *worker) pods() typedcorev1.PodInterface {
	return w.typed.CoreV1().Pods(w.namespace)
}

func podSpec() corev1.PodSpec {
	return corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none.invalid/none"}}}
}

// podLife creates a pod, binds it as the scheduler does, and at times deletes it at once.
func podLife(ctx context.Context, w *worker) {
	name := w.name("pod")
	pod := &corev1.Pod{ObjectMeta: w.meta(name), Spec: podSpec()}
	_, _ = w.pods().Create(ctx, pod, metav1.CreateOptions{})
	if w.random.Intn(2) == 0 {
		binding := &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.namespace},
			Target:     corev1.ObjectReference{Kind: "Node", Name: stormNode},
		}
		_ = w.pods().Bind(ctx, binding, metav1.CreateOptions{})
	}
	if w.random.Intn(3) == 0 {
		now := int64(0)
		_ = w.pods().Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: &now})
	}
}

func podStatus(ctx context.Context, w *worker) {
	pod, err := w.pods().Get(ctx, w.name("pod"), metav1.GetOptions{})
	if err != nil {
		return
	}
	pod.Status.Phase = corev1.PodRunning
	_, _ = w.pods().UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	_, _ = w.pods().UpdateEphemeralContainers(ctx, pod.Name, pod, metav1.UpdateOptions{})
}

// podEviction evicts; a running pod meets a budget whose controller never ran: 429. It sends
// without client-go's own retries, which would wait for the server's Retry-After.
func podEviction(ctx context.Context, w *worker) {
	if w.random.Intn(4) == 0 {
		none := intstr.FromInt32(0)
		budget := &policyv1.PodDisruptionBudget{ObjectMeta: w.meta("budget"), Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable: &none,
			Selector:       &metav1.LabelSelector{MatchLabels: map[string]string{stormLabel: "true"}},
		}}
		_, _ = w.typed.PolicyV1().PodDisruptionBudgets(w.namespace).Create(ctx, budget, metav1.CreateOptions{})
	}
	name := w.name("pod")
	eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.namespace}}
	_ = w.typed.CoreV1().RESTClient().Post().MaxRetries(0).Namespace(w.namespace).
		Resource("pods").Name(name).SubResource("eviction").Body(eviction).Do(ctx).Error()
}

// podLog asks for logs that no kubelet has, at once or followed.
func podLog(ctx context.Context, w *worker) {
	options := &corev1.PodLogOptions{Container: "main", Follow: w.random.Intn(2) == 0}
	stream, err := w.pods().GetLogs(w.name("pod"), options).Stream(ctx)
	if err != nil {
		return
	}
	defer stream.Close()
	_, _ = io.Copy(io.Discard, stream)
}

// podExec asks for an upgrade to SPDY that is refused.
func podExec(ctx context.Context, w *worker) {
	options := &corev1.PodExecOptions{Container: "main", Command: []string{"true"}, Stdout: true}
	request := w.typed.CoreV1().RESTClient().Post().Namespace(w.namespace).
		Resource("pods").Name(w.name("pod")).SubResource("exec").VersionedParams(options, scheme.ParameterCodec)
	executor, err := remotecommand.NewSPDYExecutor(w.config, http.MethodPost, request.URL())
	if err != nil {
		return
	}
	_ = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: io.Discard})
}

// podExecWebSocket asks for an upgrade to WebSocket that is refused, or for one to nothing known.
func podExecWebSocket(ctx context.Context, w *worker) {
	subresource := w.pick([]string{"exec?command=true&stdout=true", "attach?stdout=true", "portforward?ports=80"})
	protocol := w.pick([]string{"v5.channel.k8s.io", "nothing"})
	w.http1.send(ctx, http.MethodGet, w.path("pods/"+w.name("pod")+"/"+subresource), nil,
		"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13",
		"Sec-WebSocket-Key", "a3ViZXRvbGwgc3Rvcm0hIQ==", "Sec-WebSocket-Protocol", protocol)
}
