//! Entries, lists, their policies and their versions.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::action::Action;
use super::shown::is_visible;
use super::{BadValue, Feed, HashKind, HashValue, Sources, Status, Transforms, VIEW_RADIUS, ViewKind};

/// An entry's number: dense in a store, never reused. It names one immutable content, so an entry whose content changes gets
/// a new number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryNo(pub u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListId(pub u32);

/// A list's version number, from 1 up. 0 is the empty version before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionNo(pub u32);

/// What one list says about one picture: its id there, its category, its hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The list's own name for it: unique in the list, at most [`ENTRY_ID_BYTES_MAX`] bytes.
    pub id: String,
    /// The list's own category, as it stands there; empty where the list gives none.
    pub category: String,
    pub status: Status,
    /// At least one, at most [`ENTRY_HASHES_MAX`], sorted, none twice.
    pub hashes: Vec<HashValue>,
}

pub const ENTRY_ID_BYTES_MAX: usize = 256;
pub const CATEGORY_BYTES_MAX: usize = 64;
pub const ENTRY_HASHES_MAX: usize = 64;

impl Entry {
    /// Sorts the hashes and refuses what the store must never hold.
    pub fn new(id: String, category: String, mut hashes: Vec<HashValue>) -> Result<Self, BadValue> {
        hashes.sort_unstable();
        hashes.dedup();
        if id.is_empty() || id.len() > ENTRY_ID_BYTES_MAX || id.chars().any(char::is_control) {
            return Err(BadValue(format!("an entry id has 1 to {ENTRY_ID_BYTES_MAX} bytes and no control characters")));
        }
        if !is_visible(&id) {
            return Err(BadValue("an entry id needs a visible character".to_owned()));
        }
        if category.len() > CATEGORY_BYTES_MAX || category.chars().any(char::is_control) {
            return Err(BadValue(format!("a category has at most {CATEGORY_BYTES_MAX} bytes and no control characters")));
        }
        if hashes.is_empty() || hashes.len() > ENTRY_HASHES_MAX {
            return Err(BadValue(format!("an entry has 1 to {ENTRY_HASHES_MAX} hashes, this one has {}", hashes.len())));
        }
        Ok(Entry { id, category, status: Status::Active, hashes })
    }

    pub fn with_status(self, status: Status) -> Self {
        Entry { status, ..self }
    }

    /// The hashes by which look-ups find it; none of what was withdrawn.
    pub fn sought(&self) -> &[HashValue] {
        if self.status == Status::Withdrawn { &[] } else { &self.hashes }
    }
}

/// Whether a list's entries are sought, or known to be harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polarity {
    Positive,
    /// A match here moves the matches of other lists to `suppressed`.
    Negative,
}

/// How near counts as a match, and what to do about one, for one kind of hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindPolicy {
    /// Largest distance that matches, in bits; 0 for digests.
    pub radius: u16,
    pub action: Action,
}

/// How the PDQ hashes of a list were computed. The two differ by 0 to 10 bits. For people to know; matching is the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum PdqDialect {
    #[default]
    Unknown = 0,
    /// At the picture's full size, as here.
    Full = 1,
    /// Of the picture shrunk to at most 512 by 512 pixels, as the reference's command-line tool does.
    Reduced512 = 2,
}

impl PdqDialect {
    pub const ALL: [PdqDialect; 3] = [PdqDialect::Unknown, PdqDialect::Full, PdqDialect::Reduced512];

    pub fn name(self) -> &'static str {
        match self {
            PdqDialect::Unknown => "unknown",
            PdqDialect::Full => "full",
            PdqDialect::Reduced512 => "512",
        }
    }

    pub fn from_u8(n: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| *dialect as u8 == n)
    }
}

impl FromStr for PdqDialect {
    type Err = BadValue;
    fn from_str(s: &str) -> Result<Self, BadValue> {
        let named = Self::ALL.into_iter().find(|dialect| dialect.name() == s);
        named.ok_or_else(|| BadValue(format!("unknown dialect of PDQ {s:?}: one of full, 512, unknown")))
    }
}

/// A list's policy. Every kind has its own radius and action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPolicy {
    pub kinds: BTreeMap<HashKind, KindPolicy>,
    /// Radii that differ for a category of the list.
    pub category_radii: BTreeMap<(String, HashKind), u16>,
    /// Actions that differ for a category of the list.
    pub category_actions: BTreeMap<(String, HashKind), Action>,
    /// PDQ quality below this does not match, 0 to 100.
    pub quality_min: u8,
    /// The query's transforms that may match.
    pub transforms: Transforms,
    /// Of a negative list: the names of the lists whose matches it suppresses; empty means all.
    pub scope: Vec<String>,
    /// The classes of views that count beside the whole picture, which always does, and their radii in bits of PDQ. Of a negative list:
    /// none, as its entries are sought in the views that other lists ask for.
    pub views: BTreeMap<ViewKind, u16>,
    /// The strictest action of a match through a view.
    pub view_action_max: Action,
    pub pdq_dialect: PdqDialect,
    /// The list is looked up, and its matches are shown apart: they alter no outcome. A negative list suppresses nothing.
    pub shadow: bool,
    /// Entries that so many members of their source dispute are withdrawn when they are imported; 0: none is.
    pub disputes_max: u32,
    pub about: About,
}

/// What the operator says of a list, for people and audits; empty where nothing was said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Who answers for the list here.
    pub owner: String,
    /// Who gave it, and under which agreement.
    pub provenance: String,
    /// By what right it is kept and matched.
    pub legal_basis: String,
}

pub const ABOUT_BYTES_MAX: usize = 512;

impl About {
    pub fn check(&self) -> Result<(), BadValue> {
        for (what, text) in [("owner", &self.owner), ("provenance", &self.provenance), ("legal basis", &self.legal_basis)] {
            if text.len() > ABOUT_BYTES_MAX || text.chars().any(char::is_control) {
                return Err(BadValue(format!(
                    "the {what} of a list has at most {ABOUT_BYTES_MAX} bytes and no control characters"
                )));
            }
        }
        Ok(())
    }
}

/// PDQ's usual radius.
const PDQ_RADIUS: u16 = 31;

impl ListPolicy {
    /// PDQ radius 31, quality 50, all transforms, REVIEW; 64-bit kinds radius 4, OBSERVE. A negative list's radii are 0.
    /// In a positive list every class of views counts.
    pub fn default_for(polarity: Polarity) -> Self {
        let kinds = HashKind::ALL
            .into_iter()
            .map(|kind| {
                let (radius, action) = match kind {
                    HashKind::Pdq => (PDQ_RADIUS, Action::Review),
                    HashKind::Phash64 | HashKind::Dhash64 => (4, Action::Observe),
                    _ => (0, Action::Review),
                };
                let radius = if polarity == Polarity::Negative { 0 } else { radius };
                (kind, KindPolicy { radius, action })
            })
            .collect();
        let views: &[_] = if polarity == Polarity::Negative { &[] } else { &ViewKind::CLASSES };
        ListPolicy {
            kinds,
            category_radii: BTreeMap::new(),
            category_actions: BTreeMap::new(),
            quality_min: 50,
            transforms: Transforms::ALL,
            scope: Vec::new(),
            views: views.iter().map(|class| (*class, VIEW_RADIUS)).collect(),
            view_action_max: Action::Review,
            pdq_dialect: PdqDialect::Unknown,
            shadow: false,
            disputes_max: 0,
            about: About::default(),
        }
    }

    /// The radius for a kind of hash in a category.
    pub fn radius(&self, category: &str, kind: HashKind) -> u16 {
        let whole = self.kinds.get(&kind).map_or(0, |k| k.radius);
        // A handful at most, and this is asked for every candidate: no key is made.
        let of_category = self.category_radii.iter().find(|((c, k), _)| c == category && *k == kind);
        of_category.map_or(whole, |(_, radius)| *radius)
    }

    /// The action for a match by a kind of hash in a category.
    pub fn action(&self, category: &str, kind: HashKind) -> Action {
        let of_category = self.category_actions.iter().find(|((c, k), _)| c == category && *k == kind);
        let whole = || self.kinds.get(&kind).map_or(Action::Observe, |k| k.action);
        of_category.map_or_else(whole, |(_, action)| *action)
    }

    /// The largest radius of a kind over all categories.
    pub fn radius_widest(&self, kind: HashKind) -> u16 {
        let whole = self.kinds.get(&kind).map_or(0, |k| k.radius);
        self.category_radii.iter().filter(|((_, k), _)| *k == kind).map(|(_, r)| *r).fold(whole, u16::max)
    }

    /// The largest radius of a kind that anything is looked up at, views too: what its index is chosen by and proven at.
    pub fn radius_looked_up(&self, kind: HashKind) -> u16 {
        let of_views = self.views.keys().filter(|_| kind == HashKind::Pdq).filter_map(|class| self.radius_in_views(*class));
        of_views.fold(self.radius_widest(kind), u16::max)
    }

    /// The smallest.
    pub fn radius_narrowest(&self, kind: HashKind) -> u16 {
        let whole = self.kinds.get(&kind).map_or(0, |k| k.radius);
        self.category_radii.iter().filter(|((_, k), _)| *k == kind).map(|(_, r)| *r).fold(whole, u16::min)
    }

    /// The threshold for an entry of a category that is found in a view; `None` where views of the class do not count.
    pub fn threshold(&self, category: &str, kind: HashKind, view: ViewKind) -> Option<u16> {
        self.threshold_by(self.radius(category, kind), view)
    }

    /// The smallest threshold over all categories.
    pub fn threshold_narrowest(&self, kind: HashKind, view: ViewKind) -> Option<u16> {
        self.threshold_by(self.radius_narrowest(kind), view)
    }

    /// The largest distance at which views of a class are looked up; `None` where they do not count, or the list is for equal hashes alone.
    pub fn radius_in_views(&self, view: ViewKind) -> Option<u16> {
        let own = self.radius_widest(HashKind::Pdq);
        self.threshold_by(own, view).filter(|_| own > 0)
    }

    /// A radius of its own narrows a class where it is narrower than usual; it widens none.
    fn threshold_by(&self, own: u16, view: ViewKind) -> Option<u16> {
        if view == ViewKind::Whole {
            return Some(own);
        }
        let class = *self.views.get(&view)?;
        Some(if own < PDQ_RADIUS { class.min(own) } else { class })
    }
}

/// A hash list as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashList {
    pub id: ListId,
    pub name: String,
    pub polarity: Polarity,
    pub policy: ListPolicy,
    /// The version that look-ups see; 0 until something was activated.
    pub active: VersionNo,
    /// The version that was active before.
    pub previous: VersionNo,
    /// The newest sealed version.
    pub head: VersionNo,
    pub disabled: bool,
    /// The names of its sources from the third on; every list has the first two, [`Sources::NAMES`].
    pub sources: Vec<String>,
    /// How often a mark of an entry was set or taken off.
    pub marks_changed: u64,
    /// How sources are fetched, by their names.
    pub feeds: BTreeMap<String, Feed>,
}

impl HashList {
    /// An empty list.
    pub fn new(id: ListId, name: String, polarity: Polarity, policy: ListPolicy) -> Self {
        HashList {
            id,
            name,
            polarity,
            policy,
            active: VersionNo(0),
            previous: VersionNo(0),
            head: VersionNo(0),
            disabled: false,
            sources: Vec::new(),
            marks_changed: 0,
            feeds: BTreeMap::new(),
        }
    }

    /// The source of this name, if the list has it.
    pub fn source(&self, name: &str) -> Option<Sources> {
        let names = Sources::NAMES.into_iter().chain(self.sources.iter().map(String::as_str));
        names.zip(0..).find(|(known, _)| *known == name).and_then(|(_, number)| Sources::numbered(number))
    }

    /// The names of some of its sources.
    pub fn source_names(&self, sources: Sources) -> Vec<&str> {
        let names: Vec<&str> = Sources::NAMES.into_iter().chain(self.sources.iter().map(String::as_str)).collect();
        sources.iter().filter_map(|number| names.get(number).copied()).collect()
    }
}
