//! The command line: verbs, exit codes, and what they print.
//!
//! Every verb works on the embedded store (`--store`) or through a running server (`--endpoint`), with the same output. Results
//! go to standard output, all else to standard error.

/// A line for people, on standard error. Nothing depends on whether it can be written, where `eprintln` panics.
macro_rules! note {
    ($($words:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), $($words)*);
    }};
}

mod backend;
mod hash;
mod list;
mod output;
mod remote;
mod scan;
mod store;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Config;

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

const EXIT_CODES: &str = "Exit codes: 0 done, nothing matched and all was scanned; 1 something matched; 2 usage or configuration; \
                          3 could not do it; 4 nothing matched but something was not scanned whole.";

#[derive(Args)]
pub struct Common {
    /// Configuration file (TOML); HASHWARDEN__SECTION__KEY in the environment goes over it.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the embedded store; the configuration's unless given.
    #[arg(long, global = true, value_name = "DIR", conflicts_with = "endpoint")]
    store: Option<PathBuf>,
    /// A running server, such as http://127.0.0.1:50051, instead of the embedded store.
    #[arg(long, global = true, value_name = "URL")]
    endpoint: Option<String>,
    /// Machine-readable output: one JSON object a line.
    #[arg(long, global = true)]
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
        /// Ask only these lists.
        #[arg(long = "list", value_name = "NAME")]
        lists: Vec<String>,
    },
    /// Match files or hashes.
    Match(scan::MatchArgs),
    /// Work on hash lists.
    #[command(subcommand)]
    List(list::ListVerb),
    /// Work on the embedded store itself.
    #[command(subcommand)]
    Store(store::StoreVerb),
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

    pub fn json(&self) -> bool {
        self.common.json
    }
}

pub fn main() -> ExitCode {
    let cli = Cli::parse(); // a usage error ends the process with 2
    let exit = match run(cli) {
        Ok(exit) => exit,
        Err(failure) => {
            if !failure.why.is_empty() {
                note!("hashwarden: {}", failure.why);
            }
            failure.exit
        }
    };
    ExitCode::from(exit as u8)
}

fn run(cli: Cli) -> Result<Exit, Failure> {
    let mut config = Config::load(cli.common.config.as_deref()).map_err(Failure::usage)?;
    let verbose_by_default = matches!(cli.verb, Verb::Serve);
    if !verbose_by_default && config.log.level == Config::default().log.level {
        config.log.level = "warn".to_owned();
    }
    crate::app::confine(&config)?;
    crate::app::log(&config)?;
    let context = Context { config, common: cli.common };
    match cli.verb {
        Verb::Serve => serve(&context),
        Verb::Hash { files } => hash::run(&context, &files),
        Verb::Scan { paths, lists } => scan::scan(&context, &paths, lists),
        Verb::Match(args) => scan::run_match(&context, args),
        Verb::List(verb) => list::run(&context, verb),
        Verb::Store(verb) => store::run(&context, verb),
        Verb::Demo => demo(&context),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

fn serve(context: &Context) -> Result<Exit, Failure> {
    if context.endpoint().is_some() {
        return Err(Failure::usage("serve takes no --endpoint: it is the server"));
    }
    let mut config = context.config.clone();
    config.store.dir = context.dir();
    let runtime = runtime()?;
    let served = runtime.block_on(crate::app::serve(&config, |grpc, operator| {
        // For people and for scripts that asked for port 0.
        // A server needs nobody who reads it.
        drop(output::say(format!("gRPC on {grpc}, operator port on {operator}, store in {}", config.store.dir.display())));
    }));
    // What has not ended in its time to drain is not waited for: a comparison of two lists can take long, and a store takes no harm.
    runtime.shutdown_background();
    served?;
    Ok(Exit::Done)
}

fn demo(context: &Context) -> Result<Exit, Failure> {
    match runtime()?.block_on(crate::demo::run(&context.config, context.json())) {
        Ok(true) => Ok(Exit::Done),
        Ok(false) => Err(Failure { exit: Exit::Failed, why: "the demo saw a verdict other than expected".to_owned() }),
        Err(error) => Err(Failure { exit: Exit::Failed, why: error.to_string() }),
    }
}
