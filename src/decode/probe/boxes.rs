//! Where do the boxes of a file lie? ISO/IEC 14496-12, 4.2; HEIF, JPEG XL and JPEG 2000 have them.

use super::{array, be32};

/// The box at `at`: its type, where its content begins, where it ends, which may be beyond the bytes.
pub(super) fn header(bytes: &[u8], at: usize) -> Option<([u8; 4], usize, usize)> {
    let kind = array::<4>(bytes, at.checked_add(4)?)?;
    let (begin, size) = match be32(bytes, at)? {
        0 => (at + 8, bytes.len() - at),
        1 => (at + 16, usize::try_from(u64::from_be_bytes(array::<8>(bytes, at + 8)?)).ok()?),
        size => (at + 8, size as usize),
    };
    let end = at.checked_add(size)?;
    (end >= begin).then_some((kind, begin, end))
}

/// The boxes side by side in `bytes`, as long as they are whole: type, content, and size with the header.
pub(super) fn children(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8], usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (kind, begin, end) = header(bytes, at)?;
        let content = bytes.get(begin..end)?;
        let size = end - at;
        at = end;
        Some((kind, content, size))
    })
}

/// The content of the first box of one of these types, as much as there is.
pub(super) fn first<'a>(bytes: &'a [u8], kinds: &[&[u8; 4]]) -> Option<([u8; 4], &'a [u8])> {
    let mut at = 0;
    loop {
        let (kind, begin, end) = header(bytes, at)?;
        if kinds.contains(&&kind) {
            return Some((kind, bytes.get(begin..end.min(bytes.len()))?));
        }
        at = end;
    }
}
