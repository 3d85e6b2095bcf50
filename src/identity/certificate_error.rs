//! Says in words what is wrong with an API server's certificate.

use std::{error::Error as StdError, fmt, net::IpAddr, sync::Arc};

use rustls::{
    CertificateError, Error, OtherError,
    pki_types::{CertificateDer, ServerName},
};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, parse_x509_certificate};

/// Most names that are listed.
const NAMES_MAX: usize = 8;
/// Longest name that is told: it comes from a server that is not trusted.
const NAME_MAX: usize = 100;

/// What is wrong with the certificate that a server showed, in words.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerCertificateError(String);

impl fmt::Display for ServerCertificateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for ServerCertificateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl StdError for ServerCertificateError {}

impl ServerCertificateError {
    /// The words in an error of rustls, if it has some.
    pub fn of(error: &Error) -> Option<&Self> {
        match error {
            Error::InvalidCertificate(CertificateError::Other(OtherError(words))) => {
                words.downcast_ref()
            }
            _ => None,
        }
    }
}

/// An error of a verifier that trusts what has the names `trusted`; in words if it is about the chain
/// of certificates that a server showed, its own first, for `name`.
pub(super) fn in_words(
    error: Error,
    chain: &[&CertificateDer<'_>],
    name: &ServerName<'_>,
    trusted: &[String],
) -> Error {
    let Error::InvalidCertificate(error) = error else {
        return error;
    };
    let error = match explain(&error, chain, name, trusted) {
        Some(words) => CertificateError::Other(OtherError(Arc::new(ServerCertificateError(words)))),
        None => error,
    };
    Error::InvalidCertificate(error)
}

fn explain(
    error: &CertificateError,
    chain: &[&CertificateDer<'_>],
    name: &ServerName<'_>,
    trusted: &[String],
) -> Option<String> {
    let (_, leaf) = parse_x509_certificate(chain.first()?).ok()?;
    match error {
        // A CA of the right name with another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            let (_, last) = parse_x509_certificate(chain.last()?).ok()?;
            let issuer = printable(&last.issuer().to_string());
            Some(explain_issuer(&issuer, trusted))
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let name = printable(&name.to_str());
            let names = listed(&names(&leaf));
            Some(format!(
                "its certificate is not for {name}, but for {names}"
            ))
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            let end = time(leaf.validity().not_after.timestamp());
            Some(format!(
                "its certificate, or one that it is signed by, ended: {end}"
            ))
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            let begin = time(leaf.validity().not_before.timestamp());
            Some(format!("its certificate is not valid before {begin}"))
        }
        _ => None,
    }
}

fn explain_issuer(issuer: &str, trusted: &[String]) -> String {
    if trusted.iter().any(|trusted| trusted == issuer) {
        return format!(
            "its certificate is signed by another CA of the name {issuer} than the one that is \
             trusted: the CA is another cluster's, or was exchanged"
        );
    }
    let trusted = listed(trusted);
    format!("its certificate is signed by {issuer}, and trusted is {trusted}")
}

/// The names of these authorities, as they may be printed.
pub(super) fn subjects(authorities: &[CertificateDer<'_>]) -> Vec<String> {
    let subjects = authorities.iter().filter_map(|one| {
        let (_, parsed) = parse_x509_certificate(one).ok()?;
        Some(printable(&parsed.subject().to_string()))
    });
    subjects.collect()
}

/// The names that a certificate is for.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let extension = certificate.subject_alternative_name();
    let Some(extension) = extension.ok().flatten() else {
        return Vec::new();
    };
    let names = extension.value.general_names.iter();
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(printable(name)),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    });
    names.collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

fn listed(names: &[String]) -> String {
    let shown = &names[..names.len().min(NAMES_MAX)];
    let more = names.len() - shown.len();
    match (shown, more) {
        ([], _) => "none".to_owned(),
        (shown, 0) => shown.join(", "),
        (shown, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

fn time(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds);
    time.map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

/// A name as it may be printed.
fn printable(name: &str) -> String {
    let harmless = |letter: char| {
        let is_harmless = letter.is_ascii_graphic() || letter == ' ';
        if is_harmless { letter } else { '?' }
    };
    name.chars().take(NAME_MAX).map(harmless).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::UnixTime;

    use super::*;
    use crate::{
        ca::CaSource,
        mint::{Authority, Leaf},
        trust,
    };

    /// What is said of this certificate at this time, if anything.
    fn refusal(trusted: &Authority, leaf: &Leaf, name: &str, now: UnixTime) -> Option<String> {
        let trusted = CaSource::Der(vec![trusted.certificate().to_vec()]);
        let verifier = trust::verifier(&trusted).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let verified = verifier.verify_server_cert(&leaf.certificate(), &[], &name, &[], now);
        let error = verified.err()?;
        Some(ServerCertificateError::of(&error).unwrap().to_string())
    }

    #[test]
    fn what_is_wrong_with_a_certificate_is_said_in_words() {
        let authority = Authority::new("kubernetes").unwrap();
        let names = ["127.0.0.1".to_owned(), "kubernetes.default".to_owned()];
        let leaf = authority.serving("kube-apiserver", &names).unwrap();
        let refused = |trusted: &Authority, name: &str| {
            refusal(trusted, &leaf, name, UnixTime::now()).unwrap_or_default()
        };
        assert_eq!(refused(&authority, "127.0.0.1"), "");
        assert_eq!(
            refused(&authority, "example.org"),
            "its certificate is not for example.org, but for 127.0.0.1, kubernetes.default"
        );
        let other = Authority::new("front-proxy").unwrap();
        assert_eq!(
            refused(&other, "127.0.0.1"),
            "its certificate is signed by CN=kubernetes, and trusted is CN=front-proxy"
        );
        let same_name = Authority::new("kubernetes").unwrap();
        assert_eq!(
            refused(&same_name, "127.0.0.1"),
            "its certificate is signed by another CA of the name CN=kubernetes than the one that \
             is trusted: the CA is another cluster's, or was exchanged"
        );
        let (past, future) = (1, 40 * 365 * 24 * 3600);
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let early = refusal(&authority, &leaf, "127.0.0.1", at(past)).unwrap();
        assert!(
            early.starts_with("its certificate is not valid before 20"),
            "{early}"
        );
        let late = at(UnixTime::now().as_secs() + future);
        let late = refusal(&authority, &leaf, "127.0.0.1", late).unwrap();
        let ended = "its certificate, or one that it is signed by, ended: 20";
        assert!(late.starts_with(ended), "{late}");
    }

    #[test]
    fn a_name_that_a_stranger_chose_is_harmless_and_short() {
        let name = format!("\u{1b}[2J\nready\u{202e}{}", "x".repeat(1_000));
        let shown = printable(&name);
        assert!(
            shown.starts_with("?[2J?ready?xxx") && shown.len() == NAME_MAX,
            "{shown}"
        );
        let many: Vec<String> = (0..20).map(|number| number.to_string()).collect();
        assert_eq!(listed(&many), "0, 1, 2, 3, 4, 5, 6, 7 and 12 more");
    }
}
