//! Credentials as the `Authorization` header has them.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;

/// A credential that can't be presented: in words that hold nothing of it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CredentialError(String);

impl CredentialError {
    pub(crate) fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

pub(crate) fn bearer(token: &str) -> Result<HeaderValue, CredentialError> {
    sensitive(format!("Bearer {token}"))
}

pub(crate) fn basic(name: &str, password: &str) -> Result<HeaderValue, CredentialError> {
    let pair = STANDARD.encode(format!("{name}:{password}"));
    sensitive(format!("Basic {pair}"))
}

fn sensitive(value: String) -> Result<HeaderValue, CredentialError> {
    let not_a_header = |_| CredentialError::new("the token is no value of a header");
    let mut value = HeaderValue::try_from(value).map_err(not_a_header)?;
    value.set_sensitive(true);
    Ok(value)
}
