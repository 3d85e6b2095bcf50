// Command component stands for a component of KubeVirt that has a counter of its own.
//
// It calls an API server through client-go, counts as KubeVirt's components count, and serves
// what it counted as /metrics. What it calls is asked for over the same port:
//
//	/load?requests=N&unhooked=N&failing=N   makes calls, and answers when all are done
//	/forget                                 its counters start anew, as after a restart
//
// requests go through a client whose transport counts; unhooked are SubjectAccessReviews of a
// client that nobody counts; failing go to a port where nobody listens.
//
// At its start it prints one line: {"metrics":"http://127.0.0.1:PORT/metrics"}.
// With -ask URL it only asks another component, and fails if that does.
package main

import (
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("component: ")
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig of the API server")
	userAgent := flag.String("user-agent", "component", "User-Agent of all calls")
	certificate := flag.String("tls-cert", "", "serve HTTPS with this certificate")
	key := flag.String("tls-key", "", "the certificate's key")
	tokenFile := flag.String("token-file", "", "ask for this bearer token")
	ask := flag.String("ask", "", "ask this URL of another component, and end")
	flag.Parse()
	var err error
	if *ask != "" {
		err = get(*ask)
	} else {
		err = serve(*kubeconfig, *userAgent, *certificate, *key, *tokenFile)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func serve(kubeconfig, userAgent, certificate, key, tokenFile string) error {
	calls, err := newCaller(kubeconfig, userAgent)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	scheme := "http"
	if certificate != "" {
		pair, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			return err
		}
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{pair}})
		scheme = "https"
	}
	page := promhttp.HandlerFor(calls.registry, promhttp.HandlerOpts{})
	if tokenFile != "" {
		token, err := os.ReadFile(tokenFile)
		if err != nil {
			return err
		}
		page = onlyWith(strings.TrimSpace(string(token)), page)
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", page)
	mux.HandleFunc("/load", calls.load)
	mux.HandleFunc("/forget", calls.forget)
	address := fmt.Sprintf("%s://%s/metrics", scheme, listener.Addr())
	if err := json.NewEncoder(os.Stdout).Encode(map[string]string{"metrics": address}); err != nil {
		return err
	}
	return http.Serve(listener, mux)
}

// onlyWith answers 401 to whoever comes without the token.
func onlyWith(token string, page http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		page.ServeHTTP(w, r)
	})
}

// get asks without looking at certificates: both ends are the test's.
func get(url string) error {
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return err
}
