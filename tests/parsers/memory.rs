//! How much memory does an input take at its peak?

use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What `work` gives, if at no moment it holds more than `bytes_max` beyond what was there. Other threads' memory counts too.
#[track_caller]
pub fn within<T>(bytes_max: usize, work: impl FnOnce() -> T) -> T {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let done = work();
    let held = MEMORY.peak_usage().saturating_sub(before);
    assert!(held <= bytes_max, "{held} bytes at the peak, {bytes_max} are the most");
    done
}
