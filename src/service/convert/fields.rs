//! Single fields of messages, checked: what several messages have.

use super::Fault;
use crate::entry::{ENTRY_ID_BYTES_MAX, HashKind, HashValue};
use crate::proto::v1;

pub(super) fn at_most(n: usize, max: usize, what: &str, path: impl Fn() -> String) -> Result<(), Fault> {
    if n <= max { Ok(()) } else { Err(Fault::malformed(path(), format!("has {n} {what}, at most {max} are accepted"))) }
}

pub(super) fn hash(hash: &v1::Hash, path: &str) -> Result<HashValue, Fault> {
    let kind = kind(hash.kind, || format!("{path}.kind"))?;
    HashValue::from_hex(kind, &hash.hex).map_err(|bad| Fault::malformed(format!("{path}.hex"), bad.0))
}

pub(super) fn kind(n: i32, path: impl Fn() -> String) -> Result<HashKind, Fault> {
    // The numbers are the same by intent; unspecified is 0, which is no kind.
    let kind = u8::try_from(n).ok().and_then(HashKind::from_u8);
    kind.ok_or_else(|| Fault::malformed(path(), "is not a kind of hash"))
}

pub(super) fn entry_id(id: &str, path: &str) -> Result<(), Fault> {
    if id.is_empty() || id.len() > ENTRY_ID_BYTES_MAX || id.chars().any(char::is_control) {
        return Err(Fault::malformed(path, format!("an entry id has 1 to {ENTRY_ID_BYTES_MAX} bytes and no control characters")));
    }
    Ok(())
}
