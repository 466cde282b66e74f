//! Hashes on the command line.

use clap::Args;

use super::context::Failure;
use crate::entry::{HashKind, HashValue};

/// Hashes by kind, in hex. Each can be given more than once.
#[derive(Args, Clone)]
pub struct HashArgs {
    /// PDQ, 64 hex digits.
    #[arg(long, value_name = "HEX")]
    pdq: Vec<String>,
    /// 64-bit pHash as `hashwarden hash` prints it, 16 hex digits; other tools' pHashes differ.
    #[arg(long, value_name = "HEX")]
    phash64: Vec<String>,
    /// 64-bit dHash as `hashwarden hash` prints it, 16 hex digits.
    #[arg(long, value_name = "HEX")]
    dhash64: Vec<String>,
    /// MD5 of the file, 32 hex digits.
    #[arg(long, value_name = "HEX")]
    md5: Vec<String>,
    /// SHA-1 of the file, 40 hex digits.
    #[arg(long, value_name = "HEX")]
    sha1: Vec<String>,
    /// SHA-256 of the file, 64 hex digits.
    #[arg(long, value_name = "HEX")]
    sha256: Vec<String>,
}

impl HashArgs {
    /// Read here and not while the arguments are parsed, whose errors repeat what was given: a hash of a list is a secret.
    pub fn values(&self) -> Result<Vec<HashValue>, Failure> {
        let kinds = [
            (HashKind::Pdq, &self.pdq),
            (HashKind::Phash64, &self.phash64),
            (HashKind::Dhash64, &self.dhash64),
            (HashKind::Md5, &self.md5),
            (HashKind::Sha1, &self.sha1),
            (HashKind::Sha256, &self.sha256),
        ];
        let given = kinds.iter().flat_map(|(kind, texts)| texts.iter().map(|text| (*kind, text)));
        given
            .map(|(kind, text)| HashValue::from_hex(kind, text).map_err(|bad| Failure::usage(format!("--{kind}: {}", bad.0))))
            .collect()
    }
}
