//! What does a page of a hotline's interface say of the pages after it?
//!
//! A page in memory, read from end to end: one that is cut short, or is not what it should be, fails as a whole, whatever the web server said of
//! it. Names that are not known are passed over. Absent: the records, which the readers of files read, and the fetching.

use std::fmt;
use std::ops::ControlFlow;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::xml::{self, Step};
use super::{FileError, ncmec};

/// Longest link or token to a next page, in bytes.
const NEXT_BYTES_MAX: usize = 8 * 1024;

/// What a page says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Entries and tombstones on it.
    pub records: u64,
    /// The link or the token to the next page; `None` on the last one.
    pub next: Option<String>,
    /// SHA-256 of its records, whatever its link: pages that repeat have the same.
    pub content: [u8; 32],
    /// The newest time of what it has, or what the interface gives for the next fetch, in seconds since the Unix epoch.
    pub until_s: u64,
}

/// A page of the NCMEC Hash Sharing API, version 2. Its link is relative, and all of the time range that was asked for is on its pages together;
/// `maxTimestamp` is not read, as pages are not in the order of time.
pub fn ncmec_page(body: &[u8]) -> Result<Page, FileError> {
    let (mut path, mut page) = (Vec::<&'static str>::new(), Page::default());
    let (mut next, mut content) = (String::new(), Sha256::new());
    xml::walk(&mut &*body, &mut |step, place| {
        match step {
            Step::Open(element) => {
                let name = element.name();
                if place.depth == 0 && name != ncmec::ROOT {
                    return Err(FileError::broken(place.line, format!("the document is not a {}", ncmec::ROOT)));
                }
                content.update(name);
                let is_record = ["image", "video", "deletedImage", "deletedVideo"].contains(&name);
                page.records += u64::from(is_record && path.last() == Some(&"set"));
                path.push(match (place.depth, name) {
                    (1, "images" | "videos") => "set",
                    (1, "paging") => "paging",
                    (2, "next") if path.last() == Some(&"paging") => "next",
                    _ => "",
                });
            }
            Step::Text(text) if path.last() == Some(&"next") && next.len() <= NEXT_BYTES_MAX => {
                next.push_str(text.as_deref().unwrap_or_default());
            }
            // A mark stands between texts, as elements do.
            Step::Text(text) => content.update([text.as_deref().unwrap_or_default().as_bytes(), &[0]].concat()),
            Step::Close(_) => _ = path.pop(),
        }
        Ok(ControlFlow::Continue(()))
    })?;
    (page.next, page.content) = (bounded(Some(next))?, content.finalize().into());
    Ok(page)
}

/// Reasons that are read of a document, and bytes of their names.
const REASONS_MAX: usize = 1_000;
const REASON_BYTES_MAX: usize = 200;

/// Why feedback can be negative, as the NCMEC Hash Sharing API lists it for one kind of hash: ids with their names.
pub fn ncmec_reasons(body: &[u8]) -> Result<Vec<(String, String)>, FileError> {
    const ROOT: &str = "availableFeedbackReasons";
    let mut found = Vec::new();
    xml::walk(&mut &*body, &mut |step, place| {
        if let Step::Open(element) = step {
            if place.depth == 0 && element.name() != ROOT {
                return Err(FileError::broken(place.line, format!("the document is not a {ROOT}")));
            }
            let (guid, name) = (element.attribute("guid").unwrap_or_default(), element.attribute("name").unwrap_or_default());
            let is_guid = (1..=64).contains(&guid.len()) && guid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            if element.name() == "reason" && is_guid && name.len() <= REASON_BYTES_MAX && found.len() < REASONS_MAX {
                found.push((guid, name));
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// A page of StopNCII's API, version 1.
pub fn stopncii_page(body: &[u8]) -> Result<Page, FileError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Whole<'b> {
        #[serde(borrow)]
        hash_records: &'b RawValue,
        has_more_records: bool,
        #[serde(default)]
        next_page_token: Option<String>,
        #[serde(default)]
        next_set_timestamp: Option<u64>,
    }
    let whole: Whole<'_> = json(body)?;
    let (records, _, content) = counted(whole.hash_records)?;
    let next = bounded(whole.next_page_token)?.filter(|_| whole.has_more_records);
    if whole.has_more_records && next.is_none() {
        return Err(FileError::broken(1, "it says that there is more, and does not name the next page"));
    }
    Ok(Page { records, next, content, until_s: whole.next_set_timestamp.unwrap_or(0) })
}

/// A page of ThreatExchange's updates.
pub fn threatexchange_page(body: &[u8]) -> Result<Page, FileError> {
    #[derive(Deserialize)]
    struct Whole<'b> {
        #[serde(borrow)]
        data: &'b RawValue,
        #[serde(default)]
        paging: Paging,
    }
    #[derive(Deserialize, Default)]
    struct Paging {
        #[serde(default)]
        next: Option<String>,
    }
    let whole: Whole<'_> = json(body)?;
    let (records, until_s, content) = counted(whole.data)?;
    Ok(Page { records, next: bounded(whole.paging.next)?, content, until_s })
}

/// How many records there are, their newest time, and their digest.
fn counted(records: &RawValue) -> Result<(u64, u64, [u8; 32]), FileError> {
    let count: Count = json(records.get().as_bytes())?;
    Ok((count.n, count.newest_s, Sha256::digest(records.get()).into()))
}

/// Where a body is no JSON of this shape, its own words are not repeated: they may be anything.
fn json<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, FileError> {
    serde_json::from_slice(body).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Eof => "the JSON ends too early: it was cut short",
            serde_json::error::Category::Data => "the JSON does not have the fields of a page",
            _ => "not well-formed JSON",
        };
        FileError::broken(error.line() as u64, what)
    })
}

fn bounded(next: Option<String>) -> Result<Option<String>, FileError> {
    let next = next.map(|next| next.trim().to_owned()).filter(|next| !next.is_empty());
    match &next {
        Some(next) if next.len() > NEXT_BYTES_MAX => Err(FileError::broken(1, "its link to the next page is too long")),
        _ => Ok(next),
    }
}

/// How many there are in an array, and the newest `last_updated` of them.
#[derive(Default)]
struct Count {
    n: u64,
    newest_s: u64,
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Counting)
    }
}

struct Counting;

impl<'de> Visitor<'de> for Counting {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Count, A::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Record {
            Dated { last_updated: u64 },
            Other(#[allow(dead_code)] IgnoredAny),
        }
        let mut count = Count::default();
        while let Some(record) = seq.next_element()? {
            count.n += 1;
            if let Record::Dated { last_updated } = record {
                count.newest_s = count.newest_s.max(last_updated);
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(records: u64, next: Option<&str>, until_s: u64) -> (u64, Option<String>, u64) {
        (records, next.map(str::to_owned), until_s)
    }

    fn said(page: Page) -> (u64, Option<String>, u64) {
        (page.records, page.next, page.until_s)
    }

    #[test]
    fn a_page_says_how_many_records_it_has_and_where_the_next_is() {
        let ncmec = |inner: &str| said(ncmec_page(format!("<queryResult xmlns=\"x\">{inner}</queryResult>").as_bytes()).unwrap());
        assert_eq!(ncmec(""), page(0, None, 0));
        assert_eq!(ncmec("<images count=\"0\"/><paging><next> </next></paging>"), page(0, None, 0));
        let records = "<images><image><id>image</id></image><deletedImage/></images><videos><video/></videos><new><image/></new>";
        let linked = format!("{records}<paging><next>/v2/entries?from=a&amp;start=1001</next><other/></paging>");
        assert_eq!(ncmec(&linked), page(3, Some("/v2/entries?from=a&start=1001"), 0));
        let stop = |text: &str| said(stopncii_page(text.as_bytes()).unwrap());
        let more =
            r#"{"count":2,"hashRecords":[{"a":1},{}],"hasMoreRecords":true,"nextPageToken":"t","nextSetTimestamp":9,"new":{}}"#;
        assert_eq!(stop(more), page(2, Some("t"), 9));
        assert_eq!(stop(&more.replace("true", "false")), page(2, None, 9));
        let updates = r#"{"data":[{"last_updated":5,"id":"1"},{"last_updated":"x"},{"last_updated":7}],"paging":{"next":"https://h/?a=1"}}"#;
        assert_eq!(said(threatexchange_page(updates.as_bytes()).unwrap()), page(3, Some("https://h/?a=1"), 7));
        assert_eq!(said(threatexchange_page(br#"{"data":[]}"#).unwrap()), page(0, None, 0));
    }

    #[test]
    fn a_page_that_repeats_under_another_link_is_known() {
        let ncmec = |id: &str, next: &str| {
            let text = format!(
                "<queryResult><images><image><id>{id}</id></image></images><paging><next>{next}</next></paging></queryResult>"
            );
            ncmec_page(text.as_bytes()).unwrap().content
        };
        assert_eq!(ncmec("1", "a"), ncmec("1", "b"));
        assert_ne!(ncmec("1", "a"), ncmec("2", "a"));
        let stop = |hash: &str, token: &str| {
            let text = format!(r#"{{"hashRecords":[{{"hashValue":"{hash}"}}],"hasMoreRecords":true,"nextPageToken":"{token}"}}"#);
            stopncii_page(text.as_bytes()).unwrap().content
        };
        assert_eq!(stop("1", "a"), stop("1", "b"));
        assert_ne!(stop("1", "a"), stop("2", "a"));
    }

    #[test]
    fn what_is_cut_short_or_another_thing_is_no_page() {
        let whole = r#"{"hashRecords":[{"a":"b"}],"hasMoreRecords":false,"nextSetTimestamp":9}"#;
        let updates = r#"{"data":[{"id":"1"}],"paging":{}}"#;
        let xml = "<queryResult><images><image><id>1</id></image></images></queryResult>";
        for n in 0..whole.len() {
            assert!(stopncii_page(&whole.as_bytes()[..n]).is_err(), "{n}");
        }
        for n in 0..updates.len() {
            assert!(threatexchange_page(&updates.as_bytes()[..n]).is_err(), "{n}");
        }
        for n in 0..xml.len() {
            assert!(ncmec_page(&xml.as_bytes()[..n]).is_err(), "{n}");
        }
        assert!(stopncii_page(br#"{"hashRecords":[],"hasMoreRecords":true}"#).is_err());
        assert!(stopncii_page(br#"{"error":"secret"}"#).is_err_and(|error| !error.to_string().contains("secret")));
        assert!(ncmec_page(b"<html>secret</html>").is_err_and(|error| !error.to_string().contains("secret")));
        assert!(threatexchange_page(format!(r#"{{"data":[],"paging":{{"next":"{}"}}}}"#, "x".repeat(9000)).as_bytes()).is_err());
    }
}
