//! What does this machine's processor do faster than the plainest one?
//!
//! A build must run everywhere, so nothing outside this room may count on instructions beyond the target's baseline. A piece of work is
//! compiled once for each level below, and an index runs it on the [`best`] that the processor has: the code is the same plain Rust, and the compiler makes of it population counts, 32-byte or 64-byte lanes where they are allowed. [`prefetch`] asks for a cache
//! line ahead of its use. A level changes how long work takes, never what it gives: the conformance suite runs every level there is.
//!
//! This is the one room that may use `unsafe`: to call code compiled for a feature after asking whether the processor has it, and to
//! prefetch. A level's `new() -> Option` is that question, so a level in hand is the answer.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod x86_64;

/// Work that can be compiled for several levels. `run` and all it calls in its hot loops must be `#[inline(always)]`, or they are compiled
/// for the baseline only.
pub trait Work {
    type Out;
    fn run(self) -> Self::Out;
}

/// A set of instructions that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// What every processor of the target has. On 64-bit ARM that holds NEON already.
    Baseline,
    #[cfg(target_arch = "x86_64")]
    Avx2(x86_64::Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(x86_64::Avx512),
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Level::Baseline => "baseline",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => "avx512",
        }
    }

    #[inline]
    pub fn run<W: Work>(self, work: W) -> W::Out {
        match self {
            Level::Baseline => work.run(),
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Ones<'a>(&'a [u16]);

    impl Work for Ones<'_> {
        type Out = u32;
        #[inline(always)]
        fn run(self) -> u32 {
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

    #[test]
    fn a_prefetch_beyond_the_end_is_none() {
        prefetch(&[1u8, 2, 3], 3);
        prefetch::<u64>(&[], usize::MAX);
    }
}
