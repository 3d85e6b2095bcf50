//! What a request says of its client: for naming only, never for access.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, header};
use serde::Deserialize;

use crate::{
    classify::kubevirt::component_of_user,
    ledger::{Books, Party},
};

/// Longest token that is looked into.
const TOKEN_LONGEST: usize = 16 * 1024;
/// Longest name of a program or a user that becomes a name in the books.
const NAME_LONGEST: usize = 128;

/// Names the clients of one connection. It remembers the last credential, since a client sends
/// the same one with each of its requests.
pub struct ClientNames {
    component: Option<Arc<str>>,
    /// The user of a verified certificate, whatever a token says.
    certificate_user: Option<Box<str>>,
    last: Option<Named>,
}

/// How one client is called in the books.
#[derive(Clone)]
pub struct ClientName {
    /// Once the API server accepted the credential.
    pub accepted: Arc<Party>,
    /// When it answered 401.
    pub rejected: Arc<Party>,
}

struct Named {
    authorization: Box<[u8]>,
    user_agent: Box<[u8]>,
    name: ClientName,
}

impl ClientNames {
    /// `component` names all clients, whatever they say of themselves; `certificate_user` is the
    /// user of the connection's certificate, if it was verified.
    pub fn new(component: Option<Arc<str>>, certificate_user: Option<Box<str>>) -> Self {
        Self {
            component,
            certificate_user: certificate_user
                .filter(|user| user.len() <= NAME_LONGEST && !user.contains(char::is_control)),
            last: None,
        }
    }

    /// The name of the client that sent these headers.
    pub fn name(&mut self, headers: &HeaderMap, books: &Books) -> ClientName {
        let value = |name| headers.get(name).map_or(&b""[..], |value| value.as_bytes());
        let authorization = value(header::AUTHORIZATION);
        let user_agent = value(header::USER_AGENT);
        if let Some(last) = &self.last
            && *last.authorization == *authorization
            && *last.user_agent == *user_agent
        {
            return last.name.clone();
        }
        let name = self.look_up(authorization, user_agent, books);
        self.last = Some(Named {
            authorization: authorization.into(),
            user_agent: user_agent.into(),
            name: name.clone(),
        });
        name
    }

    fn look_up(&self, authorization: &[u8], user_agent: &[u8], books: &Books) -> ClientName {
        let token_user = match &self.certificate_user {
            Some(_) => None,
            None => bearer(authorization).and_then(user_of_token),
        };
        let program = program_of(user_agent).unwrap_or("unknown");
        let user = self.certificate_user.as_deref().or(token_user.as_deref());
        let user = user.unwrap_or_default();
        let fixed = self.component.as_deref();
        let accepted = fixed.or_else(|| component_of_user(user)).unwrap_or(program);
        ClientName {
            accepted: books.party(accepted, user),
            rejected: books.party(fixed.unwrap_or(program), ""),
        }
    }
}

fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked(7)?;
    (scheme.eq_ignore_ascii_case(b"bearer ") && token.len() <= TOKEN_LONGEST).then_some(token)
}

/// The subject of a JSON web token; its signature is the API server's business.
fn user_of_token(token: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Claims {
        sub: String,
    }
    let payload = token.split(|&byte| byte == b'.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    is_name(claims.sub.as_bytes()).then_some(claims.sub)
}

/// `virt-controller` of `virt-controller/v1.8.0 (linux/amd64) kubernetes/…`.
fn program_of(user_agent: &[u8]) -> Option<&str> {
    let end = user_agent
        .iter()
        .position(|byte| matches!(byte, b'/' | b' '))
        .unwrap_or(user_agent.len());
    let program = &user_agent[..end];
    is_name(program).then(|| std::str::from_utf8(program).ok())?
}

fn is_name(text: &[u8]) -> bool {
    (1..=NAME_LONGEST).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party(authorization: &str, user_agent: &str) -> (String, String, String) {
        let mut headers = HeaderMap::new();
        if !authorization.is_empty() {
            headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        }
        headers.insert(header::USER_AGENT, user_agent.parse().unwrap());
        let name = ClientNames::new(None, None).name(&headers, &Books::new());
        (
            name.accepted.component.to_string(),
            name.accepted.user.to_string(),
            name.rejected.component.to_string(),
        )
    }

    fn token(claims: &str) -> String {
        format!("Bearer e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_service_account_names_its_component_and_a_bad_token_only_the_program() {
        let user = "system:serviceaccount:kubevirt:kubevirt-controller";
        let claims = format!(r#"{{"sub":"{user}","aud":["x"]}}"#);
        assert_eq!(
            party(&token(&claims), "virt-controller/v1 (linux)"),
            (
                "virt-controller".into(),
                user.into(),
                "virt-controller".into()
            )
        );
        let other = r#"{"sub":"system:serviceaccount:cdi:cdi-sa"}"#;
        assert_eq!(party(&token(other), "x/1").0, "cdi-sa");
        for bad in [
            "",
            "Bearer abc",
            "Bearer a.b.c",
            "Basic YTpi",
            &token(r#"{"sub":1}"#),
        ] {
            assert_eq!(
                party(bad, "curl/8"),
                ("curl".into(), "".into(), "curl".into())
            );
        }
        assert_eq!(party("", "").0, "unknown");
    }
}
