//! What can be set of who calls: section [access] of the configuration.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::entry::options::options;

/// The most that a quota can be: beyond it, it would be none.
pub const ITEMS_PER_S_TOP: u32 = 1_000_000;

options! {
    /// Who may call.
    #[derive(Eq)]
    pub struct Options {
        /// The tokens that callers are known by; empty: callers are not asked for one.
        pub tokens_file: PathBuf = PathBuf::new();
        /// Whether whoever reaches a port may be trusted.
        pub network: Network = Network::default();
        /// Different hashes that a caller may ask with near one entry within an hour before it is told; 0 for any number.
        pub near_questions_max: u32 = 16, in 0..=4096;
        /// Items that a caller without a quota of its own may have matched in a second; 0 for any number.
        pub items_per_s_max: u32 = 0, in 0..=ITEMS_PER_S_TOP;
    }
}

impl Options {
    /// Where the tokens are, if callers need one.
    pub fn tokens_file(&self) -> Option<&Path> {
        Some(self.tokens_file.as_path()).filter(|path| !path.as_os_str().is_empty())
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// Beyond loopback, callers have to show who they are.
    #[default]
    Untrusted,
    /// The network lets trusted callers in alone, and nobody listens on it.
    Trusted,
}
