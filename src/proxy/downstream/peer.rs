//! Who a downstream connection is by its TLS certificate, and what that does to its requests.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use rustls_pki_types::CertificateDer;

use identity::{
    bearer,
    client_certificate::{CertificateUser, NoUser},
};

const REMOTE_USER: HeaderName = HeaderName::from_static("x-remote-user");
const REMOTE_UID: HeaderName = HeaderName::from_static("x-remote-uid");
const REMOTE_GROUP: HeaderName = HeaderName::from_static("x-remote-group");
const REMOTE_EXTRA: &str = "x-remote-extra-";

/// Why a client's certificate is of no use.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnusableCertificate {
    /// The proxy is no authenticating proxy.
    #[error(
        "a client certificate ends at the proxy and can't be passed on: use a token, or have the \
         proxy pass this connection through by its server name (--sni-passthrough)"
    )]
    EndsHere,
    /// A header can't have what the certificate says of its user.
    #[error("the certificate's user is no header value")]
    NotAHeaderValue,
    /// The certificate names no user.
    #[error(transparent)]
    NoUser(NoUser),
}

/// The other end of a downstream connection.
pub(crate) enum Peer {
    /// It came without a certificate: each request carries its own credential, or none.
    Unnamed,
    /// It came with a certificate that can't be passed on.
    Unusable(UnusableCertificate),
    /// Its certificate was verified: the API server is told by headers who it is.
    Named(NamedPeer),
}

/// A user and the headers that name it.
pub(crate) struct NamedPeer {
    pub(crate) user: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Peer {
    /// Where `verified` is false, certificates were taken without a look at who signed them.
    pub(crate) fn of(chain: Option<&[CertificateDer<'_>]>, verified: bool) -> Self {
        let Some(leaf) = chain.and_then(<[_]>::first) else {
            return Self::Unnamed;
        };
        if !verified {
            return Self::Unusable(UnusableCertificate::EndsHere);
        }
        match CertificateUser::of(leaf) {
            Ok(user) => NamedPeer::new(user).map_or_else(
                || Self::Unusable(UnusableCertificate::NotAHeaderValue),
                Self::Named,
            ),
            Err(error) => Self::Unusable(UnusableCertificate::NoUser(error)),
        }
    }

    /// Why a request can't go on: it has nothing that the API server would take for a credential
    /// but the certificate that ends here, so that it would be anonymous.
    pub(crate) fn refusal(
        &self,
        headers: &HeaderMap,
        is_upgrade: bool,
    ) -> Option<&UnusableCertificate> {
        match self {
            Self::Unusable(why) if !has_credential(headers, is_upgrade) => Some(why),
            Self::Unusable(_) | Self::Unnamed | Self::Named(_) => None,
        }
    }

    /// Tells the API server who asks. This comes after everything else that touches headers, so
    /// that nothing of it can be taken off again; what the client says of itself is gone by then.
    pub(crate) fn identify(&self, headers: &mut HeaderMap) {
        if let Self::Named(peer) = self {
            // The certificate wins, as it does in the API server; a token must not travel on a
            // connection that speaks for others.
            headers.remove(header::AUTHORIZATION);
            for (name, value) in &peer.headers {
                headers.append(name.clone(), value.clone());
            }
        }
    }
}

fn has_credential(headers: &HeaderMap, is_upgrade: bool) -> bool {
    let protocol = headers.get(header::UPGRADE);
    let is_websocket = is_upgrade
        && protocol.is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"));
    bearer::token(headers).is_some() || (is_websocket && bearer::has_websocket_token(headers))
}

impl NamedPeer {
    fn new(user: CertificateUser) -> Option<Self> {
        let value = |text: &str| HeaderValue::from_bytes(text.as_bytes()).ok();
        let mut headers = vec![(REMOTE_USER, value(&user.name)?)];
        if let Some(uid) = &user.uid {
            headers.push((REMOTE_UID, value(uid)?));
        }
        for group in &user.groups {
            headers.push((REMOTE_GROUP, value(group)?));
        }
        for (key, text) in &user.extra {
            let name = format!("{REMOTE_EXTRA}{}", escape_key(key));
            headers.push((HeaderName::from_bytes(name.as_bytes()).ok()?, value(text)?));
        }
        Some(Self {
            user: user.name,
            headers,
        })
    }
}

/// The key of a fact as part of a header's name: what a name can't hold is percent-encoded, as
/// client-go's transport does it and kube-apiserver undoes it.
fn escape_key(key: &str) -> String {
    let mut escaped = String::with_capacity(key.len());
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use identity::mint::Authority;

    #[test]
    fn a_verified_certificate_becomes_headers_and_takes_the_token_off() {
        let authority = Authority::new("clients").unwrap();
        let leaf = authority.client("admin", "ops").unwrap();
        let chain = [leaf.certificate()];
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer t"));
        Peer::of(Some(&chain), true).identify(&mut headers);
        assert!(!headers.contains_key(header::AUTHORIZATION));
        assert_eq!(headers[REMOTE_USER], "admin");
        assert_eq!(headers[REMOTE_GROUP], "ops");
        let extra = "x-remote-extra-authentication.kubernetes.io%2fcredential-id";
        assert!(headers.contains_key(extra), "{headers:?}");
    }

    #[test]
    fn a_certificate_that_can_not_be_passed_on_refuses_requests_without_another_credential() {
        let authority = Authority::new("clients").unwrap();
        let chain = [authority.client("admin", "ops").unwrap().certificate()];
        let peer = Peer::of(Some(&chain), false);
        let mut headers = HeaderMap::new();
        let refusal = peer.refusal(&headers, false).unwrap();
        assert!(refusal.to_string().contains("token"));
        let protocols = "v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.dA";
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocols.parse().unwrap());
        headers.insert(header::UPGRADE, HeaderValue::from_static("WebSocket"));
        assert_eq!(peer.refusal(&headers, true), None);
        assert!(peer.refusal(&headers, false).is_some());
        headers.insert(header::UPGRADE, HeaderValue::from_static("SPDY/3.1"));
        assert!(peer.refusal(&headers, true).is_some());
        assert_eq!(
            Peer::of(None, false).refusal(&HeaderMap::new(), false),
            None
        );
    }

    #[test]
    fn a_certificate_without_a_user_is_never_forwarded_bare() {
        let authority = Authority::new("clients").unwrap();
        let chain = [authority
            .client("", "system:masters")
            .unwrap()
            .certificate()];
        let peer = Peer::of(Some(&chain), true);
        assert!(peer.refusal(&HeaderMap::new(), false).is_some());
    }
}
