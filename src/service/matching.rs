//! MatchService: one picture, or a stream of them, to verdicts; a file to its hashes.

use std::sync::Arc;

use tokio::sync::oneshot;
use tonic::{Request, Response, Status, Streaming};
use tracing::Span;

use super::asking::Asking;
use super::convert::{self, Fault};
use super::middleware::Deadline;
use super::named::Name;
use super::{Shared, call_metrics, stream};
use crate::entry::Reason;
use crate::matcher::Job;
use crate::proto::v1;
use crate::proto::v1::match_service_server::MatchService;

pub struct Matching(pub Arc<Shared>);

#[tonic::async_trait]
impl MatchService for Matching {
    async fn r#match(&self, request: Request<v1::MatchRequest>) -> Result<Response<v1::MatchResponse>, Status> {
        let shared = &self.0;
        let (asking, until) = (Asking::of(&request, "Match"), Deadline::of(&request).until(&shared.options));
        shared.take_item(&asking.principal).map_err(convert::quota_status)?;
        let item = request.into_inner().item.ok_or_else(|| Fault::malformed("item", "is missing"))?;
        let name = Name::of(&item);
        let item = asking.item(item, "item", &shared.options)?;
        if let Some(n) = shared.list_cache.unknown(&item.lists, &asking).await {
            return Err(Fault::no_such_list(format!("item.lists[{n}]"), &item.lists[n]).into());
        }
        let in_flight = call_metrics::InFlight::new();
        let (send, answer) = oneshot::channel();
        let caller = asking.caller().as_ref().clone();
        let job = Job { content: item.content, lists: asking.asked(item.lists), views: item.views, until, caller };
        Span::current().record("reference", &name.reference);
        name.span(&job.content).in_scope(|| {
            // Nobody waits any more if the deadline passed or the caller went.
            shared.matcher.submit(job, move |answer| drop(send.send((answer, in_flight))));
        });
        let (answer, in_flight) = answer.await.map_err(|_| Fault::lost())?;
        if answer.verdict.reason == Some(Reason::Shed) {
            return Err(convert::shed_status());
        }
        call_metrics::worked(&answer.stages, &answer.effort);
        call_metrics::answered("Match", &answer.verdict);
        shared.note_near(&asking.principal, &answer.probes);
        name.tell(&answer.verdict);
        let ages = shared.list_cache.ages(&answer.verdict).await;
        let result = v1::match_result::Result::Verdict(convert::verdict_for(asking.principal.rights(), answer.verdict, &ages));
        drop(in_flight);
        Ok(Response::new(v1::MatchResponse { result: Some(name.result(result)) }))
    }

    type MatchStreamStream = stream::Replies;

    async fn match_stream(
        &self,
        request: Request<Streaming<v1::MatchStreamRequest>>,
    ) -> Result<Response<Self::MatchStreamStream>, Status> {
        let (asking, deadline) = (Asking::of(&request, "MatchStream"), Deadline::of(&request));
        Ok(Response::new(stream::answer(self.0.clone(), asking, deadline, request.into_inner())?))
    }

    async fn hash(&self, request: Request<v1::HashRequest>) -> Result<Response<v1::HashResponse>, Status> {
        let (asking, until) = (Asking::of(&request, "Hash"), Deadline::of(&request).until(&self.0.options));
        self.0.take_item(&asking.principal).map_err(convert::quota_status)?;
        let in_flight = call_metrics::InFlight::new();
        let (send, hashed) = oneshot::channel();
        let image = request.into_inner().image;
        self.0.matcher.submit_hash(image, until, asking.caller(), move |hashed| drop(send.send((hashed, in_flight))));
        let (hashed, in_flight) = hashed.await.map_err(|_| Fault::lost())?;
        let hashed = hashed.ok_or_else(convert::shed_status)?;
        call_metrics::hashed("Hash", hashed.features.as_ref().err().map(|unscanned| unscanned.reason));
        drop(in_flight);
        Ok(Response::new(convert::hashed(hashed)))
    }
}
