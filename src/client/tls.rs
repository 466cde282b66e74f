//! What TLS says and takes on the client's side: endpoints, authorities, the client's own certificate, and failures in words.

use std::net::IpAddr;

use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error as RustlsError};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, Uri};

use super::ClientError;

/// How a server is known, and how the client shows who it is: PEM, as files have it.
#[derive(Clone, Default)]
pub struct Tls {
    /// The authorities that may have issued the server's certificate; without it, those of the system.
    pub ca: Option<Vec<u8>>,
    /// The client's certificate and its key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("ca", &self.ca.is_some()).field("identity", &self.identity.is_some()).finish()
    }
}

impl Tls {
    fn is_given(&self) -> bool {
        self.ca.is_some() || self.identity.is_some()
    }
}

/// Where to connect: `http://` is plain text, `https://` is TLS.
pub fn endpoint(text: &str, tls: &Tls) -> Result<Endpoint, ClientError> {
    let bad = || ClientError::BadEndpoint(text.to_owned());
    let uri: Uri = text.parse().map_err(|_| bad())?;
    let endpoint = Endpoint::from(uri.clone());
    match uri.scheme_str() {
        Some("https") => endpoint.tls_config(config(tls)?).map_err(|error| unusable(&error)),
        Some("http") if tls.is_given() => Err(ClientError::Tls(format!("{text} is plain text: certificates are for https://"))),
        Some("http") => Ok(endpoint),
        _ => Err(bad()),
    }
}

fn unusable(error: &tonic::transport::Error) -> ClientError {
    let cause = super::innermost(error);
    ClientError::Tls(match cause.contains("native certs") {
        true => "the system has no certificates of authorities; --ca FILE names the server's".to_owned(),
        false => format!("the certificates can't be used: {cause}"),
    })
}

/// Whether pictures and hashes would go over a network as plain text.
pub fn is_exposed(endpoint: &str) -> bool {
    let Ok(uri) = endpoint.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
    let local = match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    };
    uri.scheme_str() == Some("http") && !local
}

fn config(tls: &Tls) -> Result<ClientTlsConfig, ClientError> {
    let config = match &tls.ca {
        None => ClientTlsConfig::new().with_native_roots(),
        Some(pem) => {
            check_certificates(pem, "--ca")?;
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))
        }
    };
    let Some((certificate, key)) = &tls.identity else { return Ok(config) };
    check_certificates(certificate, "--cert")?;
    let no_key = |_| ClientError::Tls("the file of --key holds no private key in PEM (without a passphrase)".to_owned());
    PrivateKeyDer::from_pem_slice(key).map_err(no_key)?;
    Ok(config.identity(Identity::from_pem(certificate, key)))
}

fn check_certificates(pem: &[u8], given: &str) -> Result<(), ClientError> {
    match CertificateDer::from_pem_slice(pem) {
        Ok(_) => Ok(()),
        Err(_) => Err(ClientError::Tls(format!("the file of {given} holds no certificate in PEM"))),
    }
}

/// What a failed handshake means, if an error comes from one.
pub fn in_words(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let causes = std::iter::successors(Some(error), |cause| cause.source());
    let found = causes.filter_map(|cause| {
        let within = cause.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref()?.downcast_ref::<RustlsError>());
        within.or_else(|| cause.downcast_ref())
    });
    found.last().map(of_rustls)
}

fn of_rustls(error: &RustlsError) -> String {
    match error {
        RustlsError::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "the server's certificate comes from an authority that is not known; --ca FILE names the authority".to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the server's certificate has expired".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("the server's certificate is for another host ({error})")
            }
            _ => format!("the server's certificate is refused: {error}"),
        },
        RustlsError::AlertReceived(AlertDescription::CertificateRequired) => WANTS_ONE.to_owned(),
        RustlsError::AlertReceived(alert) => of_alert(&format!("{alert:?}")),
        RustlsError::InvalidMessage(_) => "the server does not answer with TLS; is its endpoint http://?".to_owned(),
        other => other.to_string(),
    }
}

const WANTS_ONE: &str = "the server wants a client certificate: --cert FILE and --key FILE name one";

/// What HTTP/2 makes of a server that expects TLS, or another client certificate: it sees bytes that it does not know or, where the server was
/// quicker than the first call, the connection's end alone.
pub fn end_in_words(text: &str) -> Option<String> {
    if text.contains("frame with invalid size") {
        return Some("the server does not speak plain HTTP/2; is its endpoint https://?".to_owned());
    }
    let closed = "it was closed before the call was sent; the server may want https://, or a client certificate that it trusts";
    (text == "connection closed").then(|| closed.to_owned())
}

/// What the text of an alert means that came after the client was done with its handshake: HTTP/2 keeps only the text.
pub fn alert_in_words(text: &str) -> Option<String> {
    let alert = text.split_once("received fatal alert: ")?.1;
    Some(of_alert(alert.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or(alert)))
}

fn of_alert(alert: &str) -> String {
    match alert {
        "CertificateRequired" => WANTS_ONE.to_owned(),
        "CertificateExpired" => "the server refuses the client's certificate: it has expired".to_owned(),
        "UnknownCA" | "UnknownCa" | "DecryptError" => {
            "the server refuses the client's certificate: it comes from an authority that the server does not know".to_owned()
        }
        "BadCertificate" | "UnsupportedCertificate" | "CertificateRevoked" | "CertificateUnknown" => {
            format!("the server refuses the client's certificate ({alert})")
        }
        other => format!("the server ended the TLS handshake ({other})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_exposed_beyond_loopback() {
        for local in ["http://127.0.0.1:1", "http://127.8.9.1:1", "http://[::1]:1", "http://localhost:1", "http://a.localhost:1"]
        {
            assert!(!is_exposed(local), "{local}");
        }
        for exposed in
            ["http://192.0.2.1:1", "http://[2001:db8::1]:1", "http://hashes.example.org:1", "http://localhost.example.org"]
        {
            assert!(is_exposed(exposed), "{exposed}");
        }
        assert!(!is_exposed("https://hashes.example.org:1"));
    }

    #[test]
    fn certificates_and_endpoints_that_do_not_fit_are_told() {
        let check = |text: &str, tls: Tls, expected: &str| {
            let said = endpoint(text, &tls).expect_err(text).to_string();
            assert!(said.contains(expected), "{said}");
        };
        let ca = |text: &str| Tls { ca: Some(text.into()), identity: None };
        check("127.0.0.1:1", Tls::default(), "https://HOST:50051");
        check("ftp://127.0.0.1:1", Tls::default(), "https://HOST:50051");
        check("http://127.0.0.1:1", ca(""), "is plain text");
        check("https://127.0.0.1:1", ca("nothing"), "--ca holds no certificate");
        let made = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        let (pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let identity = |cert: &str, key: &str| Tls { ca: Some(pem.clone().into()), identity: Some((cert.into(), key.into())) };
        check("https://127.0.0.1:1", identity("nothing", &key), "--cert holds no certificate");
        check("https://127.0.0.1:1", identity(&pem, &pem), "--key holds no private key");
        let other = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap().signing_key.serialize_pem();
        check("https://127.0.0.1:1", identity(&pem, &other), "keys may not be consistent");
        assert!(endpoint("https://127.0.0.1:1", &identity(&pem, &key)).is_ok());
        assert!(endpoint("http://127.0.0.1:1", &Tls::default()).is_ok());
    }
}
