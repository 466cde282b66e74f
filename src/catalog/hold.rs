//! May a new version be put to use before somebody has looked at it?
//!
//! An import can be right in every row and wrong as a whole: a file that was cut short, or another list's. What would change much, or may
//! have lost entries to bad rows, is staged and not activated; the report says why.

use std::collections::BTreeSet;

use super::{Catalog, Fetched, Hold, ImportOptions, ImportReport};
use crate::entry::HashList;
use crate::entry::options::{by_name, options};
use crate::entry::shown::counted;
use crate::lists::Signers;

options! {
    /// What an import may take, and which are activated unseen.
    #[derive(Eq)]
    pub struct Imports {
        /// Not one that would remove or add more of a list's entries than this, in per cent; 0 for any. A daily update changes some per cent
        /// of a list; a file that was cut, or another one, changes most of it.
        pub change_percent_max: u32 = 20, in 0..=1000;
        /// New entries are checked for hashes that would match what they should not, and those that have one are quarantined.
        pub check: bool = true;
        /// Not one of whose new entries more than this would be quarantined, in per cent; 0 for any.
        pub findings_percent_max: u32 = 1, in 0..=100;
        /// An entry is quarantined whose PDQ hash is near to those of more entries than this; 0: none is for that.
        pub neighbours_max: u32 = 1_000, in 0..=1_000_000;
        /// A list of ordinary pictures: new entries whose PDQ hashes are near to one of its are quarantined. Empty: none.
        pub benign: String = String::new();
        /// Bytes of all files of an import, unpacked. Ten million entries of XML have some 6 GiB; a compressed file of a few MiB can hold TiB.
        pub bytes_max: u64 = 64 * 1024 * 1024 * 1024, in 1024 * 1024..=1024 * 1024 * 1024 * 1024;
        /// Whose signed bundles are taken: NAME=KEY, with commas between them.
        #[serde(with = "by_name")]
        pub trusted_signers: Signers = Signers::default();
    }
}

/// Fewer changes than this are activated, whatever their share of the list.
const CHANGES_SURE: u64 = 100;
/// Categories that are looked at for those of a policy; a list has a handful.
pub(super) const CATEGORIES_MAX: usize = 10_000;

impl Catalog {
    /// Says why the version is not to be activated before somebody has looked at it, if anything does.
    pub(super) fn hold(&self, report: &mut ImportReport, options: &ImportOptions, rows_active: u64) {
        let not_active = match (options.activate, options.dry_run) {
            (true, false) => "not activated: ",
            (true, true) => "it would not be activated: ",
            (false, _) => "",
        };
        let ImportReport { added, changed, gone, rows_bad, .. } = *report;
        // A bad row may stand for an entry that would go with it, or lose a hash.
        if rows_bad > 0 && gone + changed > 0 {
            let (rows, entries) = (counted(rows_bad, "row is", "rows are"), counted(gone + changed, "entry", "entries"));
            let why = format!("{not_active}{rows} bad, and {entries} would be removed or changed; a bad row may be one of them");
            report.warnings.insert(0, why);
            report.held.push(Hold::BadRows);
        }
        let most = u64::from(self.imports.change_percent_max);
        let expected = if options.fetched == Fetched::Filling { added } else { 0 };
        let large = (gone.max(added - expected) + changed).saturating_mul(100) > most.saturating_mul(rows_active);
        if most > 0 && rows_active > 0 && large && added - expected + changed + gone >= CHANGES_SURE && !options.accept {
            let why = format!(
                "{not_active}of {}, {gone} would be removed and {changed} changed, and {added} would be added: {:.2} %, and the limit is {most} % \
                 ([import] change_percent_max)",
                counted(rows_active, "entry", "entries"),
                (gone.max(added) + changed) as f64 * 100.0 / rows_active as f64
            );
            report.warnings.insert(0, why);
            report.held.push(Hold::LargeChange);
        }
    }
}

/// Categories that a policy names and no entry has, where the list's categories are few enough to tell.
pub(super) fn strange_categories(list: &HashList, categories: &BTreeSet<String>) -> Option<String> {
    if categories.is_empty() || categories.len() >= CATEGORIES_MAX {
        return None;
    }
    let (radii, actions) = (list.policy.category_radii.keys(), list.policy.category_actions.keys());
    let named: BTreeSet<&str> = radii.chain(actions).map(|(category, _)| category.as_str()).collect();
    let strange: Vec<_> =
        named.into_iter().filter(|category| !categories.contains(*category)).map(|c| format!("{c:?}")).collect();
    (!strange.is_empty())
        .then(|| format!("the policy has a radius or an action for a category that no entry has: {}", strange.join(", ")))
}
