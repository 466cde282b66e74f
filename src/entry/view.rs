//! Views: which part of a picture a hash was taken of, and which of them a list lets count.
//!
//! A view is what a picture would have been before it was altered: the whole picture, more than is left of a cropped one, a window in a
//! screenshot, a turned picture turned back. Corners are ten-thousandths of the upright picture's width and height, angles hundredths of a
//! degree: integers, so that verdicts compare and replay exactly. Radii are bits of PDQ. Absent: how views are chosen and hashed.

use std::fmt;
use std::str::FromStr;

use super::BadValue;

/// A class of views. Declared in the order in which equally near views are shown; the numbers are part of the store's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ViewKind {
    /// The picture as it is.
    Whole = 1,
    /// The picture, or a window in it, and what may have been beyond its edges: undoes a crop.
    Extended = 2,
    /// A part of the picture between straight edges: undoes padding, captions, screenshots, collages.
    Window = 3,
    /// The picture, or a part of it, turned back: undoes a small rotation.
    Turned = 4,
}

impl ViewKind {
    pub const ALL: [ViewKind; 4] = [ViewKind::Whole, ViewKind::Extended, ViewKind::Window, ViewKind::Turned];
    /// Those that a list may let count: the whole always does.
    pub const CLASSES: [ViewKind; 3] = [ViewKind::Extended, ViewKind::Window, ViewKind::Turned];

    pub fn name(self) -> &'static str {
        match self {
            ViewKind::Whole => "whole",
            ViewKind::Extended => "extended",
            ViewKind::Window => "window",
            ViewKind::Turned => "turned",
        }
    }

    pub fn from_u8(n: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == n)
    }
}

impl fmt::Display for ViewKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ViewKind {
    type Err = BadValue;
    fn from_str(s: &str) -> Result<Self, BadValue> {
        Self::ALL.into_iter().find(|kind| kind.name() == s).ok_or_else(|| {
            BadValue(format!("unknown class of views {s:?}: one of {}", Self::CLASSES.map(ViewKind::name).join(", ")))
        })
    }
}

/// The whole of a side in [`View::corners`].
pub const VIEW_SIDE: i16 = 10_000;

/// Where a view lies in its picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct View {
    pub kind: ViewKind,
    /// Across and down, in ten-thousandths of the upright picture's width and height, clockwise from the view's top left corner. Below 0
    /// or above 10,000 where the view reaches beyond the picture.
    pub corners: [(i16, i16); 4],
    /// Hundredths of a degree by which the view is turned about its centre, counter-clockwise.
    pub degrees: i16,
}

impl View {
    pub const WHOLE: View = View::upright(ViewKind::Whole, (0, 0), (VIEW_SIDE, VIEW_SIDE));

    /// A view that is not turned, from its top left and bottom right corners.
    pub const fn upright(kind: ViewKind, (left, top): (i16, i16), (right, bottom): (i16, i16)) -> View {
        View { kind, corners: [(left, top), (right, top), (right, bottom), (left, bottom)], degrees: 0 }
    }

    /// How much two views have in common, 0 to 1: what their bounding boxes share of what they cover together, within the picture.
    pub fn overlap(&self, other: &View) -> f64 {
        let (a, b) = (self.bounds(), other.bounds());
        let area = |[left, top, right, bottom]: [i32; 4]| f64::from((right - left).max(0)) * f64::from((bottom - top).max(0));
        let shared = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
        let covered = area(a) + area(b) - shared;
        if covered > 0.0 { shared / covered } else { 0.0 }
    }

    /// Left, top, right, bottom of the smallest upright box around it, within the picture.
    fn bounds(&self) -> [i32; 4] {
        let cut = |n: i16| i32::from(n.clamp(0, VIEW_SIDE));
        self.corners.iter().fold([i32::from(VIEW_SIDE), i32::from(VIEW_SIDE), 0, 0], |[left, top, right, bottom], (x, y)| {
            [left.min(cut(*x)), top.min(cut(*y)), right.max(cut(*x)), bottom.max(cut(*y))]
        })
    }
}

/// The radius of a class of views in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewRule {
    pub kind: ViewKind,
    /// Largest distance that matches, in bits of PDQ.
    pub radius: u16,
}

/// The largest radius of a class. An upload has a thousand views and more, so that chance has as many tries.
pub const VIEW_RADIUS_MAX: u16 = 39;
/// The radius of a class that has none of its own.
///
/// Wider ones find a few more altered copies, take three times as long to look up, and generic pictures begin to match one another.
pub const VIEW_RADIUS: u16 = 31;
/// PDQ quality below this is no evidence in a view, whatever the list says of whole pictures.
pub const VIEW_QUALITY_MIN: u8 = 50;

impl ViewRule {
    /// Refuses what a policy can't have, in words.
    pub fn check(self) -> Result<(), BadValue> {
        if self.kind == ViewKind::Whole {
            return Err(BadValue(
                "the whole picture always counts, by the list's own radius: it is no class of views".to_owned(),
            ));
        }
        if self.radius > VIEW_RADIUS_MAX {
            return Err(BadValue(format!(
                "the radius for {} views must be 0 to {VIEW_RADIUS_MAX} bits: beyond, generic pictures match through some view",
                self.kind
            )));
        }
        Ok(())
    }
}

/// Which views of an upload are looked up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ViewSet {
    Whole,
    /// All that a list asked for lets count.
    #[default]
    All,
}

impl ViewSet {
    pub const ALL: [ViewSet; 2] = [ViewSet::Whole, ViewSet::All];

    pub fn name(self) -> &'static str {
        match self {
            ViewSet::Whole => "whole",
            ViewSet::All => "all",
        }
    }
}

impl fmt::Display for ViewSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ViewSet {
    type Err = BadValue;
    fn from_str(s: &str) -> Result<Self, BadValue> {
        let known = Self::ALL.into_iter().find(|set| set.name() == s);
        known.ok_or_else(|| BadValue(format!("unknown set of views {s:?}: whole or all")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_is_what_two_views_share_within_the_picture() {
        let window = |a, b| View::upright(ViewKind::Window, a, b);
        let check = |a: View, b: View, expected: f64| {
            assert_eq!((a.overlap(&b), b.overlap(&a)), (expected, expected), "{a:?} {b:?}");
        };
        let left = window((0, 0), (5_000, 10_000));
        check(View::WHOLE, View::WHOLE, 1.0);
        check(left, View::WHOLE, 0.5);
        check(left, window((5_000, 0), (10_000, 10_000)), 0.0);
        check(window((0, 0), (8_000, 10_000)), View::WHOLE, 0.8);
        // What lies beyond the picture does not count.
        check(View::upright(ViewKind::Extended, (-900, -900), (10_900, 10_900)), View::WHOLE, 1.0);
        // A turned view counts by the box around it.
        let turned = [(5_000, 0), (10_000, 5_000), (5_000, 10_000), (0, 5_000)];
        check(View { kind: ViewKind::Turned, corners: turned, degrees: 4_500 }, View::WHOLE, 1.0);
        check(window((3, 3), (3, 3)), window((3, 3), (3, 3)), 0.0);
    }

    #[test]
    fn a_class_that_no_policy_can_have_is_refused_in_words() {
        let check = |kind, radius, words: &str| {
            let said = ViewRule { kind, radius }.check().err().map_or(String::new(), |bad| bad.0);
            assert_eq!((said.is_empty(), said.contains(words)), (words.is_empty(), true), "{said}");
        };
        check(ViewKind::Window, 39, "");
        check(ViewKind::Window, 40, "the radius for window views must be 0 to 39 bits");
        check(ViewKind::Whole, 31, "always counts");
        check(ViewKind::Extended, VIEW_RADIUS, "");
    }
}
