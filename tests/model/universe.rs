//! What can be listed, and what is asked? Ids, entries, files and questions, each drawn from its number.
//!
//! Four ids in a row have hashes that are near to each other, and each id has three contents. Edits and most questions are about the first
//! [`HOT`] ids, so that threads meet there; imports bring the others, so that layers come about.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use hashwarden::demo::pictures::Random;
use hashwarden::entry::{Details, Entry, Hash64, HashKind, HashValue, Pdq, Status};
use hashwarden::snapshot::Question;

use super::sources::Said;

/// Ids from 0 up; the large list's files hold nearly all of them, which is more than one change closes.
pub const IDS: u32 = 11_500;
pub const HOT: u32 = 120;
pub const VARIANTS: u8 = 3;
pub const CATEGORIES: [&str; 3] = ["", "A", "B"];
/// Sources of lists: the two that every list has, and some that files are of.
pub const FEEDS: [&str; 5] = ["import", "local", "alpha", "beta", "gamma"];
/// What can be said of an id beside its content, from 0, nothing, up.
pub const DETAILS: u8 = 4;

/// Random numbers of several numbers.
pub fn random(parts: &[u64]) -> Random {
    let mixed = parts.iter().fold(0x6d6f_6465_6c00, |seed, part| Random::new(seed ^ part).next_u64().rotate_left(17));
    Random::new(mixed)
}

pub fn one_of<T: Copy>(random: &mut Random, all: &[T]) -> T {
    all[random.below(all.len())]
}

pub fn in_hundred(random: &mut Random, percent: usize) -> bool {
    random.below(100) < percent
}

pub struct Universe {
    /// By id, variant and status.
    entries: Vec<Arc<Entry>>,
    numbers: HashMap<String, u32>,
    pub questions: Vec<(String, Question)>,
}

impl Universe {
    pub fn new() -> Self {
        let variants = (0..IDS).flat_map(|n| (0..VARIANTS).map(move |variant| entry(n, variant)));
        let entries = variants.flat_map(|entry| Status::ALL.map(|status| Arc::new(entry.clone().with_status(status)))).collect();
        let numbers = (0..IDS).map(|n| (id(n), n)).collect();
        Universe { entries, numbers, questions: (0..96).map(question).collect() }
    }

    pub fn entry(&self, n: u32, (variant, status): (u8, Status)) -> &Arc<Entry> {
        let variant = n as usize * usize::from(VARIANTS) + usize::from(variant);
        &self.entries[variant * Status::ALL.len() + status as usize]
    }

    pub fn number(&self, id: &str) -> u32 {
        *self.numbers.get(id).unwrap_or_else(|| panic!("nobody listed the id {id:?}"))
    }

    /// Which id and which of its contents this is.
    pub fn listed(&self, entry: &Entry) -> (u32, (u8, Status)) {
        let n = self.number(&entry.id);
        let same = (0..VARIANTS).map(|variant| (variant, entry.status)).find(|content| **self.entry(n, *content) == *entry);
        (n, same.unwrap_or_else(|| panic!("nobody listed this content of the id {:?}", entry.id)))
    }
}

/// What is said of an id.
pub fn details(n: u32, which: u8) -> Details {
    let of_all = Details { note: format!("{which} of {n}"), ..Details::default() };
    match which {
        0 => Details::default(),
        1 => of_all,
        2 => Details { tags: vec!["seen".to_owned(), format!("t{}", n % 7)], updated: "2026-01-02".to_owned(), ..of_all },
        _ => Details {
            note: format!("{which} of {n} {}", "and more ".repeat(20).trim_end()),
            quality: Some((n % 101) as u8),
            fields: vec![("desk".to_owned(), format!("d{}", n % 5))],
            ..Details::default()
        },
    }
}

/// Which of an id's details these are.
pub fn which_details(n: u32, told: &Details) -> u8 {
    let same = (0..DETAILS).find(|which| details(n, *which) == *told);
    same.unwrap_or_else(|| panic!("nobody said this of {}: {:?} {:?} {:?}", id(n), told.note, told.tags, told.fields))
}

/// Something that can be said of an id: most often it is active and nothing more is said.
pub fn some_said(random: &mut Random, variant: u8, percent: usize) -> Said {
    let status = match random.below(100) {
        of if of < percent => Status::Withdrawn,
        of if of < 2 * percent => Status::Disputed,
        _ => Status::Active,
    };
    let details = if in_hundred(random, 4 * percent) { 1 + random.below(usize::from(DETAILS) - 1) as u8 } else { 0 };
    Said { variant, status, details }
}

/// Every eighth could be a hash, so that the store masks it in its keys.
pub fn id(n: u32) -> String {
    if n % 8 == 5 { format!("{:032x}", u128::from(n) << 90 | 0xabc) } else { format!("e{n}") }
}

fn entry(n: u32, variant: u8) -> Entry {
    let v = u64::from(variant);
    let mut random = random(&[1, u64::from(n), v]);
    let bits = 6 * (n as usize % 4) + 4 * usize::from(variant) + random.below(6);
    let pdq = |near: u32, random: &mut Random| HashValue::Pdq(flipped(centre(near), bits, random));
    let phash = HashValue::Phash64(Hash64(flipped64(centre(n).0[0], n as usize % 4 + random.below(2), &mut random)));
    let md5 = HashValue::Md5(md5(n, variant));
    let hashes = match n % 5 {
        0 => vec![pdq(n, &mut random)],
        1 => vec![pdq(n, &mut random), md5],
        2 => vec![pdq(n, &mut random), phash, md5],
        3 => vec![phash, md5],
        _ => vec![pdq(n, &mut random), pdq(n + 4, &mut random), md5],
    };
    Entry::new(id(n), CATEGORIES[(n as usize + usize::from(variant)) % 3].to_owned(), hashes).unwrap()
}

/// What an id's PDQ hashes are near to.
fn centre(n: u32) -> Pdq {
    let mut random = random(&[2, u64::from(n / 4)]);
    Pdq([random.next_u64(), random.next_u64(), random.next_u64(), random.next_u64()])
}

fn md5(n: u32, variant: u8) -> [u8; 16] {
    let mut random = random(&[3, u64::from(n), u64::from(variant)]);
    (u128::from(random.next_u64()) << 64 | u128::from(random.next_u64())).to_be_bytes()
}

fn flipped(mut hash: Pdq, bits: usize, random: &mut Random) -> Pdq {
    for _ in 0..bits {
        let bit = random.below(256);
        hash.0[bit / 64] ^= 1 << (bit % 64);
    }
    hash
}

fn flipped64(hash: u64, bits: usize, random: &mut Random) -> u64 {
    (0..bits).fold(hash, |hash, _| hash ^ 1 << random.below(64))
}

fn question(number: u64) -> (String, Question) {
    let mut random = random(&[4, number]);
    let n = random.below(if number % 8 == 7 { IDS } else { HOT } as usize) as u32;
    let (mut words, mut question) = (format!("question {number}:"), Question::default());
    let quality = one_of(&mut random, &[20, 50, 80, 100]);
    let kinds = [&["pdq"][..], &["pdq", "quality"], &["phash64"], &["md5"], &["pdq", "phash64", "md5"], &["pdq", "other"]];
    for kind in kinds[number as usize % kinds.len()] {
        let (near, hash) = match *kind {
            "phash64" => (n, HashValue::Phash64(Hash64(flipped64(centre(n).0[0], random.below(4), &mut random)))),
            "md5" => (n, HashValue::Md5(md5(n, random.below(usize::from(VARIANTS)) as u8))),
            _ => {
                let near = if *kind == "other" { random.below(HOT as usize) as u32 } else { n };
                (near, HashValue::Pdq(flipped(centre(near), random.below(12), &mut random)))
            }
        };
        let quality = (*kind == "quality").then_some(quality);
        words += &format!(" {} near e{near}{};", hash.kind(), quality.map_or(String::new(), |q| format!(" of quality {q}")));
        question.push(hash, quality);
    }
    (words, question)
}

/// What a list's files look like: which ids they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Small,
    Middle,
    Large,
}

/// A file that is imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    pub shape: Shape,
    pub seed: u64,
    /// The list's source that it is of.
    pub feed: &'static str,
    /// It has what changed.
    pub delta: bool,
    /// It has few ids beside the hot ones.
    pub short: bool,
    /// Nearly every entry has another content than in most files.
    pub shifted: bool,
    /// Rows that can't be read.
    pub bad: u32,
}

impl File {
    /// All of a list, of no named source.
    pub fn whole(shape: Shape, seed: u64) -> File {
        File { shape, seed, feed: FEEDS[0], delta: false, short: false, shifted: false, bad: 0 }
    }

    /// The ids that it has, and what it says of each; `None`: that it is deleted.
    pub fn rows(&self) -> BTreeMap<u32, Option<Said>> {
        let (first, last, percent) = match self.shape {
            Shape::Small => (HOT, 500, 40),
            Shape::Middle => (HOT, 4_000, 93),
            Shape::Large => (HOT, IDS, 98),
        };
        let mut random = random(&[5, self.seed]);
        let mut rows = BTreeMap::new();
        for n in (0..HOT).chain(first..last) {
            let is_hot = n < HOT;
            if !in_hundred(&mut random, if is_hot { 40 } else { percent }) || self.short && !is_hot && !in_hundred(&mut random, 3)
            {
                continue;
            }
            let usual = (n % 2) as u8;
            let other = in_hundred(&mut random, if is_hot { 50 } else { 4 });
            let variant = (usual + u8::from(other) + u8::from(self.shifted)) % VARIANTS;
            let said = some_said(&mut random, variant, if is_hot { 10 } else { 2 });
            let deleted = match self.delta {
                true => in_hundred(&mut random, 30),
                false => is_hot && in_hundred(&mut random, 4),
            };
            rows.insert(n, (!deleted).then_some(said));
        }
        rows
    }

    pub fn csv(&self, universe: &Universe) -> String {
        let mut lines: Vec<String> = self.rows().into_iter().flat_map(|(n, row)| csv_rows(universe, n, row)).collect();
        lines.extend((0..self.bad).map(|n| format!("bad{n},A,{n},,,,,,,,,")));
        if self.seed % 2 == 1 {
            lines.reverse();
        }
        format!("{COLUMNS}\n{}\n", lines.join("\n"))
    }
}

/// What a file says of an id. An entry with two hashes of a kind is two rows with one id.
pub fn csv_rows(universe: &Universe, n: u32, row: Option<Said>) -> Vec<String> {
    let Some(said) = row else { return vec![format!("{},,,,,yes,,,,,,", id(n))] };
    let (entry, details, mut lines) = (universe.entry(n, said.content()), details(n, said.details), Vec::new());
    let of = |kind| entry.hashes.iter().filter(move |hash: &&HashValue| hash.kind() == kind).map(HashValue::hex);
    let (mut pdqs, mut rest) = (of(HashKind::Pdq), [of(HashKind::Phash64), of(HashKind::Md5)].map(|mut of| of.next()));
    let quality = details.quality.map_or(String::new(), |quality| quality.to_string());
    let desk = details.fields.first().map_or("", |(_, desk)| desk);
    let (tags, note, updated) = (details.tags.join(" "), &details.note, &details.updated);
    let beside = format!("{},{tags},{note},{updated},{quality},{desk}", said.status);
    let mut pdq = pdqs.next();
    while pdq.is_some() || rest.iter().any(Option::is_some) {
        let [phash64, md5] = rest.each_mut().map(|hash| hash.take().unwrap_or_default());
        lines.push(format!("{},{},{},{phash64},{md5},,{beside}", entry.id, entry.category, pdq.unwrap_or_default()));
        pdq = pdqs.next();
    }
    lines
}

pub const COLUMNS: &str = "id,category,pdq,phash64,md5,deleted,hashstatus,tags,note,updated,quality,desk";
