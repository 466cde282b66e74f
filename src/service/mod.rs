//! gRPC at the edge: the hashwarden.v1 services, health and reflection, from binding to draining.
//!
//! A handler turns a message into a door's call and the door's answer into a message, and does no more: it never reaches past `matcher` and
//! `catalog`. Every call has a deadline, every queue an end. Nothing of a request's content is logged or counted, but for the names that a caller gives.

mod asking;
mod call_metrics;
mod connections;
mod convert;
mod export;
mod import;
mod inbound;
mod list_cache;
mod lists;
mod matching;
mod middleware;
mod named;
mod options;
mod picture;
mod replies;
mod silence;
mod sources;
mod stream;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::Server;
use tonic_health::ServingStatus;

use crate::access::{Gate, Near, Principal, Question};
use crate::admission::{Budget, OverQuota, Quota, Quotas, Tls};
use crate::catalog::{Catalog, Fetch};
use crate::matcher::{Matcher, PoolState, Probe};
use crate::proto::v1::hash_list_service_server::HashListServiceServer;
use crate::proto::v1::match_service_server::MatchServiceServer;
use middleware::Edge;

pub use options::Options;

/// What a message may hold beside its image: names, ids, framing.
const MESSAGE_BYTES_BESIDE_IMAGE: u64 = 64 * 1024;
/// Largest message to the list service: 10,000 entries with a handful of hashes each.
const LIST_MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest message to health and reflection: names.
const OTHER_MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Keep-alive interval, and how long a client may take to answer.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(30);
const KEEPALIVE_WAIT: Duration = Duration::from_secs(20);
/// HTTP/2 flow control: what a client may send unread, for one call and for all of a connection. An image in one go, several calls.
const CALL_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// What a connection can hold beside what limits count: what came of its calls and was not read.
pub const CONNECTION_BYTES: u64 = CONNECTION_WINDOW_BYTES as u64;
/// What a call can hold beside what limits count: a small message, and the same again once it is decoded.
pub const CALL_BYTES: u64 = 2 * inbound::SMALL_BYTES;
/// How often health asks whether threads are stuck.
const THREADS_EVERY: Duration = Duration::from_secs(1);
/// Of what health knows, what does nothing without the matcher's threads.
const MATCHING_SERVICES: [&str; 2] = ["", "hashwarden.v1.MatchService"];
/// What health knows: the server as a whole and each service.
const SERVICES: [&str; 3] = ["", "hashwarden.v1.MatchService", "hashwarden.v1.HashListService"];

/// What the service stands on.
pub struct Deps {
    pub matcher: Matcher,
    pub catalog: Arc<Catalog>,
    pub fetch: Arc<dyn Fetch>,
    pub gate: Arc<Gate>,
    /// Counts questions near entries.
    pub near: Near,
    pub quotas: Quotas,
    pub options: Options,
    /// Plain text without it.
    pub tls: Option<Arc<Tls>>,
    /// Where files of imports lie, without a name, until they are whole.
    pub spool: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("the gRPC server failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    #[error("the service's own descriptors can't be read: {0}")]
    Descriptors(#[from] tonic_reflection::server::Error),
}

/// What all handlers share.
struct Shared {
    matcher: Matcher,
    catalog: Arc<Catalog>,
    fetch: Arc<dyn Fetch>,
    options: Options,
    list_cache: list_cache::ListCache,
    stream_limits: stream::Limits,
    stream_bytes: Arc<Budget>,
    list_calls: Arc<Budget>,
    imports: Arc<Budget>,
    exports: Arc<Budget>,
    spool: PathBuf,
    overlap_calls: Arc<Budget>,
    policy_calls: Arc<Budget>,
    near: Near,
    quotas: Quotas,
    draining: watch::Receiver<bool>,
}

impl Shared {
    /// What the caller may have matched, where that is limited.
    fn quota(&self, principal: &Principal) -> Option<Arc<Quota>> {
        self.quotas.of(principal.caller(), principal.items_per_s())
    }

    /// Takes a call's one item from its caller's quota.
    fn take_item(&self, principal: &Principal) -> Result<(), OverQuota> {
        self.quota(principal).map_or(Ok(()), |quota| quota.take())
    }

    /// Counts what a caller's questions matched.
    fn note_near(&self, principal: &Principal, probes: &[Probe]) {
        for Probe { list, entry_id, digest, at_edge } in probes {
            let question = Question { list, entry: entry_id, digest: *digest, at_edge: *at_edge };
            self.near.note(principal, question, Instant::now());
        }
    }
}

/// Serves until `shutdown` is done, then drains: health says NOT_SERVING, no connection is accepted, streams are read no further, and
/// what is in work gets `drain_s` to finish. Returns when all of it is done or the time is up.
pub async fn serve(listener: TcpListener, deps: Deps, shutdown: impl Future<Output = ()> + Send) -> Result<(), ServeError> {
    let Deps { matcher, catalog, fetch, gate, near, quotas, options, tls, spool } = deps;
    let (drain, draining) = watch::channel(false);
    let shared = Arc::new(Shared {
        list_cache: list_cache::ListCache::new(catalog.clone()),
        stream_limits: stream::Limits::new(&options, matcher.options()),
        stream_bytes: Budget::new("grpc.streams_bytes_max", options.streams_bytes_max, options.streams_bytes_per_caller_max),
        list_calls: Budget::new("grpc.list_calls_max", options.list_calls_max, options.list_calls_per_caller_max),
        imports: Budget::new("grpc.imports_max", options.imports_max, options.imports_per_caller_max),
        exports: Budget::new("grpc.exports_max", options.exports_max, options.exports_per_caller_max),
        spool,
        overlap_calls: Budget::new("grpc.overlap_calls_max", options.overlap_calls_max, options.overlap_calls_max),
        policy_calls: Budget::new("grpc.policy_calls_max", options.policy_calls_max, options.policy_calls_per_caller_max),
        near,
        quotas,
        draining: draining.clone(),
        matcher,
        catalog,
        fetch,
        options,
    });

    // A second more than an item gets, so that its verdict, NOT_SCANNED(timeout), comes first.
    let unary_max = Duration::from_millis(options.request_ms_max) + Duration::from_secs(1);
    let message_bytes_max =
        usize::try_from(options.image_bytes_max.saturating_add(MESSAGE_BYTES_BESIDE_IMAGE)).unwrap_or(usize::MAX);
    let matching = MatchServiceServer::new(matching::Matching(shared.clone())).max_decoding_message_size(message_bytes_max);
    // A picture may be added to a list.
    let list_message_bytes_max = message_bytes_max.max(LIST_MESSAGE_BYTES_MAX);
    let lists = HashListServiceServer::new(lists::Lists(shared.clone())).max_decoding_message_size(list_message_bytes_max);
    let (mut health, health_service) = tonic_health::server::health_reporter();
    let watching = follow_threads(health.clone(), shared.matcher.clone());
    for service in SERVICES {
        health.set_service_status(service, ServingStatus::Serving).await;
    }
    let described = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(crate::proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let (reflection, older_reflection) = (described(), described());

    let calls = Budget::new("grpc.calls_max", options.calls_max, options.calls_per_caller_max);
    // Probes have a reserve of their own, so that they say how the service is however many other calls there are.
    let health_calls = Budget::new("grpc.health_calls_max", options.health_calls_max, options.health_calls_max.div_ceil(2));
    let receiving = Budget::new("grpc.receive_bytes_max", options.receive_bytes_max, options.receive_bytes_per_caller_max);
    let inbound = inbound::Rules { budget: receiving, message_max: Duration::from_millis(options.message_ms_max) };
    let silence = silence::Rules { silent_max: Duration::from_secs(options.connection_idle_s), draining: draining.clone() };
    let middleware = |calls: &Arc<Budget>, message_bytes_max: usize| Edge {
        service: (),
        calls: calls.clone(),
        gate: gate.clone(),
        inbound: inbound.clone(),
        silence: silence.clone(),
        message_bytes_max: message_bytes_max as u64,
        unary_max,
    };
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
        .http2_keepalive_timeout(Some(KEEPALIVE_WAIT))
        .initial_stream_window_size(CALL_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(options.connection_streams_max)
        .add_service(middleware(&calls, message_bytes_max).around(matching))
        .add_service(middleware(&calls, list_message_bytes_max).around(lists))
        .add_service(middleware(&health_calls, OTHER_MESSAGE_BYTES_MAX).around(health_service))
        .add_service(middleware(&calls, OTHER_MESSAGE_BYTES_MAX).around(reflection.build_v1()?))
        // grpcurl and older clients still ask for this one.
        .add_service(middleware(&calls, OTHER_MESSAGE_BYTES_MAX).around(older_reflection.build_v1alpha()?))
        .serve_with_incoming_shutdown(connections::accept(listener, &options, tls), told(draining));
    let mut server = std::pin::pin!(server);

    tokio::select! {
        ended = &mut server => return Ok(ended?),
        () = watching => {}
        () = shutdown => {}
    }
    for service in SERVICES {
        health.set_service_status(service, ServingStatus::NotServing).await;
        // Ends the streams of those who watch, after they saw it: they would hold their connections open.
        health.clear_service_status(service).await;
    }
    // The server below holds a receiver, so this is heard.
    let _ = drain.send(true);
    match tokio::time::timeout(Duration::from_secs(options.drain_s), server).await {
        Ok(ended) => Ok(ended?),
        Err(_) => {
            tracing::warn!(drain_s = options.drain_s, "calls were still running when the drain time was over");
            Ok(())
        }
    }
}

/// Says NOT_SERVING while all threads of a pool are stuck, as no picture or hash is answered then. Lists are served all the same. Never done.
async fn follow_threads(health: tonic_health::server::HealthReporter, matcher: Matcher) {
    let mut was = ServingStatus::Serving;
    loop {
        tokio::time::sleep(THREADS_EVERY).await;
        let stuck = matcher.look().iter().any(PoolState::is_stuck);
        let is = if stuck { ServingStatus::NotServing } else { ServingStatus::Serving };
        if is != was {
            for service in MATCHING_SERVICES {
                health.set_service_status(service, is).await;
            }
            was = is;
        }
    }
}

/// Done when the service is told to drain; its end means the same.
async fn told(mut draining: watch::Receiver<bool>) {
    let _ = draining.wait_for(|drain| *drain).await;
}
