//! What can be set of fetching: section [feeds] of the configuration.

use std::path::PathBuf;

use crate::entry::options::options;

const MIB: u64 = 1024 * 1024;

options! {
    /// What may be fetched from where, and its limits.
    #[derive(Eq)]
    pub struct Options {
        /// The server fetches sources when they are due; else only when somebody asks.
        pub schedule: bool = true;
        /// Sources that are fetched at once by the schedule, and as many again because somebody asked.
        pub fetches_max: usize = 4, in 1..=64;
        /// The folder of credentials: a file NAME.toml for each. Empty: those of the environment alone.
        pub credentials_dir: PathBuf = PathBuf::new();
        /// Folders that sources may read lie below this one. Empty: none may.
        pub folder: PathBuf = PathBuf::new();
        /// Authorities beside the system's that may have issued the certificates of sources' servers, in PEM. Empty: none.
        pub ca_file: PathBuf = PathBuf::new();
        /// `http://HOST:PORT`: what servers are reached through, by CONNECT. Empty: they are reached directly.
        pub proxy: String = String::new();
        /// The name of the credentials that the proxy is shown. Empty: none.
        pub proxy_credentials: String = String::new();
        /// Addresses of private networks and of this machine may be fetched from, too.
        pub private_hosts: bool = false;
        /// Bytes of one page of an interface: each fetch holds one in memory.
        pub page_bytes_max: u64 = 64 * MIB, in 64 * 1024..=1024 * MIB;
        /// Bytes of a file, and of the pages between two imports; they lie beside the store until they are imported.
        pub file_bytes_max: u64 = 16 * 1024 * MIB, in MIB..=1024 * 1024 * MIB;
        /// ms within which a connection must stand, TLS included.
        pub connect_ms_max: u64 = 20_000, in 10..=600_000;
        /// ms within which an answer must begin, and go on.
        pub idle_ms_max: u64 = 60_000, in 10..=3_600_000;
        /// Seconds that one request may take in all.
        pub request_s_max: u64 = 3_600, in 1..=86_400;
        /// Seconds that a fetch may take in all, where it comes in pages: it holds one of the places of fetches.
        pub fetch_s_max: u64 = 4 * 3_600, in 1..=30 * 86_400;
        /// How often a request is made before the fetch fails.
        pub attempts_max: u32 = 6, in 1..=20;
        /// ms to wait after the first failure; doubled after each, with jitter.
        pub backoff_ms: u64 = 1_000, in 0..=60_000;
        /// Seconds that a fetch waits at the most because the source asks for it; beyond that the fetch ends, and begins anew when the time is over.
        pub retry_after_s_max: u64 = 300, in 0..=3_600;
    }
}
