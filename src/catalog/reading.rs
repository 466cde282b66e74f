//! An import's files to rows in the store's scratch family, with what the report says of them.
//!
//! Files are read one after another, and each list in them as it comes. Memory holds a batch of rows, and the names of the files. Invariant: rows
//! count only once all files were read to their ends; who gets an error takes none.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::ops::ControlFlow;

use super::bundles::Bundles;
use super::rows::encode;
use super::{
    BAD_ROWS_MAX, BadRow, Bundled, CatalogError, Fetched, Files, ImportFile, ImportOptions, ImportReport, Phase, Progress,
};
use crate::entry::shown::{counted, escaped, without_hashes};
use crate::entry::{HashKind, HashValue, Status};
use crate::lists::bundle::Origin;
use crate::lists::{self, FileError, Format, Found, Layout, LeftOut, Row, RowError, Unpacking, Written};
use crate::store::{Store, StoreError};

/// Rows between two calls of `progress`, and in one batch to the scratch family.
pub(super) const STEP: u64 = 4096;
/// Bytes in such a batch: rows with details are long.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Lists in the files of one import: pages of a dump.
const LISTS_MAX: usize = 10_000;
/// Longest name of a file that is said with its rows, in characters.
const NAME_CHARS_MAX: usize = 128;

/// Reads all files, and tells the report. The names of their lists, by the numbers that rows in the scratch family have.
pub(super) fn read_to_scratch(
    store: &Store,
    options: &ImportOptions,
    bytes_max: u64,
    bundles: &Bundles<'_>,
    files: Files<'_, '_>,
    report: &mut ImportReport,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Vec<String>, Option<Origin>), CatalogError> {
    let (read, left) = (Cell::new(0), Cell::new(bytes_max));
    let with = Unpacking { left: &left, bytes_max };
    let mut reading = Reading {
        store,
        options,
        disputes_max: bundles.list.policy.disputes_max,
        bundles,
        bundle: None,
        key: store.entry_id_key(),
        read: &read,
        report,
        progress,
        names: Vec::new(),
        batch: Vec::with_capacity(STEP as usize),
        batch_bytes: 0,
        seen: Seen::default(),
    };
    for file in files {
        let ImportFile { name, mut input } = file.map_err(FileError::from)?;
        let name = shown(&name);
        let mut input = Counted { inner: &mut *input, read: &read };
        lists::each_list(&mut input, &with, &mut |found| reading.list(&name, found)).map_err(|error| of(&name, error))?;
    }
    if reading.names.is_empty() {
        return Err(FileError::Empty.into());
    }
    reading.flush()?;
    let Reading { names, seen, report, progress, bundle, .. } = reading;
    if bundle.is_some() && names.len() > 1 {
        return Err(FileError::Bundle("a bundle is all of a list: import it alone".to_owned()).into());
    }
    report.bytes = read.get();
    seen.warn(&names, report);
    progress(Progress { phase: Phase::Reading, bytes: read.get(), rows: report.rows, rows_bad: report.rows_bad });
    match none_taken(report).filter(|_| options.fetched == Fetched::No || report.rows_bad == report.rows) {
        Some(why) => Err(CatalogError::BadFile(why)),
        None => Ok((names, bundle)),
    }
}

/// A file's name as reports show it.
fn shown(name: &str) -> String {
    let short: String = name.chars().take(NAME_CHARS_MAX).collect();
    escaped(&without_hashes(&short)).into_owned()
}

/// An error that says which file it is of.
fn of(name: &str, error: CatalogError) -> CatalogError {
    match error {
        CatalogError::BadFile(why) if !name.is_empty() => CatalogError::BadFile(format!("{name}: {why}")),
        error => error,
    }
}

/// An import while its files are read.
struct Reading<'a> {
    store: &'a Store,
    options: &'a ImportOptions,
    /// Of the list's policy.
    disputes_max: u32,
    bundles: &'a Bundles<'a>,
    /// The bundle that was read.
    bundle: Option<Origin>,
    key: [u8; 32],
    /// Bytes of the files, as they come.
    read: &'a Cell<u64>,
    report: &'a mut ImportReport,
    progress: &'a mut dyn FnMut(Progress),
    /// The lists so far; the last one is being read.
    names: Vec<String>,
    /// Rows on their way to the scratch family.
    batch: Vec<(Vec<u8>, Vec<u8>)>,
    batch_bytes: usize,
    seen: Seen,
}

impl Reading<'_> {
    fn list(&mut self, file: &str, found: Found<'_>) -> Result<(), CatalogError> {
        if self.names.len() == LISTS_MAX {
            return Err(CatalogError::BadFile(format!("more than {LISTS_MAX} lists in one import")));
        }
        let member = found.name.map(shown).unwrap_or_default();
        let parts: Vec<_> = [file, &member].into_iter().filter(|part| !part.is_empty()).collect();
        self.names.push(parts.join(": "));
        self.rows(found).map_err(|error| of(&member, error))
    }

    fn rows(&mut self, found: Found<'_>) -> Result<(), CatalogError> {
        let options = self.options;
        let format = match options.format {
            Some(format) => lists::check_named(format, found.head).map(|()| format)?,
            None => lists::recognise(found.head)?,
        };
        let first = *self.report.format.get_or_insert(format);
        self.seen.formats_differ |= first != format;
        let mut failed = None;
        let bundles = self.bundles;
        let mut each = |row| match self.take(row) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        };
        let layout = if format == Format::Bundle {
            if options.delta {
                return Err(FileError::Bundle("a bundle is all of a list, and no delta".to_owned()).into());
            }
            let mut by = None;
            let mut known = |origin: &Origin| {
                by = Some((bundles.admit(origin)?, origin.clone()));
                Ok(())
            };
            lists::bundle::read(found.input, &mut known, &mut each)?;
            if let Some((signer, origin)) = by {
                let Written { list, version, exported, .. } = origin.of.clone();
                self.report.bundle = Some(Bundled { signer, list, version, exported });
                self.bundle = Some(origin);
            }
            Layout::default()
        } else {
            lists::read(format, &options.mapping, found.input, &mut each)?
        };
        if let Some(error) = failed {
            return Err(error.into());
        }
        self.seen.lay_out(layout, self.report);
        Ok(())
    }

    fn take(&mut self, row: Result<Row, RowError>) -> Result<(), StoreError> {
        let report = &mut *self.report;
        report.rows += 1;
        let taken = match row {
            Ok(row) => match row.left_out {
                Some(LeftOut::OtherSignal) => {
                    report.rows_unread += 1;
                    None
                }
                Some(LeftOut::Unsought) => {
                    report.rows_unsought += 1;
                    Some(row).filter(|row| row.deleted)
                }
                None => Some(row),
            },
            Err(RowError { line, record, reason, loses_hashes }) => {
                report.rows_bad_in_part += u64::from(loses_hashes);
                let file = self.names.last().cloned().unwrap_or_default();
                note_bad(report, BadRow { file, line, record, reason });
                None
            }
        };
        if let Some(mut row) = taken {
            if self.disputes_max > 0 && row.disputed_by >= self.disputes_max && row.status != Status::Withdrawn {
                row.status = Status::Withdrawn;
                self.seen.disputed += 1;
            }
            self.seen.row(&row);
            row.hashes.iter().for_each(|hash| *report.hashes.entry(hash.kind()).or_default() += 1);
            self.put(row)?;
        }
        let report = &mut *self.report;
        report.bytes = self.read.get();
        if report.rows.is_multiple_of(STEP) {
            (self.progress)(Progress {
                phase: Phase::Reading,
                bytes: report.bytes,
                rows: report.rows,
                rows_bad: report.rows_bad,
            });
        }
        Ok(())
    }

    fn put(&mut self, row: Row) -> Result<(), StoreError> {
        let (id, value) = encode(&self.key, self.names.len() - 1, row);
        self.batch_bytes += id.len() + value.len();
        self.batch.push((id, value));
        if self.batch.len() as u64 >= STEP || self.batch_bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.batch_bytes = 0;
        self.store.scratch_put(&mut self.batch)
    }
}

/// What becomes a warning, over all files.
#[derive(Default)]
struct Seen {
    /// The first column of something like a hash that is not read, and how many rows have one.
    unread: Option<(usize, u64)>,
    named_by_hash: u64,
    /// Withdrawn because members dispute them.
    disputed: u64,
    not_understood: u64,
    /// PDQ hashes with half of their bits set.
    balanced: u64,
    formats_differ: bool,
    columns_differ: bool,
    lists: u64,
    /// Lists none of whose pages is the last.
    with_more: u64,
}

impl Seen {
    fn row(&mut self, row: &Row) {
        if let Some(column) = row.unread {
            self.unread.get_or_insert((column, 0)).1 += 1;
        }
        let id = row.id.as_deref().unwrap_or_default();
        self.named_by_hash += u64::from(row.hashes.iter().any(|hash| is_named_by(id, hash)));
        self.not_understood += u64::from(row.details.fields.iter().any(|(name, _)| name == lists::STATUS_NOT_UNDERSTOOD));
        self.balanced += row.hashes.iter().filter(|hash| is_balanced(hash)).count() as u64;
    }

    fn lay_out(&mut self, layout: Layout, report: &mut ImportReport) {
        self.lists += 1;
        self.with_more += u64::from(layout.more);
        if report.columns.is_empty() {
            report.columns = layout.columns;
        } else {
            self.columns_differ |= !layout.columns.is_empty() && layout.columns != report.columns;
        }
    }

    fn warn(&self, names: &[String], report: &mut ImportReport) {
        let mut warn = |words: String| report.warnings.push(words);
        if let Some((column, n)) = self.unread {
            let rows = counted(n, "row holds", "rows hold");
            warn(format!("{rows} what looks like a hash in a column that is not read, such as column {column}"));
        }
        if self.disputed > 0 {
            let rows = counted(self.disputed, "row is", "rows are");
            warn(format!("{rows} withdrawn, as members of the source dispute what it has (list set --withdraw-disputed)"));
        }
        if self.named_by_hash > 0 {
            let rows = counted(self.named_by_hash, "row has", "rows have");
            warn(format!("{rows} a hash as its id; verdicts and comparisons show ids, so they will show these hashes"));
        }
        if report.rows_unsought > 0 {
            let rows = counted(report.rows_unsought, "row is", "rows are");
            warn(format!("{rows} NEGATIVE_CLASS or DISPUTED and left out of the new version"));
        }
        if report.rows_unread > 0 {
            let rows = counted(report.rows_unread, "row holds a signal", "rows hold signals");
            warn(format!("{rows} of kinds that are not read, such as texts and URLs, and left out of the new version"));
        }
        if self.lists > 0 && self.with_more == self.lists {
            warn("each page names a next one, so the dump may not be complete".to_owned());
        }
        if self.formats_differ {
            warn("the files are of several formats; the one that is said is the first file's".to_owned());
        }
        if self.columns_differ {
            warn(format!(
                "the columns are those of {}; other files have others",
                names.first().map_or("the first file", |name| name)
            ));
        }
        if self.not_understood > 0 {
            let rows = counted(self.not_understood, "row has", "rows have");
            warn(format!("{rows} a status that is not understood, and match: active, disputed and withdrawn are"));
        }
        if report.rows_bad_in_part > 0 {
            let rows = counted(report.rows_bad_in_part, "bad row has", "bad rows have");
            warn(format!("{rows} other hashes that can be read; they are not in the new version either"));
        }
        let pdqs = report.hashes.get(&HashKind::Pdq).copied().unwrap_or(0);
        if pdqs >= BALANCE_ROWS && self.balanced * 2 < pdqs {
            warn(format!(
                "only {} of {pdqs} PDQ hashes have half of their bits set, as PDQ's do: are they SHA-256, or made up?",
                self.balanced
            ));
        }
    }
}

/// Bad rows are counted; the first are kept.
pub(super) fn note_bad(report: &mut ImportReport, bad: BadRow) {
    report.rows_bad += 1;
    if report.bad.len() < BAD_ROWS_MAX {
        report.bad.push(bad);
    }
}

/// Why a file none of whose rows was taken is refused.
fn none_taken(report: &ImportReport) -> Option<String> {
    let first = report.bad.first().map(BadRow::to_string).unwrap_or_default();
    let ImportReport { rows, rows_bad: bad, rows_unsought: unsought, rows_unread: unread, .. } = *report;
    match report.format {
        Some(Format::Csv) if rows == 0 => return Some("the file has column names and no row below them".to_owned()),
        Some(Format::PdqText) if rows == 0 => return Some("the file has comments and no row".to_owned()),
        _ if rows == 0 => return Some("the file has no entries".to_owned()),
        _ if bad + unsought + unread < rows => return None,
        _ => {}
    }
    if bad == rows {
        return Some(match rows {
            1 => format!("the only row can't be read: {first}"),
            rows => format!("none of the {rows} rows can be read; the first: {first}"),
        });
    }
    let mut why = Vec::new();
    if unsought > 0 {
        why.push("NEGATIVE_CLASS and DISPUTED are left out".to_owned());
    }
    if unread > 0 {
        why.push(format!("{unread} hold signals of kinds that are not read"));
    }
    if bad > 0 {
        why.push(format!("{bad} can't be read; the first: {first}"));
    }
    Some(format!("none of the {rows} rows is to be found: {}", why.join(", and ")))
}

/// Whether an id is the hash itself.
fn is_named_by(id: &str, hash: &HashValue) -> bool {
    // Its length first: most ids are told apart without writing the hash.
    id.len() >= 16 && id.bytes().all(|digit| digit.is_ascii_hexdigit()) && hash.hex().eq_ignore_ascii_case(id)
}

/// Fewer PDQ hashes than this say nothing of where they come from.
const BALANCE_ROWS: u64 = 100;

/// Whether a PDQ hash has some half of its bits set. PDQ compares each coefficient with their median, so nearly every one has;
/// of random bits, and so of digests of the same length, a quarter has.
fn is_balanced(hash: &HashValue) -> bool {
    let HashValue::Pdq(hash) = hash else { return false };
    let ones: u32 = hash.0.iter().map(|word| word.count_ones()).sum();
    (126..=130).contains(&ones)
}

/// Counts what was read, for the progress bar.
struct Counted<'a> {
    inner: &'a mut dyn BufRead,
    read: &'a Cell<u64>,
}

impl Read for Counted<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(out)?;
        self.read.set(self.read.get() + n as u64);
        Ok(n)
    }
}

impl BufRead for Counted<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.read.set(self.read.get() + n as u64);
        self.inner.consume(n);
    }
}
