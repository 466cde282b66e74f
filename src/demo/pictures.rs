//! What do the demo's pictures show?
//!
//! Landscapes, towns, still lifes and close-ups of stone, drawn from a seed alone: no picture of the world is in this project, and none
//! shows a person. Coordinates run from 0 to 1 down the picture and from 0 to its aspect ratio across, so one seed gives the same scene at
//! every size. Invariant: the same seed and size give the same bytes on every platform: only `+ - * /` and square roots of `f32`,
//! which IEEE 754 defines to the last bit; no sine, power or exponential, whose last bits are the library's.

use crate::index;
use image::{Rgb, RgbImage};

/// Numbers from a seed. Not for secrets.
#[derive(Debug, Clone)]
pub struct Random(index::random::Random);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(index::random::Random(seed))
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0.next()
    }

    /// From 0 up to `n`, which is not reached; 0 where `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }

    /// From `low` up to `high`.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * ((self.next_u64() >> 40) as f32 / (1 << 24) as f32)
    }

    /// A direction: a vector of length 1, by the rational parametrisation of the circle.
    fn direction(&mut self) -> [f32; 2] {
        let t = self.between(-1.0, 1.0);
        let sign = if self.next_u64() & 1 == 0 { 1.0 } else { -1.0 };
        [sign * (1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t)]
    }

    /// Half way to a grey: most of the world is not vivid.
    fn colour(&mut self, low: f32, high: f32) -> Colour {
        let vivid = [self.between(low, high), self.between(low, high), self.between(low, high)];
        mix([self.between(low, high); 3], vivid, 0.5)
    }
}

/// Draws the picture of a seed. Sides of 0 are taken as 1.
///
/// Of 200 pictures of 640 by 480 (the public `pdqhash`): quality 100 each; pairs lie 128 +- 8.2 bits apart, at least 92, as those of
/// photographs do.
pub fn draw(seed: u64, width: u32, height: u32) -> RgbImage {
    let mut random = Random::new(seed ^ 0x6861_7368_7761_7264);
    let mut canvas = Canvas::new(&mut random, width.max(1), height.max(1));
    match random.below(4) {
        0 => landscape(&mut canvas, &mut random),
        1 => town(&mut canvas, &mut random),
        2 => still_life(&mut canvas, &mut random),
        _ => stone(&mut canvas, &mut random),
    }
    canvas.finish(&mut random)
}

/// Red, green, blue; 0 is black, 1 is white.
type Colour = [f32; 3];

struct Canvas {
    width: u32,
    height: u32,
    aspect: f32,
    pixels: Vec<Colour>,
    noise: Noise,
}

impl Canvas {
    fn new(random: &mut Random, width: u32, height: u32) -> Self {
        let pixels = vec![[0.0; 3]; width as usize * height as usize];
        Canvas { width, height, aspect: width as f32 / height as f32, pixels, noise: Noise::new(random) }
    }

    /// Paints every pixel of a box (left, top, right, bottom): `paint` gives a colour and its opacity at a point.
    fn paint(&mut self, area: [f32; 4], paint: impl Fn(&Noise, f32, f32) -> (Colour, f32)) {
        let scale = self.height as f32;
        let pixel = |at: f32, size: u32| (at * scale).clamp(0.0, size as f32) as u32;
        let (left, right) = (pixel(area[0], self.width), pixel(area[2] + 1.0 / scale, self.width));
        let (top, bottom) = (pixel(area[1], self.height), pixel(area[3] + 1.0 / scale, self.height));
        for row in top..bottom {
            let y = (row as f32 + 0.5) / scale;
            for column in left..right {
                let (colour, opacity) = paint(&self.noise, (column as f32 + 0.5) / scale, y);
                if opacity > 0.0 {
                    let under = &mut self.pixels[(row * self.width + column) as usize];
                    *under = mix(*under, colour, opacity.min(1.0));
                }
            }
        }
    }

    fn whole(&self) -> [f32; 4] {
        [0.0, 0.0, self.aspect, 1.0]
    }

    /// Rounds to bytes, with a camera's grain.
    fn finish(self, random: &mut Random) -> RgbImage {
        let mut image = RgbImage::new(self.width, self.height);
        for (to, from) in image.pixels_mut().zip(&self.pixels) {
            let grain = (random.next_u64() >> 59) as f32 / 4.0 - 4.0;
            *to = Rgb(from.map(|value| (value * 255.0 + grain).clamp(0.0, 255.0) as u8));
        }
        image
    }
}

/// Hills one behind the other under a sky with a sun or a moon, clouds, and boulders in front.
fn landscape(canvas: &mut Canvas, random: &mut Random) {
    sky(canvas, random);
    let ridges = 2 + random.below(4);
    let horizon = random.between(0.25, 0.6);
    let near = random.colour(0.05, 0.75);
    let haze = random.colour(0.4, 0.9);
    for ridge in 1..=ridges {
        let depth = ridge as f32 / ridges as f32;
        let base = horizon + (0.95 - horizon) * depth * depth * random.between(0.7, 1.0);
        let height = random.between(0.1, 0.35);
        let (stretch, shift, grain) = (random.between(1.0, 4.0), random.between(0.0, 90.0), random.between(5.0, 25.0));
        let colour = mix(haze, mix(near, random.colour(0.0, 1.0), 0.35), depth);
        canvas.paint([0.0, base - height, canvas.aspect, 1.0], |noise, x, y| {
            let top = base - height * noise.layered(x * stretch + shift, depth * 7.0, 4);
            let opacity = edge(y - top, 0.004);
            if opacity == 0.0 {
                return (colour, 0.0);
            }
            let texture = noise.layered(x * grain + shift, y * grain * 2.0, 3);
            (scaled(colour, 0.5 + texture), opacity)
        });
    }
    for _ in 0..3 + random.below(8) {
        let y = random.between(0.6, 1.0);
        let place = [random.between(0.0, canvas.aspect), y];
        let size = random.between(0.03, 0.14) * y;
        ball(canvas, random, place, size);
    }
}

/// Houses with lit or dark windows, nearer rows before farther ones.
fn town(canvas: &mut Canvas, random: &mut Random) {
    sky(canvas, random);
    for row in 0..3 {
        let depth = (row + 1) as f32 / 3.0;
        let mut x = random.between(-0.1, 0.0);
        while x < canvas.aspect {
            let width = random.between(0.06, 0.22) * (0.6 + depth * 0.6);
            let top = random.between(0.1, 0.5) + depth * 0.3;
            let wall = mix(random.colour(0.1, 0.9), [0.6, 0.62, 0.68], 0.6 * (1.0 - depth));
            let (lit, dark) = (random.colour(0.5, 1.0), random.colour(0.0, 0.4));
            let (windows, floors) = ((2 + random.below(4)) as f32, random.between(0.03, 0.07));
            let shade = random.between(-0.5, 0.5);
            canvas.paint([x, top, x + width, 1.0], |noise, px, py| {
                let across = (px - x) / width;
                let (column, floor) = (across * windows, (py - top) / floors);
                let in_window = (column.fract() - 0.5).abs() < 0.28 && (floor.fract() - 0.5).abs() < 0.3;
                if !in_window {
                    let light = 0.85 + shade * (across - 0.5) + 0.25 * (noise.layered(px * 30.0, py * 30.0, 2) - 0.5);
                    return (scaled(wall, light), 1.0);
                }
                let is_lit = noise.at(column.floor() * 3.7 + x * 91.0, floor.floor() * 5.3) > 0.5;
                (if is_lit { lit } else { dark }, 1.0)
            });
            x += width + random.between(-0.01, 0.05);
        }
    }
}

/// Things on a table before a wall.
fn still_life(canvas: &mut Canvas, random: &mut Random) {
    let (wall, table, grain) = (random.colour(0.15, 0.9), random.colour(0.1, 0.8), random.colour(0.0, 0.6));
    let (back, slope) = (random.between(0.3, 0.65), random.between(-0.12, 0.12));
    let (light, falloff) = ([random.between(0.0, canvas.aspect), random.between(0.0, 0.5)], random.between(0.3, 1.2));
    let (long, fine) = (random.between(1.0, 4.0), random.between(15.0, 40.0));
    canvas.paint(canvas.whole(), |noise, x, y| {
        let lit = 1.25 - falloff * length(x - light[0], y - light[1]);
        if y < back + slope * x {
            return (scaled(wall, lit * (0.75 + 0.5 * noise.layered(x * 9.0, y * 9.0, 4))), 1.0);
        }
        // Planks: rings of noise stretched along the table.
        let ring = (noise.layered(x * long, y * fine, 3) * 6.0).fract();
        (scaled(mix(table, grain, ring), lit), 1.0)
    });
    for _ in 0..9 + random.below(12) {
        let y = random.between(0.2, 0.95);
        let place = [random.between(0.0, canvas.aspect), y];
        let size = random.between(0.05, 0.17) * (0.5 + y * 0.8);
        if random.below(2) == 0 { ball(canvas, random, place, size) } else { block(canvas, random, place, size) }
    }
}

/// Veins and pebbles in a cut stone, seen close.
fn stone(canvas: &mut Canvas, random: &mut Random) {
    let (ground, vein, dust) = (random.colour(0.1, 0.9), random.colour(0.0, 1.0), random.colour(0.2, 0.8));
    let [cos, sin] = random.direction();
    let (across, along, bend) = (random.between(3.0, 8.0), random.between(1.0, 3.0), random.between(0.5, 2.0));
    canvas.paint(canvas.whole(), |noise, x, y| {
        let (u, v) = (x * cos - y * sin, x * sin + y * cos);
        let warp = noise.layered(u * 3.0 + 40.0, v * 3.0, 4) * bend;
        let wave = ((u + warp) * across + noise.layered(u * along, v * along, 3) * 4.0).rem_euclid(2.0) - 1.0;
        let colour = mix(ground, vein, wave.abs() * wave.abs());
        (mix(colour, dust, 0.5 * noise.layered(u * 25.0, v * 25.0, 3)), 1.0)
    });
    for _ in 0..12 + random.below(20) {
        let place = [random.between(0.0, canvas.aspect), random.between(0.0, 1.0)];
        let size = random.between(0.02, 0.12);
        if random.below(3) > 0 { ball(canvas, random, place, size) } else { block(canvas, random, place, size) }
    }
}

/// Two colours, clouds, and a disc with a glow.
fn sky(canvas: &mut Canvas, random: &mut Random) {
    let (high, low, cloud) = (random.colour(0.0, 0.8), random.colour(0.2, 1.0), random.colour(0.5, 1.0));
    let (sun, disc) = (random.colour(0.7, 1.0), random.between(0.03, 0.09));
    let place = [random.between(0.0, canvas.aspect), random.between(0.05, 0.4)];
    let (stretch, lift, shift) = (random.between(1.5, 4.0), random.between(3.0, 8.0), random.between(0.0, 60.0));
    let cover = random.between(0.35, 0.55);
    canvas.paint(canvas.whole(), |noise, x, y| {
        let away = length(x - place[0], y - place[1]);
        let glow = disc / (disc + away);
        let clear = mix(mix(high, low, (y * 1.6).min(1.0)), sun, edge(disc - away, 0.004).max(glow * glow));
        let thick = (noise.layered(x * stretch + shift, y * lift, 5) - cover) * 4.0;
        (mix(clear, cloud, thick.clamp(0.0, 0.9)), 1.0)
    });
}

/// A shaded ellipsoid with a rough skin and a shadow to one side.
fn ball(canvas: &mut Canvas, random: &mut Random, [cx, cy]: [f32; 2], size: f32) {
    let ([cos, sin], squeeze) = (random.direction(), random.between(0.5, 1.0));
    let (light, skin, rough) = (random.direction(), random.between(4.0, 30.0), random.between(0.1, 0.7));
    let (colour, spot) = (random.colour(0.05, 1.0), random.colour(0.0, 1.0));
    let soft = random.between(0.02, 0.1);
    let inside = move |x: f32, y: f32| {
        let (u, v) = ((x * cos - y * sin) / size, (x * sin + y * cos) / (size * squeeze));
        (u, v, length(u, v))
    };
    shadow(canvas, [cx, cy], size, move |x, y| 1.0 - inside(x, y).2);
    canvas.paint([cx - size, cy - size, cx + size, cy + size], |noise, x, y| {
        let (u, v, out) = inside(x - cx, y - cy);
        if out > 1.0 + soft {
            return (colour, 0.0);
        }
        let toward = (1.0 - out * out).max(0.0).sqrt();
        let lit = 0.35 + 0.5 * toward + 0.45 * (u * light[0] + v * light[1]);
        let skin = mix(colour, spot, rough * noise.layered(x * skin, y * skin, 3));
        (scaled(skin, lit), edge(1.0 - out, soft))
    });
}

/// A flat convex shape of three to six sides: what lies inside all of some half planes.
fn block(canvas: &mut Canvas, random: &mut Random, [cx, cy]: [f32; 2], size: f32) {
    let sides: Vec<([f32; 2], f32)> = (0..3 + random.below(4)).map(|_| (random.direction(), random.between(0.35, 0.8))).collect();
    let (colour, stripe) = (random.colour(0.0, 1.0), random.colour(0.0, 1.0));
    let ([cos, sin], bands, skin) = (random.direction(), random.between(1.0, 6.0), random.between(5.0, 25.0));
    let inside = |x: f32, y: f32| {
        let (u, v) = (x / size, y / size);
        let box_edge = 1.0 - u.abs().max(v.abs());
        sides.iter().map(|([nx, ny], out)| out - u * nx - v * ny).fold(box_edge, f32::min)
    };
    shadow(canvas, [cx, cy], size, inside);
    canvas.paint([cx - size, cy - size, cx + size, cy + size], |noise, x, y| {
        let (u, v) = ((x - cx) / size, (y - cy) / size);
        let band = ((u * cos + v * sin) * bands).rem_euclid(2.0);
        let face = mix(colour, stripe, edge((band - 1.0).abs() - 0.5, 0.1));
        let lit = 0.7 + 0.3 * (u * sin - v * cos) + 0.4 * (noise.layered(x * skin, y * skin, 2) - 0.5);
        (scaled(face, lit), edge(inside(x - cx, y - cy), 0.04))
    });
}

/// Darkens what lies below and to the right of a thing.
fn shadow(canvas: &mut Canvas, [cx, cy]: [f32; 2], size: f32, inside: impl Fn(f32, f32) -> f32) {
    let (x, y) = (cx + size * 0.2, cy + size * 0.25);
    let area = [x - size, y - size, x + size, y + size];
    canvas.paint(area, |_, px, py| ([0.0; 3], 0.55 * edge(inside(px - x, py - y) - 0.1, 0.25)));
}

/// Value noise: random values on a grid of 256 by 256 that repeats, smoothly joined.
struct Noise(Vec<f32>);

const GRID: usize = 256;

impl Noise {
    fn new(random: &mut Random) -> Self {
        Noise((0..GRID * GRID).map(|_| random.between(0.0, 1.0)).collect())
    }

    /// From 0 to 1.
    fn at(&self, x: f32, y: f32) -> f32 {
        let (left, top) = (floor(x), floor(y));
        let (u, v) = (smooth(x - left as f32), smooth(y - top as f32));
        let (column, row) = (left as usize % GRID, top as usize % GRID * GRID);
        let (right, below) = ((column + 1) % GRID, (row + GRID) % (GRID * GRID));
        let upper = self.0[row + column] * (1.0 - u) + self.0[row + right] * u;
        let lower = self.0[below + column] * (1.0 - u) + self.0[below + right] * u;
        upper * (1.0 - v) + lower * v
    }

    /// Several layers, each twice as fine and half as strong; from 0 to 1.
    fn layered(&self, x: f32, y: f32, layers: u32) -> f32 {
        let (mut sum, mut total, mut strength, mut scale) = (0.0, 0.0, 1.0, 1.0);
        for layer in 0..layers {
            sum += strength * self.at(x * scale + 17.0 * layer as f32, y * scale + 31.0 * layer as f32);
            total += strength;
            strength *= 0.5;
            scale *= 2.0;
        }
        sum / total
    }
}

/// 0 outside, 1 inside, with a soft edge: `distance` is positive inside.
fn edge(distance: f32, width: f32) -> f32 {
    smooth((distance / width + 0.5).clamp(0.0, 1.0))
}

/// `f32::floor` is a call into the library on targets without an instruction for it.
fn floor(x: f32) -> i32 {
    let cut = x as i32;
    cut - i32::from((cut as f32) > x)
}

fn smooth(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}

fn length(x: f32, y: f32) -> f32 {
    (x * x + y * y).sqrt()
}

fn mix(a: Colour, b: Colour, part: f32) -> Colour {
    [a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part, a[2] + (b[2] - a[2]) * part]
}

fn scaled(colour: Colour, by: f32) -> Colour {
    colour.map(|value| value * by)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FNV-1a of all bytes.
    fn fingerprint(image: &RgbImage) -> u64 {
        image.as_raw().iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
    }

    #[test]
    fn a_seed_gives_one_picture_everywhere() {
        let check = |seed, width, height, expected: u64| {
            let image = draw(seed, width, height);
            assert_eq!(image.dimensions(), (width, height));
            assert_eq!(fingerprint(&image), expected, "seed {seed}");
        };
        check(1, 64, 48, 0x21ba_26b8_b6d0_b5f7);
        check(2, 64, 48, 0x44c3_0ee1_e590_0624);
        check(4, 48, 64, 0xca7c_dfa8_462c_6813);
        check(7, 31, 17, 0xaaf7_470f_103d_5716);
        check(21, 64, 48, 0x414c_fe01_fc1d_d679);
    }

    #[test]
    fn seeds_and_scenes_differ() {
        let mut seen: Vec<u64> = (0..60).map(|seed| fingerprint(&draw(seed, 40, 30))).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 60);
    }

    #[test]
    fn every_size_can_be_drawn() {
        for (width, height) in [(0, 0), (1, 1), (1, 50), (50, 1), (3, 200), (200, 3), (17, 31)] {
            let image = draw(9, width, height);
            assert_eq!(image.dimensions(), (width.max(1), height.max(1)));
        }
    }

    /// What PDQ's quality asks for, measured without it: neighbours in a small grey copy differ.
    #[test]
    fn pictures_have_structure() {
        for seed in 0..40 {
            let small = image::imageops::thumbnail(&image::DynamicImage::from(draw(seed, 256, 192)).to_luma8(), 64, 64);
            let steps = |x, y| u32::from(small.get_pixel(x, y)[0].abs_diff(small.get_pixel(x + 1, y)[0]));
            let sum: u32 = (0..64).flat_map(|y| (0..63).map(move |x| (x, y))).map(|(x, y)| steps(x, y)).sum();
            assert!(sum > 64 * 63 * 4, "seed {seed}: {sum}");
        }
    }
}
