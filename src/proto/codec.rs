//! tonic's codec for protobuf, with what comes in scanned before it is decoded.
//!
//! A message that can't be read is the caller's fault, so its status is INVALID_ARGUMENT, where prost's own is INTERNAL.

use std::io;
use std::marker::PhantomData;

use prost::bytes::Buf;
use prost::{Message, Name};
use tonic::codec::{BufferSettings, DecodeBuf, Decoder};
use tonic::{Code, Status};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

use super::scan::Scan;

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
    type Decoder = Scanning<D>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        Scanning(ProstCodec::<E, D>::raw_decoder(BufferSettings::default()))
    }
}

pub struct Scanning<D>(ProstDecoder<D>);

impl<D: Message + Name + Default> Decoder for Scanning<D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        let refused = |why: String| Status::from(io::Error::new(io::ErrorKind::InvalidInput, why));
        let mut scan = Scan::new(&D::full_name(), buf.remaining() as u64);
        // tonic hands over a message whole, in one piece; should it ever not, the scan says that it ends early.
        scan.feed(buf.chunk()).and_then(|()| scan.end()).map_err(|flaw| refused(flaw.to_string()))?;
        self.0.decode(buf).map_err(|status| match status.code() {
            // Text that is not UTF-8, and fields of another type than the schema's.
            Code::Internal => refused(status.message().to_owned()),
            _ => status,
        })
    }
}
