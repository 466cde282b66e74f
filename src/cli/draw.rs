//! `hashwarden match --draw`: where in a picture was something found?
//!
//! The upright picture with the outlines of the matched views on it, as a PNG. It is made here, of the file at hand, also where a server
//! matched it; it shows nothing of a list.

use std::ops::ControlFlow;
use std::path::Path;

use image::{ImageFormat, Rgb, RgbImage, imageops};

use super::context::{Exit, Failure};
use super::remarks::{path_text, remark};
use crate::decode::{self, Limits, Picture};
use crate::entry::{VIEW_SIDE, View};
use crate::verdict::Verdict;

/// Pixels of the longer side: a larger picture is drawn smaller.
const SIDE_MAX: u32 = 2048;
/// What is shown beyond each edge of the picture at most, in shares of its side.
const BEYOND_MAX: f64 = 0.5;
const BEYOND: Rgb<u8> = Rgb([128; 3]);
const LINE: Rgb<u8> = Rgb([255, 220, 0]);
const LINE_EDGE: Rgb<u8> = Rgb([0; 3]);

/// Draws the views of the nearest match's frame. Without a match, where the server does not show its views, or where the file is no picture, it says so and writes nothing.
pub fn draw(bytes: &[u8], limits: &Limits, verdict: &Verdict, out: &Path) -> Result<(), Failure> {
    let Some(nearest) = verdict.matches.first() else {
        remark(format!("nothing matched: {} was not written", path_text(out)));
        return Ok(());
    };
    if verdict.withheld {
        remark(format!("the server does not show this caller where a match is: {} was not written", path_text(out)));
        return Ok(());
    }
    let Some(picture) = frame(bytes, limits, nearest.frame) else {
        remark(format!("the file can't be decoded: {} was not written", path_text(out)));
        return Ok(());
    };
    let mut views: Vec<View> = verdict.matches.iter().filter(|m| m.frame == nearest.frame).map(|m| m.view).collect();
    views.sort_unstable();
    views.dedup();
    let drawn = outlined(picture, &views);
    drawn
        .save_with_format(out, ImageFormat::Png)
        .map_err(|error| Failure { exit: Exit::Failed, why: format!("{}: {error}", path_text(out)) })
}

/// A frame as it is stored, without its transparency.
fn frame(bytes: &[u8], limits: &Limits, number: u32) -> Option<RgbImage> {
    let mut found = None;
    let mut each = |frame: u32, picture: &Picture| {
        if frame < number {
            return ControlFlow::Continue(());
        }
        found = rgb(picture);
        ControlFlow::Break("it is not needed")
    };
    // What can't be had of the file was said with the verdict.
    let _ = decode::frames(bytes, limits, &|| false, &mut each);
    let (width, height) = found.as_ref()?.dimensions();
    let shrink = f64::from(SIDE_MAX) / f64::from(width.max(height));
    if shrink >= 1.0 {
        return found;
    }
    let smaller = |side: u32| ((f64::from(side) * shrink) as u32).max(1);
    Some(imageops::thumbnail(&found?, smaller(width), smaller(height)))
}

fn rgb(picture: &Picture) -> Option<RgbImage> {
    let pixels = picture.samples().chunks_exact(picture.channels().count());
    let samples = pixels.flat_map(|pixel| match *pixel {
        [r, g, b, ..] => [r, g, b],
        _ => [pixel[0]; 3],
    });
    RgbImage::from_raw(picture.width(), picture.height(), samples.collect())
}

/// The picture with each view's outline, on a ground that is as much larger as they reach beyond it.
fn outlined(picture: RgbImage, views: &[View]) -> RgbImage {
    let (width, height) = picture.dimensions();
    let thick = (width.max(height) / 300).max(1);
    let corners = || views.iter().flat_map(|view| view.corners);
    let margin = |beyond: i32, side: u32| {
        let share = (f64::from(beyond) / f64::from(VIEW_SIDE)).clamp(0.0, BEYOND_MAX);
        (share * f64::from(side)).ceil() as u32 + 2 * thick
    };
    let beyond = |of: fn((i16, i16)) -> i32| corners().map(of).max().unwrap_or(0);
    let (left, right) =
        (margin(beyond(|(x, _)| -i32::from(x)), width), margin(beyond(|(x, _)| i32::from(x) - i32::from(VIEW_SIDE)), width));
    let (top, bottom) =
        (margin(beyond(|(_, y)| -i32::from(y)), height), margin(beyond(|(_, y)| i32::from(y) - i32::from(VIEW_SIDE)), height));
    let mut ground = RgbImage::from_pixel(left + width + right, top + height + bottom, BEYOND);
    imageops::replace(&mut ground, &picture, i64::from(left), i64::from(top));
    let place = |(x, y): (i16, i16)| {
        let along = |n: i16, side: u32, before: u32| f64::from(before) + f64::from(n) / f64::from(VIEW_SIDE) * f64::from(side);
        (along(x, width, left), along(y, height, top))
    };
    for (colour, reach) in [(LINE_EDGE, thick), (LINE, thick / 2)] {
        for corners in views.iter().map(|view| view.corners.map(place)) {
            for (n, from) in corners.into_iter().enumerate() {
                line(&mut ground, from, corners[(n + 1) % 4], i64::from(reach), colour);
            }
        }
    }
    ground
}

/// A line of squares that reach so far to each side.
fn line(ground: &mut RgbImage, from: (f64, f64), to: (f64, f64), reach: i64, colour: Rgb<u8>) {
    let steps = (to.0 - from.0).abs().max((to.1 - from.1).abs()).ceil().max(1.0);
    for step in 0..=steps as u32 {
        let share = f64::from(step) / steps;
        let at = |from: f64, to: f64| (from + (to - from) * share).round() as i64;
        let (x, y) = (at(from.0, to.0), at(from.1, to.1));
        for (x, y) in (y - reach..=y + reach).flat_map(|y| (x - reach..=x + reach).map(move |x| (x, y))) {
            if let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y))
                && let Some(pixel) = ground.get_pixel_mut_checked(x, y)
            {
                *pixel = colour;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::ViewKind;

    #[test]
    fn a_view_is_outlined_where_it_lies_and_the_picture_stays_whole() {
        let white = || RgbImage::from_pixel(200, 100, Rgb([255; 3]));
        let window = View::upright(ViewKind::Window, (2_500, 5_000), (7_500, 9_000));
        let drawn = outlined(white(), &[window]);
        assert_eq!(drawn.dimensions(), (204, 104));
        let at = |x: u32, y: u32| *drawn.get_pixel(x + 2, y + 2);
        for (x, y) in [(50, 50), (150, 50), (150, 90), (50, 90), (100, 50), (50, 70)] {
            assert_eq!((at(x, y), at(x, y - 1) == LINE_EDGE || at(x, y - 1) == LINE), (LINE, true), "{x} {y}");
        }
        assert_eq!([at(0, 0), at(100, 70), at(199, 99)], [Rgb([255; 3]); 3]);

        // Beyond the picture there is ground.
        let extended = View::upright(ViewKind::Extended, (-1_000, -1_000), (11_000, 20_000));
        let drawn = outlined(white(), &[extended]);
        assert_eq!(drawn.dimensions(), (200 + 2 * 22, 100 + 12 + 52), "no more than half a side");
        assert_eq!((*drawn.get_pixel(2, 2), *drawn.get_pixel(10, 8), *drawn.get_pixel(22, 12)), (LINE, BEYOND, Rgb([255; 3])));
        // Corners far out are as good.
        let far =
            View { kind: ViewKind::Turned, corners: [(i16::MIN, i16::MIN), (i16::MAX, 0), (0, i16::MAX), (0, 0)], degrees: 0 };
        assert_eq!(outlined(white(), &[far]).dimensions(), (200 + 204, 100 + 104));
        assert_eq!(outlined(white(), &[]).dimensions(), (204, 104));
    }
}
