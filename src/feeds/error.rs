//! Why does a fetch come to nothing?

use std::time::Duration;

use crate::catalog::CatalogError;

/// Why a fetch came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// What was set can't be fetched as the configuration is.
    #[error("{0}")]
    Refused(String),
    /// The source, or the way to it, failed; `after` where it wants to be left alone so long.
    #[error("{why}")]
    Failed { why: String, after: Option<Duration> },
    #[error("the server is stopping")]
    Stopped,
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl FeedError {
    pub fn failed(why: impl Into<String>) -> Self {
        FeedError::Failed { why: why.into(), after: None }
    }
}

impl From<std::io::Error> for FeedError {
    fn from(error: std::io::Error) -> Self {
        FeedError::failed(crate::entry::shown::in_words(&error))
    }
}
