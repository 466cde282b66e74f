//! Which hash does a field of text hold, and of which kind?
//!
//! Hex digits of either case or base64; the length tells them apart, since no kind's two lengths meet another's. Invariant: no error
//! repeats the field.

use crate::entry::{BadValue, HashKind, HashValue};

/// Reads a hash of a known kind. Base64 is the standard alphabet with its padding; PDQ and SHA-256 are taken without it too.
pub(super) fn parse(kind: HashKind, text: &str) -> Result<HashValue, BadValue> {
    let bytes = kind.bytes();
    if text.len() == bytes * 2 || text.len() != bytes.div_ceil(3) * 4 && !(bytes == 32 && text.len() == 43) {
        return HashValue::from_hex(kind, text);
    }
    let mut buffer = [0; 144];
    let whole = decode_base64(text.as_bytes(), &mut buffer[..bytes]);
    whole.ok_or_else(|| BadValue(format!("this {kind} hash is neither hex nor base64")))?;
    HashValue::from_bytes(kind, &buffer[..bytes])
}

/// [`parse`] for a hash of a list: what stands for a missing hash is refused.
pub(super) fn listed(kind: HashKind, text: &str) -> Result<HashValue, BadValue> {
    let hash = parse(kind, text)?;
    hash.check_real().map(|()| hash)
}

/// A PhotoDNA hash as hex digits, base64, or 144 numbers with commas between them.
pub(super) fn photo_dna(text: &str) -> Option<HashValue> {
    let numbers = || {
        let bytes: Option<Vec<u8>> = text.split(',').take(145).map(|number| number.trim().parse().ok()).collect();
        HashValue::from_bytes(HashKind::PhotoDna, &bytes?).ok()
    };
    parse(HashKind::PhotoDna, text).ok().or_else(numbers)
}

/// Refuses what no id and no category may be.
pub(super) fn check_text(what: &str, text: &str, bytes_max: usize) -> Result<(), String> {
    if text.len() > bytes_max {
        return Err(format!("the {what} has {} bytes; at most {bytes_max} are accepted", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("the {what} holds a control character"));
    }
    Ok(())
}

/// The kind of a hash that comes without its kind: 32 hex digits are an MD5, 40 a SHA-1, 64 (or 43 or 44 of base64) a PDQ.
///
/// 64 digits could be a SHA-256 as well: whoever asks must have a reason to expect PDQ. 16 digits could be any 64-bit hash: `None`.
pub(super) fn kind_by_length(text: &str) -> Option<HashKind> {
    [HashKind::Pdq, HashKind::Md5, HashKind::Sha1].into_iter().find(|kind| parse(*kind, text).is_ok())
}

/// Whether a text is a hash of some kind, or could be a damaged one: a first row that holds one is no header. What an error may show
/// is asked more strictly ([`crate::entry::shown::is_name`]).
pub(super) fn looks_like_hash(text: &str) -> bool {
    text.len() > 40
        || text.len() >= 8 && text.bytes().all(|b| b.is_ascii_hexdigit())
        || HashKind::ALL.into_iter().any(|kind| parse(kind, text).is_ok())
}

/// Whether a word inside other text must be a hash. Short base64 could be any word and does not count.
pub(super) fn is_hash_within(word: &str) -> bool {
    word.len() >= 16 && word.bytes().all(|b| b.is_ascii_hexdigit()) || word.len() >= 24 && kind_by_length(word).is_some()
}

/// The kind that a signal type or a column's name stands for, in the spellings of ThreatExchange (`HASH_PDQ`), its command line tool
/// (`pdq`, `video_md5`), StopNCII (`ImagePDQ`), Project VIC (`SHA1`, `PhotoDNA`) and NCMEC (`pdna`). A video's MD5 is the MD5 of a
/// file like any other. Plain `phash` and `dhash` name no single algorithm and are unknown.
pub(super) fn signal_kind(name: &str) -> Option<HashKind> {
    if name.len() > 40 {
        return None;
    }
    let mut name = normal(name);
    for prefix in ["hash", "image", "video", "photo", "file"] {
        // "photodna" and "phash64" keep their heads: only what stands before a whole name goes.
        if let Some(rest) = name.strip_prefix(prefix)
            && rest != "dna"
        {
            name = rest.to_owned();
        }
    }
    for suffix in ["hash", "hex"] {
        if let Some(rest) = name.strip_suffix(suffix) {
            name = rest.to_owned();
        }
    }
    Some(match name.as_str() {
        "pdq" => HashKind::Pdq,
        "phash64" => HashKind::Phash64,
        "dhash64" => HashKind::Dhash64,
        "md5" => HashKind::Md5,
        "sha1" => HashKind::Sha1,
        "sha256" => HashKind::Sha256,
        "photodna" | "pdna" => HashKind::PhotoDna,
        _ => return None,
    })
}

/// A name with only its letters and digits, in lower case: `SHA-1` and `sha_1` are one.
pub(super) fn normal(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Fills `out` from base64 of exactly that many bytes. `None` for other lengths, other characters and bits left over.
fn decode_base64(text: &[u8], out: &mut [u8]) -> Option<()> {
    let padding = text.iter().rev().take_while(|b| **b == b'=').count();
    let digits = &text[..text.len() - padding];
    let padded = digits.len().next_multiple_of(4);
    if digits.len() != (out.len() * 4).div_ceil(3) || padding != 0 && text.len() != padded {
        return None;
    }
    let (mut bits, mut held, mut at) = (0u32, 0, 0);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            *out.get_mut(at)? = (bits >> held) as u8;
            bits &= (1 << held) - 1;
            at += 1;
        }
    }
    (bits == 0 && at == out.len()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_and_base64_give_the_same_hash() {
        let check = |kind: HashKind, text: &str, hex: Option<&str>| {
            assert_eq!(parse(kind, text).ok().map(|h| h.hex()).as_deref(), hex, "{kind} {text:?}");
        };
        let p = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22";
        let p64 = "+PjwzuD0qE8GNwoiA49j8LNuLtWWYh4dM+aznE6cmyI=";
        let m = "00112233445566778899aabbccddeeff";
        check(HashKind::Pdq, p, Some(p));
        check(HashKind::Pdq, &p.to_uppercase(), Some(p));
        check(HashKind::Pdq, p64, Some(p));
        check(HashKind::Pdq, &p64[..43], Some(p));
        check(HashKind::Sha256, p64, Some(p));
        check(HashKind::Pdq, &p64.replace("yI=", "yJ="), None); // bits left over
        check(HashKind::Pdq, &p64.replace("yI=", "y=="), None);
        check(HashKind::Pdq, &p64[..42], None);
        check(HashKind::Pdq, &p[..63], None);
        check(HashKind::Md5, m, Some(m));
        check(HashKind::Md5, "ABEiM0RVZneImaq7zN3u/w==", Some(m));
        check(HashKind::Md5, "ABEiM0RVZneImaq7zN3u/w", None);
        check(HashKind::Md5, "ABEiM0RVZneImaq7zN3u_w==", None);
        check(HashKind::Sha1, "ABEiM0RVZneImaq7zN3u/wARIjM=", Some("00112233445566778899aabbccddeeff00112233"));
        check(HashKind::Phash64, "ABEiM0RVZnc=", Some("0011223344556677"));
        check(HashKind::PhotoDna, &"AAAA".repeat(48), Some(&"00".repeat(144)));
        check(HashKind::PhotoDna, &"0f".repeat(144), Some(&"0f".repeat(144)));
        check(HashKind::Pdq, "", None);
        check(HashKind::Pdq, &"é".repeat(32), None);
        check(HashKind::Pdq, &"é".repeat(22), None);
    }

    #[test]
    fn photodna_is_read_in_three_spellings() {
        let bytes: Vec<u8> = (1..=144).collect();
        let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
        let hash = HashValue::from_bytes(HashKind::PhotoDna, &bytes).unwrap();
        assert_eq!(photo_dna(&numbers.join(",")), Some(hash.clone()));
        assert_eq!(photo_dna(&numbers.join(", ")), Some(hash.clone()));
        assert_eq!(photo_dna(&hash.hex()), Some(hash));
        for text in ["", "1,2", &numbers.join(";"), &format!("{},1", numbers.join(",")), &numbers.join(",").replace("144", "256")]
        {
            assert_eq!(photo_dna(text), None);
        }
    }

    #[test]
    fn the_field_s_spellings_of_a_kind_are_known() {
        let check = |name: &str, kind: Option<HashKind>| assert_eq!(signal_kind(name), kind, "{name}");
        for name in ["pdq", "PDQ", "HASH_PDQ", "ImagePDQ", "pdq_hash", "PdqHash", "pdq-hex"] {
            check(name, Some(HashKind::Pdq));
        }
        for name in ["md5", "MD5", "HASH_MD5", "video_md5", "VideoMD5", "HASH_VIDEO_MD5", "file_md5", "md5 hash"] {
            check(name, Some(HashKind::Md5));
        }
        for name in ["sha1", "SHA-1", "HASH_SHA1", "SHA1Hash"] {
            check(name, Some(HashKind::Sha1));
        }
        for name in ["sha256", "SHA-256", "hash_sha256"] {
            check(name, Some(HashKind::Sha256));
        }
        for name in ["photodna", "PhotoDNA", "pdna", "HASH_PHOTODNA", "photo_dna"] {
            check(name, Some(HashKind::PhotoDna));
        }
        check("phash64", Some(HashKind::Phash64));
        check("dHash64", Some(HashKind::Dhash64));
        for name in ["", "hash", "phash", "dhash", "url", "raw_text", "tmk", "HASH_TMK", "vpdq", "sha512", "pdq2", "photo"] {
            check(name, None);
        }
    }

    #[test]
    fn what_could_be_a_hash_is_no_column_s_name() {
        for text in ["0011223344556677", "00112233445566778899aabbccddee", "ABEiM0RVZneImaq7zN3u/w==", &"x".repeat(41)] {
            assert!(looks_like_hash(text), "{text}");
        }
        for text in ["description", "signal_type", "id", "Category", "decade", "created_on", "md5"] {
            assert!(!looks_like_hash(text), "{text}");
        }
    }
}
