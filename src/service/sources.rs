//! FetchSource: a source fetched because somebody asks, progress back.
//!
//! A fetch that has begun runs to its end, or to the server's, whether or not its caller still listens: what it brought is not fetched twice. It holds
//! one of the places of imports, as it will be one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{Instrument, Span};

use super::convert::{self, Fault};
use super::middleware::Working;
use super::{Shared, replies};
use crate::admission::Share;
use crate::catalog::{FetchOptions, FetchProgress, FetchWait, Phase};
use crate::entry::Caller;
use crate::proto::v1;
use v1::fetch_source_response::Part;

/// Replies that wait for the transport; progress that finds them full is dropped.
const REPLIES_WAITING_MAX: usize = 8;
/// A client hears of progress no more often than this.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// What a fetch does, or waits for.
type Doing = (Option<Phase>, Option<FetchWait>);

pub type Replies = replies::Output<v1::FetchSourceResponse, ()>;

/// A fetch that its caller may ask for.
pub struct Fetching {
    pub shared: Arc<Shared>,
    pub by: Arc<Caller>,
    pub list: String,
    pub source: String,
    pub options: FetchOptions,
}

impl Fetching {
    pub fn run(self, place: Share, working: Working) -> Replies {
        let unread_max = Duration::from_millis(self.shared.options.unread_ms_max);
        let (replies, output) = replies::channel(REPLIES_WAITING_MAX, unread_max);
        let replies = Arc::new(replies);
        let work = async move {
            let _held = (place, working);
            let (told, span) = (replies.clone(), Span::current());
            let fetched = tokio::task::spawn_blocking(move || {
                let _in = span.entered();
                let mut last: Option<(Instant, Doing)> = None;
                let Fetching { shared, by, list, source, options } = self;
                shared.fetch.fetch(&by, &list, &source, options, &mut |progress: FetchProgress| {
                    let (now, doing) = (Instant::now(), (progress.importing.map(|(phase, _)| phase), progress.waits));
                    // The first of each phase is always told.
                    if last.is_none_or(|(at, was)| was != doing || now.duration_since(at) >= PROGRESS_EVERY) {
                        last = Some((now, doing));
                        told.try_send(reply(Part::Progress(convert::fetch_progress(progress))), ());
                    }
                    !told.is_closed()
                })
            });
            match fetched.await {
                Ok(Ok(report)) => {
                    // The client may be gone, or not read: then the call does not end in OK.
                    if replies.send(reply(Part::Report(convert::fetch_report(report))), ()).await.is_ok() {
                        replies.end(Ok(()));
                    }
                }
                Ok(Err(error)) => replies.end(Err(convert::catalog_status(error))),
                Err(_) => replies.end(Err(Fault::lost().into())),
            }
        };
        tokio::spawn(work.in_current_span());
        output
    }
}

fn reply(part: Part) -> v1::FetchSourceResponse {
    v1::FetchSourceResponse { part: Some(part) }
}
