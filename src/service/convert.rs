//! Which gRPC status is this error? And, in its two halves: what does a message ask for, what does a reply look like?
//!
//! The only place that knows both sides, and the only one that makes a `Status`. Details are those of google.rpc: BadRequest names the field
//! at fault, ResourceInfo what is not there, RetryInfo when to come again, ErrorInfo a reason for programs. Invariant: no status
//! holds a hash, a byte of a picture, or a path of the server.

mod entries;
mod fields;
mod replies;
mod requests;
mod sources;
mod withheld;

use std::time::Duration;

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::access::Refusal;
use crate::admission::{Over, OverQuota};
use crate::catalog::CatalogError;
use crate::entry::shown::without_hashes;
use crate::proto::scan::Flaw;
use crate::proto::v1;

pub use entries::{entry, find_entries, found_entries, get_entry, match_as_of, past_report, set_entry_mark};
pub use replies::*;
pub use requests::*;
pub use sources::{feedback, fetch_progress, fetch_report, set_source, source};
pub use withheld::verdict_for;

/// The domain of ErrorInfo.
const DOMAIN: &str = "hashwarden";
/// When a caller that was turned away may come again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What is wrong with a request, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub code: Code,
    /// The path of the field, such as `item.hashes.hashes[2].hex`; empty where no field is at fault.
    pub field: String,
    pub message: String,
}

impl Fault {
    /// A malformed field.
    pub fn malformed(field: impl Into<String>, message: impl Into<String>) -> Self {
        Fault { code: Code::InvalidArgument, field: field.into(), message: message.into() }
    }

    pub fn no_such_list(field: impl Into<String>, name: &str) -> Self {
        Fault { code: Code::NotFound, field: field.into(), message: format!("there is no list named {:?}", without_hashes(name)) }
    }

    /// What the item's caller may not.
    pub fn refused(field: impl Into<String>, refusal: &Refusal) -> Self {
        Fault { code: refusal_code(refusal), field: field.into(), message: refusal.to_string() }
    }

    /// An item whose answer never came: a job that failed drops its reply.
    pub fn lost() -> Self {
        Fault { code: Code::Internal, field: String::new(), message: "the request was lost in the service".to_owned() }
    }

    /// An item whose result could not be kept for a client that does not take results.
    pub fn unread() -> Self {
        let message =
            "the result was dropped because too many results were unread: read results while you send, and send this item again";
        Fault { code: Code::ResourceExhausted, field: String::new(), message: message.to_owned() }
    }

    /// An item beyond its caller's quota.
    pub fn over_quota(over: OverQuota) -> Self {
        Fault { code: Code::ResourceExhausted, field: String::new(), message: over.to_string() }
    }

    /// The same words as an item's error on a stream.
    pub fn item_error(self) -> v1::ItemError {
        v1::ItemError { code: self.code as i32, message: self.message, field: self.field }
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Status {
        let mut details = ErrorDetails::new();
        if !fault.field.is_empty() {
            details.add_bad_request_violation(&fault.field, &fault.message);
        }
        if fault.code == Code::Internal {
            tracing::error!(message = fault.message, "a request failed");
        }
        let message = if fault.field.is_empty() { fault.message } else { format!("{}: {}", fault.field, fault.message) };
        Status::with_error_details(fault.code, message, details)
    }
}

/// Anything the catalog refuses or fails at.
pub fn catalog_status(error: CatalogError) -> Status {
    let message = error.to_string();
    let (code, details) = match error {
        CatalogError::NoSuchList(name) => (Code::NotFound, ErrorDetails::with_resource_info("HashList", name, "", &message)),
        CatalogError::NoSuchVersion { list, version, .. } => {
            (Code::NotFound, ErrorDetails::with_resource_info("HashListVersion", format!("{list}/{version}"), "", &message))
        }
        CatalogError::NoSuchEntry { list, .. } => (Code::NotFound, ErrorDetails::with_resource_info("Entry", list, "", &message)),
        CatalogError::ListExists(name) => (Code::AlreadyExists, ErrorDetails::with_resource_info("HashList", name, "", &message)),
        CatalogError::Invalid(_) => (Code::InvalidArgument, info("INVALID")),
        CatalogError::BadFile(_) => (Code::InvalidArgument, info("BAD_FILE")),
        CatalogError::Busy => {
            let mut details = info("BUSY");
            details.set_retry_info(Some(RETRY_AFTER));
            (Code::Aborted, details)
        }
        CatalogError::Refused(_) => (Code::FailedPrecondition, info("REFUSED")),
        CatalogError::Unwritten(_) => (Code::Aborted, info("UNREAD")),
        CatalogError::Unfetched(_) => (Code::FailedPrecondition, info("UNFETCHED")),
        CatalogError::Damaged(why) => {
            tracing::error!(why, "the store is damaged");
            return Status::data_loss("the store is damaged; the server's log says how");
        }
        CatalogError::Unproven(flaw) => {
            tracing::error!(%flaw, "an index failed its proof and is not used");
            return Status::internal(format!("{message}; the version that was active before still is"));
        }
        CatalogError::Unwritable(error) => {
            // Its words hold the store's path: they are for the operator.
            tracing::error!(%error, "no change is accepted");
            let mut details = info("UNWRITABLE");
            details.set_retry_info(Some(RETRY_AFTER));
            let message = "the server's disk is full or failed: no changes are accepted until that is fixed; look-ups continue";
            return Status::with_error_details(Code::ResourceExhausted, message, details);
        }
        CatalogError::Store(error) => {
            // Its words may hold paths: they are for the operator.
            tracing::error!(%error, "the store failed");
            return Status::internal("the store failed; the server's log says how");
        }
    };
    Status::with_error_details(code, message, details)
}

fn refusal_code(refusal: &Refusal) -> Code {
    if refusal.is_unauthenticated() { Code::Unauthenticated } else { Code::PermissionDenied }
}

/// What the caller may not.
pub fn refusal_status(refusal: Refusal) -> Status {
    let details = info(&refusal.reason().to_ascii_uppercase());
    Status::with_error_details(refusal_code(&refusal), refusal.to_string(), details)
}

fn info(reason: &str) -> ErrorDetails {
    ErrorDetails::with_error_info(reason, DOMAIN, [])
}

/// Turned away unread: no permit was free.
pub fn shed_status() -> Status {
    let mut details = info("SHED");
    details.set_retry_info(Some(RETRY_AFTER));
    Status::with_error_details(Code::ResourceExhausted, "the service is busy", details)
}

/// Compressed messages: a picture is compressed already, and a hash can't be. What they are compressed with is said where it is known.
pub fn encoding_status(encoding: &[u8]) -> Status {
    const KNOWN: [&str; 5] = ["gzip", "deflate", "zstd", "snappy", "br"];
    let known = KNOWN.into_iter().find(|name| name.as_bytes() == encoding).unwrap_or("another encoding");
    let message = format!("messages compressed with {known} are not supported: send them uncompressed");
    let mut status = Status::with_error_details(Code::Unimplemented, message, info("COMPRESSED"));
    status.metadata_mut().insert("grpc-accept-encoding", MetadataValue::from_static("identity"));
    status
}

/// A message that can't be read, or has too many parts.
pub fn flaw_status(flaw: Flaw) -> Status {
    Fault::malformed("", flaw.to_string()).into()
}

/// A message that began and did not end in time.
pub fn slow_status(max: Duration) -> Status {
    let message = format!("the message was not complete within {} ms", max.as_millis());
    Status::with_error_details(Code::DeadlineExceeded, message, info("SLOW"))
}

/// A limit on what the caller, or all callers, may have at once.
pub fn over_status(over: Over) -> Status {
    let mut details = info("LIMIT");
    details.set_retry_info(Some(RETRY_AFTER));
    Status::with_error_details(Code::ResourceExhausted, over.to_string(), details)
}

/// An item a second too many.
pub fn quota_status(over: OverQuota) -> Status {
    let mut details = info("QUOTA");
    details.set_retry_info(Some(over.wait + Duration::from_millis(1)));
    Status::with_error_details(Code::ResourceExhausted, over.to_string(), details)
}

/// A client that took no results: some of them are lost to it.
pub fn unread_status() -> Status {
    let message = "no result was read for too long: the call was ended; send items without a result again";
    Status::with_error_details(Code::ResourceExhausted, message, info("UNREAD"))
}

/// An export whose client reads it too slowly.
pub fn slow_export_status() -> Status {
    let message = "the export was read too slowly and was ended: what was received is not all of it";
    Status::with_error_details(Code::Aborted, message, info("UNREAD"))
}

pub fn deadline_status() -> Status {
    Status::deadline_exceeded("the caller's deadline passed")
}

/// A stream that carried no message for too long.
pub fn silent_status(max: Duration) -> Status {
    let message = format!("the stream carried no message for {} s and was ended: open a new one when needed", max.as_secs());
    Status::with_error_details(Code::Aborted, message, info("IDLE"))
}

/// A client that fell silent in the middle of a file.
pub fn idle_status() -> Status {
    Status::with_error_details(
        Code::Aborted,
        "the client sent nothing, or too little, for too long: the import was ended",
        info("IDLE"),
    )
}

/// A file that can't be received, as the disk is full, say. Its words may hold paths: they are for the operator.
pub fn spool_status(error: std::io::Error) -> Status {
    tracing::error!(%error, "the file of an import can't be stored");
    let message = "the server has no room for the file, or can't write; its log says why";
    Status::with_error_details(Code::ResourceExhausted, message, info("SPOOL"))
}

pub fn too_long_status(max: u64) -> Status {
    let message = format!("the file has more than {max} bytes, the limit ([grpc] import_bytes_max)");
    Status::with_error_details(Code::ResourceExhausted, message, info("TOO_LONG"))
}

pub fn stopping_status() -> Status {
    let mut details = info("STOPPING");
    details.set_retry_info(Some(RETRY_AFTER));
    Status::with_error_details(Code::Unavailable, "the service is stopping: send items without a result again", details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_code() {
        let check = |error: CatalogError, expected: Code| {
            let words = error.to_string();
            let status = catalog_status(error);
            assert_eq!((status.code(), status.message()), (expected, words.as_str()));
            assert!(status.get_details_error_info().is_some() || status.get_details_resource_info().is_some(), "{words}");
        };
        check(CatalogError::NoSuchList("a".into()), Code::NotFound);
        check(CatalogError::NoSuchVersion { list: "a".into(), version: 3, why: "the newest is 2".into() }, Code::NotFound);
        check(CatalogError::ListExists("a".into()), Code::AlreadyExists);
        check(CatalogError::Invalid("radius 999".into()), Code::InvalidArgument);
        check(CatalogError::BadFile("the file is empty".into()), Code::InvalidArgument);
        check(CatalogError::Busy, Code::Aborted);
        check(CatalogError::Refused("disabled".into()), Code::FailedPrecondition);
    }

    #[test]
    fn a_fault_names_its_field_in_the_details_and_in_the_words() {
        let status = Status::from(Fault::malformed("item.item_id", "too long"));
        assert_eq!(status.message(), "item.item_id: too long");
        let named = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!((named.len(), named[0].field.as_str(), named[0].description.as_str()), (1, "item.item_id", "too long"));
    }
}
