//! What may a list, a source or credentials be called?

use super::BadValue;

pub const LIST_NAME_BYTES_MAX: usize = 64;

/// Refuses names that could be mistaken for a path, an option or another name.
pub fn check_list_name(name: &str) -> Result<(), BadValue> {
    let ok = !name.is_empty()
        && name.len() <= LIST_NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if ok {
        return Ok(());
    }
    Err(BadValue(format!(
        "a list name has 1 to {LIST_NAME_BYTES_MAX} letters, digits, '-', '_' or '.', and starts with a letter or a digit"
    )))
}
