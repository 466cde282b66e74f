//! What does a JPEG declare, and does it hold all scans that make its picture? ITU-T T.81, annex B.
//!
//! One walk over the markers. Damage to the coded data is for the decoder to report; what no decoder reports is found here: scans that
//! are not there. A progressive picture comes in scans that add frequencies and bits, and decoders show what has come so far.

use super::{Probe, be16};

/// What only a JPEG has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Jpeg {
    /// All coefficients are held in memory, and every scan walks over them.
    pub progressive: bool,
    pub coding: Coding,
    pub scans: u32,
    /// 8x8 blocks in all components.
    pub blocks: u64,
    /// Samples for each pixel, all components together, rounded up.
    pub samples_per_pixel: u64,
    /// Bytes of entropy-coded data in all scans.
    pub coded_bytes: u64,
    /// Coefficients that scans bring for the first time, and those that they bring a further bit of.
    pub first_coefficients: u64,
    pub refined_coefficients: u64,
    /// Coding units (MCUs) of the scan that has most.
    pub units: u64,
    /// Restart markers stand between coding units.
    pub restarts: bool,
    /// Where the first scan's header begins, its marker included; 0 where there is none.
    pub first_scan: usize,
}

/// How coefficients become bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Coding {
    /// Sequential, baseline or extended: two bits a block at least.
    #[default]
    Huffman,
    /// Progressive: in its first scan a bit a block at least.
    ProgressiveHuffman,
    /// Takes next to nothing for what is plain, and much time for each bit.
    Arithmetic,
    /// Lossless.
    Other,
}

impl Coding {
    /// Whether a block takes at least a bit.
    pub fn is_huffman(self) -> bool {
        matches!(self, Coding::Huffman | Coding::ProgressiveHuffman)
    }
}

/// Which coefficients of a component have come, and down to which bit. 255: none yet.
#[derive(Clone, Copy)]
struct Component {
    id: u8,
    blocks: u64,
    lowest_bit: [u8; 64],
}

/// The components of a frame header and what its scans have brought. T.81 admits 255 components, decoders four.
#[derive(Default)]
struct Progress {
    components: Vec<Component>,
    progressive: bool,
    scans: u32,
    first: u64,
    refined: u64,
}

/// Scans that are followed. More are refused in any case.
const SCANS_MAX: u32 = 10_000;

impl Progress {
    fn frame(&mut self, marker: u8, frame: &[u8], blocks: &[u64]) {
        let parts = frame.get(6..).unwrap_or_default().chunks_exact(3).zip(blocks);
        self.components = parts.map(|(part, blocks)| Component { id: part[0], blocks: *blocks, lowest_bit: [255; 64] }).collect();
        self.progressive = marker & 3 == 2;
    }

    /// A scan header: how many components, each with its tables, then the frequencies and the bits.
    fn scan(&mut self, header: &[u8]) {
        self.scans += 1;
        let count = usize::from(header.first().copied().unwrap_or(0));
        let (Some(ids), Some([first, last, bits])) =
            (header.get(1..1 + 2 * count), header.get(1 + 2 * count..).and_then(|rest| rest.first_chunk()))
        else {
            return;
        };
        if self.scans > SCANS_MAX {
            return;
        }
        let (frequencies, lowest) = match self.progressive {
            true => (usize::from(*first)..usize::from(*last).saturating_add(1).min(64), bits & 15),
            false => (0..64, 0),
        };
        let brings = if self.progressive && bits >> 4 != 0 { &mut self.refined } else { &mut self.first };
        for id in ids.iter().step_by(2).take(4) {
            for component in self.components.iter_mut().filter(|component| component.id == *id) {
                *brings = brings.saturating_add(component.blocks.saturating_mul(frequencies.len() as u64));
                for bit in component.lowest_bit.get_mut(frequencies.clone()).unwrap_or_default() {
                    *bit = lowest.min(*bit);
                }
            }
        }
    }

    /// Whether a coefficient of some component is in no scan, or not with all its bits.
    fn incomplete(&self) -> bool {
        self.components.iter().any(|component| component.lowest_bit.iter().any(|bit| *bit != 0))
    }
}

pub(super) fn jpeg(bytes: &[u8]) -> Option<Probe> {
    let mut out = Probe::default();
    let mut progress = Progress::default();
    let mut sized = false;
    let mut units = (0, 0);
    let mut at = 2;
    let ended = loop {
        // Decoders skip what is no marker between segments, so it is skipped here.
        let Some(skip) = bytes.get(at..).and_then(|rest| rest.windows(2).position(|w| w[0] == 0xff && !matches!(w[1], 0 | 0xff)))
        else {
            break false;
        };
        at += skip + 2;
        let marker = bytes[at - 1];
        match marker {
            0xd9 => break true,
            0x01 | 0xd0..=0xd8 => continue,
            _ => {}
        }
        let Some(length) = be16(bytes, at) else { break false };
        let segment = bytes.get(at + 2..at + length.max(2) as usize);
        if marker == 0xda && out.jpeg.first_scan == 0 {
            out.jpeg.first_scan = at - 2;
        }
        at += length.max(2) as usize;
        match (marker, segment) {
            (_, None) => break false,
            (0xc0..=0xcf, Some(frame)) if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                let (height, width) = (be16(frame, 1)?, be16(frame, 3)?);
                // The largest of several frame headers counts, whichever the decoder believes.
                out.pixels_max = out.pixels_max.max(u64::from(width) * u64::from(height));
                (out.width, out.height) = (width, height);
                out.jpeg.progressive |= marker & 3 == 2;
                out.jpeg.coding = match marker {
                    0xc0 | 0xc1 => Coding::Huffman,
                    0xc2 => Coding::ProgressiveHuffman,
                    0xc9..=0xcb => Coding::Arithmetic,
                    _ => Coding::Other,
                };
                let sampling = Sampling::of(frame, width, height);
                out.jpeg.blocks = out.jpeg.blocks.max(sampling.blocks);
                out.jpeg.samples_per_pixel = out.jpeg.samples_per_pixel.max(sampling.samples_per_pixel);
                units = (units.0.max(sampling.units), units.1.max(sampling.largest));
                progress.frame(marker, frame, &sampling.of_each);
                sized = true;
            }
            (0xda, Some(header)) => {
                out.jpeg.scans += 1;
                progress.scan(header);
                let coded = coded_length(&bytes[at..]);
                out.jpeg.coded_bytes += coded as u64;
                at += coded;
            }
            (0xdd, Some(interval)) if out.jpeg.scans == 0 => out.jpeg.restarts = be16(interval, 0).is_some_and(|units| units > 0),
            _ => {}
        }
    };
    let too_few_bits = out.jpeg.coding.is_huffman() && out.jpeg.coded_bytes * 8 < out.jpeg.blocks;
    out.ends_early = !ended || too_few_bits;
    out.end = ended.then_some(at);
    // A scan of one component counts its blocks.
    out.jpeg.units = if out.jpeg.scans > 1 { units.0.max(units.1) } else { units.0 };
    (out.jpeg.first_coefficients, out.jpeg.refined_coefficients) = (progress.first, progress.refined);
    out.flaw(progress.incomplete(), "scans of the JPEG that are missing");
    sized.then_some(out)
}

/// Bytes up to the next marker that is no restart.
fn coded_length(rest: &[u8]) -> usize {
    let mut at = 0;
    while let Some(skip) = rest[at..].iter().position(|byte| *byte == 0xff) {
        at += skip;
        match rest.get(at + 1) {
            Some(0 | 0xd0..=0xd7) => at += 2,
            Some(0xff) => at += 1,
            Some(_) => return at,
            None => return rest.len(),
        }
    }
    rest.len()
}

/// The EXIF that a header carries: the body of the first such segment, its prefix cut off.
pub(in crate::decode) fn exif(bytes: &[u8]) -> Option<&[u8]> {
    segments(bytes).find_map(|(marker, _, body)| body.strip_prefix(b"Exif\0\0").filter(|_| marker == 0xe1))
}

/// The segments before the first scan: marker, where the marker lies, body.
pub(in crate::decode) fn segments(bytes: &[u8]) -> impl Iterator<Item = (u8, usize, &[u8])> {
    let mut at = 2;
    std::iter::from_fn(move || {
        loop {
            let rest = bytes.get(at..)?;
            at += rest.windows(2).position(|w| w[0] == 0xff && !matches!(w[1], 0 | 0xff))?;
            let (marker, start) = (bytes[at + 1], at);
            match marker {
                0xd9 | 0xda => return None,
                0x01 | 0xd0..=0xd8 => at += 2,
                _ => {
                    let end = at + 2 + (be16(bytes, at + 2)? as usize).max(2);
                    let body = bytes.get(at + 4..end)?;
                    at = end;
                    return Some((marker, start, body));
                }
            }
        }
    })
}

/// What the sampling factors of a frame header come to.
struct Sampling {
    /// In each component, and in all.
    of_each: Vec<u64>,
    blocks: u64,
    /// All components together, rounded up.
    samples_per_pixel: u64,
    /// Blocks of the largest component, and coding units of a scan of all of them.
    largest: u64,
    units: u64,
}

impl Sampling {
    fn of(frame: &[u8], width: u32, height: u32) -> Self {
        let factors =
            || frame.get(6..).unwrap_or_default().chunks_exact(3).take(4).map(|c| (u64::from(c[1] >> 4), u64::from(c[1] & 15)));
        let (h_max, v_max) = factors().fold((1, 1), |(h, v), (hi, vi)| (h.max(hi), v.max(vi)));
        let along = |side: u32, factor: u64, max: u64| (u64::from(side) * factor).div_ceil(8 * max);
        let blocks: Vec<u64> = factors().map(|(h, v)| along(width, h, h_max) * along(height, v, v_max)).collect();
        let samples: u64 = factors().map(|(h, v)| h * v).sum();
        let alone = factors().count() == 1;
        let largest = blocks.iter().copied().max().unwrap_or(0);
        Sampling {
            blocks: blocks.iter().sum(),
            of_each: blocks,
            // The factors of a lone component mean nothing, yet a decoder may allocate by them.
            samples_per_pixel: if alone { samples } else { samples.div_ceil(h_max * v_max) },
            largest,
            units: if alone { largest } else { along(width, 1, h_max) * along(height, 1, v_max) },
        }
    }
}
