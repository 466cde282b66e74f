//! What goes over the wire: messages, client and server made from `proto/` by build.rs, and their descriptors.
//!
//! Only the gRPC edges (service, client) name this room. Absent: any meaning; `service::convert` and `client` give it.

pub mod codec;
pub mod scan;

pub use codec::Codec;

#[allow(clippy::all, missing_docs)]
pub mod v1 {
    tonic::include_proto!("hashwarden.v1");
}

/// The serialized `FileDescriptorSet` of all of `proto/` and what it imports, with comments, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hashwarden.bin"));

/// Messages that hold a hash or a file's bytes: `Debug` shows none of it.
macro_rules! show_nothing {
    ($($message:ident)*) => {$(
        impl std::fmt::Debug for v1::$message {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($message), "(..)"))
            }
        }
    )*};
}

show_nothing! { Hash HashRequest MatchItem ImportEntriesRequest EntryDetails EntryField }
