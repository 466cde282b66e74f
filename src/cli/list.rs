//! `hashwarden list`: lists, their policies, their versions.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::backend::lists;
use super::calls::Lists;
use super::context::{Context, Exit, Failure};
use super::entries::{self, AsOfArgs, CapArgs, DisableArgs, EntryArgs, FindArgs, NoteArgs};
use super::export::{self, BundleKeyArgs, ExportArgs};
use super::hashes::HashArgs;
use super::import::{ImportArgs, import};
use super::number::whole;
use super::output::{
    diff_json, diff_text, edit_json, edit_text, list_json, list_line, list_text, overlap_json, overlap_text, tell, version_json,
    version_text,
};
use super::picture;
use super::remarks::remark;
use super::report::{ReportArgs, report};
use super::simulate::{SimulateArgs, simulate};
use super::sources::{self, SourceVerb};
use crate::catalog::{ActionRule, EditReport, ListInfo, NewEntry, PictureOptions, PolicyUpdate, RadiusRule};
use crate::entry::shown::{counted, escaped, without_hashes};
use crate::entry::{Action, Details, HashKind, PdqDialect, Polarity, Transform, Transforms, VersionNo, ViewKind, ViewRule};
use crate::store::Access;

#[derive(Subcommand)]
pub enum ListVerb {
    /// Create an empty list.
    Create {
        /// The list's name: letters, digits, '-', '_' and '.'.
        name: String,
        /// Make it a list of harmless pictures, whose matches suppress those of other lists.
        #[arg(long)]
        negative: bool,
        #[command(flatten)]
        policy: PolicyArgs,
    },
    /// Change a list's policy; options that are not given stay as they are.
    Set {
        /// The list.
        name: String,
        #[command(flatten)]
        policy: PolicyArgs,
    },
    /// Show all lists, one line each.
    Ls,
    /// Show a list and its policy.
    Show {
        /// The list.
        name: String,
    },
    /// Make a disabled list, or a disabled entry of it, match again.
    Enable {
        /// The list.
        name: String,
        /// Enable this entry alone.
        #[arg(long, value_name = "ID")]
        entry: Option<String>,
    },
    /// Stop a list, or one entry of it, from matching; it keeps its entries.
    Disable(DisableArgs),
    /// Show one entry: its status, where it comes from, what its source says of it.
    Entry(EntryArgs),
    /// Find entries by a hash or by their ids; exits with 3 if there is none.
    Find(FindArgs),
    /// Write a note on an entry, which stays whatever is imported.
    Note(NoteArgs),
    /// Bound the action that an entry's matches ask for, except those by digest.
    Cap(CapArgs),
    /// Delete a list for good, with its policy and all versions of its entries.
    Delete {
        /// The list.
        name: String,
        /// Delete without asking.
        #[arg(long)]
        yes: bool,
    },
    /// Bring a file's entries into a list as a new version: all of a source's entries, or with --delta what changed.
    Import(ImportArgs),
    /// Write a version of a list, with its hashes, to a file or to standard output.
    Export(ExportArgs),
    /// Make a key that bundles are signed with; its public key is printed.
    BundleKey(BundleKeyArgs),
    /// Fetch sources of a list from their owners, by themselves or now.
    #[command(subcommand)]
    Source(SourceVerb),
    /// Add an entry with the given hashes or those of a picture, or replace the one with the same id.
    Add {
        /// The list.
        name: String,
        /// The entry's id in the list; by default one is derived from the hashes.
        #[arg(long)]
        id: Option<String>,
        /// The list's own category for the entry.
        #[arg(long, default_value = "", hide_default_value = true)]
        category: String,
        /// A tag, for people to read. Can be repeated.
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
        /// A note, for people to read.
        #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
        note: String,
        #[command(flatten)]
        hashes: HashArgs,
        /// Take the hashes from this picture: its digests, and PDQ. The picture is not kept. Shows what it matched before.
        #[arg(long, value_name = "FILE", conflicts_with_all = ["pdq", "phash64", "dhash64", "md5", "sha1", "sha256"])]
        image: Option<PathBuf>,
        /// Take the picture's digests alone, where no PDQ hash of it can be used.
        #[arg(long, requires = "image", conflicts_with_all = ["pdq", "phash64", "dhash64", "md5", "sha1", "sha256"])]
        digests_only: bool,
        /// Show what the picture matches and which hashes its entry would have, without changing anything.
        #[arg(long, requires = "image", conflicts_with_all = ["pdq", "phash64", "dhash64", "md5", "sha1", "sha256"])]
        dry_run: bool,
    },
    /// Remove entries by id.
    Remove {
        /// The list.
        name: String,
        /// Ids of the entries.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Show a list's versions, one line each.
    Versions {
        /// The list.
        name: String,
    },
    /// Count the differences between two versions.
    Diff {
        /// The list.
        name: String,
        /// The earlier version; 0 is the empty one before the first.
        #[arg(value_parser = whole(0..=u32::MAX))]
        from: u32,
        /// The later version.
        #[arg(value_parser = whole(0..=u32::MAX))]
        to: u32,
    },
    /// Say whether a hash would have matched at an earlier time, and by which version. Exits with 1 if it would have.
    AsOf(AsOfArgs),
    /// Count the entries that two lists share, exactly or nearly. A list with itself: its near-duplicates.
    Overlap {
        /// The list whose entries are counted.
        name: String,
        /// The list to compare it with; can be the same.
        other: String,
        /// Largest distance that counts as near, in bits; by default the wider of the two lists' radii. Wide radii take long.
        #[arg(long, value_parser = whole(0..=256u16))]
        radius: Option<u16>,
        /// Kind of hash to compare: pdq, phash64 or dhash64.
        #[arg(long, default_value = "pdq", value_parser = kind)]
        kind: HashKind,
    },
    /// Count how many harmless pictures would match a list, by radius and by class of view.
    Simulate(SimulateArgs),
    /// Say what a list holds, and what looks wrong with it; as a page of HTML too.
    Report(ReportArgs),
    /// Make a version active, exactly as it is: without what later versions added or removed.
    Activate {
        /// The list.
        name: String,
        /// The version's number.
        #[arg(value_parser = whole(0..=u32::MAX))]
        version: u32,
    },
    /// Go back to the version that was active before; a second time undoes it.
    Rollback {
        /// The list.
        name: String,
    },
}

#[derive(Args)]
pub struct PolicyArgs {
    /// Largest distance that matches, in bits: N for PDQ, KIND=N for another kind, CATEGORY:KIND=N for one category only;
    /// CATEGORY:KIND=none removes a category's own radius. Can be repeated.
    #[arg(long = "radius", value_name = "[[CATEGORY:]KIND=]N", value_parser = radius_change)]
    radii: Vec<RadiusChange>,
    /// Minimum PDQ quality at which a picture can match, 0 to 100.
    #[arg(long, value_name = "N", value_parser = whole(0..=100u8))]
    quality_min: Option<u8>,
    /// Action that a match asks for: BLOCK, REVIEW or OBSERVE, for PDQ and all digests; KIND=ACTION for one kind, CATEGORY:KIND=ACTION for one
    /// category only, with all for PDQ and all digests; CATEGORY:KIND=none removes a category's own action. Can be repeated.
    #[arg(long = "action", value_name = "[[CATEGORY:]KIND=]ACTION", value_parser = action_change)]
    actions: Vec<ActionChange>,
    /// Rotations and flips of the picture that can match: all, or names separated by commas.
    #[arg(long, value_name = "NAMES", value_parser = transforms)]
    transforms: Option<Transforms>,
    /// The lists whose matches a negative list suppresses, separated by commas; "" for all.
    #[arg(long, value_name = "LISTS")]
    scope: Option<String>,
    /// Classes of views that count in addition to the whole picture: extended, window and turned, separated by commas; whole for none. A new
    /// list has all three, a negative list none.
    #[arg(long, value_name = "CLASSES", value_parser = view_classes)]
    views: Option<ViewClasses>,
    /// Largest distance that matches in a class of views, in bits of PDQ, 0 to 39; 31 by default. Can be repeated.
    #[arg(long = "view-radius", value_name = "CLASS=N", value_parser = view_rule)]
    view_radii: Vec<ViewRule>,
    /// The strictest action that a match through a view asks for: BLOCK, REVIEW (the default) or OBSERVE.
    #[arg(long, value_name = "ACTION", value_parser = entries::action)]
    view_action: Option<Action>,
    /// How the list's PDQ hashes were computed: full for full resolution, 512 for pictures shrunk to 512 pixels first, or unknown. Shown with the
    /// list; matching does not change.
    #[arg(long, value_name = "DIALECT", value_parser = dialect)]
    pdq_dialect: Option<PdqDialect>,
    /// Whether the list is in shadow: on or off. A list in shadow is searched, and its matches are shown apart and counted, but alter no outcome.
    #[arg(long, value_name = "ON|OFF", value_parser = on_off)]
    shadow: Option<bool>,
    /// Withdraw entries that at least N members of their source dispute, when they are imported; 0 (the default) withdraws none.
    #[arg(long, value_name = "N", value_parser = whole(0..=1_000_000u32))]
    withdraw_disputed: Option<u32>,
    /// Who is responsible for the list here; for people to read.
    #[arg(long, value_name = "TEXT")]
    owner: Option<String>,
    /// Who provided the list, and under which agreement; for people to read.
    #[arg(long, value_name = "TEXT")]
    provenance: Option<String>,
    /// On what legal basis the list is kept and matched; for people to read.
    #[arg(long, value_name = "TEXT")]
    legal_basis: Option<String>,
}

impl PolicyArgs {
    fn update(self) -> PolicyUpdate {
        let (mut radii, mut radii_removed) = (Vec::new(), Vec::new());
        for change in self.radii {
            match change {
                RadiusChange::Set(rule) => radii.push(rule),
                RadiusChange::Remove(category, kind) => radii_removed.push((category, kind)),
            }
        }
        let (mut actions, mut actions_removed) = (Vec::new(), Vec::new());
        for change in self.actions {
            match change {
                ActionChange::Set(rule) => actions.push(rule),
                ActionChange::Remove(category, kind) => actions_removed.push((category, kind)),
            }
        }
        let names = |scope: String| scope.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        PolicyUpdate {
            radii,
            radii_removed,
            actions,
            actions_removed,
            quality_min: self.quality_min,
            transforms: self.transforms,
            scope: self.scope.map(names),
            views: self.views.map(|classes| classes.0),
            view_radii: self.view_radii,
            view_action_max: self.view_action,
            pdq_dialect: self.pdq_dialect,
            shadow: self.shadow,
            disputes_max: self.withdraw_disputed,
            owner: self.owner,
            provenance: self.provenance,
            legal_basis: self.legal_basis,
        }
    }
}

/// One argument, so not a set that each use adds to.
#[derive(Clone)]
struct ViewClasses(BTreeSet<ViewKind>);

fn view_classes(text: &str) -> Result<ViewClasses, String> {
    let classes =
        text.split(',').map(|name| name.parse::<ViewKind>().map_err(|bad| bad.0)).collect::<Result<BTreeSet<_>, _>>()?;
    if classes.contains(&ViewKind::Whole) && classes.len() > 1 {
        return Err("whole means the whole picture alone: it can't be combined with classes".to_owned());
    }
    Ok(ViewClasses(classes.into_iter().filter(|class| *class != ViewKind::Whole).collect()))
}

fn view_rule(text: &str) -> Result<ViewRule, String> {
    let (class, radius) = text.split_once('=').ok_or("a view radius needs its class, such as window=31")?;
    let radius = radius.parse::<u16>().map_err(|_| "a radius is a whole number of bits".to_owned())?;
    let rule = ViewRule { kind: class.parse().map_err(|bad: crate::entry::BadValue| bad.0)?, radius };
    rule.check().map(|()| rule).map_err(|bad| bad.0)
}

fn dialect(text: &str) -> Result<PdqDialect, String> {
    text.parse().map_err(|bad: crate::entry::BadValue| bad.0)
}

#[derive(Clone)]
enum RadiusChange {
    Set(RadiusRule),
    Remove(String, HashKind),
}

fn radius_change(text: &str) -> Result<RadiusChange, String> {
    let (of, radius) = text.rsplit_once('=').unwrap_or(("pdq", text));
    let (category, kind) = match of.rsplit_once(':') {
        Some((category, kind)) => (Some(category.to_owned()), kind),
        None => (None, of),
    };
    let kind: HashKind = kind.parse().map_err(|bad: crate::entry::BadValue| bad.0)?;
    match (category, radius) {
        (Some(category), "none") => Ok(RadiusChange::Remove(category, kind)),
        (category, radius) => Ok(RadiusChange::Set(RadiusRule { category, kind, radius: radius_of(kind, radius)? })),
    }
}

fn radius_of(kind: HashKind, text: &str) -> Result<u16, String> {
    let radius = match text.parse::<u16>() {
        Ok(radius) => radius,
        Err(_) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => u16::MAX,
        Err(_) if kind.policy_radius_max() > 0 => {
            let most = kind.policy_radius_max();
            return Err(format!("a radius is a whole number of bits, for {kind} 0 to {most}; a category's can also be none"));
        }
        Err(_) => u16::MAX, // refused in the kind's own words
    };
    kind.check_policy_radius(radius).map(|()| radius).map_err(|bad| bad.0)
}

fn kind(text: &str) -> Result<HashKind, String> {
    text.parse().map_err(|bad: crate::entry::BadValue| bad.0)
}

#[derive(Clone)]
enum ActionChange {
    Set(ActionRule),
    Remove(String, Option<HashKind>),
}

fn action_change(text: &str) -> Result<ActionChange, String> {
    let (of, action_text) = text.rsplit_once('=').unwrap_or(("all", text));
    let (category, of) = match of.rsplit_once(':') {
        Some((category, kind)) => (Some(category.to_owned()), kind),
        None => (None, of),
    };
    let kind = if of == "all" { None } else { Some(kind(of)?) };
    match (category, action_text) {
        (Some(category), "none") => Ok(ActionChange::Remove(category, kind)),
        (category, text) => Ok(ActionChange::Set(ActionRule { category, kind, action: entries::action(text)? })),
    }
}

fn on_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("on or off".to_owned()),
    }
}

fn transforms(text: &str) -> Result<Transforms, String> {
    if text == "all" {
        return Ok(Transforms::ALL);
    }
    text.split(',').map(|name| name.parse::<Transform>().map_err(|bad| bad.0)).collect()
}

pub fn run(context: &Context, verb: ListVerb) -> Result<Exit, Failure> {
    let reads = matches!(
        verb,
        ListVerb::Ls
            | ListVerb::Show { .. }
            | ListVerb::Versions { .. }
            | ListVerb::Diff { .. }
            | ListVerb::AsOf(_)
            | ListVerb::Overlap { .. }
    );
    let access = if reads { Access::Read } else { Access::Write };
    let verb = match verb {
        ListVerb::Import(args) => return import(context, args),
        ListVerb::Export(args) => return export::export(context, &args),
        ListVerb::BundleKey(args) => return export::bundle_key(context, &args),
        ListVerb::Simulate(args) => return simulate(context, &args),
        ListVerb::Report(args) => return report(context, &args),
        ListVerb::Entry(args) => return entries::entry(context, &args),
        ListVerb::Find(args) => return entries::find(context, args),
        ListVerb::Note(args) => return entries::note(context, args),
        ListVerb::Source(verb) => return sources::run(context, verb),
        ListVerb::Add { name, id, category, tags, note, image: Some(path), digests_only, dry_run, .. } => {
            let details = Details { tags, note, ..Details::default() };
            return picture::add(context, &name, &path, PictureOptions { id, category, details, digests_only, dry_run });
        }
        other => other,
    };
    let lists = lists(context, access)?;
    let show = |info: ListInfo| {
        info.warnings.iter().for_each(|warning| remark(format!("warning: {warning}")));
        tell(context, || list_json(&info), || list_text(&info))?;
        Ok(Exit::Done)
    };
    match verb {
        ListVerb::Create { name, negative, policy } => {
            let polarity = if negative { Polarity::Negative } else { Polarity::Positive };
            show(lists.create(&name, polarity, &policy.update())?)
        }
        ListVerb::Set { name, policy } => {
            let update = policy.update();
            if update == PolicyUpdate::default() {
                return Err(Failure::usage("set needs something to change, such as --radius 31"));
            }
            show(lists.set(&name, &update)?)
        }
        ListVerb::Ls => {
            for info in lists.lists()? {
                tell(context, || list_json(&info), || list_line(&info))?;
            }
            Ok(Exit::Done)
        }
        ListVerb::Show { name } => show(lists.list(&name)?),
        ListVerb::Enable { name, entry: Some(id) } => entries::enable(context, lists.as_ref(), &name, &id),
        ListVerb::Enable { name, entry: None } => show(lists.set_disabled(&name, false)?),
        ListVerb::Disable(args) => match &args.entry {
            Some(id) => {
                let before = entries::mark_of(lists.as_ref(), &args.name, id)?;
                entries::set_mark(context, lists.as_ref(), &args.name, id, Some(args.mark(before)))
            }
            None => show(lists.set_disabled(&args.name, true)?),
        },
        ListVerb::Cap(args) => {
            let before = entries::mark_of(lists.as_ref(), &args.name, &args.id)?;
            entries::set_mark(context, lists.as_ref(), &args.name, &args.id, args.mark(before)?)
        }
        ListVerb::Delete { name, yes } => delete(context, lists.as_ref(), &name, yes),
        // Taken above.
        ListVerb::Import(_) | ListVerb::Export(_) | ListVerb::BundleKey(_) => Ok(Exit::Done),
        ListVerb::Simulate(_) | ListVerb::Report(_) => Ok(Exit::Done),
        ListVerb::Entry(_) | ListVerb::Find(_) | ListVerb::Note(_) | ListVerb::Source(_) => Ok(Exit::Done),
        ListVerb::Add { name, id, category, tags, note, hashes, .. } => {
            let hashes = hashes.values()?;
            if hashes.is_empty() {
                return Err(Failure::usage("add needs at least one hash, such as --pdq HEX, or a picture: --image FILE"));
            }
            let details = Details { tags, note, ..Details::default() };
            edited(context, lists.add(&name, vec![NewEntry { id, category, hashes, details, ..NewEntry::default() }])?)
        }
        ListVerb::Remove { name, ids } => edited(context, lists.remove(&name, ids)?),
        ListVerb::Versions { name } => {
            let active = lists.list(&name)?.list.active;
            for version in lists.versions(&name)? {
                let is_active = version.version == active;
                tell(context, || version_json(&version, is_active), || version_text(&version, is_active))?;
            }
            Ok(Exit::Done)
        }
        ListVerb::Diff { name, from, to } => {
            let diff = lists.diff(&name, VersionNo(from), VersionNo(to))?;
            tell(context, || diff_json(&diff), || diff_text(&diff))?;
            Ok(Exit::Done)
        }
        ListVerb::AsOf(args) => entries::as_of(context, lists.as_ref(), &args),
        ListVerb::Overlap { name, other, radius, kind } => {
            let report = lists.overlap(&name, &other, kind, radius)?;
            tell(context, || overlap_json(&name, &other, &report), || overlap_text(&name, &other, &report))?;
            Ok(Exit::Done)
        }
        ListVerb::Activate { name, version } => {
            let before = lists.list(&name)?.list.active;
            let info = lists.activate(&name, VersionNo(version))?;
            if before > info.list.active {
                let before = before.0;
                remark(format!(
                    "warning: version {version} is older than version {before}, which was active; what was added or removed since is \
                     undone (see: hashwarden list diff {name} {before} {version})"
                ));
            }
            show(info)
        }
        ListVerb::Rollback { name } => show(lists.roll_back(&name)?),
    }
}

/// Deletes a list, and says what went. Without `yes` somebody is asked, or told what would go.
fn delete(context: &Context, lists: &dyn Lists, name: &str, yes: bool) -> Result<Exit, Failure> {
    let (entries, versions) = (lists.list(name)?.rows, lists.versions(name)?.len());
    let (of_entries, of_versions) = (counted(entries, "entry", "entries"), counted(versions as u64, "version", "versions"));
    if !yes && !confirmed(context, &format!("Delete list {name} for good, with {of_entries} and {of_versions}?")) {
        return Err(Failure::usage(format!(
            "nothing was deleted: it would delete list {name} for good, with {of_entries} and {of_versions}; give --yes to do it"
        )));
    }
    lists.delete(name)?;
    let json = json!({"deleted": name, "entries": entries, "versions": versions});
    tell(
        context,
        || json,
        || {
            format!(
                "deleted list {name} with {of_entries} and {of_versions}; `hashwarden store compact` removes its data from disk"
            )
        },
    )?;
    Ok(Exit::Done)
}

/// Asks whoever sits at the terminal; where nobody does, the answer is no.
fn confirmed(context: &Context, question: &str) -> bool {
    if context.json() || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return false;
    }
    let mut answer = String::new();
    let asked = write!(io::stderr(), "{question} [y/N] ").and_then(|()| io::stdin().read_line(&mut answer));
    asked.is_ok() && ["y", "yes"].contains(&answer.trim().to_lowercase().as_str())
}

fn edited(context: &Context, report: EditReport) -> Result<Exit, Failure> {
    tell(context, || edit_json(&report), || edit_text(&report))?;
    if report.missing.is_empty() {
        return Ok(Exit::Done);
    }
    let missing = report.missing.join(", ");
    Err(Failure { exit: Exit::Failed, why: format!("not in the list: {}", without_hashes(&escaped(&missing))) })
}
