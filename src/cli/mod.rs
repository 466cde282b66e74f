//! The command line: verbs, exit codes, and what they print.
//!
//! Every verb works on the embedded store (`--store`) or through a running server (`--endpoint`), with the same output. Results
//! go to standard output, all else to standard error.

mod backend;
mod draw;
mod entries;
mod hash;
mod import;
mod list;
mod mapping;
mod number;
mod output;
mod remote;
mod scan;
mod store;
mod token;

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::app::{AppError, Lines};
use crate::client::{Credentials, Token};
use crate::config::Config;
use crate::entry::shown::{escaped_lines, unopened, without_hashes};
use output::path_text;

/// How a verb ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    Matched = 1,
    Usage = 2,
    Failed = 3,
    /// Nothing matched, but something is NOT_SCANNED or PARTIAL.
    NotScanned = 4,
}

/// Why a verb could not be done, and which exit code says so. Without words where nobody is left to read them.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub why: String,
}

impl Failure {
    pub fn usage(why: impl ToString) -> Self {
        Failure { exit: Exit::Usage, why: why.to_string() }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure { exit: Exit::Failed, why: error.to_string() }
    }
}

/// Finds known abuse imagery by its perceptual and cryptographic hashes.
#[derive(Parser)]
#[command(name = "hashwarden", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str = "Exit codes: 0 done, all scanned, nothing matched; 1 something matched; 2 wrong usage or configuration; 3 failed, \
                          or an import is staged for review; 4 nothing matched, but something was not scanned whole or its views \
                          were not all looked up in time.";

/// Over the options that every verb has.
const COMMON: &str = "Common options";
/// What is read of a file that is to hold a token, which is a line.
const TOKEN_FILE_BYTES_MAX: u64 = 64 * 1024;

#[derive(Args)]
pub struct Common {
    /// Configuration file (TOML); environment variables HASHWARDEN__SECTION__KEY override it.
    #[arg(long, global = true, value_name = "FILE", help_heading = COMMON)]
    config: Option<PathBuf>,
    /// Directory of the embedded store; by default the configuration's [store] dir.
    #[arg(long, global = true, value_name = "DIR", conflicts_with = "endpoint", help_heading = COMMON)]
    store: Option<PathBuf>,
    /// Use a running server, such as http://127.0.0.1:50051 or https://HOST:50051, instead of the embedded store.
    #[arg(long, global = true, value_name = "URL", help_heading = COMMON)]
    endpoint: Option<String>,
    /// File of the token that the server is shown.
    #[arg(long, global = true, value_name = "FILE", env = "HASHWARDEN_TOKEN_FILE", help_heading = COMMON)]
    token_file: Option<PathBuf>,
    /// Send the token over http:// to another machine, where others on the network can read it.
    #[arg(long, global = true, help_heading = COMMON)]
    allow_plaintext_token: bool,
    /// Certificate of the authority that issued the server's certificate (PEM); by default the system's authorities. Environment: HASHWARDEN_CA.
    #[arg(long, global = true, value_name = "FILE", help_heading = COMMON)]
    ca: Option<PathBuf>,
    /// Client certificate to show to the server (PEM). Environment: HASHWARDEN_CERT.
    #[arg(long, global = true, value_name = "FILE", help_heading = COMMON)]
    cert: Option<PathBuf>,
    /// Private key of the client certificate (PEM). Environment: HASHWARDEN_KEY.
    #[arg(long, global = true, value_name = "FILE", help_heading = COMMON)]
    key: Option<PathBuf>,
    /// Machine-readable output: one JSON object a line.
    #[arg(long, global = true, help_heading = COMMON)]
    json: bool,
}

#[derive(Subcommand)]
enum Verb {
    /// Serve gRPC and the operator port until SIGTERM.
    Serve,
    /// Print the hashes of files.
    Hash {
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Match every regular file under the paths.
    Scan {
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        #[command(flatten)]
        asked: scan::Asked,
    },
    /// Match files or hashes.
    Match(scan::MatchArgs),
    /// Manage hash lists.
    #[command(subcommand)]
    List(list::ListVerb),
    /// Manage the embedded store itself.
    #[command(subcommand)]
    Store(store::StoreVerb),
    /// Manage the tokens that callers of the service need.
    #[command(subcommand)]
    Token(token::TokenVerb),
    /// Draw pictures, load a list, start a server, match over gRPC and check every verdict.
    Demo,
}

/// What every verb is given.
pub struct Context {
    pub config: Config,
    pub common: Common,
}

impl Context {
    /// The embedded store's directory.
    pub fn dir(&self) -> PathBuf {
        self.common.store.clone().unwrap_or_else(|| self.config.store.dir.clone())
    }

    pub fn endpoint(&self) -> Option<&str> {
        self.common.endpoint.as_deref()
    }

    /// What the server is shown.
    fn credentials(&self) -> Result<Credentials, Failure> {
        let exposed = self.common.endpoint.as_deref().is_some_and(crate::client::is_exposed);
        if exposed && self.common.token_file.is_some() && !self.common.allow_plaintext_token {
            return Err(Failure::usage(
                "the token is not sent: http:// to another machine is not encrypted, so others on the network could read it; use https://, or \
                 --allow-plaintext-token if only trusted ones can",
            ));
        }
        let token = self.common.token_file.as_deref().map(token_in).transpose()?;
        Ok(Credentials { token, tls: self.tls()? })
    }

    pub fn json(&self) -> bool {
        self.common.json
    }

    /// The certificates for the server. The environment's are for https:// alone, as it may stay set for other endpoints.
    fn tls(&self) -> Result<crate::client::Tls, Failure> {
        let Common { ca, cert, key, endpoint, .. } = &self.common;
        let encrypted = endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("https://"));
        let file = |option: &str, given: &Option<PathBuf>, variable: &str| {
            let of_environment = || std::env::var_os(variable).filter(|path| encrypted && !path.is_empty()).map(PathBuf::from);
            let Some(path) = given.clone().or_else(of_environment) else { return Ok(None) };
            let unread = |error| Failure::usage(format!("{option}: {}", unopened(&output::path_text(&path), &error)));
            std::fs::read(&path).map(Some).map_err(unread)
        };
        let ca = file("--ca", ca, "HASHWARDEN_CA")?;
        let identity = match (file("--cert", cert, "HASHWARDEN_CERT")?, file("--key", key, "HASHWARDEN_KEY")?) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (Some(_), None) => return Err(Failure::usage("--cert needs --key: the certificate's private key")),
            (None, Some(_)) => return Err(Failure::usage("--key needs --cert: the key's certificate")),
        };
        Ok(crate::client::Tls { ca, identity })
    }

    /// Options for a server, where there is none to go to.
    fn check_options(&self) -> Result<(), Failure> {
        let Common { ca, cert, key, endpoint, .. } = &self.common;
        match endpoint.is_none() && (ca.is_some() || cert.is_some() || key.is_some()) {
            true => Err(Failure::usage("--ca, --cert and --key are for a server: add --endpoint https://HOST:PORT")),
            false => Ok(()),
        }
    }
}

/// The token in a file. What else may be in the file is not repeated.
fn token_in(path: &Path) -> Result<Token, Failure> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| {
        let found = file.metadata()?;
        let mode = found.permissions().mode() & 0o777;
        if found.is_file() && mode & 0o077 != 0 {
            output::remark(format!(
                "warning: others than its owner can use the token in {} (mode {mode:o}): chmod 600",
                path_text(path)
            ));
        }
        file.take(TOKEN_FILE_BYTES_MAX).read_to_string(&mut text)
    });
    read.map_err(|error| Failure::usage(format!("the token can't be read: {}", unopened(&path_text(path), &error))))?;
    Token::parse(&text).map_err(|why| Failure::usage(format!("the token can't be read: {}: {why}", path_text(path))))
}

pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    let exit = match run(cli) {
        Ok(exit) => exit,
        Err(failure) => {
            if !failure.why.is_empty() {
                output::remark(&failure.why);
            }
            failure.exit
        }
    };
    ExitCode::from(exit as u8)
}

/// Help, or a usage error. An error repeats what was given, which may be a hash in the wrong place.
fn refused(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    let shown = without_hashes(&escaped_lines(&text)).into_owned();
    // Where nobody reads it, the exit code is what is left.
    let _ = if shown == text { error.print() } else { write!(std::io::stderr(), "{shown}") };
    ExitCode::from(error.exit_code() as u8)
}

fn run(cli: Cli) -> Result<Exit, Failure> {
    let refused = |error: crate::config::ConfigError| Failure::usage(without_hashes(&error.to_string()));
    let mut config = Config::load(cli.common.config.as_deref()).map_err(refused)?;
    let serves = matches!(cli.verb, Verb::Serve);
    if !serves && config.log.level == Config::default().log.level {
        config.log.level = "warn".to_owned();
    }
    crate::app::confine(&config)?;
    crate::app::log(&config, if serves { Lines::Queued } else { Lines::Direct })?;
    let context = Context { config, common: cli.common };
    context.check_options()?;
    match cli.verb {
        Verb::Serve => serve(&context),
        Verb::Hash { files } => hash::run(&context, &files),
        Verb::Scan { paths, asked } => scan::scan(&context, &paths, &asked),
        Verb::Match(args) => scan::run_match(&context, args),
        Verb::List(verb) => list::run(&context, verb),
        Verb::Store(verb) => store::run(&context, verb),
        Verb::Token(verb) => token::run(&context, verb),
        Verb::Demo => demo(&context),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// How long the end waits for the one line on standard output.
const SAY_MAX: Duration = Duration::from_secs(1);

fn serve(context: &Context) -> Result<Exit, Failure> {
    if context.endpoint().is_some() {
        return Err(Failure::usage("serve takes no --endpoint: it is the server itself"));
    }
    let mut config = context.config.clone();
    config.store.dir = context.dir();
    let runtime = runtime()?;
    let (saying, said) = std::sync::mpsc::channel::<()>();
    let served = runtime.block_on(crate::app::serve(&config, |grpc, operator| {
        let line = format!("gRPC on {grpc}, operator port on {operator}, store in {}", config.store.dir.display());
        // For people, and for scripts that asked for port 0. Ignore a closed stdout, and don't wait for one that nobody reads.
        let say = move || {
            drop(output::say(line));
            drop(saying);
        };
        drop(std::thread::Builder::new().spawn(say));
    }));
    // What has not ended in its time to drain is not waited for: a comparison of two lists can take long, a store that is being opened too,
    // and a store takes no harm.
    runtime.shutdown_background();
    let is_read = crate::app::log_written();
    let _ = said.recv_timeout(SAY_MAX); // nothing is sent: it ends when the line is out
    if let Err(error) = served {
        if matches!(error, AppError::Config(_) | AppError::Tls(_) | AppError::Tokens(_)) {
            return Err(Failure::usage(without_hashes(&error.to_string())));
        }
        // Where nobody reads standard error, to say why would wait for ever.
        return Err(if is_read { error.into() } else { Failure { exit: Exit::Failed, why: String::new() } });
    }
    // Without the destructors of RocksDB's globals: threads that still read there would end the process by a fault.
    signal_hook::low_level::exit(Exit::Done as i32)
}

fn demo(context: &Context) -> Result<Exit, Failure> {
    match runtime()?.block_on(crate::demo::run(&context.config, context.json())) {
        Ok(true) => Ok(Exit::Done),
        Ok(false) => Err(Failure { exit: Exit::Failed, why: "a verdict of the demo was not as expected".to_owned() }),
        Err(error) => Err(Failure { exit: Exit::Failed, why: error.to_string() }),
    }
}
