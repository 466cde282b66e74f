//! Is this a file of another kind, such as a compressed one?
//!
//! Told by the file's beginning, whatever format was named: to read any of these as rows gives errors that nobody understands. Absent: what
//! only looks odd; a CSV may begin with a bracket.

use super::{FileError, ncmec, xml};
use crate::entry::HashKind;

const DECOMPRESS: &str = "decompress it first";
/// Of archives in archives, and of what is compressed twice.
const UNPACK: &str = "unpack it first, and import what is in it";
const EXPORT: &str = "export the list as CSV in UTF-8";
const CONVERT: &str = "convert it to CSV, or to text with one PDQ hash a line";
const PAGE: &str = "open it in a browser to see, and get the list itself";
const VIDEO: &str = "of videos only the digests of whole files are matched";
const PICTURE: &str = "an import reads lists of hashes, and `hashwarden hash` prints those of a picture";

/// What a file begins with, what it is then, and what to do.
const BEGINNINGS: &[(&[u8], &str, &str)] = &[
    (b"\x1f\x8b", "gzip within another file", UNPACK),
    (b"BZh", "bzip2", DECOMPRESS),
    (b"\xfd7zXZ\0", "xz", DECOMPRESS),
    (b"\x28\xb5\x2f\xfd", "Zstandard within another file", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", DECOMPRESS),
    (b"PK\x03\x04", "a ZIP archive within another file", UNPACK),
    (b"PK\x05\x06", "an empty ZIP archive", "there is no list in it"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a spreadsheet", EXPORT),
    (b"SQLite format 3\0", "an SQLite database", EXPORT),
    (b"PAR1", "Parquet", EXPORT),
    (b"%PDF-", "a PDF", EXPORT),
    (b"\xff\xd8\xff", "a JPEG picture", PICTURE),
    (b"\x89PNG\r\n", "a PNG picture", PICTURE),
    (b"GIF8", "a GIF picture", PICTURE),
];

/// Refuses what is packed, a picture or a document: whatever encoding it were in, it is no list.
pub(super) fn refuse_packed(head: &[u8]) -> Result<(), FileError> {
    match BEGINNINGS.iter().find(|(begins, ..)| head.starts_with(begins)) {
        Some((_, what, instead)) => Err(FileError::Foreign { what, instead }),
        None => Ok(()),
    }
}

/// The error for an archive that is a spreadsheet.
pub(super) fn spreadsheet() -> FileError {
    FileError::Foreign { what: "a spreadsheet", instead: EXPORT }
}

/// Refuses `frame,quality,hash,timestamp`: the hashes of one video, of which some must be found together. Each for itself they would match pictures.
pub(super) fn refuse_vpdq(head: &[u8]) -> Result<(), FileError> {
    let line = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).find(|line| !line.is_empty());
    let fields: Vec<&str> = line.and_then(|line| str::from_utf8(line).ok()).map_or(Vec::new(), |line| line.split(',').collect());
    let is_number = |text: &str| text.trim().parse::<f64>().is_ok();
    match fields.as_slice() {
        [frame, quality, hash, time] if is_number(frame) && is_number(quality) && is_number(time) => {
            match super::value::parse(HashKind::Pdq, hash.trim()) {
                Ok(_) => Err(FileError::Foreign { what: "vPDQ, the hashes of a video's frames", instead: VIDEO }),
                Err(_) => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// The error for a file whose beginning says that it is none that is read here.
pub(super) fn refuse(head: &[u8]) -> Result<(), FileError> {
    let foreign = |what, instead| Err(FileError::Foreign { what, instead });
    refuse_packed(head)?;
    super::record::refuse_encoding(head)?;
    if head.contains(&0) {
        return Err(FileError::Binary);
    }
    let text = head.strip_prefix(super::line::BOM).unwrap_or(head).trim_ascii_start();
    if is_xml(text) && is_html(text) {
        return foreign("an HTML page, perhaps a login or error page", PAGE);
    }
    if is_xml(text) && xml::root(text) != Some(ncmec::ROOT) {
        return foreign("XML other than NCMEC's", CONVERT);
    }
    if is_json(text) && super::of_records(text).is_none() {
        return foreign("JSON of no kind that is known", CONVERT);
    }
    if has_bare_cr(text) {
        return Err(FileError::BareCr);
    }
    Ok(())
}

/// Whether the first line ends with a CR alone. CRs before a LF belong to its line's end; in quotes a CR may be a field's.
fn has_bare_cr(text: &[u8]) -> bool {
    let Some(end) = text.iter().position(|b| b"\r\n\"".contains(b)) else { return false };
    text[end] == b'\r' && text[end..].iter().find(|b| **b != b'\r').is_some_and(|next| *next != b'\n')
}

/// Whether the document type, or the first element behind declarations and comments, is HTML's.
fn is_html(text: &[u8]) -> bool {
    const FIRST: [&str; 8] = ["html", "head", "body", "title", "meta", "script", "div", "center"];
    let Some(inside) = xml::behind_prolog(text).and_then(|rest| rest.strip_prefix(b"<")) else { return false };
    let doctype = inside.get(..8).is_some_and(|word| word.eq_ignore_ascii_case(b"!doctype"));
    let inside = if doctype { inside[8..].trim_ascii_start() } else { inside };
    let name = inside.split(|b| !b.is_ascii_alphanumeric()).next().unwrap_or_default();
    FIRST.iter().take(if doctype { 1 } else { FIRST.len() }).any(|html| name.eq_ignore_ascii_case(html.as_bytes()))
}

/// `<?`, `<!` or an element.
fn is_xml(text: &[u8]) -> bool {
    let [b'<', second, ..] = text else { return false };
    (b"?!".contains(second) || second.is_ascii_alphabetic()) && text.contains(&b'>')
}

/// An object with a name, or an array of objects, arrays, texts or numbers. `[id],[md5]` is a CSV's header.
pub(super) fn is_json(head: &[u8]) -> bool {
    let text = head.strip_prefix(super::line::BOM).unwrap_or(head).trim_ascii_start();
    let Some((first, rest)) = text.split_first() else { return false };
    match (first, rest.trim_ascii_start().first()) {
        (b'{', Some(next)) => b"\"}".contains(next),
        (b'[', Some(next)) => b"{[\"]-".contains(next) || next.is_ascii_digit(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_list_is_named() {
        let check = |head: &[u8], words: &str| {
            let said = refuse(head).err().map_or(String::new(), |error| error.to_string());
            assert_eq!((said.is_empty(), said.contains(words)), (words.is_empty(), true), "{said}");
        };
        check(b"\x1f\x8b\x08\0\0", "this looks like gzip within another file, which is not read; unpack it first");
        check(b"BZh91AY", "bzip2");
        check(b"\x28\xb5\x2f\xfd\x04", "Zstandard");
        check(b"PK\x03\x04\x14", "a ZIP archive within another file, which is not read; unpack it");
        check(b"SQLite format 3\0", "SQLite");
        check(b"\xff\xd8\xff\xe0", "a JPEG picture");
        check(
            b"<?xml version=\"1.0\"?>\n<list/>",
            "this looks like XML other than NCMEC's, which is not read; convert it to CSV",
        );
        check(b"<?xml version=\"1.0\"?>\n<queryResult/>", "");
        let page = "this looks like an HTML page, perhaps a login or error page, which is not read; open it in a browser to see";
        check(b"\xef\xbb\xbf\r\n <html>", page);
        check(b"<!DOCTYPE html>\n<html lang=\"en\">", page);
        check(b"<!doctype HTML PUBLIC \"-//W3C//DTD\">", page);
        check(b"<!-- proxy -->\n<HTML><head>", page);
        check(b"<?xml version=\"1.0\"?><!DOCTYPE html PUBLIC \"x\"><html/>", page);
        check(b"<head><title>502 Bad Gateway</title>", page);
        check(b"<!DOCTYPE list><html/>", "this looks like XML");
        check(b"<?xml version=\"1.0\"?><headers/>", "this looks like XML");
        check(b"<!-- never closed <html>", "this looks like XML");
        check(b"id,pdq\r1,2\r3,4\r", "the file uses bare CR line endings; convert them to LF");
        check(b"id,pdq\r\r1,2\n", "bare CR");
        check(b"id,pdq\r\n1,2\r\n", "");
        check(b"id,pdq\r\r\n1,2\r\r\n", "");
        check(b"id,pdq\r", "");
        check(b"\"a\rb\",pdq\n", "");
        check(b"{\"count\":1}", "this looks like JSON of no kind that is known, which is not read; convert it to CSV");
        check(b"\xef\xbb\xbf[\n  {\"MediaID\":1}]", "");
        check(b"[]", "JSON");
        check(b"\xff\xfei\0d\0", "the file is UTF-16; save it as UTF-8");
        check(b"\xfe\xff\0i\0d", "the file is UTF-16");
        check(b"\xff\xfe\0\0i\0\0\0", "the file is UTF-32; save it as UTF-8");
        check(b"\0\0\xfe\xff\0\0\0i", "the file is UTF-32; save it as UTF-8");
        check(b"i\0d\0,\0", "NUL bytes");
        check(b"", "");
        check(b"id,md5\n", "");
        check(b"[id],[md5]\n", "");
        check(b"<id>,pdq", "XML");
        check(b"< id,pdq\n", "");
        check(b"{id},pdq\n", "");
    }
}
