//! What does an XML file hold, tag by tag?
//!
//! Elements by their names without prefix, and text with the five entities of XML and character references resolved. There are no others here: a
//! document type, which could define some, fails the file. Several documents may stand one behind the other, as pages do that were put
//! together. Invariant: memory holds one tag or text; depth is bounded; a document that ends too early, or is damaged, fails the file.

use std::borrow::Cow;
use std::io::BufRead;
use std::ops::ControlFlow;

use quick_xml::Reader;
use quick_xml::errors::{Error, IllFormedError};
use quick_xml::escape::{resolve_predefined_entity, unescape};
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, Event};

use super::FileError;
use super::bounded::{Bounded, Meter};

/// Elements within elements. NCMEC's have nine.
const DEPTH_MAX: usize = 64;
/// Attributes of one element that are looked at.
const ATTRIBUTES_MAX: usize = 16;

#[derive(Debug)]
pub(super) enum Step<'b> {
    Open(Element<'b>),
    /// A piece of an element's text; `None`: an entity that XML does not know.
    Text(Option<Cow<'b, str>>),
    Close(Closing<'b>),
}

/// Where a step is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Elements that are open around it.
    pub depth: usize,
    /// The line on which it begins.
    pub line: u64,
    pub bytes: usize,
}

#[derive(Debug)]
pub(super) struct Element<'b>(BytesStart<'b>);

#[derive(Debug)]
pub(super) struct Closing<'b>(BytesEnd<'b>);

impl Closing<'_> {
    pub fn name(&self) -> &str {
        local(self.0.name().0)
    }
}

impl Element<'_> {
    pub fn name(&self) -> &str {
        local(self.0.name().0)
    }

    /// The value of an attribute; `None` where it has none of that name, or one that can't be read.
    pub fn attribute(&self, name: &str) -> Option<String> {
        // The parser's own check for names that come twice takes the square of their number.
        let mut attributes = self.0.attributes();
        let mut attributes = attributes.with_checks(false).take(ATTRIBUTES_MAX).flatten();
        let found = attributes.find(|attribute| local(attribute.key.0) == name)?;
        unescape(&found.value).ok().map(|value| value.trim().to_owned())
    }
}

fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

/// Whether to go on.
type Stepped = Result<ControlFlow<()>, FileError>;

/// Goes through a file until it ends or `each` breaks.
pub(super) fn walk(input: &mut dyn BufRead, each: &mut dyn FnMut(Step<'_>, Place) -> Stepped) -> Result<(), FileError> {
    let meter = Meter::default();
    let mut reader = Reader::from_reader(Bounded::new(input, &meter));
    reader.config_mut().expand_empty_elements = true;
    let (mut buffer, mut depth, mut documents, mut encoding) = (Vec::new(), 0, 0, None);
    loop {
        buffer.clear();
        meter.next_piece();
        let line = meter.line();
        let event = reader.read_event_into(&mut buffer).map_err(|error| broken(meter.line(), &error))?;
        let place = Place { depth, line, bytes: meter.next_piece() };
        let step = match event {
            Event::Start(_) if depth == DEPTH_MAX => return Err(FileError::broken(line, "elements are nested too deeply")),
            Event::Start(tag) => {
                depth += 1;
                Step::Open(Element(tag))
            }
            Event::End(tag) => {
                depth -= 1;
                documents += u64::from(depth == 0);
                Step::Close(Closing(tag))
            }
            Event::Text(text) => Step::Text(Some(text.into_inner())),
            Event::CData(text) => Step::Text(Some(text.into_inner())),
            Event::GeneralRef(entity) => Step::Text(match entity.resolve_char_ref() {
                Ok(Some(character)) => Some(Cow::Owned(character.to_string())),
                Ok(None) => resolve_predefined_entity(&entity).map(Cow::Borrowed),
                Err(_) => None,
            }),
            Event::Decl(declared) => {
                check_encoding(&declared, line, &mut encoding)?;
                continue;
            }
            Event::Comment(_) | Event::PI(_) => continue,
            Event::DocType(_) => return Err(FileError::broken(line, "it has a document type, which no hash list needs")),
            Event::Eof if depth > 0 => {
                return Err(FileError::broken(line, "the document ends before its elements are closed: the file was cut short"));
            }
            Event::Eof if documents == 0 => return Err(FileError::Empty),
            Event::Eof => return Ok(()),
            // Not expanded: only of readers that don't.
            Event::Empty(_) => continue,
        };
        // A byte order mark comes where pages were put together.
        if let Step::Text(text) = &step
            && place.depth == 0
        {
            match text.as_deref().is_some_and(|text| text.trim_matches('\u{feff}').trim().is_empty()) {
                true => continue,
                false => return Err(FileError::broken(line, "text stands outside of the document")),
            }
        }
        if each(step, place)?.is_break() {
            return Ok(());
        }
    }
}

/// Whoever opened the file has read it in the encoding that its first declaration says; another document in it may say no other.
fn check_encoding(declared: &BytesDecl<'_>, line: u64, first: &mut Option<String>) -> Result<(), FileError> {
    let said = match declared.encoding() {
        None => "utf-8".to_owned(),
        Some(Ok(name)) => name.to_ascii_lowercase(),
        Some(Err(_)) => return Err(FileError::broken(line, "its encoding can't be read")),
    };
    match first.get_or_insert_with(|| said.clone()) == &said {
        true => Ok(()),
        false => Err(FileError::broken(line, "it declares another encoding than the document before it")),
    }
}

/// A parser's error, without the names that it quotes.
fn broken(line: u64, error: &Error) -> FileError {
    let what = match error {
        Error::Io(error) => return FileError::reading(line, error),
        Error::Encoding(_) => "not valid UTF-8".into(),
        Error::Syntax(error) => format!("not well-formed XML: {error}").into(),
        Error::IllFormed(IllFormedError::MismatchedEndTag { .. } | IllFormedError::UnmatchedEndTag(_)) => {
            "not well-formed XML: an end tag closes another element than the one that is open".into()
        }
        Error::IllFormed(IllFormedError::UnclosedReference) => "not well-formed XML: an ampersand begins no entity".into(),
        _ => Cow::Borrowed("not well-formed XML"),
    };
    FileError::broken(line, what)
}

/// What stands behind declarations and comments; `None` where one of them does not end.
pub(super) fn behind_prolog(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        rest = rest.trim_ascii_start();
        let end: &[u8] = match rest {
            [b'<', b'!', b'-', b'-', ..] => b"-->",
            [b'<', b'?', ..] => b"?>",
            _ => return Some(rest),
        };
        let at = rest.windows(end.len()).position(|part| part == end)?;
        rest = &rest[at + end.len()..];
    }
}

/// The name of the first element behind declarations and comments.
pub(super) fn root(head: &[u8]) -> Option<&str> {
    let rest = behind_prolog(head.strip_prefix(super::line::BOM).unwrap_or(head))?;
    let name = rest.strip_prefix(b"<")?.split(|byte| byte.is_ascii_whitespace() || b"/>".contains(byte)).next()?;
    std::str::from_utf8(name).ok().map(local).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a file holds: `<name(id)`, `>`, text, `?` for an unknown entity; and why it failed.
    fn walked(text: &str) -> String {
        let mut seen = String::new();
        let done = walk(&mut std::io::BufReader::with_capacity(1, text.as_bytes()), &mut |step, place| {
            match step {
                Step::Open(element) => {
                    let id = element.attribute("id").map_or(String::new(), |id| format!("({id})"));
                    seen += &format!("<{}{id}@{}", element.name(), place.line);
                }
                Step::Text(text) => seen += text.as_deref().unwrap_or("?"),
                Step::Close(_) => seen.push('>'),
            }
            Ok(ControlFlow::Continue(()))
        });
        done.err().map_or(seen, |error| error.to_string())
    }

    #[test]
    fn elements_and_text_are_found() {
        let check = |text: &str, expected: &str| assert_eq!(walked(text), expected, "{text}");
        check("<a/>", "<a@1>");
        check("\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<n:a n:id=' x&amp;y '>b</n:a>\n", "<a(x&y)@2b>");
        check("<a>&lt;&#65;&#x42;<!-- c --><?p i?><![CDATA[<&]]></a>", "<a@1<AB<&>");
        check("<a>x&nbsp;y</a>", "<a@1x?y>");
        check("<a>&#0;</a>", "<a@1?>");
        check("<a>\n<b\nid='1'/>\n</a><a/>", "<a@1\n<b(1)@2>\n><a@4>");
        check("<a/>\n\u{feff}<?xml version=\"1.0\"?><a/>", "<a@1><a@2>");
        check("<a id='&x;'/>", "<a@1>");
    }

    #[test]
    fn what_is_damaged_or_cut_short_fails_the_file() {
        let check = |text: &str, words: &str| {
            let said = walked(text);
            assert!(said.contains(words), "{said:.200} of {text:.60}");
        };
        check("<a>\n<b>", "line 2: the document ends before its elements are closed: the file was cut short");
        check("<a>\n<b></a>", "line 2: not well-formed XML: an end tag closes another element");
        check("</a>", "an end tag closes another element");
        check("<a>x &y</a>", "an ampersand begins no entity");
        check("<a><b", "not well-formed XML: tag not closed");
        check("<a><!-- ", "comment not closed");
        check("<a/>rest", "text stands outside of the document");
        check("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "it has a document type");
        check(
            "<?xml version='1.0' encoding='UTF-8'?><a/><?xml version='1.0' encoding='koi8-r'?><a/>",
            "declares another encoding",
        );
        check("<!-- nothing -->", "the file is empty");
        check(&"<a>".repeat(65), "nested too deeply");
        // The limit is noticed a buffer later.
        let endless = "x".repeat(super::super::bounded::PIECE_BYTES_MAX + 200_000);
        check(&format!("<a>{endless}</a>"), "a single value or tag has more");
        check(&format!("<a {endless}/>"), "a single value or tag has more");
    }

    #[test]
    fn the_root_is_named() {
        let check = |text: &str, name: Option<&str>| assert_eq!(root(text.as_bytes()), name, "{text}");
        check("\u{feff}<?xml version='1.0'?>\n<!-- x --><queryResult xmlns='y'>", Some("queryResult"));
        check("<ns2:queryResult>", Some("queryResult"));
        check("<queryResult/>", Some("queryResult"));
        for text in ["", "<", "< a", "a", "<!-- x", "{}"] {
            check(text, None);
        }
    }
}
