//! HashListService: each call is one call of the catalog, on a thread that may block.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tonic::{Request, Response, Status, Streaming};

use super::asking::Asking;
use super::convert::{self, Fault};
use super::export::{self, Export};
use super::import::{self, Import};
use super::middleware::{Deadline, Working};
use super::picture;
use super::{Shared, sources, told};
use crate::access::Role;
use crate::admission::Budget;
use crate::catalog::{Catalog, CatalogError, FetchOptions, ListInfo, NewEntry, PolicyUpdate};
use crate::entry::{VersionNo, check_list_name};
use crate::proto::v1;
use crate::proto::v1::hash_list_service_server::HashListService;

/// Versions in one reply.
const PAGE_MAX: usize = 1000;

pub struct Lists(pub Arc<Shared>);

impl Lists {
    /// Runs a call of the catalog when one of `list_calls_max` places is free.
    async fn call<T: Send + 'static>(
        &self,
        asking: &Asking,
        call: impl FnOnce(&Catalog) -> Result<T, CatalogError> + Send + 'static,
    ) -> Result<T, Status> {
        self.call_in(&self.0.list_calls, asking, call).await
    }

    async fn call_in<T: Send + 'static>(
        &self,
        places: &Arc<Budget>,
        asking: &Asking,
        call: impl FnOnce(&Catalog) -> Result<T, CatalogError> + Send + 'static,
    ) -> Result<T, Status> {
        self.call_with(places, asking, call).await?.map_err(|error| asking.status(error))
    }

    /// Whether who asks may change the list; the catalog is asked only where not all lists are theirs.
    async fn may_change(&self, places: &Arc<Budget>, asking: &Asking, name: &str) -> Result<(), Status> {
        if asking.has_all_lists() {
            return Ok(());
        }
        let name = name.to_owned();
        let info = self.call_in(places, asking, move |catalog| catalog.list(&name)).await?;
        asking.may_change(&info.list)
    }

    /// The same with what the catalog says as it says it.
    async fn call_with<T: Send + 'static>(
        &self,
        places: &Arc<Budget>,
        asking: &Asking,
        call: impl FnOnce(&Catalog) -> T + Send + 'static,
    ) -> Result<T, Status> {
        let place = places.take(asking.caller(), 1).await;
        let (catalog, span) = (self.0.catalog.clone(), tracing::Span::current());
        let done = tokio::task::spawn_blocking(move || {
            let (_place, _in) = (place, span.entered());
            call(&catalog)
        });
        Ok(done.await.map_err(|_| Fault::lost())?)
    }
}

/// Names the list in the call's span, so that whatever is logged of the call says which list it is about. What can't be a name is left out.
fn log_list(name: &str) {
    if check_list_name(name).is_ok() {
        tracing::Span::current().record("list", name);
    }
}

/// Says that nobody waits any more.
struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tonic::async_trait]
impl HashListService for Lists {
    async fn create_hash_list(
        &self,
        request: Request<v1::CreateHashListRequest>,
    ) -> Result<Response<v1::CreateHashListResponse>, Status> {
        let asking = Asking::of(&request, "CreateHashList");
        let by = asking.caller().clone();
        let v1::CreateHashListRequest { name, polarity, policy } = request.into_inner();
        convert::list_name(&name, "name")?;
        log_list(&name);
        let (polarity, update) = (convert::polarity(polarity)?, convert::policy_update(policy)?);
        asking.may_create(&name, polarity, &update)?;
        let update = asking.policy(update)?;
        let info = self.call(&asking, move |catalog| catalog.create(&by, &name, polarity, &update)).await?;
        Ok(Response::new(v1::CreateHashListResponse { list: Some(convert::hash_list(asking.shown(info))) }))
    }

    async fn get_hash_list(&self, request: Request<v1::GetHashListRequest>) -> Result<Response<v1::GetHashListResponse>, Status> {
        let asking = Asking::of(&request, "GetHashList");
        let name = request.into_inner().name;
        log_list(&name);
        let name = asking.list(name);
        let info = self.call(&asking, move |catalog| catalog.list(&name)).await?;
        Ok(Response::new(v1::GetHashListResponse { list: Some(convert::hash_list(asking.shown(info))) }))
    }

    async fn list_hash_lists(
        &self,
        request: Request<v1::ListHashListsRequest>,
    ) -> Result<Response<v1::ListHashListsResponse>, Status> {
        let asking = Asking::of(&request, "ListHashLists");
        let lists = self.call(&asking, Catalog::lists).await?;
        let there = lists.into_iter().filter(|info| asking.principal.rights().has_list(&info.list.name));
        let lists = there.map(|info| convert::hash_list(asking.shown(info))).collect();
        Ok(Response::new(v1::ListHashListsResponse { lists }))
    }

    async fn update_hash_list(
        &self,
        request: Request<v1::UpdateHashListRequest>,
    ) -> Result<Response<v1::UpdateHashListResponse>, Status> {
        let asking = Asking::of(&request, "UpdateHashList");
        let by = asking.caller().clone();
        let v1::UpdateHashListRequest { name, policy, disabled } = request.into_inner();
        log_list(&name);
        let update = asking.policy(convert::policy_update(policy)?)?;
        let name = asking.list(name);
        self.may_change(&self.0.policy_calls, &asking, &name).await?;
        // Places of their own: long calls may have taken all the others.
        let info = self.call_in(&self.0.policy_calls, &asking, move |catalog| {
            let warnings = match update == PolicyUpdate::default() {
                true => Vec::new(),
                false => catalog.set(&by, &name, &update)?.warnings,
            };
            let info = match disabled {
                Some(disabled) => catalog.set_disabled(&by, &name, disabled)?,
                None => catalog.list(&name)?,
            };
            Ok(ListInfo { warnings, ..info })
        });
        Ok(Response::new(v1::UpdateHashListResponse { list: Some(convert::hash_list(asking.shown(info.await?))) }))
    }

    async fn delete_hash_list(
        &self,
        request: Request<v1::DeleteHashListRequest>,
    ) -> Result<Response<v1::DeleteHashListResponse>, Status> {
        let asking = Asking::of(&request, "DeleteHashList");
        let by = asking.caller().clone();
        let name = request.into_inner().name;
        log_list(&name);
        let name = asking.list(name);
        self.may_change(&self.0.list_calls, &asking, &name).await?;
        let deleted = self.call_with(&self.0.list_calls, &asking, move |catalog| catalog.delete(&by, &name)).await?;
        deleted.map_err(|error| asking.status(asking.undeleted(error)))?;
        Ok(Response::new(v1::DeleteHashListResponse {}))
    }

    type ImportEntriesStream = import::Replies;

    async fn import_entries(
        &self,
        request: Request<Streaming<v1::ImportEntriesRequest>>,
    ) -> Result<Response<Self::ImportEntriesStream>, Status> {
        let asking = Asking::of(&request, "ImportEntries");
        let deadline = Deadline::of(&request);
        let working = Working::of(&request);
        let mut input = request.into_inner();
        let (name, options) = import::header(&mut input, &self.0.options).await?;
        log_list(&name);
        // Before the reply begins, so that an unknown list is the call's status.
        let asked = asking.list(name.clone());
        self.may_change(&self.0.list_calls, &asking, &asked).await?;
        let began = self.call(&asking, move |catalog| catalog.begin_import(&asked)).await?;
        let receiving = self.0.imports.demand(asking.caller(), 1).map_err(convert::over_status)?;
        let import = Import { shared: self.0.clone(), by: asking, list: name, began, options, deadline };
        Ok(Response::new(import.run(input, receiving, working)))
    }

    async fn add_entries(&self, request: Request<v1::AddEntriesRequest>) -> Result<Response<v1::AddEntriesResponse>, Status> {
        let asking = Asking::of(&request, "AddEntries");
        let by = asking.caller().clone();
        let v1::AddEntriesRequest { list, entries } = request.into_inner();
        log_list(&list);
        let entries = convert::new_entries(entries, &self.0.options)?;
        let list = asking.list(list);
        self.may_change(&self.0.list_calls, &asking, &list).await?;
        let report = self.call(&asking, move |catalog| catalog.add(&by, &list, entries)).await?;
        Ok(Response::new(v1::AddEntriesResponse { report: Some(convert::edit_report(report)) }))
    }

    async fn add_picture(&self, request: Request<v1::AddPictureRequest>) -> Result<Response<v1::AddPictureResponse>, Status> {
        let (asking, deadline) = (Asking::of(&request, "AddPicture"), Deadline::of(&request));
        self.0.take_item(&asking.principal).map_err(convert::quota_status)?;
        let v1::AddPictureRequest { list, image, id, category, details, digests_only, dry_run } = request.into_inner();
        log_list(&list);
        let entry = convert::picture_entry(id, category, details)?;
        if image.is_empty() {
            return Err(Fault::malformed("image", "is empty").into());
        }
        let (list, by) = (asking.list(list), asking.caller().clone());
        self.may_change(&self.0.list_calls, &asking, &list).await?;
        let (verdict, hashed) = picture::scan(&self.0, &asking, image, deadline.until(&self.0.options)).await?;
        let add = move |catalog: &Catalog| {
            let taken = catalog.hashes_of_picture(&list, &hashed.digests, hashed.features.as_ref(), digests_only)?;
            let entry = NewEntry { hashes: taken.hashes.clone(), ..entry };
            let report = if dry_run { None } else { Some(catalog.add(&by, &list, vec![entry])?) };
            Ok((taken, report))
        };
        let (taken, report) = self.call(&asking, add).await?;
        let ages = self.0.list_cache.ages(&verdict).await;
        let rights = asking.principal.rights();
        // Who may not match pictures is not told what this one matches.
        let verdict = rights.roles.contains(&Role::Matcher).then(|| convert::verdict_for(rights, verdict, &ages));
        Ok(Response::new(convert::added_picture(taken, report, verdict)))
    }

    async fn remove_entries(
        &self,
        request: Request<v1::RemoveEntriesRequest>,
    ) -> Result<Response<v1::RemoveEntriesResponse>, Status> {
        let asking = Asking::of(&request, "RemoveEntries");
        let by = asking.caller().clone();
        let v1::RemoveEntriesRequest { list, ids } = request.into_inner();
        log_list(&list);
        let ids = convert::entry_ids(ids, &self.0.options)?;
        let list = asking.list(list);
        self.may_change(&self.0.list_calls, &asking, &list).await?;
        let report = self.call(&asking, move |catalog| catalog.remove(&by, &list, ids)).await?;
        Ok(Response::new(v1::RemoveEntriesResponse { report: Some(convert::edit_report(report)) }))
    }

    async fn get_entry(&self, request: Request<v1::GetEntryRequest>) -> Result<Response<v1::GetEntryResponse>, Status> {
        let asking = Asking::of(&request, "GetEntry");
        let (list, id, with_hashes) = convert::get_entry(request.into_inner())?;
        log_list(&list);
        if with_hashes {
            asking.may_see_hashes(&list)?;
        }
        let list = asking.list(list);
        let entry = self.call(&asking, move |catalog| catalog.entry(&list, &id, with_hashes)).await?;
        Ok(Response::new(v1::GetEntryResponse { entry: Some(convert::entry(entry)) }))
    }

    async fn find_entries(&self, request: Request<v1::FindEntriesRequest>) -> Result<Response<v1::FindEntriesResponse>, Status> {
        let asking = Asking::of(&request, "FindEntries");
        let (list, query, after, most) = convert::find_entries(request.into_inner())?;
        log_list(&list);
        asking.tell_sought(&list);
        let list = asking.list(list);
        let found = self.call(&asking, move |catalog| catalog.find_entries(&list, &query, after, most)).await?;
        Ok(Response::new(convert::found_entries(found)))
    }

    async fn match_as_of(&self, request: Request<v1::MatchAsOfRequest>) -> Result<Response<v1::MatchAsOfResponse>, Status> {
        let asking = Asking::of(&request, "MatchAsOf");
        let (list, moment, hash) = convert::match_as_of(request.into_inner())?;
        log_list(&list);
        asking.tell_sought(&list);
        let list = asking.list(list);
        let report = self.call(&asking, move |catalog| catalog.as_of(&list, moment, &hash)).await?;
        Ok(Response::new(convert::past_report(report)))
    }

    async fn set_entry_mark(
        &self,
        request: Request<v1::SetEntryMarkRequest>,
    ) -> Result<Response<v1::SetEntryMarkResponse>, Status> {
        let asking = Asking::of(&request, "SetEntryMark");
        let by = asking.caller().clone();
        let (list, id, mark) = convert::set_entry_mark(request.into_inner())?;
        log_list(&list);
        let list = asking.list(list);
        // An entry that does harm is taken out at once, as a list is.
        self.may_change(&self.0.policy_calls, &asking, &list).await?;
        self.call_in(&self.0.policy_calls, &asking, move |catalog| catalog.set_mark(&by, &list, &id, mark)).await?;
        Ok(Response::new(v1::SetEntryMarkResponse {}))
    }

    async fn list_hash_list_versions(
        &self,
        request: Request<v1::ListHashListVersionsRequest>,
    ) -> Result<Response<v1::ListHashListVersionsResponse>, Status> {
        let asking = Asking::of(&request, "ListHashListVersions");
        let v1::ListHashListVersionsRequest { list, page_size, page_token } = request.into_inner();
        log_list(&list);
        let size = match page_size as usize {
            0 => PAGE_MAX,
            size => size.min(PAGE_MAX),
        };
        // The number of the page's first version.
        let from = match page_token.as_str() {
            "" => 0,
            token => token.parse::<u32>().map_err(|_| Fault::malformed("page_token", "is not a token of an earlier page"))?,
        };
        let list = asking.list(list);
        let mut versions = self.call(&asking, move |catalog| catalog.versions(&list)).await?;
        versions.sort_unstable_by_key(|v| v.version);
        let mut rest = versions.into_iter().filter(|v| v.version.0 >= from);
        let versions = rest.by_ref().take(size).map(convert::version).collect();
        let next_page_token = rest.next().map(|v| v.version.0.to_string()).unwrap_or_default();
        Ok(Response::new(v1::ListHashListVersionsResponse { versions, next_page_token }))
    }

    async fn diff_versions(
        &self,
        request: Request<v1::DiffVersionsRequest>,
    ) -> Result<Response<v1::DiffVersionsResponse>, Status> {
        let asking = Asking::of(&request, "DiffVersions");
        let v1::DiffVersionsRequest { list, from_version, to_version } = request.into_inner();
        log_list(&list);
        let list = asking.list(list);
        let report =
            self.call(&asking, move |catalog| catalog.diff(&list, VersionNo(from_version), VersionNo(to_version))).await?;
        Ok(Response::new(convert::diff_report(report)))
    }

    async fn overlap_lists(
        &self,
        request: Request<v1::OverlapListsRequest>,
    ) -> Result<Response<v1::OverlapListsResponse>, Status> {
        let asking = Asking::of(&request, "OverlapLists");
        let (list, other, kind, radius) = convert::overlap(request.into_inner())?;
        log_list(&list);
        asking.tell_compared(&list, &other, kind, radius);
        let (list, other) = (asking.list(list), asking.list(other));
        // Where the caller goes, this future is dropped, and the comparison ends soon.
        let gone = Arc::new(AtomicBool::new(false));
        let going = SetOnDrop(gone.clone());
        let overlap = move |catalog: &Catalog| catalog.overlap(&list, &other, kind, radius, &|| gone.load(Ordering::Relaxed));
        let report = tokio::select! {
            report = self.call_in(&self.0.overlap_calls, &asking, overlap) => report?,
            // It may take long, changes nothing and can be asked for again: nobody waits for it to end.
            () = told(self.0.draining.clone()) => return Err(convert::stopping_status()),
        };
        drop(going);
        Ok(Response::new(v1::OverlapListsResponse { report: Some(convert::overlap_report(report)) }))
    }

    async fn activate_version(
        &self,
        request: Request<v1::ActivateVersionRequest>,
    ) -> Result<Response<v1::ActivateVersionResponse>, Status> {
        let asking = Asking::of(&request, "ActivateVersion");
        let by = asking.caller().clone();
        let v1::ActivateVersionRequest { list, version } = request.into_inner();
        log_list(&list);
        let list = asking.list(list);
        self.may_change(&self.0.list_calls, &asking, &list).await?;
        let info = self.call(&asking, move |catalog| catalog.activate(&by, &list, VersionNo(version))).await?;
        Ok(Response::new(v1::ActivateVersionResponse { list: Some(convert::hash_list(asking.shown(info))) }))
    }

    async fn roll_back_version(
        &self,
        request: Request<v1::RollBackVersionRequest>,
    ) -> Result<Response<v1::RollBackVersionResponse>, Status> {
        let asking = Asking::of(&request, "RollBackVersion");
        let by = asking.caller().clone();
        let list = request.into_inner().list;
        log_list(&list);
        let list = asking.list(list);
        self.may_change(&self.0.list_calls, &asking, &list).await?;
        let info = self.call(&asking, move |catalog| catalog.roll_back(&by, &list)).await?;
        Ok(Response::new(v1::RollBackVersionResponse { list: Some(convert::hash_list(asking.shown(info))) }))
    }

    type ExportEntriesStream = export::Replies;

    async fn export_entries(
        &self,
        request: Request<v1::ExportEntriesRequest>,
    ) -> Result<Response<Self::ExportEntriesStream>, Status> {
        let asking = Asking::of(&request, "ExportEntries");
        let (deadline, working) = (Deadline::of(&request), Working::of(&request));
        let (list, options) = convert::export(request.into_inner())?;
        log_list(&list);
        let list = asking.list(list);
        let place = self.0.exports.demand(asking.caller(), 1).map_err(convert::over_status)?;
        let export = Export { shared: self.0.clone(), by: asking, list, options, deadline };
        Ok(Response::new(export.run(place, working)))
    }

    async fn set_source(&self, request: Request<v1::SetSourceRequest>) -> Result<Response<v1::SetSourceResponse>, Status> {
        let asking = Asking::of(&request, "SetSource");
        let by = asking.caller().clone();
        let (list, source, feed) = convert::set_source(request.into_inner())?;
        log_list(&list);
        let list = asking.list(list);
        self.may_change(&self.0.list_calls, &asking, &list).await?;
        let shared = self.0.clone();
        let info = self.call(&asking, move |_| shared.fetch.set(&by, &list, &source, feed)).await?;
        Ok(Response::new(v1::SetSourceResponse { source: Some(convert::source(info)) }))
    }

    async fn list_sources(&self, request: Request<v1::ListSourcesRequest>) -> Result<Response<v1::ListSourcesResponse>, Status> {
        let asking = Asking::of(&request, "ListSources");
        let list = request.into_inner().list;
        log_list(&list);
        let list = asking.list(list);
        let sources = self.call(&asking, move |catalog| catalog.sources(&list)).await?;
        Ok(Response::new(v1::ListSourcesResponse { sources: sources.into_iter().map(convert::source).collect() }))
    }

    async fn unset_source(&self, request: Request<v1::UnsetSourceRequest>) -> Result<Response<v1::UnsetSourceResponse>, Status> {
        let asking = Asking::of(&request, "UnsetSource");
        let by = asking.caller().clone();
        let v1::UnsetSourceRequest { list, source } = request.into_inner();
        log_list(&list);
        let list = asking.list(list);
        self.may_change(&self.0.list_calls, &asking, &list).await?;
        self.call(&asking, move |catalog| catalog.unset_source(&by, &list, &source)).await?;
        Ok(Response::new(v1::UnsetSourceResponse {}))
    }

    type FetchSourceStream = sources::Replies;

    async fn fetch_source(&self, request: Request<v1::FetchSourceRequest>) -> Result<Response<Self::FetchSourceStream>, Status> {
        let asking = Asking::of(&request, "FetchSource");
        let working = Working::of(&request);
        let v1::FetchSourceRequest { list, source, accept, again } = request.into_inner();
        log_list(&list);
        // Before the reply begins, so that an unknown list or source is the call's status.
        let asked = asking.list(list);
        self.may_change(&self.0.list_calls, &asking, &asked).await?;
        let (name, of) = (asked.clone(), source.clone());
        self.call(&asking, move |catalog| catalog.source(&name, &of)).await?;
        let place = self.0.imports.demand(asking.caller(), 1).map_err(convert::over_status)?;
        let fetch = sources::Fetching {
            shared: self.0.clone(),
            by: asking.caller().clone(),
            list: asked,
            source,
            options: FetchOptions { accept, again },
        };
        Ok(Response::new(fetch.run(place, working)))
    }

    async fn send_feedback(
        &self,
        request: Request<v1::SendFeedbackRequest>,
    ) -> Result<Response<v1::SendFeedbackResponse>, Status> {
        let asking = Asking::of(&request, "SendFeedback");
        let (list, source, feedback) = convert::feedback(request.into_inner())?;
        log_list(&list);
        let list = asking.list(list);
        // It waits for the source, so it takes none of the places of calls that don't.
        let place = self.0.imports.demand(asking.caller(), 1).map_err(convert::over_status)?;
        let (shared, by, span) = (self.0.clone(), asking.caller().clone(), tracing::Span::current());
        let sent = tokio::task::spawn_blocking(move || {
            let (_place, _in) = (place, span.entered());
            shared.fetch.feedback(&by, &list, &source, &feedback)
        });
        let report = sent.await.map_err(|_| Fault::lost())?.map_err(|error| asking.status(error))?;
        Ok(Response::new(v1::SendFeedbackResponse { reason: report.reason }))
    }
}
