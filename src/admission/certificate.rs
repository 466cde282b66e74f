//! What a certificate says: whom it names, and until when it holds.

use std::time::SystemTime;

use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Longest name of a caller, in bytes: twice what a DNS name may have, for SPIFFE ids.
const NAME_BYTES_MAX: usize = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCertificate {
    #[error("it can't be read")]
    Unreadable,
    #[error("it names nobody: it has no URI, no DNS name and no common name")]
    Unnamed,
    #[error("the name in it is too long, or has characters that are not printed")]
    BadName,
}

fn read(der: &[u8]) -> Result<Certificate, BadCertificate> {
    Certificate::from_der(der).map_err(|_| BadCertificate::Unreadable)
}

/// Whom a certificate names: by its first URI, such as a SPIFFE id, else its first DNS name, else the subject's common name: the order of
/// other proxies and services that have to choose one name.
pub fn name(der: &[u8]) -> Result<String, BadCertificate> {
    let certificate = read(der)?;
    let certificate = certificate.tbs_certificate();
    let alternatives = certificate.get_extension::<SubjectAltName>().map_err(|_| BadCertificate::Unreadable)?;
    let alternatives = alternatives.map(|(_, SubjectAltName(names))| names).unwrap_or_default();
    let uri =
        |name: &GeneralName| if let GeneralName::UniformResourceIdentifier(uri) = name { Some(uri.to_string()) } else { None };
    let dns = |name: &GeneralName| if let GeneralName::DnsName(dns) = name { Some(dns.to_string()) } else { None };
    let common = || certificate.subject().common_name().ok().flatten().map(|name| name.value().into_owned());
    let name = alternatives.iter().find_map(uri).or_else(|| alternatives.iter().find_map(dns)).or_else(common);
    let name = name.ok_or(BadCertificate::Unnamed)?;
    match name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        true => Err(BadCertificate::BadName),
        false => Ok(name),
    }
}

/// When a certificate is valid no more.
pub fn expiry(der: &[u8]) -> Result<SystemTime, BadCertificate> {
    Ok(read(der)?.tbs_certificate().validity().not_after.to_system_time())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType};

    #[test]
    fn a_certificate_names_one_caller() {
        let check = |common: Option<&str>, alternatives: &[SanType], expected: Result<&str, BadCertificate>| {
            let mut params = CertificateParams::default();
            params.distinguished_name = rcgen::DistinguishedName::new();
            if let Some(common) = common {
                params.distinguished_name.push(DnType::CommonName, DnValue::Utf8String(common.to_owned()));
            }
            params.subject_alt_names = alternatives.to_vec();
            let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            assert_eq!(name(certificate.der()), expected.map(str::to_owned), "{common:?} {alternatives:?}");
        };
        let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
        let uri = SanType::URI("spiffe://example.org/scanner".try_into().unwrap());
        let address = SanType::IpAddress([127, 0, 0, 1].into());
        check(Some("scanner 7"), &[], Ok("scanner 7"));
        check(Some("scanner 7"), &[dns("a.example.org"), dns("b.example.org")], Ok("a.example.org"));
        check(None, &[dns("a.example.org"), uri], Ok("spiffe://example.org/scanner"));
        check(Some("scanner 7"), std::slice::from_ref(&address), Ok("scanner 7"));
        check(None, &[address], Err(BadCertificate::Unnamed));
        check(None, &[], Err(BadCertificate::Unnamed));
        check(Some("two\nlines"), &[], Err(BadCertificate::BadName));
        check(Some(&"n".repeat(600)), &[], Err(BadCertificate::BadName));
        assert_eq!(name(b"no certificate"), Err(BadCertificate::Unreadable));
    }

    #[test]
    fn a_certificate_says_when_it_ends() {
        let mut params = CertificateParams::default();
        params.not_after = rcgen::date_time_ymd(2031, 2, 3);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let expected = Duration::from_secs(1_927_843_200);
        assert_eq!(expiry(certificate.der()), Ok(SystemTime::UNIX_EPOCH + expected));
    }
}
