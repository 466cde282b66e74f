//! Why was a configuration refused?

use crate::entry::shown::unopened;
use std::path::PathBuf;

/// A configuration is a page or two; this keeps a mistaken path (a device, a list file) from being swallowed whole.
pub(super) const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Why a configuration was refused. Values are shown: none of them is a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the configuration can't be read: {}", unopened(&path.display().to_string(), .error))]
    Unreadable { path: PathBuf, error: std::io::Error },
    #[error("the configuration {} has more than {FILE_BYTES_MAX} bytes", path.display())]
    TooLong { path: PathBuf },
    #[error("{origin} is not TOML: {what}")]
    NotToml { origin: String, what: String },
    #[error("unknown section [{section}] ({origin}{meant}): the sections are {known}")]
    UnknownSection { section: String, origin: String, meant: String, known: String },
    #[error("unknown key [{section}] {key} ({origin}{meant}): the keys of [{section}] are {known}")]
    UnknownKey { section: String, key: String, origin: String, meant: String, known: String },
    #[error("[{section}] {key} {must} ({origin})")]
    Refused { section: String, key: String, must: String, origin: String },
    #[error("[{section}] {key} {must}")]
    Unfit { section: &'static str, key: &'static str, must: String },
    #[error("the environment variable {variable} is not UTF-8")]
    NotText { variable: String },
    #[error("the configuration can't be put together: {0}")]
    Unsound(String),
}
