// Command podserver answers exec, attach and port-forward as kube-apiserver and a kubelet do, and
// KubeVirt's console, each with the handlers that those use themselves: kube-apiserver's upgrade
// proxy with its WebSocket translators in front, the kubelet's streaming library behind.
//
// It prints its URL, serves until its standard input ends, and then prints one JSON line of what it
// saw of upgraded connections: {SUBRESOURCE:{"upgraded","open","received","sent"}}, the last two the
// bytes behind the heads.
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
	"time"
)

func main() {
	certificate := flag.String("certificate", "", "PEM file of the serving certificate")
	key := flag.String("key", "", "PEM file of its key")
	flag.Parse()
	pair, err := tls.LoadX509KeyPair(*certificate, *key)
	if err != nil {
		log.Fatal(err)
	}
	kubelet := listen()
	go serve(kubelet, kubeletHandler())
	records := &records{by: map[string]*record{}}
	tcp := listen()
	listener := &recordingListener{
		Listener: tls.NewListener(tcp, &tls.Config{
			Certificates: []tls.Certificate{pair},
			NextProtos:   []string{"http/1.1"},
		}),
		records: records,
	}
	go serve(listener, apiHandler("http://"+kubelet.Addr().String()))
	fmt.Printf("https://%s\n", tcp.Addr())
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		log.Fatal(err)
	}
	records.waitUntilClosed(10 * time.Second)
	if err := json.NewEncoder(os.Stdout).Encode(records.by); err != nil {
		log.Fatal(err)
	}
}

func listen() net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	return listener
}

func serve(listener net.Listener, handler http.Handler) {
	log.Fatal((&http.Server{Handler: handler}).Serve(listener))
}
