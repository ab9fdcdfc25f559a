//! What a certificate is worth: whether clients would accept it, for which name, until when.

use std::{fmt, path::Path, sync::Arc, time::Duration};

use parking_lot::Mutex;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        self, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
        client::{
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
            verify_server_cert_signed_by_trust_anchor, verify_server_name,
        },
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
        server::ParsedCertificate,
    },
};

use crate::clock::Timestamp;

/// What is wrong with a certificate in the eyes of its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flaw {
    /// Its time is over.
    Expired,
    /// Its time has not begun, or the clock here is wrong.
    NotYetValid,
    /// It was made for another name.
    WrongName,
    /// Whoever signed it is not known, or a certificate between is missing.
    UnknownIssuer,
    /// Something else.
    Unusable,
}

/// A certificate that was looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Examined {
    /// What is wrong with it.
    pub flaw: Option<Flaw>,
    /// When its time is over.
    pub expires: Option<Timestamp>,
}

/// Whom to trust to sign certificates.
pub struct Roots(Arc<RootCertStore>);

impl Roots {
    /// Mozilla's list, as browsers have it, and the certificates in the PEM file at `further`.
    #[must_use]
    pub fn public(further: Option<&Path>) -> Self {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(chain) = further.and_then(|path| CertificateDer::pem_file_iter(path).ok()) {
            roots.add_parsable_certificates(chain.flatten());
        }
        Self(Arc::new(roots))
    }

    /// Nobody: for whoever asks only whether somebody answers.
    #[must_use]
    pub fn none() -> Self {
        Self(Arc::new(RootCertStore::empty()))
    }
}

/// Examines the first certificate of a PEM chain for the name `host`. Its issuer is not looked at: a proxy or a private
/// authority may know him.
#[must_use]
pub fn examine_file(path: &Path, host: &str, now: Timestamp) -> Examined {
    let unusable = Examined { flaw: Some(Flaw::Unusable), expires: None };
    let Some(Ok(first)) = CertificateDer::pem_file_iter(path).ok().and_then(|mut chain| chain.next()) else {
        return unusable;
    };
    let now = UnixTime::since_unix_epoch(Duration::from_millis(now.0));
    let flaw = flaw_of(&first, &[], host, now, &RootCertStore::empty()).filter(|flaw| *flaw != Flaw::UnknownIssuer);
    Examined { flaw, expires: end_of(&first) }
}

/// Speaks TLS and examines the certificate, whatever it is worth; `None` when there is no handshake.
pub(super) async fn handshake(
    stream: TcpStream,
    host: &str,
    roots: &Roots,
) -> Option<(TlsStream<TcpStream>, Examined)> {
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let provider = Arc::new(ring::default_provider());
    let examiner = Arc::new(Examiner {
        provider: Arc::clone(&provider),
        roots: Arc::clone(&roots.0),
        host: host.to_owned(),
        seen: Mutex::new(None),
    });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&examiner) as _)
        .with_no_client_auth();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
    let seen = *examiner.seen.lock();
    Some((stream, seen?))
}

/// Accepts every certificate and remembers what it is worth.
struct Examiner {
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    host: String,
    seen: Mutex<Option<Examined>>,
}

impl fmt::Debug for Examiner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Examiner")
    }
}

impl ServerCertVerifier for Examiner {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let flaw = flaw_of(end_entity, intermediates, &self.host, now, &self.roots);
        *self.seen.lock() = Some(Examined { flaw, expires: end_of(end_entity) });
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn flaw_of(
    certificate: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    host: &str,
    now: UnixTime,
    roots: &RootCertStore,
) -> Option<Flaw> {
    let (Ok(parsed), Ok(name)) = (ParsedCertificate::try_from(certificate), ServerName::try_from(host)) else {
        return Some(Flaw::Unusable);
    };
    let signed = signed_until(&parsed, intermediates, now, roots).err().map(|error| flaw(&error));
    // A certificate for the wrong name stays wrong whoever signs it: it is the first thing to mend.
    let named = verify_server_name(&parsed, &name).err().map(|error| flaw(&error));
    [signed, named].into_iter().flatten().min()
}

/// When the certificate's time is over. Asked of the verifier, which says so when asked about a day far off; it looks at
/// the time before the issuer.
fn end_of(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let far = UnixTime::since_unix_epoch(Duration::from_secs(1 << 40));
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    match signed_until(&parsed, &[], far, &RootCertStore::empty()) {
        Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            Some(Timestamp(not_after.as_secs().saturating_mul(1000)))
        }
        _ => None,
    }
}

fn signed_until(
    certificate: &ParsedCertificate<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
    roots: &RootCertStore,
) -> Result<(), rustls::Error> {
    let algorithms = ring::default_provider().signature_verification_algorithms;
    verify_server_cert_signed_by_trust_anchor(certificate, roots, intermediates, now, algorithms.all)
}

fn flaw(error: &rustls::Error) -> Flaw {
    let rustls::Error::InvalidCertificate(error) = error else { return Flaw::Unusable };
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Flaw::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Flaw::NotYetValid,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Flaw::WrongName,
        CertificateError::UnknownIssuer => Flaw::UnknownIssuer,
        _ => Flaw::Unusable,
    }
}
