//! The values of the family `meta`, by their names.

use super::keys::{self, Family};
use super::{Db, StoreError};

/// A value, where it is there.
pub(super) fn value(db: &Db, name: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let family = db.cf_handle(Family::Meta.name()).ok_or_else(|| Family::Meta.corrupt("the family is missing"))?;
    Ok(db.get_cf(&family, name)?)
}

/// One that must be there.
pub(super) fn number(db: &Db, name: &[u8]) -> Result<u32, StoreError> {
    let bytes = value(db, name)?.ok_or_else(|| Family::Meta.corrupt("a number is missing"))?;
    keys::number_u32(Family::Meta, &bytes)
}
