//! The command line: verbs, exit codes, and what they print.
//!
//! Every verb works on the embedded store (`--store`) or through a running server (`--endpoint`), with the same output. Results
//! go to standard output, all else to standard error.

mod backend;
mod calls;
mod contents;
mod context;
mod draw;
mod entries;
mod export;
mod hash;
mod hashes;
mod import;
mod list;
mod mapping;
mod new_file;
mod number;
mod output;
mod picture;
mod plot;
mod remarks;
mod remote;
mod report;
mod scan;
mod simulate;
mod sources;
mod store;
mod token;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::app::{AppError, Lines};
use crate::config::Config;
use crate::entry::shown::{escaped_lines, without_hashes};
use calls::Asked;
use context::{Common, Context, Exit, Failure, runtime};
use remarks::remark;

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
        asked: Asked,
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

pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    let exit = match run(cli) {
        Ok(exit) => exit,
        Err(failure) => {
            if !failure.why.is_empty() {
                remark(&failure.why);
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
    config.extract.workers.program = Some(crate::app::OWN_PROGRAM.into());
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
        if matches!(
            error,
            AppError::Config(_) | AppError::Tls(_) | AppError::Tokens(_) | AppError::Sandbox(_) | AppError::Feeds(_)
        ) {
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
