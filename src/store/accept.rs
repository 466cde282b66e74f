//! A store that does not hold what was acknowledged, taken as it is.

use super::open::open_as_found;
use super::{Store, StoreError, head};
use std::path::Path;

/// What a store was taken for by [`Store::accept`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The last change that is there.
    pub seq: u64,
    /// The last one that was acknowledged, where `HEAD` can tell.
    pub acknowledged: Option<u64>,
}

impl Store {
    /// Takes the store as it is found: what `HEAD` says of changes that are not there is given up. Everything that is there stays.
    pub fn accept(dir: &Path) -> Result<Accepted, StoreError> {
        let acknowledged = head::read(dir).ok().flatten().map(|head| head.seq);
        let (db, last) = open_as_found(dir)?;
        head::write(dir, last)?;
        head::note_kept(&db)?;
        Ok(Accepted { seq: last.seq, acknowledged })
    }
}
