//! A version of a list to a file, while imports and edits go on.
//!
//! The ids of the list are gone through as they stood when the export began, in the order of their forms, and of each what the version has.
//! Nothing is swept meanwhile, so that entries which no version has any more are there until they are read. Memory holds an entry, the list's marks
//! and what the writer gathers. Invariant: an export that ends well has every entry of the version once, or says how many it left out and
//! why. Equal versions are written alike, byte for byte: within a store, and elsewhere unless ids look like hashes, which are sorted by a key of the store.

use std::io::{self, Write};

use super::{Catalog, CatalogError, lock, marks, shown, told};
use crate::entry::shown::in_words;
use crate::entry::{Caller, HashList, ListVersion, Polarity, Sources, Status, VersionNo};
use crate::lists::{Counts, Format, WRITTEN, Writer, Written};
use crate::store::IdHistory;

/// What is written, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportOptions {
    /// The active one if there is none.
    pub version: Option<VersionNo>,
    /// One of [`WRITTEN`].
    pub format: Format,
    /// The one source of the list whose entries are written; all of them if there is none.
    pub source: Option<String>,
    pub stopped: Stopped,
}

impl Default for ExportOptions {
    fn default() -> Self {
        ExportOptions { version: None, format: Format::Csv, source: None, stopped: Stopped::default() }
    }
}

/// What becomes of entries that a mark takes out here: disabled ones and quarantined ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stopped {
    /// They are written as withdrawn, so that they match nowhere.
    #[default]
    Withdrawn,
    LeftOut,
    /// With the status that their source gives them: where the file is imported they match.
    AsTheyAre,
}

impl Stopped {
    pub const ALL: [Stopped; 3] = [Stopped::Withdrawn, Stopped::LeftOut, Stopped::AsTheyAre];

    pub fn name(self) -> &'static str {
        match self {
            Stopped::Withdrawn => "withdrawn",
            Stopped::LeftOut => "omit",
            Stopped::AsTheyAre => "keep",
        }
    }
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportReport {
    pub version: VersionNo,
    pub entries: u64,
    pub bytes: u64,
    /// Entries that a mark takes out here, whatever became of them.
    pub stopped: u64,
    /// Entries without a hash that the format has a place for, and in text those that are withdrawn.
    pub left_out: u64,
    /// Hashes of entries that were written, of kinds that the format has no place for.
    pub hashes_left_out: u64,
}

impl Catalog {
    /// Writes a version to `out`, which may take as long as it likes. A bundle is written without its signature.
    pub fn export(
        &self,
        by: &Caller,
        name: &str,
        options: &ExportOptions,
        out: &mut dyn Write,
    ) -> Result<ExportReport, CatalogError> {
        let mut report = ExportReport::default();
        let list = self.find(name)?;
        let exported = self.write_version(by, &list, options, &mut report, out);
        // Deleted while it was read: what is missing is no damage.
        let exported = match exported {
            Err(error) if self.store().list(list.id)?.is_none() => {
                tracing::debug!(%error, "a list was deleted while it was exported");
                Err(CatalogError::NoSuchList(name.to_owned()))
            }
            exported => exported,
        };
        told::exported(by, &list, options, &report, exported.as_ref().err());
        exported.map(|()| report)
    }

    fn write_version(
        &self,
        by: &Caller,
        list: &HashList,
        options: &ExportOptions,
        report: &mut ExportReport,
        out: &mut dyn Write,
    ) -> Result<(), CatalogError> {
        if !WRITTEN.contains(&options.format) {
            let formats = WRITTEN.map(Format::name).join(", ");
            return Err(CatalogError::Invalid(format!("a list is exported as one of {formats}, not as {}", options.format)));
        }
        let store = self.store();
        let write = self.lock(); // so that no sweep is at work
        let _unswept = self.begun.clone();
        let gone = || CatalogError::NoSuchList(list.name.clone());
        let list = &store.list(list.id)?.ok_or_else(gone)?;
        let number = options.version.unwrap_or(list.active);
        if number == VersionNo(0) {
            return Err(CatalogError::Refused(format!("list {:?} has no active version to export", list.name)));
        }
        let version = self.sealed(list, number)?;
        let (ids, stopped, change) = {
            let _commit = lock(&self.commit);
            (store.ids(list.id)?, marks::in_force(&store, list.id)?, store.seq()?)
        };
        drop(write);
        report.version = number;
        let source = options.source.as_deref().map(|source| source_of(list, source)).transpose()?;
        let mut out = Counted { inner: out, bytes: 0 };
        let mut writer =
            Writer::begin(options.format, written(by, list, &version, change, options, &store.entry_id_key()), &mut out)
                .map_err(|error| unwritten(&error))?;
        for id in ids {
            let (_, history): (_, IdHistory) = id?;
            let Some(known) = history.in_version(&version.lineage) else { continue };
            if source.is_some_and(|source| !known.brief.sources.contains(source)) {
                continue;
            }
            // A store that failed has to be closed before it can be opened anew.
            if store.has_failed() {
                return Err(CatalogError::Unwritten("the store failed".to_owned()));
            }
            let missing = || CatalogError::Damaged(format!("entry {} has a delta and no row", known.entry.0));
            let mut entry = store.entry(list.id, known.entry)?.ok_or_else(missing)?;
            if stopped.stop(&entry.id, known.entry) {
                report.stopped += 1;
                match options.stopped {
                    Stopped::Withdrawn => entry.status = Status::Withdrawn,
                    Stopped::LeftOut => continue,
                    Stopped::AsTheyAre => {}
                }
            }
            let details = store.details(list.id, known.entry, &known.brief)?;
            writer.put(&entry, &details).map_err(|error| unwritten(&error))?;
            report.entries += 1;
        }
        let Counts { entries, left_out, hashes_left_out } = writer.finish().map_err(|error| unwritten(&error))?;
        out.flush().map_err(|error| unwritten(&error))?;
        (report.entries, report.left_out, report.hashes_left_out) = (entries, left_out, hashes_left_out);
        report.bytes = out.bytes;
        Ok(())
    }
}

fn unwritten(error: &io::Error) -> CatalogError {
    CatalogError::Unwritten(in_words(error))
}

fn source_of(list: &HashList, name: &str) -> Result<Sources, CatalogError> {
    list.source(name).ok_or_else(|| {
        let known = Sources::NAMES.into_iter().chain(list.sources.iter().map(String::as_str)).collect::<Vec<_>>().join(", ");
        CatalogError::Invalid(format!("list {:?} has no such source; it has {known}", list.name))
    })
}

fn written(by: &Caller, list: &HashList, version: &ListVersion, change: u64, options: &ExportOptions, key: &[u8; 32]) -> Written {
    let time = |ms: u64| {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(ms);
        humantime::format_rfc3339_seconds(time).to_string()
    };
    Written {
        list: list.name.clone(),
        negative: list.polarity == Polarity::Negative,
        version: version.version.0,
        change,
        made: time(version.time_ms),
        digest: hex::encode(shown::shown_digest(key, &version.digest)),
        source: options.source.clone(),
        exported_by: by.0.clone(),
        exported: time(super::now_ms()),
    }
}

struct Counted<'w> {
    inner: &'w mut dyn Write,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
