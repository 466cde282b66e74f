//! `hashwarden token`: who may call the service, in the file that `[access] tokens_file` names.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use clap::Subcommand;
use serde_json::{Value, json};

use super::output::{remark, say, tell};
use super::{Context, Exit, Failure};
use crate::access::tokens::{self, Record, Time, TokensError, Wanted};
use crate::access::{Rights, Role};

#[derive(Subcommand)]
pub enum TokenVerb {
    /// Make a token and print it: it is not shown again.
    Create {
        /// What the caller is called in logs, limits and the record of changes; letters, digits, '-', '_', '.' and '@'.
        name: String,
        /// What the caller may do: matcher, list-admin, reviewer, auditor or operator; can be repeated.
        #[arg(long = "role", value_name = "ROLE", required = true)]
        roles: Vec<Role>,
        /// Only this list is there for the caller; can be repeated. Without it, all are.
        #[arg(long = "list", value_name = "NAME")]
        lists: Vec<String>,
        /// Show the caller distances, thresholds, entry ids, views and suppressed matches, from which listed hashes can be found out.
        #[arg(long)]
        sees: bool,
        /// Let the caller match hashes of its own, not only pictures.
        #[arg(long)]
        brings_hashes: bool,
        /// When the token expires: a duration such as 90d, or a time such as 2027-01-31 (UTC). Without it, never.
        #[arg(long, value_name = "WHEN", value_parser = time)]
        expires: Option<Time>,
    },
    /// Show all tokens and their rights, a line each.
    Ls,
    /// Refuse a token from now on. Streams in work end.
    Revoke {
        /// The token's name.
        name: String,
    },
}

fn time(text: &str) -> Result<Time, String> {
    Time::parse(text, Time::now())
}

pub fn run(context: &Context, verb: TokenVerb) -> Result<Exit, Failure> {
    if context.endpoint().is_some() {
        return Err(Failure::usage("token works on the file that [access] tokens_file names, not through a server"));
    }
    let Some(file) = context.config.tokens_file() else {
        return Err(Failure::usage(
            "no file is set for tokens: set [access] tokens_file in the configuration, or HASHWARDEN__ACCESS__TOKENS_FILE",
        ));
    };
    match verb {
        TokenVerb::Create { name, roles, lists, sees, brings_hashes, expires } => {
            let lists = (!lists.is_empty()).then(|| Arc::new(lists.into_iter().collect::<BTreeSet<_>>()));
            let rights = Rights { roles: roles.into_iter().collect(), lists, sees, brings_hashes };
            create(context, file, Wanted { name, rights, expires })
        }
        TokenVerb::Ls => ls(context, file),
        TokenVerb::Revoke { name } => {
            tokens::revoke(file, &name).map_err(failure)?;
            let told = || format!("revoked {name}; a running server knows within a second");
            tell(context, || json!({ "name": name, "state": "revoked" }), told)?;
            Ok(Exit::Done)
        }
    }
}

fn failure(error: TokensError) -> Failure {
    match error {
        TokensError::Invalid(why) => Failure::usage(why),
        other => other.into(),
    }
}

/// The token alone goes to standard output, so that it can be sent to a file.
fn create(context: &Context, file: &Path, wanted: Wanted) -> Result<Exit, Failure> {
    let name = wanted.name.clone();
    let token = tokens::create(file, wanted).map_err(failure)?;
    if context.json() {
        say(json!({ "name": name, "token": token }))?;
    } else {
        remark(format!("this is the token of {name}; it is not kept, and not shown again"));
        say(token)?;
    }
    Ok(Exit::Done)
}

fn ls(context: &Context, file: &Path) -> Result<Exit, Failure> {
    let (records, _) = tokens::read(file)?;
    let now = Time::now();
    for record in records {
        tell(context, || record_json(&record, now), || record_text(&record, now))?;
    }
    Ok(Exit::Done)
}

fn state(record: &Record, now: Time) -> &'static str {
    match record {
        Record { revoked: Some(_), .. } => "revoked",
        record if record.is_expired(now) => "expired",
        _ => "live",
    }
}

fn record_json(record: &Record, now: Time) -> Value {
    json!({
        "name": record.name,
        "state": state(record, now),
        "roles": record.roles.iter().map(|role| role.name()).collect::<Vec<_>>(),
        "lists": record.lists,
        "sees": record.sees,
        "brings_hashes": record.brings_hashes,
        "created": record.created.to_string(),
        "expires": record.expires.map(|at| at.to_string()),
        "revoked": record.revoked.map(|at| at.to_string()),
    })
}

fn record_text(record: &Record, now: Time) -> String {
    let roles = record.roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(",");
    let lists = record.lists.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(",");
    let lists = if lists.is_empty() { "all lists".to_owned() } else { format!("lists {lists}") };
    let flags = [(record.sees, "  sees"), (record.brings_hashes, "  brings hashes")];
    let flags: String = flags.into_iter().filter(|(is, _)| *is).map(|(_, words)| words).collect();
    let until = match (record.revoked, record.expires) {
        (Some(at), _) => format!("  since {at}"),
        (None, Some(at)) => format!("  until {at}"),
        (None, None) => String::new(),
    };
    format!("{:<24} {:<8} {roles}  {lists}{flags}{until}", record.name, state(record, now))
}
