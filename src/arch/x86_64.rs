//! The levels of 64-bit x86: AVX2 with population counts (2013 on), and AVX-512 with population counts of 16-bit lanes (2019 on).

use super::{Kernel, LANES, Lanes, Work, fused_quotient};
use std::arch::x86_64::*;

/// AVX2, FMA, BMI and POPCNT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx2(());

impl Avx2 {
    pub fn new() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt");
        has.then_some(Avx2(()))
    }

    #[inline]
    pub fn run<W: Work>(self, work: W) -> W::Out {
        /// # Safety
        /// The processor has every feature named.
        #[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,popcnt")]
        unsafe fn compiled<W: Work>(level: Avx2, work: W) -> W::Out {
            work.run(level)
        }
        // SAFETY: a value of this type comes from `new` alone, which found every one of these features.
        unsafe { compiled(self, work) }
    }
}

/// AVX-512 F, BW, VL, VPOPCNTDQ and BITALG, beside all of [`Avx2`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx512(());

impl Avx512 {
    pub fn new() -> Option<Self> {
        let has = Avx2::new().is_some()
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vpopcntdq")
            && is_x86_feature_detected!("avx512bitalg");
        has.then_some(Avx512(()))
    }

    #[inline]
    pub fn run<W: Work>(self, work: W) -> W::Out {
        /// # Safety
        /// The processor has every feature named.
        #[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512vl,avx512vpopcntdq,avx512bitalg")]
        unsafe fn compiled<W: Work>(level: Avx512, work: W) -> W::Out {
            work.run(level)
        }
        // SAFETY: a value of this type comes from `new` alone, which found every one of these features.
        unsafe { compiled(self, work) }
    }
}

impl Kernel for Avx2 {
    #[inline(always)]
    fn transpose(self, tile: &[Lanes; LANES], out: &mut [Lanes]) {
        // SAFETY: a value of this type says that the processor has AVX2.
        unsafe { transpose_avx2(tile, out) }
    }

    #[inline(always)]
    fn quotient(self, sum: f32, divisor: f32, inverse: f32) -> f32 {
        fused_quotient(sum, divisor, inverse)
    }

    #[inline(always)]
    fn near<const BITS_MAX: u16>(self, lanes: &[u16; 32], other: u16, bits_max: u16) -> u32 {
        // SAFETY: a value of this type says that the processor has AVX2.
        unsafe { near_avx2::<BITS_MAX>(lanes, other, bits_max) }
    }

    #[inline(always)]
    fn bit_slices(self, lanes: &[u16; 32]) -> [u32; 16] {
        // SAFETY: a value of this type says that the processor has AVX2.
        unsafe { across_avx2(lanes) }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn near_avx2<const BITS_MAX: u16>(lanes: &[u16; 32], other: u16, bits_max: u16) -> u32 {
    let other = _mm256_set1_epi16(other as i16);
    let (low, high) = load(lanes);
    let low = near_half::<BITS_MAX>(_mm256_xor_si256(low, other), bits_max);
    let high = near_half::<BITS_MAX>(_mm256_xor_si256(high, other), bits_max);
    _mm256_movemask_epi8(in_order(_mm256_packs_epi16(low, high))) as u32
}

#[inline]
#[target_feature(enable = "avx2")]
fn across_avx2(lanes: &[u16; 32]) -> [u32; 16] {
    let (low, high) = load(lanes);
    let byte = _mm256_set1_epi16(0xff);
    let lower = _mm256_packus_epi16(_mm256_and_si256(low, byte), _mm256_and_si256(high, byte));
    let higher = _mm256_packus_epi16(_mm256_srli_epi16::<8>(low), _mm256_srli_epi16::<8>(high));
    let (mut lower, mut higher) = (in_order(lower), in_order(higher));
    let mut slices = [0; 16];
    for bit in (0..8).rev() {
        slices[bit] = _mm256_movemask_epi8(lower) as u32;
        slices[bit + 8] = _mm256_movemask_epi8(higher) as u32;
        (lower, higher) = (_mm256_add_epi8(lower, lower), _mm256_add_epi8(higher, higher));
    }
    slices
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(lanes: &[u16; 32]) -> (__m256i, __m256i) {
    let at = lanes.as_ptr().cast::<__m256i>();
    // SAFETY: `lanes` is 64 bytes: two times 32.
    unsafe { (_mm256_loadu_si256(at), _mm256_loadu_si256(at.add(1))) }
}

/// What was packed from two registers: packing works within halves of each, so the quarters are put back in order.
#[inline]
#[target_feature(enable = "avx2")]
fn in_order(packed: __m256i) -> __m256i {
    _mm256_permute4x64_epi64::<0b11_01_10_00>(packed)
}

/// All ones in each lane that has at most `bits_max` ones.
#[inline]
#[target_feature(enable = "avx2")]
fn near_half<const BITS_MAX: u16>(differ: __m256i, bits_max: u16) -> __m256i {
    if BITS_MAX < 4 {
        // Each round takes the lowest bit away: nothing is left where there were no more than that.
        let mut left = differ;
        for _ in 0..BITS_MAX {
            left = _mm256_and_si256(left, _mm256_add_epi16(left, _mm256_set1_epi16(-1)));
        }
        return _mm256_cmpeq_epi16(left, _mm256_setzero_si256());
    }
    // Ones of each nibble from a table, then of the two bytes together.
    let ones = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    let nibble = _mm256_set1_epi8(15);
    let low = _mm256_shuffle_epi8(ones, _mm256_and_si256(differ, nibble));
    let high = _mm256_shuffle_epi8(ones, _mm256_and_si256(_mm256_srli_epi16::<4>(differ), nibble));
    let sum = _mm256_maddubs_epi16(_mm256_add_epi8(low, high), _mm256_set1_epi8(1));
    _mm256_cmpgt_epi16(_mm256_set1_epi16(bits_max as i16 + 1), sum)
}

impl Kernel for Avx512 {
    #[inline(always)]
    fn transpose(self, tile: &[Lanes; LANES], out: &mut [Lanes]) {
        // SAFETY: a value of this type says that the processor has AVX-512 F.
        unsafe { transpose_avx512(tile, out) }
    }

    #[inline(always)]
    fn quotient(self, sum: f32, divisor: f32, inverse: f32) -> f32 {
        fused_quotient(sum, divisor, inverse)
    }

    #[inline(always)]
    fn near<const BITS_MAX: u16>(self, lanes: &[u16; 32], other: u16, bits_max: u16) -> u32 {
        // SAFETY: a value of this type says that the processor has AVX-512 F, BW and BITALG. The load is of `lanes`.
        unsafe {
            let differ = _mm512_xor_si512(_mm512_loadu_si512(lanes.as_ptr().cast()), _mm512_set1_epi16(other as i16));
            _mm512_cmple_epu16_mask(_mm512_popcnt_epi16(differ), _mm512_set1_epi16(bits_max as i16))
        }
    }
}

/// Quarters of 8 by 8: pairs of rows are interleaved by one, then by two, then halves change places.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose_avx2(tile: &[Lanes; LANES], out: &mut [Lanes]) {
    let out = &mut out[..LANES];
    for (down, across) in [(0, 0), (0, 8), (8, 0), (8, 8)] {
        // SAFETY: the load is of eight of the row's sixteen floats.
        let rows: [__m256; 8] =
            std::array::from_fn(|i| unsafe { _mm256_loadu_ps(tile[down + i].0[across..across + 8].as_ptr()) });
        let ones: [__m256; 8] = std::array::from_fn(|i| match i % 2 {
            0 => _mm256_unpacklo_ps(rows[i], rows[i + 1]),
            _ => _mm256_unpackhi_ps(rows[i - 1], rows[i]),
        });
        let twos: [__m256; 8] = std::array::from_fn(|i| {
            let (a, b) = (ones[i / 4 * 4 + i % 4 / 2], ones[i / 4 * 4 + i % 4 / 2 + 2]);
            if i % 2 == 0 { _mm256_shuffle_ps::<0b01_00_01_00>(a, b) } else { _mm256_shuffle_ps::<0b11_10_11_10>(a, b) }
        });
        for i in 0..8 {
            let (a, b) = (twos[i % 4], twos[i % 4 + 4]);
            let column = if i < 4 { _mm256_permute2f128_ps::<0x20>(a, b) } else { _mm256_permute2f128_ps::<0x31>(a, b) };
            // SAFETY: the store is to eight of the row's sixteen floats.
            unsafe { _mm256_storeu_ps(out[across + i].0[down..down + 8].as_mut_ptr(), column) };
        }
    }
}

/// Rows are interleaved by one, then by two; then quarters change places, and halves.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose_avx512(tile: &[Lanes; LANES], out: &mut [Lanes]) {
    let out = &mut out[..LANES];
    // SAFETY: the load is of the row's sixteen floats.
    let rows: [__m512; 16] = std::array::from_fn(|i| unsafe { _mm512_loadu_ps(tile[i].0.as_ptr()) });
    let ones: [__m512; 16] = std::array::from_fn(|i| match i % 2 {
        0 => _mm512_unpacklo_ps(rows[i], rows[i + 1]),
        _ => _mm512_unpackhi_ps(rows[i - 1], rows[i]),
    });
    // In each quarter of the row `i` the column of that quarter and `i % 4`, from the rows `i / 4 * 4` on.
    let twos: [__m512; 16] = std::array::from_fn(|i| {
        let (a, b) = (ones[i / 4 * 4 + i % 4 / 2], ones[i / 4 * 4 + i % 4 / 2 + 2]);
        if i % 2 == 0 { _mm512_shuffle_ps::<0b01_00_01_00>(a, b) } else { _mm512_shuffle_ps::<0b11_10_11_10>(a, b) }
    });
    for i in 0..4 {
        let (a, b, c, d) = (twos[i], twos[i + 4], twos[i + 8], twos[i + 12]);
        let (first, second) = (_mm512_shuffle_f32x4::<0b10_00_10_00>(a, b), _mm512_shuffle_f32x4::<0b10_00_10_00>(c, d));
        let (third, fourth) = (_mm512_shuffle_f32x4::<0b11_01_11_01>(a, b), _mm512_shuffle_f32x4::<0b11_01_11_01>(c, d));
        let columns = [
            _mm512_shuffle_f32x4::<0b10_00_10_00>(first, second),
            _mm512_shuffle_f32x4::<0b10_00_10_00>(third, fourth),
            _mm512_shuffle_f32x4::<0b11_01_11_01>(first, second),
            _mm512_shuffle_f32x4::<0b11_01_11_01>(third, fourth),
        ];
        for (quarter, column) in columns.into_iter().enumerate() {
            // SAFETY: the store is to the row's sixteen floats.
            unsafe { _mm512_storeu_ps(out[4 * quarter + i].0.as_mut_ptr(), column) };
        }
    }
}

/// Into the second cache: on the way to the first there is room for some two dozen lines alone, and a look-up asks for hundreds. On a Zen 4 it
/// took 2.2 times as long among ten million rows when it asked for them in the first.
#[inline(always)]
pub fn prefetch<T>(at: *const T) {
    // SAFETY: a prefetch reads nothing the program can see and never faults, whatever the address; SSE is in the baseline.
    unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
}
