//! tonic's codec for protobuf, but for one thing: a message that can't be read is the caller's fault, so its status is INVALID_ARGUMENT, where
//! prost's own is INTERNAL. How much a message holds is looked at before it comes here: see `scan`.

use std::io;
use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, DecodeBuf, Decoder};
use tonic::{Code, Status};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

pub struct Codec<E, D>(PhantomData<(E, D)>);

impl<E, D> Default for Codec<E, D> {
    fn default() -> Self {
        Codec(PhantomData)
    }
}

impl<E, D> tonic::codec::Codec for Codec<E, D>
where
    E: Message + Send + 'static,
    D: Message + Default + Send + 'static,
{
    type Encode = E;
    type Decode = D;
    type Encoder = ProstEncoder<E>;
    type Decoder = Reading<D>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        Reading(ProstCodec::<E, D>::raw_decoder(BufferSettings::default()))
    }
}

pub struct Reading<D>(ProstDecoder<D>);

impl<D: Message + Default> Decoder for Reading<D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        self.0.decode(buf).map_err(|status| match status.code() {
            // Text that is not UTF-8, and fields of another type than the schema's.
            Code::Internal => Status::from(io::Error::new(io::ErrorKind::InvalidInput, status.message().to_owned())),
            _ => status,
        })
    }
}
