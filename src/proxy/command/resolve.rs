//! What was typed, and what is meant: all errors at once.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::ValueEnum;

use super::{
    args::{LogFormat, ProxyArgs},
    errors::Errors,
    listen::ListenAddress,
};
use crate::{Dialer, DialerError, Never, Options};
use identity::{
    IdentityError,
    client_certificate::{ClientCa, ClientCertificates},
    presented,
    server::ServingCertificate,
    upstream::{CaSource, Upstream},
};

/// Most requests that `--recorder` keeps.
const RECORDER_MAX: usize = 1_000_000;

/// What a proxy needs to run.
pub(super) struct Config {
    pub(super) listen: ListenAddress,
    pub(super) admin: ListenAddress,
    pub(super) upstream: Upstream,
    pub(super) certificate: Arc<ServingCertificate>,
    pub(super) clients: ClientCertificates,
    pub(super) dialer: Dialer,
    pub(super) front_proxy: Option<Dialer>,
    pub(super) front_proxy_files: Option<KeyPairFiles>,
    pub(super) options: Options,
    pub(super) shutdown_delay: Duration,
    pub(super) admin_token: Option<(String, PathBuf)>,
    pub(super) compat_metrics: bool,
    pub(super) threads: Option<usize>,
    pub(super) log_format: LogFormat,
}

/// A certificate and its key.
pub(super) struct KeyPairFiles {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl ProxyArgs {
    /// What is meant, or everything that is wrong with it.
    pub(super) fn resolve(self) -> Result<Config, Vec<String>> {
        let mut errors = Errors::default();
        self.or_from_file(&mut errors).resolve_filled(errors)
    }

    fn resolve_filled(self, mut errors: Errors) -> Result<Config, Vec<String>> {
        let listen = errors.need("--listen HOST:PORT", self.listen.as_ref());
        let listen = listen.and_then(|text| errors.parse("--listen", text));
        let admin = errors.need("--admin HOST:PORT", self.admin.as_ref());
        let admin = admin.and_then(|text| errors.parse("--admin", text));
        let certificate = self.resolve_certificate(&mut errors);
        let upstream = self.resolve_upstream(&mut errors);
        let dialer = upstream.as_ref().and_then(|upstream| {
            let tls = errors.take("--upstream-ca", upstream.client_config(None))?;
            errors.take("--upstream", dialer_of(upstream, tls))
        });
        let front_proxy = self.resolve_front_proxy(upstream.as_ref(), &mut errors);
        let shutdown_delay = errors.duration("--shutdown-delay", self.shutdown_delay.as_deref());
        let admin_token = self.resolve_admin_token(admin.as_ref(), &mut errors);
        let options = self.resolve_options(&mut errors);
        let threads = self.threads.as_ref();
        let threads = threads.and_then(|text| errors.parse("--threads", text));
        let compat_metrics = self.compat_metrics.as_ref();
        let compat_metrics = compat_metrics.and_then(|text| errors.parse("--compat-metrics", text));
        let log_format = self.log_format.as_ref().and_then(|text| {
            let format = LogFormat::from_str(text, false);
            errors.take("--log-format", format.map_err(|_| "text or json"))
        });
        let (Some(listen), Some(admin), Some(certificate)) = (listen, admin, certificate) else {
            return Err(errors.into_messages());
        };
        match (upstream, dialer) {
            (Some(upstream), Some(dialer)) if errors.is_empty() => Ok(Config {
                listen,
                admin,
                upstream,
                certificate,
                clients: match &front_proxy {
                    Some(front_proxy) => ClientCertificates::Verified(Arc::clone(&front_proxy.ca)),
                    None => ClientCertificates::Asked,
                },
                dialer,
                front_proxy_files: front_proxy.as_ref().map(|front_proxy| KeyPairFiles {
                    certificate: front_proxy.files.certificate.clone(),
                    key: front_proxy.files.key.clone(),
                }),
                front_proxy: front_proxy.map(|front_proxy| front_proxy.dialer),
                options,
                shutdown_delay: shutdown_delay.unwrap_or_default(),
                admin_token,
                compat_metrics: compat_metrics.unwrap_or(false),
                threads,
                log_format: log_format.unwrap_or(LogFormat::Text),
            }),
            _ => Err(errors.into_messages()),
        }
    }

    fn resolve_certificate(&self, errors: &mut Errors) -> Option<Arc<ServingCertificate>> {
        let certificate = errors.need("--tls-cert FILE", self.tls_cert.as_ref());
        let key = errors.need("--tls-key FILE", self.tls_key.as_ref());
        let (certificate, key) = certificate.zip(key)?;
        let loaded = ServingCertificate::from_files(certificate, key);
        errors.take("--tls-cert, --tls-key", loaded)
    }

    /// The three options of an authenticating proxy go together: one alone would pass clients on
    /// as somebody else than they are.
    fn resolve_front_proxy(
        &self,
        upstream: Option<&Upstream>,
        errors: &mut Errors,
    ) -> Option<FrontProxy> {
        let given = (
            self.front_proxy_cert.clone(),
            self.front_proxy_key.clone(),
            self.client_ca.clone(),
        );
        let (certificate, key, ca) = match given {
            (None, None, None) => return None,
            (Some(certificate), Some(key), Some(ca)) => (certificate, key, ca),
            _ => {
                errors.add(
                    "--front-proxy-cert, --front-proxy-key and --client-ca go together".to_owned(),
                );
                return None;
            }
        };
        let ca = errors.take("--client-ca", ClientCa::from_file(ca));
        let own = errors.take(
            "--front-proxy-cert, --front-proxy-key",
            presented::client_certificate(&certificate, &key),
        );
        let upstream = upstream?;
        let tls = errors.take("--upstream-ca", upstream.client_config(Some(own?)))?;
        Some(FrontProxy {
            dialer: errors.take("--upstream", dialer_of(upstream, tls))?,
            ca: ca?,
            files: KeyPairFiles { certificate, key },
        })
    }

    fn resolve_upstream(&self, errors: &mut Errors) -> Option<Upstream> {
        let given = errors.need("--upstream WHERE", self.upstream.clone())?;
        let found = match given.split_once(':') {
            None if given == "in-cluster" => Upstream::in_cluster(),
            Some(("kubeconfig", file)) => Upstream::from_kubeconfig(Path::new(file)),
            _ => {
                let ca = errors.need("--upstream-ca FILE", self.upstream_ca.clone())?;
                Ok(Upstream {
                    url: given,
                    ca: CaSource::File(ca),
                    server_name: None,
                })
            }
        };
        let mut upstream = errors.take::<_, IdentityError>("--upstream", found)?;
        if let Some(ca) = &self.upstream_ca {
            upstream.ca = CaSource::File(ca.clone());
        }
        if self.upstream_server_name.is_some() {
            upstream.server_name.clone_from(&self.upstream_server_name);
        }
        Some(upstream)
    }

    fn resolve_admin_token(
        &self,
        admin: Option<&ListenAddress>,
        errors: &mut Errors,
    ) -> Option<(String, PathBuf)> {
        if let Some(file) = &self.admin_token_file {
            let token = errors.take("--admin-token-file", identity::read_token(file))?;
            return Some((token, file.clone()));
        }
        if admin.is_some_and(|admin| !admin.is_loopback()) {
            errors.add(
                "--admin is not a loopback address: give --admin-token-file, since /snapshot and \
                 /runs tell names of objects"
                    .to_owned(),
            );
        }
        None
    }

    fn resolve_options(&self, errors: &mut Errors) -> Options {
        let default = Options::default();
        let drain = errors.duration("--drain", self.drain.as_deref());
        let drain = drain.unwrap_or(default.drain);
        let watch_drain = errors.duration("--watch-drain", self.watch_drain.as_deref());
        let resend_memory = errors.bytes("--resend-memory", self.resend_memory.as_deref());
        let recorder = self.recorder.as_ref();
        let recorder = recorder.and_then(|text| errors.parse("--recorder", text));
        let connections_max = self.connections_max.as_ref();
        let component = self.component.as_deref();
        if component
            .is_some_and(|name| name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()))
        {
            errors.add("--component must be a name without spaces".to_owned());
        }
        Options {
            component: component.map(Arc::from),
            connections_max: connections_max
                .and_then(|text| errors.parse("--connections-max", text))
                .unwrap_or(default.connections_max),
            resend_memory: resend_memory.unwrap_or(default.resend_memory),
            drain,
            watch_drain: watch_drain.unwrap_or(default.watch_drain).min(drain / 2),
            sni_passthrough: self
                .sni_passthrough
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
            recorder: recorder.unwrap_or(default.recorder).min(RECORDER_MAX),
            journal_never: Never::new(&self.journal_never),
            gate: None,
        }
    }
}

/// What an authenticating proxy needs.
struct FrontProxy {
    dialer: Dialer,
    ca: Arc<ClientCa>,
    files: KeyPairFiles,
}

fn dialer_of(upstream: &Upstream, tls: rustls::ClientConfig) -> Result<Dialer, DialerError> {
    Dialer::new(&upstream.url, upstream.server_name.as_deref(), tls)
}
