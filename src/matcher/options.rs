//! What can be set of the matcher. Its options stand in several sections of the configuration, each of them whole in one struct here.

use super::flood::Flood;
use crate::entry::ViewSet;
use crate::entry::options::{by_name, options};
use crate::views;

/// Limits of the matcher, and its threads.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    pub extract: Extract,
    pub search: Search,
    pub views: Views,
    pub watch: Watch,
    pub flood: Flood,
    /// Hash-only items admitted at once.
    pub hash_items_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            extract: Extract::default(),
            search: Search::default(),
            views: Views::default(),
            watch: Watch::default(),
            flood: Flood::default(),
            hash_items_max: 65_536,
        }
    }
}

/// The most that [`Extract::queue_bytes_max`] can be.
pub const QUEUE_BYTES_TOP: u64 = 1 << 40;

options! {
    /// How images are worked on, and how many are admitted.
    pub struct Extract {
        /// Threads that decode and hash; 0 means one for each core.
        pub threads: usize = 0, in 0..=1024;
        /// Images admitted at once, waiting and being worked on; the next one is shed.
        pub queue_max: usize = 256, in 1..=1_000_000;
        /// Their bytes together; an image that alone is larger waits for the others to go. At least what one image may have.
        pub queue_bytes_max: u64 = 512 << 20, in 1..=QUEUE_BYTES_TOP;
    }
}

impl Extract {
    /// The threads that there are with these options.
    pub fn threads_started(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }
}

options! {
    /// How hashes are looked up.
    #[derive(Copy)]
    pub struct Search {
        /// Threads that look batches of hashes up, and as many for a few at a time; 0 means one for each core.
        pub threads: usize = 0, in 0..=1024;
    }
}

options! {
    /// Which views are looked up.
    pub struct Views {
        /// Which views of an image are looked up where its job does not say.
        #[serde(with = "by_name")]
        pub default: ViewSet = ViewSet::default();
        #[serde(flatten)]
        pub limits: views::Limits = views::Limits::default();
    }
}

options! {
    /// How the threads are watched.
    #[derive(Copy)]
    pub struct Watch {
        /// A thread that is busy with one job for so many ms counts as stuck. More than a deadline and the longest that a decoder takes beyond it.
        pub stuck_ms: u64 = 30_000, in 100..=86_400_000;
    }
}
