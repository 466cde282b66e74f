//! Can these bytes be read as a record? Every reader of stored bytes behind one function, for tests that hand it bytes nobody wrote.
//!
//! The families of raw values (meta, columns, journal, scratch) have no reader here but their keys'.

use super::history::{self, Header};
use super::ids::IdHistory;
use super::keys::{self, Family};
use super::{StoreError, wire};
use crate::entry::{ListId, VersionNo};

/// Reads a key and a value of a family, and says whether what was read, written again, is read as the same.
pub fn read_record(family: &str, key: &[u8], value: &[u8]) -> Result<bool, StoreError> {
    let unknown = || StoreError::Refused(format!("there is no family {family:?}"));
    let family = Family::ALL.into_iter().find(|f| f.name() == family).ok_or_else(unknown)?;
    Ok(match family {
        Family::Lists => {
            let list = wire::read_list(ListId(1), value)?;
            wire::read_list(ListId(1), &wire::write_list(&list))? == list
        }
        Family::Versions => {
            let version = wire::read_version(ListId(1), VersionNo(1), value)?;
            wire::read_version(ListId(1), VersionNo(1), &wire::write_version(&version))? == version
        }
        Family::EntryIds => {
            let form = keys::id_form(key)?;
            key.get(4..) == Some(form) && IdHistory::decode(value)?.encode() == value
        }
        Family::Entries => {
            let row = keys::row(key, value)?;
            let mut again = Vec::new();
            keys::put_content(&mut again, &row.content);
            key.get(4..) == Some(&row.entry.0.to_be_bytes()) && again == value
        }
        Family::Deltas => keys::delta(key, value).map(|_| true)?,
        Family::Details => {
            let (list, entry, version) = keys::details_parts(key)?;
            let details = wire::read_details(value)?;
            keys::details_key(list, entry, version) == key && wire::read_details(&wire::write_details(&details))? == details
        }
        Family::Marks => {
            let marked = wire::read_marked(value)?;
            wire::read_marked(&wire::write_marked(&marked))? == marked
        }
        Family::History => {
            let (_, header) = history::read(value)?;
            Header::decode(&header.encode())? == header
        }
        Family::Contents => {
            let (_, change) = keys::split_contents(value)?;
            let change = wire::read_change(change)?;
            wire::read_change(&wire::write_change(&change))? == change
        }
        Family::Journal => keys::journal_parts(key).map(|(time_ms, id)| keys::journal_key(time_ms, &id) == key)?,
        Family::Columns => keys::column_first(key).map(|_| true)?,
        Family::Bk => keys::bk_row(key, value).map(|_| true)?,
        Family::Scratch => keys::scratch_id(key).map(|_| true)?,
        // Which it is depends on the name.
        Family::Meta => {
            keys::number_u32(family, value).map(|_| true).or_else(|_| keys::number_u64(family, value).map(|_| true))?
        }
    })
}
