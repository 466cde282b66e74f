//! A request's bytes to its message, through the service's own codec.
//!
//! Whatever the bytes are: no panic, memory in proportion to them, and the codec takes what prost takes and nothing else.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use hashwarden::proto::{Codec, v1};
use http_body::Frame;
use prost::{Message, Name};
use tonic::Status;
use tonic::codec::{Codec as _, Streaming};
use tonic::codegen::Bytes;

use super::memory;

/// Bytes in memory for one on the wire: an empty item takes two on the wire and some hundred in memory, and a list that grows is held twice.
const AMPLIFIED: usize = 400;
const BESIDE: usize = 1024 * 1024;

/// A request's body with one message.
struct Body(Option<Bytes>);

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }
}

fn decode<M: Message + Name + Default + Send + 'static>(bytes: &[u8]) -> Option<M> {
    let mut framed = vec![0];
    framed.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    framed.extend_from_slice(bytes);
    let decoder = Codec::<M, M>::default().decoder();
    let mut stream = Streaming::new_request(decoder, Body(Some(framed.into())), None, Some(64 << 20));
    match pin!(stream.message()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(message)) => message,
        Poll::Ready(Err(_)) => None,
        Poll::Pending => panic!("the codec waits for more than the whole message"),
    }
}

fn check_as<M: Message + Name + Default + PartialEq + Send + 'static>(bytes: &[u8]) {
    let taken = memory::within(bytes.len() * AMPLIFIED + BESIDE, || decode::<M>(bytes));
    let by_prost = M::decode(bytes).ok();
    assert!(taken == by_prost, "{}: the codec and prost differ over {} bytes", M::NAME, bytes.len());
    if let Some(message) = taken {
        let again = message.encode_to_vec();
        // What is written again may be shorter: unknown fields go.
        assert!(decode::<M>(&again).as_ref() == Some(&message), "{}: written again, it is another", M::NAME);
    }
}

/// The first byte says which request it is.
pub fn check(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    match which % 11 {
        0 => check_as::<v1::MatchRequest>(bytes),
        1 => check_as::<v1::MatchStreamRequest>(bytes),
        2 => check_as::<v1::HashRequest>(bytes),
        3 => check_as::<v1::CreateHashListRequest>(bytes),
        4 => check_as::<v1::UpdateHashListRequest>(bytes),
        5 => check_as::<v1::ImportEntriesRequest>(bytes),
        6 => check_as::<v1::AddEntriesRequest>(bytes),
        7 => check_as::<v1::RemoveEntriesRequest>(bytes),
        8 => check_as::<v1::OverlapListsRequest>(bytes),
        9 => check_as::<v1::FindEntriesRequest>(bytes),
        _ => check_as::<v1::SetEntryMarkRequest>(bytes),
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let hash = || v1::Hash { kind: 1, hex: "0f".repeat(32), quality: Some(80) };
    let content = |content| v1::MatchItem {
        item_id: "1".to_owned(),
        reference: "a post".to_owned(),
        lists: vec!["known".to_owned(); 3],
        content: Some(content),
        views: v1::ViewSet::All as i32,
    };
    let hashes = content(v1::match_item::Content::Hashes(v1::Hashes { hashes: vec![hash(), hash()] }));
    let picture = content(v1::match_item::Content::Image(vec![0xff, 0xd8, 0xff]));
    let stream = v1::MatchStreamRequest { items: vec![hashes.clone(), picture.clone()] };
    let many = v1::MatchStreamRequest { items: vec![v1::MatchItem::default(); 100] };
    let details = v1::EntryDetails {
        tags: vec!["a".to_owned(); 3],
        note: "n".to_owned(),
        updated: "2026-01-02".to_owned(),
        quality: Some(90),
        fields: vec![v1::EntryField { name: "f".to_owned(), value: "v".to_owned() }; 2],
        cut: true,
    };
    let mark = v1::EntryMark {
        kind: 2,
        expire_time: Some(prost_types::Timestamp { seconds: 9, nanos: 1 }),
        note: "n".to_owned(),
        ..v1::EntryMark::default()
    };
    let find = v1::FindEntriesRequest {
        list: "known".to_owned(),
        query: Some(v1::find_entries_request::Query::Hash(hash())),
        radius: 31,
        page_size: 5,
        page_token: "7".to_owned(),
    };
    let marked = v1::SetEntryMarkRequest { list: "known".to_owned(), entry_id: "e1".to_owned(), mark: Some(mark) };
    let add = v1::AddEntriesRequest {
        list: "known".to_owned(),
        entries: vec![
            v1::NewEntry {
                id: Some("e1".to_owned()),
                category: "A1".to_owned(),
                hashes: vec![hash()],
                status: 2,
                details: Some(Box::new(details.clone())),
            };
            2
        ],
    };
    let with = |which: u8, message: Vec<u8>| [vec![which], message].concat();
    vec![
        with(0, v1::MatchRequest { item: Some(hashes) }.encode_to_vec()),
        with(0, v1::MatchRequest { item: Some(picture) }.encode_to_vec()),
        with(1, stream.encode_to_vec()),
        with(1, many.encode_to_vec()),
        // An unknown group before the items.
        with(1, [&[0xa3, 0x06, 0xa4, 0x06][..], &many.encode_to_vec()].concat()),
        with(2, v1::HashRequest { image: vec![1, 2, 3] }.encode_to_vec()),
        with(6, add.encode_to_vec()),
        with(9, find.encode_to_vec()),
        with(10, marked.encode_to_vec()),
        with(7, v1::RemoveEntriesRequest { list: "known".to_owned(), ids: vec!["e1".to_owned(); 4] }.encode_to_vec()),
    ]
}
