//! What the catalog is asked and what it reports, in the words every edge shares: CLI, gRPC, demo.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, BufRead};

use crate::entry::{
    About, Action, Details, HashKind, HashList, HashValue, ListPolicy, Marked, PdqDialect, Polarity, Sources, Status, Transforms,
    VIEW_RADIUS, VersionNo, ViewKind, ViewRule,
};

/// Changes to a list's policy; what is not named stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyUpdate {
    pub radii: Vec<RadiusRule>,
    /// Categories whose own radius for a kind is taken back: the list's holds for them again.
    pub radii_removed: Vec<(String, HashKind)>,
    pub actions: Vec<ActionRule>,
    /// Categories whose own action for a kind, or for all kinds, is taken back.
    pub actions_removed: Vec<(String, Option<HashKind>)>,
    pub quality_min: Option<u8>,
    pub transforms: Option<Transforms>,
    pub scope: Option<Vec<String>>,
    /// The classes of views that count from now on. One that counted before keeps its radius, another starts at [`VIEW_RADIUS`].
    pub views: Option<BTreeSet<ViewKind>>,
    /// Radii of classes that count then.
    pub view_radii: Vec<ViewRule>,
    pub view_action_max: Option<Action>,
    pub pdq_dialect: Option<PdqDialect>,
    pub shadow: Option<bool>,
    pub disputes_max: Option<u32>,
    pub owner: Option<String>,
    pub provenance: Option<String>,
    pub legal_basis: Option<String>,
}

/// A radius in bits for a kind of hash, in the whole list or in one category.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RadiusRule {
    pub category: Option<String>,
    pub kind: HashKind,
    pub radius: u16,
}

/// An action for one kind of hash, or for PDQ and all digests where none is named: a 64-bit hash is weak evidence, so its
/// action changes only by name. In the whole list or in one category.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionRule {
    pub category: Option<String>,
    pub kind: Option<HashKind>,
    pub action: Action,
}

impl ActionRule {
    fn is_for(&self, kind: HashKind) -> bool {
        let weak = matches!(kind, HashKind::Phash64 | HashKind::Dhash64);
        self.kind.map_or(!weak, |of| of == kind)
    }
}

/// Looked through for every candidate, and part of every change of the policy.
const CATEGORY_RULES_MAX: usize = 1_000;

impl PolicyUpdate {
    /// The policy with the changes, or which of them is out of range.
    pub fn apply(&self, policy: &ListPolicy) -> Result<ListPolicy, String> {
        let mut policy = policy.clone();
        for rule in &self.radii {
            rule.kind.check_policy_radius(rule.radius).map_err(|bad| bad.0)?;
            if let Some(category) = &rule.category {
                policy.category_radii.insert((category.clone(), rule.kind), rule.radius);
            } else if let Some(of_kind) = policy.kinds.get_mut(&rule.kind) {
                of_kind.radius = rule.radius;
            }
        }
        for (category, kind) in &self.radii_removed {
            if self.radii.iter().any(|rule| rule.kind == *kind && rule.category.as_ref() == Some(category)) {
                return Err(format!("the same change sets and removes the {kind} radius of category {category:?}"));
            }
            if policy.category_radii.remove(&(category.clone(), *kind)).is_none() {
                return Err(format!("category {category:?} has no radius of its own for {kind}"));
            }
        }
        for rule in &self.actions {
            for (kind, of_kind) in policy.kinds.iter_mut().filter(|(kind, _)| rule.is_for(**kind)) {
                match &rule.category {
                    Some(category) => _ = policy.category_actions.insert((category.clone(), *kind), rule.action),
                    None => of_kind.action = rule.action,
                }
            }
        }
        for (category, kind) in &self.actions_removed {
            let of = kind.map_or_else(String::new, |kind| format!(" for {kind}"));
            let sets = |rule: &ActionRule| rule.category.as_ref() == Some(category) && kind.is_none_or(|kind| rule.is_for(kind));
            if self.actions.iter().any(sets) {
                return Err(format!("the same change sets and removes an action of category {category:?}{of}"));
            }
            let before = policy.category_actions.len();
            policy.category_actions.retain(|(c, k), _| c != category || kind.is_some_and(|kind| kind != *k));
            if policy.category_actions.len() == before {
                return Err(format!("category {category:?} has no action of its own{of}"));
            }
        }
        let rules = policy.category_radii.len() + policy.category_actions.len();
        if rules > CATEGORY_RULES_MAX {
            return Err(format!("a policy has at most {CATEGORY_RULES_MAX} radii and actions of categories, not {rules}"));
        }
        if let Some(quality) = self.quality_min {
            if quality > 100 {
                return Err(format!("the minimum quality must be 0 to 100, not {quality}"));
            }
            policy.quality_min = quality;
        }
        if let Some(transforms) = self.transforms {
            if transforms.0 == 0 {
                return Err("a list needs at least one transform".to_owned());
            }
            policy.transforms = transforms;
        }
        if let Some(scope) = &self.scope {
            policy.scope = scope.clone();
        }
        policy.pdq_dialect = self.pdq_dialect.unwrap_or(policy.pdq_dialect);
        policy.shadow = self.shadow.unwrap_or(policy.shadow);
        policy.disputes_max = self.disputes_max.unwrap_or(policy.disputes_max);
        let About { owner, provenance, legal_basis } = &mut policy.about;
        for (text, said) in [(owner, &self.owner), (provenance, &self.provenance), (legal_basis, &self.legal_basis)] {
            if let Some(said) = said {
                text.clone_from(said);
            }
        }
        policy.about.check().map_err(|bad| bad.0)?;
        self.apply_views(&mut policy)?;
        Ok(policy)
    }

    fn apply_views(&self, policy: &mut ListPolicy) -> Result<(), String> {
        if let Some(classes) = &self.views {
            let radius = |class| policy.views.get(class).copied().unwrap_or(VIEW_RADIUS);
            let rules = classes.iter().map(|class| ViewRule { kind: *class, radius: radius(class) });
            policy.views = rules
                .map(|rule| rule.check().map(|()| (rule.kind, rule.radius)))
                .collect::<Result<_, _>>()
                .map_err(|bad| bad.0)?;
        }
        for rule in &self.view_radii {
            rule.check().map_err(|bad| bad.0)?;
            let class = rule.kind;
            let radius = policy.views.get_mut(&class).ok_or_else(|| {
                format!(
                    "{class} views do not count in this list, so they have no radius: add {class} to its classes of views first"
                )
            })?;
            *radius = rule.radius;
        }
        if let Some(action) = self.view_action_max {
            policy.view_action_max = action;
        }
        Ok(())
    }

    /// What is allowed and hardly meant, in words.
    pub fn warnings(&self) -> Vec<String> {
        let wide = self.radii.iter().filter(|rule| rule.radius > rule.kind.policy_radius_usual_max());
        wide.map(|rule| {
            let (radius, kind, usual) = (rule.radius, rule.kind, rule.kind.policy_radius_usual_max());
            let of = rule.category.as_ref().map_or_else(String::new, |category| format!(" of category {category:?}"));
            format!(
                "radius {radius} for {kind}{of} is wide: beyond {usual} bits unrelated pictures begin to match, and every look-up gets slower, in the other lists too"
            )
        })
        .collect()
    }
}

/// A list as it stands, with what its active version holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListInfo {
    pub list: HashList,
    /// Entries in the active version.
    pub rows: u64,
    /// When the active version was made, ms since the Unix epoch; 0 without one.
    pub updated_ms: u64,
    /// When a file was last imported with success, whether or not it changed anything, ms since the Unix epoch; 0 where none was.
    pub imported_ms: u64,
    /// Live hashes of each kind; empty where the catalog was opened without look-ups.
    pub hashes: BTreeMap<HashKind, u64>,
    /// Names in the list's scope that were taken out, as whoever asked may not see those lists.
    pub scope_hidden: u32,
    /// What of a change of policy just made is hardly meant, in words.
    pub warnings: Vec<String>,
}

/// An entry as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryInfo {
    pub id: String,
    pub category: String,
    pub status: Status,
    /// How many hashes of each kind it has.
    pub kinds: BTreeMap<HashKind, u64>,
    /// Empty unless they were asked for.
    pub hashes: Vec<HashValue>,
    /// The version that brought this content.
    pub version: VersionNo,
    /// The names of the sources that have it.
    pub sources: Vec<String>,
    /// Without what may be a hash, unless hashes were asked for.
    pub details: Details,
    pub mark: Option<Marked>,
}

/// An entry to add.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewEntry {
    /// The list's own id; without one an id is derived from the hashes under the store's key.
    pub id: Option<String>,
    pub category: String,
    pub hashes: Vec<HashValue>,
    pub status: Status,
    pub details: Details,
}

/// What an add or a remove did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditReport {
    /// The version that is active now.
    pub version: VersionNo,
    pub added: u64,
    pub changed: u64,
    pub removed: u64,
    /// Entries that were there already, as given.
    pub unchanged: u64,
    /// Of these, entries of which something else is said now: other details, or that they were added by hand.
    pub details_changed: u64,
    /// Ids to remove that the list does not have.
    pub missing: Vec<String>,
    /// The id of each entry given to add, in order.
    pub ids: Vec<String>,
}

/// A row that could not be taken, and why. Never repeats a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// The file's name, where an import has several or an archive.
    pub file: String,
    pub line: u64,
    /// Its number among the file's records; 0 in a format of lines.
    pub record: u64,
    pub reason: String,
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place(), self.reason)
    }
}

impl BadRow {
    /// Such as `b.csv: line 3`.
    pub fn place(&self) -> String {
        let at = crate::lists::at(self.record, self.line);
        if self.file.is_empty() { at } else { format!("{}: {at}", self.file) }
    }
}

/// Bad rows beyond this are counted, not kept.
pub const BAD_ROWS_MAX: usize = 1000;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// The new version; `None` on a dry run, and where the file holds what the list holds already.
    pub version: Option<VersionNo>,
    /// Look-ups see the version. Not where that was not asked for, and not where something held it back: such a version is staged, to be
    /// activated by its number.
    pub activated: bool,
    /// Why the version is not, or on a dry run would not be, activated before somebody has looked at it; `warnings` says it in words.
    pub held: Vec<Hold>,
    /// The version that `added`, `changed`, `gone` and `unchanged` are counted against: the one that was active.
    pub compared_with: VersionNo,
    /// How the file was read.
    pub format: Option<crate::lists::Format>,
    /// Hashes in the rows that were taken, by kind.
    pub hashes: BTreeMap<HashKind, u64>,
    /// What somebody should look at, in words.
    pub warnings: Vec<String>,
    /// Bytes of the file that were read.
    pub bytes: u64,
    /// Rows read, bad ones included.
    pub rows: u64,
    pub rows_bad: u64,
    /// The first [`BAD_ROWS_MAX`] of them.
    pub bad: Vec<BadRow>,
    /// Bad rows that held hashes which could be read too, beside the one that could not.
    pub rows_bad_in_part: u64,
    /// Rows that became part of another row's entry, or that a newer row replaces, since they have its id, or have none and the same hashes.
    pub rows_merged: u64,
    /// Rows that the list does not want found: ThreatExchange's `NEGATIVE_CLASS` and `DISPUTED`.
    pub rows_unsought: u64,
    /// Rows whose signal is of another kind than the hashes that are read, such as a URL.
    pub rows_unread: u64,
    /// The file's columns in their order; empty where it has none.
    pub columns: Vec<crate::lists::ColumnUse>,
    pub added: u64,
    pub changed: u64,
    pub gone: u64,
    pub unchanged: u64,
    /// Of the unchanged ones, entries of which something else is said now: other details, or other sources.
    pub details_changed: u64,
    /// Entries that the file does not have, and that stay as another source has them.
    pub kept: u64,
    /// Rows of entries that were withdrawn: they are in the list and do not match.
    pub rows_withdrawn: u64,
    /// Entries in the list after the import.
    pub entries: u64,
    /// New entries that a check found something in: they are quarantined once the version is active.
    pub findings: u64,
    /// The first of them.
    pub found: Vec<Finding>,
    /// Who made the bundle that was imported, and of what.
    pub bundle: Option<Bundled>,
}

/// A bundle whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundled {
    /// As the configuration names the signer.
    pub signer: String,
    /// The name of the list there.
    pub list: String,
    pub version: u32,
    /// When it was exported, in RFC 3339.
    pub exported: String,
}

/// What keeps a version from being activated by its import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Rows were bad, and entries would go or change: a bad row may be one of those entries.
    BadRows,
    /// More of the list would go, come or change than [`super::Imports::change_percent_max`] allows.
    LargeChange,
    /// More of the new entries would be quarantined than [`super::Imports::findings_percent_max`] allows.
    Findings,
}

impl Hold {
    pub fn name(self) -> &'static str {
        match self {
            Hold::BadRows => "bad_rows",
            Hold::LargeChange => "large_change",
            Hold::Findings => "findings",
        }
    }
}

/// Why an entry is quarantined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingKind {
    /// A PDQ hash that no picture with content has.
    Degenerate,
    /// A PDQ hash near that of a blank picture, a border, a gradient, stripes or a chequerboard.
    Featureless,
    /// A hash that a large part of the new entries have.
    Shared,
    /// A PDQ hash that is near to those of very many entries.
    Crowded,
    /// A PDQ hash near that of a picture in the benign sample.
    Benign,
    /// Of a negative list: a hash that a positive list has.
    Contradicted,
}

impl FindingKind {
    pub const ALL: [FindingKind; 6] = [
        FindingKind::Degenerate,
        FindingKind::Featureless,
        FindingKind::Shared,
        FindingKind::Crowded,
        FindingKind::Benign,
        FindingKind::Contradicted,
    ];

    pub fn name(self) -> &'static str {
        match self {
            FindingKind::Degenerate => "degenerate",
            FindingKind::Featureless => "featureless",
            FindingKind::Shared => "shared",
            FindingKind::Crowded => "crowded",
            FindingKind::Benign => "benign",
            FindingKind::Contradicted => "contradicted",
        }
    }
}

/// An entry that a check found something in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub entry_id: String,
    pub kind: FindingKind,
    /// For people to read; no hash is in it.
    pub reason: String,
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub phase: Phase,
    /// Bytes of the file read so far.
    pub bytes: u64,
    pub rows: u64,
    pub rows_bad: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Reading and checking rows.
    Reading,
    /// Comparing with the list and writing the new version; `rows` counts entries compared.
    Writing,
    /// Building the indexes of the new version.
    Indexing,
}

impl Phase {
    pub fn name(self) -> &'static str {
        match self {
            Phase::Reading => "reading",
            Phase::Writing => "writing",
            Phase::Indexing => "indexing",
        }
    }
}

/// A file of an import.
pub struct ImportFile<'f> {
    /// Said with what is wrong in it: a name, not a path. Empty where an import has one file.
    pub name: String,
    pub input: Box<dyn BufRead + 'f>,
}

/// The files of an import, each opened when its turn comes.
pub type Files<'i, 'f> = &'i mut dyn Iterator<Item = io::Result<ImportFile<'f>>>;

/// What an import is told beside the file.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// `None`: found out from the file's beginning.
    pub format: Option<crate::lists::Format>,
    pub mapping: crate::lists::Mapping,
    /// Where it comes from, for the audit trail: a file's name, not its path.
    pub source: String,
    pub activate: bool,
    /// Reads, checks and compares; changes nothing.
    pub dry_run: bool,
    /// Activates the version however much of the list it changes.
    pub accept: bool,
    /// The list's source that the file comes from.
    pub feed: String,
    /// The file has what changed since an earlier one: what it does not name stays as it is.
    pub delta: bool,
    pub fetched: Fetched,
}

/// Whether a list's owner was asked for what is imported, and not a person for a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fetched {
    #[default]
    No,
    /// What changed: there may be nothing in it that is to be found.
    Changes,
    /// A part of the load of a list that was empty: what it adds is expected.
    Filling,
}

impl Default for ImportOptions {
    /// All of a file of no named source, to be activated.
    fn default() -> Self {
        ImportOptions {
            format: None,
            mapping: crate::lists::Mapping::default(),
            source: String::new(),
            activate: true,
            dry_run: false,
            accept: false,
            feed: Sources::NAMES[0].to_owned(),
            delta: false,
            fetched: Fetched::No,
        }
    }
}

/// What is said of a picture that is added to a list, beside its hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PictureOptions {
    pub id: Option<String>,
    pub category: String,
    pub details: Details,
    /// Its digests alone.
    pub digests_only: bool,
    pub dry_run: bool,
}

/// How two versions differ, in entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiffReport {
    pub added: u64,
    pub removed: u64,
    /// Ids in both with other content.
    pub changed: u64,
    /// Of those, ids whose category is another.
    pub reclassified: u64,
    /// By category, those with most differences first, at most [`DIFF_CATEGORIES_MAX`].
    pub categories: Vec<DiffCategory>,
}

pub const DIFF_CATEGORIES_MAX: usize = 1_000;

/// How many entries of a category differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiffCategory {
    pub category: String,
    pub added: u64,
    pub removed: u64,
    /// In this category before and after.
    pub changed: u64,
    /// From another category, and to another one.
    pub moved_in: u64,
    pub moved_out: u64,
}

/// What two lists share, by entries of the first one's active version that have a hash of the kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverlapReport {
    pub kind: HashKind,
    /// Bits.
    pub radius: u16,
    pub entries: u64,
    /// Entries of the other list with a hash of the kind.
    pub other_entries: u64,
    /// Entries with a hash that the other list has too.
    pub exact: u64,
    /// Entries without such a one that have one within the radius of one of the other list's.
    pub near: u64,
    /// Of both, entries with such a one in an entry of another category.
    pub differing: u64,
    /// Pairs of hashes within the radius.
    pub pairs: u64,
    /// By the first list's categories, in their order.
    pub categories: Vec<OverlapCategory>,
    /// The entries that are near to the most hashes of the other list, those first.
    pub hubs: Vec<OverlapHub>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverlapCategory {
    pub category: String,
    pub entries: u64,
    pub exact: u64,
    pub near: u64,
    pub differing: u64,
}

impl OverlapCategory {
    pub fn named(category: &str) -> Self {
        OverlapCategory { category: category.to_owned(), entries: 0, exact: 0, near: 0, differing: 0 }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverlapHub {
    pub entry_id: String,
    /// Hashes of the other list within the radius.
    pub neighbours: u64,
}

/// Names for [`Polarity`] in text and JSON.
pub fn polarity_name(polarity: Polarity) -> &'static str {
    match polarity {
        Polarity::Positive => "POSITIVE",
        Polarity::Negative => "NEGATIVE",
    }
}
