//! Who a client is in the books: what its credential says, once the API server has accepted it.
//! For naming only, never for access.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, header};
use serde::Deserialize;

use super::{bearer::Presented, proof::Proof, proven::Proven};
use classify::kubevirt::component_of_user;
use ledger::{Books, Party, Standing};

/// Longest token that is looked into.
const TOKEN_LONGEST: usize = 16 * 1024;
/// Longest name of a program or a user that becomes a name in the books.
const NAME_LONGEST: usize = 128;

/// What names the clients of one proxy.
pub struct Clients {
    /// The component that names all clients, whatever they say of themselves.
    component: Option<Arc<str>>,
    /// That component, where no user is known.
    configured: Option<Arc<Party>>,
    proven: Proven,
    books: Arc<Books>,
}

/// The clients of one connection. It remembers the last one, since a client says the same of itself
/// in each of its requests.
pub struct ClientNames {
    /// The user of a verified certificate, whatever a token says.
    certificate_user: Option<Box<str>>,
    last: Option<Last>,
}

struct Last {
    /// Hashes of `Authorization` and `User-Agent`.
    hashes: [u64; 2],
    client: Arc<Client>,
}

/// A client, as it is called if its credential is a good one.
pub struct Client {
    clients: Arc<Clients>,
    component: Arc<str>,
    user: Box<str>,
    credential: Credential,
    /// Whether it was proven on this connection and not refused since.
    is_proven: AtomicBool,
    party: OnceLock<Arc<Party>>,
    /// The same without its user, for one that the proxy vouched for and the API server refused.
    refused: OnceLock<Arc<Party>>,
}

enum Credential {
    /// Anonymous to the API server.
    None,
    /// A bearer token, by its hash.
    Token(u64),
    /// One of which nothing can be proven.
    Unknown,
    /// The proxy itself knows that it is a good one.
    Vouched,
}

/// Whom an answer is booked for.
pub struct Booked<'c> {
    /// The party.
    pub party: &'c Arc<Party>,
    /// What is known of the client.
    pub standing: Standing,
}

impl Clients {
    /// The clients whose requests go into `books`. `component` names all of them.
    pub fn new(component: Option<Arc<str>>, books: Arc<Books>) -> Arc<Self> {
        let configured = component.as_deref().map(|name| books.party(name, ""));
        Arc::new(Self {
            component,
            configured,
            proven: Proven::default(),
            books,
        })
    }
}

impl ClientNames {
    /// `certificate_user` is the user of the connection's certificate, if it was verified.
    pub fn new(certificate_user: Option<Box<str>>) -> Self {
        Self {
            certificate_user: certificate_user
                .filter(|user| user.len() <= NAME_LONGEST && !user.contains(char::is_control)),
            last: None,
        }
    }

    /// The client that sent these headers.
    pub fn client(&mut self, headers: &HeaderMap, clients: &Arc<Clients>) -> Arc<Client> {
        let hashes = [header::AUTHORIZATION, header::USER_AGENT].map(|name| {
            let value = headers.get(name).map_or(&b""[..], |value| value.as_bytes());
            clients.proven.hash(value)
        });
        let has_protocols = headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL);
        if let Some(last) = self.last.as_ref().filter(|_| !has_protocols)
            && last.hashes == hashes
        {
            return Arc::clone(&last.client);
        }
        let client = Arc::new(self.look_up(headers, clients));
        if !has_protocols {
            self.last = Some(Last {
                hashes,
                client: Arc::clone(&client),
            });
        }
        client
    }

    fn look_up(&self, headers: &HeaderMap, clients: &Arc<Clients>) -> Client {
        let (credential, user) = match (&self.certificate_user, Presented::read(headers)) {
            (Some(user), _) => (Credential::Vouched, Some(user.clone())),
            (None, Presented::Bearer(token)) => {
                let hash = clients.proven.hash(token.as_bytes());
                (Credential::Token(hash), user_of_token(&token))
            }
            (None, Presented::WebSocket) => (Credential::Unknown, None),
            (None, Presented::Nothing) => (Credential::None, None),
        };
        let agent = headers.get(header::USER_AGENT);
        let user = user.unwrap_or_default();
        let component = match &clients.component {
            Some(component) => Arc::clone(component),
            None => component_of_user(&user)
                .or_else(|| program_of(agent?.as_bytes()))
                .unwrap_or("unknown")
                .into(),
        };
        Client::new(clients, component, user, credential)
    }
}

impl Client {
    fn new(
        clients: &Arc<Clients>,
        component: Arc<str>,
        user: Box<str>,
        credential: Credential,
    ) -> Self {
        Self {
            clients: Arc::clone(clients),
            component,
            user,
            credential,
            is_proven: AtomicBool::new(false),
            party: OnceLock::new(),
            refused: OnceLock::new(),
        }
    }

    /// The same client, of which the proxy itself knows that its credential is a good one.
    pub fn vouched(&self) -> Self {
        let (component, user) = (Arc::clone(&self.component), self.user.clone());
        Self::new(&self.clients, component, user, Credential::Vouched)
    }

    /// Whom to book a request for, where an answer, or the lack of one, proves `proof` about the
    /// client's credential. Only an authenticated client makes a party of its own.
    pub fn book(&self, proof: Proof) -> Booked<'_> {
        let books = &self.clients.books;
        let (party, standing) = if self.is_good(proof) {
            let party = || books.party(&self.component, &self.user);
            (self.party.get_or_init(party), Standing::Authenticated)
        } else if let Credential::Vouched = self.credential {
            let party = || books.party(&self.component, "");
            (self.refused.get_or_init(party), Standing::Authenticated)
        } else if let Some(component) = &self.clients.configured {
            (component, Standing::Configured)
        } else if proof == Proof::Rejected || matches!(self.credential, Credential::None) {
            (books.unauthenticated(), Standing::Unauthenticated)
        } else {
            (books.unproven(), Standing::Unauthenticated)
        };
        Booked { party, standing }
    }

    /// Whether the API server has authenticated its credential before, and not refused it since.
    pub fn is_known(&self) -> bool {
        self.is_good(Proof::Nothing)
    }

    fn is_good(&self, proof: Proof) -> bool {
        match self.credential {
            Credential::Vouched => proof != Proof::Rejected,
            Credential::Token(hash) => self.is_good_token(hash, proof),
            Credential::None | Credential::Unknown => false,
        }
    }

    fn is_good_token(&self, hash: u64, proof: Proof) -> bool {
        let (is_proven, proven) = (&self.is_proven, &self.clients.proven);
        match proof {
            Proof::Authenticated if is_proven.load(Ordering::Relaxed) => {}
            Proof::Authenticated => {
                proven.insert(hash);
                is_proven.store(true, Ordering::Relaxed);
            }
            Proof::Rejected => {
                proven.remove(hash);
                is_proven.store(false, Ordering::Relaxed);
            }
            Proof::Nothing => return is_proven.load(Ordering::Relaxed) || proven.contains(hash),
        }
        proof == Proof::Authenticated
    }
}

/// The subject of a JSON web token; its signature is the API server's business.
fn user_of_token(token: &str) -> Option<Box<str>> {
    #[derive(Deserialize)]
    struct Claims {
        sub: Box<str>,
    }
    let payload = token
        .split('.')
        .nth(1)
        .filter(|_| token.len() <= TOKEN_LONGEST)?;
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

    const CONTROLLER: &str = "system:serviceaccount:kubevirt:kubevirt-controller";

    struct Site {
        clients: Arc<Clients>,
    }

    impl Site {
        fn new(component: Option<&str>) -> Self {
            Self {
                clients: Clients::new(component.map(Arc::from), Arc::default()),
            }
        }

        /// Component, user and standing of one request on a connection of its own.
        fn book(
            &self,
            authorization: &str,
            agent: &str,
            proof: Proof,
        ) -> (String, String, Standing) {
            let mut headers = HeaderMap::new();
            if !authorization.is_empty() {
                headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
            }
            headers.insert(header::USER_AGENT, agent.parse().unwrap());
            let client = ClientNames::new(None).client(&headers, &self.clients);
            let booked = client.book(proof);
            let (component, user) = (&booked.party.component, &booked.party.user);
            (component.to_string(), user.to_string(), booked.standing)
        }
    }

    fn token(claims: &str) -> String {
        format!("Bearer e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    fn controller() -> String {
        token(&format!(r#"{{"sub":"{CONTROLLER}","aud":["x"]}}"#))
    }

    fn booked(component: &str, user: &str, standing: Standing) -> (String, String, Standing) {
        (component.into(), user.into(), standing)
    }

    #[test]
    fn a_token_names_its_user_only_once_an_answer_has_proven_it() {
        let site = Site::new(None);
        let agent = "virt-controller/v1 (linux)";
        let named = booked("virt-controller", CONTROLLER, Standing::Authenticated);
        let unproven = booked("(unproven)", "", Standing::Unauthenticated);
        let refused = booked("(unauthenticated)", "", Standing::Unauthenticated);
        let book = |proof| site.book(&controller(), agent, proof);
        assert_eq!(book(Proof::Nothing), unproven);
        assert_eq!(book(Proof::Rejected), refused);
        assert_eq!(book(Proof::Authenticated), named);
        assert_eq!(book(Proof::Nothing), named, "on another connection too");
        assert_eq!(book(Proof::Rejected), refused);
        assert_eq!(book(Proof::Nothing), unproven, "it was refused since");
        let twice = controller().replace("Bearer ", "Bearer  ");
        assert_eq!(site.book(&twice, agent, Proof::Authenticated), refused);
        let forged = format!("{}x", controller());
        book(Proof::Authenticated);
        assert_eq!(site.book(&forged, agent, Proof::Nothing), unproven);
    }

    #[test]
    fn a_connection_remembers_who_was_proven_and_tells_credentials_apart() {
        let site = Site::new(None);
        let mut names = ClientNames::new(None);
        let mut book = |authorization: &str, proof| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
            let client = names.client(&headers, &site.clients);
            client.book(proof).standing
        };
        assert_eq!(
            book("Bearer good", Proof::Authenticated),
            Standing::Authenticated
        );
        assert_eq!(book("Bearer good", Proof::Nothing), Standing::Authenticated);
        assert_eq!(
            book("Bearer bad", Proof::Nothing),
            Standing::Unauthenticated
        );
        assert_eq!(book("Bearer good", Proof::Nothing), Standing::Authenticated);
        assert_eq!(
            book("Bearer bad", Proof::Nothing),
            Standing::Unauthenticated
        );
    }

    #[test]
    fn what_is_no_service_account_is_named_by_its_program() {
        let site = Site::new(None);
        let other = r#"{"sub":"system:serviceaccount:cdi:cdi-sa"}"#;
        let proven = |authorization: &str, agent: &str| {
            site.book(authorization, agent, Proof::Authenticated)
        };
        assert_eq!(proven(&token(other), "x/1").0, "cdi-sa");
        for opaque in ["Bearer abc", "Bearer a.b.c", &token(r#"{"sub":1}"#)] {
            let named = booked("curl", "", Standing::Authenticated);
            assert_eq!(proven(opaque, "curl/8"), named);
        }
        assert_eq!(proven("Bearer abc", "").0, "unknown");
        for none in ["", "Basic YTpi", "Bearer "] {
            let nobody = booked("(unauthenticated)", "", Standing::Unauthenticated);
            assert_eq!(proven(none, "curl/8"), nobody);
        }
    }

    #[test]
    fn a_component_that_was_given_names_all_requests() {
        let site = Site::new(Some("virt-api"));
        let configured = booked("virt-api", "", Standing::Configured);
        let book = |proof| site.book(&controller(), "x/1", proof);
        assert_eq!(book(Proof::Nothing), configured);
        assert_eq!(book(Proof::Rejected), configured);
        let named = booked("virt-api", CONTROLLER, Standing::Authenticated);
        assert_eq!(book(Proof::Authenticated), named);
    }
}
