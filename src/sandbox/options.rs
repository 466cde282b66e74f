//! What can be set of the sandbox?

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::entry::options::options;

options! {
    /// Whether pictures are decoded in processes of their own.
    pub struct Options {
        pub sandbox: Sandbox = Sandbox::Auto;
        /// The binary that workers are started from: it begins with [`work`](super::work) where [`is_worker`](super::is_worker) says so. `None`:
        /// this process is of another program, which has no workers.
        #[serde(skip)]
        pub program: Option<PathBuf> = None;
    }
}

/// What is done on a system that can't confine a process, or not as much as is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sandbox {
    /// Workers with what the system has; without workers where none can be started. What is missing is told.
    #[default]
    Auto,
    /// Nothing is decoded unless workers are denied files, sockets and processes.
    Required,
    /// Pictures are decoded in the server's process.
    Off,
}
