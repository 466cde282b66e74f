//! How does text stand in the query of a URL?

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// But for what RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}
