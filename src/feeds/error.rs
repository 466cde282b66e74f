//! Why does a fetch come to nothing?

use std::time::Duration;

use http::StatusCode;

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

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpError {
    /// It may come to something if it is made again, after that long where the server says so.
    Passing { why: String, after: Option<Duration> },
    /// It will not.
    Lasting { why: String, status: Option<StatusCode> },
}

impl HttpError {
    pub fn passing(why: impl Into<String>) -> Self {
        HttpError::Passing { why: why.into(), after: None }
    }

    pub fn lasting(why: impl Into<String>) -> Self {
        HttpError::Lasting { why: why.into(), status: None }
    }
}
