//! Pictures for tests, drawn by integer arithmetic that any language can repeat.

use super::{Channels, Picture};

fn splitmix64(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// One channel: a 9x9 lattice of random values, bilinear in between, shifted right by `shift` to make it dull.
fn cloud(width: u32, height: u32, seed: u64, channel: u64, shift: u32) -> Vec<u8> {
    let node = |i: u32, j: u32| (splitmix64(seed * 1000 + channel * 100 + u64::from(j * 10 + i)) & 255) as u32;
    let place = |at: u32, side: u32| (at * 8 * 256 / side / 256, at * 8 * 256 / side % 256);
    let pixel = |x: u32, y: u32| {
        let ((i, u), (j, v)) = (place(x, width), place(y, height));
        let row = |j| node(i, j) * (256 - u) + node(i + 1, j) * u;
        ((row(j) * (256 - v) + row(j + 1) * v) >> 16 >> shift) as u8
    };
    (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| pixel(x, y)).collect()
}

/// An RGB picture of soft clouds.
pub(crate) fn clouds(width: u32, height: u32, seed: u64, shift: u32) -> Picture {
    let channels = [0, 1, 2].map(|channel| cloud(width, height, seed, channel, shift));
    let samples = (0..(width * height) as usize).flat_map(|i| [channels[0][i], channels[1][i], channels[2][i]]).collect();
    Picture::new(width, height, Channels::Rgb, samples).unwrap()
}

/// A grey picture of soft clouds.
pub(crate) fn grey_clouds(width: u32, height: u32, seed: u64) -> Picture {
    Picture::new(width, height, Channels::Grey, cloud(width, height, seed, 0, 0)).unwrap()
}

/// A picture whose pixel at (x, y) is the other's at `origin(x, y)`.
pub(crate) fn remapped(picture: &Picture, (width, height): (u32, u32), origin: impl Fn(u32, u32) -> (u32, u32)) -> Picture {
    let n = picture.channels().count();
    let pixel = |x, y| {
        let (x, y) = origin(x, y);
        let at = (y * picture.width() + x) as usize * n;
        picture.samples()[at..at + n].to_vec()
    };
    let samples = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).flat_map(|(x, y)| pixel(x, y)).collect();
    Picture::new(width, height, picture.channels(), samples).unwrap()
}
