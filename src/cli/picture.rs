//! `hashwarden list add --image`: an entry with the hashes of a picture, which is not kept.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::backend::failure;
use super::context::{Context, Exit, Failure};
use super::output::{Label, edit_json, edit_text, tell, verdict_json, verdict_text};
use super::remarks::path_text;
use super::scan::{FileContent, read_file};
use crate::catalog::{NewEntry, PictureOptions};
use crate::client::AddedPicture;
use crate::entry::Caller;
use crate::entry::shown::unopened;
use crate::matcher::{Content, Job};
use crate::store::Access;
use crate::verdict::{Asked, Outcome};

/// How long the picture may take.
const PICTURE_MAX: Duration = Duration::from_secs(60);

pub fn add(context: &Context, name: &str, path: &Path, options: PictureOptions) -> Result<Exit, Failure> {
    let failed = |why| Failure { exit: Exit::Failed, why };
    let bytes_max = context.config.grpc.image_bytes_max;
    let bytes = match read_file(path, bytes_max).map_err(|error| failed(unopened(&path_text(path), &error)))? {
        FileContent::Whole(bytes) => bytes,
        FileContent::Digests(_) => {
            return Err(failed(format!("{}: more than {bytes_max} bytes ([grpc] image_bytes_max)", path_text(path))));
        }
    };
    let added = match context.endpoint() {
        Some(endpoint) => super::remote::Remote::connect(endpoint, context.credentials()?)?.add_picture(name, bytes, options)?,
        None => add_here(context, name, bytes, options)?,
    };
    let label = Label::file(path);
    let json = || {
        let kinds: BTreeMap<&str, u64> = added.kinds.iter().map(|(kind, n)| (kind.name(), *n)).collect();
        json!({
            "added": added.report.as_ref().map(edit_json), "pdq_quality": added.quality, "kinds": kinds,
            "before": added.verdict.as_ref().map(|verdict| verdict_json(&label, verdict)),
        })
    };
    let text = || {
        let kinds: Vec<_> = added.kinds.keys().map(|kind| kind.name()).collect();
        let quality = added.quality.map_or_else(String::new, |quality| format!(" (PDQ quality {quality})"));
        let hashes = format!("{}{quality}", kinds.join(", "));
        let done = match &added.report {
            Some(report) => format!("{}\n  hashes: {hashes}", edit_text(report)),
            None => format!("nothing was changed; the entry would have {hashes}"),
        };
        match &added.verdict {
            Some(verdict) if verdict.outcome == Outcome::Match => {
                format!("{done}\nmatched before:\n{}", verdict_text(&label, verdict))
            }
            Some(_) => done,
            None => format!("{done}\n  what it matched before is shown to callers with the role matcher"),
        }
    };
    tell(context, json, text)?;
    Ok(Exit::Done)
}

fn add_here(context: &Context, name: &str, image: Vec<u8>, options: PictureOptions) -> Result<AddedPicture, Failure> {
    let (catalog, matcher) = crate::app::matching(&context.dir(), &context.config, Access::Write)?;
    catalog.list(name).map_err(failure)?;
    let (by, until) = (Caller("cli".to_owned()), Instant::now() + PICTURE_MAX);
    let (send, answer) = mpsc::channel();
    let job = Job { content: Content::Image(image.clone()), lists: Asked::All, views: None, until, caller: by.clone() };
    // A closed channel means that nobody waits any more.
    matcher.submit(job, move |answer| drop(send.send(answer)));
    let verdict = answer.recv()?.verdict;
    let (send, hashed) = mpsc::channel();
    matcher.submit_hash(image, until, &by, move |hashed| drop(send.send(hashed)));
    let shed = || Failure { exit: Exit::Failed, why: "the picture was not hashed".to_owned() };
    let hashed = hashed.recv()?.ok_or_else(shed)?;
    let taken =
        catalog.hashes_of_picture(name, &hashed.digests, hashed.features.as_ref(), options.digests_only).map_err(failure)?;
    let mut kinds = BTreeMap::new();
    taken.hashes.iter().for_each(|hash| *kinds.entry(hash.kind()).or_default() += 1);
    let PictureOptions { id, category, details, dry_run, .. } = options;
    let entry = NewEntry { id, category, details, hashes: taken.hashes, ..NewEntry::default() };
    let report = if dry_run { None } else { Some(catalog.add(&by, name, vec![entry]).map_err(failure)?) };
    Ok(AddedPicture { report, quality: taken.quality, kinds, verdict: Some(verdict) })
}
