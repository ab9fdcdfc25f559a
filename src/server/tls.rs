//! TLS from PEM files, with ring.

use std::{path::Path, sync::Arc};

use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring},
};

use super::Error;

/// The protocol name of HTTP/2.
pub(super) const HTTP2: &[u8] = b"h2";

/// An acceptor for the certificate chain and key at these paths.
pub(super) fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, Error> {
    let chain = CertificateDer::pem_file_iter(certificate).map_err(|_| Error::Tls)?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(|_| Error::Tls)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|_| Error::Tls)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| Error::Tls)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|_| Error::Tls)?;
    config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
