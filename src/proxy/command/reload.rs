//! Files that are read again while the proxy serves: certificates, CAs, the admin token.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::time::sleep;

use super::resolve::KeyPairFiles;
use crate::{
    Proxy,
    admin::{Admin, Certificate},
};
use identity::{
    IdentityError, client_certificate::ClientCertificates, expiry, presented,
    server::ServingCertificate, upstream::Upstream,
};

/// How often: a mounted Secret changes by a link, which no watch on the file itself sees.
const EVERY: Duration = Duration::from_secs(10);

/// Everything that can change under load. What can't be used is logged, and the old one stays.
pub(super) struct Reloader {
    pub(super) proxy: Arc<Proxy>,
    pub(super) admin: Arc<Admin>,
    pub(super) admin_token: Option<PathBuf>,
    pub(super) certificate: Arc<ServingCertificate>,
    pub(super) clients: ClientCertificates,
    pub(super) upstream: Upstream,
    pub(super) front_proxy: Option<KeyPairFiles>,
}

impl Reloader {
    /// Reads again as long as the process lives.
    pub(super) async fn run(self) {
        let mut known = self.upstream_content().ok();
        loop {
            sleep(EVERY).await;
            log_reload("serving certificate", self.certificate.reload());
            if let ClientCertificates::Verified(ca) = &self.clients {
                log_reload("client CA", ca.reload());
            }
            log_reload("admin token", self.reload_admin_token());
            log_reload("upstream credentials", self.reload_upstream(&mut known));
            self.note_own_ends();
        }
    }

    /// Tells the metrics when everything that is in use ends.
    pub(super) fn note_ends(&self) {
        self.note_own_ends();
        self.note_upstream_ends();
    }

    fn note_own_ends(&self) {
        self.note_end(Certificate::Serving, self.certificate.ends());
        if let ClientCertificates::Verified(ca) = &self.clients {
            self.note_end(Certificate::ClientCa, ca.ends());
        }
    }

    fn note_upstream_ends(&self) {
        self.note_end(Certificate::UpstreamCa, self.upstream.ca.ends());
        if let Some(files) = &self.front_proxy {
            let chain = identity::read(&files.certificate).ok();
            let ends = chain.and_then(|chain| expiry::of_chain(&chain));
            self.note_end(Certificate::FrontProxy, ends);
        }
    }

    fn note_end(&self, certificate: Certificate, ends: Option<i64>) {
        if let Some(ends) = ends {
            self.admin.note_end(certificate, ends);
        }
    }

    fn reload_admin_token(&self) -> Result<bool, IdentityError> {
        let Some(file) = &self.admin_token else {
            return Ok(false);
        };
        Ok(self.admin.set_token(&identity::read_token(file)?))
    }

    fn reload_upstream(&self, known: &mut Option<Vec<u8>>) -> Result<bool, IdentityError> {
        let content = self.upstream_content()?;
        if Some(&content) == known.as_ref() {
            return Ok(false);
        }
        let tls = self.upstream.client_config(None)?;
        if let (Some(files), Some(dialer)) = (&self.front_proxy, &self.proxy.front_proxy) {
            let own = presented::client_certificate(&files.certificate, &files.key)?;
            dialer.reconfigure(self.upstream.client_config(Some(own))?);
        }
        self.proxy.dialer.reconfigure(tls);
        self.note_upstream_ends();
        *known = Some(content);
        Ok(true)
    }

    /// The upstream's CA, and what the proxy presents of its own if it does.
    fn upstream_content(&self) -> Result<Vec<u8>, IdentityError> {
        let mut content = self.upstream.ca.content()?;
        if let Some(files) = &self.front_proxy {
            content.extend(identity::read(&files.certificate)?);
            content.extend(identity::read(&files.key)?);
        }
        Ok(content)
    }
}

fn log_reload(what: &str, has_changed: Result<bool, IdentityError>) {
    match has_changed {
        Ok(true) => tracing::info!(what, "read again"),
        Ok(false) => {}
        Err(error) => tracing::error!(what, %error, "keeping the old one"),
    }
}
