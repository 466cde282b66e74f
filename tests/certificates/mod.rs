//! Certificates that tests make: authorities, servers, callers.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};

/// A certificate with its key, in PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Pair {
    /// Writes NAME.pem and NAME.key, and says where.
    pub fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        std::fs::write(&certificate, &self.certificate).unwrap();
        std::fs::write(&key, &self.key).unwrap();
        (certificate, key)
    }
}

/// Issues certificates that are valid from 2000 to 2090 or, for those that have expired, to 2001.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new(name: &str) -> Self {
        Authority::until(name, 2090)
    }

    /// One that is valid until the end of a year.
    pub fn until(name: &str, year: i32) -> Self {
        let mut params = params(name, year);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// For a server at 127.0.0.1 and localhost that is valid until the end of a year.
    pub fn server_until(&self, year: i32) -> Pair {
        self.server_for(&["127.0.0.1", "localhost"], [2000, year])
    }

    /// Valid from the beginning of a year to the end of another.
    pub fn server_for(&self, hosts: &[&str], [from, until]: [i32; 2]) -> Pair {
        let mut params = params("server", until);
        params.not_before = date_time_ymd(from, 1, 1);
        let hosts: Vec<String> = hosts.iter().map(|host| host.to_string()).collect();
        params.subject_alt_names = CertificateParams::new(hosts).unwrap().subject_alt_names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(&params)
    }

    pub fn server(&self) -> Pair {
        self.server_until(2090)
    }

    /// For a caller of this common name.
    pub fn caller(&self, name: &str) -> Pair {
        self.caller_until(name, 2090)
    }

    pub fn caller_until(&self, name: &str, year: i32) -> Pair {
        let mut params = params(name, year);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(&params)
    }

    fn issue(&self, params: &CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        Pair { certificate: params.signed_by(&key, &self.0).unwrap().pem(), key: key.serialize_pem() }
    }
}

fn params(name: &str, until: i32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(until, 12, 31);
    params
}
