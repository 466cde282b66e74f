//! Places that callers hold and do not use: who comes new finds one all the same, and what is silent gives its own back.

use super::hostile::*;
use super::*;
use prost::Message;

const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const OLDER_REFLECTION: &str = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
/// For what takes a second or three.
const LONG: Duration = Duration::from_secs(30);

/// A call that was begun, and what keeps it open.
type Begun = (Raw, http::Response<h2::RecvStream>, h2::SendStream<prost::bytes::Bytes>);

/// Begins a silent stream on a connection of its own, if the server takes it.
async fn silent_from(served: &Served, address: &str) -> Option<Begun> {
    let (send, _) = Raw::driven(&h2::client::Builder::new(), connect_from(served, address).await.ok()?).await;
    let (response, stream) = send.try_call(REFLECTION, vec![], true).await.ok()?;
    Some((send, response.await.ok()?, stream))
}

/// Four addresses whose connections each held a silent stream kept every newcomer out, probes included.
#[tokio::test(flavor = "multi_thread")]
async fn silent_streams_on_all_connections_keep_no_newcomer_out() {
    let options = service::Options { connections_max: 8, connections_per_caller_max: 4, ..service::Options::default() };
    let served = serve_options(options).await;
    let mut held = Vec::new();
    for address in ["127.0.0.2:0", "127.0.0.3:0"] {
        for _ in 0..4 {
            held.extend(silent_from(&served, address).await);
        }
    }
    assert!(held.len() >= 6, "{} streams", held.len());
    let newcomer = Raw::over(connect_from(&served, "127.0.0.4:0").await.unwrap()).await;
    assert_eq!(newcomer.ask(HEALTH, &[]).await.code, Code::Ok);
}

/// They stayed for as long as their callers liked.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_ends_in_time() {
    let served = serve_options(service::Options { connection_idle_s: 1, ..service::Options::default() }).await;
    for (path, body, more) in [
        (REFLECTION, vec![], true),
        (OLDER_REFLECTION, vec![], true),
        (MATCH_STREAM, vec![], true),
        (MATCH_STREAM, framed(&[]), true),
        (HEALTH, vec![], true),
        (WATCH, framed(&[]), false),
        (WATCH, framed(&[]), true),
    ] {
        let raw = Raw::connect(&served).await;
        let (response, _stream) = raw.call(path, body, more).await;
        let Ended { code, message } = tokio::time::timeout(LONG, ended(response)).await.expect("the stream ends");
        assert_eq!(code, Code::Aborted, "{path}: {message}");
        assert!(message.contains("no message for 1 s"), "{path}: {message}");
    }
}

/// A client that takes no bytes can't be told that its stream ended: its connection goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_that_is_not_read_ends_with_its_connection() {
    let served = serve_options(service::Options { connection_idle_s: 1, ..service::Options::default() }).await;
    let message = v1::MatchRequest { item: Some(hash_item("1".to_owned(), vec![])) }.encode_to_vec();
    for (path, body, more) in
        [(REFLECTION, vec![], true), (WATCH, framed(&[]), false), (MATCH_STREAM, vec![], true), (MATCH, framed(&message), false)]
    {
        let stream = connect_from(&served, "127.0.0.1:0").await.unwrap();
        let (raw, closed) = Raw::driven(h2::client::Builder::new().initial_window_size(0), stream).await;
        let _call = raw.call(path, body, more).await;
        assert!(tokio::time::timeout(LONG, closed).await.is_ok(), "{path}: the connection is still open");
    }
}

/// A stop waited for them until all of `drain_s` was over.
#[tokio::test(flavor = "multi_thread")]
async fn draining_waits_for_no_silent_stream() {
    let served = serve_options(service::Options { drain_s: 600, ..service::Options::default() }).await;
    let raw = Raw::connect(&served).await;
    let mut held = Vec::new();
    for (path, body, more) in
        [(REFLECTION, vec![], true), (OLDER_REFLECTION, vec![], true), (MATCH_STREAM, vec![], true), (WATCH, framed(&[]), false)]
    {
        let (response, stream) = raw.call(path, body, more).await;
        held.push((path, response, stream));
    }
    // Answered on the same connection after them: they have begun.
    assert_eq!(raw.ask(HEALTH, &[]).await.code, Code::Ok);
    served.stop.send(()).unwrap();
    for (path, response, _stream) in held {
        let Ended { code, message } = tokio::time::timeout(LONG, ended(response)).await.expect("the stream ends");
        // Who watches sees the end of the service it watches.
        let expected = if path == WATCH { Code::Ok } else { Code::Unavailable };
        assert_eq!(code, expected, "{path}: {message}");
    }
    drop((raw, served.client));
    tokio::time::timeout(LONG, served.ended).await.expect("the service drained").unwrap().unwrap();
}

/// The first message of a newcomer was received out of the reserve, and refused for what it takes once decoded.
#[tokio::test(flavor = "multi_thread")]
async fn a_newcomers_message_is_taken_whole_while_others_hold_all_they_may() {
    const MIB: u32 = 1 << 20;
    let (receive_bytes_max, receive_bytes_per_caller_max) = (u64::from(16 * MIB), u64::from(8 * MIB));
    let options = service::Options { receive_bytes_max, receive_bytes_per_caller_max, ..service::Options::default() };
    let served = serve_options(options).await;
    let mut held = Vec::new();
    for (address, lengths) in [("127.0.0.2:0", [4 * MIB, 4 * MIB]), ("127.0.0.3:0", [4 * MIB, 2 * MIB])] {
        let raw = Raw::over(connect_from(&served, address).await.unwrap()).await;
        for length in lengths {
            let begun = [&[0][..], &length.to_be_bytes(), &[0x0a]].concat();
            held.push(raw.call(MATCH, begun, true).await);
        }
        // Answered after them.
        assert_eq!(raw.ask(HEALTH, &[]).await.code, Code::Ok);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let items: Vec<_> = (0..1000).map(|n| hash_item(format!("{n:0100}"), vec![])).collect();
    let message = v1::MatchStreamRequest { items }.encode_to_vec();
    let newcomer = Raw::over(connect_from(&served, "127.0.0.4:0").await.unwrap()).await;
    let (response, _stream) = newcomer.call(MATCH_STREAM, framed(&message), false).await;
    let (bytes, ended) = read_all(response).await;
    assert_eq!(ended.code, Code::Ok, "{}", ended.message);
    assert_eq!(messages::<v1::MatchStreamResponse>(&bytes).iter().map(|reply| reply.results.len()).sum::<usize>(), 1000);
}
