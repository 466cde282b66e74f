//! Hashes: the kinds there are, their values, and the distance between two.

use std::fmt;
use std::str::FromStr;

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

    /// The largest radius that means anything; 0 for kinds that have no radius.
    pub fn radius_max(self) -> u16 {
        match self {
            HashKind::Pdq => 256,
            HashKind::Phash64 | HashKind::Dhash64 => 64,
            _ => 0,
        }
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
        match self {
            HashValue::Pdq(h) => h.to_bytes().as_ref().to_vec(),
            HashValue::Phash64(h) | HashValue::Dhash64(h) => h.to_bytes().as_ref().to_vec(),
            HashValue::Md5(b) => b.to_vec(),
            HashValue::Sha1(b) => b.to_vec(),
            HashValue::Sha256(b) => b.to_vec(),
            HashValue::PhotoDna(b) => b.to_vec(),
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
        value.ok_or_else(|| BadValue(format!("a {kind} hash has {} bytes, this one has {}", kind.bytes(), bytes.len())))
    }

    /// Reads hex digits of either case.
    pub fn from_hex(kind: HashKind, hex: &str) -> Result<Self, BadValue> {
        let digits = kind.bytes() * 2;
        let mut buffer = [0u8; 144];
        let bytes = &mut buffer[..kind.bytes()];
        if hex.len() != digits {
            return Err(BadValue(format!(
                "a {kind} hash has {digits} hex digits, this one has {} characters",
                hex.chars().count()
            )));
        }
        hex::decode_to_slice(hex, bytes).map_err(|_| BadValue(format!("a {kind} hash has hex digits only")))?;
        Self::from_bytes(kind, bytes)
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
