package main

import (
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"net/url"

	"github.com/gorilla/websocket"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/httpstream/wsstream"
	"k8s.io/apimachinery/pkg/util/proxy"
	translator "k8s.io/apiserver/pkg/util/proxy"
)

// Pods that are refused.
const (
	podForbidden = "forbidden"
	podMissing   = "missing"
)

// apiHandler is composed as kube-apiserver's pod subresources are.
func apiHandler(kubelet string) http.Handler {
	mux := http.NewServeMux()
	pod := func(subresource string, handle func(location *url.URL, r *http.Request) http.Handler) {
		mux.HandleFunc("/api/v1/namespaces/n/pods/{pod}/"+subresource, func(w http.ResponseWriter, r *http.Request) {
			if status := refusal(r.PathValue("pod")); status != nil {
				writeStatus(w, status)
				return
			}
			location, err := url.Parse(kubelet + "/" + subresource + "?" + kubeletQuery(r.URL.Query()))
			if err != nil {
				log.Fatal(err)
			}
			handle(location, r).ServeHTTP(w, r)
		})
	}
	pod("exec", remoteCommand)
	pod("attach", remoteCommand)
	pod("portforward", func(location *url.URL, _ *http.Request) http.Handler {
		handler := upgradeAware(location)
		return translator.NewTranslatingHandler(handler, translator.NewTunnelingHandler(handler),
			wsstream.IsWebSocketRequestWithTunnelingProtocol)
	})
	for _, subresource := range []string{"console", "vnc"} {
		mux.HandleFunc("/apis/subresources.kubevirt.io/v1/namespaces/n/virtualmachineinstances/{name}/"+subresource, console)
	}
	return mux
}

func upgradeAware(location *url.URL) http.Handler {
	return proxy.NewUpgradeAwareHandler(location, nil, false, true, responder{})
}

func remoteCommand(location *url.URL, r *http.Request) http.Handler {
	query := r.URL.Query()
	wants := func(name string) bool { return query.Get(name) == "true" }
	options := translator.Options{
		Stdin: wants("stdin"), Stdout: wants("stdout"), Stderr: wants("stderr"), Tty: wants("tty"),
	}
	return translator.NewTranslatingHandler(upgradeAware(location),
		translator.NewStreamTranslatorHandler(location, http.DefaultTransport, 0, options),
		wsstream.IsWebSocketRequestWithStreamCloseProtocol)
}

// kubeletQuery is what kube-apiserver makes of the options for a kubelet.
func kubeletQuery(query url.Values) string {
	made := url.Values{"command": query["command"]}
	for name, there := range map[string]string{"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"} {
		if query.Get(name) == "true" {
			made.Set(there, "1")
		}
	}
	return made.Encode()
}

func refusal(pod string) *apierrors.StatusError {
	resource := schema.GroupResource{Resource: "pods"}
	switch pod {
	case podForbidden:
		return apierrors.NewForbidden(resource, pod, errors.New("no access"))
	case podMissing:
		return apierrors.NewNotFound(resource, pod)
	}
	return nil
}

func writeStatus(w http.ResponseWriter, err *apierrors.StatusError) {
	status := err.Status()
	status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(status.Code))
	if err := json.NewEncoder(w).Encode(status); err != nil {
		log.Print(err)
	}
}

type responder struct{}

func (responder) Error(w http.ResponseWriter, _ *http.Request, err error) {
	writeStatus(w, apierrors.NewInternalError(err))
}

// console speaks first and then echoes, over WebSocket as virt-api does.
func console(w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{Subprotocols: []string{"plain.kubevirt.io"}}
	connection, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer connection.Close()
	err = connection.WriteMessage(websocket.BinaryMessage, []byte("console of "+r.PathValue("name")))
	for err == nil {
		var message []byte
		if _, message, err = connection.ReadMessage(); err == nil {
			err = connection.WriteMessage(websocket.BinaryMessage, message)
		}
	}
}
