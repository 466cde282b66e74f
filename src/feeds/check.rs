//! Can a source be fetched at all, as the configuration is?
//!
//! What can be told without asking anybody: whoever sets a source hears at once what would fail each time. Names are not resolved here, so what
//! they stand for is looked at when it is fetched.

use super::connect::Connect;
use super::credentials::Credentials;
use super::folder;
use super::origin::Origin;
use super::{FeedError, Feeds};
use crate::entry::{Feed, FeedKind, checked_url};

impl Feeds {
    pub(super) fn check_feed(&self, list: &str, feed: &Feed) -> Result<(), FeedError> {
        feed.check().map_err(|bad| FeedError::Catalog(bad.into()))?;
        if feed.kind == FeedKind::Files && feed.is_folder() {
            return folder::allowed(&self.options, feed).map(drop);
        }
        let refused = |why: String| Err(FeedError::Refused(why));
        let url = checked_url(&feed.place).map_err(|bad| FeedError::Catalog(bad.into()))?;
        let Some(origin) = Origin::of(&url) else { return refused("the URL has no valid host".to_owned()) };
        Connect::new(&self.options).and_then(|connect| connect.check_unresolved(&origin)).or_else(refused)?;
        if feed.credentials.is_empty() {
            return Ok(());
        }
        let credentials = Credentials::load(&self.options.credentials_dir, &feed.credentials, Some(list))?;
        match credentials.origin == origin {
            true => Ok(()),
            false => refused(format!("the credentials are for {}, and are not sent to {origin}", credentials.origin)),
        }
    }
}
