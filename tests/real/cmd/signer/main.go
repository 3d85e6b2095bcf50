// Signer runs one controller of kube-controller-manager: the one that signs certificate requests
// of the signer kubernetes.io/kubelet-serving, once they are approved. It runs until it is killed.
package main

import (
	"context"
	"flag"
	"os"
	"time"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/certificates/signer"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig of the API server")
	certificate := flag.String("ca", "", "PEM file of the CA")
	key := flag.String("ca-key", "", "PEM file of its key")
	flag.Parse()
	if err := run(context.Background(), *kubeconfig, *certificate, *key); err != nil {
		klog.Error(err)
		os.Exit(1)
	}
}

func run(ctx context.Context, kubeconfig, certificate, key string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	requests := factory.Certificates().V1().CertificateSigningRequests()
	controller, err := signer.NewKubeletServingCSRSigningController(
		ctx, client, requests, certificate, key, 365*24*time.Hour)
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	controller.Run(ctx, 1)
	return nil
}
