//! Which PDQ hashes does a plain text file hold, one a line?
//!
//! `pdq <hash>` as the `threatexchange` tool reads it, a bare `<hash>`, or `<hash>,<anything>`; a hash is 64 hex digits or the base64 of
//! 32 bytes. Such rows have no id and no category.

use std::io::BufRead;
use std::ops::ControlFlow;

use super::line::{Line, Lines, body_len};
use super::{FileError, ROW_BYTES_MAX, Row, RowError, pdq_row, value};
use crate::entry::HashKind;

pub(super) fn read(
    input: &mut dyn BufRead,
    each: &mut dyn FnMut(Result<Row, RowError>) -> ControlFlow<()>,
) -> Result<(), FileError> {
    let mut lines = Lines::new(input);
    let mut buffer = Vec::new();
    let mut blank = true;
    loop {
        buffer.clear();
        let row = match lines.append(&mut buffer, ROW_BYTES_MAX)? {
            Line::End if blank => return Err(FileError::Empty),
            Line::End => return Ok(()),
            Line::TooLong { .. } => Err(format!("longer than {ROW_BYTES_MAX} bytes")),
            Line::Whole => {
                if lines.number == 1 {
                    super::record::refuse_encoding(&buffer)?;
                }
                let body = buffer[..body_len(&buffer)].trim_ascii();
                blank &= body.is_empty();
                if body.is_empty() || body.starts_with(b"#") {
                    continue;
                }
                match std::str::from_utf8(body) {
                    // The rows after it would pass for what follows the first one's hash.
                    Ok(text) if text.contains('\r') => Err("a bare CR, which ends no line: lines end with LF or CRLF".to_owned()),
                    Ok(text) => pdq_row(lines.number, hash_field(text)).map(|row| Row { unread: unread(text), ..row }),
                    Err(_) => Err("not valid UTF-8".to_owned()),
                }
            }
        };
        blank = false;
        if each(row.map_err(|reason| RowError { line: lines.number, record: 0, reason, loses_hashes: false })).is_break() {
            return Ok(());
        }
    }
}

/// Whether a line holds a PDQ hash.
pub(super) fn is_row(line: &str) -> bool {
    value::parse(HashKind::Pdq, hash_field(line)).is_ok()
}

/// What stands where a row's hash should stand.
fn hash_field(line: &str) -> &str {
    let hash = match line.split_at_checked(4) {
        Some((kind, rest)) if kind.trim_ascii_end().eq_ignore_ascii_case("pdq") => rest,
        _ => line,
    };
    hash.split_once(',').map_or(hash, |(hash, _)| hash).trim_ascii()
}

/// The first column after the hash that holds another one.
fn unread(line: &str) -> Option<usize> {
    let column = line.split(',').skip(1).position(|field| value::kind_by_length(field.trim_ascii()).is_some())?;
    Some(column + 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::{Format, Mapping};

    const P: &str = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22";
    const P64: &str = "+PjwzuD0qE8GNwoiA49j8LNuLtWWYh4dM+aznE6cmyI=";

    /// Each row as "line" where it holds `P`, "line:reason" where it is bad.
    fn rows(input: &[u8]) -> Result<Vec<String>, FileError> {
        let mut seen = Vec::new();
        crate::lists::read(Format::PdqText, &Mapping::default(), &mut &input[..], &mut |row| {
            seen.push(match row {
                Ok(row) => {
                    assert_eq!((row.id, row.category.as_str(), row.deleted), (None, "", false));
                    assert_eq!(row.hashes.iter().map(|h| h.hex()).collect::<Vec<_>>(), [P]);
                    row.line.to_string()
                }
                Err(e) => format!("{}:{}", e.line, e.reason),
            });
            ControlFlow::Continue(())
        })?;
        Ok(seen)
    }

    #[test]
    fn every_spelling_of_a_row_is_read() {
        let check = |line: &str, expected: &[&str]| {
            let line = line.replace("{P}", P).replace("{U}", &P.to_uppercase()).replace("{B}", P64);
            assert_eq!(rows(line.as_bytes()).unwrap(), expected, "{line:?}");
        };
        check("{P}", &["1"]);
        check("{U}\n", &["1"]);
        check("pdq {P}\r\n", &["1"]);
        check("PDQ\t{P}\n", &["1"]);
        check("pdq   {P}  \n", &["1"]);
        check("  {P}\n", &["1"]);
        check("{P},a,b,\"c", &["1"]);
        check("pdq {P} , x", &["1"]);
        check("{B}\n", &["1"]);
        check("pdq {B},x\n", &["1"]);
        check("\u{feff}{P}\n", &["1"]);
        check("\n  \n# {P}\n{P}\n\n{P}", &["4", "6"]);
        check("# nothing but words\n", &[]);
        let bad = |reason: &str| [format!("1:{reason}"), "2".to_owned()];
        let check = |line: &str, reason: &str| {
            let text = format!("{}\n{P}\n", line.replace("{P}", P));
            assert_eq!(rows(text.as_bytes()).unwrap(), bad(reason), "{line:?}");
        };
        let length = |n: usize| format!("a PDQ hash has 64 hex digits; this one has {n} digits");
        const OTHERS: &str = "a PDQ hash has 64 hex digits; this one has characters that are not hex digits";
        check(&P[1..], &length(63));
        check("{P}0", &length(65));
        check("md5 {P}", OTHERS);
        check("pdq", OTHERS);
        check("{P} {P}", OTHERS);
        check(",{P}", &length(0));
        check(&"0".repeat(64), "this pdq is all zeros: a placeholder, not a hash");
        check(&P.replace("f8f8", "f8g8"), OTHERS);
        check(&P.replace("f8f8", "fé8"), OTHERS);
        check("{P},a\r{P},b", "a bare CR, which ends no line: lines end with LF or CRLF");
        check(&P64.replace("+", "*")[..43], "this pdq hash is neither hex nor base64");
    }

    #[test]
    fn a_row_that_is_no_text_is_reported_and_reading_goes_on() {
        let mut bytes = b"\xc3\x28\n".to_vec();
        bytes.extend(P.bytes());
        assert_eq!(rows(&bytes).unwrap(), ["1:not valid UTF-8", "2"]);
    }

    #[test]
    fn an_endless_line_takes_no_memory_and_costs_one_row() {
        let mut input = std::io::BufReader::new(std::io::Read::chain(
            std::io::Read::take(std::io::repeat(b'f'), 40 << 20),
            std::io::Cursor::new(format!("\n{P}\n")),
        ));
        let mut seen = Vec::new();
        read(&mut input, &mut |row| {
            seen.push(row.map(|r| r.line).map_err(|e| e.to_string()));
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(seen, [Err("line 1: longer than 262144 bytes".to_owned()), Ok(2)]);
    }

    #[test]
    fn an_empty_file_fails_as_a_whole() {
        for input in ["", "\n", " \r\n\n", "\u{feff}"] {
            assert!(matches!(rows(input.as_bytes()), Err(FileError::Empty)), "{input:?}");
        }
        assert!(matches!(rows(b"\xff\xfea\0\n\0"), Err(FileError::Encoding("UTF-16"))));
    }
}
