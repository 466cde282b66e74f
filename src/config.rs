//! What can be set, where does it come from, and is it sound?
//!
//! A TOML file, then environment variables `HASHWARDEN__SECTION__KEY` over it, over the defaults of the rooms. Each room declares its
//! options: a section here is one of these declarations, or a few together. Units stand in the names:
//! `_bytes` are bytes, `_ms` milliseconds, `_s` seconds, `_max` is inclusive. Invariant: a [`Config`] that [`Config::load`] gives
//! has only values that its keys allow; a key that is not known is refused, as a misspelt limit would otherwise silently not hold.
//! deploy/hashwarden.toml says every key with its reason; a test holds it against this file. Nothing is read again while the
//! process runs. Lists and their policies are not set here: they are data, in the store.

mod error;
mod given;
mod sections;

use crate::access::Network;
use crate::entry::options::{Unfit, within};
use crate::{catalog, decode, matcher};
use ::config::{Environment, File, FileFormat, Source};
use error::FILE_BYTES_MAX;
use given::{Typed, check_given, defaults, not_toml, typed};
use std::collections::HashMap;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;

pub use error::ConfigError;
pub use sections::{Config, CoreDumps, Extract, Log, LogFormat, Operator, Process, Store};

const PREFIX: &str = "HASHWARDEN";

impl Config {
    /// Reads the file, if one is named, and the process's environment over it.
    pub fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
        let mut environment = HashMap::new();
        for (name, value) in std::env::vars_os() {
            // What is not ours need not even be text.
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
            let value = value.into_string().map_err(|_| ConfigError::NotText { variable: name.to_owned() })?;
            environment.insert(name.to_owned(), value);
        }
        let Some(path) = file else { return Config::read(None, environment) };
        let unreadable = |error| ConfigError::Unreadable { path: path.to_owned(), error };
        let mut text = String::new();
        std::fs::File::open(path).map_err(unreadable)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(ConfigError::TooLong { path: path.to_owned() });
        }
        Config::read(Some((&path.display().to_string(), &text)), environment)
    }

    /// The same from values in hand: a file's name and text, and environment variables, of which those with other prefixes
    /// are passed over.
    pub fn read(file: Option<(&str, &str)>, environment: HashMap<String, String>) -> Result<Config, ConfigError> {
        let unsound = |e: ::config::ConfigError| ConfigError::Unsound(e.to_string());
        let defaults = defaults()?;
        let mut merged = ::config::Config::builder().add_source(::config::Config::try_from(&Config::default()).map_err(unsound)?);
        if let Some((name, text)) = file {
            let source = File::from_str(text, FileFormat::Toml);
            let given = source.collect().map_err(|error| not_toml(name, text, &error))?;
            check_given(&defaults, given, |_, _| name.to_owned())?;
            merged = merged.add_source(source);
        }
        let source = Environment::with_prefix(PREFIX).prefix_separator("__").separator("__").source(Some(environment));
        let variable = |section: &str, key: &str| {
            format!("environment variable {PREFIX}__{}__{}", section.to_uppercase(), key.to_uppercase())
        };
        // Built, as the bare source has its keys flat.
        let given = ::config::Config::builder().add_source(source).build().and_then(|c| c.collect()).map_err(unsound)?;
        let given = typed(&defaults, given);
        check_given(&defaults, given.clone(), variable)?;
        let config: Config = merged.add_source(Typed(given)).build().map_err(unsound)?.try_deserialize().map_err(unsound)?;
        config.check()?;
        Ok(config)
    }

    /// Every key that can be set, as `section.key`, in order.
    pub fn keys() -> Result<Vec<String>, ConfigError> {
        Ok(defaults()?.iter().flat_map(|(section, keys)| keys.keys().map(move |key| format!("{section}.{key}"))).collect())
    }

    /// The limits that pictures are decoded under.
    pub fn limits(&self) -> decode::Limits {
        decode::Limits { image_bytes_max: self.grpc.image_bytes_max, ..self.extract.limits.clone() }
    }

    /// The matcher's options, which several sections have.
    pub fn matcher(&self) -> matcher::Options {
        matcher::Options {
            extract: self.extract.images.clone(),
            search: self.search,
            views: self.views.clone(),
            watch: self.operator.watch,
            flood: self.flood,
            ..matcher::Options::default()
        }
    }

    /// The same of the catalog.
    pub fn catalog(&self) -> catalog::Options {
        let (choices, limits, imports, keep) = (self.index, self.snapshot, self.import.clone(), self.store.keep);
        catalog::Options { choices, limits, imports, keep, ..catalog::Options::default() }
    }

    /// Whether a server may listen where it is told to: beyond loopback it encrypts and must know its callers, unless the network is trusted.
    pub fn check_listen(&self) -> Result<(), ConfigError> {
        let open = |address: SocketAddr| !address.ip().to_canonical().is_loopback() && self.access.network != Network::Trusted;
        let encrypted = self.tls.is_on();
        let known = self.access.tokens_file().is_some() || self.tls.asks_for_certificates();
        let words = "set [access] network = \"trusted\" if only trusted callers can reach it";
        let (grpc, operator) = (self.grpc.listen, self.operator.port.listen);
        let must = format!(
            "is {grpc}, which other machines can reach, but callers need no token: set [access] tokens_file or [tls] client_ca_file, or {words}"
        );
        demand(known || !open(grpc), "grpc", "listen", &must)?;
        let must = format!(
            "is {grpc}, which other machines can reach, but connections are not encrypted: set [tls] certificate_file and key_file, or {words}"
        );
        demand(encrypted || !open(grpc), "grpc", "listen", &must)?;
        let must = format!(
            "is {operator}, which other machines can reach, but connections are not encrypted: listen on loopback, set [tls] certificate_file and key_file, or {words}"
        );
        demand(encrypted || !open(operator), "operator", "listen", &must)?;
        let must = format!(
            "is {operator}, which other machines can reach, but its pages ask nobody who they are: listen on loopback, set [access] tokens_file or [tls] client_ca_file, or {words}"
        );
        demand(known || !open(operator), "operator", "listen", &must)
    }

    /// What is open to whoever reaches the ports, where the configuration says that the network is trusted, in words.
    pub fn open_ports(&self) -> Vec<String> {
        let beyond = |address: SocketAddr| !address.ip().to_canonical().is_loopback();
        let known = self.access.tokens_file().is_some() || self.tls.asks_for_certificates();
        let (grpc, operator) = (self.grpc.listen, self.operator.port.listen);
        let open = [
            (beyond(grpc) && !known, format!("whoever reaches {grpc} may match, and read, change and delete lists")),
            (beyond(grpc) && !self.tls.is_on(), format!("pictures, hashes and tokens go to {grpc} unencrypted")),
            (beyond(operator) && !known, format!("whoever reaches {operator} sees the metrics, with the names of lists")),
            (beyond(operator) && !self.tls.is_on(), format!("metrics go from {operator} unencrypted")),
        ];
        open.into_iter().filter(|(is, _)| *is).map(|(_, words)| words).collect()
    }

    /// Refuses what no type does.
    fn check(&self) -> Result<(), ConfigError> {
        let of = |section, checked: Result<(), Unfit>| {
            checked.map_err(|Unfit { key, must }| ConfigError::Unfit { section, key, must })
        };
        let (images, image_bytes_max) = (&self.extract.images, self.grpc.image_bytes_max);
        demand(!self.store.dir.as_os_str().is_empty(), "store", "dir", "must name a directory")?;
        of("store", self.store.check_ranges())?;
        of("store", self.store.keep.check_ranges())?;
        of("grpc", self.grpc.check_ranges())?;
        of("access", self.access.check_ranges())?;
        let apart = self.grpc.listen.port() == 0 || self.grpc.listen != self.operator.port.listen;
        demand(apart, "operator", "listen", "must differ from [grpc] listen")?;
        of("operator", self.operator.port.check_ranges())?;
        of("operator", self.operator.watch.check_ranges())?;
        of("tls", self.tls.check())?;
        of("extract", images.check_ranges())?;
        of("extract", within("queue_bytes_max", &images.queue_bytes_max, image_bytes_max..=matcher::QUEUE_BYTES_TOP))?;
        of("extract", self.extract.limits.check_ranges())?;
        of("views", self.views.limits.check_ranges())?;
        of("search", self.search.check_ranges())?;
        of("snapshot", self.snapshot.check_ranges())?;
        of("import", self.import.check_ranges())?;
        of("feeds", self.feeds.check_ranges())?;
        of("log", self.log.check_ranges())?;
        of("log", check_level(&self.log.level).map_err(|must| Unfit { key: "level", must }))
    }
}

/// A level, or directives. What is no level is the name of a module to the filter, so `inof` would silence everything without a word.
fn check_level(level: &str) -> Result<(), String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let is_level = |text: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(text.trim()));
    let whole = tracing_subscriber::EnvFilter::builder().parse(level);
    // What names spans and fields has commas of its own; the filter reads it.
    let bad = level.split(',').filter(|_| !level.contains('[')).find(|directive| match directive.rsplit_once('=') {
        Some((_, of_module)) => !is_level(of_module),
        None => !is_level(directive),
    });
    match (bad, whole) {
        (None, Ok(_)) => Ok(()),
        (bad, _) => Err(format!(
            "must be off, error, warn, info, debug or trace, or directives such as \"info,hashwarden=debug\", not {:?}",
            bad.unwrap_or(level)
        )),
    }
}

fn demand(met: bool, section: &'static str, key: &'static str, must: &str) -> Result<(), ConfigError> {
    if met { Ok(()) } else { Err(ConfigError::Unfit { section, key, must: must.into() }) }
}
