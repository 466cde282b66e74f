//! Callers that do what no decent client does, over HTTP/2 by hand.

use super::*;
use h2::client::SendRequest;
use prost::Message;
use prost::bytes::Bytes;

/// A connection that is driven in the background; it answers PINGs.
pub struct Raw(SendRequest<Bytes>);

/// What a call came to: `grpc-status` and `grpc-message`.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    pub code: Code,
    pub message: String,
}

impl Raw {
    pub async fn connect(served: &Served) -> Raw {
        let stream = tokio::net::TcpStream::connect(served.endpoint.trim_start_matches("http://")).await.unwrap();
        Raw::over(stream).await
    }

    pub async fn over(stream: tokio::net::TcpStream) -> Raw {
        Raw::driven(&h2::client::Builder::new(), stream).await.0
    }

    /// The same with other settings; the task ends with the connection.
    pub async fn driven(settings: &h2::client::Builder, stream: tokio::net::TcpStream) -> (Raw, JoinHandle<()>) {
        let (send, connection) = settings.handshake(stream).await.unwrap();
        (Raw(send), tokio::spawn(async { drop(connection.await) }))
    }

    /// Begins a call and sends `body` as it is, in one go; the body stays open if `more` is to come.
    pub async fn call(&self, path: &str, body: Vec<u8>, more: bool) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
        self.try_call(path, body, more).await.unwrap()
    }

    /// The same where the connection may be closed.
    pub async fn try_call(
        &self,
        path: &str,
        body: Vec<u8>,
        more: bool,
    ) -> Result<(h2::client::ResponseFuture, h2::SendStream<Bytes>), h2::Error> {
        let mut ready = self.0.clone().ready().await?;
        let request = http::Request::post(format!("http://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap();
        let (response, mut stream) = ready.send_request(request, false)?;
        // A call that was refused by now takes no body; its response says so.
        drop(stream.send_data(body.into(), !more));
        Ok((response, stream))
    }

    /// A whole call with one message.
    pub async fn ask(&self, path: &str, message: &[u8]) -> Ended {
        let (response, _stream) = self.call(path, framed(message), false).await;
        ended(response).await
    }
}

/// A message with gRPC's prefix.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], message].concat()
}

/// Reads a call to its end.
pub async fn ended(response: h2::client::ResponseFuture) -> Ended {
    read_all(response).await.1
}

/// The same, with the bytes of the replies.
pub async fn read_all(response: h2::client::ResponseFuture) -> (Vec<u8>, Ended) {
    let (head, mut body) = response.await.unwrap().into_parts();
    let (mut headers, mut bytes) = (head.headers, Vec::new());
    if !headers.contains_key("grpc-status") {
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            bytes.extend_from_slice(&data);
        }
        headers = body.trailers().await.unwrap().unwrap();
    }
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let code = Code::from_i32(text("grpc-status").parse().unwrap());
    (bytes, Ended { code, message: text("grpc-message").replace("%20", " ") })
}

/// The messages in a call's bytes.
pub fn messages<M: Message + Default>(mut bytes: &[u8]) -> Vec<M> {
    let mut found = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<5>() {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        found.push(M::decode(&rest[..length]).unwrap());
        bytes = &rest[length..];
    }
    found
}

pub fn hash_item(id: String, lists: Vec<String>) -> v1::MatchItem {
    let hash = v1::Hash { kind: v1::HashKind::Pdq as i32, hex: pdq(7), quality: None };
    let content = v1::match_item::Content::Hashes(v1::Hashes { hashes: vec![hash] });
    v1::MatchItem { item_id: id, content: Some(content), lists, ..v1::MatchItem::default() }
}

/// Sends until nothing more is taken for two seconds, or all is sent; gives the bytes that were taken.
async fn send_until_blocked(stream: &mut h2::SendStream<Bytes>, mut bytes: Bytes) -> usize {
    let mut sent = 0;
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let capacity = std::future::poll_fn(|cx| stream.poll_capacity(cx));
        let Ok(Some(Ok(n))) = tokio::time::timeout(Duration::from_secs(2), capacity).await else { break };
        sent += n;
        stream.send_data(bytes.split_to(n), false).unwrap();
    }
    sent
}

pub const MATCH: &str = "/hashwarden.v1.MatchService/Match";
pub const MATCH_STREAM: &str = "/hashwarden.v1.MatchService/MatchStream";
const ADD_ENTRIES: &str = "/hashwarden.v1.HashListService/AddEntries";

/// A group that no message has, two bytes each for its beginning and its end.
const UNKNOWN_GROUP: [u8; 4] = [0xa3, 0x06, 0xa4, 0x06];

/// Counting stopped at an unknown group and the decoder went on behind it: 30 MiB of empty items took 1,684 MiB.
#[tokio::test(flavor = "multi_thread")]
async fn parts_behind_an_unknown_group_are_counted() {
    let served = serve().await;
    let raw = Raw::connect(&served).await;
    let empty = |field: u8| [field << 3 | 2, 0].repeat(600_000);
    // Of a request for one item: that item's hashes.
    let within = |field: u8, inner: Vec<u8>| {
        let mut bytes = vec![field << 3 | 2];
        prost::encode_length_delimiter(inner.len(), &mut bytes).unwrap();
        [bytes, inner].concat()
    };
    let item = [UNKNOWN_GROUP.to_vec(), within(1, within(4, empty(1)))].concat();
    for (path, message) in [
        (MATCH, item),
        (MATCH_STREAM, [&UNKNOWN_GROUP[..], &empty(1)].concat()),
        (ADD_ENTRIES, [&UNKNOWN_GROUP[..], &empty(2)].concat()),
    ] {
        let Ended { code, message } = raw.ask(path, &message).await;
        assert_eq!(code, Code::InvalidArgument, "{path}: {message}");
        assert!(message.contains("more than 500000 parts"), "{path}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_can_not_be_read_is_the_callers_fault() {
    let served = serve().await;
    let raw = Raw::connect(&served).await;
    for (message, words) in [
        (&[0x0a, 3, 0x0a, 1, 0xff][..], "item_id"),
        (&[0x0a, 9, 1][..], "not valid protobuf"),
        (&[0xff; 30][..], "not valid protobuf"),
        (&[0x08, 1][..], "wire type"),
    ] {
        for path in [MATCH, MATCH_STREAM] {
            let Ended { code, message: said } = raw.ask(path, message).await;
            assert_eq!(code, Code::InvalidArgument, "{path} {message:x?}: {said}");
            assert!(said.contains(words), "{path} {message:x?}: {said}");
        }
    }
}

/// A client that took no result for five minutes lost 3,512 of 34,000 results, and its call ended in OK.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_told_that_results_are_missing() {
    let served = serve_with(service::Options { unread_ms_max: 100, ..Default::default() }, matcher::Options::default()).await;
    let raw = Raw::connect(&served).await;
    let items: Vec<_> = (0..20_000).map(|n| hash_item(format!("{n:0200}"), vec![])).collect();
    let body: Vec<u8> =
        items.chunks(500).flat_map(|items| framed(&v1::MatchStreamRequest { items: items.to_vec() }.encode_to_vec())).collect();
    let (response, mut stream) = raw.call(MATCH_STREAM, vec![], true).await;
    let _sent = send_until_blocked(&mut stream, body.into()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Now it reads what there is.
    let (bytes, ended) = read_all(response).await;
    let results: usize = messages::<v1::MatchStreamResponse>(&bytes).iter().map(|reply| reply.results.len()).sum();
    assert!((1..20_000).contains(&results), "{results} results");
    assert_eq!(ended.code, Code::ResourceExhausted, "{}", ended.message);
    assert!(ended.message.contains("without a result"), "{}", ended.message);
}

/// A list named a thousand times gave a thousand texts: 53 MB that were sent held 1.2 GB.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_asked_once_however_often_it_is_named() {
    let served = serve().await;
    served.client.create("empty", Polarity::Positive, &PolicyUpdate::default()).await.unwrap();
    let item = || hash_item("1".to_owned(), vec!["empty".to_owned(); 1000]);
    let mut raw = served.matching().await;
    let one = raw.r#match(v1::MatchRequest { item: Some(item()) }).await.unwrap().into_inner().result.unwrap();
    let request = tokio_stream::once(v1::MatchStreamRequest { items: vec![item()] });
    let streamed = raw.match_stream(request).await.unwrap().into_inner().message().await.unwrap().unwrap().results.remove(0);
    for result in [one, streamed] {
        let Some(v1::match_result::Result::Verdict(verdict)) = result.result else { panic!("no verdict") };
        assert_eq!(verdict.left_out.len(), 1, "{:?}", verdict.left_out.first());
    }
}

/// However large results are, a stream whose client takes none is not read on: it holds what it may, in bytes.
#[tokio::test(flavor = "multi_thread")]
async fn results_that_nobody_takes_are_bounded_in_bytes() {
    let served =
        serve_with(service::Options { stream_bytes_max: 1 << 20, ..Default::default() }, matcher::Options::default()).await;
    let names: Vec<String> = (0..100).map(|n| format!("list-{n:02}")).collect();
    for name in &names {
        served.client.create(name, Polarity::Positive, &PolicyUpdate::default()).await.unwrap();
    }
    let item = hash_item("1".to_owned(), names);
    // Some 17 MB, whose results are some 80.
    let message = framed(&v1::MatchStreamRequest { items: vec![item; 16] }.encode_to_vec());
    let raw = Raw::connect(&served).await;
    let (_response, mut stream) = raw.call(MATCH_STREAM, vec![], true).await;
    let sent = send_until_blocked(&mut stream, message.repeat(1000).into()).await;
    // What the service holds of requests and results, and what may lie unread in the connection.
    assert!(sent < 6 << 20, "{sent} bytes were taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_messages_are_refused_in_words() {
    let served = serve().await;
    let mut raw = served.matching().await;
    for (encoding, words) in [("gzip", "gzip"), ("zstd", "zstd"), ("x-own", "another encoding")] {
        let mut request = tonic::Request::new(v1::MatchRequest { item: Some(hash_item("1".to_owned(), vec![])) });
        request.metadata_mut().insert("grpc-encoding", encoding.parse().unwrap());
        let status = raw.r#match(request).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
        assert!(status.message().contains(words) && status.message().contains("send them uncompressed"), "{}", status.message());
        assert_eq!(status.metadata().get("grpc-accept-encoding").unwrap(), "identity");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_limit_of_lists_is_a_refusal_in_words() {
    let of_catalog = catalog::Options { lists_max: 2, ..catalog::Options::default() };
    let served = serve_over(of_catalog, service::Options::default(), matcher::Options::default()).await;
    let create = async |name: &str| served.client.create(name, Polarity::Positive, &PolicyUpdate::default()).await;
    create("a").await.unwrap();
    create("b").await.unwrap();
    let error = create("c").await.unwrap_err();
    let words = error.to_string();
    assert_eq!(refused(error).0, Code::FailedPrecondition, "{words}");
    assert!(words.contains("there are 2 lists already"), "{words}");
}

pub const HEALTH: &str = "/grpc.health.v1.Health/Check";
const IMPORT: &str = "/hashwarden.v1.HashListService/ImportEntries";

pub async fn serve_options(options: service::Options) -> Served {
    serve_with(options, matcher::Options::default()).await
}

/// A connection from another address of the loopback network: another caller.
pub async fn connect_from(served: &Served, address: &str) -> std::io::Result<tokio::net::TcpStream> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(address.parse().unwrap())?;
    socket.connect(served.endpoint.trim_start_matches("http://").parse().unwrap()).await
}

/// Half-sent messages held their bytes for as long as their senders liked.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_half_sent_ends_in_time() {
    let served = serve_options(service::Options { message_ms_max: 200, ..Default::default() }).await;
    let raw = Raw::connect(&served).await;
    let half = |length: u32| [&[0][..], &length.to_be_bytes(), &[0x0a]].concat();
    for (path, body) in [
        (MATCH, half(1000)),
        (MATCH, half(1 << 20)),
        (MATCH, vec![]),
        (MATCH_STREAM, half(1 << 20)),
        (MATCH_STREAM, vec![0]),
        (ADD_ENTRIES, half(1 << 20)),
        (HEALTH, half(1000)),
    ] {
        let (response, _stream) = raw.call(path, body, true).await;
        let Ended { code, message } = ended(response).await;
        assert_eq!(code, Code::DeadlineExceeded, "{path}: {message}");
        assert!(message.contains("was not complete within"), "{path}: {message}");
    }
    // A stream that is quiet between messages is no half-sent message.
    let (response, mut stream) = raw.call(MATCH_STREAM, vec![], true).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    let message = v1::MatchStreamRequest { items: vec![hash_item("1".to_owned(), vec![])] };
    stream.send_data(framed(&message.encode_to_vec()).into(), true).unwrap();
    let (bytes, ended) = read_all(response).await;
    assert_eq!((messages::<v1::MatchStreamResponse>(&bytes).len(), ended.code), (1, Code::Ok), "{}", ended.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_take_the_bytes_that_their_caller_has() {
    let options =
        service::Options { receive_bytes_max: 2 << 20, receive_bytes_per_caller_max: 1 << 20, ..service::Options::default() };
    let served = serve_options(options).await;
    let raw = Raw::connect(&served).await;
    let begun = |length: u32| [&[0][..], &length.to_be_bytes(), &[0x0a]].concat();
    let (_held, _more) = raw.call(MATCH, begun(800 << 10), true).await;
    let refused_for = async |raw: &Raw| {
        let (response, _stream) = raw.call(MATCH, begun(800 << 10), true).await;
        ended(response).await
    };
    // The first is counted as soon as it has begun, which may be a moment from now.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let refused = refused_for(&raw).await;
    assert_eq!(refused.code, Code::ResourceExhausted, "{}", refused.message);
    assert!(refused.message.contains("grpc.receive_bytes_max"), "{}", refused.message);
    // Hashes still pass, and so does another caller's picture.
    let message = v1::MatchRequest { item: Some(hash_item("1".to_owned(), vec![])) }.encode_to_vec();
    assert_eq!(raw.ask(MATCH, &message).await.code, Code::Ok);
    let other = Raw::over(connect_from(&served, "127.0.0.2:0").await.unwrap()).await;
    let image = v1::MatchItem { content: Some(v1::match_item::Content::Image(vec![0; 700 << 10])), ..Default::default() };
    assert_eq!(other.ask(MATCH, &v1::MatchRequest { item: Some(image) }.encode_to_vec()).await.code, Code::Ok);
    // Parts count as what they take once decoded.
    let empty = v1::MatchStreamRequest { items: vec![v1::MatchItem::default(); 20_000] }.encode_to_vec();
    let refused = raw.ask(MATCH_STREAM, &empty).await;
    assert_eq!(refused.code, Code::ResourceExhausted, "{}", refused.message);
}

/// Some 1,024 connections that only answered PINGs kept everybody else out.
#[tokio::test(flavor = "multi_thread")]
async fn connections_without_a_call_keep_nobody_out() {
    let options = service::Options { connections_max: 8, connections_per_caller_max: 4, ..service::Options::default() };
    let served = serve_options(options).await;
    let mut idle = Vec::new();
    for _ in 0..3 {
        idle.push(Raw::connect(&served).await); // and the client's own
    }
    // So long a new connection may take to ask for something.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let message = v1::MatchRequest { item: Some(hash_item("1".to_owned(), vec![])) }.encode_to_vec();
    let mut busy = Vec::new();
    for _ in 0..3 {
        let raw = Raw::connect(&served).await;
        assert_eq!(raw.ask(MATCH, &message).await.code, Code::Ok);
        let call = raw.call(MATCH_STREAM, vec![], true).await;
        busy.push((raw, call));
    }
    // Another caller has room of its own.
    for _ in 0..4 {
        let raw = Raw::over(connect_from(&served, "127.0.0.2:0").await.unwrap()).await;
        assert_eq!(raw.ask(MATCH, &message).await.code, Code::Ok);
        let call = raw.call(MATCH_STREAM, vec![], true).await;
        busy.push((raw, call));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_call_is_closed_in_time() {
    let served = serve_options(service::Options { connection_idle_s: 3, ..service::Options::default() }).await;
    let stream = tokio::net::TcpStream::connect(served.endpoint.trim_start_matches("http://")).await.unwrap();
    let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
    send = send.ready().await.unwrap();
    // Closed by the server, whatever frames are exchanged; one with a call that carries messages is not.
    let with_call = Raw::connect(&served).await;
    let (response, mut body) = with_call.call(MATCH_STREAM, vec![], true).await;
    let message = framed(&v1::MatchStreamRequest { items: vec![hash_item("1".to_owned(), vec![])] }.encode_to_vec());
    let mut sent = 0;
    let mut closed = std::pin::pin!(tokio::time::timeout(Duration::from_secs(30), connection));
    let closed = loop {
        body.send_data(message.clone().into(), false).unwrap();
        sent += 1;
        tokio::select! {
            closed = &mut closed => break closed,
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
    };
    assert!(closed.is_ok(), "the connection is still open");
    drop(send);
    body.send_data(Bytes::new(), true).unwrap();
    let (bytes, ended) = read_all(response).await;
    let results: usize = messages::<v1::MatchStreamResponse>(&bytes).iter().map(|reply| reply.results.len()).sum();
    assert_eq!((results, ended.code), (sent, Code::Ok), "{}", ended.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_limited_for_each_caller_and_probes_are_not_among_them() {
    let options = service::Options { calls_max: 3, calls_per_caller_max: 2, ..service::Options::default() };
    let served = serve_options(options).await;
    let raw = Raw::connect(&served).await;
    let message = v1::MatchRequest { item: Some(hash_item("1".to_owned(), vec![])) }.encode_to_vec();
    let mut held = Vec::new();
    for _ in 0..2 {
        let (response, stream) = raw.call(MATCH_STREAM, vec![], true).await;
        held.push((response.await.unwrap(), stream));
    }
    let refused = raw.ask(MATCH, &message).await;
    assert_eq!(refused.code, Code::ResourceExhausted);
    assert!(refused.message.contains("grpc.calls_max"), "{}", refused.message);
    assert_eq!(raw.ask(HEALTH, &[]).await.code, Code::Ok);
    let other = Raw::over(connect_from(&served, "127.0.0.2:0").await.unwrap()).await;
    assert_eq!(other.ask(MATCH, &message).await.code, Code::Ok);
}

/// The time was fixed.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_says_nothing_is_closed_in_the_time_that_is_set() {
    let served = serve_options(service::Options { connection_silent_ms_max: 200, ..service::Options::default() }).await;
    let mut silent = connect_from(&served, "127.0.0.1:0").await.unwrap();
    let mut bytes = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut silent, &mut bytes);
    // Well below the ten seconds that are the default.
    assert!(tokio::time::timeout(Duration::from_secs(8), read).await.is_ok(), "the connection is still open");
}

/// Two callers with streams that held half of all streams' bytes each kept a third one's out.
#[tokio::test(flavor = "multi_thread")]
async fn a_newcomers_stream_is_taken_while_two_callers_hold_all_they_may() {
    const MIB: u64 = 1024 * 1024;
    let (streams_bytes_max, streams_bytes_per_caller_max) = (16 * MIB, 8 * MIB);
    let served =
        serve_options(service::Options { streams_bytes_max, streams_bytes_per_caller_max, ..service::Options::default() }).await;
    let mut held = Vec::new();
    let mut counts = Vec::new();
    for address in ["127.0.0.2:0", "127.0.0.3:0"] {
        let raw = Raw::over(connect_from(&served, address).await.unwrap()).await;
        let before = held.len();
        loop {
            let (response, stream) = raw.call(MATCH_STREAM, vec![], true).await;
            let response = response.await.unwrap();
            if response.headers().contains_key("grpc-status") {
                break;
            }
            held.push((response, stream));
        }
        counts.push(held.len() - before);
    }
    assert_eq!(counts, [8, 6]);
    let newcomer = Raw::over(connect_from(&served, "127.0.0.4:0").await.unwrap()).await;
    let message = v1::MatchStreamRequest { items: vec![hash_item("1".to_owned(), vec![])] }.encode_to_vec();
    let (response, _stream) = newcomer.call(MATCH_STREAM, framed(&message), false).await;
    let (bytes, ended) = read_all(response).await;
    assert_eq!(ended.code, Code::Ok, "{}", ended.message);
    assert_eq!(messages::<v1::MatchStreamResponse>(&bytes).iter().map(|message| message.results.len()).sum::<usize>(), 1);
}

/// An import of a byte every five seconds kept all other imports waiting.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_import_keeps_nobody_waiting_and_is_given_up() {
    let options = service::Options { import_idle_ms_max: 1000, imports_per_caller_max: 1, ..service::Options::default() };
    let served = serve_options(options).await;
    for name in ["slow", "other"] {
        served.client.create(name, Polarity::Positive, &PolicyUpdate::default()).await.unwrap();
    }
    use v1::import_entries_request::Part;
    let part = |part: Part| framed(&v1::ImportEntriesRequest { part: Some(part) }.encode_to_vec());
    let header = v1::ImportHeader { list: "slow".to_owned(), activate: true, ..v1::ImportHeader::default() };
    let slow = Raw::over(connect_from(&served, "127.0.0.3:0").await.unwrap()).await;
    let (response, mut stream) = slow.call(IMPORT, part(Part::Header(header)), true).await;
    stream.send_data(part(Part::Chunk(pdq(1).into_bytes())).into(), false).unwrap();
    let trickle = async {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if stream.send_data(part(Part::Chunk(b"0".to_vec())).into(), false).is_err() {
                return;
            }
        }
    };
    let other = async {
        let file = std::io::Cursor::new((pdq(2) + "\n").into_bytes());
        let report = served.client.import("other", &import_options(None, Mapping::default()), file, &mut |_| ()).await.unwrap();
        assert_eq!((report.added, report.activated), (1, true));
    };
    let ((), (), ended) = tokio::join!(trickle, other, ended(response));
    assert_eq!(ended.code, Code::Aborted, "{}", ended.message);
    assert_eq!(served.catalog.list("slow").unwrap().rows, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_begin_as_a_message_is_refused_in_words() {
    let served = serve().await;
    let raw = Raw::connect(&served).await;
    for (flag, code, words) in [(1, Code::Unimplemented, "send them uncompressed"), (7, Code::InvalidArgument, "does not begin")]
    {
        let (response, _stream) = raw.call(MATCH, vec![flag, 0, 0, 0, 2, 0x0a, 0], false).await;
        let ended = ended(response).await;
        assert_eq!(ended.code, code, "{}", ended.message);
        assert!(ended.message.contains(words), "{}", ended.message);
    }
}
