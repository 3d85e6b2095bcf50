//! A client of an API server that goes the way, and presents the credential, that kubectl would.

use std::{
    error::Error,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, Request, Response, StatusCode, header::AUTHORIZATION};
use hyper::body::Incoming;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::{client::legacy, rt::TokioExecutor};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder, ConfigExt, retry::RetryPolicy},
    config::AuthInfo,
};
use rustls::pki_types::ServerName;
use tower::retry::RetryLayer;
use tower_service::Service;

use crate::{
    access::Access,
    credential::{Certificate, Credential, Presented, is_same_certificate},
    user::Impersonation,
};
use identity::connect::Connector;

type BoxError = Box<dyn Error + Send + Sync>;
type Http = legacy::Client<TimeoutConnector<HttpsConnector<Connector>>, Body>;

/// As kube's own client has them.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const WRITE_TIMEOUT: Duration = Duration::from_secs(295);

/// How a client behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manner {
    /// Longest silence of the API server in one call.
    pub silence_max: Option<Duration>,
    /// Whether a call that the API server has no time for is made again.
    pub retries: bool,
}

/// A client. A plugin is asked, and a file read, before this returns, so that what is wrong with
/// them is said at once.
///
/// # Errors
///
/// For a CA, a server name or a credential that can't be used.
pub async fn client(access: &Access, manner: Manner) -> Result<Client, BoxError> {
    let credential = Credential::of(&access.user)?;
    let Presented { certificate, .. } = credential.present().await?;
    let http = http(access, manner, certificate.clone())?;
    let presenting = Presenting {
        access: Arc::new(access.clone()),
        manner,
        credential: Arc::new(credential),
        http: Arc::new(Mutex::new((certificate, http))),
    };
    let mut config = Config::new(access.upstream.url.parse()?);
    config.auth_info = acting_as(&access.user.impersonates);
    let namespace = access.namespace.as_deref().unwrap_or("default");
    let builder =
        ClientBuilder::new(presenting, namespace).with_layer(&config.extra_headers_layer()?);
    let base = config.base_uri_layer();
    Ok(if manner.retries {
        let again = RetryLayer::new(RetryPolicy::server_retry());
        builder.with_layer(&again).with_layer(&base).build()
    } else {
        builder.with_layer(&base).build()
    })
}

fn acting_as(whom: &Impersonation) -> AuthInfo {
    let (groups, extra) = (&whom.groups, &whom.extra);
    AuthInfo {
        impersonate: whom.user.clone(),
        impersonate_uid: whom.uid.clone(),
        impersonate_groups: (!groups.is_empty()).then(|| groups.clone()),
        impersonate_user_extra: (!extra.is_empty()).then(|| extra.clone().into_iter().collect()),
        ..AuthInfo::default()
    }
}

/// A pool of connections that present one certificate, or none.
fn http(access: &Access, manner: Manner, certificate: Certificate) -> Result<Http, BoxError> {
    let tls = access.upstream.client_config(certificate)?;
    let name = access.upstream.server_name.clone();
    let name = name.map(ServerName::try_from).transpose()?;
    let connector = Connector::new(&access.way, &tls, name.as_ref());
    let builder = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http();
    let builder = match name {
        Some(name) => builder.with_server_name_resolver(FixedServerNameResolver::new(name)),
        None => builder,
    };
    let mut connector = TimeoutConnector::new(builder.enable_http1().wrap_connector(connector));
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_read_timeout(manner.silence_max);
    connector.set_write_timeout(Some(WRITE_TIMEOUT));
    Ok(legacy::Client::builder(TokioExecutor::new()).build(connector))
}

/// Sends requests with the credential of the moment.
#[derive(Clone)]
struct Presenting {
    access: Arc<Access>,
    manner: Manner,
    credential: Arc<Credential>,
    /// The connections, and the certificate that they present.
    http: Arc<Mutex<(Certificate, Http)>>,
}

impl Presenting {
    fn http(&self, certificate: Certificate) -> Result<Http, BoxError> {
        let mut open = self.http.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_same_certificate(&open.0, &certificate) {
            *open = (
                certificate.clone(),
                http(&self.access, self.manner, certificate)?,
            );
        }
        Ok(open.1.clone())
    }

    async fn send(self, mut request: Request<Body>) -> Result<Response<Incoming>, BoxError> {
        let presented = self.credential.present().await?;
        if let Some(authorization) = presented.authorization {
            let value: HeaderValue = authorization;
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let response = self.http(presented.certificate)?.request(request).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            self.credential.refused(presented.serial);
        }
        Ok(response)
    }
}

impl Service<Request<Body>> for Presenting {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}
