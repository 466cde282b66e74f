//! Which sections are there? Each is the options that a room declares, those of a few rooms together, or its own.

use crate::entry::options::options;
use crate::store::FREE_BYTES_MIN;
use crate::{access, admission, catalog, decode, feeds, matcher, operator, sandbox, service, snapshot, verdict};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// All sections.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Config {
    pub store: Store,
    pub grpc: service::Options,
    pub access: access::Options,
    pub operator: Operator,
    pub tls: admission::TlsOptions,
    pub extract: Extract,
    pub views: matcher::Views,
    pub search: matcher::Search,
    pub flood: matcher::Flood,
    pub index: snapshot::Choices,
    pub snapshot: verdict::Limits,
    pub import: catalog::Imports,
    pub feeds: feeds::Options,
    pub log: Log,
    pub process: Process,
}

options! {
    /// The embedded store.
    pub struct Store {
        /// Its directory; made if it is not there.
        pub dir: PathBuf = "hashwarden-store".into();
        /// Bytes that must be free on its disk for changes to be taken; look-ups need none.
        pub free_bytes_min: u64 = FREE_BYTES_MIN, in 0..=1 << 60;
        #[serde(flatten)]
        pub keep: catalog::Keep = catalog::Keep::default();
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Operator {
    #[serde(flatten)]
    pub port: operator::Options,
    /// What /readyz says of threads.
    #[serde(flatten)]
    pub watch: matcher::Watch,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Extract {
    #[serde(flatten)]
    pub images: matcher::Extract,
    #[serde(flatten)]
    pub limits: decode::Limits,
    #[serde(flatten)]
    pub workers: sandbox::Options,
}

options! {
    /// Log lines.
    pub struct Log {
        pub format: LogFormat = LogFormat::Text;
        /// `error`, `warn`, `info`, `debug`, `trace` or `off`, or directives such as `info,hashwarden=debug`.
        pub level: String = "info".to_owned();
        /// Bytes of lines that wait for whoever reads standard error; further ones are dropped.
        pub queue_bytes_max: u64 = 16 << 20, in 4096..=1 << 30;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Whether the system may write the process's memory to a file when it crashes.
    pub core_dumps: CoreDumps,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CoreDumps {
    #[default]
    Off,
    /// As the system has it.
    System,
}
