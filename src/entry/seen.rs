//! What is seen of a picture, and what is not.

use std::fmt;
use std::str::FromStr;

use super::{BadValue, HashValue, View};

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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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

/// One hash as it was seen in a picture, or brought by a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    pub hash: HashValue,
    pub transform: Transform,
    /// Frame number in an animation, from 0; 0 for stills.
    pub frame: u32,
    /// Hashes with one number were taken of the same pixels: of a frame as it is stored, or as it is laid over white or black.
    pub rendering: u32,
    /// PDQ's quality of what was hashed, 0 to 100; `None` where the caller did not say.
    pub quality: Option<u8>,
    /// What of the picture was hashed.
    pub view: View,
}
