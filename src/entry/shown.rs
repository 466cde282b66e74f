//! How is a text printed that somebody else wrote, and what of it must not be printed at all?
//!
//! Names of files, entries, categories and columns may come from whoever wants to mislead the reader of a terminal or a log: what moves
//! the cursor, breaks the line or turns its direction is shown escaped. A list's hashes are secrets, and a damaged hash is still most of
//! one: an error text repeats a field of a list file only where it [`is_name`]. Texts that are made elsewhere (a parser's) go through
//! [`without_hashes`].

use std::borrow::Cow;
use std::io;

/// Whether a character could make a text look like another one, or like two lines: controls, line and paragraph separators, marks of
/// the writing direction, and what nobody sees. Those that nobody sees are Unicode's `Default_Ignorable_Code_Point` and format characters
/// that stand alone; those that [`is_joiner`] stay, as they shape what stands before them.
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}')
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
        || matches!(c, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{17b4}' | '\u{17b5}') // fillers
        || matches!(c, '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}')
        || matches!(c, '\u{e0000}'..='\u{e0fff}' if !is_joiner(c))
}

/// Joiners and selectors of variants: part of emoji, and of words in Persian, Mongolian and Japanese.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{34f}' | '\u{200c}' | '\u{200d}' | '\u{180b}'..='\u{180d}' | '\u{180f}')
        || matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// Whether anything of a text can be seen. Blanks can't.
pub fn is_visible(text: &str) -> bool {
    text.chars().any(|c| !(misleads(c) || is_joiner(c) || c.is_whitespace() || c == '\u{2800}'))
}

/// The text for people, on one line: `\n`, `\u{202e}`.
pub fn escaped(text: &str) -> Cow<'_, str> {
    escaped_but(text, &[])
}

/// A text of several lines for people: line breaks and tabs stay.
pub fn escaped_lines(text: &str) -> Cow<'_, str> {
    escaped_but(text, &['\n', '\t'])
}

/// Lines that a logger wrote: its colours stay too. The logger escapes them in what it is given.
pub fn escaped_log(text: &str) -> Cow<'_, str> {
    escaped_but(text, &['\n', '\t', '\u{1b}'])
}

fn escaped_but<'t>(text: &'t str, stay: &[char]) -> Cow<'t, str> {
    let goes = |c: char| misleads(c) && !stay.contains(&c);
    if !text.contains(goes) {
        return Cow::Borrowed(text);
    }
    let escape = |c: char| if goes(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(escape).collect())
}

/// A line of JSON with the same characters in JSON's own escapes, which stand for them: it means what it meant.
pub fn escaped_json(line: &str) -> Cow<'_, str> {
    if !line.contains(misleads) {
        return Cow::Borrowed(line);
    }
    let escape = |c: char| match c {
        '\n' => "\n".to_owned(), // the line's end: within a text JSON has none
        c if misleads(c) => c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
        c => c.to_string(),
    };
    Cow::Owned(line.chars().map(escape).collect())
}

/// Bytes in a unit that leaves two to five digits, rounded down.
pub fn sized(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let (mut n, mut unit) = (bytes, 0);
    while n >= 10 * 1024 && unit + 1 < UNITS.len() {
        (n, unit) = (n / 1024, unit + 1);
    }
    format!("{n} {}", UNITS[unit])
}

/// A number and what is counted.
pub fn counted(n: u64, one: &str, more: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { more })
}

/// The system's words for what went wrong, without its number: "no such file or directory".
pub fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split_once(" (os error ").map_or(text.as_str(), |(words, _)| words);
    match text.split_at_checked(1) {
        Some((first, rest)) => first.to_lowercase() + rest,
        None => text.to_owned(),
    }
}

/// Why something that a user named can't be opened. `path` is shown as it is.
pub fn unopened(path: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("no such file or folder: {path}"),
        _ => format!("{path}: {}", in_words(error)),
    }
}

/// The name that was meant by a misspelt one, where one is near. The same measure and bound as clap has for its own.
pub fn nearest<'n>(given: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    const NEAR: f64 = 0.8;
    let near = known.into_iter().map(|name| (strsim::jaro_winkler(given, name), name));
    near.filter(|(measure, _)| *measure >= NEAR).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

/// Longest text that is taken for a name.
const NAME_CHARS_MAX: usize = 40;
/// Digits in a name, such as `sha256` has. A hash has many more, however it was damaged.
const NAME_DIGITS_MAX: usize = 4;
/// A word of more letters than this could be a short hash in base64 if its capitals stand like one's.
const WORD_CHARS_SURE: usize = 10;

/// Whether a text of a list file can only be a name, such as a column's: words of letters with a few digits. What is damaged, cut,
/// quoted, spaced out or in base64 is a hash still, so this says yes to names and not no to hashes.
pub fn is_name(text: &str) -> bool {
    let digits = text.chars().filter(|c| c.is_numeric()).count();
    let alphanumeric = text.chars().filter(|c| c.is_alphanumeric());
    let hex_only = alphanumeric.clone().all(|c| c.is_ascii_hexdigit()) && alphanumeric.count() >= 8;
    text.chars().count() <= NAME_CHARS_MAX
        && digits <= NAME_DIGITS_MAX
        && !hex_only
        && !text.contains(['+', '='])
        && !text.contains(misleads) // its escape would add digits
        && text.split(|c: char| !c.is_alphanumeric()).all(is_word)
}

fn is_word(word: &str) -> bool {
    if word.chars().count() <= WORD_CHARS_SURE || !word.is_ascii() {
        return true;
    }
    let letters = word.trim_end_matches(|c: char| c.is_ascii_digit()).as_bytes();
    let is_vowel = |b: &u8| b"aeiouyAEIOUY".contains(b);
    let humps = letters.windows(2).filter(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase()).count();
    let acronyms = letters.split(|b| !b.is_ascii_uppercase()).filter(|capitals| capitals.len() >= 2).count();
    letters.iter().all(u8::is_ascii_alphabetic)
        && humps <= 2
        && acronyms <= 1
        && letters.iter().filter(|b| is_vowel(b)).count() * 4 >= letters.len()
        && letters.split(is_vowel).all(|consonants| consonants.len() <= 5)
}

/// A field of a list file as an error may show it: quoted where it [`is_name`].
pub fn name_or_not(text: &str) -> String {
    if is_name(text) { format!("{text:?}") } else { "(not shown)".to_owned() }
}

/// Stands where a hash stood.
const NOT_SHOWN: &str = "(not shown: it looks like a hash)";

/// The text without the words that look like hashes, whole or damaged. For messages of parsers, which quote what they could not read. An id that
/// was derived from hashes (`h-` and 16 digits) and a UUID are no hashes.
pub fn without_hashes(text: &str) -> Cow<'_, str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "+/=_:-".contains(c);
    // Base64 may hold a slash or two; a path is looked at piece by piece.
    let hides = |word: &str| !word.starts_with('/') && word.matches('/').count() <= 3 && looks_like_hash(word);
    if !text.split(|c| !is_part(c)).any(|word| hides(word) || word.split('/').any(looks_like_hash)) {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_part) {
        let (before, from) = rest.split_at(start);
        let (word, after) = from.split_at(from.find(|c| !is_part(c)).unwrap_or(from.len()));
        kept.push_str(before);
        if hides(word) {
            kept.push_str(NOT_SHOWN);
        } else {
            let pieces = word.split('/').map(|piece| if looks_like_hash(piece) { NOT_SHOWN } else { piece });
            kept.push_str(&pieces.collect::<Vec<_>>().join("/"));
        }
        rest = after;
    }
    kept.push_str(rest);
    Cow::Owned(kept)
}

/// A parser's message on one line, without the lines of the text that it quotes (`3 | id;pdq`), and without hashes.
pub fn message_alone(text: &str) -> String {
    let is_quote =
        |line: &&str| line.split_once('|').is_some_and(|(number, _)| number.bytes().all(|b| b == b' ' || b.is_ascii_digit()));
    let lines: Vec<&str> = text.lines().filter(|line| !is_quote(line)).map(str::trim).filter(|line| !line.is_empty()).collect();
    without_hashes(&lines.join(": ")).into_owned()
}

/// Whether a word looks like a hash, whole or damaged.
pub fn looks_like_hash(word: &str) -> bool {
    let alphanumeric: Vec<u8> = word.bytes().filter(u8::is_ascii_alphanumeric).collect();
    if alphanumeric.len() < 16 || is_uuid(word) || is_derived_id(word) || is_time(word) || is_number(word) {
        return false;
    }
    let count = |is: fn(&u8) -> bool| alphanumeric.iter().filter(|b| is(b)).count();
    let (hex, digits) = (count(u8::is_ascii_hexdigit), count(u8::is_ascii_digit));
    let (upper, lower) = (count(u8::is_ascii_uppercase), count(u8::is_ascii_lowercase));
    let is_whole = hex == word.len() && [16, 32, 40, 64, 288].contains(&word.len());
    let is_hex = is_whole || hex * 10 >= alphanumeric.len() * 9 && digits >= 4;
    let is_base64 = alphanumeric.len() >= 20 && digits >= 1 && upper >= 3 && lower >= 3 && !is_name(word);
    is_hex || is_base64
}

fn is_uuid(word: &str) -> bool {
    let parts: Vec<usize> = word.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12] && word.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

/// RFC 3339, also with a fraction and an offset.
fn is_time(word: &str) -> bool {
    let shape = |at: usize, byte: u8| match at {
        4 | 7 => byte == b'-',
        10 => byte == b'T',
        _ => byte.is_ascii_digit() || at > 10 && b":.+-Z".contains(&byte),
    };
    word.len() <= 35 && word.bytes().enumerate().all(|(at, byte)| shape(at, byte))
}

/// A number of 64 bits that is too long for a 64-bit hash.
fn is_number(word: &str) -> bool {
    (17..=20).contains(&word.len()) && !word.starts_with(['0', '+']) && word.parse::<u64>().is_ok()
}

fn is_derived_id(word: &str) -> bool {
    word.strip_prefix("h-").is_some_and(|id| id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MD5: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn what_misleads_is_escaped_and_the_rest_stays() {
        let check = |text: &str, line: &str, json: &str| {
            assert_eq!((escaped(text).as_ref(), escaped_json(text).as_ref()), (line, json), "{text:?}");
        };
        check(
            "photo Größe 日本語 👩\u{200d}🚒.jpg",
            "photo Größe 日本語 👩\u{200d}🚒.jpg",
            "photo Größe 日本語 👩\u{200d}🚒.jpg",
        );
        check("a\u{202e}gpj.exe", "a\\u{202e}gpj.exe", "a\\u202egpj.exe");
        check("a\u{2066}\u{200f}\u{61c}b", "a\\u{2066}\\u{200f}\\u{61c}b", "a\\u2066\\u200f\\u061cb");
        check("a\u{2028}b\u{2029}c\u{85}d", "a\\u{2028}b\\u{2029}c\\u{85}d", "a\\u2028b\\u2029c\\u0085d");
        check("\u{1b}[2Ja\u{7f}", "\\u{1b}[2Ja\\u{7f}", "\\u001b[2Ja\\u007f");
        check("a\u{200b}\u{e0041}b", "a\\u{200b}\\u{e0041}b", "a\\u200b\\udb40\\udc41b");
        check("a\u{ad}\u{feff}\u{3164}b", "a\\u{ad}\\u{feff}\\u{3164}b", "a\\u00ad\\ufeff\\u3164b");
        check("\u{115f}\u{ffa0}\u{fffb}", "\\u{115f}\\u{ffa0}\\u{fffb}", "\\u115f\\uffa0\\ufffb");
        check(
            "❤\u{fe0f} 葛\u{e0100} می\u{200c}خواهم",
            "❤\u{fe0f} 葛\u{e0100} می\u{200c}خواهم",
            "❤\u{fe0f} 葛\u{e0100} می\u{200c}خواهم",
        );
        assert_eq!((escaped("a\nb\tc").as_ref(), escaped_lines("a\nb\t\u{202e}c").as_ref()), ("a\\nb\\tc", "a\nb\t\\u{202e}c"));
        let value = serde_json::json!({"file": "a\u{202e}\u{e0041}\n"}).to_string();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped_json(&value)).unwrap()["file"], "a\u{202e}\u{e0041}\n");
    }

    #[test]
    fn what_nobody_sees_is_no_text() {
        let blank =
            ["", " ", "\u{3000}\t", "\u{feff}", "\u{3164}", "\u{ad}", "\u{e0041}", "\u{200d}\u{fe0f}", "\u{2800}", "\u{202e}"];
        blank.into_iter().for_each(|text| assert!(!is_visible(text), "{text:?}"));
        for text in ["a", "\u{feff}a", "0", "葛\u{e0100}", "👩\u{200d}🚒", "-", "\u{ad}_"] {
            assert!(is_visible(text), "{text:?}");
        }
    }

    #[test]
    fn bytes_are_told_in_a_unit_that_fits() {
        let check = |bytes: u64, told: &str| assert_eq!(sized(bytes), told);
        check(0, "0 bytes");
        check(10_239, "10239 bytes");
        check(10_240, "10 KiB");
        check(512 << 10, "512 KiB");
        check(128 << 20, "128 MiB");
        check(3 << 30, "3072 MiB");
        check(1 << 60, "1048576 TiB");
    }

    #[test]
    fn the_system_s_words_come_without_its_number() {
        let check = |error: io::Error, words: &str, opened: &str| {
            assert_eq!((in_words(&error).as_str(), unopened("a/b", &error).as_str()), (words, opened));
        };
        check(io::Error::from_raw_os_error(2), "no such file or directory", "no such file or folder: a/b");
        check(io::Error::from_raw_os_error(13), "permission denied", "a/b: permission denied");
        check(io::ErrorKind::IsADirectory.into(), "is a directory", "a/b: is a directory");
        check(io::Error::other("Ünusual"), "Ünusual", "a/b: Ünusual");
        check(io::Error::other(""), "", "a/b: ");
    }

    #[test]
    fn a_misspelt_name_finds_the_one_that_was_meant() {
        let check =
            |given: &str, meant: Option<&str>| assert_eq!(nearest(given, ["listen", "drain_s", "queue_max"]), meant, "{given}");
        check("lissten", Some("listen"));
        check("lisetn", Some("listen"));
        check("queue", Some("queue_max"));
        check("drain", Some("drain_s"));
        check("threads", None);
        check("", None);
    }

    #[test]
    fn names_are_shown_and_nothing_that_could_be_a_hash() {
        let names = [
            "",
            "id",
            "md5",
            "description",
            "signal_type",
            "Category",
            "decade",
            "created_on",
            "SHA-1",
            "sha256",
            "HASH_PDQ",
            "PhotoDNA",
            "SHA256Hash",
            "IsPrecategorized",
            "lastModtimestamp",
            "originalFileHash",
            "VictimIdentified",
            "Hash value (MD5)",
            "Größe",
            "分类",
            "Kategorie-Bezeichnung",
            "url",
            "file name",
        ];
        names.into_iter().for_each(|name| assert!(is_name(name), "{name}"));
        let hashes = [
            MD5,
            &MD5[..16],
            &MD5[1..12],
            &MD5.replace('7', "x"),
            &format!("\"{MD5}"),
            &format!("'{}", &MD5[..20]),
            &MD5.as_bytes().chunks(2).map(|two| format!("{} ", str::from_utf8(two).unwrap())).collect::<String>()[..30],
            "aa:bb:cc:dd:ee:ff:aa:bb",
            "deadbeefcafe",
            "ABEiM0RVZneImaq7zN3u/w==",
            "ABEiM0RVZneImaq7zN3u/w",
            "ABEiM0RVZnc=",
            "ABEiMoRVZnc",
            "qwEiMoRVpnclkJHgTrd",
            &"x".repeat(41),
            "\0eeeeeeeeeeeeeee",
            "na\u{202e}me",
        ];
        hashes.into_iter().for_each(|hash| assert!(!is_name(hash), "{hash}"));
        assert_eq!((name_or_not("tags"), name_or_not(MD5)), ("\"tags\"".to_owned(), "(not shown)".to_owned()));
    }

    #[test]
    fn a_parser_s_message_loses_its_hashes_only() {
        let check = |text: &str, expected: &str| assert_eq!(without_hashes(text), expected);
        check("unknown field `md5`, expected one of `id`, `hashes`", "unknown field `md5`, expected one of `id`, `hashes`");
        check(&format!("{} {}", "a".repeat(32), "b".repeat(31)), &format!("{NOT_SHOWN} {}", "b".repeat(31)));
        check(&format!("key `{MD5}` at line 3"), "key `(not shown: it looks like a hash)` at line 3");
        check(&format!("'{MD5}g' and \"{}\"", &MD5[..20]), &format!("'{NOT_SHOWN}' and \"{NOT_SHOWN}\""));
        check("x ABEiM0RVZneImaq7zN3u/w== y", &format!("x {NOT_SHOWN} y"));
        check(&format!("/data/{MD5}/x.csv: not found"), &format!("/data/{NOT_SHOWN}/x.csv: not found"));
        check(
            "not in the list: h-0011223344556677, 01234567-abcd-0123-4567-012345678900",
            "not in the list: h-0011223344556677, 01234567-abcd-0123-4567-012345678900",
        );
        check(
            "not in 0..18446744073709551615, 2027-01-31T12:00:00.123+00:00",
            "not in 0..18446744073709551615, 2027-01-31T12:00:00.123+00:00",
        );
        check("99112233445566778899 20270131T1200000000", &format!("{NOT_SHOWN} {NOT_SHOWN}"));
        check("/var/lib/hashwarden/store-2026-11-26/000012.log", "/var/lib/hashwarden/store-2026-11-26/000012.log");
        check("HASHWARDEN__GRPC__CONNECTION_STREAMS_MAX=20s", "HASHWARDEN__GRPC__CONNECTION_STREAMS_MAX=20s");
    }

    #[test]
    fn a_parser_s_message_quotes_nothing() {
        let text = "TOML parse error at line 1, column 3\n  |\n1 | id;pdq\n  |   ^\nkey with no value, expected `=`\n";
        assert_eq!(message_alone(text), "TOML parse error at line 1, column 3: key with no value, expected `=`");
        assert_eq!(message_alone("a | b"), "a | b");
    }
}
