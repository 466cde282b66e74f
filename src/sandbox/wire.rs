//! What do a server and its worker say to each other?
//!
//! Over one stream, integers little-endian. First the server says what holds for the worker's life ([`Setup`]), and the worker what it was denied
//! ([`read_hello`]). Then, one at a time, a request with a file's bytes and its reply: `Features`, or why there are none, as the extractor has
//! them. Both are the same binary, so the version guards against another program alone.
//!
//! Invariant: the server trusts no byte of a reply, as a picture may have taken the worker over. Lengths are bounded before memory is taken for
//! them, every value is one that an extractor gives for what was asked, texts are cut and shown escaped. Anything else is [`Nonsense`], and the
//! worker's end. [`read_reply`] reads a reply in hand, so that it can be tried without a worker.

use std::io::{self, ErrorKind, Read, Write};

use serde::{Deserialize, Serialize};

use super::confine::Denied;
use crate::decode::Limits;
use crate::entry::shown::escaped;
use crate::entry::{Bits, Hash64, HashKind, HashValue, LeftOut, Observation, Pdq, Reason, Transform, View};
use crate::extract::{Features, LOOKS_MAX, PLANES_MAX, Unscanned, Wants};
use crate::views::{PLANE_PIXELS_MAX, Plane};

const MAGIC: [u8; 4] = *b"hwWk";
const VERSION: u16 = 2;
/// A setup is some numbers.
const SETUP_BYTES_MAX: usize = 64 * 1024;
/// Of a text for people. The longest that extractors give is some 200 bytes.
const TEXT_BYTES_MAX: usize = 512;
/// Parts that are left out: what an extractor names one by one is bounded, and so is this.
const LEFT_OUT_MAX: usize = 256;
/// PDQ with its transforms, and the 64-bit hashes.
const HASHES_OF_LOOK_MAX: u64 = 10;

/// What holds for a worker's life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    pub limits: Limits,
    /// Of `limits`, which has no key for it.
    pub image_bytes_max: u64,
}

impl Setup {
    pub fn of(limits: &Limits) -> Setup {
        Setup { limits: limits.clone(), image_bytes_max: limits.image_bytes_max }
    }
}

/// What a worker said that none would say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its answer has {0}")]
pub struct Nonsense(&'static str);

fn unless(met: bool, what: &'static str) -> Result<(), Nonsense> {
    if met { Ok(()) } else { Err(Nonsense(what)) }
}

fn invalid(what: impl ToString) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_string())
}

pub fn write_setup(stream: &mut impl Write, setup: &Setup) -> io::Result<()> {
    let body = serde_json::to_vec(setup)?;
    let mut message = greeting();
    message.extend((body.len() as u32).to_le_bytes());
    message.extend(body);
    stream.write_all(&message)
}

pub fn read_setup(stream: &mut impl Read) -> io::Result<Setup> {
    read_greeting(stream)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > SETUP_BYTES_MAX {
        return Err(invalid("a setup that is too long"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let mut setup: Setup = serde_json::from_slice(&body)?;
    setup.limits.image_bytes_max = setup.image_bytes_max;
    Ok(setup)
}

fn greeting() -> Vec<u8> {
    [&MAGIC[..], &VERSION.to_le_bytes()].concat()
}

fn read_greeting(stream: &mut impl Read) -> io::Result<()> {
    let mut found = [0; 6];
    stream.read_exact(&mut found)?;
    if found[..] == greeting() { Ok(()) } else { Err(invalid("no greeting of this version")) }
}

pub fn write_hello(stream: &mut impl Write, denied: Denied) -> io::Result<()> {
    let bits = denied.each().iter().rev().fold(0, |bits, (_, denied)| bits << 1 | u8::from(*denied));
    stream.write_all(&[greeting(), vec![bits]].concat())
}

pub fn read_hello(stream: &mut impl Read) -> io::Result<Denied> {
    read_greeting(stream)?;
    let mut bits = [0];
    stream.read_exact(&mut bits)?;
    let [files, network, processes] = [0, 1, 2].map(|n| bits[0] & 1 << n != 0);
    Ok(Denied { files, network, processes })
}

/// What goes before a file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Repeated in the reply.
    pub number: u64,
    /// Until the deadline.
    pub left_us: u64,
    pub bytes: u64,
    pub wants: Wants,
}

pub const REQUEST_BYTES: usize = 25;

impl Request {
    pub fn to_bytes(&self) -> [u8; REQUEST_BYTES] {
        let Wants { pdq, phash64, dhash64, transforms, views } = self.wants;
        let wants = [pdq, phash64, dhash64, transforms, views].iter().rev().fold(0, |bits, want| bits << 1 | u8::from(*want));
        let mut out = [0; REQUEST_BYTES];
        for (place, n) in out.as_chunks_mut::<8>().0.iter_mut().zip([self.number, self.left_us, self.bytes]) {
            *place = n.to_le_bytes();
        }
        out[REQUEST_BYTES - 1] = wants;
        out
    }

    pub fn of_bytes(bytes: [u8; REQUEST_BYTES]) -> Request {
        let mut numbers = bytes.as_chunks::<8>().0.iter().map(|n| u64::from_le_bytes(*n));
        let mut next = || numbers.next().unwrap_or_default();
        let (number, left_us, length) = (next(), next(), next());
        let [pdq, phash64, dhash64, transforms, views] = [0, 1, 2, 3, 4].map(|n| bytes[REQUEST_BYTES - 1] & 1 << n != 0);
        Request { number, left_us, bytes: length, wants: Wants { pdq, phash64, dhash64, transforms, views } }
    }
}

/// What goes before a reply: the request's number and the reply's bytes.
pub const REPLY_HEAD_BYTES: usize = 12;

pub fn read_reply_head(head: [u8; REPLY_HEAD_BYTES], number: u64, asked: &Asked) -> Result<usize, Nonsense> {
    let (found, length) = head.split_at(8);
    unless(found == number.to_le_bytes(), "the number of another picture")?;
    let length = u64::from(Bytes(length).u32()?);
    unless(length <= asked.reply_bytes_max(), "more bytes than a reply can have")?;
    Ok(length as usize)
}

/// What a reply must fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    pub wants: Wants,
    pub frames_max: u32,
}

impl Asked {
    fn observations_max(&self) -> u64 {
        u64::from(self.frames_max) * LOOKS_MAX * HASHES_OF_LOOK_MAX
    }

    fn reply_bytes_max(&self) -> u64 {
        let planes = if self.wants.views { PLANES_MAX as u64 * (PLANE_PIXELS_MAX * size_of::<i16>() as u64 + 64) } else { 0 };
        1024 + self.observations_max() * 64 + (LEFT_OUT_MAX * (TEXT_BYTES_MAX + 4)) as u64 + planes
    }

    fn wants_hash(&self, kind: HashKind, transform: Transform) -> bool {
        let as_it_is = transform == Transform::Identity;
        match kind {
            HashKind::Pdq => self.wants.pdq && (as_it_is || self.wants.transforms),
            HashKind::Phash64 => self.wants.phash64 && as_it_is,
            HashKind::Dhash64 => self.wants.dhash64 && as_it_is,
            _ => false,
        }
    }
}

/// The whole reply, head and all, after what `out` has.
pub fn write_reply(out: &mut Vec<u8>, number: u64, reply: &Result<Features, Unscanned>) {
    out.extend(number.to_le_bytes());
    let length_at = out.len();
    out.extend([0; 4]);
    match reply {
        Ok(features) => {
            out.push(1);
            write_features(out, features);
        }
        Err(Unscanned { reason, detail }) => {
            out.push(0);
            out.push(Reason::ALL.iter().position(|known| known == reason).unwrap_or_default() as u8);
            write_text(out, detail);
        }
    }
    let length = (out.len() - length_at - 4) as u32;
    out[length_at..][..4].copy_from_slice(&length.to_le_bytes());
}

fn write_features(out: &mut Vec<u8>, features: &Features) {
    let Features { seen, left_out, planes } = features;
    out.extend((seen.len() as u32).to_le_bytes());
    for Observation { hash, transform, frame, rendering, quality, view: _ } in seen {
        out.extend([hash.kind() as u8, *transform as u8, quality.unwrap_or(u8::MAX)]);
        out.extend(frame.to_le_bytes());
        out.extend(rendering.to_le_bytes());
        out.extend(hash.to_vec());
    }
    let left_out = &left_out[..left_out.len().min(LEFT_OUT_MAX)];
    out.extend((left_out.len() as u32).to_le_bytes());
    left_out.iter().for_each(|part| write_text(out, &part.0));
    out.extend((planes.len() as u32).to_le_bytes());
    for plane in planes {
        let (width, height) = plane.size();
        for n in [width as u32, height as u32, plane.frame(), plane.rendering(), plane.scale().to_bits()] {
            out.extend(n.to_le_bytes());
        }
        let start = out.len();
        out.resize(start + plane.steps().len() * size_of::<i16>(), 0);
        for (place, value) in out[start..].as_chunks_mut::<2>().0.iter_mut().zip(plane.steps()) {
            *place = value.to_le_bytes();
        }
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(TEXT_BYTES_MAX)];
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

/// A reply without its head.
pub fn read_reply(reply: &[u8], asked: &Asked) -> Result<Result<Features, Unscanned>, Nonsense> {
    let mut rest = Bytes(reply);
    let read = match rest.u8()? {
        1 => Ok(read_features(&mut rest, asked)?),
        0 => {
            let reason = Reason::ALL.get(usize::from(rest.u8()?)).filter(|reason| is_of_extractor(**reason));
            Err(Unscanned { reason: *reason.ok_or(Nonsense("an unknown reason"))?, detail: rest.text()? })
        }
        _ => return Err(Nonsense("an unknown kind")),
    };
    unless(rest.0.is_empty(), "bytes after its end")?;
    Ok(read)
}

/// Shedding and policies are the server's.
fn is_of_extractor(reason: Reason) -> bool {
    match reason {
        Reason::Undecodable | Reason::Unsupported | Reason::Empty | Reason::TooLarge | Reason::TooManyPixels => true,
        Reason::Timeout | Reason::Crashed | Reason::Video => true,
        Reason::Shed | Reason::LowQuality | Reason::NoList => false,
    }
}

fn read_features(rest: &mut Bytes<'_>, asked: &Asked) -> Result<Features, Nonsense> {
    let count = rest.u32()?;
    unless(u64::from(count) <= asked.observations_max(), "too many hashes")?;
    // Lists grow as their parts come, so that memory goes by what was sent.
    let mut seen = Vec::new();
    for _ in 0..count {
        seen.push(rest.observation(asked)?);
    }
    let count = rest.u32()? as usize;
    unless(count <= LEFT_OUT_MAX, "too many parts left out")?;
    let mut left_out = Vec::new();
    for _ in 0..count {
        left_out.push(LeftOut(rest.text()?));
    }
    unless(!seen.is_empty() || !left_out.is_empty() || !asked.wants.hashes(), "nothing seen and nothing left out")?;
    let count = rest.u32()? as usize;
    unless(count <= if asked.wants.views { PLANES_MAX } else { 0 }, "too many planes")?;
    let mut planes = Vec::new();
    for _ in 0..count {
        planes.push(rest.plane(asked)?);
    }
    Ok(Features { seen, left_out, planes })
}

/// What is left to be read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], Nonsense> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(Nonsense("an early end"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, Nonsense> {
        Ok(self.take(1)?[0])
    }

    fn u32(&mut self) -> Result<u32, Nonsense> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Nonsense("an early end"))?;
        self.0 = rest;
        Ok(u32::from_le_bytes(*bytes))
    }

    fn text(&mut self) -> Result<String, Nonsense> {
        let length = self.u32()? as usize;
        unless(length <= TEXT_BYTES_MAX, "a text that is too long")?;
        let text = str::from_utf8(self.take(length)?).map_err(|_| Nonsense("a text that is none"))?;
        Ok(escaped(text).into_owned())
    }

    fn observation(&mut self, asked: &Asked) -> Result<Observation, Nonsense> {
        let kind = HashKind::from_u8(self.u8()?).ok_or(Nonsense("an unknown kind of hash"))?;
        let transform = *Transform::ALL.get(usize::from(self.u8()?)).ok_or(Nonsense("an unknown transform"))?;
        unless(asked.wants_hash(kind, transform), "a hash that nobody wants")?;
        let quality = self.u8()?;
        unless(quality <= 100, "a quality beyond 100")?;
        let (frame, rendering) = self.frame(asked)?;
        let bytes = self.take(kind.bytes())?;
        let hash = match kind {
            HashKind::Pdq => Pdq::from_bytes(bytes).map(HashValue::Pdq),
            HashKind::Phash64 => Hash64::from_bytes(bytes).map(HashValue::Phash64),
            _ => Hash64::from_bytes(bytes).map(HashValue::Dhash64),
        };
        let hash = hash.ok_or(Nonsense("a hash that is none"))?;
        Ok(Observation { hash, transform, frame, rendering, quality: Some(quality), view: View::WHOLE })
    }

    fn frame(&mut self, asked: &Asked) -> Result<(u32, u32), Nonsense> {
        // Of a long animation some frames are looked at, up to its last: any number will do.
        let (frame, rendering) = (self.u32()?, self.u32()?);
        unless(u64::from(rendering) < u64::from(asked.frames_max) * LOOKS_MAX, "a rendering beyond the limit")?;
        Ok((frame, rendering))
    }

    fn plane(&mut self, asked: &Asked) -> Result<Plane, Nonsense> {
        let size = (self.u32()?, self.u32()?);
        let (frame, rendering) = self.frame(asked)?;
        let scale = f32::from_bits(self.u32()?);
        let pixels = u64::from(size.0) * u64::from(size.1);
        unless(pixels <= PLANE_PIXELS_MAX, "a plane that is too large")?;
        let steps =
            self.take(pixels as usize * size_of::<i16>())?.as_chunks::<2>().0.iter().map(|step| i16::from_le_bytes(*step));
        let size = (size.0 as usize, size.1 as usize);
        Plane::of_parts(size, steps, scale, frame, rendering).ok_or(Nonsense("a plane that no picture has"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::{Extractor, InProcess};
    use std::time::{Duration, Instant};

    fn asked(wants: Wants) -> Asked {
        Asked { wants, frames_max: 256 }
    }

    fn replied(reply: &Result<Features, Unscanned>, asked: &Asked) -> Result<Result<Features, Unscanned>, Nonsense> {
        let mut out = Vec::new();
        write_reply(&mut out, 7, reply);
        let (head, body) = out.split_first_chunk().unwrap();
        assert_eq!(read_reply_head(*head, 7, asked), Ok(body.len()));
        assert!(read_reply_head(*head, 8, asked).is_err());
        read_reply(body, asked)
    }

    fn seen() -> Features {
        let picture = crate::decode::drawn::clouds(90, 60, 1, 0);
        let mut png = Vec::new();
        let encoder = image::codecs::png::PngEncoder::new(&mut png);
        let color = image::ExtendedColorType::Rgb8;
        image::ImageEncoder::write_image(encoder, picture.samples(), 90, 60, color).unwrap();
        let far = Instant::now() + Duration::from_secs(3600);
        let extractor = InProcess::new(Limits::default(), Instant::now);
        extractor.extract(&png, &Wants { views: true, ..Wants::ALL }, far).unwrap()
    }

    #[test]
    fn what_was_seen_comes_as_it_was_sent() {
        let wants = Wants { views: true, ..Wants::ALL };
        let features = Features { left_out: vec![LeftOut("frame 3".to_owned())], ..seen() };
        assert_eq!((features.seen.len(), features.planes.len()), (10, 1));
        assert_eq!(replied(&Ok(features.clone()), &asked(wants)), Ok(Ok(features)));
        for reason in Reason::ALL {
            let unscanned = Unscanned { reason, detail: "why".to_owned() };
            let expected = if is_of_extractor(reason) { Ok(Err(unscanned.clone())) } else { Err(Nonsense("an unknown reason")) };
            assert_eq!(replied(&Err(unscanned), &asked(wants)), expected);
        }
        let setup = Setup::of(&Limits { image_bytes_max: 5, frames_max: 9, ..Limits::default() });
        let mut bytes = Vec::new();
        write_setup(&mut bytes, &setup).unwrap();
        assert_eq!(read_setup(&mut &bytes[..]).unwrap(), setup);
        for denied in [Denied::default(), Denied::ALL, Denied { network: true, ..Denied::default() }] {
            let mut bytes = Vec::new();
            write_hello(&mut bytes, denied).unwrap();
            assert_eq!(read_hello(&mut &bytes[..]).unwrap(), denied);
        }
        let request = Request { number: 1, left_us: u64::MAX, bytes: 3, wants: Wants { pdq: false, ..wants } };
        assert_eq!(Request::of_bytes(request.to_bytes()), request);
    }

    #[test]
    fn what_no_extractor_says_is_refused() {
        let (wants, features) = (Wants { views: true, ..Wants::ALL }, seen());
        let check = |wants: Wants, change: &dyn Fn(&mut Features), why: &'static str| {
            let mut changed = features.clone();
            change(&mut changed);
            assert_eq!(replied(&Ok(changed), &asked(wants)), Err(Nonsense(why)));
        };
        check(wants, &|f| f.seen[0].rendering = 768, "a rendering beyond the limit");
        check(wants, &|f| f.seen[0].quality = Some(101), "a quality beyond 100");
        check(wants, &|f| f.seen[0].quality = None, "a quality beyond 100");
        check(wants, &|f| f.seen[9].transform = Transform::Rot90, "a hash that nobody wants");
        check(wants, &|f| f.seen[0].hash = HashValue::Md5([1; 16]), "a hash that nobody wants");
        check(Wants { transforms: false, ..wants }, &|_| (), "a hash that nobody wants");
        check(wants, &|f| f.seen = vec![f.seen[0].clone(); 7_681], "too many hashes");
        check(wants, &|f| f.seen.clear(), "nothing seen and nothing left out");
        check(wants, &|f| f.planes = vec![f.planes[0].clone(); 10], "too many planes");
        check(Wants::ALL, &|_| (), "too many planes");
        let mut out = Vec::new();
        write_reply(&mut out, 7, &Ok(features));
        let body = &out[REPLY_HEAD_BYTES..];
        (0..body.len().min(700)).for_each(|end| assert!(read_reply(&body[..end], &asked(wants)).is_err(), "{end}"));
        assert_eq!(read_reply(&[body, &[0]].concat(), &asked(wants)), Err(Nonsense("bytes after its end")));
        let mut long = [7u64.to_le_bytes().to_vec(), u32::MAX.to_le_bytes().to_vec()].concat();
        assert!(read_reply_head(long[..].try_into().unwrap(), 7, &asked(wants)).is_err());
        long[8..].copy_from_slice(&1000u32.to_le_bytes());
        assert_eq!(read_reply_head(long[..].try_into().unwrap(), 7, &asked(wants)), Ok(1000));
    }

    #[test]
    fn a_text_is_cut_and_shown_escaped() {
        let unscanned = |detail: String| Err(Unscanned { reason: Reason::Undecodable, detail });
        let check = |sent: &str, shown: &str| {
            assert_eq!(replied(&unscanned(sent.to_owned()), &asked(Wants::ALL)), Ok(unscanned(shown.to_owned())));
        };
        check("no \u{1b}[2J end", "no \\u{1b}[2J end");
        check(&"é".repeat(300), &"é".repeat(256));
    }
}
