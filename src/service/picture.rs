//! A picture that is added to a list is scanned as one that is matched: what the service says of it, and its hashes.

use std::time::Instant;

use tokio::sync::oneshot;
use tonic::Status;

use super::Shared;
use super::asking::Asking;
use super::convert::{self, Fault};
use crate::entry::Reason;
use crate::matcher::{Content, Hashed, Job};
use crate::verdict::Verdict;

pub async fn scan(shared: &Shared, asking: &Asking, image: Vec<u8>, until: Instant) -> Result<(Verdict, Hashed), Status> {
    let (send, answer) = oneshot::channel();
    let caller = asking.caller().as_ref().clone();
    let job = Job { content: Content::Image(image.clone()), lists: asking.asked(Vec::new()), views: None, until, caller };
    // Nobody waits any more if the deadline passed or the caller went.
    shared.matcher.submit(job, move |answer| drop(send.send(answer)));
    let answer = answer.await.map_err(|_| Fault::lost())?;
    if answer.verdict.reason == Some(Reason::Shed) {
        return Err(convert::shed_status());
    }
    shared.note_near(&asking.principal, &answer.probes);
    let (send, hashed) = oneshot::channel();
    shared.matcher.submit_hash(image, until, asking.caller(), move |hashed| drop(send.send(hashed)));
    let hashed = hashed.await.map_err(|_| Fault::lost())?.ok_or_else(convert::shed_status)?;
    Ok((answer.verdict, hashed))
}
