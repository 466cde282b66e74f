//! Which members does a ZIP archive hold, read from its beginning to its end?
//!
//! Members come in the order in which they lie in the file, each by the header in front of it; the directory behind them must list the same ones. So
//! nothing is kept but a sum, and an archive that was cut short, or that shows one reader other members than another, fails. Deflated and stored
//! members are read, also where their sizes come behind them. Written here, as the usual readers need a file to seek in and memory for the directory.
//! Absent: archives with several parts, encryption, other methods, and what stands in front of the first member.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, ErrorKind, Read};

use flate2::CrcReader;
use flate2::bufread::DeflateDecoder;

use super::unpack::Unread;

/// Members of one archive.
pub(super) const MEMBERS_MAX: u64 = 10_000;

const MEMBER: [u8; 4] = *b"PK\x03\x04";
const IN_DIRECTORY: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";
const END_64: [u8; 4] = *b"PK\x06\x06";
const END_64_AT: [u8; 4] = *b"PK\x06\x07";
const SIZES: [u8; 4] = *b"PK\x07\x08";
/// The extra field with sizes of 64 bits.
const EXTRA_64: u16 = 1;

/// What both a member's header and the directory say of it.
#[derive(Default, Hash)]
struct Facts {
    name: Vec<u8>,
    crc: u32,
    packed: u64,
    bytes: u64,
}

impl Facts {
    fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

/// A header's fields that say how a member is packed.
struct Header {
    facts: Facts,
    flags: u16,
    deflated: bool,
    /// Its sizes have 64 bits.
    wide: bool,
}

/// Hands over each member's name and content, which must be read to its end, or `each` must fail.
pub(super) fn members<E: From<io::Error>>(
    input: &mut dyn BufRead,
    each: &mut dyn FnMut(&str, &mut dyn Read) -> Result<(), E>,
) -> Result<(), E> {
    let (mut n, mut sum) = (0u64, 0u64);
    loop {
        match bytes(input)? {
            MEMBER if n == MEMBERS_MAX => return Err(io::Error::other(Unread::Members(MEMBERS_MAX)).into()),
            MEMBER => {
                let header = header(input, false)?;
                let facts = member(input, header, each)?;
                (n, sum) = (n + 1, sum.wrapping_add(facts.digest()));
            }
            other => return Ok(directory(input, other, n, sum)?),
        }
    }
}

/// One member behind its header.
fn member<E: From<io::Error>>(
    input: &mut dyn BufRead,
    header: Header,
    each: &mut dyn FnMut(&str, &mut dyn Read) -> Result<(), E>,
) -> Result<Facts, E> {
    let Header { mut facts, flags, deflated, wide } = header;
    let sizes_follow = flags & 8 != 0;
    if flags & 0x41 != 0 {
        return Err(io::Error::other(Unread::Encrypted).into());
    }
    // Nothing says where a stored member ends whose size comes behind it.
    if sizes_follow && !deflated && !facts.name.ends_with(b"/") {
        return Err(io::Error::other(Unread::Unsupported).into());
    }
    let name = String::from_utf8_lossy(&facts.name).into_owned();
    let (crc, packed, unpacked) = if deflated {
        let mut content = CrcReader::new(DeflateDecoder::new(&mut *input));
        each(&name, &mut content)?;
        let (crc, decoder) = (content.crc().sum(), content.get_ref());
        (crc, decoder.total_in(), decoder.total_out())
    } else {
        let mut content = CrcReader::new((&mut *input).take(facts.packed));
        each(&name, &mut content)?;
        let read = facts.packed - content.get_ref().limit();
        (content.crc().sum(), read, read)
    };
    if sizes_follow {
        (facts.crc, facts.packed, facts.bytes) = sizes(input, wide)?;
    }
    if (crc, packed, unpacked) != (facts.crc, facts.packed, facts.bytes) {
        return Err(damaged().into());
    }
    Ok(facts)
}

/// The checksum and the sizes that stand behind a member, perhaps behind a signature.
fn sizes(input: &mut dyn BufRead, wide: bool) -> io::Result<(u32, u64, u64)> {
    let first: [u8; 4] = bytes(input)?;
    let crc = u32::from_le_bytes(if first == SIZES { bytes(input)? } else { first });
    let mut size =
        || Ok::<_, io::Error>(if wide { u64::from_le_bytes(bytes(input)?) } else { u32::from_le_bytes(bytes(input)?).into() });
    Ok((crc, size()?, size()?))
}

/// A header from its flags on: a member's own, or the directory's, which has more fields at two places.
fn header(input: &mut dyn BufRead, in_directory: bool) -> io::Result<Header> {
    let _version = bytes::<2>(input)?;
    if in_directory {
        let _made_by = bytes::<2>(input)?;
    }
    let flags = u16::from_le_bytes(bytes(input)?);
    let method = u16::from_le_bytes(bytes(input)?);
    let _time = bytes::<4>(input)?;
    let crc = u32::from_le_bytes(bytes(input)?);
    let [mut packed, mut size] = [u32::from_le_bytes(bytes(input)?), u32::from_le_bytes(bytes(input)?)].map(u64::from);
    let [name, extra] = [u16::from_le_bytes(bytes(input)?), u16::from_le_bytes(bytes(input)?)];
    let mut comment = 0;
    if in_directory {
        comment = u16::from_le_bytes(bytes(input)?);
        let _disk_attributes_and_place = bytes::<12>(input)?;
    }
    let name = some(input, name)?;
    let extra = some(input, extra)?;
    some(input, comment)?;
    let mut wide = false;
    let mut rest = extra.as_slice();
    while let Some(([a, b, c, d], tail)) = rest.split_first_chunk::<4>() {
        let (kind, length) = (u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d]));
        let Some((field, tail)) = tail.split_at_checked(length.into()) else { break };
        if kind == EXTRA_64 {
            wide = true;
            // The ones that do not fit above, in this order.
            let mut numbers = field.chunks_exact(8).map(|number| u64::from_le_bytes(number.try_into().unwrap_or_default()));
            for place in [&mut size, &mut packed].into_iter().filter(|place| **place == u64::from(u32::MAX)) {
                *place = numbers.next().ok_or_else(damaged)?;
            }
        }
        rest = tail;
    }
    match method {
        _ if flags & 0x41 != 0 => {} // said as encrypted, whatever it is
        0 | 8 => {}
        _ => return Err(io::Error::other(Unread::Unsupported)),
    }
    Ok(Header { facts: Facts { name, crc, packed, bytes: size }, flags, deflated: method == 8, wide })
}

/// The directory must list the members that were read, and be whole.
fn directory(input: &mut dyn BufRead, first: [u8; 4], members: u64, sum: u64) -> io::Result<()> {
    let (mut signature, mut listed, mut listed_sum) = (first, 0, 0u64);
    loop {
        match signature {
            IN_DIRECTORY if listed < members => {
                listed += 1;
                listed_sum = listed_sum.wrapping_add(header(input, true)?.facts.digest());
            }
            END_64 => {
                let length = u64::from_le_bytes(bytes(input)?);
                if io::copy(&mut (&mut *input).take(length), &mut io::sink())? < length {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            }
            END_64_AT => _ = bytes::<16>(input)?,
            END if (listed, listed_sum) == (members, sum) => {
                let _counts_and_places = bytes::<16>(input)?;
                let comment = u16::from_le_bytes(bytes(input)?);
                some(input, comment)?;
                // Another archive behind it would be what other readers find.
                return if input.fill_buf()?.is_empty() { Ok(()) } else { Err(damaged()) };
            }
            _ => return Err(damaged()),
        }
        signature = bytes(input)?;
    }
}

fn damaged() -> io::Error {
    ErrorKind::InvalidData.into()
}

fn bytes<const N: usize>(input: &mut dyn BufRead) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn some(input: &mut dyn BufRead, length: u16) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length.into()];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}
