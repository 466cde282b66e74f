//! What does a check come to?

use std::collections::BTreeMap;

use super::super::report::FindingKind;
use crate::entry::{EntryNo, Lineage};
use crate::snapshot::Alive;

/// Within so many bits PDQ hashes are of one picture, as PDQ's reference matches.
pub const RADIUS: u16 = 31;
/// Hashes that are judged together.
pub const BATCH: usize = 16 * 1024;
/// Fewer than this are quarantined, whatever their share of the version.
const FINDINGS_SURE: u64 = 100;

/// What a check came to.
#[derive(Default)]
pub struct Findings {
    /// What was found first of each entry.
    pub of: BTreeMap<EntryNo, (FindingKind, String)>,
    /// Entries that were checked.
    pub checked: Alive,
    /// Of them, those that are in negative lists too.
    pub harmless: u64,
    /// What kept a part of the check from being made.
    pub warning: Option<String>,
    /// Of the version that was checked, and of what was active.
    pub lineage: Lineage,
    pub before: Lineage,
    /// A part of the check was not made.
    pub is_partial: bool,
}

impl Findings {
    pub fn add(&mut self, entry: EntryNo, kind: FindingKind, reason: impl FnOnce() -> String) {
        self.of.entry(entry).or_insert_with(|| (kind, reason()));
    }

    pub fn len(&self) -> u64 {
        self.of.len() as u64
    }

    /// Whether so many that somebody should look before the version is used.
    pub fn are_many(&self, percent_max: u32) -> bool {
        let checked = self.checked.count();
        let many = self.len().saturating_mul(100) > u64::from(percent_max).saturating_mul(checked);
        percent_max > 0 && many && self.len() >= FINDINGS_SURE
    }
}
