//! What are the MD5, SHA-1 and SHA-256 of these bytes?
//!
//! They are taken of the raw file, before any decoding, so that a file that cannot be decoded can still match exactly.

use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;

use crate::entry::HashValue;

/// The three digests of one file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    pub md5: [u8; 16],
    pub sha1: [u8; 20],
    pub sha256: [u8; 32],
}

impl Digests {
    pub fn of(bytes: &[u8]) -> Self {
        Digests { md5: Md5::digest(bytes).into(), sha1: Sha1::digest(bytes).into(), sha256: Sha256::digest(bytes).into() }
    }

    /// Of everything a reader gives, a piece at a time: for files too large to hold.
    pub fn of_reader(mut from: impl std::io::Read) -> std::io::Result<Self> {
        let (mut md5, mut sha1, mut sha256) = (Md5::new(), Sha1::new(), Sha256::new());
        let mut piece = vec![0; 256 * 1024];
        loop {
            match from.read(&mut piece) {
                Ok(0) => break,
                Ok(n) => {
                    md5.update(&piece[..n]);
                    sha1.update(&piece[..n]);
                    sha256.update(&piece[..n]);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Digests { md5: md5.finalize().into(), sha1: sha1.finalize().into(), sha256: sha256.finalize().into() })
    }

    /// MD5, SHA-1, SHA-256, in this order.
    pub fn values(&self) -> [HashValue; 3] {
        [HashValue::Md5(self.md5), HashValue::Sha1(self.sha1), HashValue::Sha256(self.sha256)]
    }
}

/// Shows no digest: one cannot reach a log line by accident.
impl std::fmt::Debug for Digests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digests(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: [&str; 3]) {
        assert_eq!(Digests::of(bytes).values().map(|v| v.hex()), expected.map(str::to_owned));
    }

    /// The test vectors of RFC 1321, FIPS 180-1 and FIPS 180-2.
    #[test]
    fn digests_equal_the_published_test_vectors() {
        check(
            b"",
            [
                "d41d8cd98f00b204e9800998ecf8427e",
                "da39a3ee5e6b4b0d3255bfef95601890afd80709",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ],
        );
        check(
            b"abc",
            [
                "900150983cd24fb0d6963f7d28e17f72",
                "a9993e364706816aba3e25717850c26c9cd0d89d",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ],
        );
    }

    #[test]
    fn debug_shows_no_digest() {
        assert_eq!(format!("{:?}", Digests::of(b"abc")), "Digests(..)");
    }
}
