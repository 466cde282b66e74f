//! Which perceptual hashes are seen in this file?
//!
//! Decodes and hashes, frame by frame. Deadlines are instants of a clock that is handed in, qualities PDQ's 0 to 100.
//! Invariant: whatever no hash covers is named, in `left_out` or as the reason why nothing was scanned. Absent: digests, which
//! the caller takes of the raw bytes first, so that a file that kills its extractor can still match exactly.

mod planes;
mod work;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Instant;

use crate::decode::{self, Limits, LumaPlane, Picture, Taken};
use crate::entry::{HashValue, LeftOut, Observation, Reason, Transform, View};
use crate::hash::{hash64, pdq};
use crate::views::{Plane, Reducer};
use planes::Planes;
pub use planes::{LOOKS_MAX, PLANES_BYTES_MAX, PLANES_MAX};

/// The hashes that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wants {
    pub pdq: bool,
    pub phash64: bool,
    pub dhash64: bool,
    /// PDQ of the seven rotations and mirrorings too.
    pub transforms: bool,
    /// Planes that views can be made of.
    pub views: bool,
}

impl Wants {
    /// All hashes of the whole.
    pub const ALL: Wants = Wants { pdq: true, phash64: true, dhash64: true, transforms: true, views: false };

    /// Whether any hash is.
    pub fn hashes(&self) -> bool {
        self.pdq || self.phash64 || self.dhash64
    }
}

/// What was seen in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// Look by look, in each PDQ from `Transform::Identity` on, then the 64-bit hashes. A frame with transparency is looked at up to three
    /// times: its colours as stored, then laid over white, then over black. A look whose hashes are all those of an earlier one is not repeated. Every observation
    /// carries its look's PDQ quality.
    pub seen: Vec<Observation>,
    pub left_out: Vec<LeftOut>,
    /// What views are made of, if they are wanted: the renderings of a still, or of the first, the middle and the last frame.
    pub planes: Vec<Plane>,
}

/// Why nothing was seen in a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Unscanned {
    pub reason: Reason,
    /// What, and where; never a byte of the picture.
    pub detail: String,
}

/// Bytes to features, here or in a process of its own.
pub trait Extractor: Send + Sync {
    fn extract(&self, bytes: &[u8], wants: &Wants, until: Instant) -> Result<Features, Unscanned>;

    /// How much work the file declares, in pixels: see `work`. Nothing is decoded for it.
    fn work(&self, bytes: &[u8]) -> u64 {
        bytes.len() as u64
    }
}

/// The extractor that works where it is called.
///
/// The deadline is looked at before decoding, as decoders read their bytes, before every frame is hashed and between its renderings.
pub struct InProcess {
    limits: Limits,
    now: fn() -> Instant,
}

impl InProcess {
    pub fn new(limits: Limits, now: fn() -> Instant) -> Self {
        InProcess { limits, now }
    }
}

const DEADLINE: &str = "the deadline passed";

impl Extractor for InProcess {
    fn work(&self, bytes: &[u8]) -> u64 {
        work::work(bytes, &self.limits)
    }

    fn extract(&self, bytes: &[u8], wants: &Wants, until: Instant) -> Result<Features, Unscanned> {
        let late = || (self.now)() > until;
        let timeout = || Unscanned { reason: Reason::Timeout, detail: DEADLINE.to_owned() };
        if late() {
            return Err(timeout());
        }
        let (mut seen, mut planes) = (Seen::default(), Planes::default());
        let mut each = |frame: u32, picture: &Picture| -> Taken {
            let mut of_frame = Vec::new();
            for rendering in picture.renderings() {
                if late() {
                    return ControlFlow::Break(DEADLINE);
                }
                let luma = picture.luma(*rendering);
                if wants.views {
                    let (plane64, reducer) = reduced(&luma);
                    let rendering = seen.add(frame, &plane64, wants);
                    of_frame.push((rendering, reducer.finish(frame, rendering)));
                } else {
                    seen.add(frame, &pdq::plane64(&luma), wants);
                }
            }
            planes.push(of_frame);
            seen.frames += 1;
            ControlFlow::Continue(())
        };
        let left_out = decode::frames(bytes, &self.limits, &late, &mut each)
            .map_err(|refused| Unscanned { reason: refused.reason, detail: refused.detail })?;
        if seen.frames == 0 && seen.observations.is_empty() {
            return Err(timeout());
        }
        Ok(Features { seen: seen.observations, left_out, planes: planes.finish() })
    }
}

/// The same pass over the pixels gives both.
fn reduced(luma: &LumaPlane<'_>) -> (pdq::Luma64, Reducer) {
    let mut reducer = Reducer::new(luma.width(), luma.height());
    let plane64 = pdq::plane64_and_rows(luma, |row| reducer.row(row));
    (plane64, reducer)
}

/// Collects observations, each rendering once.
#[derive(Default)]
struct Seen {
    observations: Vec<Observation>,
    /// A look's number and where its observations begin, by its hashes.
    renderings: HashMap<Vec<(Transform, HashValue)>, (u32, usize)>,
    frames: u32,
}

impl Seen {
    /// The number of the look.
    fn add(&mut self, frame: u32, plane: &pdq::Luma64, wants: &Wants) -> u32 {
        let mut hashes = Vec::with_capacity(10);
        match (wants.pdq, wants.transforms) {
            (true, true) => {
                hashes.extend(Transform::ALL.into_iter().zip(pdq::hashes(plane).map(HashValue::Pdq)));
            }
            (true, false) => hashes.push((Transform::Identity, HashValue::Pdq(pdq::hash(plane)))),
            (false, _) => {}
        }
        if wants.phash64 {
            hashes.push((Transform::Identity, HashValue::Phash64(hash64::phash64(plane))));
        }
        if wants.dhash64 {
            hashes.push((Transform::Identity, HashValue::Dhash64(hash64::dhash64(plane))));
        }
        let quality = Some(pdq::quality(plane));
        if let Some((rendering, begin)) = self.renderings.get(&hashes) {
            // Of two renderings with the same hashes the better one counts: a low quality must not hide a match.
            for known in &mut self.observations[*begin..][..hashes.len()] {
                if known.quality < quality {
                    (known.quality, known.frame) = (quality, frame);
                }
            }
            return *rendering;
        }
        let rendering = self.renderings.len() as u32;
        self.renderings.insert(hashes.clone(), (rendering, self.observations.len()));
        let observe = |(transform, hash)| Observation { hash, transform, frame, rendering, quality, view: View::WHOLE };
        self.observations.extend(hashes.into_iter().map(observe));
        rendering
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::drawn;
    use crate::entry::{Bits, HashKind};
    use image::codecs::png::PngEncoder;
    use image::{ExtendedColorType, ImageEncoder};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    fn png(picture: &Picture, color: ExtendedColorType) -> Vec<u8> {
        let mut out = Vec::new();
        PngEncoder::new(&mut out).write_image(picture.samples(), picture.width(), picture.height(), color).unwrap();
        out
    }

    fn extract(bytes: &[u8], wants: Wants) -> Result<Features, Unscanned> {
        let far = Instant::now() + Duration::from_secs(3600);
        InProcess::new(Limits::default(), Instant::now).extract(bytes, &wants, far)
    }

    #[test]
    fn what_is_asked_for_is_seen_and_identity_comes_first() {
        let bytes = png(&drawn::clouds(90, 60, 1, 0), ExtendedColorType::Rgb8);
        let check = |wants: Wants, expected: &[(HashKind, usize)]| {
            let features = extract(&bytes, wants).unwrap();
            let count = |kind| features.seen.iter().filter(|o| o.hash.kind() == kind).count();
            assert_eq!(features.seen.len(), expected.iter().map(|(_, n)| n).sum::<usize>());
            assert!(expected.iter().all(|(kind, n)| count(*kind) == *n), "{expected:?}");
            assert_eq!(features.seen[0].transform, Transform::Identity);
            assert!(features.seen.iter().all(|o| o.frame == 0 && o.quality == Some(100)));
        };
        check(Wants::ALL, &[(HashKind::Pdq, 8), (HashKind::Phash64, 1), (HashKind::Dhash64, 1)]);
        check(Wants { pdq: true, phash64: false, dhash64: false, transforms: false, ..Wants::ALL }, &[(HashKind::Pdq, 1)]);
        check(Wants { pdq: false, phash64: true, dhash64: false, transforms: true, ..Wants::ALL }, &[(HashKind::Phash64, 1)]);
        check(Wants { pdq: false, phash64: false, dhash64: true, transforms: false, ..Wants::ALL }, &[(HashKind::Dhash64, 1)]);
    }

    /// A picture drawn in alpha alone is black to a tool that drops alpha, and there to see on any white page.
    #[test]
    fn a_picture_hidden_in_alpha_is_seen_over_white() {
        let plain = drawn::grey_clouds(90, 60, 2);
        let hidden = plain.samples().iter().flat_map(|v| [0, 255 - v]).collect();
        let hidden = Picture::new(90, 60, decode::Channels::GreyAlpha, hidden).unwrap();
        let wants = Wants { pdq: true, phash64: false, dhash64: false, transforms: false, ..Wants::ALL };
        let open = extract(&png(&plain, ExtendedColorType::L8), wants).unwrap();
        let seen = extract(&png(&hidden, ExtendedColorType::La8), wants).unwrap().seen;
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].quality, Some(0));
        assert_eq!(seen[1], Observation { rendering: 1, ..open.seen[0].clone() });
    }

    /// Of grey and alpha any two pictures can be mixed, one to be seen over white and one over black, where neither is what is stored.
    #[test]
    fn a_picture_that_shows_over_black_alone_is_seen() {
        let (light, dark) = (drawn::grey_clouds(90, 60, 2), drawn::grey_clouds(90, 60, 3));
        // White shows 127 more to 255, black up to 127: alpha is what they differ by, and the value what black shows through it.
        let mixed = light.samples().iter().zip(dark.samples()).flat_map(|(light, dark)| {
            let (over_white, over_black) = (128 + u32::from(*light) / 2, u32::from(*dark) / 2);
            let alpha = 255 - (over_white - over_black);
            [(over_black * 255 / alpha.max(1)).min(255) as u8, alpha as u8]
        });
        let mixed = Picture::new(90, 60, decode::Channels::GreyAlpha, mixed.collect()).unwrap();
        let wants = Wants { pdq: true, phash64: false, dhash64: false, transforms: false, views: false };
        let seen = extract(&png(&mixed, ExtendedColorType::La8), wants).unwrap().seen;
        let pdq = |observation: &Observation| match observation.hash {
            HashValue::Pdq(hash) => hash,
            _ => panic!("no PDQ"),
        };
        let renderings: Vec<_> = seen.iter().map(pdq).collect();
        assert_eq!(renderings.len(), 3);
        for (rendering, picture) in [(1, &light), (2, &dark)] {
            let alone = extract(&png(picture, ExtendedColorType::L8), wants).unwrap().seen;
            let bits = renderings[rendering].distance(&pdq(&alone[0]));
            assert!(bits <= 31, "{bits} bits in look {rendering}");
        }
    }

    #[test]
    fn a_reason_comes_through() {
        assert_eq!(extract(b"", Wants::ALL).unwrap_err().reason, Reason::Empty);
    }

    #[test]
    fn a_deadline_that_has_passed_is_a_timeout() {
        // Each look at the clock takes a second.
        static LOOKS: AtomicU64 = AtomicU64::new(0);
        fn clock() -> Instant {
            static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
            *START + Duration::from_secs(LOOKS.fetch_add(1, Ordering::Relaxed))
        }
        let bytes = png(&drawn::clouds(90, 60, 1, 0), ExtendedColorType::Rgb8);
        let within = |seconds| {
            LOOKS.store(0, Ordering::Relaxed);
            let until = clock() + Duration::from_secs(seconds);
            InProcess::new(Limits::default(), clock)
                .extract(&bytes, &Wants::ALL, until)
                .map_err(|u| u.reason)
                .map(|f| f.seen.len())
        };
        assert_eq!(within(0), Err(Reason::Timeout));
        assert_eq!(within(1), Err(Reason::Timeout));
        assert_eq!(within(2), Err(Reason::Timeout)); // while it is decoded
        assert_eq!(within(60), Ok(10));
    }
}
