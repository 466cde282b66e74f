//! `hashwarden token`: who may call the service, in the file that `[access] tokens_file` names.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};

use super::context::{Context, Exit, Failure};
use super::new_file::NewFile;
use super::number::whole;
use super::output::{say, tell};
use super::remarks::{path_text, remark};
use crate::access::tokens::{self, Record, Shown, Time, TokensError, Wanted};
use crate::access::{ITEMS_PER_S_TOP, Rights, Role};

#[derive(Subcommand)]
pub enum TokenVerb {
    /// Make a token and print it: it is not shown again. Or give rights to a client certificate.
    Create {
        /// What the caller is called in logs, limits and the record of changes; letters, digits, '-', '_', '.' and '@'.
        name: String,
        /// Make no token: whoever shows a client certificate of this NAME needs none. NAME is what logs have after `mtls:`, such as
        /// spiffe://example.org/scanner. Once one certificate has rights, those without are refused.
        #[arg(long, conflicts_with = "out")]
        certificate: bool,
        /// What the caller may do: matcher, list-admin, reviewer, auditor or operator; can be repeated.
        #[arg(long = "role", value_name = "ROLE", required = true)]
        roles: Vec<Role>,
        /// Only this list is there for the caller; can be repeated. Without it, all are. The list need not exist yet, so check the spelling.
        #[arg(long = "list", value_name = "NAME")]
        lists: Vec<String>,
        /// Show the caller distances, thresholds, entry ids, views and suppressed matches, from which listed hashes can be found out. A list-admin can
        /// export lists, hashes included.
        #[arg(long)]
        sees: bool,
        /// Let the caller match hashes of its own, not only pictures.
        #[arg(long)]
        brings_hashes: bool,
        /// How many pictures or hash items the caller may have matched in a second, instead of [access] items_per_s_max.
        #[arg(long, value_name = "N", value_parser = whole(1..=ITEMS_PER_S_TOP))]
        items_per_s: Option<u32>,
        /// When the token expires: a duration such as 90d, or a time such as 2027-01-31 (UTC). Without it, never.
        #[arg(long, value_name = "WHEN", value_parser = time)]
        expires: Option<Time>,
        /// Write the token to this new file, which its owner alone can read, instead of standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Show all tokens and their rights, a line each.
    Ls,
    /// Refuse a token from now on. Streams in work end.
    Revoke {
        /// The token's name. No other token can have it, unless this one is pruned.
        name: String,
        /// NAME is a client certificate's.
        #[arg(long)]
        certificate: bool,
    },
    /// Remove tokens that were revoked or have expired. Their names can be used again, and so stand for several tokens in old logs.
    Prune {
        /// Only those that ended so long ago.
        #[arg(long, value_name = "DURATION", default_value = "365d", value_parser = humantime::parse_duration)]
        older_than: Duration,
    },
}

fn time(text: &str) -> Result<Time, String> {
    Time::parse(text, Time::now())
}

pub fn run(context: &Context, verb: TokenVerb) -> Result<Exit, Failure> {
    if context.endpoint().is_some() {
        return Err(Failure::usage("token works on the file that [access] tokens_file names, not through a server"));
    }
    let Some(file) = context.config.access.tokens_file() else {
        return Err(Failure::usage(
            "no file is set for tokens: set [access] tokens_file in the configuration, or HASHWARDEN__ACCESS__TOKENS_FILE",
        ));
    };
    match verb {
        TokenVerb::Create { name, certificate, roles, lists, sees, brings_hashes, items_per_s, expires, out } => {
            let lists = (!lists.is_empty()).then(|| Arc::new(lists.into_iter().collect::<BTreeSet<_>>()));
            let rights = Rights { roles: roles.into_iter().collect(), lists, sees, brings_hashes };
            warn_of(&rights);
            let items_per_s = items_per_s.and_then(NonZeroU32::new);
            let wanted = Wanted { name, rights, items_per_s, expires };
            if certificate { allow(context, file, wanted) } else { create(context, file, wanted, out.as_deref()) }
        }
        TokenVerb::Ls => ls(context, file),
        TokenVerb::Revoke { name, certificate } => {
            let shown = if certificate { Shown::Certificate } else { Shown::Token };
            tokens::revoke(file, shown, &name).map_err(failure)?;
            let told = || format!("revoked {name}; a running server knows within a second");
            tell(context, || json!({ "name": name, "kind": shown.name(), "state": "revoked" }), told)?;
            Ok(Exit::Done)
        }
        TokenVerb::Prune { older_than } => {
            let ms = u64::try_from(older_than.as_millis()).unwrap_or(u64::MAX);
            let pruned = tokens::prune(file, Time(Time::now().0.saturating_sub(ms))).map_err(failure)?;
            for record in &pruned {
                let (name, kind) = (&record.name, record.shown().name());
                tell(context, || json!({ "name": name, "kind": kind, "state": "pruned" }), || format!("pruned {name}"))?;
            }
            if pruned.is_empty() {
                remark("no token was revoked or expired so long ago");
            }
            Ok(Exit::Done)
        }
    }
}

/// Says what of a token's rights is hardly meant.
fn warn_of(rights: &Rights) {
    let has = |role| rights.roles.contains(&role);
    if has(Role::Matcher) && has(Role::ListAdmin) {
        remark(
            "warning: who can both match and change lists, with their radii, can find out listed hashes: better make two tokens",
        );
    }
    let given: Vec<_> = [(rights.sees, "--sees"), (rights.brings_hashes, "--brings-hashes")]
        .into_iter()
        .filter_map(|(is, flag)| is.then_some(flag))
        .collect();
    let words = given.join(" and ");
    match (has(Role::Matcher), has(Role::ListAdmin)) {
        (false, true) if rights.brings_hashes && !rights.sees => remark(format!(
            "warning: {words} has no effect: it is for the role matcher; a list-admin with both --sees and --brings-hashes can compare lists"
        )),
        (false, false) if !given.is_empty() => {
            remark(format!(
                "warning: {words} has no effect without the role matcher, or list-admin for comparing and exporting lists"
            ));
        }
        _ => {}
    }
}

fn failure(error: TokensError) -> Failure {
    match error {
        TokensError::Invalid(why) => Failure::usage(why),
        other => other.into(),
    }
}

/// The token alone goes to standard output, so that it can be sent to a file, or to a file of its own.
fn create(context: &Context, file: &Path, wanted: Wanted, out: Option<&Path>) -> Result<Exit, Failure> {
    let name = wanted.name.clone();
    let out = out.map(NewFile::make).transpose()?;
    let token = tokens::create(file, wanted).map_err(failure)?;
    let known = "a running server knows it within a second";
    match out {
        Some(out) => {
            let path = out.write(&token)?;
            let words = || format!("the token of {name} is in {}; it is kept nowhere else; {known}", path_text(&path));
            tell(context, || json!({ "name": name, "file": path_text(&path) }), words)?;
        }
        None if context.json() => say(json!({ "name": name, "token": token }))?,
        None => {
            remark(format!("this is the token of {name}; it is not kept, and not shown again; {known}"));
            say(token)?;
        }
    }
    Ok(Exit::Done)
}

/// Gives rights to a certificate's name.
fn allow(context: &Context, file: &Path, wanted: Wanted) -> Result<Exit, Failure> {
    let name = wanted.name.clone();
    if tokens::allow(file, wanted).map_err(failure)? {
        remark("from now on callers whose certificate has another name are refused, unless they show a token");
    }
    let words =
        || format!("callers with a client certificate of {name} have these rights; a running server knows within a second");
    tell(context, || json!({ "name": name, "kind": Shown::Certificate.name() }), words)?;
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
        "kind": record.shown().name(),
        "state": state(record, now),
        "roles": record.roles.iter().map(|role| role.name()).collect::<Vec<_>>(),
        "lists": record.lists,
        "sees": record.sees,
        "brings_hashes": record.brings_hashes,
        "items_per_s": record.items_per_s,
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
    let quota = record.items_per_s.map_or_else(String::new, |items| format!("  {items} items/s"));
    let until = match (record.revoked, record.expires) {
        (Some(at), _) => format!("  since {at}"),
        (None, Some(at)) => format!("  until {at}"),
        (None, None) => String::new(),
    };
    let kind = match record.shown() {
        Shown::Token => "",
        Shown::Certificate => "certificate  ",
    };
    format!("{:<24} {:<8} {kind}{roles}  {lists}{flags}{quota}{until}", record.name, state(record, now))
}
