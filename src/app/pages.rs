//! What do the operator port's pages say? Read from the doors when a page is asked for.
//!
//! The port is open before the store is: until [`Doors`] are there, the process is alive, not ready, and has metrics of itself alone.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use super::decoding::Decoding;
use crate::catalog::{Catalog, ListInfo, SourceInfo};
use crate::matcher::{Matcher, PoolState};
use crate::operator::{Pages, Readiness};
use crate::telemetry::{Metrics, Reading};

/// What a process stands on once its store is open.
#[derive(Clone)]
pub struct Doors {
    pub catalog: Arc<Catalog>,
    pub matcher: Matcher,
    pub(super) decoding: Decoding,
}

/// How far the process's life is.
#[derive(Default)]
pub struct Life {
    pub doors: OnceLock<Doors>,
    pub stopping: AtomicBool,
}

impl Life {
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn readiness(&self) -> Readiness {
        if self.is_stopping() {
            return Readiness::Draining;
        }
        let Some(doors) = self.doors.get() else { return Readiness::Loading };
        let pools = doors.matcher.look();
        match pools.iter().find(|pool| pool.is_stuck()) {
            Some(pool) => {
                Readiness::Failing(format!("all {} {} threads are stuck: restart the service", pool.threads, pool.pool))
            }
            None => {
                // Look-ups are what readiness is about: a store that takes no changes is told beside it.
                let unwritable = doors.catalog.writable().err().map(|why| format!("lists accept no changes: {why}"));
                let stuck = pools.iter().filter(|pool| pool.stuck > 0).map(some_stuck);
                Readiness::Ready {
                    snapshot: doors.matcher.snapshot().id,
                    notes: stuck.chain(unwritable).chain(doors.decoding.amiss()).collect(),
                }
            }
        }
    }
}

fn some_stuck(pool: &PoolState) -> String {
    format!("{} of {} {} threads are stuck", pool.stuck, pool.threads, pool.pool)
}

pub fn pages(metrics: Metrics, life: Arc<Life>) -> Pages {
    let asked = life.clone();
    let render = move || {
        let Some(doors) = life.doors.get() else { return metrics.render(&[], None) };
        let mut readings = of_matcher(&doors.matcher);
        readings.extend(of_decoding(&doors.decoding));
        let writable = if doors.catalog.writable().is_ok() { 1.0 } else { 0.0 };
        readings.push(Reading::plain("hashwarden_store_writable", writable));
        match doors.catalog.store_bytes() {
            Ok(bytes) => readings.push(Reading::plain("hashwarden_store_bytes", bytes as f64)),
            Err(error) => tracing::error!(%error, "the store's files can't be counted for the metrics"),
        }
        let lists = match doors.catalog.lists() {
            Ok(lists) => lists,
            Err(error) => {
                tracing::error!(%error, "the lists can't be read for the metrics");
                return metrics.render(&readings, None);
            }
        };
        readings.extend(lists.iter().flat_map(of_list));
        match doors.catalog.all_sources() {
            Ok(sources) => readings.extend(sources.iter().flat_map(of_source)),
            Err(error) => tracing::error!(%error, "the sources can't be read for the metrics"),
        }
        let names: BTreeSet<String> = lists.into_iter().map(|info| info.list.name).collect();
        metrics.render(&readings, Some(&names))
    };
    Pages { metrics: Box::new(render), ready: Box::new(move || asked.readiness()) }
}

fn of_matcher(matcher: &Matcher) -> Vec<Reading> {
    let snapshot = matcher.snapshot();
    let mut readings = vec![
        Reading::plain("hashwarden_snapshot_id", snapshot.id as f64),
        Reading::plain("hashwarden_queue_depth", matcher.queue_depth() as f64),
    ];
    for (kind, bytes) in snapshot.index_bytes() {
        readings.push(Reading::of("hashwarden_index_bytes", "kind", kind.name(), bytes as f64));
    }
    for PoolState { pool, threads, busy, stuck } in matcher.look() {
        for (name, n) in [("hashwarden_threads", threads), ("hashwarden_threads_busy", busy), ("hashwarden_threads_stuck", stuck)]
        {
            readings.push(Reading::of(name, "pool", pool, n as f64));
        }
    }
    readings
}

fn of_decoding(decoding: &Decoding) -> Vec<Reading> {
    let denied = decoding.denied().each();
    let denied = denied.map(|(what, denied)| Reading::of("hashwarden_sandbox_denies", "what", what, f64::from(u8::from(denied))));
    let alive = decoding.workers.as_ref().map_or(0, |workers| workers.alive());
    denied.into_iter().chain([Reading::plain("hashwarden_workers", alive as f64)]).collect()
}

fn of_source(info: &SourceInfo) -> [Reading; 3] {
    let reading =
        |name, value: f64| Reading { name, labels: vec![("list", info.list.clone()), ("source", info.name.clone())], value };
    [
        reading("hashwarden_source_age_seconds", info.age_ms(now_ms()) as f64 / 1000.0),
        reading("hashwarden_source_failures", f64::from(info.state.failures)),
        reading("hashwarden_source_waits", f64::from(u8::from(info.waits.is_some()))),
    ]
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

fn of_list(info: &ListInfo) -> Vec<Reading> {
    let name = &info.list.name;
    let mut readings = vec![Reading::of("hashwarden_list_rows", "list", name, info.rows as f64)];
    let since_ms = if info.imported_ms > 0 { info.imported_ms } else { info.updated_ms };
    // A list that was never filled has no age.
    if since_ms > 0 {
        let age = now_ms().saturating_sub(since_ms) as f64 / 1000.0;
        readings.push(Reading::of("hashwarden_list_age_seconds", "list", name, age));
    }
    readings
}
