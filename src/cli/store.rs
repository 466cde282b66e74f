//! `hashwarden store`: the embedded store itself.

use clap::Subcommand;
use serde_json::json;

use super::context::{Context, Exit, Failure};
use super::output::say;
use crate::entry::shown::counted;
use crate::store::Access;

#[derive(Subcommand)]
pub enum StoreVerb {
    /// Verify the store: the chain of changes, every version, every derived row.
    Verify,
    /// Rewrite the store's files without deleted data: deleted lists and versions that are no longer kept.
    Compact,
    /// Accept a damaged store as it is: continue without the acknowledged changes that are missing from it.
    Accept {
        /// Do it. Without this option the verb only says what it would do.
        #[arg(long)]
        yes: bool,
    },
}

pub fn run(context: &Context, verb: StoreVerb) -> Result<Exit, Failure> {
    if context.endpoint().is_some() {
        return Err(Failure::usage("store works on the embedded store: name it with --store"));
    }
    if !context.dir().exists() {
        return Err(Failure { exit: Exit::Failed, why: format!("there is no store in {}", context.dir().display()) });
    }
    match verb {
        StoreVerb::Verify => verify(context),
        StoreVerb::Compact => compact(context),
        StoreVerb::Accept { yes: false } => Err(Failure::usage(
            "accept gives up acknowledged changes that are missing from the store, for good; restoring a backup is better. \
             To do it, say --yes",
        )),
        StoreVerb::Accept { yes: true } => accept(context),
    }
}

fn compact(context: &Context) -> Result<Exit, Failure> {
    let compacted = crate::app::compact(&context.dir(), &context.config, &mut |_| ())?;
    let (before, after) = (compacted.bytes_before, compacted.bytes_after);
    if context.json() {
        say(json!({ "bytes_before": before, "bytes_after": after }))?;
    } else {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        say(format!("compacted: {:.1} MiB before, {:.1} MiB now", mib(before), mib(after)))?;
    }
    Ok(Exit::Done)
}

fn accept(context: &Context) -> Result<Exit, Failure> {
    let accepted = crate::app::accept(&context.dir())?;
    if context.json() {
        say(json!({ "change": accepted.seq, "acknowledged": accepted.acknowledged }))?;
    } else {
        let acknowledged = match accepted.acknowledged {
            Some(seq) if seq == accepted.seq + 1 => format!("; change {seq} is dropped"),
            Some(seq) if seq > accepted.seq => format!("; changes {} to {seq} are dropped", accepted.seq + 1),
            Some(_) => "; none is dropped".to_owned(),
            None => "; the number of acknowledged changes is unknown".to_owned(),
        };
        say(format!("accepted: the last change is {}{acknowledged}", accepted.seq))?;
    }
    Ok(Exit::Done)
}

fn verify(context: &Context) -> Result<Exit, Failure> {
    let catalog = crate::app::lists(&context.dir(), &context.config, Access::Read)?;
    let report = catalog.verify(&mut |_, _| {})?;
    if context.json() {
        say(json!({
            "changes": report.changes, "lists": report.lists, "versions": report.versions, "rows": report.rows,
            "problems": report.problems,
        }))?;
    } else {
        let sound = if report.problems.is_empty() { "sound" } else { "damaged" };
        let counts = [
            counted(report.changes, "change", "changes"),
            counted(report.lists, "list", "lists"),
            counted(report.versions, "version", "versions"),
            counted(report.rows, "row", "rows"),
        ];
        say(format!("{sound}: {}", counts.join(", ")))?;
        report.problems.iter().try_for_each(|problem| say(format!("problem: {problem}")))?;
    }
    if report.problems.is_empty() {
        return Ok(Exit::Done);
    }
    Err(Failure {
        exit: Exit::Failed,
        why: format!("the store has {}", counted(report.problems.len() as u64, "problem", "problems")),
    })
}
