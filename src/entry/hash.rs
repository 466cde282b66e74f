//! Hashes: the kinds there are, their values, and the distance between two.

use std::fmt;
use std::str::FromStr;

use super::shown::counted;

/// A hash that is compared by Hamming distance.
pub trait Bits: Copy + Eq + Ord + std::hash::Hash + Send + Sync + 'static {
    /// Number of bits: no distance is larger.
    const BITS: u16;
    const BYTES: usize;
    fn distance(&self, other: &Self) -> u16;
    /// As 64-bit words, the first 16 hex digits in the first one; 0 where there are no more.
    fn words(&self) -> [u64; 4];
    /// The big-endian bytes, in the order of the hash's hex digits.
    fn to_bytes(&self) -> impl AsRef<[u8]>;
    /// `None` unless `bytes` has exactly [`Bits::BYTES`] bytes.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

/// A 256-bit PDQ hash. Word 0 holds the first 16 of the 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pdq(pub [u64; 4]);

/// A 64-bit perceptual hash (pHash or dHash).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash64(pub u64);

impl Bits for Pdq {
    const BITS: u16 = 256;
    const BYTES: usize = 32;

    #[inline]
    fn distance(&self, other: &Self) -> u16 {
        let (a, b) = (&self.0, &other.0);
        ((a[0] ^ b[0]).count_ones() + (a[1] ^ b[1]).count_ones() + (a[2] ^ b[2]).count_ones() + (a[3] ^ b[3]).count_ones()) as u16
    }

    #[inline]
    fn words(&self) -> [u64; 4] {
        self.0
    }

    #[inline]
    fn to_bytes(&self) -> impl AsRef<[u8]> {
        let mut out = [0; 32];
        for (chunk, word) in out.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&word.to_be_bytes());
        }
        out
    }

    #[inline]
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 32] = bytes.try_into().ok()?;
        let mut words = [0; 4];
        for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_be_bytes(*chunk);
        }
        Some(Pdq(words))
    }
}

impl Bits for Hash64 {
    const BITS: u16 = 64;
    const BYTES: usize = 8;

    #[inline]
    fn distance(&self, other: &Self) -> u16 {
        (self.0 ^ other.0).count_ones() as u16
    }

    #[inline]
    fn words(&self) -> [u64; 4] {
        [self.0, 0, 0, 0]
    }

    #[inline]
    fn to_bytes(&self) -> impl AsRef<[u8]> {
        self.0.to_be_bytes()
    }

    #[inline]
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|b| Hash64(u64::from_be_bytes(b)))
    }
}

impl fmt::Debug for Pdq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pdq(..)")
    }
}

impl fmt::Debug for Hash64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash64(..)")
    }
}

/// The kinds of hash a list can hold. The numbers are part of the store's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum HashKind {
    Pdq = 1,
    Phash64 = 2,
    Dhash64 = 3,
    Md5 = 4,
    Sha1 = 5,
    Sha256 = 6,
    /// Kept with its entry, never computed and not yet searched.
    PhotoDna = 7,
}

impl HashKind {
    pub const ALL: [HashKind; 7] = [
        HashKind::Pdq,
        HashKind::Phash64,
        HashKind::Dhash64,
        HashKind::Md5,
        HashKind::Sha1,
        HashKind::Sha256,
        HashKind::PhotoDna,
    ];

    pub fn name(self) -> &'static str {
        match self {
            HashKind::Pdq => "pdq",
            HashKind::Phash64 => "phash64",
            HashKind::Dhash64 => "dhash64",
            HashKind::Md5 => "md5",
            HashKind::Sha1 => "sha1",
            HashKind::Sha256 => "sha256",
            HashKind::PhotoDna => "photodna",
        }
    }

    /// As a sentence names one.
    fn with_article(self) -> &'static str {
        match self {
            HashKind::Pdq => "a PDQ hash",
            HashKind::Phash64 => "a phash64",
            HashKind::Dhash64 => "a dhash64",
            HashKind::Md5 => "an MD5",
            HashKind::Sha1 => "a SHA-1",
            HashKind::Sha256 => "a SHA-256",
            HashKind::PhotoDna => "a PhotoDNA hash",
        }
    }

    pub fn bytes(self) -> usize {
        match self {
            HashKind::Pdq | HashKind::Sha256 => 32,
            HashKind::Phash64 | HashKind::Dhash64 => 8,
            HashKind::Md5 => 16,
            HashKind::Sha1 => 20,
            HashKind::PhotoDna => 144,
        }
    }

    /// Digests match exactly or not at all.
    pub fn is_digest(self) -> bool {
        matches!(self, HashKind::Md5 | HashKind::Sha1 | HashKind::Sha256)
    }

    /// The largest distance there is; 0 for kinds that have no radius.
    pub fn radius_max(self) -> u16 {
        match self {
            HashKind::Pdq => 256,
            HashKind::Phash64 | HashKind::Dhash64 => 64,
            _ => 0,
        }
    }

    /// The largest radius that a policy may set. Hashes of unrelated pictures lie 128 +- 8 bits apart (PDQ), or 32 +- 4: at four standard
    /// deviations less, one in 30,000 would match. The widest radius of all lists is that of every look-up, so one list's slows all.
    pub fn policy_radius_max(self) -> u16 {
        match self {
            HashKind::Pdq => 96,
            HashKind::Phash64 | HashKind::Dhash64 => 16,
            _ => 0,
        }
    }

    /// The largest radius at which a look-up is still quick and a match still likely to be one.
    pub fn policy_radius_usual_max(self) -> u16 {
        match self {
            HashKind::Pdq => 47,
            HashKind::Phash64 | HashKind::Dhash64 => 8,
            _ => 0,
        }
    }

    /// Refuses a radius that a policy can't have, in words.
    pub fn check_policy_radius(self, radius: u16) -> Result<(), BadValue> {
        let most = self.policy_radius_max();
        if radius <= most {
            return Ok(());
        }
        Err(BadValue(match self {
            HashKind::PhotoDna => "photodna hashes are not searched, so they have no radius".to_owned(),
            kind if kind.is_digest() => format!("{kind} hashes match exactly, so they have no radius"),
            kind => format!(
                "the radius for {kind} must be 0 to {most} bits: hashes of unrelated pictures lie some {} bits apart",
                kind.radius_max() / 2
            ),
        }))
    }

    pub fn from_u8(n: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|k| *k as u8 == n)
    }
}

impl fmt::Display for HashKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for HashKind {
    type Err = BadValue;
    fn from_str(s: &str) -> Result<Self, BadValue> {
        Self::ALL.into_iter().find(|k| k.name().eq_ignore_ascii_case(s)).ok_or_else(|| {
            BadValue(format!("unknown hash kind {s:?}: one of pdq, phash64, dhash64, md5, sha1, sha256, photodna"))
        })
    }
}

/// Why a value was refused, in words that name what was wrong and never repeat a hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadValue(pub String);

/// The digests of no bytes.
const EMPTY_MD5: [u8; 16] = *b"\xd4\x1d\x8c\xd9\x8f\x00\xb2\x04\xe9\x80\x09\x98\xec\xf8\x42\x7e";
const EMPTY_SHA1: [u8; 20] = *b"\xda\x39\xa3\xee\x5e\x6b\x4b\x0d\x32\x55\xbf\xef\x95\x60\x18\x90\xaf\xd8\x07\x09";
const EMPTY_SHA256: [u8; 32] =
    *b"\xe3\xb0\xc4\x42\x98\xfc\x1c\x14\x9a\xfb\xf4\xc8\x99\x6f\xb9\x24\x27\xae\x41\xe4\x64\x9b\x93\x4c\xa4\x95\x99\x1b\x78\x52\xb8\x55";

/// One hash of some kind.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashValue {
    Pdq(Pdq),
    Phash64(Hash64),
    Dhash64(Hash64),
    Md5([u8; 16]),
    Sha1([u8; 20]),
    Sha256([u8; 32]),
    PhotoDna(Box<[u8; 144]>),
}

impl HashValue {
    pub fn kind(&self) -> HashKind {
        match self {
            HashValue::Pdq(_) => HashKind::Pdq,
            HashValue::Phash64(_) => HashKind::Phash64,
            HashValue::Dhash64(_) => HashKind::Dhash64,
            HashValue::Md5(_) => HashKind::Md5,
            HashValue::Sha1(_) => HashKind::Sha1,
            HashValue::Sha256(_) => HashKind::Sha256,
            HashValue::PhotoDna(_) => HashKind::PhotoDna,
        }
    }

    pub fn to_vec(&self) -> Vec<u8> {
        self.with_bytes(<[u8]>::to_vec)
    }

    /// The same without an allocation, for what is done millions of times.
    pub fn with_bytes<T>(&self, then: impl FnOnce(&[u8]) -> T) -> T {
        match self {
            HashValue::Pdq(h) => then(h.to_bytes().as_ref()),
            HashValue::Phash64(h) | HashValue::Dhash64(h) => then(h.to_bytes().as_ref()),
            HashValue::Md5(b) => then(b),
            HashValue::Sha1(b) => then(b),
            HashValue::Sha256(b) => then(b),
            HashValue::PhotoDna(b) => then(b.as_ref()),
        }
    }

    pub fn from_bytes(kind: HashKind, bytes: &[u8]) -> Result<Self, BadValue> {
        let value = match kind {
            HashKind::Pdq => Pdq::from_bytes(bytes).map(HashValue::Pdq),
            HashKind::Phash64 => Hash64::from_bytes(bytes).map(HashValue::Phash64),
            HashKind::Dhash64 => Hash64::from_bytes(bytes).map(HashValue::Dhash64),
            HashKind::Md5 => bytes.try_into().ok().map(HashValue::Md5),
            HashKind::Sha1 => bytes.try_into().ok().map(HashValue::Sha1),
            HashKind::Sha256 => bytes.try_into().ok().map(HashValue::Sha256),
            HashKind::PhotoDna => bytes.try_into().ok().map(|b| HashValue::PhotoDna(Box::new(b))),
        };
        value.ok_or_else(|| BadValue(format!("{} has {} bytes; this one has {}", kind.with_article(), kind.bytes(), bytes.len())))
    }

    /// Reads hex digits of either case.
    pub fn from_hex(kind: HashKind, hex: &str) -> Result<Self, BadValue> {
        let mut buffer = [0u8; 144];
        let bytes = &mut buffer[..kind.bytes()];
        // The length first: the decoder would pass over a 0x.
        if hex.len() != bytes.len() * 2 || const_hex::decode_to_slice(hex, bytes).is_err() {
            // Not by the length first, which misleads where a stray character is counted with the digits.
            let digits = hex.bytes().all(|b| b.is_ascii_hexdigit());
            let what = if digits {
                counted(hex.len() as u64, "digit", "digits")
            } else {
                "characters that are not hex digits".to_owned()
            };
            return Err(BadValue(format!("{} has {} hex digits; this one has {what}", kind.with_article(), kind.bytes() * 2)));
        }
        Self::from_bytes(kind, bytes)
    }

    /// Refuses what stands where a hash is missing: all zeros, or the digest of an empty file. In a list either would match whatever else
    /// lacks its hash.
    pub fn check_real(&self) -> Result<(), BadValue> {
        let (zero, empty) = match self {
            HashValue::Pdq(hash) => (hash.0 == [0; 4], false),
            HashValue::Phash64(hash) | HashValue::Dhash64(hash) => (hash.0 == 0, false),
            HashValue::Md5(digest) => (*digest == [0; 16], *digest == EMPTY_MD5),
            HashValue::Sha1(digest) => (*digest == [0; 20], *digest == EMPTY_SHA1),
            HashValue::Sha256(digest) => (*digest == [0; 32], *digest == EMPTY_SHA256),
            HashValue::PhotoDna(hash) => (**hash == [0; 144], false),
        };
        if zero {
            return Err(BadValue(format!("this {} is all zeros: a placeholder, not a hash", self.kind())));
        }
        if empty {
            return Err(BadValue(format!("this is the {} of an empty file", self.kind())));
        }
        Ok(())
    }

    pub fn hex(&self) -> String {
        hex::encode(self.to_vec())
    }
}

impl fmt::Debug for HashValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(..)", self.kind())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_a_missing_hash_is_refused() {
        let check = |kind: HashKind, hex: &str, words: &str| {
            let refused = HashValue::from_hex(kind, hex).unwrap().check_real().map_err(|bad| bad.0);
            assert_eq!(refused, if words.is_empty() { Ok(()) } else { Err(words.to_owned()) }, "{kind} {hex}");
        };
        for kind in HashKind::ALL {
            check(kind, &"0".repeat(kind.bytes() * 2), &format!("this {kind} is all zeros: a placeholder, not a hash"));
            check(kind, &format!("{}1", "0".repeat(kind.bytes() * 2 - 1)), "");
        }
        // As `md5sum`, `sha1sum` and `sha256sum` say of /dev/null.
        check(HashKind::Md5, "d41d8cd98f00b204e9800998ecf8427e", "this is the md5 of an empty file");
        check(HashKind::Sha1, "da39a3ee5e6b4b0d3255bfef95601890afd80709", "this is the sha1 of an empty file");
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        check(HashKind::Sha256, empty, "this is the sha256 of an empty file");
        check(HashKind::Pdq, empty, "");
    }

    #[test]
    fn a_malformed_hash_is_told_by_its_characters_then_by_their_number() {
        let check = |hex: &str, words: &str| {
            let said = HashValue::from_hex(HashKind::Md5, hex).unwrap_err().0;
            assert_eq!(said, format!("an MD5 has 32 hex digits; this one has {words}"));
        };
        const OTHERS: &str = "characters that are not hex digits";
        check(&"g".repeat(32), OTHERS);
        check(&format!("{}O", "0".repeat(31)), OTHERS);
        check(&format!("{} ", "0".repeat(32)), OTHERS);
        check(&"é".repeat(16), OTHERS);
        check("z", OTHERS);
        check("", "0 digits");
        check("a", "1 digit");
        check(&"0".repeat(31), "31 digits");
        check(&"0".repeat(64), "64 digits");
    }

    #[test]
    fn a_radius_that_tells_nothing_apart_is_refused() {
        let check = |kind: HashKind, radius: u16, words: &str| {
            let said = kind.check_policy_radius(radius).err().map_or(String::new(), |bad| bad.0);
            assert_eq!((said.is_empty(), said.contains(words)), (words.is_empty(), true), "{said}");
        };
        check(HashKind::Pdq, 96, "");
        check(HashKind::Pdq, 97, "the radius for pdq must be 0 to 96 bits: hashes of unrelated pictures lie some 128");
        check(HashKind::Phash64, 16, "");
        check(HashKind::Dhash64, 17, "0 to 16 bits");
        check(HashKind::Md5, 0, "");
        check(HashKind::Md5, 1, "md5 hashes match exactly, so they have no radius");
        check(HashKind::PhotoDna, 1, "not searched");
    }
}
