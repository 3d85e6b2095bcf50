//! Objects and patches on paper, without a cluster.

mod clashes;
mod customizing;
mod drifting;
mod rights;
mod rolling;

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use serde_json::{Value, json};

use super::{
    Component,
    attach::has_sidecars,
    objects::{Materials, config_map, is_ours},
    patch::{Mode, ProxySpec, digest, patch},
    template::{attached, obstacle, stripped},
};

fn spec(mode: Mode) -> ProxySpec {
    ProxySpec {
        image: "registry.example/kubetoll-proxy@sha256:0123".to_owned(),
        mode,
        port: 16443,
        recorder: 0,
        attached_at: "2026-11-24T05:09:19Z".parse().unwrap(),
    }
}

#[test]
fn the_patches_are_those_on_file() {
    let on_file = [
        (
            Component::VirtController,
            Mode::Sidecar,
            include_str!("../../../tests/vectors/install/sidecar.yaml"),
        ),
        (
            Component::VirtApi,
            Mode::Kubeconfig,
            include_str!("../../../tests/vectors/install/kubeconfig.yaml"),
        ),
    ];
    for (component, mode, text) in on_file {
        let wanted: Value = serde_saphyr::from_str(text).unwrap();
        let made = patch(component, &spec(mode));
        assert_eq!(made, wanted, "{}", serde_saphyr::to_string(&made).unwrap());
    }
}

#[test]
fn a_proxy_that_keeps_requests_asks_for_their_memory_and_is_known_by_its_arguments() {
    let wanted = ProxySpec {
        recorder: 100_000,
        ..spec(Mode::Sidecar)
    };
    let made = patch(Component::VirtApi, &wanted);
    let template = &made["spec"]["template"];
    let proxy = &template["spec"]["initContainers"][0];
    assert_eq!(proxy["args"][7], "--recorder=100000");
    assert_eq!(proxy["resources"]["requests"]["memory"], "164Mi");
    let found = ProxySpec::of(template).unwrap();
    assert_eq!(found.recorder, 100_000);
    assert_eq!(patch(Component::VirtApi, &found), made);
    let without = patch(Component::VirtApi, &spec(Mode::Sidecar));
    assert_ne!(digest(&made), digest(&without));
}

#[test]
fn a_digest_is_of_what_a_patch_does() {
    let made = patch(Component::VirtApi, &spec(Mode::Sidecar));
    let mut later = spec(Mode::Sidecar);
    later.attached_at = "2027-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(digest(&made), digest(&patch(Component::VirtApi, &later)));
    later.image = "other".to_owned();
    assert_ne!(digest(&made), digest(&patch(Component::VirtApi, &later)));
    let mut changed = made.clone();
    changed["spec"]["template"]["spec"]["volumes"][0]["name"] = json!("other");
    assert_ne!(digest(&made), digest(&changed));
}

#[test]
fn a_template_without_ours_is_the_one_before() {
    let before = json!({
        "metadata": {"labels": {"kubevirt.io": "virt-api"}},
        "spec": {"containers": [{
            "name": "virt-api", "image": "virt-api:v1",
            "ports": [{"name": "metrics", "containerPort": 8443}],
        }]},
    });
    for mode in [Mode::Sidecar, Mode::Kubeconfig] {
        let patch = patch(Component::VirtApi, &spec(mode));
        let attached = attached(&before, Component::VirtApi, &patch);
        assert_ne!(attached, before);
        assert_eq!(obstacle(&attached, Component::VirtApi, 16443), None);
        assert_eq!(stripped(&attached, Component::VirtApi), before);
    }
}

#[test]
fn what_can_not_have_a_proxy_is_told_why() {
    let template = |spec: Value| json!({"metadata": {}, "spec": spec});
    let component = |more: Value| {
        let mut container = json!({"name": "virt-api"});
        container.as_object_mut().unwrap().extend(
            more.as_object()
                .unwrap()
                .iter()
                .map(|(key, value)| (key.clone(), value.clone())),
        );
        template(json!({"containers": [container]}))
    };
    let place = "/var/run/secrets/kubernetes.io/serviceaccount";
    let cases = [
        (
            template(json!({"hostNetwork": true})),
            "network of their node",
        ),
        (template(json!({"containers": []})), "no container virt-api"),
        (
            component(json!({"env": [{"name": "KUBERNETES_SERVICE_HOST", "value": "10.0.0.1"}]})),
            "KUBERNETES_SERVICE_HOST is set already",
        ),
        (
            component(json!({"volumeMounts": [{"name": "own", "mountPath": place}]})),
            "volume is replaced already",
        ),
        (
            component(json!({"ports": [{"containerPort": 16444}]})),
            "port 16444 is in use",
        ),
    ];
    for (template, reason) in cases {
        let told = obstacle(&template, Component::VirtApi, 16443).unwrap();
        assert!(told.contains(reason), "{told}");
    }
    assert_eq!(
        obstacle(&component(json!({})), Component::VirtApi, 16443),
        None
    );
}

#[test]
fn clusters_without_native_sidecars_are_known() {
    for (minor, has) in [
        ("28", false),
        ("28+", false),
        ("29", true),
        ("34+", true),
        ("", true),
    ] {
        assert_eq!(has_sidecars("1", minor), has, "{minor}");
    }
    assert!(has_sidecars("2", "0"));
}

/// As a component would check it years from now: nobody renews it, so it has to hold.
#[test]
fn the_certificate_holds_as_long_as_its_ca() {
    let secret = Materials::mint().unwrap().secret("kubevirt");
    let ca = STANDARD
        .decode(secret["data"]["ca.crt"].as_str().unwrap())
        .unwrap();
    let map = config_map("kubevirt", &String::from_utf8(ca).unwrap(), None);
    assert!(is_ours(&secret) && is_ours(&map));
    let pem = map["data"]["ca.crt"].as_str().unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
        .unwrap();
    let provider = identity::provider();
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier = verifier.build().unwrap();
    let leaf = STANDARD
        .decode(secret["data"]["tls.crt"].as_str().unwrap())
        .unwrap();
    let leaf = CertificateDer::from_pem_slice(&leaf).unwrap();
    let verified_in = |years: u64, name: &str| {
        let now = UnixTime::now().as_secs() + years * 365 * 86_400;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier
            .verify_server_cert(&leaf, &[], &name, &[], now)
            .is_ok()
    };
    for name in ["127.0.0.1", "::1", "localhost"] {
        assert!(verified_in(0, name) && verified_in(9, name), "{name}");
    }
    assert!(!verified_in(11, "127.0.0.1"));
    assert!(!verified_in(0, "10.96.0.1"));
    let leaf_ends = identity::mint::not_after(
        &STANDARD
            .decode(secret["data"]["tls.crt"].as_str().unwrap())
            .unwrap(),
    );
    let ca_ends = identity::mint::not_after(pem.as_bytes());
    assert_eq!(leaf_ends.unwrap(), ca_ends.unwrap());
}
