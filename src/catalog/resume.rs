//! Are changes taken, and how are they taken again?
//!
//! A full disk ends changes, never look-ups. While there is merely too little room each change is refused, and taken as soon as there
//! is enough. Once a write has failed, and where the store was opened without room, it has to be opened anew, which happens beside
//! everything else: whoever reads lists reads by the old one, or by one that is open for reading, until the new one is there.

use std::sync::Arc;

use super::{Catalog, CatalogError, FORMAT_DERIVED, lock};
use crate::store::{Access, Store};

/// A store that failed.
pub struct Retired {
    /// Until nobody reads by it any more.
    store: Option<Arc<Store>>,
    /// The last change in it, which is what look-ups answer by.
    seq: u64,
}

impl Catalog {
    /// Whether changes are taken now; if not, why.
    pub fn writable(&self) -> Result<(), CatalogError> {
        Ok(self.store().writable()?)
    }

    /// Opens the store anew where that lets it take changes again; says whether it did. To be called now and then.
    pub fn resume(&self) -> Result<bool, CatalogError> {
        let store = self.store();
        store.mend()?;
        if !store.has_failed() && !store.stands_in() {
            return Ok(false);
        }
        store.check_to_open()?;
        // Who writes now will find out by itself that nothing is written.
        let Ok(_rows) = self.rows.try_lock() else { return Ok(false) };
        let Ok(write) = self.write.try_lock() else { return Ok(false) };
        let commit = lock(&self.commit);
        let mut retired = lock(&self.retired);
        let (dir, free_bytes_min, seq) = (store.dir().to_owned(), store.free_bytes_min(), store.seq()?);
        if store.has_failed() {
            let reader = Arc::new(Store::open_with(&dir, Access::StandIn, FORMAT_DERIVED, free_bytes_min)?);
            *retired = Some(Retired { store: Some(self.store.swap(reader)), seq });
        }
        drop(store);
        let answering = retired.as_ref().map_or(seq, |retired| retired.seq);
        if let Some(retired) = retired.as_mut()
            && let Some(old) = retired.store.take()
            && let Err(old) = Arc::try_unwrap(old)
        {
            // One store may write, so the old one has to be closed first, when nobody reads by it any more.
            retired.store = Some(old);
            return Ok(false);
        }
        let opened = Store::open_with(&dir, Access::Write, FORMAT_DERIVED, free_bytes_min)?;
        let seq = opened.seq()?;
        self.store.store(Arc::new(opened));
        *retired = None;
        tracing::info!(dir = %dir.display(), "the store accepts changes again");
        if seq != answering {
            // A change whose write failed was on the disk after all.
            self.follow(&commit, seq, None)?;
        }
        drop(commit);
        drop(write);
        self.undo_staged()?;
        self.derive()?;
        self.finish_sweeps()?;
        Ok(true)
    }
}
