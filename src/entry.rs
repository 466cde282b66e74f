//! The vocabulary: what a hash, an entry, a hash list, a list version and a change are.
//!
//! Distances are Hamming distances in bits, times are milliseconds since the Unix epoch, qualities are PDQ's 0 to 100.
//! Invariant: a value of a type here is well formed (right length, known kind). Nothing here reads, writes, matches or decides.
//! `Debug` of a hash never shows it: a hash cannot reach a log line by accident. [`HashValue::hex`] is the one way out.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A hash that is compared by Hamming distance.
pub trait Bits: Copy + Eq + Ord + std::hash::Hash + Send + Sync + 'static {
    /// Number of bits: no distance is larger.
    const BITS: u16;
    const BYTES: usize;
    fn distance(&self, other: &Self) -> u16;
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

    fn to_bytes(&self) -> impl AsRef<[u8]> {
        let mut out = [0; 32];
        for (chunk, word) in out.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&word.to_be_bytes());
        }
        out
    }

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

    fn to_bytes(&self) -> impl AsRef<[u8]> {
        self.0.to_be_bytes()
    }

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

/// One of the eight symmetries of a square, as PDQ's reference names them: rotations are counter-clockwise, `flipx` swaps
/// top and bottom, `flipy` mirrors, `flipplus1` transposes, `flipminus1` anti-transposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Transform {
    Identity = 0,
    Rot90 = 1,
    Rot180 = 2,
    Rot270 = 3,
    FlipX = 4,
    FlipY = 5,
    FlipPlus1 = 6,
    FlipMinus1 = 7,
}

impl Transform {
    pub const ALL: [Transform; 8] = [
        Transform::Identity,
        Transform::Rot90,
        Transform::Rot180,
        Transform::Rot270,
        Transform::FlipX,
        Transform::FlipY,
        Transform::FlipPlus1,
        Transform::FlipMinus1,
    ];

    pub fn name(self) -> &'static str {
        ["identity", "rot90", "rot180", "rot270", "flipx", "flipy", "flipplus1", "flipminus1"][self as usize]
    }
}

impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Transform {
    type Err = BadValue;
    fn from_str(s: &str) -> Result<Self, BadValue> {
        Self::ALL
            .into_iter()
            .find(|t| t.name() == s)
            .ok_or_else(|| BadValue(format!("unknown transform {s:?}: one of {}", Self::ALL.map(Transform::name).join(", "))))
    }
}

/// A set of transforms, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transforms(pub u8);

impl Transforms {
    pub const ALL: Transforms = Transforms(0xff);
    pub const IDENTITY: Transforms = Transforms(1);

    pub fn contains(self, t: Transform) -> bool {
        self.0 & (1 << t as u8) != 0
    }

    pub fn iter(self) -> impl Iterator<Item = Transform> {
        Transform::ALL.into_iter().filter(move |t| self.contains(*t))
    }
}

impl FromIterator<Transform> for Transforms {
    fn from_iter<I: IntoIterator<Item = Transform>>(iter: I) -> Self {
        Transforms(iter.into_iter().fold(0, |bits, t| bits | 1 << t as u8))
    }
}

/// Why a picture, or a part of it, was not scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A known format whose bytes could not be decoded.
    Undecodable,
    /// Not an image format that is read here.
    Unsupported,
    Empty,
    /// More bytes than `image_bytes_max`.
    TooLarge,
    /// Declares more pixels than the limits admit.
    TooManyPixels,
    /// The deadline passed before the work was done.
    Timeout,
    /// The decoder failed in a way that it should not.
    Crashed,
    /// Turned away unread: the service had no permit left.
    Shed,
    /// PDQ quality below the policy's minimum, and nothing matched.
    LowQuality,
    /// No live list holds a hash of any kind given.
    NoList,
    /// A video; only its digests were matched.
    Video,
}

impl Reason {
    pub const ALL: [Reason; 11] = [
        Reason::Undecodable,
        Reason::Unsupported,
        Reason::Empty,
        Reason::TooLarge,
        Reason::TooManyPixels,
        Reason::Timeout,
        Reason::Crashed,
        Reason::Shed,
        Reason::LowQuality,
        Reason::NoList,
        Reason::Video,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Reason::Undecodable => "undecodable",
            Reason::Unsupported => "unsupported",
            Reason::Empty => "empty",
            Reason::TooLarge => "too_large",
            Reason::TooManyPixels => "too_many_pixels",
            Reason::Timeout => "timeout",
            Reason::Crashed => "crashed",
            Reason::Shed => "shed",
            Reason::LowQuality => "low_quality",
            Reason::NoList => "no_list",
            Reason::Video => "video",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A part of a picture that no hash covers, in words: "frames 17 to 240", "the file ends early".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut(pub String);

/// One perceptual hash as it was seen in a picture, or brought by a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    pub hash: HashValue,
    pub transform: Transform,
    /// Frame number in an animation, from 0; 0 for stills.
    pub frame: u32,
    /// PDQ's quality of the frame, 0 to 100; `None` where the caller did not say.
    pub quality: Option<u8>,
}

/// An entry's number: dense in a store, never reused. It names one immutable content, so an entry whose content changes gets
/// a new number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryNo(pub u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListId(pub u32);

/// A list's version number, from 1 up. 0 is the empty version before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionNo(pub u32);

/// What one list says about one picture: its id there, its category, its hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The list's own name for it: unique in the list, at most [`ENTRY_ID_BYTES_MAX`] bytes.
    pub id: String,
    /// The list's own category, as it stands there; empty where the list gives none.
    pub category: String,
    /// At least one, at most [`ENTRY_HASHES_MAX`], sorted, none twice.
    pub hashes: Vec<HashValue>,
}

pub const ENTRY_ID_BYTES_MAX: usize = 256;
pub const CATEGORY_BYTES_MAX: usize = 64;
pub const ENTRY_HASHES_MAX: usize = 64;
pub const LIST_NAME_BYTES_MAX: usize = 64;

impl Entry {
    /// Sorts the hashes and refuses what the store must never hold.
    pub fn new(id: String, category: String, mut hashes: Vec<HashValue>) -> Result<Self, BadValue> {
        hashes.sort_unstable();
        hashes.dedup();
        if id.is_empty() || id.len() > ENTRY_ID_BYTES_MAX || id.chars().any(char::is_control) {
            return Err(BadValue(format!("an entry id has 1 to {ENTRY_ID_BYTES_MAX} bytes and no control characters")));
        }
        if category.len() > CATEGORY_BYTES_MAX || category.chars().any(char::is_control) {
            return Err(BadValue(format!("a category has at most {CATEGORY_BYTES_MAX} bytes and no control characters")));
        }
        if hashes.is_empty() || hashes.len() > ENTRY_HASHES_MAX {
            return Err(BadValue(format!("an entry has 1 to {ENTRY_HASHES_MAX} hashes, this one has {}", hashes.len())));
        }
        Ok(Entry { id, category, hashes })
    }
}

/// What a platform is asked to do about a candidate, from the mildest to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Action {
    Observe = 1,
    Review = 2,
    Block = 3,
}

impl Action {
    pub const ALL: [Action; 3] = [Action::Observe, Action::Review, Action::Block];

    pub fn name(self) -> &'static str {
        match self {
            Action::Observe => "OBSERVE",
            Action::Review => "REVIEW",
            Action::Block => "BLOCK",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Action {
    type Err = BadValue;
    fn from_str(s: &str) -> Result<Self, BadValue> {
        Self::ALL
            .into_iter()
            .find(|a| a.name().eq_ignore_ascii_case(s))
            .ok_or_else(|| BadValue(format!("unknown action {s:?}: one of OBSERVE, REVIEW, BLOCK")))
    }
}

/// Whether a list's entries are sought, or known to be harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polarity {
    Positive,
    /// A match here moves the matches of other lists to `suppressed`.
    Negative,
}

/// How near counts as a match, and what to do about one, for one kind of hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindPolicy {
    /// Largest distance that matches, in bits; 0 for digests.
    pub radius: u16,
    pub action: Action,
}

/// A list's policy. Every kind has its own radius and action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPolicy {
    pub kinds: BTreeMap<HashKind, KindPolicy>,
    /// Radii that differ for a category of the list.
    pub category_radii: BTreeMap<(String, HashKind), u16>,
    /// PDQ quality below this does not match, 0 to 100.
    pub quality_min: u8,
    /// The query's transforms that may match.
    pub transforms: Transforms,
    /// Of a negative list: the names of the lists whose matches it suppresses; empty means all.
    pub scope: Vec<String>,
}

impl ListPolicy {
    /// PDQ radius 31, quality 50, all transforms, REVIEW; 64-bit kinds radius 4, OBSERVE. A negative list's radii are 0.
    pub fn default_for(polarity: Polarity) -> Self {
        let kinds = HashKind::ALL
            .into_iter()
            .map(|kind| {
                let (radius, action) = match kind {
                    HashKind::Pdq => (31, Action::Review),
                    HashKind::Phash64 | HashKind::Dhash64 => (4, Action::Observe),
                    _ => (0, Action::Review),
                };
                let radius = if polarity == Polarity::Negative { 0 } else { radius };
                (kind, KindPolicy { radius, action })
            })
            .collect();
        ListPolicy { kinds, category_radii: BTreeMap::new(), quality_min: 50, transforms: Transforms::ALL, scope: Vec::new() }
    }

    /// The radius for a kind of hash in a category.
    pub fn radius(&self, category: &str, kind: HashKind) -> u16 {
        let whole = self.kinds.get(&kind).map_or(0, |k| k.radius);
        if self.category_radii.is_empty() {
            return whole;
        }
        self.category_radii.get(&(category.to_owned(), kind)).copied().unwrap_or(whole)
    }

    /// The largest radius of a kind over all categories.
    pub fn radius_widest(&self, kind: HashKind) -> u16 {
        let whole = self.kinds.get(&kind).map_or(0, |k| k.radius);
        self.category_radii.iter().filter(|((_, k), _)| *k == kind).map(|(_, r)| *r).fold(whole, u16::max)
    }
}

/// A hash list as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashList {
    pub id: ListId,
    pub name: String,
    pub polarity: Polarity,
    pub policy: ListPolicy,
    /// The version that look-ups see; 0 until something was activated.
    pub active: VersionNo,
    /// The version that was active before.
    pub previous: VersionNo,
    /// The newest sealed version: a new one is computed against it.
    pub head: VersionNo,
    pub disabled: bool,
}

/// Refuses names that could be mistaken for a path, an option or another name.
pub fn check_list_name(name: &str) -> Result<(), BadValue> {
    let ok = !name.is_empty()
        && name.len() <= LIST_NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if ok {
        return Ok(());
    }
    Err(BadValue(format!(
        "a list name has 1 to {LIST_NAME_BYTES_MAX} letters, digits, '-', '_' or '.', and starts with a letter or a digit"
    )))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionState {
    /// Being written; no look-up sees it.
    Staged,
    /// Whole: it can be activated.
    Sealed,
    /// Given up; its rows are gone.
    Undone,
}

/// One version of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListVersion {
    pub list: ListId,
    pub version: VersionNo,
    pub state: VersionState,
    /// Rows in the version.
    pub rows: u64,
    /// Sum, modulo 2^256, of the SHA-256 of every row: what the version holds, whatever the order.
    pub digest: [u8; 32],
    /// Where it came from, in words: a file's name, "add", "remove".
    pub source: String,
    pub time_ms: u64,
}

/// One row of a version being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowChange {
    /// The entry is in the list from this version on.
    Open { entry: EntryNo, content: Entry },
    /// The row that was opened in version `from` ends before this version.
    Close { entry: EntryNo, from: VersionNo },
}

/// The only thing that can alter a verdict. Numbered and chained when it is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub time_ms: u64,
    /// Who asked for it.
    pub by: String,
    pub op: ChangeOp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeOp {
    CreateList {
        list: ListId,
        name: String,
        polarity: Polarity,
        policy: ListPolicy,
    },
    SetPolicy {
        list: ListId,
        policy: ListPolicy,
    },
    SetDisabled {
        list: ListId,
        disabled: bool,
    },
    /// The list and all its rows go; its number is not used again.
    DeleteList {
        list: ListId,
    },
    /// Opens a version for writing.
    Stage {
        list: ListId,
        version: VersionNo,
        source: String,
    },
    /// At most [`ROWS_MAX`] rows and [`ROWS_BYTES_MAX`] bytes of a staged version.
    Rows {
        list: ListId,
        version: VersionNo,
        rows: Vec<RowChange>,
    },
    Seal {
        list: ListId,
        version: VersionNo,
        rows: u64,
        digest: [u8; 32],
    },
    /// Look-ups see this sealed version from now on.
    Activate {
        list: ListId,
        version: VersionNo,
    },
    /// Gives a staged version up.
    Undo {
        list: ListId,
        version: VersionNo,
    },
    /// A whole small version at once: staged, sealed and active.
    Edit {
        list: ListId,
        version: VersionNo,
        source: String,
        rows: Vec<RowChange>,
        rows_total: u64,
        digest: [u8; 32],
    },
}

pub const ROWS_MAX: usize = 10_000;
pub const ROWS_BYTES_MAX: usize = 512 * 1024;

/// Who calls, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller(pub String);
