//! What a worker process replies to its server, as a picture that took the worker over would have it.
//!
//! Whatever the bytes are: no panic, memory in proportion to them, and what is taken has only values that an extractor gives. Written
//! again, it is the same reply.

use hashwarden::decode::Limits;
use hashwarden::demo::edits::Edit;
use hashwarden::demo::pictures::draw;
use hashwarden::entry::{HashKind, LeftOut, Reason, View};
use hashwarden::extract::{Extractor, Features, InProcess, Unscanned, Wants};
use hashwarden::sandbox::wire::{Asked, REPLY_HEAD_BYTES, read_reply, read_reply_head, write_reply};
use std::time::{Duration, Instant};

use super::memory;

/// Bytes in memory for one on the wire: a hash of 8 bytes takes 19 there and some hundred here, a text of none takes 4 and 24, and a list that
/// grows is held twice.
const AMPLIFIED: usize = 20;
const BESIDE: usize = 64 * 1024;

const FRAMES_MAX: u32 = 16;
const NUMBER: u64 = 7;

fn asked(which: u8) -> Asked {
    let is = |bit: u8| which & 1 << bit != 0;
    Asked { wants: Wants { pdq: is(0), phash64: is(1), dhash64: is(2), transforms: is(3), views: is(4) }, frames_max: FRAMES_MAX }
}

/// The first byte says what was asked for.
pub fn check(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let asked = asked(*which);
    let reply = memory::within(bytes.len() * AMPLIFIED + BESIDE, || read_reply(bytes, &asked));
    if let Some(head) = bytes.first_chunk::<REPLY_HEAD_BYTES>()
        && let Ok(length) = read_reply_head(*head, NUMBER, &asked)
    {
        assert!(length < 64 << 20, "a reply of {length} bytes would be read");
    }
    let Ok(reply) = reply else { return };
    if let Ok(features) = &reply {
        for seen in &features.seen {
            assert!(seen.quality.is_some_and(|quality| quality <= 100) && seen.view == View::WHOLE);
            let wanted = [
                (HashKind::Pdq, asked.wants.pdq),
                (HashKind::Phash64, asked.wants.phash64),
                (HashKind::Dhash64, asked.wants.dhash64),
            ];
            assert!(wanted.contains(&(seen.hash.kind(), true)), "a hash that nobody wants");
        }
        for plane in &features.planes {
            let (width, height) = plane.size();
            assert!(asked.wants.views && width.max(height) <= 512 && plane.steps().all(|step| step.abs() <= 256 * 64));
        }
    }
    // A text is shown escaped, and what is escaped stays as it is; a long one is cut when it is written.
    let mut again = Vec::new();
    write_reply(&mut again, NUMBER, &reply);
    assert_eq!(read_reply_head(*again.first_chunk().unwrap(), NUMBER, &asked), Ok(again.len() - REPLY_HEAD_BYTES));
    let read = read_reply(&again[REPLY_HEAD_BYTES..], &asked).expect("what was read is written again");
    match (reply, read) {
        (Ok(reply), Ok(read)) => {
            assert!(reply.seen == read.seen && reply.planes == read.planes, "written again, it is another");
            assert_eq!(reply.left_out.len(), read.left_out.len());
        }
        (Err(reply), Err(read)) => assert_eq!(reply.reason, read.reason),
        _ => panic!("written again, it is another"),
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let far = Instant::now() + Duration::from_secs(3600);
    let extractor = InProcess::new(Limits::default(), Instant::now);
    let original = draw(1, 64, 48);
    let with = |which: u8, reply: &Result<Features, Unscanned>| {
        let mut out = Vec::new();
        write_reply(&mut out, NUMBER, reply);
        [&[which], &out[REPLY_HEAD_BYTES..]].concat()
    };
    let mut seeds = Vec::new();
    for which in [0b01111, 0b11111, 0b00001, 0b00110] {
        let seen = extractor.extract(&Edit::Png.apply(&original).unwrap(), &asked(which).wants, far);
        seeds.push(with(which, &seen));
        let left_out = ["frame 3: the file ends early", "frames 5 to 9: \u{202e}"].map(|part| LeftOut(part.to_owned())).into();
        seeds.push(with(which, &seen.map(|seen| Features { left_out, ..seen })));
    }
    for reason in [Reason::Undecodable, Reason::TooManyPixels, Reason::Crashed] {
        seeds.push(with(0b01111, &Err(Unscanned { reason, detail: "the PNG data are damaged".to_owned() })));
    }
    // A head, for the reader of heads.
    seeds.push([&[0b11111][..], &NUMBER.to_le_bytes(), &1000u32.to_le_bytes()].concat());
    seeds
}
