package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"

	"k8s.io/client-go/rest"
)

// rawClient sends what no typed client would.
type rawClient struct {
	client *http.Client
	base   string
}

func newRawClient(config *rest.Config) (rawClient, error) {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return rawClient{}, err
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return rawClient{}, err
	}
	return rawClient{client, strings.TrimSuffix(base.String(), "/")}, nil
}

// send sends a request and reads its response to the end. Headers are pairs of name and value.
func (c rawClient) send(ctx context.Context, method, target string, body []byte, headers ...string) {
	request, err := http.NewRequestWithContext(ctx, method, c.base+target, bytes.NewReader(body))
	if err != nil {
		panic("storm: " + err.Error())
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := c.client.Do(request)
	if err != nil {
		return
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
}

// raw is the HTTP/2 client or, for every third operation, the HTTP/1.1 one.
func (w *worker) raw() rawClient {
	if w.random.Intn(3) == 0 {
		return w.http1
	}
	return w.http2
}

// path is the path of a resource of the core group in the storm's namespace.
func (w *worker) path(resource string) string {
	return "/api/v1/namespaces/" + w.namespace + "/" + resource
}

var nonResourcePaths = []string{
	"/version", "/healthz", "/livez?verbose", "/readyz", "/api", "/apis", "/apis/apps", "/apis/apps/v1", "/api/v1",
	"/openapi/v3", "/openapi/v3/version", "/.well-known/openid-configuration", "/", "/nowhere", "/apis/nowhere.io/v1",
	"/apis/nowhere.io/v1/namespaces/default/things/one", "/api/v1/namespaces/default/nothings", "/metrics/slis",
}

func rawNonResource(ctx context.Context, w *worker) {
	w.raw().send(ctx, http.MethodGet, w.pick(nonResourcePaths), nil)
}

// rawAggregatedDiscovery asks for all groups in one document.
func rawAggregatedDiscovery(ctx context.Context, w *worker) {
	w.raw().send(ctx, http.MethodGet, w.pick([]string{"/api", "/apis"}), nil,
		"Accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json")
}

func rawDiscovery(_ context.Context, w *worker) {
	_, _ = w.discovery.ServerVersion()
	_, _, _ = w.discovery.ServerGroupsAndResources()
}

func rawOpenAPI(ctx context.Context, w *worker) {
	w.raw().send(ctx, http.MethodGet, "/openapi/v3/api/v1", nil)
}

func rawHead(ctx context.Context, w *worker) {
	target := w.pick([]string{w.path("configmaps"), w.path("configmaps/" + w.name("configmap")), "/version", "/healthz", "/nowhere"})
	w.raw().send(ctx, http.MethodHead, target, nil)
}

func rawOptions(ctx context.Context, w *worker) {
	target := w.pick([]string{w.path("configmaps"), w.path("pods/" + w.name("pod") + "/log"), "/version", "/"})
	w.raw().send(ctx, http.MethodOptions, target, nil)
}

// rawTable lists as kubectl get does.
func rawTable(ctx context.Context, w *worker) {
	w.raw().send(ctx, http.MethodGet, w.path("configmaps?limit=10"), nil, "Accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
}

// rawProxy asks for a pod through the API server; no pod ever has an address.
func rawProxy(ctx context.Context, w *worker) {
	method := w.pick([]string{http.MethodGet, http.MethodPost, http.MethodDelete})
	w.raw().send(ctx, method, w.path("pods/"+w.name("pod")+"/proxy/some/path?query=1"), nil)
}
