//! The user's own credential, presented by the proxy in the place of the command's token.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::Result;

use cluster::{
    access::Access,
    credential::{self, Certificate, is_same_certificate},
};
use identity::upstream::Upstream;
use proxy::{Credential, Presented, Presenting, Proxy};

/// What the user presents.
pub(super) struct Own {
    credential: credential::Credential,
    upstream: Upstream,
    /// What the connections of the proxy present.
    certificate: Mutex<Certificate>,
    proxy: OnceLock<Arc<Proxy>>,
}

impl Own {
    /// Asks a plugin, or reads a file, so that what is wrong with them is said before anything is
    /// run.
    pub(super) async fn new(access: &Access) -> Result<Self> {
        let credential = credential::Credential::of(&access.user)?;
        let presented = credential.present().await?;
        Ok(Self {
            credential,
            upstream: access.upstream.clone(),
            certificate: Mutex::new(presented.certificate),
            proxy: OnceLock::new(),
        })
    }

    /// What the proxy's connections are to present at first.
    pub(super) fn certificate(&self) -> Certificate {
        let certificate = self.certificate.lock();
        certificate.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The proxy whose connections change with the certificate.
    pub(super) fn follow(&self, proxy: Arc<Proxy>) {
        let _ = self.proxy.set(proxy);
    }

    async fn get(&self) -> Result<Presented> {
        let presented = self.credential.present().await?;
        self.use_certificate(presented.certificate)?;
        Ok(Presented {
            authorization: presented.authorization,
            serial: presented.serial,
        })
    }

    fn use_certificate(&self, certificate: Certificate) -> Result<()> {
        let mut used = self
            .certificate
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_same = is_same_certificate(&used, &certificate);
        if let (false, Some(proxy)) = (is_same, self.proxy.get()) {
            let tls = self.upstream.client_config(certificate.clone())?;
            proxy.dialer.renew(tls);
            *used = certificate;
        }
        Ok(())
    }
}

impl Credential for Own {
    fn present(&self) -> Presenting<'_> {
        Box::pin(async { self.get().await.map_err(|error| error.to_string()) })
    }

    fn refused(&self, serial: u64) {
        self.credential.refused(serial);
    }
}
