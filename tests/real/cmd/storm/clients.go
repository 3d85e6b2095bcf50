package main

import (
	"net"
	"net/http"
	"sync"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// storm is what all workers share: the clients and the count of what they send.
type storm struct {
	counts    *counter
	namespace string

	config    *rest.Config         // the user of the kubeconfig
	typed     kubernetes.Interface // built-in resources in protobuf
	dynamic   dynamic.Interface    // any resource in JSON
	metadata  metadata.Interface   // PartialObjectMetadata
	discovery discovery.DiscoveryInterface
	denied    kubernetes.Interface // impersonates a user without rights: 403
	unknown   kubernetes.Interface // a token that nobody has: 401
	http2     rawClient
	http1     rawClient

	watches sync.WaitGroup
	held    chan struct{} // a place for each watch that is open at once
}

// maxWatches keeps the shared connection below kube-apiserver's 100 streams.
const maxWatches = 32

// newStorm makes the clients. All of them but unknown and http1 share one HTTP/2 connection, as
// client-go does for clients of one kubeconfig.
func newStorm(kubeconfig, namespace string, counts *counter) (*storm, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	config.UserAgent = "kubetoll-storm"
	config.WrapTransport = counts.wrap
	s := &storm{counts: counts, namespace: namespace, config: config, held: make(chan struct{}, maxWatches)}
	if s.dynamic, err = dynamic.NewForConfig(config); err != nil {
		return nil, err
	}
	if s.metadata, err = metadata.NewForConfig(config); err != nil {
		return nil, err
	}
	if s.discovery, err = discovery.NewDiscoveryClientForConfig(config); err != nil {
		return nil, err
	}
	if s.typed, err = typedClient(config); err != nil {
		return nil, err
	}
	if s.denied, err = typedClient(deniedConfig(config)); err != nil {
		return nil, err
	}
	if s.unknown, err = typedClient(unknownConfig(config, counts)); err != nil {
		return nil, err
	}
	if s.http2, err = newRawClient(config); err != nil {
		return nil, err
	}
	s.http1, err = newRawClient(http1Config(config))
	return s, err
}

func typedClient(config *rest.Config) (kubernetes.Interface, error) {
	config = rest.CopyConfig(config)
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	return kubernetes.NewForConfig(config)
}

func deniedConfig(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "kubetoll-storm-nobody"}
	return config
}

// unknownConfig has a Dial of its own, so that client-go gives it a connection of its own.
func unknownConfig(config *rest.Config, counts *counter) *rest.Config {
	config = rest.AnonymousClientConfig(config)
	config.QPS = -1
	config.WrapTransport = counts.wrap
	config.BearerToken = "nobodys-token"
	config.Dial = (&net.Dialer{}).DialContext
	return config
}

func http1Config(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.TLSClientConfig.NextProtos = []string{"http/1.1"}
	return config
}

// closeConnections closes the idle ones, so that a proxy's last requests are closed too.
func (s *storm) closeConnections() {
	for _, client := range []*http.Client{s.http2.client, s.http1.client} {
		client.CloseIdleConnections()
	}
}
