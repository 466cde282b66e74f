//! When did a source last change an entry?
//!
//! Read where rows of one id replace each other; what can't be read is as old as can be.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since the Unix epoch of a time in RFC 3339; without an offset it is taken for UTC.
pub(super) fn read(text: &str) -> Option<u64> {
    let parse = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
    let time = parse(text).or_else(|| match text.len().checked_sub(5).and_then(|at| text.split_at_checked(at)) {
        // Graph APIs write +0000.
        Some((time, offset)) if offset.starts_with(['+', '-']) && !offset.contains(':') => {
            parse(&format!("{time}{}:{}", offset.get(..3)?, offset.get(3..)?))
        }
        _ => parse(&format!("{text}Z")),
    });
    u64::try_from(time?.unix_timestamp_nanos() / 1_000_000).ok()
}

/// The same of seconds since the epoch, perhaps with a fraction.
pub(super) fn read_seconds(text: &str) -> Option<u64> {
    let seconds = text.split_once('.').map_or(text, |(whole, _)| whole);
    seconds.parse::<u64>().ok()?.checked_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_s_times_are_read() {
        let check = |text: &str, ms: Option<u64>| assert_eq!(read(text), ms, "{text}");
        check("1970-01-01T00:00:01Z", Some(1_000));
        check("2026-01-07T02:31:49.8300Z", Some(1_767_753_109_830));
        check("2026-01-07T02:31:49.83", Some(1_767_753_109_830));
        check("2026-01-07T03:31:49.83+01:00", Some(1_767_753_109_830));
        check("2026-01-07T03:31:49+0100", Some(1_767_753_109_000));
        check("1960-01-01T00:00:01Z", None);
        for text in ["", "Z", "yesterday", "+0000", "2026-13-01T00:00:00Z", "é0000", "ééé", "2026-01-07"] {
            check(text, None);
        }
        assert_eq!((read_seconds("1700000000"), read_seconds("1.5")), (Some(1_700_000_000_000), Some(1_000)));
        assert_eq!((read_seconds("-1"), read_seconds(&u64::MAX.to_string())), (None, None));
    }
}
