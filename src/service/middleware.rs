//! What surrounds every call: who makes it and whether it may, its deadline, its span, its outcome, how long it took.
//!
//! A call that its caller may not make is refused before any of its messages is read. Handlers find the principal in the request's extensions.
//! The caller's deadline (`grpc-timeout`) covers the reading of the request too. A call whose deadline has passed is not begun; one that
//! is in work is dropped with DEADLINE_EXCEEDED. tonic's own timer would say CANCELLED, so this one goes off a little earlier.
//! Handlers find the deadline in the request's extensions and keep it themselves for a stream, whose work goes on after its reply began.
//! A call ends with the last byte of its reply, or when its caller goes: until then it is in flight, and then it is counted, once.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http_body::{Frame, SizeHint};
use tonic::body::Body;
use tonic::codegen::{Bytes, Service, http};
use tonic::server::NamedService;
use tonic::{Code, Request, Status};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::inbound::{self, Inbound};
use super::silence::{self, Silence};
use super::{Options, call_metrics, connections, convert};
use crate::access::{Gate, Principal, certificate_of, grpc_caller};
use crate::admission::{Budget, InCall, Peer, Share, Work};
use crate::entry::Caller;

/// How much earlier than tonic's timer this one goes off.
const MARGIN: Duration = Duration::from_millis(5);

/// The methods of the services here, by their last path segment: the names that a span or a metric may show. With each the full name of its
/// requests, and whether they come as a stream.
const METHODS: [(&str, &str, bool); 27] = [
    ("Match", "hashwarden.v1.MatchRequest", false),
    ("MatchStream", "hashwarden.v1.MatchStreamRequest", true),
    ("Hash", "hashwarden.v1.HashRequest", false),
    ("CreateHashList", "hashwarden.v1.CreateHashListRequest", false),
    ("GetHashList", "hashwarden.v1.GetHashListRequest", false),
    ("ListHashLists", "hashwarden.v1.ListHashListsRequest", false),
    ("UpdateHashList", "hashwarden.v1.UpdateHashListRequest", false),
    ("DeleteHashList", "hashwarden.v1.DeleteHashListRequest", false),
    ("ImportEntries", "hashwarden.v1.ImportEntriesRequest", true),
    ("AddEntries", "hashwarden.v1.AddEntriesRequest", false),
    ("AddPicture", "hashwarden.v1.AddPictureRequest", false),
    ("RemoveEntries", "hashwarden.v1.RemoveEntriesRequest", false),
    ("GetEntry", "hashwarden.v1.GetEntryRequest", false),
    ("FindEntries", "hashwarden.v1.FindEntriesRequest", false),
    ("MatchAsOf", "hashwarden.v1.MatchAsOfRequest", false),
    ("SetEntryMark", "hashwarden.v1.SetEntryMarkRequest", false),
    ("ListHashListVersions", "hashwarden.v1.ListHashListVersionsRequest", false),
    ("DiffVersions", "hashwarden.v1.DiffVersionsRequest", false),
    ("OverlapLists", "hashwarden.v1.OverlapListsRequest", false),
    ("ActivateVersion", "hashwarden.v1.ActivateVersionRequest", false),
    ("RollBackVersion", "hashwarden.v1.RollBackVersionRequest", false),
    ("ExportEntries", "hashwarden.v1.ExportEntriesRequest", false),
    ("SetSource", "hashwarden.v1.SetSourceRequest", false),
    ("ListSources", "hashwarden.v1.ListSourcesRequest", false),
    ("UnsetSource", "hashwarden.v1.UnsetSourceRequest", false),
    ("FetchSource", "hashwarden.v1.FetchSourceRequest", false),
    ("SendFeedback", "hashwarden.v1.SendFeedbackRequest", false),
];
/// A call of another service, such as reflection's: many of those are streams.
const OTHER: (&str, &str, bool) = ("unknown", "", true);
/// Those whose streams may wait for a message: an import has a time of its own, and works on when all is there.
const MATCH_STREAM: &str = "MatchStream";
const IMPORT: &str = "ImportEntries";
/// One that works on after its reply has begun.
const EXPORT: &str = "ExportEntries";
/// Those whose items are counted one by one.
const MATCHING: &str = "/hashwarden.v1.MatchService/";

/// The instant after which the caller has no use for an answer; `None` where it set none.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(pub Option<Instant>);

impl Deadline {
    pub fn of<T>(request: &Request<T>) -> Self {
        request.extensions().get().copied().unwrap_or(Deadline(None))
    }

    /// When an item that is taken in now must be answered.
    pub fn until(self, options: &Options) -> Instant {
        let longest = Instant::now() + Duration::from_millis(options.request_ms_max);
        self.0.map_or(longest, |deadline| deadline.min(longest))
    }

    pub fn is_over(self) -> bool {
        self.0.is_some_and(|at| at <= Instant::now())
    }

    /// Done at the deadline; never without one.
    pub async fn passed(self) {
        match self.0 {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    }
}

/// The call is worked on while this is held, whoever listens.
#[derive(Clone)]
pub struct Working {
    _work: Option<Arc<Work>>,
}

impl Working {
    /// That of a call which goes on after its reply began.
    pub fn of<T>(request: &Request<T>) -> Self {
        request.extensions().get().cloned().unwrap_or(Working { _work: None })
    }
}

/// A service with what surrounds it.
#[derive(Clone)]
pub struct Edge<S> {
    pub service: S,
    /// Calls of these services at once.
    pub calls: Arc<Budget>,
    pub gate: Arc<Gate>,
    pub inbound: inbound::Rules,
    pub silence: silence::Rules,
    pub message_bytes_max: u64,
    /// What a call with one request and one answer may take at the most, reading its request included: one that is sent half and left
    /// must not hold its memory for ever.
    pub unary_max: Duration,
}

impl Edge<()> {
    /// The same around a service.
    pub fn around<S>(self, service: S) -> Edge<S> {
        let Edge { service: (), calls, gate, inbound, silence, message_bytes_max, unary_max } = self;
        Edge { service, calls, gate, inbound, silence, message_bytes_max, unary_max }
    }
}

impl<S: NamedService> NamedService for Edge<S> {
    const NAME: &'static str = S::NAME;
}

type Replied = Result<http::Response<Body>, Infallible>;

impl<S> Service<http::Request<Body>> for Edge<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Replied> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let began = Instant::now();
        let path = request.uri().path();
        let named = path.rsplit('/').next().and_then(|last| METHODS.into_iter().find(|(name, ..)| *name == last));
        let (method, message, streamed) = named.unwrap_or(OTHER);
        let counts = if path.starts_with(MATCHING) { call_metrics::Counts::Items } else { call_metrics::Counts::Calls };
        let deadline = Deadline(timeout(request.headers()).and_then(|given| began.checked_add(given.saturating_sub(MARGIN))));
        request.extensions_mut().insert(deadline);
        let From { caller: from, address, peer } = caller(&mut request);
        let certificate = certificate_of(&from).map(tracing::field::display);
        let address = address.map(tracing::field::display);
        let span = tracing::error_span!("grpc", method, by = Empty, from = address, certificate, list = Empty, reference = Empty);
        // Whoever is refused is logged in the span too. It is at the level of an error, so that what is logged says whence, whatever the log's level.
        let admitted = span.in_scope(|| admit(&self.gate, &mut request, &from));
        let caller = admitted.as_ref().map_or(from, |principal| principal.caller().clone());
        let in_call = peer.as_ref().map(Peer::call);
        let work = in_call.as_ref().map(|call| Arc::new(call.work()));
        if method == IMPORT || method == EXPORT {
            request.extensions_mut().insert(Working { _work: work.clone() });
        }
        let silence = Silence::new(self.silence.clone(), peer);
        let other = named.is_none();
        let silent = (other || method == MATCH_STREAM).then(|| silence.end());
        let silent_reply = other.then(|| silence.end());
        span.record("by", &caller.0);
        let call = Some(call_metrics::Call::new(method, counts));
        let mut ends = Ends { call, code: None, began, span: span.clone(), _held: (None, None, in_call) };
        let encoding = request.headers().get("grpc-encoding").filter(|encoding| *encoding != "identity");
        let encoded = encoding.map(|encoding| convert::encoding_status(encoding.as_bytes()));
        let admitted = admitted.and_then(|principal| encoded.map_or(Ok(principal), Err));
        let admitted = admitted.and_then(|principal| match self.calls.demand(&caller, 1) {
            Ok(place) => Ok((principal, place)),
            Err(over) => Err(convert::over_status(over)),
        });
        let (place, ends_with) = match admitted {
            Ok((principal, place)) => {
                let ends_with = other.then(|| principal.clone());
                request.extensions_mut().insert(principal);
                (place, ends_with)
            }
            Err(status) => {
                ends.code = Some(status.code());
                return Box::pin(std::future::ready(Ok(status.into_http())));
            }
        };
        let kept = (!streamed).then(inbound::Kept::default);
        (ends._held.0, ends._held.1) = (Some(place), kept.clone());
        let (rules, message_bytes_max) = (self.inbound.clone(), self.message_bytes_max);
        let call = inbound::Call { caller, message, message_bytes_max, kept, ends_with, silence: silence.clone(), silent };
        let request = request.map(|body| Body::new(Inbound::new(body, rules, call)));
        let unary = matches!(method, "Match" | "Hash");
        let call = self.service.call(request);
        let longest = if unary { began.checked_add(self.unary_max) } else { None };
        let given_up = Deadline(deadline.0.into_iter().chain(longest).min());
        let work = async move {
            let response = match deadline.0 {
                Some(at) if at <= Instant::now() => convert::deadline_status().into_http(),
                _ => tokio::select! {
                    response = call => response?,
                    () = given_up.passed() => convert::deadline_status().into_http(),
                },
            };
            // A call that fails before its first reply says so in its headers.
            ends.code = code_in(response.headers());
            drop(work);
            Ok(response.map(|body| Body::new(Reply { body, ends, silence, silent: silent_reply, over: false })))
        };
        Box::pin(work.instrument(span))
    }
}

fn code_in(headers: &http::HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()))
}

/// A call until it ends: counts it when it is dropped.
struct Ends {
    /// Its place among the calls, what its message takes, and its place on its connection.
    _held: (Option<Share>, Option<inbound::Kept>, Option<InCall>),
    call: Option<call_metrics::Call>,
    /// As the reply says; `None` until it does. A call that ends without is one that its caller gave up.
    code: Option<Code>,
    began: Instant,
    span: Span,
}

impl Drop for Ends {
    fn drop(&mut self) {
        let (code, took) = (self.code.unwrap_or(Code::Cancelled), self.began.elapsed());
        if let Some(call) = self.call.take() {
            call.ended(code, took);
        }
        tracing::debug!(parent: &self.span, code = call_metrics::code_name(code), ms = took.as_millis() as u64, "answered");
    }
}

/// A reply on its way to the caller.
struct Reply {
    body: Body,
    ends: Ends,
    silence: Arc<Silence>,
    /// Where nobody but the edge ends a silent stream.
    silent: Option<silence::End>,
    /// It was ended here.
    over: bool,
}

impl Reply {
    /// The status of a stream that was silent for too long, in place of the end that its service gives it.
    fn poll_silent(&mut self, cx: &mut Context<'_>, polled: &Polled) -> Poll<Status> {
        let Some(silent) = &mut self.silent else { return Poll::Pending };
        match polled {
            Poll::Pending => silent.as_mut().poll(cx),
            Poll::Ready(Some(Ok(frame))) if frame.is_data() => Poll::Pending,
            Poll::Ready(_) => self.silence.ended().cloned().map_or(Poll::Pending, Poll::Ready),
        }
    }
}

type Polled = Poll<Option<Result<Frame<Bytes>, Status>>>;

impl http_body::Body for Reply {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(status) = self.poll_silent(cx, &polled) {
            self.over = true;
            self.ends.code = Some(status.code());
            let mut trailers = http::HeaderMap::new();
            status.add_header(&mut trailers)?;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.silence.broken();
                if let Some(code) = frame.trailers_ref().and_then(code_in) {
                    self.ends.code = Some(code);
                }
            }
            Poll::Ready(Some(Err(status))) => self.ends.code = Some(status.code()),
            Poll::Ready(None) => {
                self.ends.code.get_or_insert(Code::Ok);
            }
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The call's principal, if it may make the call. Its token goes no further.
fn admit(gate: &Gate, request: &mut http::Request<Body>, from: &Arc<Caller>) -> Result<Principal, Status> {
    let authorization = request.headers().get_all(http::header::AUTHORIZATION).iter().map(|value| value.as_bytes());
    let admitted = gate.admit(request.uri().path(), authorization, from);
    request.headers_mut().remove(http::header::AUTHORIZATION);
    admitted.map_err(convert::refusal_status)
}

/// Who makes a call that has passed the edge.
pub fn principal<T>(request: &Request<T>) -> Principal {
    request.extensions().get().cloned().unwrap_or_else(|| Principal::nobody(Arc::new(grpc_caller(request.remote_addr()))))
}

/// Who calls, and from where.
struct From {
    /// By the connection alone: its certificate, else its address.
    caller: Arc<Caller>,
    address: Option<IpAddr>,
    peer: Option<Arc<Peer>>,
}

/// Where there is no connection, as in tests, nobody is known.
fn caller(request: &mut http::Request<Body>) -> From {
    let Some(connected) = request.extensions().get::<connections::Connected>().cloned() else {
        return From { caller: Arc::new(grpc_caller(None)), address: None, peer: None };
    };
    let address = connected.tcp.remote_addr().map(|address| address.ip().to_canonical());
    request.extensions_mut().insert(connected.tcp);
    From { caller: connected.caller, address, peer: Some(connected.peer) }
}

/// `grpc-timeout` of the gRPC over HTTP/2 specification: at most eight digits and a unit. What is malformed counts as none, as in tonic.
fn timeout(headers: &http::HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(n * 3600)),
        "M" => Some(Duration::from_secs(n * 60)),
        "S" => Some(Duration::from_secs(n)),
        "m" => Some(Duration::from_millis(n)),
        "u" => Some(Duration::from_micros(n)),
        "n" => Some(Duration::from_nanos(n)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_timeout_is_read_as_the_specification_says() {
        let check = |text: &'static str, expected: Option<Duration>| {
            let mut headers = http::HeaderMap::new();
            headers.insert("grpc-timeout", http::HeaderValue::from_static(text));
            assert_eq!(timeout(&headers), expected, "{text:?}");
        };
        check("1S", Some(Duration::from_secs(1)));
        check("0n", Some(Duration::ZERO));
        check("2H", Some(Duration::from_secs(7200)));
        check("3M", Some(Duration::from_secs(180)));
        check("99999999m", Some(Duration::from_millis(99_999_999)));
        check("5u", Some(Duration::from_micros(5)));
        check("123456789m", None);
        check("m", None);
        check("", None);
        check("-1S", None);
        check("1 S", None);
        check("1s", None);
        assert_eq!(timeout(&http::HeaderMap::new()), None);
    }

    /// Answers after a while; counts how often it was begun.
    #[derive(Clone)]
    struct Inner(Duration, Arc<AtomicU32>);

    impl Service<http::Request<Body>> for Inner {
        type Response = http::Response<Body>;
        type Error = Infallible;
        type Future = Pin<Box<dyn Future<Output = Replied> + Send>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: http::Request<Body>) -> Self::Future {
            assert!(request.extensions().get::<Deadline>().is_some());
            let (after, begun) = (self.0, self.1.clone());
            Box::pin(async move {
                begun.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(after).await;
                Ok(http::Response::new(Body::empty()))
            })
        }
    }

    #[tokio::test]
    async fn a_call_whose_deadline_has_passed_is_not_begun() {
        let check = async |given: Option<&str>, takes: Duration, code: Option<&str>, begun: u32| {
            let count = Arc::new(AtomicU32::new(0));
            let mut request = http::Request::new(Body::empty());
            if let Some(given) = given {
                request.headers_mut().insert("grpc-timeout", given.parse().unwrap());
            }
            let budget = || Budget::new("test", 1 << 20, 1 << 20);
            let (_drain, draining) = tokio::sync::watch::channel(false);
            let mut middleware = Edge {
                service: Inner(takes, count.clone()),
                calls: budget(),
                gate: Gate::open(),
                inbound: inbound::Rules { budget: budget(), message_max: Duration::from_secs(60) },
                silence: silence::Rules { silent_max: Duration::from_secs(60), draining },
                message_bytes_max: 1 << 20,
                unary_max: Duration::from_secs(60),
            };
            let response = middleware.call(request).await.unwrap();
            let status = response.headers().get("grpc-status").map(|s| s.to_str().unwrap().to_owned());
            assert_eq!((status.as_deref(), count.load(Ordering::Relaxed)), (code, begun), "{given:?}");
        };
        let never = Duration::from_secs(3600);
        check(Some("0m"), never, Some("4"), 0).await;
        check(Some("1n"), never, Some("4"), 0).await;
        check(Some("50m"), never, Some("4"), 1).await;
        check(Some("1H"), Duration::ZERO, None, 1).await;
        check(None, Duration::ZERO, None, 1).await;
    }

    /// A new call is nobody's until the table says whose it is.
    #[test]
    fn the_table_of_rights_has_a_row_for_every_call_and_no_other() {
        let sets = [
            crate::proto::DESCRIPTORS,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let mut found = std::collections::BTreeSet::new();
        for set in sets {
            let files = <prost_types::FileDescriptorSet as prost::Message>::decode(set).unwrap();
            for (package, service) in files.file.iter().flat_map(|f| f.service.iter().map(|s| (f.package(), s))) {
                found.extend(service.method.iter().map(|m| format!("/{package}.{}/{}", service.name(), m.name())));
            }
        }
        let table: Vec<_> = crate::access::table::TABLE.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(table.len(), found.len(), "a row stands twice, or is missing");
        assert_eq!(table.into_iter().collect::<std::collections::BTreeSet<_>>(), found);
    }

    #[test]
    fn the_methods_are_those_of_the_services() {
        let files = <prost_types::FileDescriptorSet as prost::Message>::decode(crate::proto::DESCRIPTORS).unwrap();
        let own = files.file.iter().filter(|f| f.package() == "hashwarden.v1");
        let mut found: Vec<_> = own
            .flat_map(|f| &f.service)
            .flat_map(|s| &s.method)
            .map(|m| (m.name(), m.input_type().trim_start_matches('.'), m.client_streaming()))
            .collect();
        let mut named = METHODS.to_vec();
        found.sort();
        named.sort();
        assert_eq!(found, named);
    }
}
