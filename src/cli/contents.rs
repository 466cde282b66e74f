//! What a list holds, for verbs that measure it: read as an export is, here or from a server.
//!
//! Memory holds the PDQ hashes and a number for each one's category. Who gets this may export the list.

use std::collections::{BTreeMap, HashMap};

use super::calls::Lists;
use super::context::{Exit, Failure};
use crate::catalog::{ExportOptions, ExportReport, Stopped};
use crate::entry::{HashKind, HashValue, Pdq, Status};
use crate::lists::bundle::Entries;
use crate::lists::{Format, Row, Written};

#[derive(Default)]
pub struct Contents {
    /// Of entries that are not withdrawn, none twice of one entry.
    pub pdqs: Vec<Pdq>,
    /// By the hash's place.
    pub category_of: Vec<u16>,
    /// Their names, by number.
    pub categories: Vec<String>,
    /// Entries by category, those too that do not match.
    pub entries_by_category: BTreeMap<String, u64>,
    pub entries_by_status: BTreeMap<Status, u64>,
    /// Hashes by kind.
    pub hashes: BTreeMap<HashKind, u64>,
    pub entries: u64,
    pub report: ExportReport,
    pub of: Option<Written>,
}

impl Contents {
    fn take(&mut self, row: Row, numbers: &mut HashMap<String, u16>) {
        self.entries += 1;
        *self.entries_by_category.entry(row.category.clone()).or_default() += 1;
        *self.entries_by_status.entry(row.status).or_default() += 1;
        row.hashes.iter().for_each(|hash| *self.hashes.entry(hash.kind()).or_default() += 1);
        if row.status == Status::Withdrawn {
            return;
        }
        let next = self.categories.len();
        let number = *numbers.entry(row.category).or_insert_with_key(|category| {
            // A list has a handful. Beyond what can be numbered they are counted with the last one.
            if next <= usize::from(u16::MAX) {
                self.categories.push(category.clone());
            }
            (self.categories.len() - 1) as u16
        });
        for hash in row.hashes {
            if let HashValue::Pdq(hash) = hash {
                self.pdqs.push(hash);
                self.category_of.push(number);
            }
        }
    }
}

/// `stopped`: what entries count as that a mark takes out here.
pub fn contents(lists: &dyn Lists, name: &str, stopped: Stopped) -> Result<Contents, Failure> {
    let (mut contents, mut numbers) = (Contents::default(), HashMap::new());
    let options = ExportOptions { format: Format::Bundle, stopped, ..ExportOptions::default() };
    let mut each = |row| contents.take(row, &mut numbers);
    let mut entries = Entries::new(&mut each);
    let report = lists.export(name, &options, &mut entries)?;
    let whole = entries.finish().filter(|(_, n)| *n == report.entries);
    let broken = || Failure { exit: Exit::Failed, why: "what came of the list is not all of it".to_owned() };
    let (of, _) = whole.ok_or_else(broken)?;
    (contents.report, contents.of) = (report, Some(of));
    Ok(contents)
}
