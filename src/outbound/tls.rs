//! TLS towards other machines: certificates are checked against Mozilla's authorities and those the operator adds.

use std::{path::Path, sync::Arc};

use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, crypto::ring},
};

use super::Error;

/// The file with further certification authorities cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("outbound.ca_certificates cannot be read, or holds no certificate")]
pub struct Unreadable;

/// Whom to trust.
#[derive(Clone)]
pub struct Tls(TlsConnector);

impl Tls {
    /// Trusts Mozilla's list, and the certificates in the PEM file at `further`.
    ///
    /// # Errors
    /// When that file holds no certificate, or something that is none.
    pub fn trusting(further: Option<&Path>) -> Result<Self, Unreadable> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(path) = further {
            let before = roots.len();
            for certificate in CertificateDer::pem_file_iter(path).map_err(|_| Unreadable)? {
                roots.add(certificate.map_err(|_| Unreadable)?).map_err(|_| Unreadable)?;
            }
            if roots.len() == before {
                return Err(Unreadable);
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| Unreadable)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Speaks TLS over `stream` with whoever can prove to be `host`.
    pub(super) async fn connect(
        &self,
        host: &url::Host<&str>,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, Error> {
        let name = match host {
            url::Host::Domain(name) => {
                let name = name.strip_suffix('.').unwrap_or(name);
                ServerName::try_from(name.to_owned()).map_err(|_| Error::Address)?
            }
            url::Host::Ipv4(address) => std::net::IpAddr::V4(*address).into(),
            url::Host::Ipv6(address) => std::net::IpAddr::V6(*address).into(),
        };
        self.0.connect(name, stream).await.map_err(|_| Error::Unreachable)
    }
}
