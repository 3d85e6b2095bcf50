//! When certificates end.

use rustls_pki_types::{CertificateDer, pem::PemObject};

/// When a chain in PEM form stops being valid, in seconds of Unix time: with the first of its
/// certificates that ends. `None` where there is no certificate.
pub fn of_chain(pem: &[u8]) -> Option<i64> {
    let chain = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
    chain.filter_map(|one| not_after(&one)).min()
}

/// When the last of a CA's certificates ends, in seconds of Unix time: while a CA is exchanged,
/// both the old and the new one are trusted.
pub(super) fn of_authorities(certificates: &[CertificateDer<'_>]) -> Option<i64> {
    certificates.iter().filter_map(not_after).max()
}

/// When one certificate ends.
pub(super) fn not_after(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(parsed.validity().not_after.timestamp())
}
