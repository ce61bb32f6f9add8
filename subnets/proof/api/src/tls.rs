use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use taonet_http::{ServeLimits, serve_over};
use taonet_primitives::bytes_without_bom;
use taonet_service::{Access, Shutdown, WriteError, atomic_write};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A TLS certificate and its private key, in PEM.
#[derive(Clone)]
pub struct Identity {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// Why the TLS server cannot start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The certificate cannot be generated.
    #[error("cannot generate a certificate: {0}")]
    Generate(#[from] rcgen::Error),
    /// The certificate or key is not valid PEM.
    #[error("cannot parse the certificate or key: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// The certificate and key are unsupported or do not match.
    #[error("cannot use the certificate and key: {0}")]
    Config(#[from] rustls::Error),
}

impl Identity {
    /// Reads the certificate and its private key from PEM files.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        // The PEM parser skips lines before the first section: a byte order mark would hide the
        // first certificate.
        let read = |path: &Path| match std::fs::read(path) {
            Ok(text) => Ok(bytes_without_bom(&text).to_vec()),
            Err(source) => Err(TlsError::File { path: path.to_owned(), source }),
        };
        Ok(Self { certificate: read(certificate)?, key: read(key)? })
    }

    /// Returns the self-signed certificate for localhost that is stored in a directory. The first
    /// call creates it; later calls return the same one, so that clients still trust the server
    /// after a restart.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn self_signed(directory: &Path) -> Result<Self, TlsError> {
        let (certificate, key) =
            (directory.join("api-certificate.pem"), directory.join("api-key.pem"));
        match Self::read(&certificate, &key) {
            Err(TlsError::File { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            read => return read,
        }
        let key_pair = rcgen::KeyPair::generate()?;
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        let signed_certificate = rcgen::CertificateParams::new(names)?.self_signed(&key_pair)?;
        let identity = Self {
            certificate: signed_certificate.pem().into_bytes(),
            key: key_pair.serialize_pem().into_bytes(),
        };
        atomic_write(&key, &identity.key, Access::Owner)?;
        atomic_write(&certificate, &identity.certificate, Access::Everyone)?;
        Ok(identity)
    }

    /// Returns the certificate, in PEM.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let chain =
            CertificateDer::pem_slice_iter(&self.certificate).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)?;
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}

/// Serves HTTP/1.1 over TLS until shutdown, with `limits` for each phase of a connection.
///
/// # Errors
/// When the certificate or key is unusable.
pub async fn serve_tls(
    listener: TcpListener,
    router: Router,
    identity: &Identity,
    limits: ServeLimits,
    shutdown: &Shutdown,
) -> Result<(), TlsError> {
    let acceptor = identity.acceptor()?;
    serve_over(listener, router, shutdown, limits, |stream| acceptor.accept(stream)).await;
    Ok(())
}

#[cfg(test)]
mod tests;
