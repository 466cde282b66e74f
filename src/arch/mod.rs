//! What does this machine's processor do faster than the plainest one?
//!
//! A build must run everywhere, so nothing outside this room may count on instructions beyond the target's baseline. A piece of work is
//! compiled once for each level below, and runs on the [`best`] that the processor has. Most of it is the same plain Rust, of
//! which the compiler makes population counts and wide lanes where they are allowed; a [`Kernel`] is what it would not find by itself.
//! [`prefetch`] asks for a cache line ahead of its use, [`alloc_huge_pages`] for large pages. A level changes how long work takes, never what it gives:
//! the conformance suite runs every level there is.
//!
//! This is the one room that may use `unsafe`: to call code compiled for a feature after asking whether the processor has it, to load
//! vectors from arrays of their size, to prefetch, and to advise the system on pages. A level's `new() -> Option` is that question, so a
//! level in hand is the answer.
#![allow(unsafe_code)]

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use rayon::prelude::*;

/// Work that can be compiled for several levels. `run` and all it calls in its hot loops must be `#[inline(always)]`, or they are compiled
/// for the baseline only.
pub trait Work {
    type Out;
    fn run<K: Kernel>(self, kernel: K) -> Self::Out;
}

/// Floats that are worked on side by side.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(align(64))]
pub struct Lanes(pub [f32; LANES]);

pub const LANES: usize = 16;

impl Lanes {
    pub const ZERO: Lanes = Lanes([0.0; LANES]);
}

/// What the compiler does not make of plain Rust by itself. All implementations give the same.
pub trait Kernel: Copy {
    /// Rows to columns: the first places of `out`, which has at least `LANES`.
    #[inline(always)]
    fn transpose(self, tile: &[Lanes; LANES], out: &mut [Lanes]) {
        let out = &mut out[..LANES];
        for (i, row) in tile.iter().enumerate() {
            for (column, value) in out.iter_mut().zip(&row.0) {
                column.0[i] = *value;
            }
        }
    }

    /// `sum / divisor`, rounded as a division is. `inverse` is `1.0 / divisor`, and the divisor a whole number below 2^20; both the sum and the
    /// quotient are zero, or far from the smallest and the largest floats.
    #[inline(always)]
    fn quotient(self, sum: f32, divisor: f32, inverse: f32) -> f32 {
        let _ = inverse;
        sum / divisor
    }

    /// One bit for each lane that lies within `bits_max` of `other`. `BITS_MAX` below 16 says the same at compile time.
    fn near<const BITS_MAX: u16>(self, lanes: &[u16; 32], other: u16, bits_max: u16) -> u32;

    /// For each of the sixteen bits, that bit of all lanes.
    #[inline(always)]
    fn bit_slices(self, lanes: &[u16; 32]) -> [u32; 16] {
        let mut slices = [0; 16];
        for (bit, slices) in slices.iter_mut().enumerate() {
            let mut of_bit = *lanes;
            for lane in &mut of_bit {
                *lane &= 1 << bit;
            }
            *slices = !self.near::<0>(&of_bit, 0, 0);
        }
        slices
    }
}

/// [`Kernel::quotient`] where there are fused multiplications, which are several times as quick as divisions. The product with the inverse is off by 1.5
/// units in the last place at the most, so its remainder is exact, and the remainder's quotient is off by 2^-23 units. So near to the middle between two
/// floats, where that would round to the wrong side, no quotient by a whole number below 2^20 lies (Markstein's argument).
#[inline(always)]
fn fused_quotient(sum: f32, divisor: f32, inverse: f32) -> f32 {
    let quotient = sum * inverse;
    let remainder = (-quotient).mul_add(divisor, sum);
    remainder.mul_add(inverse, quotient)
}

/// Plain Rust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Portable;

impl Kernel for Portable {
    #[inline(always)]
    fn near<const BITS_MAX: u16>(self, lanes: &[u16; 32], other: u16, bits_max: u16) -> u32 {
        let mut near = [0u8; 32];
        for (near, lane) in near.iter_mut().zip(lanes) {
            *near = u8::from((lane ^ other).count_ones() as u16 <= bits_max);
        }
        if near.iter().fold(0, |any, lane| any | lane) == 0 {
            return 0;
        }
        near.iter().enumerate().fold(0, |bits, (lane, near)| bits | u32::from(*near) << lane)
    }
}

/// `n` times `value`, in large pages where the system has them: look-ups go all over it, and small pages cost as much as the memory. Filled by
/// all threads of the rayon pool that it is called in: where the system has to find the memory first, one took 2 s a gigabyte, as long as all else.
pub fn alloc_huge_pages<T: Copy + Send + Sync>(n: usize, value: T) -> Vec<T> {
    let mut room = Vec::with_capacity(n);
    #[cfg(target_os = "linux")]
    ask_for_large_pages(room.as_mut_ptr(), n);
    room.par_extend(rayon::iter::repeat_n(value, n));
    room
}

/// Moves what is there already to large pages, where the system can do that at once (Linux 6.1). It takes some 0.4 s a gigabyte.
pub fn move_to_large_pages<T>(slice: &[T]) {
    #[cfg(target_os = "linux")]
    {
        ask_for_large_pages(slice.as_ptr(), slice.len());
        /// MADV_COLLAPSE of Linux's mman-common.h, which libc has not for musl.
        const COLLAPSE: libc::c_int = 25;
        advise(slice.as_ptr(), slice.len(), COLLAPSE);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = slice;
}

#[cfg(target_os = "linux")]
fn ask_for_large_pages<T>(at: *const T, n: usize) {
    advise(at, n, libc::MADV_HUGEPAGE);
}

#[cfg(target_os = "linux")]
fn advise<T>(at: *const T, n: usize, advice: libc::c_int) {
    const LARGE: usize = 2 << 20;
    let (begin, end) = ((at as usize).next_multiple_of(4096), (at as usize + n * size_of::<T>()) & !4095);
    if end > begin + LARGE {
        // SAFETY: the pages lie within memory that the caller has, and neither advice changes anything that a program can see but time.
        unsafe { libc::madvise(begin as *mut libc::c_void, end - begin, advice) };
    }
}

/// A set of instructions that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// What every processor of the target has.
    Baseline,
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    Neon(aarch64::Neon),
    #[cfg(target_arch = "x86_64")]
    Avx2(x86_64::Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(x86_64::Avx512),
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Level::Baseline => "baseline",
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Level::Neon(_) => "neon",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => "avx512",
        }
    }

    #[inline]
    pub fn run<W: Work>(self, work: W) -> W::Out {
        match self {
            Level::Baseline => work.run(Portable),
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Level::Neon(level) => level.run(work),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(level) => level.run(work),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(level) => level.run(work),
        }
    }
}

/// Every level of this processor, the slowest first.
pub fn levels() -> Vec<Level> {
    let mut levels = vec![Level::Baseline];
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    levels.extend(aarch64::Neon::new().map(Level::Neon));
    #[cfg(target_arch = "x86_64")]
    {
        levels.extend(x86_64::Avx2::new().map(Level::Avx2));
        levels.extend(x86_64::Avx512::new().map(Level::Avx512));
    }
    levels
}

/// The best level of this processor. It is asked once.
pub fn best() -> Level {
    static BEST: std::sync::OnceLock<Level> = std::sync::OnceLock::new();
    *BEST.get_or_init(|| levels().pop().unwrap_or(Level::Baseline))
}

/// Asks for the cache line that holds `slice[at]`, if there is such an element. Changes nothing but time; does nothing where the
/// target has no such instruction in stable Rust.
#[inline(always)]
pub fn prefetch<T>(slice: &[T], at: usize) {
    if at < slice.len() {
        #[cfg(target_arch = "x86_64")]
        x86_64::prefetch(&raw const slice[at]);
        #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
        aarch64::prefetch(&raw const slice[at]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Ones<'a>(&'a [u16]);

    impl Work for Ones<'_> {
        type Out = u32;
        #[inline(always)]
        fn run<K: Kernel>(self, _: K) -> u32 {
            self.0.iter().map(|word| word.count_ones()).sum()
        }
    }

    #[test]
    fn work_gives_the_same_at_every_level() {
        let words: Vec<u16> = (0..1000).map(|n: u32| (n.wrapping_mul(0x9e37_79b9) >> 9) as u16).collect();
        let expected: u32 = words.iter().map(|word| (0..16).filter(|bit| word >> bit & 1 == 1).count() as u32).sum();
        for level in levels() {
            println!("{}", level.name());
            assert_eq!(level.run(Ones(&words)), expected, "{}", level.name());
        }
        assert_eq!(Some(&best()), levels().last());
    }

    struct Near<'a>(&'a [[u16; 32]]);

    impl Work for Near<'_> {
        type Out = Vec<u32>;
        #[inline(always)]
        fn run<K: Kernel>(self, kernel: K) -> Vec<u32> {
            let lanes = self.0.iter();
            let near = lanes.flat_map(|lanes| {
                let few = [kernel.near::<0>(lanes, 77, 0), kernel.near::<1>(lanes, 77, 1)];
                let more = [kernel.near::<2>(lanes, 77, 2), kernel.near::<3>(lanes, 77, 3)];
                few.into_iter().chain(more).chain((0..=16).map(|bits_max| kernel.near::<16>(lanes, 77, bits_max)))
            });
            near.collect()
        }
    }

    #[test]
    fn every_kernel_marks_the_lanes_that_are_near() {
        let mut random = crate::index::conformance::Random(7);
        let lanes: Vec<[u16; 32]> = (0..500)
            .map(|_| std::array::from_fn(|_| (random.next() & random.next()) as u16 ^ (77 * (random.next() as u16 & 1))))
            .collect();
        let mut expected = Vec::new();
        for lanes in &lanes {
            for bits_max in [0, 1, 2, 3].into_iter().chain(0..=16) {
                let near = lanes.iter().zip(0..).map(|(lane, at)| u32::from((lane ^ 77).count_ones() <= bits_max) << at);
                expected.push(near.fold(0, |bits, near| bits | near));
            }
        }
        for level in levels() {
            assert!(level.run(Near(&lanes)) == expected, "{}", level.name());
        }
    }

    struct Quotients<'a>(&'a [f32], u32);

    impl Work for Quotients<'_> {
        type Out = bool;
        #[inline(always)]
        fn run<K: Kernel>(self, kernel: K) -> bool {
            let divisor = self.1 as f32;
            self.0.iter().all(|sum| kernel.quotient(*sum, divisor, 1.0 / divisor).to_bits() == (sum / divisor).to_bits())
        }
    }

    #[test]
    fn every_kernel_divides_as_a_division_rounds() {
        let mut random = crate::index::conformance::Random(7);
        // From -2^16 to 2^16, in steps that grow small near zero; and whole numbers.
        let mut sums: Vec<f32> =
            (0..20_000).map(|n| (random.next() >> 40) as i32 as f32 / [1u64, 1 << 8, 1 << 20, 1 << 40][n % 4] as f32).collect();
        sums.extend((0..4_000).map(|n| n as f32));
        sums.extend(sums.clone().iter().map(|sum| -sum).filter(|sum| *sum != 0.0));
        for level in levels() {
            let divisors = (1..=600).chain((600..8_000).step_by(37)).chain([(1 << 20) - 1]);
            for divisor in divisors {
                assert!(level.run(Quotients(&sums, divisor)), "{} by {divisor}", level.name());
            }
        }
    }

    struct Transpose<'a>(&'a [Lanes; LANES], &'a mut [Lanes]);

    impl Work for Transpose<'_> {
        type Out = ();
        #[inline(always)]
        fn run<K: Kernel>(self, kernel: K) {
            kernel.transpose(self.0, self.1);
        }
    }

    #[test]
    fn every_kernel_makes_columns_of_rows() {
        let tile: [Lanes; LANES] = std::array::from_fn(|i| Lanes(std::array::from_fn(|j| (100 * i + j) as f32)));
        for level in levels() {
            let mut out = [Lanes::ZERO; LANES + 1];
            level.run(Transpose(&tile, &mut out));
            let expected: [Lanes; LANES] = std::array::from_fn(|i| Lanes(std::array::from_fn(|j| (100 * j + i) as f32)));
            assert!(out[..LANES] == expected && out[LANES] == Lanes::ZERO, "{}", level.name());
        }
    }

    struct AcrossBits<'a>(&'a [u16; 32]);

    impl Work for AcrossBits<'_> {
        type Out = [u32; 16];
        #[inline(always)]
        fn run<K: Kernel>(self, kernel: K) -> [u32; 16] {
            kernel.bit_slices(self.0)
        }
    }

    #[test]
    fn every_kernel_lays_bits_across() {
        let mut random = crate::index::conformance::Random(7);
        for _ in 0..100 {
            let lanes: [u16; 32] = std::array::from_fn(|_| random.next() as u16);
            let of_bit = |bit: usize| lanes.iter().zip(0..).fold(0, |bits, (lane, at)| bits | u32::from(lane >> bit & 1) << at);
            for level in levels() {
                assert_eq!(level.run(AcrossBits(&lanes)), std::array::from_fn(of_bit), "{}", level.name());
            }
        }
    }

    #[test]
    fn room_in_large_pages_holds_what_it_is_filled_with() {
        for n in [0, 1, 1_000, 3_000_000] {
            let room = alloc_huge_pages(n, 0x0102_0304_u32);
            assert!(room.len() == n && room.iter().all(|value| *value == 0x0102_0304));
        }
    }

    #[test]
    fn a_prefetch_beyond_the_end_is_none() {
        prefetch(&[1u8, 2, 3], 3);
        prefetch::<u64>(&[], usize::MAX);
    }
}
