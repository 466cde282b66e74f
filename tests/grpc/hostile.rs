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
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Raw(send)
    }

    /// Begins a call and sends `body` as it is, in one go; the body stays open if `more` is to come.
    pub async fn call(&self, path: &str, body: Vec<u8>, more: bool) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
        let mut ready = self.0.clone().ready().await.unwrap();
        let request = http::Request::post(format!("http://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap();
        let (response, mut stream) = ready.send_request(request, false).unwrap();
        stream.send_data(body.into(), !more).unwrap();
        (response, stream)
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
fn messages<M: Message + Default>(mut bytes: &[u8]) -> Vec<M> {
    let mut found = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<5>() {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        found.push(M::decode(&rest[..length]).unwrap());
        bytes = &rest[length..];
    }
    found
}

fn hash_item(id: String, lists: Vec<String>) -> v1::MatchItem {
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

const MATCH: &str = "/hashwarden.v1.MatchService/Match";
const MATCH_STREAM: &str = "/hashwarden.v1.MatchService/MatchStream";
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
        assert!(status.message().contains(words) && status.message().contains("without compression"), "{}", status.message());
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
