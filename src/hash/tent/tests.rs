use super::*;
use crate::arch;
use crate::decode::{Channels, Picture, Rendering};
use proptest::prelude::*;

/// The filter as the reference has it: four passes over the whole picture, each output a running sum's mean.
fn plain(luma: LumaPlane<'_>) -> Samples {
    let (width, height) = (luma.width() as usize, luma.height() as usize);
    let mut rows = vec![vec![0.0; width]; height];
    rows.iter_mut().zip(0..).for_each(|(row, y)| luma.row(y, row));
    for _ in 0..2 {
        rows.iter_mut().for_each(|row| *row = means(row));
        for x in 0..width {
            let column: Vec<f32> = rows.iter().map(|row| row[x]).collect();
            rows.iter_mut().zip(means(&column)).for_each(|(row, mean)| row[x] = mean);
        }
    }
    let place = |i: usize, side: usize| ((i as f64 + 0.5) * side as f64 / SIDE as f64) as usize;
    std::array::from_fn(|i| rows[place(i / SIDE, height)][place(i % SIDE, width)])
}

/// The box grows at the beginning, slides, and shrinks at the end.
fn means(input: &[f32]) -> Vec<f32> {
    let n = input.len();
    let size = n.div_ceil(2 * SIDE);
    let ahead = (size + 2) / 2;
    let (mut sum, mut inside, mut out) = (0.0f32, 0, Vec::new());
    for entering in 0..n + ahead - 1 {
        if entering < n {
            sum += input[entering];
            inside += 1;
        }
        if entering >= size {
            sum -= input[entering - size];
            inside -= 1;
        }
        if entering + 1 >= ahead {
            out.push(sum / inside as f32);
        }
    }
    out
}

/// Samples and every row shown, at every level that this processor has.
fn check(width: u32, height: u32, channels: Channels, samples: Vec<u8>) {
    let picture = Picture::new(width, height, channels, samples).unwrap();
    let luma = picture.luma(picture.renderings().last().copied().unwrap_or(Rendering::Stored));
    let expected = plain(luma).map(f32::to_bits);
    for level in arch::levels() {
        let mut y = 0;
        let mut own = vec![0.0; width as usize];
        let mut each_row = |row: &[f32]| {
            luma.row(y, &mut own);
            assert_eq!(row, own, "row {y}");
            y += 1;
        };
        let name = level.name();
        let shown = level.run(Sampling { luma, each_row: Some(&mut each_row) }).map(f32::to_bits);
        assert!(shown == expected, "{width}x{height}, {channels:?}, {name}");
        assert_eq!(y, height, "{name}");
        assert!(
            level.run(Sampling { luma, each_row: None }).map(f32::to_bits) == expected,
            "{width}x{height}, {channels:?}, {name}"
        );
    }
}

/// Sizes at which a box gains a pixel, a tile or a band begins, or sums outgrow 16 bits.
#[test]
fn samples_are_the_references_at_the_sizes_where_something_changes() {
    let mut random = 1u32;
    let mut byte = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 24) as u8
    };
    let sides = [5, 16, 63, 65, 128, 129, 240, 256, 257, 384, 385];
    let squares = sides.into_iter().flat_map(|width| sides.map(|height| (width, height)));
    let strips = [(32_896, 5), (32_897, 6), (5, 32_897), (40_000, 5)];
    for (width, height) in squares.chain(strips) {
        for channels in [Channels::Grey, Channels::Rgb] {
            check(width, height, channels, (0..(width * height) as usize * channels.count()).map(|_| byte()).collect());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn samples_are_the_references_at_any_size(
        (width, height) in (5u32..700, 5u32..700),
        channels in prop_oneof![Just(Channels::Grey), Just(Channels::GreyAlpha), Just(Channels::Rgb), Just(Channels::Rgba)],
        seed in any::<u32>(),
        bits in 0u32..=8,
    ) {
        // From a flat grey to noise: where little changes, what rounding leaves in the running sums is all there is.
        let mut random = seed;
        let samples = (0..(width * height) as usize * channels.count()).map(|_| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            200u8.wrapping_add(((random >> 24) >> (8 - bits)) as u8)
        });
        check(width, height, channels, samples.collect());
    }
}
