//! `hashwarden store`: the embedded store itself.

use clap::Subcommand;
use serde_json::json;

use super::output::say;
use super::{Context, Exit, Failure};
use crate::store::Access;

#[derive(Subcommand)]
pub enum StoreVerb {
    /// Check the store against itself: the chain of changes, every version, every derived row.
    Verify,
}

pub fn run(context: &Context, verb: StoreVerb) -> Result<Exit, Failure> {
    if context.endpoint().is_some() {
        return Err(Failure::usage("store works on the embedded store: name it with --store"));
    }
    match verb {
        StoreVerb::Verify => verify(context),
    }
}

fn verify(context: &Context) -> Result<Exit, Failure> {
    let dir = context.dir();
    if !dir.exists() {
        return Err(Failure { exit: Exit::Failed, why: format!("there is no store in {}", dir.display()) });
    }
    let catalog = crate::app::lists(&dir, &context.config, Access::Read)?;
    let report = catalog.verify(&mut |_, _| {})?;
    if context.json() {
        say(json!({
            "changes": report.changes, "lists": report.lists, "versions": report.versions, "rows": report.rows,
            "problems": report.problems,
        }))?;
    } else {
        let sound = if report.problems.is_empty() { "sound" } else { "damaged" };
        let counts =
            format!("{} changes, {} lists, {} versions, {} rows", report.changes, report.lists, report.versions, report.rows);
        say(format!("{sound}: {counts}"))?;
        report.problems.iter().try_for_each(|problem| say(format!("problem: {problem}")))?;
    }
    if report.problems.is_empty() {
        return Ok(Exit::Done);
    }
    Err(Failure { exit: Exit::Failed, why: format!("the store has {} problems", report.problems.len()) })
}
