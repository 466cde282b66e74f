//! What can be set, where does it come from, and is it sound?
//!
//! A TOML file, then environment variables `HASHWARDEN__SECTION__KEY` over it, over the defaults here. Units stand in the names:
//! `_bytes` are bytes, `_ms` milliseconds, `_s` seconds, `_max` is inclusive. Invariant: a [`Config`] that [`Config::load`] gives
//! has only values that its keys allow; a key that is not known is refused, as a misspelt limit would otherwise silently not hold.
//! deploy/hashwarden.toml says every key with its reason; a test holds it against this file. Nothing is read again while the
//! process runs. Lists and their policies are not set here: they are data, in the store.

use crate::decode::Limits;
use crate::entry::ViewSet;
use crate::entry::shown::{message_alone, nearest, unopened};
use crate::index::IndexChoice;
use ::config::{Environment, File, FileFormat, Source, Value, ValueKind};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::io::Read;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use toml::de::DeValue;

const PREFIX: &str = "HASHWARDEN";
/// A configuration is a page or two; this keeps a mistaken path (a device, a list file) from being swallowed whole.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub store: Store,
    pub grpc: Grpc,
    pub access: Access,
    pub operator: Operator,
    pub tls: Tls,
    pub extract: Extract,
    pub views: Views,
    pub search: Search,
    pub index: Index,
    pub snapshot: Snapshot,
    pub import: Import,
    pub log: Log,
    pub process: Process,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// The embedded store's directory; made if it is not there.
    pub dir: PathBuf,
    /// Bytes that must be free on the store's disk for changes to be taken; look-ups need none.
    pub free_bytes_min: u64,
    /// Imports and activations of a list that are kept, beside what is in use.
    pub versions_max: usize,
    /// Days after which they are not kept; 0 for no limit.
    pub version_days_max: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grpc {
    pub listen: SocketAddr,
    /// Largest image in a request; a larger one is NOT_SCANNED(too_large).
    pub image_bytes_max: u64,
    /// Items of one stream that are being worked on.
    pub items_in_flight_max: u32,
    /// Hashes that a caller may bring for one item.
    pub hashes_per_item_max: u32,
    /// Bytes that one stream may hold: its hash-only items in work, and results that its client has not taken.
    pub stream_bytes_max: u64,
    /// The same of all streams together, each counted with a MiB at the least, and of one caller's.
    pub streams_bytes_max: u64,
    pub streams_bytes_per_caller_max: u64,
    /// A client that takes no result for so long has its call ended.
    pub unread_ms_max: u64,
    /// Deadline of a request whose caller set none, and the longest that a caller gets.
    pub request_ms_max: u64,
    /// Concurrent requests on one connection (HTTP/2 streams).
    pub connection_streams_max: u32,
    /// This and the rest, but for the last: the limits of the service's `Options`, where their meaning stands.
    pub connections_max: usize,
    pub connections_per_caller_max: usize,
    pub connection_idle_s: u64,
    pub connection_silent_ms_max: u64,
    pub calls_max: u64,
    pub calls_per_caller_max: u64,
    pub health_calls_max: u64,
    pub receive_bytes_max: u64,
    pub receive_bytes_per_caller_max: u64,
    pub message_ms_max: u64,
    pub list_calls_max: u64,
    pub list_calls_per_caller_max: u64,
    pub policy_calls_max: u64,
    pub policy_calls_per_caller_max: u64,
    pub overlap_calls_max: u64,
    pub imports_max: u64,
    pub imports_per_caller_max: u64,
    pub import_bytes_max: u64,
    pub import_bytes_per_s_min: u64,
    pub import_idle_ms_max: u64,
    /// After SIGTERM: how long running requests may still take.
    pub drain_s: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// The tokens that callers are known by; empty: callers are not asked for one.
    pub tokens_file: PathBuf,
    /// Whether whoever reaches a port may be trusted.
    pub network: Network,
    /// Different hashes that a caller may ask with near one entry within an hour before it is told; 0 for any number.
    pub near_questions_max: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// Beyond loopback, callers have to show who they are.
    #[default]
    Untrusted,
    /// The network lets trusted callers in alone, and nobody listens on it.
    Trusted,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    pub listen: SocketAddr,
    /// A thread that is busy with one picture or look-up for longer counts as stuck.
    pub stuck_ms: u64,
    /// Limits of the port's connections, as its `Limits` have them.
    pub connections_max: usize,
    pub request_ms_max: u64,
    pub idle_s: u64,
    pub metrics_max: usize,
}

/// Files are in PEM; an empty path is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The server's certificate, with those that lead to its authority; without it, the ports speak plain text.
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
    /// The authorities of callers' certificates; without it, callers need none.
    pub client_ca_file: PathBuf,
    /// How long a handshake may take, and how many there may be of one caller at once.
    pub handshake_ms_max: u64,
    pub handshakes_per_caller_max: u64,
}

impl Tls {
    pub fn is_on(&self) -> bool {
        !self.certificate_file.as_os_str().is_empty()
    }

    fn check(&self) -> Result<(), ConfigError> {
        let given = |path: &Path| !path.as_os_str().is_empty();
        demand(self.is_on() || !given(&self.key_file), "tls", "certificate_file", "must be set, as key_file is")?;
        demand(!self.is_on() || given(&self.key_file), "tls", "key_file", "must be set, as certificate_file is")?;
        demand(self.is_on() || !given(&self.client_ca_file), "tls", "certificate_file", "must be set, as client_ca_file is")?;
        within("tls", "handshake_ms_max", self.handshake_ms_max, 10..=3_600_000)?;
        within("tls", "handshakes_per_caller_max", self.handshakes_per_caller_max, 1..=65_536)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extract {
    /// Threads that decode and hash; 0 means one per core.
    pub threads: usize,
    /// Images that wait for a thread; the next one is shed.
    pub queue_max: usize,
    /// Bytes of all images taken in and not yet answered; beyond it the next one is shed.
    pub queue_bytes_max: u64,
    /// This and the rest: the limits of [`Limits`], where their reasons stand.
    pub pixels_max: u64,
    pub side_max: u32,
    pub frames_max: u32,
    pub frame_pixels_max: u64,
    pub alloc_bytes_max: u64,
    pub jpeg_scans_max: u32,
    pub jpeg_scan_pixels_max: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Views {
    /// Which views of a picture are looked up where its caller does not say.
    #[serde(with = "by_name")]
    pub default: ViewSet,
    /// This and the next two: the limits of the views' `Limits`.
    pub extended_max: u32,
    pub windows_max: u32,
    pub turned_max: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// Threads that look up hash-only requests and batches; 0 means one per core.
    pub threads: usize,
}

/// Which index each kind of hash gets. All give the same answers; they differ in speed and memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    #[serde(with = "by_name")]
    pub pdq: IndexChoice,
    #[serde(with = "by_name")]
    pub phash64: IndexChoice,
    #[serde(with = "by_name")]
    pub dhash64: IndexChoice,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Candidates of one list in one verdict: the nearest are kept, and the verdict says how many were cut.
    pub candidates_max: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// Per cent of a list's entries that an import may remove or add and still be activated unseen; 0 for any.
    pub change_percent_max: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace` or `off`, or directives such as `info,hashwarden=debug`.
    pub level: String,
    /// Bytes of lines that wait for whoever reads standard error; further ones are dropped.
    pub queue_bytes_max: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Whether the system may write the process's memory to a file when it crashes.
    pub core_dumps: CoreDumps,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CoreDumps {
    #[default]
    Off,
    /// As the system has it.
    System,
}

impl Default for Store {
    fn default() -> Self {
        Store { dir: "hashwarden-store".into(), free_bytes_min: 128 * 1024 * 1024, versions_max: 5, version_days_max: 90 }
    }
}

impl Default for Grpc {
    fn default() -> Self {
        Grpc {
            listen: SocketAddr::from(([127, 0, 0, 1], 50051)),
            image_bytes_max: Limits::default().image_bytes_max,
            items_in_flight_max: 16_384,
            hashes_per_item_max: 256,
            stream_bytes_max: 16 * 1024 * 1024,
            streams_bytes_max: 256 * 1024 * 1024,
            streams_bytes_per_caller_max: 128 * 1024 * 1024,
            unread_ms_max: 300_000,
            request_ms_max: 10_000,
            connection_streams_max: 256,
            connections_max: 1024,
            connections_per_caller_max: 256,
            connection_idle_s: 300,
            connection_silent_ms_max: 10_000,
            calls_max: 4096,
            calls_per_caller_max: 1024,
            health_calls_max: 256,
            receive_bytes_max: 512 * 1024 * 1024,
            receive_bytes_per_caller_max: 256 * 1024 * 1024,
            message_ms_max: 30_000,
            list_calls_max: 32,
            list_calls_per_caller_max: 16,
            policy_calls_max: 32,
            policy_calls_per_caller_max: 16,
            overlap_calls_max: 1,
            imports_max: 16,
            imports_per_caller_max: 4,
            import_bytes_max: 8 * 1024 * 1024 * 1024,
            import_bytes_per_s_min: 16 * 1024,
            import_idle_ms_max: 60_000,
            drain_s: 20,
        }
    }
}

impl Default for Access {
    fn default() -> Self {
        Access { tokens_file: PathBuf::new(), network: Network::default(), near_questions_max: 16 }
    }
}

impl Default for Operator {
    fn default() -> Self {
        Operator {
            listen: SocketAddr::from(([127, 0, 0, 1], 9464)),
            stuck_ms: 30_000,
            connections_max: 64,
            request_ms_max: 5_000,
            idle_s: 120,
            metrics_max: 4,
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Tls {
            certificate_file: PathBuf::new(),
            key_file: PathBuf::new(),
            client_ca_file: PathBuf::new(),
            handshake_ms_max: 10_000,
            handshakes_per_caller_max: 128,
        }
    }
}

impl Default for Extract {
    fn default() -> Self {
        let limits = Limits::default();
        Extract {
            threads: 0,
            queue_max: 256,
            queue_bytes_max: 512 * 1024 * 1024,
            pixels_max: limits.pixels_max,
            side_max: limits.side_max,
            frames_max: limits.frames_max,
            frame_pixels_max: limits.frame_pixels_max,
            alloc_bytes_max: limits.alloc_bytes_max,
            jpeg_scans_max: limits.jpeg_scans_max,
            jpeg_scan_pixels_max: limits.jpeg_scan_pixels_max,
        }
    }
}

impl Default for Views {
    fn default() -> Self {
        let limits = crate::views::Limits::default();
        Views {
            default: ViewSet::default(),
            extended_max: limits.extended_max,
            windows_max: limits.windows_max,
            turned_max: limits.turned_max,
        }
    }
}

impl Default for Snapshot {
    fn default() -> Self {
        Snapshot { candidates_max: crate::verdict::MATCHES_PER_LIST_MAX }
    }
}

impl Default for Import {
    fn default() -> Self {
        Import { change_percent_max: crate::catalog::CHANGE_PERCENT_MAX }
    }
}

impl Default for Log {
    fn default() -> Self {
        Log { format: LogFormat::Text, level: "info".into(), queue_bytes_max: 16 * 1024 * 1024 }
    }
}

/// Choices of other rooms as their names.
mod by_name {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use std::fmt::Display;
    use std::str::FromStr;

    pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Why a configuration was refused. Values are shown: none of them is a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the configuration can't be read: {}", unopened(&path.display().to_string(), .error))]
    Unreadable { path: PathBuf, error: std::io::Error },
    #[error("the configuration {} has more than {FILE_BYTES_MAX} bytes", path.display())]
    TooLong { path: PathBuf },
    #[error("{origin} is not TOML: {what}")]
    NotToml { origin: String, what: String },
    #[error("unknown section [{section}] ({origin}{meant}): the sections are {known}")]
    UnknownSection { section: String, origin: String, meant: String, known: String },
    #[error("unknown key [{section}] {key} ({origin}{meant}): the keys of [{section}] are {known}")]
    UnknownKey { section: String, key: String, origin: String, meant: String, known: String },
    #[error("[{section}] {key} {must} ({origin})")]
    Refused { section: String, key: String, must: String, origin: String },
    #[error("[{section}] {key} {must}")]
    Unfit { section: &'static str, key: &'static str, must: String },
    #[error("the environment variable {variable} is not UTF-8")]
    NotText { variable: String },
    #[error("the configuration can't be put together: {0}")]
    Unsound(String),
}

/// Section, then key, then value.
type Sections = BTreeMap<String, BTreeMap<String, Value>>;

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
            let given = source.collect().map_err(|e| {
                let not_toml = || ConfigError::NotToml { origin: name.to_owned(), what: message_alone(&e.to_string()) };
                too_large(name, text).unwrap_or_else(not_toml)
            })?;
            check_given(&defaults, given, |_, _| name.to_owned())?;
            merged = merged.add_source(source);
        }
        let source = Environment::with_prefix(PREFIX).prefix_separator("__").separator("__").source(Some(environment));
        let variable = |section: &str, key: &str| {
            format!("environment variable {PREFIX}__{}__{}", section.to_uppercase(), key.to_uppercase())
        };
        // Built, as the bare source has its keys flat.
        let given = ::config::Config::builder().add_source(source.clone()).build().and_then(|c| c.collect()).map_err(unsound)?;
        let given = typed(&defaults, given);
        check_given(&defaults, given, variable)?;
        let config: Config = merged.add_source(source).build().map_err(unsound)?.try_deserialize().map_err(unsound)?;
        config.check()?;
        Ok(config)
    }

    /// Every key that can be set, as `section.key`, in order.
    pub fn keys() -> Result<Vec<String>, ConfigError> {
        Ok(defaults()?.iter().flat_map(|(section, keys)| keys.keys().map(move |key| format!("{section}.{key}"))).collect())
    }

    /// The limits that pictures are decoded under.
    pub fn limits(&self) -> Limits {
        let e = &self.extract;
        Limits {
            image_bytes_max: self.grpc.image_bytes_max,
            pixels_max: e.pixels_max,
            side_max: e.side_max,
            frames_max: e.frames_max,
            frame_pixels_max: e.frame_pixels_max,
            alloc_bytes_max: e.alloc_bytes_max,
            jpeg_scans_max: e.jpeg_scans_max,
            jpeg_scan_pixels_max: e.jpeg_scan_pixels_max,
        }
    }

    /// What bounds the views of a picture.
    pub fn view_limits(&self) -> crate::views::Limits {
        let v = &self.views;
        crate::views::Limits { extended_max: v.extended_max, windows_max: v.windows_max, turned_max: v.turned_max }
    }

    /// Where the tokens are, if callers need one.
    pub fn tokens_file(&self) -> Option<&Path> {
        Some(self.access.tokens_file.as_path()).filter(|path| !path.as_os_str().is_empty())
    }

    /// Whether a server may listen where it is told to: beyond loopback it encrypts and must know its callers, unless the network is trusted.
    pub fn check_listen(&self) -> Result<(), ConfigError> {
        let open = |address: SocketAddr| !address.ip().to_canonical().is_loopback() && self.access.network != Network::Trusted;
        let encrypted = self.tls.is_on();
        let known = self.tokens_file().is_some() || !self.tls.client_ca_file.as_os_str().is_empty();
        let words = "set [access] network = \"trusted\" if only trusted callers can reach it";
        let (grpc, operator) = (self.grpc.listen, self.operator.listen);
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
        let known = self.tokens_file().is_some() || !self.tls.client_ca_file.as_os_str().is_empty();
        let (grpc, operator) = (self.grpc.listen, self.operator.listen);
        let open = [
            (beyond(grpc) && !known, format!("whoever reaches {grpc} may match, and read, change and delete lists")),
            (beyond(grpc) && !self.tls.is_on(), format!("pictures, hashes and tokens go to {grpc} unencrypted")),
            (beyond(operator) && !known, format!("whoever reaches {operator} sees the metrics, with the names of lists")),
            (beyond(operator) && !self.tls.is_on(), format!("metrics go from {operator} unencrypted")),
        ];
        open.into_iter().filter(|(is, _)| *is).map(|(_, words)| words).collect()
    }

    /// What types cannot hold: every value within what works.
    fn check(&self) -> Result<(), ConfigError> {
        const MIB: u64 = 1024 * 1024;
        let (g, e) = (&self.grpc, &self.extract);
        demand(!self.store.dir.as_os_str().is_empty(), "store", "dir", "must name a directory")?;
        within("store", "free_bytes_min", self.store.free_bytes_min, 0..=1 << 60)?;
        within("store", "versions_max", self.store.versions_max, 0..=10_000)?;
        within("store", "version_days_max", self.store.version_days_max, 0..=36_500)?;
        within("grpc", "image_bytes_max", g.image_bytes_max, 1024..=1024 * MIB)?;
        within("grpc", "items_in_flight_max", g.items_in_flight_max, 1..=65_536)?;
        within("grpc", "hashes_per_item_max", g.hashes_per_item_max, 1..=65_536)?;
        within("grpc", "stream_bytes_max", g.stream_bytes_max, MIB..=64 * 1024 * MIB)?;
        within("grpc", "streams_bytes_max", g.streams_bytes_max, MIB..=1024 * 1024 * MIB)?;
        within("grpc", "streams_bytes_per_caller_max", g.streams_bytes_per_caller_max, MIB..=1024 * 1024 * MIB)?;
        within("grpc", "unread_ms_max", g.unread_ms_max, 10..=3_600_000)?;
        within("grpc", "request_ms_max", g.request_ms_max, 10..=3_600_000)?;
        within("grpc", "connection_streams_max", g.connection_streams_max, 1..=65_536)?;
        within("grpc", "connections_max", g.connections_max, 1..=65_536)?;
        within("grpc", "connections_per_caller_max", g.connections_per_caller_max, 1..=65_536)?;
        within("grpc", "connection_idle_s", g.connection_idle_s, 1..=86_400)?;
        within("grpc", "connection_silent_ms_max", g.connection_silent_ms_max, 10..=3_600_000)?;
        within("grpc", "calls_max", g.calls_max, 1..=1_000_000)?;
        within("grpc", "calls_per_caller_max", g.calls_per_caller_max, 1..=1_000_000)?;
        within("grpc", "health_calls_max", g.health_calls_max, 2..=65_536)?;
        within("grpc", "receive_bytes_max", g.receive_bytes_max, MIB..=1024 * 1024 * MIB)?;
        within("grpc", "receive_bytes_per_caller_max", g.receive_bytes_per_caller_max, MIB..=1024 * 1024 * MIB)?;
        within("grpc", "message_ms_max", g.message_ms_max, 10..=3_600_000)?;
        within("grpc", "list_calls_max", g.list_calls_max, 1..=1024)?;
        within("grpc", "list_calls_per_caller_max", g.list_calls_per_caller_max, 1..=1024)?;
        within("grpc", "policy_calls_max", g.policy_calls_max, 1..=1024)?;
        within("grpc", "policy_calls_per_caller_max", g.policy_calls_per_caller_max, 1..=1024)?;
        within("grpc", "overlap_calls_max", g.overlap_calls_max, 1..=64)?;
        within("grpc", "imports_max", g.imports_max, 1..=1024)?;
        within("grpc", "imports_per_caller_max", g.imports_per_caller_max, 1..=1024)?;
        within("grpc", "import_bytes_max", g.import_bytes_max, MIB..=1024 * 1024 * MIB)?;
        within("grpc", "import_bytes_per_s_min", g.import_bytes_per_s_min, 0..=1024 * MIB)?;
        within("grpc", "import_idle_ms_max", g.import_idle_ms_max, 10..=3_600_000)?;
        within("grpc", "drain_s", g.drain_s, 0..=3600)?;
        within("access", "near_questions_max", self.access.near_questions_max, 0..=4096)?;
        let apart = g.listen.port() == 0 || g.listen != self.operator.listen;
        demand(apart, "operator", "listen", "must differ from [grpc] listen")?;
        within("operator", "stuck_ms", self.operator.stuck_ms, 100..=86_400_000)?;
        let o = &self.operator;
        within("operator", "connections_max", o.connections_max, 1..=65_536)?;
        within("operator", "request_ms_max", o.request_ms_max, 10..=3_600_000)?;
        within("operator", "idle_s", o.idle_s, 1..=86_400)?;
        within("operator", "metrics_max", o.metrics_max, 1..=1024)?;
        self.tls.check()?;
        within("extract", "threads", e.threads, 0..=1024)?;
        within("extract", "queue_max", e.queue_max, 1..=1_000_000)?;
        within("extract", "queue_bytes_max", e.queue_bytes_max, g.image_bytes_max..=1024 * 1024 * MIB)?;
        within("extract", "pixels_max", e.pixels_max, 1..=4_000_000_000)?;
        within("extract", "side_max", e.side_max, 1..=1_000_000)?;
        within("extract", "frames_max", e.frames_max, 1..=100_000)?;
        within("extract", "frame_pixels_max", e.frame_pixels_max, e.pixels_max..=1_000_000_000_000)?;
        within("extract", "alloc_bytes_max", e.alloc_bytes_max, MIB..=64 * 1024 * MIB)?;
        within("extract", "jpeg_scans_max", e.jpeg_scans_max, 1..=10_000)?;
        within("extract", "jpeg_scan_pixels_max", e.jpeg_scan_pixels_max, e.pixels_max..=1_000_000_000_000)?;
        within("views", "extended_max", self.views.extended_max, 0..=10_000)?;
        within("views", "windows_max", self.views.windows_max, 0..=10_000)?;
        within("views", "turned_max", self.views.turned_max, 0..=10_000)?;
        within("search", "threads", self.search.threads, 0..=1024)?;
        within("snapshot", "candidates_max", self.snapshot.candidates_max, 1..=1_000_000)?;
        within("import", "change_percent_max", self.import.change_percent_max, 0..=1000)?;
        within("log", "queue_bytes_max", self.log.queue_bytes_max, 4096..=1024 * MIB)?;
        check_level(&self.log.level).map_err(|must| ConfigError::Unfit { section: "log", key: "level", must })
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

/// The defaults as plain values: what keys there are, and of what type.
fn defaults() -> Result<Sections, ConfigError> {
    let unsound = |e: ::config::ConfigError| ConfigError::Unsound(e.to_string());
    let whole = ::config::Config::try_from(&Config::default()).map_err(unsound)?.collect().map_err(unsound)?;
    let section = |(name, value): (String, Value)| Ok((name, value.into_table().map_err(unsound)?.into_iter().collect()));
    whole.into_iter().map(section).collect()
}

/// Environment variables are text: makes numbers of those whose key is one. What does not parse stays text, and is refused as such.
fn typed(defaults: &Sections, mut given: ::config::Map<String, Value>) -> ::config::Map<String, Value> {
    for (section, keys) in &mut given {
        let ValueKind::Table(keys) = &mut keys.kind else { continue };
        for (key, value) in keys {
            let number = defaults.get(section).and_then(|keys| keys.get(key)).is_some_and(|d| is_number(&d.kind));
            let parsed = if let ValueKind::String(text) = &value.kind { text.trim().parse::<i64>().ok() } else { None };
            if let (true, Some(parsed)) = (number, parsed) {
                value.kind = ValueKind::I64(parsed);
            }
        }
    }
    given
}

/// What a number beyond 64 bits is not.
fn within_64_bits() -> String {
    format!("must be a whole number between 0 and {}", i64::MAX)
}

/// The first number of a file that 64 bits do not hold: it is TOML, and the `config` crate says neither its key nor its line.
fn too_large(name: &str, text: &str) -> Option<ConfigError> {
    let whole = toml::de::DeTable::parse(text).ok()?;
    let mut found: Vec<(usize, String, String)> = Vec::new();
    let mut note = |section: &str, key: &str, value: &toml::Spanned<DeValue<'_>>| {
        if matches!(value.get_ref(), DeValue::Integer(n) if i64::from_str_radix(n.as_str(), n.radix()).is_err()) {
            found.push((value.span().start, section.to_owned(), key.to_owned()));
        }
    };
    for (section, value) in whole.get_ref() {
        let section = section.get_ref();
        match value.get_ref() {
            DeValue::Table(keys) => keys.iter().for_each(|(key, value)| note(section, key.get_ref(), value)),
            _ => note("", section, value),
        }
    }
    let (at, section, key) = found.into_iter().min()?;
    let line = 1 + text.get(..at)?.matches('\n').count();
    let (origin, must) = (format!("{name}, line {line}"), within_64_bits());
    Some(match section.is_empty() {
        true => ConfigError::NotToml { origin, what: format!("{key} {must}") },
        false => ConfigError::Refused { section, key, must, origin },
    })
}

/// Refuses what is not known, or not of its key's type. `origin` says where a section's key was set.
fn check_given(
    defaults: &Sections,
    given: ::config::Map<String, Value>,
    origin: impl Fn(&str, &str) -> String,
) -> Result<(), ConfigError> {
    let given: BTreeMap<String, Value> = given.into_iter().collect();
    for (section, value) in given {
        let (Some(known), ValueKind::Table(keys)) = (defaults.get(&section), value.kind) else {
            let meant = meant_section(defaults, &section);
            let known = defaults.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(ConfigError::UnknownSection { origin: origin(&section, ""), section, meant, known });
        };
        let keys: BTreeMap<String, Value> = keys.into_iter().collect();
        for (key, value) in keys {
            let origin = origin(&section, &key);
            let Some(default) = known.get(&key) else {
                let meant = did_you_mean(nearest(&key, known.keys().map(String::as_str)));
                let known = known.keys().cloned().collect::<Vec<_>>().join(", ");
                return Err(ConfigError::UnknownKey { section, key, origin, meant, known });
            };
            if let Err(must) = check_type(default, &value, &section, &key) {
                return Err(ConfigError::Refused { section, key, must, origin });
            }
        }
    }
    Ok(())
}

fn did_you_mean(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

/// What was meant by an unknown section: one of a similar name, or a key that stands outside of its section.
fn meant_section(defaults: &Sections, section: &str) -> String {
    let with_key: Vec<_> =
        defaults.iter().filter(|(_, keys)| keys.contains_key(section)).map(|(name, _)| format!("[{name}]")).collect();
    match with_key.is_empty() {
        true => did_you_mean(nearest(section, defaults.keys().map(String::as_str))),
        false => format!("; {section} is a key of {}", with_key.join(" and ")),
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_number(kind: &ValueKind) -> bool {
    matches!(kind, ValueKind::I64(_) | ValueKind::U64(_) | ValueKind::I128(_) | ValueKind::U128(_))
}

/// Checks one value by itself, so that what is wrong can only be this key. The `config` crate alone would take "8" for 8.
fn check_type(default: &Value, given: &Value, section: &str, key: &str) -> Result<(), String> {
    if is_number(&default.kind) {
        if let ValueKind::String(text) = &given.kind
            && is_digits(text.trim())
            && text.trim().parse::<i64>().is_err()
        {
            return Err(within_64_bits());
        }
        let number = given.clone().into_int().ok().filter(|n| is_number(&given.kind) && *n >= 0);
        number.ok_or("must be a whole number, 0 or more")?;
    } else if !matches!(given.kind, ValueKind::String(_)) {
        return Err("must be text, in quotes".into());
    }
    let alone = ::config::Config::try_from(&Config::default())
        .and_then(|base| {
            ::config::Config::builder().add_source(base).set_override(format!("{section}.{key}"), given.clone())?.build()
        })
        .and_then(::config::Config::try_deserialize::<Config>);
    match alone {
        Ok(_) => Ok(()),
        Err(_) if key == "listen" => {
            Err(format!("must be an address with a port such as {default}, not {given:?}", given = given.to_string()))
        }
        Err(_) if section == "views" && key == "default" => {
            Err(format!("must be one of {}, not {:?}", ViewSet::ALL.map(ViewSet::name).join(", "), given.to_string()))
        }
        Err(_) if section == "index" => {
            Err(format!("must be one of {}, not {:?}", IndexChoice::ALL.map(IndexChoice::name).join(", "), given.to_string()))
        }
        Err(_) if key == "network" => {
            Err(format!("must be \"untrusted\" or \"trusted\", not {given:?}", given = given.to_string()))
        }
        Err(_) if key == "core_dumps" => Err(format!("must be \"off\" or \"system\", not {given:?}", given = given.to_string())),
        Err(_) if key == "format" => Err(format!("must be \"text\" or \"json\", not {given:?}", given = given.to_string())),
        Err(_) if is_number(&default.kind) => Err(format!("is too large: {given}")),
        Err(e) => Err(format!("is refused: {e}")),
    }
}

fn demand(met: bool, section: &'static str, key: &'static str, must: &str) -> Result<(), ConfigError> {
    if met { Ok(()) } else { Err(ConfigError::Unfit { section, key, must: must.into() }) }
}

fn within<T: PartialOrd + Display>(
    section: &'static str,
    key: &'static str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), ConfigError> {
    demand(range.contains(&value), section, key, &format!("must be between {} and {}, not {value}", range.start(), range.end()))
}
