//! Is there a store in this directory, may we open it, and how is RocksDB set?
//!
//! Nothing is written before the store's format is known to be ours. Sizes are in bytes. Memory: at most [`WRITE_BUFFERS`] of
//! rows not yet in files, [`BLOCK_CACHE`] of blocks, whatever the store's size, and filters of 1.5 bytes a row.

use super::head::{self, Head};
use super::ids::IdForms;
use super::keys::{self, Family};
use super::room::{self, FREE_BYTES_MIN};
use super::{Access, Db, FORMAT_TRUTH, Store, StoreError, Writer, meta, migrate, migrate_rows};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, LogLevel, Options, WriteBatch,
    WriteOptions,
};
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, OnceLock};

const MIB: usize = 1024 * 1024;
const WRITE_BUFFERS: usize = 96 * MIB;
const BLOCK_CACHE: usize = 64 * MIB;
/// Bounds what is replayed at opening, and the disk space of the log.
const WAL: u64 = 96 * MIB as u64;
/// Files a writing store keeps open; a service's limit on open files is often 1,024.
const OPEN_FILES: i32 = 256;
/// A reader that opens beside a busy writer may find files gone; it looks again.
const READ_ATTEMPTS: usize = 5;
/// Stores of this format and later ones are brought to the one of today.
const FORMAT_OLDEST: u32 = 1;
/// So many deletions among so many rows in a row have the table written anew, so that versions that go do not stay on the disk.
const DELETIONS: (usize, usize) = (4_096, 1_024);

impl Store {
    /// Opens the store in `dir`; with [`Access::Write`] it is made if `dir` is absent or empty. `format_derived` is the number
    /// of the derived families' layout that the caller knows: see [`Store::format_derived_found`].
    pub fn open(dir: &Path, access: Access, format_derived: u32) -> Result<Store, StoreError> {
        Store::open_with(dir, access, format_derived, FREE_BYTES_MIN)
    }

    /// The same with another number of bytes that must be free on the disk for changes to be taken.
    pub fn open_with(dir: &Path, access: Access, format_derived: u32, free_bytes_min: u64) -> Result<Store, StoreError> {
        let mut store = match access {
            Access::Write => open_to_write(dir, format_derived, free_bytes_min)?,
            Access::Read | Access::StandIn => open_to_read(dir)?,
        };
        store.stands_in = access == Access::StandIn;
        store.free_bytes_min = free_bytes_min;
        Ok(store)
    }
}

fn open_to_write(dir: &Path, format_derived: u32, free_bytes_min: u64) -> Result<Store, StoreError> {
    let found = survey(dir)?;
    // Opening writes: what has no room for that would be left half opened.
    room::check_to_open(dir, free_bytes_min)?;
    if found == Found::Files {
        probe(dir, head::Check::Hold)?;
    }
    if found == Found::Nothing {
        create_dir(dir)?;
    }
    let head = head::read(dir)?;
    let db = open_all(dir)?;
    tighten(dir);
    let head = match meta::value(&db, keys::META_FORMAT_TRUTH)? {
        None => Some(birth(&db, dir, format_derived)?),
        Some(bytes) if keys::number_u32(Family::Meta, &bytes)? == FORMAT_OLDEST => Some(migrated(&db, dir, head)?),
        Some(_) => head,
    };
    if meta::number(&db, keys::META_FORMAT_TRUTH)? < migrate_rows::FORMAT || migrate_rows::is_due(&db)? {
        migrate_rows::run(&db, dir)?;
    }
    note_format(&db)?;
    migrate::forget_old(&db)?;
    // What an import that was cut short left there.
    db.drop_cf(Family::Scratch.name())?;
    db.create_cf(Family::Scratch.name(), &scratch_options())?;
    let writer = read_writer(&db)?;
    head::check_chain(&db, dir, head)?;
    head::adopt(&db, dir, head, Head { seq: writer.seq, chain: writer.chain })?;
    finish(db, dir, Some(writer))
}

fn open_all(dir: &Path) -> Result<Db, StoreError> {
    let mut options = options(Access::Write);
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    let mut families = descriptors(&Family::ALL);
    // RocksDB opens all families that there are, or none.
    if dir.join("CURRENT").exists() && Db::list_cf(&options, dir)?.iter().any(|name| name == migrate::CHANGES) {
        families.push(ColumnFamilyDescriptor::new(migrate::CHANGES, Options::default()));
    }
    Db::open_cf_descriptors(&options, dir, families).map_err(|error| locked(dir, error))
}

/// What format 4 has and format 3 had not (details, marks, sources) such a store lacks: nothing is written anew.
fn note_format(db: &Db) -> Result<(), StoreError> {
    if meta::number(db, keys::META_FORMAT_TRUTH)? == FORMAT_TRUTH {
        return Ok(());
    }
    let family = db.cf_handle(Family::Meta.name()).ok_or_else(|| Family::Meta.corrupt("the family is missing"))?;
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    Ok(db.put_cf_opt(&family, keys::META_FORMAT_TRUTH, FORMAT_TRUTH.to_be_bytes(), &synced)?)
}

/// Brings a store of the first format to the next.
fn migrated(db: &Db, dir: &Path, head: Option<Head>) -> Result<Head, StoreError> {
    migrate::check_chain(db, dir, head)?;
    let writer = read_writer(db)?;
    migrate::run(db, dir, Head { seq: writer.seq, chain: writer.chain })
}

/// A store that is there, to write to, whatever `HEAD` says; and the last change in it.
pub(super) fn open_as_found(dir: &Path) -> Result<(Db, Head), StoreError> {
    let not_a_store = |why| StoreError::NotAStore { dir: dir.into(), why };
    if !dir.join("CURRENT").exists() {
        let headed = dir.join(head::NAME).exists();
        return Err(if headed { lost(dir, NO_CURRENT) } else { not_a_store(NO_CURRENT) });
    }
    match probe(dir, head::Check::Skip)? {
        Born::Whole | Born::Older => {}
        Born::Unfinished if head::read(dir).is_ok_and(|head| head.is_some_and(|head| head.seq > 0)) => {
            return Err(lost(dir, NO_FORMAT));
        }
        Born::Unfinished => return Err(not_a_store("its creation was not finished")),
    }
    let db = open_all(dir)?;
    let writer = read_writer(&db)?;
    Ok((db, Head { seq: writer.seq, chain: writer.chain }))
}

fn open_to_read(dir: &Path) -> Result<Store, StoreError> {
    let families = Family::ALL.into_iter().filter(|f| *f != Family::Scratch).collect::<Vec<_>>();
    let mut attempt = 1;
    loop {
        if survey(dir)? != Found::Files {
            return Err(StoreError::NotAStore { dir: dir.into(), why: "there is nothing in it" });
        }
        let logs = wal_files(dir)?;
        let head = head::read(dir)?;
        let opened = probe(dir, head::Check::Hold).and_then(|born| match born {
            Born::Older => Err(StoreError::FormatOlder { dir: dir.into() }),
            Born::Whole => Ok(Db::open_cf_descriptors_read_only(&options(Access::Read), dir, descriptors(&families), false)?),
            Born::Unfinished => Err(StoreError::NotAStore { dir: dir.into(), why: "its creation was not finished" }),
        });
        // A log that the writer flushed and removed while we opened may be missing from what we read, with later ones present:
        // a state that never was.
        let whole = logs.is_subset(&wal_files(dir)?);
        match opened {
            Ok(db) if whole => {
                head::check_chain(&db, dir, head)?;
                return finish(db, dir, None);
            }
            Ok(_) if attempt == READ_ATTEMPTS => {
                return Err(Family::Meta.corrupt("the process that writes keeps changing its files; try again"));
            }
            Err(error @ (StoreError::FormatNewer { .. } | StoreError::FormatOlder { .. } | StoreError::NotAStore { .. })) => {
                return Err(error);
            }
            Err(error) if attempt == READ_ATTEMPTS => return Err(error),
            _ => attempt += 1,
        }
    }
}

fn finish(db: Db, dir: &Path, writer: Option<Writer>) -> Result<Store, StoreError> {
    let key = meta::value(&db, keys::META_ENTRY_ID_KEY)?.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let entry_id_key = key.ok_or_else(|| Family::Meta.corrupt("the key of entry ids is missing"))?;
    let format_derived_found = meta::number(&db, keys::META_FORMAT_DERIVED)?;
    let writer = writer.map(Mutex::new);
    Ok(Store {
        db,
        dir: dir.into(),
        writer,
        stands_in: false,
        free_bytes_min: FREE_BYTES_MIN,
        failed: OnceLock::new(),
        entry_id_key,
        forms: IdForms::new(&entry_id_key),
        format_derived_found,
        scratch_order: AtomicU64::new(0),
    })
}

const NO_CURRENT: &str = "RocksDB's file CURRENT is not there";
const NO_FORMAT: &str = "the database has no format number";

/// A store that acknowledged changes and lacks what [`Store::accept`] can't do without.
fn lost(dir: &Path, why: &'static str) -> StoreError {
    StoreError::Lost { dir: dir.into(), why }
}

#[derive(PartialEq)]
enum Found {
    /// No directory, or an empty one.
    Nothing,
    /// A RocksDB database whose making stopped before it had a manifest.
    Unfinished,
    Files,
}

fn survey(dir: &Path) -> Result<Found, StoreError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            return Err(StoreError::NotAStore { dir: dir.into(), why: "it is a file" });
        }
        Err(error) => return Err(StoreError::Dir { dir: dir.into(), error }),
    };
    let mut found = Found::Nothing;
    let mut foreign = false;
    let mut headed = false;
    for entry in entries {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if name == "CURRENT" {
            return Ok(Found::Files);
        }
        let ours = ["LOCK", "LOG", "IDENTITY", "MANIFEST-", "OPTIONS-"].iter().any(|start| name.starts_with(start))
            || [".dbtmp", ".log"].iter().any(|end| name.ends_with(end));
        headed |= name == head::NAME;
        foreign |= !ours;
        found = Found::Unfinished;
    }
    if headed {
        return Err(lost(dir, NO_CURRENT));
    }
    if foreign {
        return Err(StoreError::NotAStore { dir: dir.into(), why: "other files are in it" });
    }
    Ok(found)
}

#[derive(PartialEq)]
enum Born {
    Whole,
    /// Whole, and of a format from which it can be brought to this one.
    Older,
    /// All families may not be there yet, and nothing is in them.
    Unfinished,
}

/// Reads, without writing anything, whose database this is and in which format. Another process may be writing to it.
fn probe(dir: &Path, check: head::Check) -> Result<Born, StoreError> {
    let mut attempt = 1;
    loop {
        match probe_once(dir, check) {
            Err(StoreError::RocksDb(_) | StoreError::Corrupt { .. } | StoreError::Head { .. } | StoreError::Lost { .. })
                if attempt < READ_ATTEMPTS =>
            {
                attempt += 1;
            }
            result => return result,
        }
    }
}

fn probe_once(dir: &Path, check: head::Check) -> Result<Born, StoreError> {
    let foreign = |why| StoreError::NotAStore { dir: dir.into(), why };
    let head = if check == head::Check::Hold { head::read(dir)? } else { None };
    let names = Db::list_cf(&Options::default(), dir)?;
    let has_meta = names.iter().any(|name| name == Family::Meta.name());
    if !has_meta && names.len() > 1 {
        return Err(foreign("another program's database is in it"));
    }
    let families = if has_meta { &[Family::Meta][..] } else { &[] };
    let db = Db::open_cf_descriptors_read_only(&options(Access::Read), dir, descriptors(families), false)?;
    let mut first = db.raw_iterator();
    first.seek_to_first();
    if first.valid() {
        return Err(foreign("another program's database is in it"));
    }
    first.status()?;
    let format = if has_meta { meta::value(&db, keys::META_FORMAT_TRUTH)? } else { None };
    // Asked here, before anything is written: RocksDB ends a recovery by removing the log it could not read on.
    let check_if = |db: &Db, born| match check {
        head::Check::Skip => Ok(born),
        head::Check::Hold => head::check_reached(db, dir, head).map(|()| born),
    };
    match format {
        None if head.is_some_and(|head| head.seq > 0) => Err(lost(dir, NO_FORMAT)),
        None => Ok(Born::Unfinished),
        Some(bytes) => match keys::number_u32(Family::Meta, &bytes)? {
            FORMAT_TRUTH => check_if(&db, Born::Whole),
            FORMAT_OLDEST..FORMAT_TRUTH => check_if(&db, Born::Older),
            found if found > FORMAT_TRUTH => Err(StoreError::FormatNewer { found, known: FORMAT_TRUTH }),
            _ => Err(Family::Meta.corrupt("an impossible format number")),
        },
    }
}

/// One batch makes a store: a kill before it leaves what [`probe`] calls unfinished. `HEAD` comes first, as the batch says that it
/// is there; the batch goes into a table at once, so that no damage to the log makes a new store of an old one.
fn birth(db: &Db, dir: &Path, format_derived: u32) -> Result<Head, StoreError> {
    let head = Head { seq: 0, chain: [0; 32] };
    head::write(dir, head)?;
    let mut entry_id_key = [0; 32];
    getrandom::fill(&mut entry_id_key).map_err(StoreError::Random)?;
    let family = db.cf_handle(Family::Meta.name()).ok_or_else(|| Family::Meta.corrupt("the family is missing"))?;
    let mut batch = WriteBatch::default();
    batch.put_cf(&family, keys::META_FORMAT_TRUTH, FORMAT_TRUTH.to_be_bytes());
    batch.put_cf(&family, keys::META_FORMAT_DERIVED, format_derived.to_be_bytes());
    batch.put_cf(&family, keys::META_ENTRY_ID_KEY, entry_id_key);
    batch.put_cf(&family, keys::META_HEAD_KEPT, [1]);
    batch.put_cf(&family, keys::META_SEQ, 0u64.to_be_bytes());
    batch.put_cf(&family, keys::META_CHAIN, [0; 32]);
    batch.put_cf(&family, keys::META_NEXT_ENTRY, 0u32.to_be_bytes());
    batch.put_cf(&family, keys::META_NEXT_LIST, 1u32.to_be_bytes());
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    db.write_opt(batch, &synced)?;
    head::note_kept(db)?;
    Ok(head)
}

fn read_writer(db: &Db) -> Result<Writer, StoreError> {
    let missing = |what: &str| Family::Meta.corrupt(format!("{what} is missing"));
    let seq = meta::value(db, keys::META_SEQ)?.ok_or_else(|| missing("the last change's number"))?;
    let chain = meta::value(db, keys::META_CHAIN)?.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    Ok(Writer {
        seq: keys::number_u64(Family::Meta, &seq)?,
        chain: chain.ok_or_else(|| missing("the last change's digest"))?,
        next_entry: meta::number(db, keys::META_NEXT_ENTRY)?,
        next_list: meta::number(db, keys::META_NEXT_LIST)?,
        head_stale: false,
    })
}

/// Why a store could not be opened for writing.
fn locked(dir: &Path, error: rocksdb::Error) -> StoreError {
    // RocksDB has no kinds of its own for these. Both of its messages on a lock (this process, another one) name the file LOCK.
    let text = error.as_ref();
    if text.contains("No space left on device") || text.contains("Disk quota exceeded") {
        return room::full(dir);
    }
    let held = text.contains("lock hold by current process") || text.contains("While lock file");
    if held { StoreError::Locked { dir: dir.into() } } else { error.into() }
}

fn wal_files(dir: &Path) -> Result<BTreeSet<std::ffi::OsString>, StoreError> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        if name.to_string_lossy().ends_with(".log") {
            names.insert(name);
        }
    }
    Ok(names)
}

/// Lists are secrets: what others could read is for its owner alone from now on. What can't be changed is told, and no reason to stop.
fn tighten(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let private = |path: &Path, mode: u32| -> std::io::Result<()> {
        let found = fs::metadata(path)?.permissions().mode();
        if found & 0o077 == 0 { Ok(()) } else { fs::set_permissions(path, fs::Permissions::from_mode(found & mode)) }
    };
    let all = private(dir, 0o700).and_then(|()| fs::read_dir(dir)).and_then(|mut files| {
        files.try_for_each(|file| match private(&file?.path(), 0o600) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()), // RocksDB removed it meanwhile
            done => done,
        })
    });
    if let Err(error) = all {
        tracing::warn!(%error, dir = %dir.display(), "other users may read the store: the permissions of its files could not be restricted");
    }
}

/// Lists are secrets: a directory made here is for its owner alone.
fn create_dir(dir: &Path) -> Result<(), StoreError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|error| StoreError::Dir { dir: dir.into(), error })
}

fn options(access: Access) -> Options {
    let mut options = Options::default();
    options.set_max_background_jobs(2);
    options.set_db_write_buffer_size(WRITE_BUFFERS);
    options.set_max_total_wal_size(WAL);
    // A machine that went down leaves holes in what was not synced, so that the recovery must be one to a point in time; that
    // nothing acknowledged is behind that point, `head` sees to.
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    // A log that vanished would otherwise be a hole in the history that nobody notices.
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_bytes_per_sync(MIB as u64);
    options.set_wal_bytes_per_sync(MIB as u64);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(MIB);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    // A reader must hold every file: the writer may remove them while it reads.
    options.set_max_open_files(if access == Access::Read { -1 } else { OPEN_FILES });
    options
}

fn descriptors(families: &[Family]) -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(BLOCK_CACHE);
    families.iter().map(|f| ColumnFamilyDescriptor::new(f.name(), family_options(*f, &cache))).collect()
}

/// The scratch family has a small cache of its own: it is written once and read once, in order.
pub(super) fn scratch_options() -> Options {
    family_options(Family::Scratch, &Cache::new_lru_cache(4 * MIB))
}

fn family_options(family: Family, cache: &Cache) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    // Filters and indexes stay outside the cache (1.5 bytes a row): a filter larger than a shard of the cache can't be kept in
    // it and would be read anew for every look-up, at 270 us each.
    table.set_cache_index_and_filter_blocks(false);
    table.set_block_size(16 * 1024);
    table.set_format_version(5);
    let mut options = Options::default();
    let buffer = match family {
        Family::Entries
        | Family::EntryIds
        | Family::Deltas
        | Family::Details
        | Family::History
        | Family::Contents
        | Family::Columns
        | Family::Bk
        | Family::Scratch => 32,
        Family::Meta | Family::Lists | Family::Versions | Family::Marks | Family::Journal => 4,
    };
    options.set_write_buffer_size(buffer * MIB);
    options.set_max_write_buffer_number(3);
    if matches!(family, Family::Entries | Family::EntryIds | Family::Bk) {
        // Most ids of a new row are not there yet, and most edges of a BK-tree's node are not taken.
        table.set_bloom_filter(10.0, false);
        options.set_memtable_whole_key_filtering(true);
        options.set_memtable_prefix_bloom_ratio(0.05);
    }
    if matches!(family, Family::Entries | Family::EntryIds | Family::Deltas | Family::Details) {
        options.add_compact_on_deletion_collector_factory(DELETIONS.0, DELETIONS.1, 0.5);
    }
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::Lz4);
    options
}
