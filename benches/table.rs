//! What criterion measured last, in one table. `make bench` runs it after the others.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

fn main() {
    // Cargo puts criterion's results beside its own.
    let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("criterion");
    let mut rows = Vec::new();
    gather(&target, &mut rows);
    rows.sort_by_key(|row| row.order.clone());
    println!("| what | time | each |\n|---|---|---|");
    for Row { name, nanos, elements, .. } in rows {
        let each = elements.map(|n| show(nanos / n as f64)).unwrap_or_default();
        println!("| {name} | {} | {each} |", show(nanos));
    }
}

struct Row {
    name: String,
    /// The name, with its numbers as numbers.
    order: Vec<Result<u64, String>>,
    nanos: f64,
    elements: Option<u64>,
}

/// Folders below this one that hold a benchmark's newest result.
fn gather(dir: &Path, rows: &mut Vec<Row>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    let paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    for path in paths.iter().filter(|path| path.is_dir()) {
        if path.ends_with("new") {
            rows.extend(read(path));
        } else {
            gather(path, rows);
        }
    }
}

fn read(dir: &Path) -> Option<Row> {
    let json = |name: &str| -> Option<Value> { serde_json::from_slice(&std::fs::read(dir.join(name)).ok()?).ok() };
    let (benchmark, estimates) = (json("benchmark.json")?, json("estimates.json")?);
    let name = benchmark["full_id"].as_str()?.to_owned();
    let numbers = name.split(['/', ' ']).map(|part| part.parse().map_err(|_| part.to_owned()));
    Some(Row {
        order: numbers.collect(),
        nanos: estimates["mean"]["point_estimate"].as_f64()?,
        elements: benchmark["throughput"]["Elements"].as_u64(),
        name,
    })
}

fn show(nanos: f64) -> String {
    match nanos {
        ..1e3 => format!("{nanos:.0} ns"),
        ..1e6 => format!("{:.2} us", nanos / 1e3),
        ..1e9 => format!("{:.2} ms", nanos / 1e6),
        _ => format!("{:.2}", Duration::from_nanos(nanos as u64).as_secs_f64()) + " s",
    }
}
