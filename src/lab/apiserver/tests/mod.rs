//! Tests of the server over its sockets, by the `kube` crate and by raw hyper.

mod crud;
mod deleting;
mod http2;
mod patching;
mod protobuf;
mod selectors;
mod serving;
mod views;
mod watching;

use std::net::SocketAddr;
use std::sync::Arc;

use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Config};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{ApiServer, Options, UserInfo};

/// A server on a free port.
struct Lab {
    server: Arc<ApiServer>,
    address: SocketAddr,
    certificate: CertificateDer<'static>,
    stop: CancellationToken,
    _stop: DropGuard,
}

const TOKEN: &str = "admin-token";

impl Lab {
    async fn start() -> Self {
        Self::with(Options::default()).await
    }

    async fn with(options: Options) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = ApiServer::new(options);
        let groups = vec!["system:masters".to_owned()];
        server.add_token(
            TOKEN,
            UserInfo {
                name: "admin".to_owned(),
                groups,
            },
        );
        let stop = CancellationToken::new();
        tokio::spawn(server.clone().serve(listener, Arc::new(tls), stop.clone()));
        Self {
            server,
            address,
            certificate: cert.der().clone(),
            stop: stop.clone(),
            _stop: stop.drop_guard(),
        }
    }

    fn client(&self) -> Client {
        self.client_as(Some(TOKEN))
    }

    fn client_as(&self, token: Option<&str>) -> Client {
        let mut config = Config::new(format!("https://{}", self.address).parse().unwrap());
        config.root_cert = Some(vec![self.certificate.to_vec()]);
        config.auth_info.token = token.map(|token| token.to_owned().into());
        config.default_retry = false;
        Client::try_from(config).unwrap()
    }

    fn vms(&self) -> Api<DynamicObject> {
        self.api("kubevirt.io", "v1", "VirtualMachine", "virtualmachines")
    }

    fn api(&self, group: &str, version: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
        let resource =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        Api::namespaced_with(self.client(), "default", &resource)
    }
}

fn vm(name: &str) -> DynamicObject {
    dynamic(serde_json::json!({
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": name},
        "spec": {"runStrategy": "Always"},
    }))
}

fn dynamic(value: Value) -> DynamicObject {
    serde_json::from_value(value).unwrap()
}

fn status_of(error: kube::Error) -> kube::core::Status {
    match error {
        kube::Error::Api(status) => *status,
        other => panic!("no Status: {other}"),
    }
}
