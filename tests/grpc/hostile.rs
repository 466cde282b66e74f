//! Callers that do what no decent client does, over HTTP/2 by hand.

use super::*;
use h2::client::SendRequest;
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
    let (head, mut body) = response.await.unwrap().into_parts();
    let mut headers = head.headers;
    if !headers.contains_key("grpc-status") {
        while let Some(data) = body.data().await {
            body.flow_control().release_capacity(data.unwrap().len()).unwrap();
        }
        headers = body.trailers().await.unwrap().unwrap();
    }
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    Ended { code: Code::from_i32(text("grpc-status").parse().unwrap()), message: text("grpc-message").replace("%20", " ") }
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
