//! How many parts has this message?
//!
//! An empty part takes two bytes on the wire and up to fifty times that in memory, so a limit on bytes alone bounds little. Here the
//! parts are counted before any is decoded: strings, bytes and messages, at every depth. Which fields are messages is read from the
//! descriptors, so that no picture is taken for one.

use std::collections::HashMap;
use std::io;
use std::marker::PhantomData;
use std::sync::LazyLock;

use prost::bytes::Buf;
use prost::{Message, Name};
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorSet};
use tonic::Status;
use tonic::codec::{BufferSettings, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// Parts of one message. Ten thousand hash-only items, each with all it can have but hashes beyond a dozen, stay below.
pub const PARTS_MAX: u32 = 500_000;

/// tonic's codec for protobuf, with a limit on the parts of what comes in.
pub struct Codec<E, D>(PhantomData<(E, D)>);

impl<E, D> Default for Codec<E, D> {
    fn default() -> Self {
        Codec(PhantomData)
    }
}

impl<E, D> tonic::codec::Codec for Codec<E, D>
where
    E: Message + Send + 'static,
    D: Message + Name + Default + Send + 'static,
{
    type Encode = E;
    type Decode = D;
    type Encoder = ProstEncoder<E>;
    type Decoder = Counting<D>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        Counting(ProstCodec::<E, D>::raw_decoder(BufferSettings::default()))
    }
}

pub struct Counting<D>(ProstDecoder<D>);

impl<D: Message + Name + Default> Decoder for Counting<D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        // tonic hands over a message whole, in one piece; should it ever not, the piece is shorter than what remains.
        if buf.chunk().len() == buf.remaining() {
            let mut left = PARTS_MAX;
            count(&D::full_name(), buf.chunk(), &mut left).map_err(|TooMany| {
                let why = format!("a message has more than {PARTS_MAX} parts: send several smaller ones");
                Status::from(io::Error::new(io::ErrorKind::InvalidInput, why))
            })?;
        }
        self.0.decode(buf)
    }
}

/// For each message, the numbers of its fields that are messages, and which.
type Schema = HashMap<String, HashMap<u32, String>>;

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let mut schema = Schema::new();
    // The descriptors are made by build.rs; a test reads them.
    for file in FileDescriptorSet::decode(super::DESCRIPTORS).unwrap_or_default().file {
        let package = file.package.unwrap_or_default();
        file.message_type.iter().for_each(|message| describe(&package, message, &mut schema));
    }
    schema
});

fn describe(within: &str, message: &DescriptorProto, schema: &mut Schema) {
    let name = format!("{within}.{}", message.name());
    message.nested_type.iter().for_each(|nested| describe(&name, nested, schema));
    let messages = message.field.iter().filter(|field| field.r#type() == Type::Message);
    let fields = messages.map(|f| (f.number().unsigned_abs(), f.type_name().trim_start_matches('.').to_owned()));
    schema.insert(name, fields.collect());
}

struct TooMany;

/// Takes the parts of a message from `left`. What can't be read ends the count: decoding will say what is wrong with it.
fn count(name: &str, mut bytes: &[u8], left: &mut u32) -> Result<(), TooMany> {
    let messages = SCHEMA.get(name);
    while let Some((tag, rest)) = varint(bytes) {
        let skip = match tag & 7 {
            0 => varint(rest).map(|(_, after)| rest.len() - after.len()),
            1 => Some(8),
            5 => Some(4),
            2 => {
                let Some((length, after)) = varint(rest) else { return Ok(()) };
                let Some(part) = usize::try_from(length).ok().and_then(|length| after.get(..length)) else { return Ok(()) };
                *left = left.checked_sub(1).ok_or(TooMany)?;
                if let Some(inner) = u32::try_from(tag >> 3).ok().and_then(|number| messages?.get(&number)) {
                    count(inner, part, left)?;
                }
                Some(rest.len() - after.len() + part.len())
            }
            _ => None,
        };
        match skip.and_then(|skip| rest.get(skip..)) {
            Some(after) => bytes = after,
            None => return Ok(()),
        }
    }
    Ok(())
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (n, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(7 * n as u32)?;
        if byte & 0x80 == 0 {
            return Some((value, &bytes[n + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1;

    fn parts<M: Message + Name>(message: &M) -> Option<u32> {
        let mut left = PARTS_MAX;
        count(&M::full_name(), &message.encode_to_vec(), &mut left).ok().map(|()| PARTS_MAX - left)
    }

    #[test]
    fn parts_are_counted_at_every_depth_and_pictures_are_not_looked_into() {
        let hash = || v1::Hash { kind: 1, hex: "ab".to_owned(), quality: Some(3) };
        let hashes = v1::Hashes { hashes: vec![hash(), hash()] };
        let content = |content| v1::MatchItem { item_id: "x".to_owned(), content: Some(content), ..v1::MatchItem::default() };
        let of_hashes = content(v1::match_item::Content::Hashes(hashes));
        assert_eq!(parts(&v1::MatchRequest { item: Some(of_hashes.clone()) }), Some(1 + 1 + 1 + 2 * 2));
        // Bytes that could be read as a million empty parts.
        let picture = content(v1::match_item::Content::Image([0x0a, 0].repeat(1 << 20)));
        let items = v1::MatchStreamRequest { items: vec![of_hashes, picture] };
        assert_eq!(parts(&items), Some(7 + 3));
    }

    #[test]
    fn a_message_of_too_many_parts_is_refused_before_it_is_decoded() {
        let most = v1::MatchStreamRequest { items: vec![v1::MatchItem::default(); PARTS_MAX as usize] };
        assert_eq!(parts(&most), Some(PARTS_MAX));
        let more = v1::MatchStreamRequest { items: vec![v1::MatchItem::default(); PARTS_MAX as usize + 1] };
        assert_eq!(parts(&more), None);
        let inner = v1::Hashes { hashes: vec![v1::Hash::default(); PARTS_MAX as usize] };
        let item = v1::MatchItem { content: Some(v1::match_item::Content::Hashes(inner)), ..v1::MatchItem::default() };
        assert_eq!(parts(&v1::MatchRequest { item: Some(item) }), None);
    }

    #[test]
    fn what_can_not_be_read_ends_the_count() {
        let mut left = 10;
        for bytes in
            [&[0xff; 20][..], &[0x0a], &[0x0a, 0x05, 1], &[0x09, 1], &[0x0b], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]]
        {
            assert!(count("hashwarden.v1.MatchStreamRequest", bytes, &mut left).is_ok());
        }
        assert_eq!(left, 10);
    }
}
