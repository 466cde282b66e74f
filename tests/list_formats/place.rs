//! What the tests of every format share: rows in short, and a catalog to import into.

use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use hashwarden::app;
use hashwarden::catalog::{Catalog, CatalogError, ImportFile, ImportOptions, ImportReport, PolicyUpdate};
use hashwarden::config::Config;
use hashwarden::entry::{Caller, HashKind, HashValue, Polarity, Status};
use hashwarden::lists::{self, Format, Layout, LeftOut, Mapping, Row};
use hashwarden::matcher::{Content, GivenHash, Job, Matcher};
use hashwarden::store::Access;
use hashwarden::verdict::{Asked, Outcome};

/// Made-up hashes: hex digits that no picture has.
pub fn hex(kind: HashKind, n: u64) -> String {
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ kind as u64;
    let bytes: Vec<u8> = (0..kind.bytes())
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect();
    HashValue::from_bytes(kind, &bytes).unwrap().hex()
}

pub fn value(kind: HashKind, n: u64) -> HashValue {
    HashValue::from_hex(kind, &hex(kind, n)).unwrap()
}

/// A row in short: `record id [category] kinds`, with `x` in front of a tombstone, `-` of what is not sought, `~` of another signal, and
/// the status where it is not active.
fn in_short(row: &Row) -> String {
    let mark = match (row.deleted, row.left_out) {
        (_, Some(LeftOut::Unsought)) => "-",
        (_, Some(LeftOut::OtherSignal)) => "~",
        (true, None) => "x",
        (false, None) => "",
    };
    let kinds: Vec<_> = row.hashes.iter().map(|hash| hash.kind().name()).collect();
    let status = if row.status == Status::Active { String::new() } else { format!(" {}", row.status) };
    let id = row.id.as_deref().unwrap_or("?");
    format!("{mark}{} {id} [{}] {}{status}", row.record, row.category, kinds.join(","))
}

/// What a text holds in a format: rows in short, `record@line: reason` for bad ones, and the error where it fails as a whole.
pub fn read(format: Format, text: &[u8]) -> Vec<String> {
    let mut seen = Vec::new();
    let done = read_rows(format, &mut BufReader::with_capacity(7, text), &mut |line| seen.push(line));
    seen.extend(done.err().map(|error| error.to_string()));
    seen
}

fn read_rows(format: Format, input: &mut dyn BufRead, each: &mut dyn FnMut(String)) -> Result<Layout, lists::FileError> {
    lists::read(format, &Mapping::default(), input, &mut |row| {
        each(match row {
            Ok(row) => in_short(&row),
            Err(bad) => format!("{}@{}: {}", bad.record, bad.line, bad.reason),
        });
        ControlFlow::Continue(())
    })
}

/// What is said of each entry beside its content, as `name=value`.
pub fn details(format: Format, text: &[u8]) -> Vec<Vec<String>> {
    let mut seen = Vec::new();
    lists::read(format, &Mapping::default(), &mut &text[..], &mut |row| {
        let details = row.unwrap().details;
        let mut said: Vec<_> = details.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        said.extend((!details.tags.is_empty()).then(|| format!("tags={}", details.tags.join(" "))));
        said.extend((!details.updated.is_empty()).then(|| format!("updated={}", details.updated)));
        seen.push(said);
        ControlFlow::Continue(())
    })
    .unwrap();
    seen
}

pub struct Place {
    _dir: tempfile::TempDir,
    pub catalog: Arc<Catalog>,
    matcher: Matcher,
    pub by: Caller,
}

impl Place {
    /// A store with an empty list `known`.
    pub fn new() -> Self {
        let mut config = Config::default();
        config.import.check = false; // made-up hashes are not those of pictures
        Self::with(config)
    }

    pub fn with(config: Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (catalog, matcher) = app::matching(Path::new(dir.path()), &config, Access::Write).unwrap();
        let place = Place { _dir: dir, catalog, matcher, by: Caller("test".to_owned()) };
        place.catalog.create(&place.by, "known", Polarity::Positive, &PolicyUpdate::default()).unwrap();
        place
    }

    pub fn import(&self, file: &[u8]) -> Result<ImportReport, CatalogError> {
        self.import_as(file, &ImportOptions { accept: true, ..ImportOptions::default() })
    }

    /// Several files with their names.
    pub fn import_all(&self, files: &[(&str, &[u8])]) -> Result<ImportReport, CatalogError> {
        let mut files = files.iter().map(|(name, bytes)| {
            let input = BufReader::with_capacity(5_000, *bytes);
            Ok(ImportFile { name: (*name).to_owned(), input: Box::new(input) })
        });
        let options = ImportOptions { accept: true, ..ImportOptions::default() };
        let began = self.catalog.begin_import("known").unwrap();
        self.catalog.import_files(&self.by, "known", began, &options, &mut files, &mut |_| {})
    }

    pub fn import_as(&self, file: &[u8], options: &ImportOptions) -> Result<ImportReport, CatalogError> {
        self.catalog.import(&self.by, "known", options, &mut &file[..], &mut |_| {})
    }

    /// The ids of the entries that have a hash.
    pub fn ids(&self, kind: HashKind, n: u64) -> Vec<String> {
        let job = Job {
            content: Content::Hashes(vec![GivenHash { hash: value(kind, n), quality: None }]),
            lists: Asked::All,
            views: None,
            until: Instant::now() + Duration::from_secs(60),
            caller: self.by.clone(),
        };
        let (send, answer) = mpsc::channel();
        self.matcher.submit(job, move |a| send.send(a).unwrap());
        let verdict = answer.recv().unwrap().verdict;
        assert!([Outcome::Match, Outcome::NoMatch].contains(&verdict.outcome), "{:?}", verdict.outcome);
        verdict.matches.into_iter().map(|m| m.entry_id).collect()
    }
}

/// Every beginning of a document, and the document with one byte changed: nothing panics, no error repeats a hash, and no beginning passes for the
/// whole, as all that is left out is white space.
pub fn endures(format: Format, text: &[u8], hash: &str) {
    let check = |text: &[u8]| {
        let seen = read(format, text);
        let said: Vec<_> = seen.iter().filter(|line| !line.contains(" [")).collect();
        assert!(said.iter().all(|line| !line.contains(&hash[4..20])), "a hash is repeated: {said:?}");
        seen
    };
    let whole = text.trim_ascii_end().len();
    for end in 0..whole {
        let seen = check(&text[..end]);
        let failed = seen.last().is_some_and(|line| line.starts_with("line ") || line.contains("empty"));
        assert!(failed, "cut at {end}: {:?}", seen.last());
    }
    for at in 0..text.len() {
        for byte in [b'<', b'"', b'{', b'&', 0, 0xff, b'7'] {
            let mut text = text.to_vec();
            text[at] = byte;
            check(&text);
        }
    }
}
