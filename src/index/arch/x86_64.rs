//! The levels of 64-bit x86: AVX2 with population counts (2013 on), and AVX-512 with population counts of 16-bit lanes (2019 on).

use super::Work;
use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

/// AVX2, BMI and POPCNT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx2(());

impl Avx2 {
    pub fn new() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2")
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
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
        unsafe fn compiled<W: Work>(work: W) -> W::Out {
            work.run()
        }
        // SAFETY: a value of this type comes from `new` alone, which found every one of these features.
        unsafe { compiled(work) }
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
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512vl,avx512vpopcntdq,avx512bitalg")]
        unsafe fn compiled<W: Work>(work: W) -> W::Out {
            work.run()
        }
        // SAFETY: a value of this type comes from `new` alone, which found every one of these features.
        unsafe { compiled(work) }
    }
}

#[inline(always)]
pub fn prefetch<T>(at: *const T) {
    // SAFETY: a prefetch reads nothing the program can see and never faults, whatever the address; SSE is in the baseline.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
}
