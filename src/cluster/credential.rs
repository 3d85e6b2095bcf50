//! The credential of a user through its life: read, kept, and got anew when it has ended.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderValue;
use jiff::Timestamp;
use rustls::client::ResolvesClientCert;
use serde::Deserialize;

pub use crate::header::CredentialError;
use crate::{
    header::{basic, bearer},
    plugin::{Given, Plugin},
    user::{Login, User},
};
use identity::read_token;

/// How long a file's token is used before the file is read again.
const FILE_FOR: Duration = Duration::from_secs(1);
/// How long before its end client-go takes a token of OpenID Connect for ended.
const BEFORE_END: i64 = 10;

/// A client certificate for TLS, if there is one.
pub type Certificate = Option<Arc<dyn ResolvesClientCert>>;

/// Whether two are the same, read or given once.
pub fn is_same_certificate(one: &Certificate, other: &Certificate) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

/// What is presented to the API server.
#[derive(Clone, Default)]
pub struct Presented {
    /// The `Authorization` header, if there is something for it.
    pub authorization: Option<HeaderValue>,
    /// What TLS presents.
    pub certificate: Certificate,
    /// Another number for each that is got anew.
    pub serial: u64,
}

/// A user's credential.
pub struct Credential {
    source: Source,
    certificate: Certificate,
}

enum Source {
    Fixed(Option<HeaderValue>),
    File {
        path: PathBuf,
        otherwise: Option<HeaderValue>,
        read: Mutex<Option<(Instant, HeaderValue)>>,
    },
    Ending(HeaderValue, Timestamp),
    Plugin {
        plugin: Box<Plugin>,
        given: tokio::sync::Mutex<Kept>,
        /// The number of what the API server took no longer.
        refused: AtomicU64,
    },
}

/// What a plugin gave last.
#[derive(Default)]
struct Kept {
    presented: Option<Presented>,
    ends: Option<Timestamp>,
    asked: u64,
}

impl Credential {
    /// The credential of `user`. Nothing is asked or read for it yet.
    ///
    /// # Errors
    ///
    /// For a token that no header can have.
    pub fn of(user: &User) -> Result<Self, CredentialError> {
        let source = match &user.login {
            Login::None => Source::Fixed(None),
            Login::Token(token) => Source::Fixed(Some(bearer(token)?)),
            Login::Password(name, password) => Source::Fixed(Some(basic(name, password)?)),
            Login::File(path, otherwise) => Source::File {
                path: path.clone(),
                otherwise: otherwise.as_deref().map(bearer).transpose()?,
                read: Mutex::default(),
            },
            Login::IdToken(token) => Source::Ending(bearer(token)?, end_of(token)?),
            Login::Plugin(plugin) => Source::Plugin {
                plugin: plugin.clone(),
                given: tokio::sync::Mutex::default(),
                refused: AtomicU64::new(0),
            },
        };
        Ok(Self {
            source,
            certificate: user.certificate.clone(),
        })
    }

    /// What is presented now.
    ///
    /// # Errors
    ///
    /// Where a file has no token, a plugin gives nothing, or a token has ended.
    pub async fn present(&self) -> Result<Presented, CredentialError> {
        let authorization = match &self.source {
            Source::Fixed(authorization) => authorization.clone(),
            Source::File {
                path,
                otherwise,
                read,
            } => Some(from_file(path, otherwise.as_ref(), read)?),
            Source::Ending(authorization, ends) => {
                if Timestamp::now().as_second() + BEFORE_END > ends.as_second() {
                    return Err(id_token_ended());
                }
                Some(authorization.clone())
            }
            Source::Plugin {
                plugin,
                given,
                refused,
            } => {
                let mut given = given.lock().await;
                return given.or_ask(plugin, refused.load(Ordering::Relaxed)).await;
            }
        };
        Ok(Presented {
            authorization,
            certificate: self.certificate.clone(),
            serial: 0,
        })
    }

    /// The API server answered 401 to what was presented as number `serial`: a plugin is asked
    /// again.
    pub fn refused(&self, serial: u64) {
        if let Source::Plugin { refused, .. } = &self.source {
            refused.fetch_max(serial, Ordering::Relaxed);
        }
    }
}

impl Kept {
    /// What is there, or, where that has ended or was refused, what the plugin gives now.
    async fn or_ask(
        &mut self,
        plugin: &Plugin,
        refused: u64,
    ) -> Result<Presented, CredentialError> {
        let has_ended = self.ends.is_some_and(|ends| Timestamp::now() > ends);
        let presented = self.presented.as_ref();
        if let Some(presented) = presented.filter(|one| !has_ended && one.serial > refused) {
            return Ok(presented.clone());
        }
        let Given {
            authorization,
            certificate,
            ends,
        } = plugin.ask(self.asked == 0).await?;
        self.asked += 1;
        self.ends = ends;
        let presented = Presented {
            authorization,
            certificate,
            serial: self.asked,
        };
        Ok(self.presented.insert(presented).clone())
    }
}

/// A file that can't be read now, or is empty, may be about to be replaced: what was read last goes
/// on, as in client-go.
fn from_file(
    path: &Path,
    otherwise: Option<&HeaderValue>,
    last: &Mutex<Option<(Instant, HeaderValue)>>,
) -> Result<HeaderValue, CredentialError> {
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((at, header)) = last.as_ref()
        && at.elapsed() < FILE_FOR
    {
        return Ok(header.clone());
    }
    match (read_token(path), last.as_ref(), otherwise) {
        (Ok(token), ..) => {
            let header = bearer(&token)?;
            *last = Some((Instant::now(), header.clone()));
            Ok(header)
        }
        (Err(_), Some((_, header)), _) | (Err(_), None, Some(header)) => Ok(header.clone()),
        (Err(error), None, None) => Err(CredentialError::new(format!("user.tokenFile: {error}"))),
    }
}

/// When a token of OpenID Connect ends.
fn end_of(token: &str) -> Result<Timestamp, CredentialError> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }
    let payload = token.split('.').nth(1);
    let payload = payload.and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok());
    let claims = payload.and_then(|payload| serde_json::from_slice::<Claims>(&payload).ok());
    let ends = claims.and_then(|claims| Timestamp::from_second(claims.exp as i64).ok());
    ends.ok_or_else(|| {
        CredentialError::new("user.auth-provider oidc: its id-token says no end (exp)")
    })
}

fn id_token_ended() -> CredentialError {
    CredentialError::new(
        "user.auth-provider oidc: its id-token has ended, and only kubectl renews it: let kubectl \
         make any call, then run this again",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn user(fields: &Value) -> User {
        let parsed = User::parse(fields.as_object().unwrap());
        parsed.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn header(fields: &Value) -> Result<String, String> {
        let credential = Credential::of(&user(fields)).map_err(|error| error.to_string())?;
        let presented = credential.present().await;
        let presented = presented.map_err(|error| error.to_string())?;
        let header = presented
            .authorization
            .map(|it| it.to_str().unwrap().to_owned());
        Ok(header.unwrap_or_default())
    }

    /// The file's content is the newer, unless there is none.
    #[tokio::test]
    async fn a_token_file_comes_before_a_token_where_it_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        let both = json!({"token": "old", "tokenFile": file});
        let alone = json!({"tokenFile": file});
        assert_eq!(header(&both).await.unwrap(), "Bearer old");
        assert!(
            header(&alone)
                .await
                .unwrap_err()
                .starts_with("user.tokenFile: ")
        );
        std::fs::write(&file, "new\n").unwrap();
        assert_eq!(header(&both).await.unwrap(), "Bearer new");
        let credential = Credential::of(&user(&both)).unwrap();
        credential.present().await.unwrap();
        for (content, expected) in [("newer", "Bearer newer"), ("", "Bearer newer")] {
            std::fs::write(&file, content).unwrap();
            if let Source::File { read, .. } = &credential.source {
                let long_ago = Instant::now().checked_sub(FILE_FOR).unwrap();
                read.lock().unwrap().as_mut().unwrap().0 = long_ago;
            }
            let presented = credential.present().await.unwrap();
            assert_eq!(presented.authorization.unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn an_empty_field_is_none() {
        let fields = json!({
            "token": "", "as": "", "as-groups": [], "as-user-extra": {}, "client-certificate": "",
            "exec": {"command": "c", "apiVersion": "client.authentication.k8s.io/v1beta1"},
        });
        let user = user(&fields);
        assert!(user.plugin().is_some() && user.impersonates == Default::default());
        let named = json!({"username": "me", "password": "p"});
        assert_eq!(header(&named).await.unwrap(), "Basic bWU6cA==");
    }

    #[tokio::test]
    async fn an_id_token_counts_until_its_end() {
        let provider = |ends: i64| {
            let claims = URL_SAFE_NO_PAD.encode(json!({"exp": ends}).to_string());
            let token = format!("x.{claims}.y");
            json!({"auth-provider": {"name": "oidc", "config": {"id-token": token}}})
        };
        let now = Timestamp::now().as_second();
        assert!(
            header(&provider(now + 60))
                .await
                .unwrap()
                .starts_with("Bearer x.")
        );
        let ended = header(&provider(now + 5)).await.unwrap_err();
        assert!(ended.contains("oidc: its id-token has ended"), "{ended}");
    }

    fn plugin(script: &str) -> Value {
        json!({"exec": {"command": "sh", "args": ["-c", script], "interactiveMode": "Never",
            "apiVersion": "client.authentication.k8s.io/v1"}})
    }

    /// A plugin is asked once, again after the end of what it gave, and after a 401.
    #[tokio::test]
    async fn a_plugin_is_asked_again_when_its_token_has_ended_or_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let asked = dir.path().join("asked");
        let script = |ends: &str| {
            format!(
                "echo x >> {0}; printf '{{\"kind\":\"ExecCredential\",\"apiVersion\":\
                 \"client.authentication.k8s.io/v1\",\"status\":{{\"token\":\"t%s\"{ends}}}}}' \
                 $(wc -l < {0})",
                asked.display()
            )
        };
        let lasting = Credential::of(&user(&plugin(&script("")))).unwrap();
        let token = async |credential: &Credential| {
            let presented = credential.present().await.unwrap();
            (presented.authorization.unwrap(), presented.serial)
        };
        for _ in 0..2 {
            assert_eq!(token(&lasting).await, ("Bearer t1".parse().unwrap(), 1));
        }
        lasting.refused(1);
        assert_eq!(token(&lasting).await, ("Bearer t2".parse().unwrap(), 2));
        lasting.refused(1);
        assert_eq!(token(&lasting).await, ("Bearer t2".parse().unwrap(), 2));
        let ended = script(",\"expirationTimestamp\":\"2024-01-01T00:00:00Z\"");
        let ended = Credential::of(&user(&plugin(&ended))).unwrap();
        assert_eq!(token(&ended).await.0, "Bearer t3");
        assert_eq!(token(&ended).await.0, "Bearer t4");
    }
}
