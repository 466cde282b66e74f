//! `hashwarden list export` and `list bundle-key`: a version of a list as a file, and the key that bundles are signed with.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use tempfile::NamedTempFile;

use super::backend::lists;
use super::calls::Lists;
use super::context::{Context, Exit, Failure};
use super::new_file::NewFile;
use super::number::whole;
use super::output::{say, tell};
use super::remarks::{path_text, remark};
use crate::catalog::{ExportOptions, ExportReport, Stopped};
use crate::entry::VersionNo;
use crate::entry::shown::{counted, in_words, unopened};
use crate::lists::bundle::Seal;
use crate::lists::{Format, SigningKey, WRITTEN};
use crate::store::Access;

/// What is written at a time.
const WRITE_BYTES: usize = 256 * 1024;
/// What is read of a file that is to hold a key.
const KEY_FILE_BYTES_MAX: u64 = 64 * 1024;

#[derive(Args)]
pub struct ExportArgs {
    /// The list.
    name: String,
    /// The version to export; by default the active one.
    #[arg(long, value_name = "N", value_parser = whole(1..=u32::MAX))]
    version: Option<u32>,
    /// csv (all of each entry), bundle (the same, signed), pdq-text (PDQ hashes alone) or ncmec-xml.
    #[arg(long, default_value = "csv", value_parser = format)]
    format: Format,
    /// Write to this file, which its owner alone can read, instead of standard output. It is there only once it is whole.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only the entries of this source of the list.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// What becomes of entries that are disabled or quarantined here: withdrawn (they match nowhere), omit, or keep (they match where the file is
    /// imported).
    #[arg(long, value_name = "withdrawn|omit|keep", default_value = "withdrawn", value_parser = stopped)]
    disabled: Stopped,
    /// The private key that a bundle is signed with; `hashwarden list bundle-key` makes one. It stays here, also with --endpoint.
    #[arg(long, value_name = "FILE")]
    sign_key: Option<PathBuf>,
}

#[derive(Args)]
pub struct BundleKeyArgs {
    /// Write the private key to this new file, which its owner alone can read. Keep it from the server.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

fn format(text: &str) -> Result<Format, String> {
    let found = WRITTEN.into_iter().find(|format| format.name() == text);
    found.ok_or_else(|| format!("a list is exported as one of {}", WRITTEN.map(Format::name).join(", ")))
}

fn stopped(text: &str) -> Result<Stopped, String> {
    let found = Stopped::ALL.into_iter().find(|stopped| stopped.name() == text);
    found.ok_or_else(|| format!("one of {}", Stopped::ALL.map(Stopped::name).join(", ")))
}

pub fn export(context: &Context, args: &ExportArgs) -> Result<Exit, Failure> {
    let key = match (&args.sign_key, args.format) {
        (Some(path), Format::Bundle) => Some(key_in(path)?),
        (None, Format::Bundle) => {
            return Err(Failure::usage("a bundle is signed: --sign-key FILE (hashwarden list bundle-key makes one)"));
        }
        (Some(_), _) => return Err(Failure::usage("--sign-key is for --format bundle; the other formats have no signature")),
        (None, _) => None,
    };
    if context.json() && args.output.is_none() {
        return Err(Failure::usage("--json needs --output FILE: without it the list itself goes to standard output"));
    }
    let options = ExportOptions {
        version: args.version.map(VersionNo),
        format: args.format,
        source: args.source.clone(),
        stopped: args.disabled,
    };
    let lists = lists(context, Access::Read)?;
    let write = |out: &mut (dyn Write + Send)| written(lists.as_ref(), &args.name, &options, key.as_ref(), out);
    let report = match &args.output {
        None => {
            let mut out = Stdout { out: io::stdout(), gone: false };
            write(&mut out).map_err(|failure| if out.gone { Failure { why: String::new(), ..failure } } else { failure })?
        }
        Some(path) => {
            let failed = |error: &io::Error| Failure { exit: Exit::Failed, why: unopened(&path_text(path), error) };
            let mut file = beside(path).map_err(|error| failed(&error))?;
            let report = write(file.as_file_mut())?;
            file.as_file().sync_all().map_err(|error| failed(&error))?;
            file.persist(path).map_err(|error| failed(&error.error))?;
            report
        }
    };
    told(context, args, &report)?;
    Ok(Exit::Done)
}

/// A file with mode 0600 in the folder of another one, whose place it can take.
fn beside(path: &Path) -> io::Result<NamedTempFile> {
    // Not through a link: what it leads to would be replaced, or the link itself.
    match std::fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(there) if !there.is_file() => return Err(io::Error::other("it is there already, and is not a regular file")),
        _ => {}
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tempfile::Builder::new().prefix(".hashwarden-export-").tempfile_in(folder)
}

/// Standard output. Where its reader has gone, nobody wants words.
struct Stdout {
    out: io::Stdout,
    gone: bool,
}

impl Stdout {
    fn noted<T>(&mut self, done: io::Result<T>) -> io::Result<T> {
        self.gone |= done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        done
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let done = self.out.write(bytes);
        self.noted(done)
    }

    fn flush(&mut self) -> io::Result<()> {
        let done = self.out.flush();
        self.noted(done)
    }
}

/// Writes the list, and what signs it.
fn written(
    lists: &dyn Lists,
    name: &str,
    options: &ExportOptions,
    key: Option<&SigningKey>,
    out: &mut (dyn Write + Send),
) -> Result<ExportReport, Failure> {
    let mut out = BufWriter::with_capacity(WRITE_BYTES, out);
    let failed =
        |error: io::Error| Failure { exit: Exit::Failed, why: format!("the list could not be written: {}", in_words(&error)) };
    let report = match key {
        None => lists.export(name, options, &mut out)?,
        Some(key) => {
            let mut seal = Seal::begin(key, &mut out).map_err(failed)?;
            let report = lists.export(name, options, &mut seal)?;
            seal.finish(report.entries).map_err(failed)?;
            report
        }
    };
    out.flush().map_err(failed)?;
    Ok(report)
}

fn told(context: &Context, args: &ExportArgs, report: &ExportReport) -> Result<(), Failure> {
    let ExportReport { version, entries, bytes, stopped, left_out, hashes_left_out } = report;
    let mut said = vec![format!("{}: version {}, {}", args.name, version.0, counted(*entries, "entry", "entries"))];
    if *stopped > 0 {
        let became = match args.disabled {
            Stopped::Withdrawn => "written as withdrawn",
            Stopped::LeftOut => "left out",
            Stopped::AsTheyAre => "written with their source's status: where the file is imported they match",
        };
        said.push(format!("{} disabled or quarantined here: {became}", counted(*stopped, "entry is", "entries are")));
    }
    if *left_out > 0 {
        let entries = counted(*left_out, "entry is", "entries are");
        said.push(format!("{entries} left out, as {} has no place for them", args.format));
    }
    if *hashes_left_out > 0 {
        let hashes = counted(*hashes_left_out, "hash is", "hashes are");
        said.push(format!("{hashes} left out, as {} has no place for their kind", args.format));
    }
    let Some(path) = &args.output else {
        said.iter().for_each(remark);
        return Ok(());
    };
    said[0].push_str(&format!(", in {}", path_text(path)));
    tell(
        context,
        || {
            json!({
                "list": args.name, "version": version.0, "format": args.format.name(), "file": path_text(path), "entries": entries,
                "bytes": bytes, "stopped": stopped, "left_out": left_out, "hashes_left_out": hashes_left_out,
            })
        },
        || said.join("\n"),
    )
}

fn key_in(path: &Path) -> Result<SigningKey, Failure> {
    let mut pem = Vec::new();
    let read = File::open(path).and_then(|file| file.take(KEY_FILE_BYTES_MAX).read_to_end(&mut pem));
    read.map_err(|error| Failure::usage(format!("--sign-key: {}", unopened(&path_text(path), &error))))?;
    SigningKey::from_pem(&pem).map_err(|bad| Failure::usage(format!("--sign-key: {}: {bad}", path_text(path))))
}

pub fn bundle_key(context: &Context, args: &BundleKeyArgs) -> Result<Exit, Failure> {
    let file = NewFile::make(&args.out)?;
    let (key, pem) = SigningKey::generate().map_err(|bad| Failure { exit: Exit::Failed, why: bad.0 })?;
    let path = file.write(pem.trim_end())?;
    if context.json() {
        say(json!({"public_key": key.public().to_string(), "file": path_text(&path)}))?;
    } else {
        remark(format!(
            "the private key is in {}; the public key follows: whoever imports the bundles needs it in [import] trusted_signers, as NAME=KEY",
            path_text(&path)
        ));
        say(key.public())?;
    }
    Ok(Exit::Done)
}
