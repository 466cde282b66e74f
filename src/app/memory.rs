//! How much memory may the service take when it is attacked on all sides? The sum that deploy/hashwarden.toml states, of the values that hold.
//!
//! In bytes. Absent: the lists' indexes and entries, which go with the lists, and the store's caches, which do not change.

use crate::admission::TLS_BYTES;
use crate::config::Config;
use crate::extract::PLANES_BYTES_MAX;
use crate::sandbox::{self, Sandbox};
use crate::service::{CALL_BYTES, CONNECTION_BYTES};

const MIB: u64 = 1024 * 1024;

/// What each part can take at the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Most {
    receiving: u64,
    streams: u64,
    connections: u64,
    calls: u64,
    queue: u64,
    decoding: u64,
    workers: u64,
    views: u64,
    feeds: u64,
    log: u64,
}

impl Most {
    /// `threads` decode.
    pub fn of(config: &Config, threads: u64) -> Self {
        let (g, e) = (&config.grpc, &config.extract);
        Most {
            receiving: g.receive_bytes_max,
            streams: g.streams_bytes_max,
            connections: (CONNECTION_BYTES + if config.tls.is_on() { TLS_BYTES } else { 0 })
                .saturating_mul(g.connections_max as u64),
            calls: CALL_BYTES.saturating_mul(g.calls_max),
            queue: e.images.queue_bytes_max,
            decoding: e.limits.alloc_bytes_max.saturating_mul(threads),
            workers: match e.workers.sandbox {
                Sandbox::Off => 0,
                Sandbox::Auto | Sandbox::Required => sandbox::beside_bytes(&config.limits(), threads),
            },
            views: PLANES_BYTES_MAX.saturating_mul(threads),
            feeds: config.feeds.page_bytes_max.saturating_mul(2 * config.feeds.fetches_max as u64),
            log: config.log.queue_bytes_max,
        }
    }

    fn parts(&self) -> [u64; 10] {
        [
            self.receiving,
            self.streams,
            self.connections,
            self.calls,
            self.queue,
            self.decoding,
            self.workers,
            self.views,
            self.feeds,
            self.log,
        ]
    }

    pub fn total(&self) -> u64 {
        self.parts().into_iter().fold(0, u64::saturating_add)
    }

    /// One line, to compare with the container's limit.
    pub fn tell(&self) {
        let [
            receiving_mib,
            streams_mib,
            connections_mib,
            calls_mib,
            queue_mib,
            decoding_mib,
            workers_mib,
            views_mib,
            feeds_mib,
            log_mib,
        ] = self.parts().map(|part| part / MIB);
        tracing::info!(
            total_mib = self.total() / MIB,
            receiving_mib,
            streams_mib,
            connections_mib,
            calls_mib,
            queue_mib,
            decoding_mib,
            workers_mib,
            views_mib,
            feeds_mib,
            log_mib,
            "the most memory that the limits allow, besides the lists' indexes and the store's caches"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file that operators read states the sum in its own words.
    #[test]
    fn the_sum_is_the_one_that_the_annotated_configuration_states() {
        let most = Most::of(&Config::default(), 2);
        let words = |part: u64| match part / MIB {
            mib if mib >= 1024 => format!("{} GiB", mib / 1024),
            mib => format!("{mib} MiB"),
        };
        let sum = most.parts().map(words).join(" + ");
        let text = include_str!("../../deploy/hashwarden.toml");
        assert!(text.contains(&format!("that is {sum}. The share")), "{sum}");
        assert_eq!(most.total(), 5_704 * MIB);
        let mut config = Config::default();
        config.grpc.calls_max = u64::MAX;
        assert_eq!(Most::of(&config, 2).total(), u64::MAX);
    }
}
