//! Which records does a JSON file hold?
//!
//! Records are the objects of an array: the document itself, or one that stands in it under a name that the format knows. Several documents may
//! stand one behind the other, as pages do that were put together and as JSON lines are. Invariant: memory holds one record, of at most
//! [`ROW_BYTES_MAX`] bytes, or one value of at most 4 MiB that is then passed over; depth is bounded; whatever is no JSON, and a document that ends too
//! early, fails the file. A name that stands twice in one object makes its record bad: readers differ in which of the two they believe.

use std::io::BufRead;
use std::ops::ControlFlow;

use struson::reader::{JsonReader, JsonStreamReader, ReaderError, ReaderSettings, SyntaxErrorKind, ValueType};

use super::bounded::{Bounded, Meter};
use super::{FileError, ROW_BYTES_MAX};

/// Arrays and objects within each other. ThreatExchange's have seven.
const DEPTH_MAX: u32 = 64;
/// What a value or a name takes in memory beside its text, about.
const NODE_BYTES: usize = 24;
/// Names in one object. Case exports have some fifty.
const NAMES_MAX: usize = 1024;

/// A value, with numbers as they were written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Value>),
    Object(Object),
}

/// Names and values in the file's order, no name twice.
pub(super) type Object = Vec<(String, Value)>;

impl Value {
    /// A text, a number or a truth as text; empty for null, a list or an object.
    pub fn scalar(&self) -> &str {
        match self {
            Value::Text(text) | Value::Number(text) => text,
            Value::Bool(true) => "true",
            Value::Bool(false) => "false",
            Value::Null | Value::List(_) | Value::Object(_) => "",
        }
    }

    pub fn list(&self) -> &[Value] {
        if let Value::List(values) = self { values } else { &[] }
    }

    /// A member of an object; null where there is none.
    pub fn get(&self, name: &str) -> &Value {
        match self {
            Value::Object(object) => get(object, name),
            _ => &Value::Null,
        }
    }

    /// As people read it: a scalar as it is, the rest as JSON.
    pub fn in_words(&self) -> String {
        match self {
            Value::List(values) if values.is_empty() => String::new(),
            Value::Object(object) if object.is_empty() => String::new(),
            Value::List(_) | Value::Object(_) => {
                let mut text = String::new();
                self.write(&mut text);
                text
            }
            scalar => scalar.scalar().to_owned(),
        }
    }

    fn write(&self, out: &mut String) {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        match self {
            Value::Null => out.push_str("null"),
            Value::Text(text) => out.push_str(&quoted(text)),
            Value::List(values) => {
                out.push('[');
                for (n, value) in values.iter().enumerate() {
                    out.push_str(if n > 0 { "," } else { "" });
                    value.write(out);
                }
                out.push(']');
            }
            Value::Object(object) => {
                out.push('{');
                for (n, (name, value)) in object.iter().enumerate() {
                    out.push_str(if n > 0 { "," } else { "" });
                    out.push_str(&quoted(name));
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
            scalar => out.push_str(scalar.scalar()),
        }
    }
}

/// A member of an object; null where there is none.
pub(super) fn get<'o>(object: &'o Object, name: &str) -> &'o Value {
    object.iter().find_map(|(known, value)| (known == name).then_some(value)).unwrap_or(&Value::Null)
}

/// Where a format has its records.
pub(super) struct Shape {
    /// The names of arrays of records in a document.
    pub arrays: &'static [&'static str],
    /// A record that has an array of this name is none: those within are.
    pub nested: Option<&'static str>,
    /// A document with one of these names and without such an array is a record itself.
    pub lines: &'static [&'static str],
    /// Whether a member of a document says that another document follows.
    pub more: fn(&str, &Value) -> bool,
}

/// An object that stands where records stand.
pub(super) struct Record {
    /// From 1.
    pub number: u64,
    pub line: u64,
    /// It stood in another one, see [`Shape::nested`].
    pub nested: bool,
    /// The object, or why it is bad.
    pub object: Result<Object, String>,
}

enum Stop {
    Asked,
    Failed(FileError),
}

impl From<FileError> for Stop {
    fn from(error: FileError) -> Self {
        Stop::Failed(error)
    }
}

/// Hands over each record until the file ends or `each` breaks. Whether each document says that another follows.
pub(super) fn records(
    shape: &Shape,
    input: &mut dyn BufRead,
    each: &mut dyn FnMut(Record) -> ControlFlow<()>,
) -> Result<bool, FileError> {
    let meter = Meter::default();
    let settings = ReaderSettings {
        allow_multiple_top_level: true,
        track_path: false,
        max_nesting_depth: Some(DEPTH_MAX),
        restrict_number_values: false,
        ..ReaderSettings::default()
    };
    skip_mark(input)?;
    let json = JsonStreamReader::new_custom(Bounded::new(input, &meter), settings);
    let mut reader = Reader { json, meter: &meter, shape, number: 0, each };
    let (mut documents, mut with_more) = (0, 0);
    let done = (|| {
        loop {
            with_more += u64::from(reader.document()?);
            documents += 1;
            if !reader.has_next()? {
                return Ok(());
            }
        }
    })();
    match done {
        Ok(()) => Ok(documents > 0 && with_more == documents),
        Err(Stop::Asked) => Ok(false),
        Err(Stop::Failed(error)) => Err(error),
    }
}

fn skip_mark(input: &mut dyn BufRead) -> Result<(), FileError> {
    // A buffer of one byte shows no more of it.
    for expected in super::line::BOM {
        if input.fill_buf()?.first() != Some(expected) {
            break;
        }
        input.consume(1);
    }
    Ok(())
}

struct Reader<'a> {
    json: JsonStreamReader<Bounded<'a>>,
    meter: &'a Meter,
    shape: &'a Shape,
    number: u64,
    each: &'a mut dyn FnMut(Record) -> ControlFlow<()>,
}

/// How much of a record there is still room for, and why it is bad.
struct Room {
    bytes: usize,
    bad: Option<String>,
}

impl Room {
    fn new() -> Self {
        Room { bytes: ROW_BYTES_MAX, bad: None }
    }

    fn take(&mut self, bytes: usize) {
        match self.bytes.checked_sub(bytes + NODE_BYTES) {
            Some(left) => self.bytes = left,
            None => {
                self.bytes = 0;
                self.refuse(format!("longer than {ROW_BYTES_MAX} bytes"));
            }
        }
    }

    fn refuse(&mut self, why: String) {
        self.bad.get_or_insert(why);
    }

    /// Adds a member, unless the record is bad already.
    fn put(&mut self, object: &mut Object, name: String, value: Value) {
        if self.bad.is_some() {
            object.clear();
        } else if object.len() == NAMES_MAX {
            self.refuse(format!("an object with more than {NAMES_MAX} names"));
        } else if object.iter().any(|(known, _)| *known == name) {
            self.refuse(format!("the name {} stands twice in one object", crate::entry::shown::name_or_not(&name)));
        } else {
            object.push((name, value));
        }
    }
}

impl Reader<'_> {
    /// Whether the document says that another follows.
    fn document(&mut self) -> Result<bool, Stop> {
        match self.peek()? {
            ValueType::Array => {
                self.array(self.shape.nested, false)?;
                Ok(false)
            }
            ValueType::Object => self.object(),
            _ => Err(FileError::broken(self.line(), "a document of JSON that is neither an object nor an array").into()),
        }
    }

    /// An object with an array of records, or a record.
    fn object(&mut self) -> Result<bool, Stop> {
        let (line, mut room, mut object, mut found, mut more) = (self.line(), Room::new(), Object::new(), false, false);
        self.begin(ValueType::Object)?;
        while self.has_next()? {
            let name = self.name()?;
            if self.shape.arrays.contains(&name.as_str()) && self.peek()? == ValueType::Array {
                self.array(self.shape.nested, false)?;
                found = true;
                continue;
            }
            let value = self.value(&mut room)?;
            more |= (self.shape.more)(&name, &value);
            room.take(name.len());
            room.put(&mut object, name, value);
        }
        self.end(ValueType::Object)?;
        if found {
            return Ok(more);
        }
        if !self.shape.lines.iter().any(|name| *get(&object, name) != Value::Null) && room.bad.is_none() {
            let expected = self.shape.arrays.join(" or ");
            return Err(FileError::broken(line, format!("the document has no {expected} with the list's records")).into());
        }
        self.emit(line, false, room, object)?;
        Ok(false)
    }

    fn array(&mut self, nested: Option<&str>, is_nested: bool) -> Result<(), Stop> {
        self.begin(ValueType::Array)?;
        while self.has_next()? {
            self.record(nested, is_nested)?;
        }
        self.end(ValueType::Array)
    }

    fn record(&mut self, nested: Option<&str>, is_nested: bool) -> Result<(), Stop> {
        let (mut room, mut object, mut is_case) = (Room::new(), Object::new(), false);
        let is_object = self.peek()? == ValueType::Object;
        let line = self.line();
        if !is_object {
            self.value(&mut room)?;
            room.refuse("not an object".to_owned());
            return self.emit(line, is_nested, room, object);
        }
        self.begin(ValueType::Object)?;
        while self.has_next()? {
            let name = self.name()?;
            if Some(name.as_str()) == nested && self.peek()? == ValueType::Array {
                is_case = true;
                self.array(None, true)?;
                continue;
            }
            let value = self.value(&mut room)?;
            room.take(name.len());
            room.put(&mut object, name, value);
        }
        self.end(ValueType::Object)?;
        if is_case { Ok(()) } else { self.emit(line, is_nested, room, object) }
    }

    fn emit(&mut self, line: u64, nested: bool, room: Room, object: Object) -> Result<(), Stop> {
        self.number += 1;
        let object = room.bad.map_or(Ok(object), Err);
        match (self.each)(Record { number: self.number, line, nested, object }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Stop::Asked),
        }
    }

    /// The next value, as far as there is room; the parser bounds its depth.
    fn value(&mut self, room: &mut Room) -> Result<Value, Stop> {
        let kind = self.peek()?;
        self.meter.next_piece();
        let value = match kind {
            ValueType::Null => self.json.next_null().map(|()| Value::Null).map_err(|error| self.failed(error))?,
            ValueType::Boolean => self.json.next_bool().map(Value::Bool).map_err(|error| self.failed(error))?,
            ValueType::Number => self.json.next_number_as_string().map(Value::Number).map_err(|error| self.failed(error))?,
            ValueType::String => self.json.next_string().map(Value::Text).map_err(|error| self.failed(error))?,
            ValueType::Array => {
                let mut values = Vec::new();
                self.begin(kind)?;
                while self.has_next()? {
                    let value = self.value(room)?;
                    if room.bad.is_none() {
                        values.push(value);
                    }
                }
                self.end(kind)?;
                Value::List(values)
            }
            ValueType::Object => {
                let mut object = Object::new();
                self.begin(kind)?;
                while self.has_next()? {
                    let name = self.name()?;
                    let value = self.value(room)?;
                    room.take(name.len());
                    room.put(&mut object, name, value);
                }
                self.end(kind)?;
                Value::Object(object)
            }
        };
        room.take(match &value {
            Value::Text(text) | Value::Number(text) => text.len(),
            _ => 0,
        });
        Ok(value)
    }

    fn name(&mut self) -> Result<String, Stop> {
        self.meter.next_piece();
        self.json.next_name_owned().map_err(|error| self.failed(error))
    }

    fn peek(&mut self) -> Result<ValueType, Stop> {
        self.meter.next_piece();
        self.json.peek().map_err(|error| self.failed(error))
    }

    fn has_next(&mut self) -> Result<bool, Stop> {
        self.meter.next_piece();
        self.json.has_next().map_err(|error| self.failed(error))
    }

    fn begin(&mut self, kind: ValueType) -> Result<(), Stop> {
        let begun = if kind == ValueType::Object { self.json.begin_object() } else { self.json.begin_array() };
        begun.map_err(|error| self.failed(error))
    }

    fn end(&mut self, kind: ValueType) -> Result<(), Stop> {
        let ended = if kind == ValueType::Object { self.json.end_object() } else { self.json.end_array() };
        ended.map_err(|error| self.failed(error))
    }

    /// The line that the parser is on, from 1: it has read ahead.
    fn line(&self) -> u64 {
        self.json.current_position(false).line_pos.map_or(0, |at| at.line) + 1
    }

    /// A parser's error, without what it quotes.
    fn failed(&self, error: ReaderError) -> Stop {
        let line = self.line();
        let what = match error {
            ReaderError::SyntaxError(error) => match error.kind {
                SyntaxErrorKind::IncompleteDocument => "the JSON ends before it is complete: the file was cut short".to_owned(),
                kind => format!("not valid JSON: {}", spaced(&kind.to_string())),
            },
            ReaderError::MaxNestingDepthExceeded { .. } => "values are nested too deeply".to_owned(),
            ReaderError::IoError { error, .. }
                if error.kind() == std::io::ErrorKind::InvalidData && error.get_ref().is_none_or(is_plain) =>
            {
                "not valid UTF-8".to_owned()
            }
            ReaderError::IoError { error, .. } => return Stop::Failed(FileError::reading(line, &error)),
            _ => "not valid JSON".to_owned(),
        };
        Stop::Failed(FileError::broken(line, what))
    }
}

/// Whether an error is the parser's own, which it makes of words.
fn is_plain(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    error.to_string().contains("UTF-8")
}

/// `MissingComma` as `missing comma`.
fn spaced(name: &str) -> String {
    let mut words = String::new();
    for (n, c) in name.chars().enumerate() {
        if c.is_ascii_uppercase() && n > 0 {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        arrays: &["value", "data"],
        nested: Some("Media"),
        lines: &["id"],
        more: |name, value| name == "more" && *value == Value::Bool(true),
    };

    /// Each record as `number@line names`, with `!reason` where it is bad and `+` where it was nested; then why the file failed, or `more`.
    fn seen(text: &str) -> String {
        let mut seen = Vec::new();
        let done = records(&SHAPE, &mut std::io::BufReader::with_capacity(1, text.as_bytes()), &mut |record| {
            let names = match &record.object {
                Ok(object) => {
                    object.iter().map(|(name, value)| format!("{name}={}", value.in_words())).collect::<Vec<_>>().join(" ")
                }
                Err(reason) => format!("!{reason}"),
            };
            seen.push(format!("{}{}@{} {names}", if record.nested { "+" } else { "" }, record.number, record.line));
            ControlFlow::Continue(())
        });
        seen.extend(match done {
            Ok(more) => more.then(|| "more".to_owned()),
            Err(error) => Some(error.to_string()),
        });
        seen.join("; ")
    }

    #[test]
    fn records_are_found_where_they_stand() {
        let check = |text: &str, expected: &str| assert_eq!(seen(text), expected, "{text}");
        check(r#"{"count":1,"value":[{"a":1},{"a":"x\u0041"}]}"#, "1@1 a=1; 2@1 a=xA");
        check("\u{feff}[\r\n{\"a\":1},\r\n{\"b\":[1,{\"c\":null}]}]", "1@2 a=1; 2@3 b=[1,{\"c\":null}]");
        check("{\"id\":1}\n{\"id\":\"2\",\"b\":true}\n\n", "1@1 id=1; 2@2 id=2 b=true");
        check("{\"data\":[{\"a\":1}],\"more\":true}{\"data\":[],\"more\":true}", "1@1 a=1; more");
        check("{\"data\":[{\"a\":1}],\"more\":true}{\"data\":[],\"more\":false}", "1@1 a=1");
        check("{\"value\":[{\"c\":1,\"Media\":[{\"a\":1},{\"a\":2}],\"d\":2},{\"a\":3}]}", "+1@1 a=1; +2@1 a=2; 3@1 a=3");
        check("[1,\"x\",{\"a\":1}]", "1@1 !not an object; 2@1 !not an object; 3@1 a=1");
        check(
            r#"[{"a":1,"a":2},{"b":{"c":1,"c":1}},{"a":1}]"#,
            "1@1 !the name \"a\" stands twice in one object; 2@1 !the name \"c\" stands twice in one object; 3@1 a=1",
        );
        check("[]", "");
    }

    #[test]
    fn what_is_no_json_or_is_cut_short_fails() {
        let check = |text: &str, words: &str| {
            let said = seen(text);
            assert!(said.contains(words), "{said:.200} of {text:.60}");
        };
        check("[{\"a\":1},\n{\"a\":", "1@1 a=1; line 2: the JSON ends before it is complete: the file was cut short");
        check("[{\"a\":1}\n", "line 2: the JSON ends before it is complete");
        check("[{\"a\":1} {\"b\":2}]", "not valid JSON: missing comma");
        check("{\"value\":{}}", "line 1: the document has no value or data with the list's records");
        check("{}", "the document has no value or data");
        check("[{\"a\":\"\n\"}]", "not valid JSON: not escaped control character");
        check("[{\"a\":\"\\ud800\"}]", "not valid JSON: unpaired surrogate");
        check("7", "neither an object nor an array");
        check("[] x", "not valid JSON");
        check(&format!("[{{\"a\":{}", "[".repeat(100)), "nested too deeply");
        let said =
            records(&SHAPE, &mut &b"[{\"a\":\"\xc3\x28\"}]"[..], &mut |_| ControlFlow::Continue(())).unwrap_err().to_string();
        assert_eq!(said, "line 1: not valid UTF-8");
    }

    #[test]
    fn a_record_that_is_too_long_costs_itself_alone() {
        let long = "x".repeat(ROW_BYTES_MAX);
        let text = format!("[{{\"a\":\"{long}\"}},{{\"b\":[{}0]}},{{\"c\":1}}]", "0,".repeat(20_000));
        assert_eq!(seen(&text), "1@1 !longer than 262144 bytes; 2@1 !longer than 262144 bytes; 3@1 c=1");
        let names: Vec<_> = (0..1_025).map(|n| format!("\"n{n}\":1")).collect();
        assert_eq!(seen(&format!("[{{{}}}]", names.join(","))), "1@1 !an object with more than 1024 names");
        let endless = format!("[{{\"a\":\"{}\"}}]", "x".repeat(super::super::bounded::PIECE_BYTES_MAX + 200_000));
        assert!(seen(&endless).contains("a single value or tag has more than 4194304 bytes"));
    }
}
