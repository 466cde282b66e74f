//! In which encoding is a file, and what is it in UTF-8?
//!
//! Told by a byte order mark, or by an XML declaration. Text in another encoding than it says fails the file: a character put in the place of
//! what can't be read could make one id of two. Absent: guessing. A CSV without a mark is UTF-8, and its rows are bad where it is not.

use std::io::{self, BufRead, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::FileError;
use super::bounded::read_filled;
use super::unpack::Unread;

/// Bytes of UTF-8 that are made at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// The encoding of a file that begins like this; `None`: UTF-8.
pub(super) fn of(head: &[u8]) -> Result<Option<&'static Encoding>, FileError> {
    if head.starts_with(b"\xff\xfe\0\0") || head.starts_with(b"\0\0\xfe\xff") {
        return Err(FileError::Encoding("UTF-32"));
    }
    if let Some((marked, _)) = Encoding::for_bom(head) {
        return Ok(Some(marked).filter(|encoding| *encoding != UTF_8));
    }
    let Some(label) = declared(head) else { return Ok(None) };
    match Encoding::for_label(label) {
        // It was read byte by byte, so it is none of these.
        Some(encoding) if [UTF_8, UTF_16LE, UTF_16BE].contains(&encoding) => Ok(None),
        Some(encoding) => Ok(Some(encoding)),
        None => Err(FileError::Encoding("in an encoding that is not known, as it declares")),
    }
}

/// What `encoding` says in an XML declaration.
fn declared(head: &[u8]) -> Option<&[u8]> {
    let declaration = head.trim_ascii_start().strip_prefix(b"<?xml")?;
    let declaration = &declaration[..declaration.windows(2).position(|two| two == b"?>")?];
    let at = declaration.windows(8).position(|word| word == b"encoding")?;
    let value = declaration[at + 8..].trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let quote = value.first().filter(|quote| b"'\"".contains(quote))?;
    value[1..].split(|byte| byte == quote).next()
}

/// A text of another encoding, read as UTF-8.
pub(super) struct Decoded<'a> {
    input: &'a mut dyn BufRead,
    decoder: Decoder,
    text: Vec<u8>,
    at: usize,
    done: bool,
}

impl<'a> Decoded<'a> {
    pub fn new(encoding: &'static Encoding, input: &'a mut dyn BufRead) -> Self {
        Decoded { input, decoder: encoding.new_decoder_with_bom_removal(), text: Vec::new(), at: 0, done: false }
    }

    fn decode(&mut self) -> io::Result<()> {
        self.text.resize(CHUNK_BYTES, 0);
        let mut written = 0;
        while written == 0 && !self.done {
            let bytes = self.input.fill_buf()?;
            let last = bytes.is_empty();
            let (result, read, made) = self.decoder.decode_to_utf8_without_replacement(bytes, &mut self.text, last);
            if let DecoderResult::Malformed(..) = result {
                return Err(io::Error::other(Unread::NotText(self.decoder.encoding().name())));
            }
            self.input.consume(read);
            written = made;
            self.done = last && result == DecoderResult::InputEmpty;
        }
        self.text.truncate(written);
        self.at = 0;
        Ok(())
    }
}

impl BufRead for Decoded<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.text.len() && !self.done {
            self.decode()?;
        }
        Ok(&self.text[self.at..])
    }

    fn consume(&mut self, n: usize) {
        self.at = (self.at + n).min(self.text.len());
    }
}

impl Read for Decoded<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        read_filled(self, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoding_rs::WINDOWS_1252;

    #[test]
    fn an_encoding_is_told_by_a_mark_or_a_declaration() {
        let check = |head: &[u8], encoding: Option<&'static Encoding>| assert_eq!(of(head).unwrap(), encoding);
        check(b"\xff\xfei\0", Some(UTF_16LE));
        check(b"\xfe\xff\0i", Some(UTF_16BE));
        check(b"\xef\xbb\xbfid", None);
        check(b"<?xml version='1.0' encoding='ISO-8859-1'?>", Some(WINDOWS_1252));
        check(b"<?xml version=\"1.0\" encoding = \"windows-1252\" ?>", Some(WINDOWS_1252));
        check(b"<?xml version='1.0' encoding='utf-16'?>", None);
        check(b"<?xml version='1.0' encoding='UTF-8'?>", None);
        for head in [&b""[..], b"id,pdq", b"<?xml", b"<?xml encoding", b"<?xml encoding=?>", b"<?xml encoding='x"] {
            check(head, None);
        }
        assert_eq!(of(b"\xff\xfe\0\0i\0\0\0").unwrap_err().to_string(), "the file is UTF-32; save it as UTF-8");
        assert!(of(b"<?xml encoding='x'?>").unwrap_err().to_string().contains("not known"));
    }

    #[test]
    fn text_is_read_whatever_the_pieces() {
        let text = "id,note\r\n1,é日本👩\n";
        let le: Vec<u8> = "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect();
        for (encoding, bytes) in [(UTF_16LE, &le), (UTF_16BE, &be)] {
            for piece in [1, 2, 3, 1000] {
                let mut input = io::BufReader::with_capacity(piece, &bytes[..]);
                let mut read = String::new();
                Decoded::new(encoding, &mut input).read_to_string(&mut read).unwrap();
                assert_eq!(read, text);
            }
        }
        let mut read = String::new();
        Decoded::new(WINDOWS_1252, &mut &b"\xe9\x80"[..]).read_to_string(&mut read).unwrap();
        assert_eq!(read, "é€");
        let long: Vec<u8> = std::iter::repeat_n("é".encode_utf16(), 300_000).flatten().flat_map(u16::to_le_bytes).collect();
        let mut read = String::new();
        Decoded::new(UTF_16LE, &mut &long[..]).read_to_string(&mut read).unwrap();
        assert_eq!(read.chars().count(), 300_000);
        // Half a pair, and half a unit.
        for bytes in [&b"a\0\x00\xd8b\0"[..], b"a\0b"] {
            let error = Decoded::new(UTF_16LE, &mut &bytes[..]).read_to_string(&mut String::new()).unwrap_err();
            assert_eq!(FileError::from(error).to_string(), "the file is not valid UTF-16LE");
        }
    }
}
