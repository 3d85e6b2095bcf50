//! Certificates made on the spot: a CA, and serving certificates signed by it.

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};

use super::{IdentityError, expiry};

/// How long a CA and the certificates below it last, in years. A component never reads its CA
/// file again, so a new CA means restarts: it has to last.
const YEARS: i32 = 10;

/// A certificate authority with its key.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key.
pub struct Leaf {
    /// The certificate.
    pub certificate_pem: String,
    /// Its key, PKCS#8.
    pub key_pem: String,
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Authority {
    /// A new CA of that common name.
    pub fn new(name: &str) -> Result<Self, IdentityError> {
        let mut params = params_for(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self { issuer })
    }

    /// The CA's certificate as PEM.
    pub fn certificate_pem(&self) -> String {
        self.issuer.pem()
    }

    /// The CA's key, PKCS#8.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// The CA's certificate.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// A serving certificate for these DNS names and IP addresses.
    pub fn serving(&self, name: &str, names: &[String]) -> Result<Leaf, IdentityError> {
        self.leaf(name, names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client certificate for a user of one group, which becomes its organization.
    pub fn client(&self, user: &str, group: &str) -> Result<Leaf, IdentityError> {
        let mut params = params_for(user);
        params
            .distinguished_name
            .push(DnType::OrganizationName, group);
        self.sign(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn leaf(
        &self,
        name: &str,
        names: &[String],
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<Leaf, IdentityError> {
        let mut params = params_for(name);
        for name in names {
            params.subject_alt_names.push(match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into()?),
            });
        }
        self.sign(params, usage)
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<Leaf, IdentityError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Leaf {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            certificate: certificate.der().clone(),
            key: key.serialize_der(),
        })
    }
}

impl Leaf {
    /// The certificate as rustls takes it.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    /// The key as rustls takes it.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }
}

/// A key pair for signing tokens: the private key and the public one, PEM.
pub fn signing_key() -> Result<(String, String), IdentityError> {
    let key = KeyPair::generate()?;
    Ok((key.serialize_pem(), key.public_key_pem()))
}

/// When the first certificate in a PEM text ends.
pub fn not_after(pem: &[u8]) -> Result<Timestamp, IdentityError> {
    let der = CertificateDer::from_pem_slice(pem).map_err(|_| IdentityError::NotACertificate)?;
    let seconds = expiry::not_after(&der).ok_or(IdentityError::NotACertificate)?;
    Timestamp::from_second(seconds).map_err(|_| IdentityError::NotACertificate)
}

fn params_for(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let today = jiff::Zoned::now().date();
    // A day back: clocks of a cluster differ.
    let from = today.yesterday().unwrap_or(today);
    let day = |value: i8| u8::try_from(value).unwrap_or(1);
    params.not_before =
        rcgen::date_time_ymd(from.year().into(), day(from.month()), day(from.day()));
    params.not_after = rcgen::date_time_ymd(i32::from(from.year()) + YEARS, day(from.month()), 1);
    params
}
