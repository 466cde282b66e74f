//! Of which frames are views made?
//!
//! Of a still, and of the first, the middle and the last frame of an animation, each rendering of it once. How many frames come is not known before
//! the last, so some are kept on the way, at a stride that doubles whenever there are too many: the middle is the one of those that is
//! nearest to half of the way, the earlier of two. It is off by at most a sixth of the frames, and the same for the same file.

use crate::views::{PLANE_BYTES_MAX, Plane};

/// Frames that are kept for the middle, the first among them.
const KEPT_MAX: usize = 4;

/// Bytes that the planes of one file take at the most: of the frames that are kept, of the last and of the one that is being looked at, three renderings
/// each; and as much again, for what views are made in.
pub const PLANES_BYTES_MAX: u64 = 2 * (KEPT_MAX as u64 + 2) * LOOKS_MAX * PLANE_BYTES_MAX;
/// A picture with transparency is looked at as it is stored, over white and over black.
pub const LOOKS_MAX: u64 = 3;
/// Planes of a file: those of its first, its middle and its last frame.
pub const PLANES_MAX: usize = 3 * LOOKS_MAX as usize;

/// The planes of a frame, with the numbers of their renderings.
pub type OfFrame = Vec<(u32, Plane)>;

/// What is kept so far.
#[derive(Default)]
pub struct Planes {
    /// Every so many frames one, by how many came before it.
    kept: Vec<(u32, OfFrame)>,
    stride: u32,
    last: Option<(u32, OfFrame)>,
    frames: u32,
}

impl Planes {
    pub fn push(&mut self, planes: OfFrame) {
        let last = self.last.replace((self.frames, planes));
        self.frames += 1;
        self.stride = self.stride.max(1);
        let Some((before, planes)) = last.filter(|(before, _)| before.is_multiple_of(self.stride)) else { return };
        if self.kept.len() == KEPT_MAX {
            self.stride *= 2;
            self.kept.retain(|(before, _)| before.is_multiple_of(self.stride));
        }
        self.kept.push((before, planes));
    }

    /// The planes that views are made of.
    pub fn finish(mut self) -> Vec<Plane> {
        let Some((way, last)) = self.last else { return Vec::new() };
        let off = |(before, _): &(u32, OfFrame)| (2 * before).abs_diff(way);
        let middle = (1..self.kept.len()).min_by_key(|at| off(&self.kept[*at])).map(|at| self.kept.swap_remove(at).1);
        let first = self.kept.into_iter().next().map(|(_, planes)| planes);
        let mut renderings = Vec::new();
        let mut planes = first.into_iter().chain(middle).flatten().chain(last).collect::<Vec<_>>();
        planes.retain(|(rendering, _)| {
            let is_new = !renderings.contains(rendering);
            renderings.push(*rendering);
            is_new
        });
        planes.into_iter().map(|(_, plane)| plane).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::Reducer;

    fn plane(frame: u32, rendering: u32) -> Plane {
        let mut reducer = Reducer::new(8, 8);
        (0..8).for_each(|_| reducer.row(&[0.0; 8]));
        reducer.finish(frame, rendering)
    }

    fn kept(frames: u32, rendering: fn(u32) -> u32) -> Vec<Plane> {
        let mut planes = Planes::default();
        (0..frames).for_each(|frame| planes.push(vec![(rendering(frame), plane(frame, rendering(frame)))]));
        assert!(planes.kept.len() <= KEPT_MAX);
        planes.finish()
    }

    #[test]
    fn the_first_the_middle_and_the_last_frame_have_views() {
        let check = |frames: u32, expected: &[u32]| {
            let expected: Vec<Plane> = expected.iter().map(|frame| plane(*frame, *frame)).collect();
            assert!(kept(frames, |frame| frame) == expected, "{frames}");
        };
        check(0, &[]);
        check(1, &[0]);
        check(2, &[0, 1]);
        check(3, &[0, 1, 2]);
        check(4, &[0, 1, 3]);
        check(5, &[0, 2, 4]);
        check(100, &[0, 64, 99]);
        for frames in 3..300u32 {
            let off = (1..frames).find(|middle| kept(frames, |frame| frame)[1] == plane(*middle, *middle)).unwrap();
            assert!((2 * off).abs_diff(frames - 1) * 3 <= frames, "{off} of {frames}");
        }
    }

    /// Frames that look alike are one rendering, and a still frame at the end is none of its own.
    #[test]
    fn a_look_has_its_views_made_once() {
        assert_eq!(kept(9, |_| 0), [plane(0, 0)]);
        assert_eq!(kept(9, |frame| frame % 8).len(), 2);
    }
}
