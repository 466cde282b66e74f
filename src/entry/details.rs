//! What a source says of an entry beside its hashes.
//!
//! Whether an entry is sought follows from its [`Status`], which is content, and from its [`Mark`](super::Mark). [`Details`] are read by people alone.

use std::fmt;
use std::str::FromStr;

use super::BadValue;

/// How an entry stands with its source. The numbers are part of the store's format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Status {
    #[default]
    Active = 0,
    /// Others do not agree with its source; it matches all the same.
    Disputed = 1,
    /// Its source takes it back: it stays in the list and does not match.
    Withdrawn = 2,
}

impl Status {
    pub const ALL: [Status; 3] = [Status::Active, Status::Disputed, Status::Withdrawn];

    pub fn name(self) -> &'static str {
        match self {
            Status::Active => "ACTIVE",
            Status::Disputed => "DISPUTED",
            Status::Withdrawn => "WITHDRAWN",
        }
    }

    pub fn from_u8(n: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|status| *status as u8 == n)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Status {
    type Err = BadValue;
    fn from_str(s: &str) -> Result<Self, BadValue> {
        let known = Self::ALL.into_iter().find(|status| status.name().eq_ignore_ascii_case(s));
        known.ok_or_else(|| BadValue(format!("unknown status {s:?}: one of ACTIVE, DISPUTED, WITHDRAWN")))
    }
}

/// The sources that have an entry, one bit each, as its list numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sources(pub u16);

impl Sources {
    /// A list's sources, with the two that every list has.
    pub const MAX: usize = 16;
    /// Files of which nobody said where they come from.
    pub const IMPORT: Sources = Sources(1);
    /// Entries that were added by hand.
    pub const LOCAL: Sources = Sources(2);
    /// The names of these two.
    pub const NAMES: [&'static str; 2] = ["import", "local"];

    /// The source that a list numbers so.
    pub fn numbered(number: usize) -> Option<Sources> {
        (number < Self::MAX).then(|| Sources(1 << number))
    }

    pub fn with(self, other: Sources) -> Sources {
        Sources(self.0 | other.0)
    }

    pub fn without(self, other: Sources) -> Sources {
        Sources(self.0 & !other.0)
    }

    pub fn contains(self, other: Sources) -> bool {
        self.0 & other.0 == other.0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their numbers.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..Self::MAX).filter(move |number| self.0 >> number & 1 == 1)
    }
}

/// What a source says of an entry for people to read: no look-up turns on it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Details {
    pub tags: Vec<String>,
    pub note: String,
    /// When the source last changed the entry, as it stands there.
    pub updated: String,
    /// The PDQ quality that the source gives, 0 to 100.
    pub quality: Option<u8>,
    /// Names and values that mean nothing here, as they came.
    pub fields: Vec<(String, String)>,
    /// Something was left out, as it was too long.
    pub cut: bool,
}

/// Bytes of the texts of an entry's details.
pub const DETAILS_BYTES_MAX: usize = 16 * 1024;

impl Details {
    pub fn is_empty(&self) -> bool {
        *self == Details::default()
    }

    pub fn bytes(&self) -> usize {
        let tags: usize = self.tags.iter().map(|tag| tag.len() + 4).sum();
        let fields: usize = self.fields.iter().map(|(name, value)| name.len() + value.len() + 12).sum();
        tags + fields + self.note.len() + self.updated.len()
    }

    /// Adds what a later row of the same entry says, as long as there is room.
    pub fn join(&mut self, later: Details) {
        if later.is_empty() {
            return;
        }
        if self.bytes() >= DETAILS_BYTES_MAX {
            self.cut = true;
            return;
        }
        for tag in later.tags {
            if !self.tags.contains(&tag) {
                self.tags.push(tag);
            }
        }
        for (text, later) in [(&mut self.note, later.note), (&mut self.updated, later.updated)] {
            if !later.is_empty() {
                *text = later;
            }
        }
        self.quality = later.quality.or(self.quality);
        self.cut |= later.cut;
        for (name, value) in later.fields {
            match self.fields.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = value,
                None => self.fields.push((name, value)),
            }
        }
    }

    /// Leaves out what is too long: fields from the last on, then tags, the source's time, and the rest of the note.
    pub fn bounded(mut self) -> Self {
        let mut bytes = self.bytes();
        while bytes > DETAILS_BYTES_MAX {
            self.cut = true;
            if let Some((name, value)) = self.fields.pop() {
                bytes -= name.len() + value.len() + 12;
            } else if let Some(tag) = self.tags.pop() {
                bytes -= tag.len() + 4;
            } else if !self.updated.is_empty() {
                bytes -= self.updated.len();
                self.updated.clear();
            } else {
                let end = (0..=DETAILS_BYTES_MAX).rev().find(|at| self.note.is_char_boundary(*at));
                self.note.truncate(end.unwrap_or(0));
                bytes = self.note.len();
            }
        }
        self
    }
}

impl fmt::Debug for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Details(..)") // a field may hold a hash
    }
}

/// The sources that have an entry from a version on, and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    pub sources: Sources,
    pub details: Details,
}

/// The member and the id that [`member_id`] was made of; `None` where it is no such id.
pub fn member_and_id(text: &str) -> Option<(String, String)> {
    let (member, id) = text.split_once('/')?;
    let decoded = |part: &str| Some(percent_encoding::percent_decode_str(part).decode_utf8().ok()?.into_owned());
    Some((decoded(member)?, decoded(id)?))
}

/// The id of an entry whose source numbers entries for each of its members.
pub fn member_id(member: &str, id: &str) -> String {
    let mut text = String::with_capacity(member.len() + id.len() + 1);
    for (n, part) in [member, id].into_iter().enumerate() {
        if n > 0 {
            text.push('/');
        }
        for c in part.chars() {
            if matches!(c, '/' | '%') || c.is_control() {
                let mut bytes = [0; 4];
                c.encode_utf8(&mut bytes).bytes().for_each(|byte| text.push_str(&format!("%{byte:02X}")));
            } else {
                text.push(c);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_members_id_comes_back_apart_only_at_its_slash() {
        assert_eq!(member_id("42", "img-1"), "42/img-1");
        assert_eq!(member_id("a/b", "50%\n é"), "a%2Fb/50%25%0A é");
        assert_ne!(member_id("a/b", "c"), member_id("a", "b/c"));
        for (member, id) in [("42", "img-1"), ("a/b", "50%\n é"), ("", "%2F")] {
            assert_eq!(member_and_id(&member_id(member, id)), Some((member.to_owned(), id.to_owned())));
        }
        assert_eq!(member_and_id("img-1"), None);
    }

    #[test]
    fn details_that_are_too_long_lose_their_end_and_say_so() {
        let long = "é".repeat(DETAILS_BYTES_MAX);
        let check = |details: Details, tags: usize, fields: usize| {
            let bounded = details.bounded();
            assert!(bounded.cut && bounded.bytes() <= DETAILS_BYTES_MAX, "{}", bounded.bytes());
            assert_eq!((bounded.tags.len(), bounded.fields.len()), (tags, fields));
        };
        let short = Details { tags: vec!["a".into()], note: "n".into(), ..Details::default() };
        assert_eq!(short.clone().bounded(), short);
        let field = |value: &str| ("f".to_owned(), value.to_owned());
        check(Details { fields: vec![field("x"), field(&long)], ..short.clone() }, 1, 1);
        check(Details { note: long.clone(), fields: vec![field("x")], ..short.clone() }, 0, 0);
        check(Details { updated: long.clone(), ..short.clone() }, 0, 0);
        check(Details { updated: long.clone(), note: long, ..short }, 0, 0);
    }

    #[test]
    fn sources_are_a_set() {
        let both = Sources::IMPORT.with(Sources::LOCAL);
        assert!(both.contains(Sources::LOCAL) && !Sources::IMPORT.contains(both));
        assert_eq!(both.iter().collect::<Vec<_>>(), [0, 1]);
        assert!(both.without(Sources::IMPORT).without(Sources::LOCAL).is_empty());
        assert_eq!((Sources::numbered(15), Sources::numbered(16)), (Some(Sources(1 << 15)), None));
    }
}
