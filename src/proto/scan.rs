//! What does this message hold? Told from its bytes as they come, before any of it is decoded.
//!
//! An empty part takes two bytes on the wire and up to fifty times that in memory, so a limit on bytes alone bounds little. Here the parts
//! are counted: strings, bytes and messages, at every depth. Which fields are messages is read from the descriptors, so that no picture is
//! taken for one. The scan follows protobuf's wire format with prost's rules, unknown fields and groups included. Invariant: what is not
//! understood here is refused, so that no part can hide behind bytes that the decoder reads differently.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorSet};

/// Parts of one message. Ten thousand hash-only items, each with all it can have but hashes beyond a dozen, stay below.
pub const PARTS_MAX: u32 = 500_000;
/// Messages and groups within one another, as deep as prost goes.
const DEPTH_MAX: usize = 100;
/// Bytes of a packed field that count as one part: its numbers take up to eight times their bytes in memory.
const PACKED_BYTES_PER_PART: u64 = 8;

/// Why a message is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    #[error("a message has more than {PARTS_MAX} parts: send several smaller ones")]
    TooManyParts,
    #[error("the message is not valid protobuf: {0}")]
    Malformed(&'static str),
}

/// A scan of one message.
#[derive(Debug)]
pub struct Scan {
    /// The message and what is open within it, the innermost last; empty at the end.
    open: Vec<Open>,
    step: Step,
    parts: u32,
}

#[derive(Debug)]
struct Open {
    within: Within,
    /// Bytes to the end of the innermost message that this is, or lies in.
    left: u64,
}

#[derive(Debug, Clone, Copy)]
enum Within {
    /// By its place in the schema; `None` for one that is not looked into.
    Message(Option<usize>),
    /// A group's field number: no message of ours has one, so all of it is unknown.
    Group(u64),
}

/// What comes next.
#[derive(Debug, Clone, Copy)]
enum Step {
    Key(Varint),
    Value(Varint),
    /// The length of this field.
    Length(u64, Varint),
    /// So many bytes are of no interest.
    Skip(u64),
}

/// A number that is being read.
#[derive(Debug, Clone, Copy, Default)]
struct Varint {
    value: u64,
    bytes: u32,
}

impl Varint {
    /// The number, once it is whole.
    fn push(&mut self, byte: u8) -> Result<Option<u64>, Flaw> {
        if self.bytes == 9 && byte > 1 {
            return Err(Flaw::Malformed("a number has more than 64 bits"));
        }
        self.value |= u64::from(byte & 0x7f) << (7 * self.bytes);
        self.bytes += 1;
        Ok((byte & 0x80 == 0).then_some(self.value))
    }
}

const START: Step = Step::Key(Varint { value: 0, bytes: 0 });

impl Scan {
    /// A scan of a message of `bytes` bytes, by its type's full name; one that is not known is walked through as if all were unknown.
    pub fn new(name: &str, bytes: u64) -> Self {
        let within = Within::Message(SCHEMA.by_name.get(name).copied());
        Scan { open: vec![Open { within, left: bytes }], step: START, parts: 0 }
    }

    /// Parts so far.
    pub fn parts(&self) -> u32 {
        self.parts
    }

    /// Takes the message's next bytes.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Flaw> {
        loop {
            if let Step::Skip(n) = self.step {
                let now = n.min(bytes.len() as u64);
                bytes = &bytes[now as usize..];
                self.step = if now == n { START } else { Step::Skip(n - now) };
            }
            self.close_what_ended();
            let Some((byte, rest)) = bytes.split_first() else { return Ok(()) };
            bytes = rest;
            let inner = self.open.last_mut().ok_or(Flaw::Malformed("it goes on after its end"))?;
            inner.left = inner.left.checked_sub(1).ok_or(Flaw::Malformed("a field ends early"))?;
            self.step = match self.step {
                Step::Key(mut key) => match key.push(*byte)? {
                    Some(key) => self.field(key)?,
                    None => Step::Key(key),
                },
                Step::Value(mut value) => value.push(*byte)?.map_or(Step::Value(value), |_| START),
                Step::Length(field, mut length) => match length.push(*byte)? {
                    Some(length) => self.part(field, length)?,
                    None => Step::Length(field, length),
                },
                Step::Skip(n) => Step::Skip(n), // was done above
            };
        }
    }

    /// Whether the message is whole.
    pub fn end(&self) -> Result<(), Flaw> {
        if self.open.is_empty() { Ok(()) } else { Err(Flaw::Malformed("it ends early")) }
    }

    fn close_what_ended(&mut self) {
        while let (Step::Key(Varint { bytes: 0, .. }), Some(Open { within: Within::Message(_), left: 0 })) =
            (self.step, self.open.last())
        {
            self.open.pop();
        }
    }

    fn field(&mut self, key: u64) -> Result<Step, Flaw> {
        let number = key >> 3;
        if number == 0 || u32::try_from(key).is_err() {
            return Err(Flaw::Malformed("a field has no valid number"));
        }
        match key & 7 {
            0 => Ok(Step::Value(Varint::default())),
            1 => self.skip(8),
            2 => Ok(Step::Length(number, Varint::default())),
            3 => {
                let left = self.open.last().map_or(0, |open| open.left);
                self.enter(Open { within: Within::Group(number), left })
            }
            4 => match self.open.pop() {
                Some(Open { within: Within::Group(open), left }) if open == number => {
                    if let Some(around) = self.open.last_mut() {
                        around.left = left;
                    }
                    Ok(START)
                }
                _ => Err(Flaw::Malformed("a group ends that did not begin")),
            },
            5 => self.skip(4),
            _ => Err(Flaw::Malformed("a field has no valid wire type")),
        }
    }

    /// A string, bytes, a message or packed numbers.
    fn part(&mut self, number: u64, length: u64) -> Result<Step, Flaw> {
        let within = self.open.last().map(|open| open.within);
        let kind = match within {
            Some(Within::Message(Some(message))) => SCHEMA.messages[message].get(&number).copied(),
            _ => None,
        };
        let parts = if let Some(Kind::Packed) = kind { length / PACKED_BYTES_PER_PART + 1 } else { 1 };
        let parts = u32::try_from(parts).ok().and_then(|parts| self.parts.checked_add(parts));
        self.parts = parts.filter(|parts| *parts <= PARTS_MAX).ok_or(Flaw::TooManyParts)?;
        let skip = self.skip(length)?;
        match kind {
            Some(Kind::Message(inner)) => self.enter(Open { within: Within::Message(Some(inner)), left: length }),
            _ => Ok(skip),
        }
    }

    /// Takes bytes from the innermost message.
    fn skip(&mut self, bytes: u64) -> Result<Step, Flaw> {
        let inner = self.open.last_mut().ok_or(Flaw::Malformed("it goes on after its end"))?;
        inner.left = inner.left.checked_sub(bytes).ok_or(Flaw::Malformed("a field is longer than what it lies in"))?;
        Ok(if bytes == 0 { START } else { Step::Skip(bytes) })
    }

    fn enter(&mut self, open: Open) -> Result<Step, Flaw> {
        if self.open.len() > DEPTH_MAX {
            return Err(Flaw::Malformed("its messages lie too deep in one another"));
        }
        self.open.push(open);
        Ok(START)
    }
}

/// A field whose bytes mean something here; all others are strings, bytes, single numbers or unknown.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// By its place in the schema.
    Message(usize),
    Packed,
}

#[derive(Default)]
struct Schema {
    by_name: HashMap<String, usize>,
    messages: Vec<HashMap<u64, Kind>>,
}

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let mut found = Vec::new();
    // The descriptors are made by build.rs; a test reads them.
    for file in FileDescriptorSet::decode(super::DESCRIPTORS).unwrap_or_default().file {
        let package = file.package().to_owned();
        file.message_type.into_iter().for_each(|message| collect(&package, message, &mut found));
    }
    let by_name: HashMap<String, usize> = found.iter().enumerate().map(|(n, (name, _))| (name.clone(), n)).collect();
    let kind = |field: &prost_types::FieldDescriptorProto| match field.r#type() {
        Type::Message => by_name.get(field.type_name().trim_start_matches('.')).copied().map(Kind::Message),
        Type::String | Type::Bytes | Type::Group => None,
        _ => Some(Kind::Packed),
    };
    let fields = |message: &DescriptorProto| {
        message.field.iter().filter_map(|f| Some((u64::from(f.number().unsigned_abs()), kind(f)?))).collect()
    };
    let messages = found.iter().map(|(_, message)| fields(message)).collect();
    Schema { by_name, messages }
});

fn collect(within: &str, message: DescriptorProto, found: &mut Vec<(String, DescriptorProto)>) {
    let name = format!("{within}.{}", message.name());
    message.nested_type.iter().for_each(|nested| collect(&name, nested.clone(), found));
    found.push((name, message));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1;
    use proptest::prelude::*;
    use prost::Name;

    /// Parts of a message that comes in pieces of `piece` bytes.
    fn scan(name: &str, bytes: &[u8], piece: usize) -> Result<u32, Flaw> {
        let mut scan = Scan::new(name, bytes.len() as u64);
        bytes.chunks(piece).try_for_each(|piece| scan.feed(piece))?;
        scan.feed(&[])?;
        scan.end()?;
        Ok(scan.parts())
    }

    fn parts<M: Message + Name>(message: &M) -> Result<u32, Flaw> {
        let bytes = message.encode_to_vec();
        let whole = scan(&M::full_name(), &bytes, usize::MAX);
        assert_eq!(whole, scan(&M::full_name(), &bytes, 7), "pieces make no difference");
        whole
    }

    #[test]
    fn parts_are_counted_at_every_depth_and_pictures_are_not_looked_into() {
        let hash = || v1::Hash { kind: 1, hex: "ab".to_owned(), quality: Some(3) };
        let hashes = v1::Hashes { hashes: vec![hash(), hash()] };
        let content = |content| v1::MatchItem { item_id: "x".to_owned(), content: Some(content), ..v1::MatchItem::default() };
        let of_hashes = content(v1::match_item::Content::Hashes(hashes));
        assert_eq!(parts(&v1::MatchRequest { item: Some(of_hashes.clone()) }), Ok(1 + 1 + 1 + 2 * 2));
        // Bytes that could be read as a million empty parts.
        let picture = content(v1::match_item::Content::Image([0x0a, 0].repeat(1 << 20)));
        let items = v1::MatchStreamRequest { items: vec![of_hashes, picture] };
        assert_eq!(parts(&items), Ok(7 + 3));
        let transforms = v1::TransformSet { transforms: vec![1; 80] };
        assert_eq!(parts(&transforms), Ok(11));
    }

    #[test]
    fn a_message_of_too_many_parts_is_refused_before_it_is_decoded() {
        let most = v1::MatchStreamRequest { items: vec![v1::MatchItem::default(); PARTS_MAX as usize] };
        assert_eq!(parts(&most), Ok(PARTS_MAX));
        let more = v1::MatchStreamRequest { items: vec![v1::MatchItem::default(); PARTS_MAX as usize + 1] };
        assert_eq!(parts(&more), Err(Flaw::TooManyParts));
        let inner = v1::Hashes { hashes: vec![v1::Hash::default(); PARTS_MAX as usize] };
        let item = v1::MatchItem { content: Some(v1::match_item::Content::Hashes(inner)), ..v1::MatchItem::default() };
        assert_eq!(parts(&v1::MatchRequest { item: Some(item) }), Err(Flaw::TooManyParts));
        let transforms = v1::TransformSet { transforms: vec![1; 16 << 20] };
        assert_eq!(parts(&transforms), Err(Flaw::TooManyParts));
    }

    /// An unknown group (two bytes each for its beginning and its end) ended the count, and the decoder went on behind it: 30 MiB of
    /// empty items then took 1,684 MiB.
    #[test]
    fn no_part_hides_behind_what_is_unknown() {
        let empty = |field: u8| [field << 3 | 2, 0].repeat(PARTS_MAX as usize + 1);
        let check = |name: &str, before: &[u8], field: u8| {
            let bytes = [before, &empty(field)].concat();
            assert_eq!(scan(&format!("hashwarden.v1.{name}"), &bytes, usize::MAX), Err(Flaw::TooManyParts), "{name} {before:x?}");
        };
        for before in [
            &[][..],
            &[0xa3, 0x06, 0xa4, 0x06],                         // a group, as it was found
            &[0xa3, 0x06, 0xab, 0x06, 0xac, 0x06, 0xa4, 0x06], // one in another
            &[0xa3, 0x06, 0x08, 0x05, 0x12, 1, 7, 0xa4, 0x06], // one that holds fields
            &[0xa0, 0x06, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            &[0xa1, 0x06, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0xa5, 0x06, 0, 0, 0, 0],
            &[0xa2, 0x06, 3, 0xff, 0xff, 0xff],
            &[0x8a, 0x80, 0x00, 0], // field 1 with a number of three bytes
        ] {
            check("MatchStreamRequest", before, 1);
            check("AddEntriesRequest", before, 2);
            check("RemoveEntriesRequest", before, 2);
        }
    }

    #[test]
    fn what_is_malformed_is_refused() {
        let check = |bytes: &[u8]| {
            let refused = scan("hashwarden.v1.MatchStreamRequest", bytes, usize::MAX);
            assert!(matches!(refused, Err(Flaw::Malformed(_))), "{bytes:x?}: {refused:?}");
            assert!(v1::MatchStreamRequest::decode(bytes).is_err(), "{bytes:x?} is decoded");
        };
        check(&[0xff; 20]);
        check(&[0x0a]);
        check(&[0x0a, 0x05, 1]);
        check(&[0x09, 1]);
        check(&[0x0b]);
        check(&[0x0c]);
        check(&[0x0e, 1]);
        check(&[0x02, 0]);
        check(&[0xa3, 0x06, 0xac, 0x06]);
        check(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
        check(&[0x0a, 2, 0x0a, 5, 0, 0, 0, 0, 0]); // a field longer than its item, though not than the message
        check(&[0xa3, 0x06].repeat(200));
    }

    proptest! {
        /// The oracle is the decoder: what it takes is taken here, and has no more parts than were counted.
        #[test]
        fn what_the_decoder_takes_is_counted(
            bytes in proptest::collection::vec(prop_oneof![
                Just(0x0a_u8), Just(0x12), Just(0x22), Just(0x2a), Just(0x0b), Just(0x0c), Just(0xa3), Just(0xa4), Just(6), 0_u8..8,
                any::<u8>()
            ], 0..60),
            piece in 1_usize..20,
        ) {
            let counted = scan("hashwarden.v1.MatchStreamRequest", &bytes, piece);
            prop_assert_eq!(counted, scan("hashwarden.v1.MatchStreamRequest", &bytes, usize::MAX));
            if let Ok(message) = v1::MatchStreamRequest::decode(&bytes[..]) {
                let of = |item: &v1::MatchItem| match &item.content {
                    Some(v1::match_item::Content::Hashes(hashes)) => hashes.hashes.len() + item.lists.len(),
                    _ => item.lists.len(),
                };
                let held = message.items.iter().map(|item| 1 + of(item)).sum::<usize>();
                prop_assert!(counted.is_ok_and(|parts| parts as usize >= held), "{:?} for {}", counted, held);
            }
        }
    }
}
