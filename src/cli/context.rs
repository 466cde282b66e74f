//! What every verb is given, and what it gives back: the options that all have, and how a verb ended.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;

use super::remarks::{path_text, remark};
use crate::client::{Credentials, Token};
use crate::config::Config;
use crate::entry::shown::unopened;

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

/// Over the options that every verb has.
const COMMON: &str = "Common options";
/// What is read of a file that is to hold a token, which is a line.
const TOKEN_FILE_BYTES_MAX: u64 = 64 * 1024;

#[derive(Args)]
pub struct Common {
    /// Configuration file (TOML); environment variables HASHWARDEN__SECTION__KEY override it.
    #[arg(long, global = true, value_name = "FILE", help_heading = COMMON)]
    pub config: Option<PathBuf>,
    /// Directory of the embedded store; by default the configuration's [store] dir.
    #[arg(long, global = true, value_name = "DIR", conflicts_with = "endpoint", help_heading = COMMON)]
    pub store: Option<PathBuf>,
    /// Use a running server, such as http://127.0.0.1:50051 or https://HOST:50051, instead of the embedded store.
    #[arg(long, global = true, value_name = "URL", help_heading = COMMON)]
    pub endpoint: Option<String>,
    /// File of the token that the server is shown.
    #[arg(long, global = true, value_name = "FILE", env = "HASHWARDEN_TOKEN_FILE", help_heading = COMMON)]
    pub token_file: Option<PathBuf>,
    /// Send the token over http:// to another machine, where others on the network can read it.
    #[arg(long, global = true, help_heading = COMMON)]
    pub allow_plaintext_token: bool,
    /// Certificate of the authority that issued the server's certificate (PEM); by default the system's authorities. Environment: HASHWARDEN_CA.
    #[arg(long, global = true, value_name = "FILE", help_heading = COMMON)]
    pub ca: Option<PathBuf>,
    /// Client certificate to show to the server (PEM). Environment: HASHWARDEN_CERT.
    #[arg(long, global = true, value_name = "FILE", help_heading = COMMON)]
    pub cert: Option<PathBuf>,
    /// Private key of the client certificate (PEM). Environment: HASHWARDEN_KEY.
    #[arg(long, global = true, value_name = "FILE", help_heading = COMMON)]
    pub key: Option<PathBuf>,
    /// Machine-readable output: one JSON object a line.
    #[arg(long, global = true, help_heading = COMMON)]
    pub json: bool,
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
    pub fn credentials(&self) -> Result<Credentials, Failure> {
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
            let unread = |error| Failure::usage(format!("{option}: {}", unopened(&path_text(&path), &error)));
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
    pub fn check_options(&self) -> Result<(), Failure> {
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
            remark(format!("warning: others than its owner can use the token in {} (mode {mode:o}): chmod 600", path_text(path)));
        }
        file.take(TOKEN_FILE_BYTES_MAX).read_to_string(&mut text)
    });
    read.map_err(|error| Failure::usage(format!("the token can't be read: {}", unopened(&path_text(path), &error))))?;
    Token::parse(&text).map_err(|why| Failure::usage(format!("the token can't be read: {}: {why}", path_text(path))))
}

/// The runtime of a verb that is a server, or a client of one.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}
