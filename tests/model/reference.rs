//! What does a list hold after change N, and what does a look-up find then? The plain version: changes are followed one by one, and a
//! look-up scans every entry of every enabled list.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashwarden::entry::{
    Action, Bits, ChangeOp, Entry, EntryNo, Hash64, HashKind, HashList, HashValue, ListId, ListPolicy, MadeBy, Mark, Pdq,
    Polarity, Reason, Sources, Status, VersionNo,
};
use hashwarden::snapshot::Question;
use hashwarden::verdict::Outcome;

use super::answer::{Answer, Found};
use super::history::Step;
use super::operations::list_name;
use super::sources::{self, Held, Holding, Said};
use super::universe::{CATEGORIES, FEEDS, Universe};

/// One row of a version: what becomes of an id's entry.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub entry: EntryNo,
    pub n: u32,
    pub deed: Deed,
}

#[derive(Debug, Clone, Copy)]
pub enum Deed {
    /// A content, and what is said of it; `None`: what was said before.
    Open((u8, Status), Option<Brief>),
    Close,
    Describe(Brief),
}

/// The sources that have an entry, and which details.
pub type Brief = (Sources, u8);

/// Of an entry of which nothing was said.
const UNSAID: Brief = (Sources::IMPORT, 0);

/// What a version holds.
#[derive(Debug, Clone, Default)]
pub struct Content {
    pub entries: BTreeMap<EntryNo, (u32, Held)>,
    /// What was said of entries that it does not hold any more.
    gone: BTreeMap<EntryNo, Brief>,
}

/// So many rows are folded at most before a version keeps its whole content.
const FOLDED_MAX: usize = 4_096;

#[derive(Default)]
pub struct State {
    pub lists: BTreeMap<ListId, List>,
}

pub struct List {
    pub name: &'static str,
    pub polarity: Polarity,
    pub policy: ListPolicy,
    pub disabled: bool,
    pub active: VersionNo,
    pub previous: VersionNo,
    pub head: VersionNo,
    /// By id, whether the list has it or not.
    pub marks: BTreeMap<u32, Mark>,
    /// The names of its sources, in its own order.
    feeds: Vec<&'static str>,
    /// What the active version holds.
    pub content: Arc<Content>,
    versions: BTreeMap<VersionNo, Version>,
    /// The hashes of `content`, made when they are asked for.
    hashes: Option<Hashes>,
}

pub struct Version {
    pub parent: VersionNo,
    /// Made by adding or removing entries.
    pub by_edit: bool,
    /// The change that sealed it.
    pub seq: u64,
    pub rows: Vec<Row>,
    sealed: bool,
    /// Rows from the last version of the line that keeps its whole.
    folded: usize,
    whole: Option<Arc<Content>>,
}

/// A list's active hashes by kind, each with its entry's place.
#[derive(Default)]
struct Hashes {
    entries: Vec<(u32, Arc<Entry>)>,
    pdq: Vec<(Pdq, u32)>,
    phash64: Vec<(Hash64, u32)>,
    md5: Vec<([u8; 16], u32)>,
}

/// The version that a new one is made from: the newest sealed one where the change names none.
fn parent_of(list: &List, op: &ChangeOp) -> VersionNo {
    match op {
        ChangeOp::Stage { parent, .. } | ChangeOp::Edit { parent, .. } => parent.unwrap_or(list.head),
        _ => panic!("{op:?} makes no version"),
    }
}

impl State {
    /// Follows a change.
    pub fn apply(&mut self, universe: &Universe, op: &ChangeOp, step: &Step) {
        match op {
            ChangeOp::CreateList { list, name, polarity, policy } => {
                assert!(self.lists.values().all(|other| other.name != *name), "two lists named {name}");
                let known = self.lists.insert(*list, List::new(list_name(name), *polarity, policy.clone()));
                assert!(known.is_none(), "list {} is created twice", list.0);
            }
            ChangeOp::SetPolicy { list, policy } => self.list(*list).policy = policy.clone(),
            ChangeOp::SetDisabled { list, disabled } => self.list(*list).disabled = *disabled,
            ChangeOp::DeleteList { list } => assert!(self.lists.remove(list).is_some(), "list {} is deleted twice", list.0),
            ChangeOp::Stage { list, version, .. } => self.list(*list).stage(*version, op),
            ChangeOp::Rows { list, version, .. } => self.list(*list).extend(*version, &step.rows),
            ChangeOp::Seal { list, version, .. } => self.list(*list).seal(*version, step.seq),
            ChangeOp::Activate { list, version } => self.list(*list).activate(*version),
            ChangeOp::Undo { list, version } => {
                let list = self.list(*list);
                list.staged(*version);
                list.versions.remove(version);
            }
            ChangeOp::Edit { list, version, .. } => {
                let list = self.list(*list);
                list.stage(*version, op);
                list.extend(*version, &step.rows);
                list.seal(*version, step.seq);
                list.activate(*version);
            }
            ChangeOp::AddSource { list, name } => {
                let feeds = &mut self.list(*list).feeds;
                feeds.push(FEEDS.into_iter().find(|known| known == name).unwrap());
            }
            ChangeOp::SetMark { list, id, mark } => {
                let (n, marks) = (universe.number(id), &mut self.list(*list).marks);
                match mark {
                    Some(mark) => _ = marks.insert(n, mark.clone()),
                    None => assert!(marks.remove(&n).is_some(), "a mark is taken off {id:?}, which has none"),
                }
            }
            ChangeOp::Drop { .. } | ChangeOp::SetFeed { .. } => panic!("nothing is to be dropped or fetched here"),
        }
    }

    pub fn list(&mut self, list: ListId) -> &mut List {
        self.lists.get_mut(&list).unwrap_or_else(|| panic!("there is no list {}", list.0))
    }

    pub fn by_name(&self, name: &str) -> Option<(&ListId, &List)> {
        self.lists.iter().find(|(_, list)| list.name == name)
    }

    /// The answer to a question, by a scan.
    pub fn answer(&mut self, universe: &Universe, question: &Question) -> Answer {
        self.lists.values_mut().for_each(|list| list.gather(universe));
        // What is in shadow alters nothing.
        let answers = |list: &&List| !list.disabled && !list.policy.shadow && list.active != VersionNo(0);
        let live: Vec<&List> = self.lists.values().filter(answers).collect();
        let positives: Vec<&List> = live.iter().copied().filter(|list| list.polarity == Polarity::Positive).collect();
        let mut nearest: BTreeMap<(&str, u32, HashKind), Found> = BTreeMap::new();
        for (n, seen) in question.seen.iter().enumerate() {
            // Each hash that a caller brings is a look of its own: a negative list speaks for that look alone.
            assert_eq!(seen.rendering as usize, n);
            let kind = seen.hash.kind();
            let speaks = |negative: &&&List| {
                negative.polarity == Polarity::Negative && !negative.near(&seen.hash, seen.quality).is_empty()
            };
            let negatives: Vec<_> = if kind.is_digest() { vec![] } else { live.iter().filter(speaks).collect() };
            for list in &positives {
                let in_scope = |policy: &ListPolicy| policy.scope.is_empty() || policy.scope.iter().any(|name| name == list.name);
                let suppressed = negatives.iter().any(|negative| in_scope(&negative.policy));
                for (entry, distance, threshold, action) in list.near(&seen.hash, seen.quality) {
                    let found = Found { list: list.name, entry, kind, suppressed, distance, threshold, action };
                    let best = nearest.entry((list.name, entry, kind)).or_insert(found);
                    // What stands in one look is not suppressed, whatever another look shows.
                    if (suppressed, distance) < (best.suppressed, best.distance) {
                        *best = found;
                    }
                }
            }
        }
        let mut found: Vec<Found> = nearest.into_values().collect();
        found.sort();
        let (outcome, reason) = outcome(question, &positives, found.iter().any(|found| !found.suppressed));
        let lists = positives.iter().map(|list| (list.name, list.active.0)).collect();
        Answer { outcome, reason, lists, found }
    }
}

fn outcome(question: &Question, positives: &[&List], matched: bool) -> (Outcome, Option<Reason>) {
    let holding = |kinds: &dyn Fn(HashKind) -> bool| -> Vec<&&List> {
        let asked: Vec<HashKind> = question.seen.iter().map(|seen| seen.hash.kind()).filter(|kind| kinds(*kind)).collect();
        positives.iter().filter(|list| asked.iter().any(|kind| list.holds(*kind))).collect()
    };
    let quality = question.seen.iter().filter(|seen| !seen.hash.kind().is_digest()).filter_map(|seen| seen.quality).max();
    let by_pixels = holding(&|kind| !kind.is_digest());
    let blind = by_pixels.iter().filter(|list| quality.is_some_and(|quality| quality < list.policy.quality_min)).count();
    let (reason, partial) = match (holding(&|_| true).is_empty(), blind) {
        (true, _) => (Some(Reason::NoList), false),
        (false, blind) if blind > 0 && blind == by_pixels.len() => (Some(Reason::LowQuality), false),
        (false, blind) => (None, blind > 0),
    };
    let outcome = match (matched, reason, partial) {
        (true, _, _) => Outcome::Match,
        (false, Some(_), _) => Outcome::NotScanned,
        (false, None, true) => Outcome::Partial,
        (false, None, false) => Outcome::NoMatch,
    };
    (outcome, reason)
}

impl List {
    fn new(name: &'static str, polarity: Polarity, policy: ListPolicy) -> Self {
        let none = VersionNo(0);
        List {
            name,
            polarity,
            policy,
            disabled: false,
            active: none,
            previous: none,
            head: none,
            marks: BTreeMap::new(),
            feeds: Sources::NAMES.to_vec(),
            content: Arc::default(),
            versions: BTreeMap::new(),
            hashes: None,
        }
    }

    /// A list of which no more than what it holds now is known.
    pub fn standing(list: &HashList, holding: &Holding, marks: BTreeMap<u32, Mark>) -> Self {
        let (policy, disabled, active) = (list.policy.clone(), list.disabled, list.active);
        let entries = holding.iter().map(|(n, held)| (EntryNo(*n), (*n, *held))).collect();
        let content = Arc::new(Content { entries, ..Content::default() });
        List { disabled, active, content, marks, ..List::new(list_name(&list.name), list.polarity, policy) }
    }

    fn stage(&mut self, version: VersionNo, op: &ChangeOp) {
        let parent = parent_of(self, op);
        let by_edit = matches!(op, ChangeOp::Edit { .. } | ChangeOp::Stage { made_by: MadeBy::Edit, .. });
        let version_new = Version { parent, by_edit, seq: 0, rows: Vec::new(), sealed: false, folded: 0, whole: None };
        let known = self.versions.insert(version, version_new);
        assert!(known.is_none(), "version {} of list {} is made twice", version.0, self.name);
    }

    fn staged(&mut self, version: VersionNo) -> &mut Version {
        let name = self.name;
        let staged = self.versions.get_mut(&version).filter(|version| !version.sealed);
        staged.unwrap_or_else(|| panic!("version {} of list {name} is not being written", version.0))
    }

    /// Rows come with the list's own numbers of sources.
    fn extend(&mut self, version: VersionNo, rows: &[Row]) {
        let brief = |feeds: &[&'static str], (own, details): Brief| {
            let named = own.iter().map(|number| sources::source(feeds[number]));
            (named.fold(Sources(0), Sources::with), details)
        };
        let feeds = self.feeds.clone();
        let rows = rows.iter().map(|row| {
            let deed = match row.deed {
                Deed::Open(content, said) => Deed::Open(content, said.map(|said| brief(&feeds, said))),
                Deed::Close => Deed::Close,
                Deed::Describe(said) => Deed::Describe(brief(&feeds, said)),
            };
            Row { deed, ..*row }
        });
        self.staged(version).rows.extend(rows);
    }

    fn seal(&mut self, version: VersionNo, seq: u64) {
        let sealed = self.staged(version);
        (sealed.sealed, sealed.seq) = (true, seq);
        self.head = version;
        let made = &self.versions[&version];
        let folded = made.rows.len() + self.versions.get(&made.parent).map_or(0, |parent| parent.folded);
        let whole = (folded > FOLDED_MAX).then(|| Arc::new(self.content_of(version)));
        let made = self.versions.get_mut(&version).unwrap();
        made.folded = if whole.is_some() { 0 } else { folded };
        made.whole = whole;
    }

    fn activate(&mut self, version: VersionNo) {
        let next = self.versions.get(&version).filter(|version| version.sealed);
        let next = next.unwrap_or_else(|| panic!("version {} of list {} can't be activated", version.0, self.name));
        assert!(version != self.active, "version {} of list {} is active already", version.0, self.name);
        if next.parent == self.active {
            Arc::make_mut(&mut self.content).follow(&next.rows, self.name);
        } else {
            self.content = Arc::new(self.content_of(version));
        }
        self.hashes = None;
        (self.previous, self.active) = (self.active, version);
    }

    /// What a version holds: the changes of its line of parents.
    pub fn content_of(&self, version: VersionNo) -> Content {
        let (mut line, mut at, mut content) = (Vec::new(), version, Content::default());
        while at != VersionNo(0) {
            let version = self.versions.get(&at).unwrap_or_else(|| panic!("version {} of list {} is not there", at.0, self.name));
            if let Some(whole) = &version.whole {
                content = (**whole).clone();
                break;
            }
            line.push(version);
            at = version.parent;
        }
        line.iter().rev().for_each(|version| content.follow(&version.rows, self.name));
        content
    }

    pub fn version(&self, version: VersionNo) -> &Version {
        &self.versions[&version]
    }

    /// The versions that one is made of, the newest first.
    pub fn line(&self, version: VersionNo) -> impl Iterator<Item = &Version> {
        std::iter::successors(self.versions.get(&version), |version| self.versions.get(&version.parent))
    }

    /// The versions that can be activated.
    pub fn sealed(&self) -> impl DoubleEndedIterator<Item = VersionNo> {
        self.versions.iter().filter(|(_, version)| version.sealed).map(|(number, _)| *number)
    }

    /// Ids whose entry matches a hash, with distance, threshold and action.
    fn near(&self, hash: &HashValue, quality: Option<u8>) -> Vec<(u32, u16, u16, Action)> {
        let hashes = self.hashes.as_ref().unwrap();
        let kind = hash.kind();
        if !kind.is_digest() && quality.is_some_and(|quality| quality < self.policy.quality_min) {
            return Vec::new();
        }
        let radius = |category: &str| {
            let of_category = self.policy.category_radii.get(&(category.to_owned(), kind));
            *of_category.unwrap_or(&self.policy.kinds[&kind].radius)
        };
        let widest = CATEGORIES.map(radius).into_iter().max().unwrap();
        let within: Vec<(u32, u16)> = match hash {
            HashValue::Pdq(asked) => within(&hashes.pdq, widest, |hash| hash.distance(asked)),
            HashValue::Phash64(asked) => within(&hashes.phash64, widest, |hash| hash.distance(asked)),
            HashValue::Md5(asked) => within(&hashes.md5, widest, |hash| if hash == asked { 0 } else { u16::MAX }),
            _ => panic!("{kind} is not asked for"),
        };
        let is_stopped = |n: u32| self.marks.get(&n).is_some_and(|mark| mark.kind.stops());
        let found = within.into_iter().map(|(at, distance)| (&hashes.entries[at as usize], distance));
        let found = found.filter(|((n, _), _)| !is_stopped(*n));
        let action = |n: &u32, category: &str| {
            let of_category = self.policy.category_actions.get(&(category.to_owned(), kind));
            let action = *of_category.unwrap_or(&self.policy.kinds[&kind].action);
            let bound = self.marks.get(n).and_then(|mark| mark.kind.action_max()).filter(|_| !kind.is_digest());
            bound.map_or(action, |most| action.min(most))
        };
        let found = found.map(|((n, entry), distance)| (*n, distance, radius(&entry.category), action(n, &entry.category)));
        found.filter(|(_, distance, threshold, _)| distance <= threshold).collect()
    }

    fn holds(&self, kind: HashKind) -> bool {
        let hashes = self.hashes.as_ref().unwrap();
        match kind {
            HashKind::Pdq => !hashes.pdq.is_empty(),
            HashKind::Phash64 => !hashes.phash64.is_empty(),
            HashKind::Md5 => !hashes.md5.is_empty(),
            _ => false,
        }
    }

    fn gather(&mut self, universe: &Universe) {
        if self.hashes.is_some() {
            return;
        }
        let mut hashes = Hashes::default();
        let sought = self.content.entries.values().filter(|(_, held)| held.said.status != Status::Withdrawn);
        for (n, held) in sought {
            let (at, entry) = (hashes.entries.len() as u32, universe.entry(*n, held.said.content()));
            hashes.entries.push((*n, entry.clone()));
            for hash in &entry.hashes {
                match hash {
                    HashValue::Pdq(hash) => hashes.pdq.push((*hash, at)),
                    HashValue::Phash64(hash) => hashes.phash64.push((*hash, at)),
                    HashValue::Md5(hash) => hashes.md5.push((*hash, at)),
                    other => panic!("{} is in no list", other.kind()),
                }
            }
        }
        self.hashes = Some(hashes);
    }
}

fn within<H>(hashes: &[(H, u32)], radius: u16, distance: impl Fn(&H) -> u16) -> Vec<(u32, u16)> {
    hashes.iter().map(|(hash, at)| (*at, distance(hash))).filter(|(_, distance)| *distance <= radius).collect()
}

impl Content {
    fn follow(&mut self, rows: &[Row], list: &str) {
        for Row { entry, n, deed } in rows {
            let fits = match deed {
                Deed::Open((variant, status), said) => {
                    let before = self.gone.remove(entry).unwrap_or(UNSAID);
                    let (sources, details) = said.unwrap_or(before);
                    let said = Said { variant: *variant, status: *status, details };
                    self.entries.insert(*entry, (*n, Held { said, sources })).is_none()
                }
                Deed::Close => {
                    let closed = self.entries.remove(entry).map(|(_, held)| (held.sources, held.said.details));
                    if let Some(said) = closed.filter(|said| *said != UNSAID) {
                        self.gone.insert(*entry, said);
                    }
                    closed.is_some()
                }
                Deed::Describe((sources, details)) => match self.entries.get_mut(entry) {
                    Some((_, held)) => {
                        (held.sources, held.said.details) = (*sources, *details);
                        true
                    }
                    None => false,
                },
            };
            assert!(
                fits,
                "a version of list {list} opens entry {} that is there, or has another where it is not: {deed:?}",
                entry.0
            );
        }
    }

    /// By id.
    pub fn holding(&self) -> Holding {
        let holding: Holding = self.entries.values().copied().collect();
        assert_eq!(holding.len(), self.entries.len(), "an id is there twice");
        holding
    }
}
