//! The level of 64-bit ARM: NEON, which all of them have. The compiler makes good use of it by itself; not so for the one mask of 32 lanes.

use super::{Kernel, Work, fused_quotient};
use std::arch::aarch64::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neon(());

impl Neon {
    pub fn new() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Neon(()))
    }

    #[inline]
    pub fn run<W: Work>(self, work: W) -> W::Out {
        /// # Safety
        /// The processor has NEON.
        #[target_feature(enable = "neon")]
        unsafe fn compiled<W: Work>(level: Neon, work: W) -> W::Out {
            work.run(level)
        }
        // SAFETY: a value of this type comes from `new` alone, which found NEON.
        unsafe { compiled(self, work) }
    }
}

impl Kernel for Neon {
    #[inline(always)]
    fn quotient(self, sum: f32, divisor: f32, inverse: f32) -> f32 {
        fused_quotient(sum, divisor, inverse)
    }

    #[inline(always)]
    fn near<const BITS_MAX: u16>(self, lanes: &[u16; 32], other: u16, bits_max: u16) -> u32 {
        // SAFETY: a value of this type says that the processor has NEON.
        unsafe { near_neon(lanes, other, bits_max) }
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn near_neon(lanes: &[u16; 32], other: u16, bits_max: u16) -> u32 {
    const BITS: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];
    let (other, bits_max) = (vdupq_n_u16(other), vdupq_n_u16(bits_max));
    let (first, second) = (near_eight(lanes, 0, other, bits_max), near_eight(lanes, 1, other, bits_max));
    let (third, fourth) = (near_eight(lanes, 2, other, bits_max), near_eight(lanes, 3, other, bits_max));
    // SAFETY: the load is of `BITS`, 16 bytes.
    let bits = unsafe { vld1q_u8(BITS.as_ptr()) };
    let low = vandq_u8(vcombine_u8(first, second), bits);
    let high = vandq_u8(vcombine_u8(third, fourth), bits);
    // Neighbours are added three times: eight lanes make a byte.
    let pairs = vpaddq_u8(low, high);
    let fours = vpaddq_u8(pairs, pairs);
    let eights = vpaddq_u8(fours, fours);
    vgetq_lane_u32::<0>(vreinterpretq_u32_u8(eights))
}

/// All ones in the byte of each lane, of the eight that begin at `8 * at`, that lies within `bits_max` of `other`.
#[inline]
#[target_feature(enable = "neon")]
fn near_eight(lanes: &[u16; 32], at: usize, other: uint16x8_t, bits_max: uint16x8_t) -> uint8x8_t {
    let lanes = &lanes[8 * at..8 * at + 8];
    // SAFETY: the load is of these 16 bytes.
    let differ = veorq_u16(unsafe { vld1q_u16(lanes.as_ptr()) }, other);
    let ones = vpaddlq_u8(vcntq_u8(vreinterpretq_u8_u16(differ)));
    vmovn_u16(vcleq_u16(ones, bits_max))
}

#[inline(always)]
pub fn prefetch<T>(at: *const T) {
    // SAFETY: a prefetch reads nothing the program can see and never faults, whatever the address.
    unsafe { std::arch::asm!("prfm pldl1keep, [{at}]", at = in(reg) at, options(nostack, preserves_flags, readonly)) }
}
