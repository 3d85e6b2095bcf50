// Manifests prints what KubeVirt needs in a cluster before its components can be started by hand,
// out of the functions by which virt-operator makes it: resource definitions, priority class,
// rights, and webhooks that are called at a URL. Or what a release's manifest has: virt-operator.
package main

import (
	"encoding/json"
	"flag"
	"log"
	"os"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	extensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"kubevirt.io/kubevirt/pkg/virt-operator/resource/generate/components"
	"kubevirt.io/kubevirt/pkg/virt-operator/resource/generate/rbac"
)

func main() {
	log.SetFlags(0)
	what := flag.String("what", "base", "base: all but the webhooks; webhooks: only those; operator: virt-operator, which makes the rest")
	namespace := flag.String("namespace", "kubevirt", "KubeVirt's namespace")
	url := flag.String("virt-api", "", "where virt-api serves, such as https://127.0.0.1:8443")
	ca := flag.String("ca", "", "file with the authority of virt-api's certificate")
	registry := flag.String("registry", "", "for operator: where its images come from")
	version := flag.String("version", "", "for operator: KubeVirt's version, such as v1.8.0")
	flag.Parse()

	var objects []runtime.Object
	switch *what {
	case "base":
		objects = base(*namespace)
	case "webhooks":
		bundle, err := os.ReadFile(*ca)
		check(err)
		objects = webhooks(*namespace, *url, bundle)
	case "operator":
		objects = operator(*namespace, *registry, *version)
	default:
		log.Fatalf("manifests: -what is base, webhooks or operator, not %q", *what)
	}
	list := map[string]any{"apiVersion": "v1", "kind": "List", "items": objects}
	check(json.NewEncoder(os.Stdout).Encode(list))
}

func base(namespace string) []runtime.Object {
	objects := []runtime.Object{
		&corev1.Namespace{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
			ObjectMeta: metav1.ObjectMeta{Name: namespace},
		},
		components.NewKubeVirtPriorityClassCR(),
	}
	definitions := []func() (*extensionsv1.CustomResourceDefinition, error){
		components.NewKubeVirtCrd,
		components.NewVirtualMachineInstanceCrd,
		components.NewVirtualMachineCrd,
		components.NewPresetCrd,
		components.NewReplicaSetCrd,
		components.NewVirtualMachineInstanceMigrationCrd,
		components.NewVirtualMachinePoolCrd,
		components.NewVirtualMachineSnapshotCrd,
		components.NewVirtualMachineSnapshotContentCrd,
		components.NewVirtualMachineRestoreCrd,
		components.NewVirtualMachineExportCrd,
		components.NewVirtualMachineBackupCrd,
		components.NewVirtualMachineBackupTrackerCrd,
		components.NewVirtualMachineInstancetypeCrd,
		components.NewVirtualMachineClusterInstancetypeCrd,
		components.NewVirtualMachinePreferenceCrd,
		components.NewVirtualMachineClusterPreferenceCrd,
		components.NewMigrationPolicyCrd,
		components.NewVirtualMachineCloneCrd,
	}
	for _, definition := range definitions {
		made, err := definition()
		check(err)
		objects = append(objects, made)
	}
	objects = append(objects, rbac.GetAllCluster()...)
	objects = append(objects, rbac.GetAllApiServer(namespace)...)
	return append(objects, rbac.GetAllController(namespace, false)...)
}

// What is installed by hand: the one definition that virt-operator waits for, its rights, and one
// replica of it. It asks for little memory, since the node may be small.
func operator(namespace, registry, version string) []runtime.Object {
	definition, err := components.NewKubeVirtCrd()
	check(err)
	objects := []runtime.Object{
		&corev1.Namespace{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
			ObjectMeta: metav1.ObjectMeta{Name: namespace},
		},
		components.NewKubeVirtPriorityClassCR(),
		definition,
	}
	for _, right := range rbac.GetAllOperator(namespace) {
		objects = append(objects, right.(runtime.Object))
	}
	none := ""
	deployment := components.NewOperatorDeployment(
		namespace, registry, none, version, "2", version, none, none, none, none, none, none, none,
		none, none, none, none, none, none, none, corev1.PullIfNotPresent)
	one := int32(1)
	deployment.Spec.Replicas = &one
	return append(objects, deployment)
}

// The webhooks by which virt-api fills in and checks what is created.
func webhooks(namespace, url string, bundle []byte) []runtime.Object {
	at := func(client *admissionv1.WebhookClientConfig) {
		where := url + *client.Service.Path
		client.URL, client.CABundle, client.Service = &where, bundle, nil
	}
	mutating := components.NewVirtAPIMutatingWebhookConfiguration(namespace)
	for index := range mutating.Webhooks {
		at(&mutating.Webhooks[index].ClientConfig)
	}
	launcher := components.NewVirtLauncherPodMutatingWebhookConfiguration(namespace)
	for index := range launcher.Webhooks {
		at(&launcher.Webhooks[index].ClientConfig)
	}
	validating := components.NewVirtAPIValidatingWebhookConfiguration(namespace)
	for index := range validating.Webhooks {
		at(&validating.Webhooks[index].ClientConfig)
	}
	return []runtime.Object{mutating, launcher, validating}
}

func check(err error) {
	if err != nil {
		log.Fatalf("manifests: %v", err)
	}
}
