package main

import (
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// word is what KubeVirt takes for a part of a path; patterns are searched in it, in this order.
const word = `[A-Za-z0-9.\-]*`

var patterns = compile(
	"/api/W/watch/namespaces/W/",
	"/api/W/watch/",
	"/apis/W/W/watch/namespaces/W/",
	"/apis/W/W/watch/",
	"/api/W/namespaces/W/",
	"/apis/W/W/namespaces/W/",
	"/api/W/",
	"/apis/W/W/",
)

func compile(prefixes ...string) []*regexp.Regexp {
	var compiled []*regexp.Regexp
	for _, prefix := range prefixes {
		text := strings.ReplaceAll(prefix, "W", word) + "(" + word + ")"
		compiled = append(compiled, regexp.MustCompile(text))
	}
	return compiled
}

// resourceAndVerb names a request as KubeVirt's client metric does.
func resourceAndVerb(method string, u *url.URL) (string, string) {
	resource := ""
	for _, pattern := range patterns {
		if match := pattern.FindStringSubmatch(u.Path); match != nil {
			resource = match[1]
			break
		}
	}
	if resource == "" || method == "" {
		return "none", "none"
	}
	switch method {
	case http.MethodPut:
		return resource, "UPDATE"
	case http.MethodPost:
		return resource, "CREATE"
	case http.MethodGet:
		switch {
		case strings.Contains(u.Path, "/watch/"), u.Query().Get("watch") == "true":
			return resource, "WATCH"
		case strings.HasSuffix(u.Path, resource):
			return resource, "LIST"
		}
	}
	return resource, method
}

// hook counts what goes through a transport, when the response's head is there.
type hook struct {
	next    http.RoundTripper
	counter *prometheus.CounterVec
}

func newCounter() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kubevirt_rest_client_requests_total",
		Help: "Number of HTTP requests, partitioned by status code, method, and host.",
	}, []string{"code", "method", "host", "resource", "verb"})
}

func (h *hook) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := h.next.RoundTrip(request)
	code := "<error>"
	if err == nil {
		code = strconv.Itoa(response.StatusCode)
	}
	resource, verb := resourceAndVerb(request.Method, request.URL)
	h.counter.WithLabelValues(code, request.Method, request.URL.Host, resource, verb).Inc()
	return response, err
}
