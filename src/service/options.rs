//! What can be set of the service: section [grpc] of the configuration.

use std::net::SocketAddr;

use crate::decode;
use crate::entry::options::options;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// A time limit below it would end what is only slow; above it, it would be none.
const MS: std::ops::RangeInclusive<u64> = 10..=3_600_000;
const BYTES_TOP: u64 = 1024 * 1024 * MIB;

options! {
    /// Where the service listens, and its limits.
    #[derive(Copy, Eq)]
    pub struct Options {
        pub listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 50051));
        /// Largest image in bytes. A message may have 64 KiB more; beyond that the call ends, up to it the verdict is NOT_SCANNED(too_large).
        pub image_bytes_max: u64 = decode::Limits::default().image_bytes_max, in 1024..=1024 * MIB;
        /// Items of one stream that are in work or whose results the client has not taken: then its stream is not read on.
        pub items_in_flight_max: u32 = 16_384, in 1..=65_536;
        /// Hashes that a caller may bring for one item: 32 frames with 8 transforms each.
        pub hashes_per_item_max: u32 = 256, in 1..=65_536;
        /// Bytes that one stream may hold: its hash-only items in work, and results that its client has not taken.
        pub stream_bytes_max: u64 = 16 * MIB, in MIB..=64 * 1024 * MIB;
        /// The same of all streams together, each counted with a MiB at the least.
        pub streams_bytes_max: u64 = 256 * MIB, in MIB..=BYTES_TOP;
        /// The same of one caller's streams.
        pub streams_bytes_per_caller_max: u64 = 128 * MIB, in MIB..=BYTES_TOP;
        /// A client that takes no result for so many ms has its call ended.
        pub unread_ms_max: u64 = 300_000, in MS;
        /// Deadline in ms of an item whose caller set none, and the longest that a caller gets.
        pub request_ms_max: u64 = 10_000, in MS;
        /// Calls at once on one connection.
        pub connection_streams_max: u32 = 256, in 1..=65_536;
        /// Connections, and those of one caller; one more takes the place of one without a call, or is closed.
        pub connections_max: usize = 1024, in 1..=65_536;
        pub connections_per_caller_max: usize = 256, in 1..=65_536;
        /// Seconds after which a connection without a call is closed, and a stream ends that carried no message.
        pub connection_idle_s: u64 = 300, in 1..=86_400;
        /// A connection that has not said anything after so many ms is closed: silent ones would keep callers out.
        pub connection_silent_ms_max: u64 = 10_000, in MS;
        /// Calls at once, and those of one caller; more are refused.
        pub calls_max: u64 = 4096, in 1..=1_000_000;
        pub calls_per_caller_max: u64 = 1024, in 1..=1_000_000;
        /// The same of health checks, which are not counted with the others.
        pub health_calls_max: u64 = 256, in 2..=65_536;
        /// Bytes of messages that are being received or taken in, those below 64 KiB aside, and those of one caller.
        pub receive_bytes_max: u64 = 512 * MIB, in MIB..=BYTES_TOP;
        pub receive_bytes_per_caller_max: u64 = 256 * MIB, in MIB..=BYTES_TOP;
        /// A message that has begun must be whole within so many ms.
        pub message_ms_max: u64 = 30_000, in MS;
        /// List calls that are in work at once, imports included, and those of one caller; the others wait.
        pub list_calls_max: u64 = 32, in 1..=1024;
        pub list_calls_per_caller_max: u64 = 16, in 1..=1024;
        /// Changes of policies at once, and those of one caller: they have places of their own, as long calls may have taken all the others.
        pub policy_calls_max: u64 = 32, in 1..=1024;
        pub policy_calls_per_caller_max: u64 = 16, in 1..=1024;
        /// Comparisons of lists at once, whoever asks: each is work for all cores.
        pub overlap_calls_max: u64 = 1, in 1..=64;
        /// Imports whose files are being received, and those of one caller; more are refused.
        pub imports_max: u64 = 16, in 1..=1024;
        pub imports_per_caller_max: u64 = 4, in 1..=1024;
        /// Bytes of one file.
        pub import_bytes_max: u64 = 8 * 1024 * MIB, in MIB..=BYTES_TOP;
        /// An import's client that sends fewer bytes a second, once it had `import_idle_ms_max`, is given up.
        pub import_bytes_per_s_min: u64 = 16 * KIB, in 0..=1024 * MIB;
        /// An import whose client sends nothing for so many ms is given up as well.
        pub import_idle_ms_max: u64 = 60_000, in MS;
        /// Exports at once, and those of one caller; more are refused. What was removed from lists stays on the disk while one runs.
        pub exports_max: u64 = 4, in 1..=64;
        pub exports_per_caller_max: u64 = 2, in 1..=64;
        /// Entries or ids in one call that adds or removes.
        #[serde(skip)]
        pub entries_per_call_max: usize = 10_000;
        /// Seconds that calls in work get to finish when the service stops.
        pub drain_s: u64 = 20, in 0..=3600;
    }
}
