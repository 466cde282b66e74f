//! Which certificate does a source's server have to show?
//!
//! One for its name that is valid now, from an authority that the system trusts or that the configuration adds, over TLS 1.2 or 1.3. Nothing turns
//! the check off. Times are the system's.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{AlertDescription, CertificateError, ClientConfig, Error, RootCertStore, crypto};

use super::error::HttpError;
use super::origin::Origin;
use crate::access::file::{self, Unread};
use crate::entry::shown::{in_words, unopened};

/// Longest file of authorities, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The system's authorities, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, and those in `ca_file`, if there is one.
pub fn connector(ca_file: &Path) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if !ca_file.as_os_str().is_empty() {
        add(&mut roots, ca_file).map_err(|why| format!("[feeds] ca_file: {why}"))?;
    }
    if roots.is_empty() {
        return Err("no certificate authorities are installed on this system; [feeds] ca_file can name some".to_owned());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let shown = path.display();
    let (text, _) = file::read(path, FILE_BYTES_MAX).map_err(|why| match why {
        Unread::Io(error) => unopened(&shown.to_string(), &error),
        Unread::NotAFile => format!("{shown} is not a file"),
        Unread::TooLong => format!("{shown} has more than {FILE_BYTES_MAX} bytes"),
    })?;
    let mut number = 0;
    for certificate in CertificateDer::pem_slice_iter(&text) {
        number += 1;
        let bad = |why: String| format!("certificate {number} of {shown} can't be used: {why}");
        let certificate = certificate.map_err(|_| bad("it is incomplete".to_owned()))?;
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    if number == 0 { Err(format!("{shown} holds no certificate in PEM")) } else { Ok(()) }
}

/// Why a handshake failed. A certificate that is refused now is refused a second later, too.
pub fn refused(origin: &Origin, error: &io::Error) -> HttpError {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    let why = match cause {
        Some(Error::InvalidCertificate(bad)) => match bad {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for another name".to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired".to_owned(),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet".to_owned()
            }
            CertificateError::UnknownIssuer => {
                "its certificate is from no authority that is trusted here ([feeds] ca_file adds authorities)".to_owned()
            }
            other => format!("its certificate can't be used: {other}"),
        },
        Some(Error::InvalidMessage(_)) => "it does not speak TLS on this port".to_owned(),
        Some(Error::PeerIncompatible(_) | Error::AlertReceived(AlertDescription::ProtocolVersion)) => {
            "it supports neither TLS 1.2 nor TLS 1.3 with a cipher that is allowed".to_owned()
        }
        // rustls's words name no secret.
        Some(other) => return HttpError::passing(format!("no TLS connection to {origin}: {other}")),
        None => return HttpError::passing(format!("no TLS connection to {origin}: {}", in_words(error))),
    };
    HttpError::lasting(format!("no TLS connection to {origin}: {why}"))
}
