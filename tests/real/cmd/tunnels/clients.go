package main

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/gorilla/websocket"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
)

// Ports of the pod, as podserver has them.
const (
	portEcho     = 7
	portChecksum = 8
	portNobody   = 9
)

// podOptions name a pod's subresource and what it is asked for.
type podOptions struct {
	pod, subresource           string
	command                    []string
	stdin, stdout, stderr, tty bool
}

func (o podOptions) url(config *rest.Config) *url.URL {
	pod := o.pod
	if pod == "" {
		pod = "p"
	}
	query := url.Values{"command": o.command}
	for name, there := range map[string]bool{"stdin": o.stdin, "stdout": o.stdout, "stderr": o.stderr, "tty": o.tty} {
		if there {
			query.Set(name, "true")
		}
	}
	target, err := url.Parse(config.Host)
	if err != nil {
		panic(err) // the kubeconfig was read already
	}
	target.Path = "/api/v1/namespaces/n/pods/" + pod + "/" + o.subresource
	target.RawQuery = query.Encode()
	return target
}

type executor func(config *rest.Config, options podOptions) (remotecommand.Executor, error)

func newSPDY(config *rest.Config, options podOptions) (remotecommand.Executor, error) {
	return remotecommand.NewSPDYExecutor(config, http.MethodPost, options.url(config))
}

func newWebSocket(config *rest.Config, options podOptions) (remotecommand.Executor, error) {
	return remotecommand.NewWebSocketExecutor(config, http.MethodGet, options.url(config).String())
}

type dialer func(config *rest.Config, options podOptions) (httpstream.Dialer, error)

func dialSPDY(config *rest.Config, options podOptions) (httpstream.Dialer, error) {
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: transport}
	return spdy.NewDialer(upgrader, client, http.MethodPost, options.url(config)), nil
}

func dialWebSocket(config *rest.Config, options podOptions) (httpstream.Dialer, error) {
	return portforward.NewSPDYOverWebsocketDialer(options.url(config), config)
}

// dialConsole asks for a console as virtctl does.
func dialConsole(ctx context.Context, config *rest.Config, subresource, protocol string) (*websocket.Conn, *http.Response, error) {
	tls, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, nil, err
	}
	dialer := websocket.Dialer{TLSClientConfig: tls, Subprotocols: []string{protocol}}
	target := strings.Replace(config.Host, "https://", "wss://", 1) +
		"/apis/subresources.kubevirt.io/v1/namespaces/n/virtualmachineinstances/vmi/" + subresource
	header := http.Header{"Authorization": {"Bearer " + config.BearerToken}}
	return dialer.DialContext(ctx, target, header)
}
