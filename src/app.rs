//! Assembly: the one place that knows every room, and the server's life.
//!
//! A process opens its store, publishes a snapshot, starts its threads, binds, serves, drains. Nothing here decides anything.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::catalog::{Catalog, CatalogError, FORMAT_DERIVED};
use crate::config::{Config, CoreDumps};
use crate::extract::InProcess;
use crate::matcher::{Matcher, Options, StartError};
use crate::operator::{Pages, Readiness};
use crate::snapshot::{Choices, Published};
use crate::store::{Access, Store, StoreError};
use crate::telemetry::{Metrics, TelemetryError};

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Matcher(#[from] StartError),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error("{what} can't listen on {address}: {error}")]
    Bind { what: &'static str, address: SocketAddr, error: std::io::Error },
    #[error("the {0} stopped: {1}")]
    Stopped(&'static str, String),
}

/// The lists of a store, without look-ups.
pub fn lists(dir: &Path, config: &Config, access: Access) -> Result<Catalog, AppError> {
    let store = Arc::new(Store::open(dir, access, FORMAT_DERIVED)?);
    Ok(Catalog::open(store, access, catalog_options(config), None)?)
}

/// Takes a store as it is found: see [`Store::accept`].
pub fn accept(dir: &Path) -> Result<crate::store::Accepted, AppError> {
    Ok(Store::accept(dir)?)
}

/// The lists of a store and a matcher over them.
pub fn matching(dir: &Path, config: &Config, access: Access) -> Result<(Arc<Catalog>, Matcher), AppError> {
    let store = Arc::new(Store::open(dir, access, FORMAT_DERIVED)?);
    let published = Arc::new(Published::default());
    let catalog = Arc::new(Catalog::open(store, access, catalog_options(config), Some(published.clone()))?);
    Ok((catalog, matcher(config, published)?))
}

/// A matcher without lists: it hashes.
pub fn hashing(config: &Config) -> Result<Matcher, AppError> {
    matcher(config, Arc::new(Published::default()))
}

fn matcher(config: &Config, published: Arc<Published>) -> Result<Matcher, AppError> {
    let extractor = Arc::new(InProcess::new(config.limits(), Instant::now));
    Ok(Matcher::new(published, extractor, options(config))?)
}

fn catalog_options(config: &Config) -> crate::catalog::Options {
    let choices = Choices { pdq: config.index.pdq, phash64: config.index.phash64, dhash64: config.index.dhash64 };
    crate::catalog::Options { choices, matches_per_list_max: config.snapshot.candidates_max }
}

fn service_options(config: &Config) -> crate::service::Options {
    let g = &config.grpc;
    crate::service::Options {
        image_bytes_max: g.image_bytes_max,
        items_in_flight_max: g.items_in_flight_max as usize,
        hashes_per_item_max: g.hashes_per_item_max as usize,
        request_ms_max: g.request_ms_max,
        connection_streams_max: g.connection_streams_max,
        drain_s: g.drain_s,
        // Streams wait for their share; a quarter is left for single requests.
        // An item's time runs while it waits for a thread: so many that none of those is idle, and no more.
        stream_images_max: (config.extract.queue_max / 4 * 3).clamp(1, STREAM_IMAGES_PER_THREAD * extract_threads(config)),
        stream_image_bytes_max: config.extract.queue_bytes_max / 4 * 3,
        ..crate::service::Options::default()
    }
}

/// Images of streams that wait or are worked on, for each thread that works on them.
const STREAM_IMAGES_PER_THREAD: usize = 4;

fn extract_threads(config: &Config) -> usize {
    match config.extract.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

fn options(config: &Config) -> Options {
    Options {
        extract_threads: config.extract.threads,
        search_threads: config.search.threads,
        images_max: config.extract.queue_max,
        image_bytes_in_flight_max: config.extract.queue_bytes_max,
        ..Options::default()
    }
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
    stopping: Arc<AtomicBool>,
    merger: std::thread::JoinHandle<()>,
}

/// Opens the store, publishes the first snapshot, binds both ports and serves.
pub async fn start(config: &Config) -> Result<Running, AppError> {
    let metrics = metrics()?;
    let (dir, config_of_store) = (config.store.dir.clone(), config.clone());
    let opened = tokio::task::spawn_blocking(move || matching(&dir, &config_of_store, Access::Write)).await;
    let (catalog, matcher) = opened.map_err(|e| AppError::Stopped("opening of the store", e.to_string()))??;

    let bind = async |what, address| {
        let listener = TcpListener::bind(address).await.map_err(|error| AppError::Bind { what, address, error })?;
        let bound = listener.local_addr().map_err(|error| AppError::Bind { what, address, error })?;
        Ok::<_, AppError>((listener, bound))
    };
    let (grpc_listener, grpc) = bind("gRPC", config.grpc.listen).await?;
    let (operator_listener, operator) = bind("the operator port", config.operator.listen).await?;

    let (stop, stopped) = watch::channel(false);
    let (stop_operator, operator_stopped) = watch::channel(false);
    let stopping = Arc::new(AtomicBool::new(false));
    let pages = pages(metrics, catalog.clone(), matcher.clone(), stopping.clone());
    let merger = merge_in_background(catalog.clone(), stopping.clone());
    let deps = crate::service::Deps { matcher, catalog, options: service_options(config) };
    let until = async |mut stopped: watch::Receiver<bool>| {
        // The sender going away means the same.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let grpc_task = tokio::spawn({
        let stopped = until(stopped);
        async move { crate::service::serve(grpc_listener, deps, stopped).await.map_err(|e| e.to_string()) }
    });
    // The operator port outlives gRPC, so that draining can be watched.
    let operator_task =
        tokio::spawn(crate::operator::serve(operator_listener, crate::operator::routes(pages), until(operator_stopped)));
    Ok(Running { grpc, operator, stop, stop_operator, grpc_task, operator_task, stopping, merger })
}

impl Running {
    /// Stops accepting, lets what is in flight finish, and ends.
    pub async fn drain(self) -> Result<(), AppError> {
        self.stopping.store(true, Ordering::Release);
        let _ = self.stop.send(true); // nobody listening any more is what is wanted
        let grpc = self.grpc_task.await.map_err(|e| AppError::Stopped("gRPC server", e.to_string()))?;
        let _ = self.stop_operator.send(true);
        let operator = self.operator_task.await.map_err(|e| AppError::Stopped("operator port", e.to_string()))?;
        let _ = tokio::task::spawn_blocking(move || self.merger.join()).await;
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
pub fn log(config: &Config) -> Result<(), AppError> {
    crate::telemetry::init(&config.log)?;
    // A decoder's panic is caught and answered; its message could tell of the picture, so the place alone is logged.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a thread panicked");
    }));
    Ok(())
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
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| AppError::Stopped("signal handler", e.to_string()))?;
    let mut running = start(config).await?;
    ready(running.grpc, running.operator);
    let failed = tokio::select! {
        _ = terminate.recv() => None,
        _ = tokio::signal::ctrl_c() => None,
        error = running.failed() => Some(error),
    };
    match failed {
        Some(error) => Err(error),
        None => {
            tracing::info!("draining");
            running.drain().await
        }
    }
}

/// Merges crowded layers beside everything else.
fn merge_in_background(catalog: Arc<Catalog>, stopping: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        while !stopping.load(Ordering::Acquire) {
            if !catalog.merge() {
                std::thread::sleep(Duration::from_millis(200));
            }
        }
    })
}

fn pages(metrics: Metrics, catalog: Arc<Catalog>, matcher: Matcher, stopping: Arc<AtomicBool>) -> Pages {
    let answering = matcher.clone();
    let shown = Mutex::new(BTreeSet::new());
    let render = move || {
        let snapshot = matcher.snapshot();
        metrics::gauge!("hashwarden_snapshot_id").set(snapshot.id as f64);
        metrics::gauge!("hashwarden_queue_depth").set(matcher.queue_depth() as f64);
        for (kind, bytes) in snapshot.index_bytes() {
            metrics::gauge!("hashwarden_index_bytes", "kind" => kind.name()).set(bytes as f64);
        }
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
        match catalog.lists() {
            Ok(lists) => {
                // A series can't be taken back: a list that is gone has no number any more, so that no alert goes by its last one.
                let names: BTreeSet<String> = lists.iter().map(|info| info.list.name.clone()).collect();
                let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
                for gone in shown.difference(&names) {
                    metrics::gauge!("hashwarden_list_rows", "list" => gone.clone()).set(f64::NAN);
                    metrics::gauge!("hashwarden_list_age_seconds", "list" => gone.clone()).set(f64::NAN);
                }
                shown.extend(names);
                lists.iter().for_each(|info| {
                    let name = info.list.name.clone();
                    metrics::gauge!("hashwarden_list_rows", "list" => name.clone()).set(info.rows as f64);
                    // A list that was never filled has no age.
                    if info.updated_ms > 0 {
                        let age = now_ms.saturating_sub(info.updated_ms) as f64 / 1000.0;
                        metrics::gauge!("hashwarden_list_age_seconds", "list" => name).set(age);
                    }
                });
            }
            Err(error) => tracing::error!(%error, "the lists can't be read for the metrics"),
        }
        metrics.render()
    };
    let ready = move || match stopping.load(Ordering::Acquire) {
        true => Readiness::Draining,
        false => Readiness::Ready { snapshot: answering.snapshot().id },
    };
    Pages { metrics: Box::new(render), ready: Box::new(ready) }
}
