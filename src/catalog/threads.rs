//! Which threads build indexes, and at which priority?
//!
//! Nothing answers before the first snapshot is there, so its threads run at normal priority. Those that build later ones let look-ups go
//! first when both want a core.

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::CatalogError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// The process's own.
    Normal,
    Background,
}

/// Niceness of background threads.
const BACKGROUND_NICE: i32 = 10;

/// One thread for each core.
pub fn pool(name: &'static str, priority: Priority) -> Result<ThreadPool, CatalogError> {
    let pool = ThreadPoolBuilder::new().thread_name(move |n| format!("{name}-{n}")).start_handler(move |_| {
        if priority == Priority::Background {
            stand_back();
        }
    });
    pool.build().map_err(|error| CatalogError::Refused(format!("threads for {name} could not be started: {error}")))
}

/// Look-ups go before the calling thread from now on. Of this thread alone, on Linux; where it can't be had, it is as good as any.
pub fn stand_back() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(BACKGROUND_NICE);
}

/// How much the calling thread stands back: 0 where it does not, `None` where that can't be told.
pub fn niceness() -> Option<i32> {
    #[cfg(target_os = "linux")]
    return rustix::process::getpriority_process(None).ok();
    #[cfg(not(target_os = "linux"))]
    None
}
