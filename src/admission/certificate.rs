//! What a certificate says: whom it names, when it holds, and whether it is an authority's.

use std::time::SystemTime;

use x509_cert::certificate::Version;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, SubjectAltName};
use x509_cert::{Certificate, TbsCertificate};

use crate::access::can_be_certified;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCertificate {
    #[error("it can't be read")]
    Unreadable,
    #[error("it names nobody: it has no URI, no DNS name and no common name")]
    Unnamed,
    #[error("the name in it is too long, or has characters that are not printed")]
    BadName,
    #[error("it is of X.509 version 1, which has no extensions: issue one of version 3")]
    FirstVersion,
    #[error("it expired on {0}")]
    Expired(String),
    #[error("it is not valid before {0}")]
    NotYetValid(String),
    #[error("it is not an authority's: its basic constraints don't say CA:TRUE")]
    NotAnAuthority,
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
    if can_be_certified(&name) { Ok(name) } else { Err(BadCertificate::BadName) }
}

/// Until when a certificate holds that holds now.
pub fn valid_until(der: &[u8], now: SystemTime) -> Result<SystemTime, BadCertificate> {
    let certificate = read(der)?;
    valid(certificate.tbs_certificate(), now)
}

/// Whether a certificate holds now and is an authority's.
pub fn check_authority(der: &[u8], now: SystemTime) -> Result<(), BadCertificate> {
    let certificate = read(der)?;
    let certificate = certificate.tbs_certificate();
    valid(certificate, now)?;
    let constraints = certificate.get_extension::<BasicConstraints>().map_err(|_| BadCertificate::Unreadable)?;
    match constraints {
        Some((_, BasicConstraints { ca: true, .. })) => Ok(()),
        _ => Err(BadCertificate::NotAnAuthority),
    }
}

fn valid(certificate: &TbsCertificate, now: SystemTime) -> Result<SystemTime, BadCertificate> {
    if certificate.version() == Version::V1 {
        return Err(BadCertificate::FirstVersion);
    }
    let validity = certificate.validity();
    let (from, until) = (validity.not_before.to_system_time(), validity.not_after.to_system_time());
    let told = |at| humantime::format_rfc3339_seconds(at).to_string();
    match now {
        now if until <= now => Err(BadCertificate::Expired(told(until))),
        now if now < from => Err(BadCertificate::NotYetValid(told(from))),
        _ => Ok(until),
    }
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
            assert_eq!(name(certificate.der()), expected.clone().map(str::to_owned), "{common:?} {alternatives:?}");
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
    fn a_certificate_says_when_it_holds_and_whether_it_is_an_authoritys() {
        let made = |is_ca: rcgen::IsCa| {
            let mut params = CertificateParams::default();
            (params.not_before, params.not_after) = (rcgen::date_time_ymd(2030, 2, 3), rcgen::date_time_ymd(2031, 2, 3));
            params.is_ca = is_ca;
            params.self_signed(&KeyPair::generate().unwrap()).unwrap()
        };
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let (from, until) = (1_896_307_200, 1_927_843_200);
        let leaf = made(rcgen::IsCa::ExplicitNoCa);
        let check = |now: u64| valid_until(leaf.der(), at(now));
        assert_eq!(check(from - 1), Err(BadCertificate::NotYetValid("2030-02-03T00:00:00Z".to_owned())));
        assert_eq!((check(from), check(until - 1)), (Ok(at(until)), Ok(at(until))));
        assert_eq!(check(until), Err(BadCertificate::Expired("2031-02-03T00:00:00Z".to_owned())));
        let authority = made(rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained));
        let unsaid = made(rcgen::IsCa::NoCa);
        for (certificate, expected) in
            [(&authority, Ok(())), (&leaf, Err(BadCertificate::NotAnAuthority)), (&unsaid, Err(BadCertificate::NotAnAuthority))]
        {
            assert_eq!(check_authority(certificate.der(), at(from)), expected);
        }
        assert!(matches!(check_authority(authority.der(), at(until)), Err(BadCertificate::Expired(_))));
    }
}
