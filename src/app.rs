//! Assembly: the one place that knows every room, and the server's life.
//!
//! A process binds its operator port, opens its store, publishes a snapshot, starts its threads, binds gRPC, serves, drains. It hears of
//! signals from the first to the last. Nothing here decides anything.

mod decoding;
mod memory;
mod pages;

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::access::tokens::TokensError;
use crate::access::{Gate, Near};
use crate::admission::{Quotas, Tls, TlsError};
use crate::catalog::{Catalog, CatalogError, Compacted, FORMAT_DERIVED};
use crate::config::{Config, ConfigError, CoreDumps};
use crate::entry::shown::in_words;
use crate::extract::Extractor;
use crate::feeds::{self, Feeds};
use crate::matcher::{self, Flooded, Matcher};
use crate::sandbox;
use crate::snapshot::Published;
use crate::store::{Access, Store, StoreError};
use crate::telemetry::{Metrics, TelemetryError};
use decoding::Decoding;
use pages::Life;

pub use crate::telemetry::Lines;
pub use pages::Doors;

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Matcher(#[from] matcher::StartError),
    #[error("[extract] sandbox is \"required\": {0}")]
    Sandbox(#[from] sandbox::StartError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Tokens(#[from] TokensError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("{0}")]
    Feeds(String),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error("{what} can't listen on {address}: {}", in_words(error))]
    Bind { what: &'static str, address: SocketAddr, error: std::io::Error },
    #[error("the {0} stopped: {1}")]
    Stopped(&'static str, String),
}

/// The lists of a store, without look-ups.
pub fn lists(dir: &Path, config: &Config, access: Access) -> Result<Catalog, AppError> {
    let store = Arc::new(Store::open_with(dir, access, FORMAT_DERIVED, config.store.free_bytes_min)?);
    Ok(Catalog::open(store, access, config.catalog(), None)?)
}

/// What fetches the sources of a store's lists.
pub fn feeds(catalog: Arc<Catalog>, options: &crate::feeds::Options, dir: &Path, runtime: &tokio::runtime::Handle) -> Feeds {
    let (options, spool, runtime) = (options.clone(), dir.to_owned(), runtime.clone());
    Feeds::new(feeds::Deps { catalog, options, spool, runtime, clock: feeds::system_clock })
}

/// Compacts a store: see [`Catalog::compact`]. It is opened once more for its MANIFEST to be made anew.
pub fn compact(dir: &Path, config: &Config, progress: &mut dyn FnMut(&'static str)) -> Result<Compacted, AppError> {
    let compacted = lists(dir, config, Access::Write)?.compact(progress)?;
    let store = Store::open_with(dir, Access::Write, FORMAT_DERIVED, config.store.free_bytes_min)?;
    Ok(Compacted { bytes_after: store.bytes().map_err(StoreError::from)?, ..compacted })
}

/// Takes a store as it is found: see [`Store::accept`].
pub fn accept(dir: &Path) -> Result<crate::store::Accepted, AppError> {
    Ok(Store::accept(dir)?)
}

/// The lists of a store and a matcher over them. Where there is no room to write, the store is opened for reading, so that look-ups start
/// whatever the disk; [`Catalog::resume`] opens it for writing later.
pub fn matching(dir: &Path, config: &Config, access: Access) -> Result<(Arc<Catalog>, Matcher), AppError> {
    let Doors { catalog, matcher, .. } = doors_with(dir, config, access, || Decoding::start(config))?;
    Ok((catalog, matcher))
}

/// The same with another extractor.
pub fn doors(dir: &Path, config: &Config, access: Access, extractor: Arc<dyn Extractor>) -> Result<Doors, AppError> {
    doors_with(dir, config, access, || Ok(Decoding::by(extractor)))
}

fn doors_with(
    dir: &Path,
    config: &Config,
    access: Access,
    decoding: impl FnOnce() -> Result<Decoding, sandbox::StartError>,
) -> Result<Doors, AppError> {
    let decoding = decoding()?; // before the store is opened: what refuses to start has touched nothing
    let began = Instant::now();
    let open = |access| Store::open_with(dir, access, FORMAT_DERIVED, config.store.free_bytes_min);
    let (store, access) = match open(access) {
        Err(full @ StoreError::Full { .. }) => {
            tracing::error!(error = %full, "look-ups only");
            // Where there is no store yet, that it can't be made is what to know.
            (open(Access::StandIn).map_err(|_| full)?, Access::StandIn)
        }
        opened => (opened?, access),
    };
    let store = Arc::new(store);
    tracing::info!(store = %dir.display(), ms = began.elapsed().as_millis() as u64, "the store is open");
    let published = Arc::new(Published::default());
    let catalog = Arc::new(Catalog::open(store, access, config.catalog(), Some(published.clone()))?);
    let matcher = Matcher::new(published, decoding.extractor.clone(), config.matcher())?;
    Ok(Doors { catalog, matcher, decoding })
}

/// A matcher without lists: it hashes.
pub fn hashing(config: &Config) -> Result<Matcher, AppError> {
    Ok(Matcher::new(Arc::new(Published::default()), Decoding::start(config)?.extractor, config.matcher())?)
}

/// What decodes and hashes pictures, as for a server.
pub fn extractor(config: &Config) -> Result<Arc<dyn Extractor>, AppError> {
    Ok(Decoding::start(config)?.extractor)
}

/// This process's own binary, also when the file was replaced meanwhile.
pub const OWN_PROGRAM: &str = "/proc/self/exe";

/// Certificates, where the configuration has them.
fn tls(config: &Config) -> Result<Option<Arc<Tls>>, TlsError> {
    config.tls.is_on().then(|| Tls::load(config.tls.clone()).map(Arc::new)).transpose()
}

/// A server that runs. Dropping it does not stop it: call [`Running::drain`].
pub struct Running {
    /// Where gRPC is served; the port is the one the system gave where 0 was asked for.
    pub grpc: SocketAddr,
    pub operator: SocketAddr,
    stop: watch::Sender<bool>,
    stop_operator: watch::Sender<bool>,
    grpc_task: JoinHandle<Result<(), String>>,
    operator_task: JoinHandle<std::io::Result<()>>,
    life: Arc<Life>,
    keeper: std::thread::JoinHandle<()>,
    feeds: Arc<Feeds>,
    fetcher: std::thread::JoinHandle<()>,
}

/// How long the end waits for an import of what was fetched.
const FETCHER_MAX: Duration = Duration::from_secs(5);

/// How often threads are looked at that may be stuck, at the most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Serves the operator port, opens the store, publishes the first snapshot and serves gRPC.
pub async fn start(config: &Config) -> Result<Running, AppError> {
    let of_doors = config.clone();
    let open = move || doors_with(&of_doors.store.dir, &of_doors, Access::Write, || Decoding::start(&of_doors));
    start_with(config, open).await
}

/// The same with another way to the doors. Dropping the future closes the operator port; `open` goes on, if it has begun.
pub async fn start_with(
    config: &Config,
    open: impl FnOnce() -> Result<Doors, AppError> + Send + 'static,
) -> Result<Running, AppError> {
    config.check_listen()?;
    feeds::check(&config.feeds).map_err(AppError::Feeds)?;
    let exposed = config.open_ports();
    if !exposed.is_empty() {
        tracing::warn!(open = exposed.join("; "), "[access] network is \"trusted\", so the ports are open beyond this machine");
    }
    let (life, metrics) = (Arc::new(Life::default()), metrics()?);
    let gate = match config.access.tokens_file() {
        Some(file) => Gate::of_tokens(file.to_owned())?,
        None => Gate::open(),
    };
    let tls = tls(config)?;
    if gate.has_certificates() && !config.tls.asks_for_certificates() {
        tracing::warn!(
            "the tokens file has rights for certificates, but callers are not asked for any: [tls] client_ca_file is not set"
        );
    }
    let (operator_listener, operator) = bind("the operator port", config.operator.port.listen).await?;
    let (stop_operator, operator_stopped) = watch::channel(false);
    let routes = crate::operator::routes(pages::pages(metrics, life.clone()), config.operator.port);
    // It outlives gRPC, so that draining can be watched.
    let (followed, refreshed) = (told(operator_stopped.clone()), operator_stopped.clone());
    // Probes and scrapers on the same host go on as they are.
    let beyond = !operator.ip().to_canonical().is_loopback();
    let guard = crate::operator::Guard {
        tls: tls.clone().filter(|_| beyond),
        gate: (beyond && config.access.tokens_file().is_some()).then(|| gate.clone()),
    };
    let of_port = config.operator.port;
    let operator_task = tokio::spawn(crate::operator::serve(operator_listener, routes, of_port, guard, told(operator_stopped)));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %operator, "starting: the operator port is open");
    memory::Most::of(config, config.extract.images.threads_started() as u64).tell();

    tokio::spawn(refresh(gate.clone(), refreshed));
    if let Some(tls) = tls.clone() {
        tokio::spawn(tls.follow(followed));
    }
    let opened = tokio::task::spawn_blocking(open).await;
    let doors = opened.map_err(|e| AppError::Stopped("opening of the store", e.to_string()))??;
    let (grpc_listener, grpc) = bind("gRPC", config.grpc.listen).await?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(look(doors.clone(), LOOK_EVERY.min(Duration::from_millis(config.operator.watch.stuck_ms)), stopped.clone()));
    let keeper = keep_up(doors.catalog.clone(), life.clone());
    let Doors { catalog, matcher, .. } = life.doors.get_or_init(|| doors).clone();
    tracing::info!(%grpc, snapshot = matcher.snapshot().id, "serving");
    let (near, quotas) = (Near::of(&config.access), Quotas::new(config.access.items_per_s_max));
    let (options, spool) = (config.grpc, config.store.dir.clone());
    let feeds = Arc::new(feeds(catalog.clone(), &config.feeds, &config.store.dir, &tokio::runtime::Handle::current()));
    let fetching = feeds.clone();
    let fetcher = std::thread::spawn(move || fetching.keep_fetching());
    let deps = crate::service::Deps { matcher, catalog, fetch: feeds.clone(), gate, near, quotas, options, tls, spool };
    let grpc_task =
        tokio::spawn(async move { crate::service::serve(grpc_listener, deps, told(stopped)).await.map_err(|e| e.to_string()) });
    Ok(Running { grpc, operator, stop, stop_operator, grpc_task, operator_task, life, keeper, feeds, fetcher })
}

async fn bind(what: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), AppError> {
    let listener = TcpListener::bind(address).await.map_err(|error| AppError::Bind { what, address, error })?;
    let bound = listener.local_addr().map_err(|error| AppError::Bind { what, address, error })?;
    Ok((listener, bound))
}

/// Done when told to stop; the sender going away means the same.
async fn told(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// How often the file of tokens is looked at.
const REFRESH_EVERY: Duration = Duration::from_secs(1);

/// Reads the tokens anew where they changed.
async fn refresh(gate: Arc<Gate>, stopped: watch::Receiver<bool>) {
    let mut stopped = std::pin::pin!(told(stopped));
    while tokio::time::timeout(REFRESH_EVERY, &mut stopped).await.is_err() {
        let gate = gate.clone();
        // It fails only where it panics, which is logged.
        let _ = tokio::task::spawn_blocking(move || gate.refresh()).await;
    }
}

/// So that a stuck thread and a full disk are logged when nobody asks.
async fn look(doors: Doors, every: Duration, stopped: watch::Receiver<bool>) {
    let mut stopped = std::pin::pin!(told(stopped));
    let mut writable = true;
    while tokio::time::timeout(every, &mut stopped).await.is_err() {
        doors.matcher.look();
        break_floods(&doors).await;
        let catalog = doors.catalog.clone();
        let Ok(why_not) = tokio::task::spawn_blocking(move || catalog.writable().err()).await else { continue };
        match &why_not {
            Some(why) if writable => tracing::error!(%why, "lists accept no changes; look-ups continue"),
            None if !writable => tracing::info!("lists accept changes again"),
            _ => {}
        }
        writable = why_not.is_none();
    }
}

/// Bounds what is asked for by matches of entries that match far more often than they did.
async fn break_floods(doors: &Doors) {
    let action = doors.matcher.options().flood.action();
    for Flooded { list, entry_id, matches } in doors.matcher.take_floods() {
        metrics::counter!("hashwarden_floods_total", "list" => list.clone()).increment(1);
        let (catalog, name) = (doors.catalog.clone(), list.clone());
        let note = format!("{matches} matches in a window of {} s", doors.matcher.options().flood.window_s);
        let capped = tokio::task::spawn_blocking(move || catalog.cap_flooding(&name, &entry_id, action, &note)).await;
        match capped {
            Ok(Ok(true)) => {
                tracing::warn!(list, matches, %action, "an entry matches far more often than it did: its matches ask for less")
            }
            Ok(Ok(false)) => {
                tracing::warn!(list, matches, "an entry matches far more often than it did; it has a mark, which stays")
            }
            Ok(Err(error)) => tracing::error!(list, matches, %error, "an entry floods and could not be marked"),
            Err(_) => {} // it panicked, which is logged
        }
    }
}

impl Running {
    /// Stops accepting, lets what is in flight finish, and ends.
    pub async fn drain(self) -> Result<(), AppError> {
        self.life.stopping.store(true, Ordering::Release);
        self.feeds.stop();
        let _ = self.stop.send(true); // nobody listening any more is what is wanted
        let grpc = self.grpc_task.await.map_err(|e| AppError::Stopped("gRPC server", e.to_string()))?;
        let _ = self.stop_operator.send(true);
        let operator = self.operator_task.await.map_err(|e| AppError::Stopped("operator port", e.to_string()))?;
        let _ = tokio::task::spawn_blocking(move || self.keeper.join()).await;
        let fetcher = tokio::task::spawn_blocking(move || self.fetcher.join());
        if tokio::time::timeout(FETCHER_MAX, fetcher).await.is_err() {
            tracing::warn!("an import of what was fetched is left unfinished; it is begun anew after the next start");
        }
        tracing::info!("stopped");
        grpc.map_err(|e| AppError::Stopped("gRPC server", e))?;
        operator.map_err(|e| AppError::Stopped("operator port", e.to_string()))
    }

    /// Waits until a server ends by itself, which it should not.
    pub async fn failed(&mut self) -> AppError {
        let words = |ended: Result<Result<(), String>, tokio::task::JoinError>| match ended {
            Ok(Ok(())) => "it ended by itself".to_owned(),
            Ok(Err(error)) => error,
            Err(error) => error.to_string(),
        };
        tokio::select! {
            ended = &mut self.grpc_task => AppError::Stopped("gRPC server", words(ended)),
            ended = &mut self.operator_task => {
                AppError::Stopped("operator port", words(ended.map(|r| r.map_err(|e| e.to_string()))))
            }
        }
    }
}

/// Keeps what the process holds to itself: files that it makes are for its user alone, and a crash writes no memory, which holds
/// lists and pictures, to a file. To be called before there are threads.
pub fn confine(config: &Config) -> Result<(), AppError> {
    use rustix::fs::Mode;
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    #[cfg(target_os = "linux")]
    if config.process.core_dumps == CoreDumps::Off {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let not_off = |error: rustix::io::Errno| AppError::Stopped("turning off of core dumps", error.to_string());
        set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(not_off)?;
    }
    Ok(())
}

/// Sends log lines to standard error from now on.
pub fn log(config: &Config, lines: Lines) -> Result<(), AppError> {
    crate::telemetry::init(&config.log, lines)?;
    // A decoder's panic is caught and answered; its message could tell of the picture, so the place alone is logged.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a thread panicked");
    }));
    Ok(())
}

/// Waits until all lines so far are written; false where nobody reads them.
pub fn log_written() -> bool {
    crate::telemetry::written()
}

/// The process's metrics: one set, however many servers it starts.
fn metrics() -> Result<Metrics, AppError> {
    static METRICS: Mutex<Option<Metrics>> = Mutex::new(None);
    let mut installed = METRICS.lock().unwrap_or_else(PoisonError::into_inner);
    match &*installed {
        Some(metrics) => Ok(metrics.clone()),
        None => Ok(installed.insert(Metrics::install()?).clone()),
    }
}

/// Serves until SIGTERM or SIGINT, then drains. `ready` is told both addresses once requests are answered.
pub async fn serve(config: &Config, ready: impl FnOnce(SocketAddr, SocketAddr)) -> Result<(), AppError> {
    use tokio::signal::unix::{SignalKind, signal};
    let unheard = |e: std::io::Error| AppError::Stopped("signal handler", e.to_string());
    let mut terminate = signal(SignalKind::terminate()).map_err(unheard)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unheard)?;
    let signalled = async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    };
    serve_until(start(config), signalled, ready).await
}

/// Serves what is being started until `signalled` says what ends it. Told so while it is starting, it is not waited for: a store that is
/// being opened takes no harm.
pub async fn serve_until(
    starting: impl Future<Output = Result<Running, AppError>>,
    signalled: impl Future<Output = &'static str>,
    ready: impl FnOnce(SocketAddr, SocketAddr),
) -> Result<(), AppError> {
    let mut signalled = std::pin::pin!(signalled);
    let mut running = tokio::select! {
        running = starting => running?,
        signal = &mut signalled => {
            tracing::info!(signal, "stopped while starting");
            return Ok(());
        }
    };
    ready(running.grpc, running.operator);
    let failed = tokio::select! {
        signal = &mut signalled => {
            tracing::info!(signal, "draining");
            None
        }
        error = running.failed() => Some(error),
    };
    match failed {
        Some(error) => Err(error),
        None => running.drain().await,
    }
}

/// Time between two attempts to open a store anew that takes no changes.
const RESUME_EVERY: Duration = Duration::from_secs(1);

/// Merges crowded layers, and opens a store anew that takes no changes, beside everything else.
fn keep_up(catalog: Arc<Catalog>, life: Arc<Life>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let (mut tried, mut told) = (Instant::now(), String::new());
        while !life.is_stopping() {
            if tried.elapsed() >= RESUME_EVERY {
                // Why not is told when it is another reason than before.
                let why = catalog.resume().map_or_else(|error| error.to_string(), |_| String::new());
                if why != told && !why.is_empty() {
                    tracing::error!(why, "no changes are accepted");
                }
                (tried, told) = (Instant::now(), why);
            }
            if !catalog.merge() {
                std::thread::sleep(Duration::from_millis(200));
            }
        }
    })
}
