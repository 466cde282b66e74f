//! What becomes of an id when a source says something of it? The plain rules, without versions, entry numbers or changes.

use std::collections::BTreeMap;

use hashwarden::entry::{Sources, Status};

use super::universe::{FEEDS, File};

/// What a source says of an id: which of its contents, how that stands, and which details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Said {
    pub variant: u8,
    pub status: Status,
    /// 0 for none.
    pub details: u8,
}

impl Said {
    pub fn content(self) -> (u8, Status) {
        (self.variant, self.status)
    }
}

/// An id as a list has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub said: Said,
    /// Numbered as in [`FEEDS`], whatever the list's own numbers are.
    pub sources: Sources,
}

/// Ids as a list has them.
pub type Holding = BTreeMap<u32, Held>;

/// A source by its place in [`FEEDS`].
pub fn source(feed: &str) -> Sources {
    let place = FEEDS.into_iter().position(|known| known == feed).unwrap_or_else(|| panic!("nobody has a source {feed:?}"));
    Sources::numbered(place).unwrap()
}

/// A source has the id: the content is what it says, and so are the details, where it says any or is the only source.
pub fn put(before: Option<Held>, said: Said, by: Sources) -> Held {
    let Some(before) = before else { return Held { said, sources: by } };
    let others_said = said.details == 0 && before.sources != by;
    let details = if others_said { before.said.details } else { said.details };
    Held { said: Said { details, ..said }, sources: before.sources.with(by) }
}

/// A source has the id no more.
pub fn taken_back(before: Held, by: Sources) -> Option<Held> {
    let sources = before.sources.without(by);
    (!sources.is_empty()).then_some(Held { sources, ..before })
}

/// A list after an import.
pub fn imported(before: &Holding, file: &File) -> Holding {
    let (by, rows, mut after) = (source(file.feed), file.rows(), before.clone());
    for (n, row) in &rows {
        let now = match row {
            Some(said) => Some(put(before.get(n).copied(), *said, by)),
            None => before.get(n).and_then(|held| taken_back(*held, by)),
        };
        match now {
            Some(held) => _ = after.insert(*n, held),
            None => _ = after.remove(n),
        }
    }
    if !file.delta {
        after.retain(|n, held| {
            let left = if rows.contains_key(n) { Some(*held) } else { taken_back(*held, by) };
            left.inspect(|left| *held = *left).is_some()
        });
    }
    after
}

/// What is active after an import that wrote `imported` while the list became `now`, of an id that nobody edited by hand meanwhile: what the
/// file's source says of it is as imported, what others say as it is now.
pub fn beside(imported: Option<Held>, now: Option<Held>, by: Sources) -> Option<Held> {
    let others = now.map_or(Sources(0), |now| now.sources.without(by));
    match (imported.filter(|held| held.sources.contains(by)), now) {
        (Some(own), _) => Some(Held { sources: others.with(by), ..own }),
        (None, Some(now)) => (!others.is_empty()).then_some(Held { sources: others, ..now }),
        (None, None) => None,
    }
}

/// The same of an id that was edited by hand: that stays, but for whether the file's source has it too.
pub fn edited(imported: Option<Held>, now: Option<Held>, by: Sources) -> Option<Held> {
    let own = imported.filter(|held| held.sources.contains(by));
    let now = now?;
    let details = own.filter(|_| now.said.details == 0).map_or(now.said.details, |own| own.said.details);
    let sources = now.sources.without(by).with(own.map_or(Sources(0), |_| by)).with(Sources::LOCAL);
    Some(Held { said: Said { details, ..now.said }, sources })
}

/// How a list differs from what it was.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub added: u64,
    pub changed: u64,
    pub removed: u64,
    pub unchanged: u64,
    /// Of the unchanged ones, those of which something else is said.
    pub details_changed: u64,
}

impl Counts {
    pub fn count(&mut self, before: Option<Held>, after: Option<Held>) {
        match (before, after) {
            (None, None) => {}
            (None, Some(_)) => self.added += 1,
            (Some(_), None) => self.removed += 1,
            (Some(before), Some(after)) if before.said.content() != after.said.content() => self.changed += 1,
            (Some(before), Some(after)) => {
                self.unchanged += 1;
                self.details_changed += u64::from(before != after);
            }
        }
    }
}
