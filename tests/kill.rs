//! kill -9 at random moments: a list has its old version or its new one, never a mix, and an acknowledged add is never lost.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hashwarden::app;
use hashwarden::catalog::{Catalog, PolicyUpdate, bk};
use hashwarden::config::Config;
use hashwarden::demo::lists::random_pdq;
use hashwarden::entry::{Bits, Caller, HashKind, Lineage, Polarity, VersionState};
use hashwarden::index::IndexChoice;
use hashwarden::store::{Access, Store};

const ROUNDS: usize = 50;
const ROWS: usize = 20_000;

fn hashwarden(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hashwarden"));
    // So that each import drops a version, and what that held.
    command.env("HASHWARDEN__STORE__VERSIONS_MAX", "1").env("HASHWARDEN__IMPORT__CHANGE_PERCENT_MAX", "0");
    command.arg("--store").arg(dir).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn write_list(path: &Path, seed: u64) {
    let text: String =
        random_pdq(seed, ROWS).iter().enumerate().map(|(n, hash)| format!("e{n},{}\n", hex::encode(hash.to_bytes()))).collect();
    std::fs::write(path, format!("id,pdq\n{text}")).unwrap();
}

fn by() -> Caller {
    Caller("test".to_owned())
}

/// What the active version of the list holds, read from the rows themselves.
fn active_rows(dir: &Path) -> BTreeSet<(String, String)> {
    let store = Store::open(dir, Access::Read, hashwarden::catalog::FORMAT_DERIVED).unwrap();
    let list = store.list_by_name("known").unwrap().unwrap();
    let lineage = store.version(list.id, list.active).unwrap().map_or_else(Lineage::default, |version| version.lineage);
    let named = store.ids(list.id).unwrap().filter_map(|id| id.unwrap().1.in_version(&lineage));
    let contents = named.map(|record| store.entry(list.id, record.entry).unwrap().unwrap());
    contents.map(|content| (content.id, content.hashes[0].hex())).collect()
}

#[test]
fn a_list_has_the_old_version_or_the_new_one_after_a_kill_during_an_import() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("store");
    let files = [folder.path().join("a.csv"), folder.path().join("b.csv")];
    let versions: Vec<BTreeSet<(String, String)>> = [1, 2]
        .map(|seed| {
            write_list(&files[seed as usize - 1], seed);
            let hashes = random_pdq(seed, ROWS).into_iter().enumerate();
            hashes.map(|(n, hash)| (format!("e{n}"), hex::encode(hash.to_bytes()))).collect()
        })
        .into();
    {
        let catalog = app::lists(&dir, &Config::default(), Access::Write).unwrap();
        catalog.create(&by(), "known", Polarity::Positive, &PolicyUpdate::default()).unwrap();
    }
    let import = |file: &Path| hashwarden(&dir).args(["list", "import", "known"]).arg(file).spawn().unwrap();
    assert!(import(&files[0]).wait().unwrap().success());
    assert_eq!(active_rows(&dir), versions[0]);
    let started = Instant::now();
    assert!(import(&files[1]).wait().unwrap().success());
    let whole = started.elapsed();
    assert_eq!(active_rows(&dir), versions[1]);

    let (mut now, mut random, mut cut, mut came) = (1, 20_261_124u64, 0, 0);
    // Up to when a kill may come. It follows how long imports take now, which differs with what else the machine does.
    let mut until = whole.mul_f64(1.2);
    for round in 0..ROUNDS {
        let next = 1 - now;
        let mut child = import(&files[next]);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(until.mul_f64((random >> 40) as f64 / f64::from(1 << 24)));
        child.kill().unwrap();
        let killed = !child.wait().unwrap().success();
        let rows = active_rows(&dir);
        let seen = versions.iter().position(|version| *version == rows);
        let seen = seen.unwrap_or_else(|| panic!("round {round}: {} rows that are neither version", rows.len()));
        assert!(killed || seen == next, "round {round}: an import that said it was done is not there");
        until = until.mul_f64(if seen == now { 1.1 } else { 0.8 }).max(whole.mul_f64(0.2));
        cut += usize::from(seen == now);
        came += usize::from(seen == next);
        now = seen;

        let catalog = app::lists(&dir, &Config::default(), Access::Write).unwrap(); // recovery
        let states = catalog.versions("known").unwrap();
        assert!(states.iter().all(|v| v.state != VersionState::Staged), "round {round}: a version was left staged");
        assert_eq!(catalog.list("known").unwrap().rows, ROWS as u64);
        if round % 10 == 0 || round == ROUNDS - 1 {
            assert_sound(&catalog, round);
        }
    }
    println!("{ROUNDS} kills: {cut} left the old version, {came} the new one; a whole import took {whole:?}");
    assert!(cut > 0 && came > 0, "the kills missed the import: {cut} before, {came} after");
    assert_eq!(active_rows(&dir), versions[now]);
}

fn assert_sound(catalog: &Catalog, round: usize) {
    let report = catalog.verify(&mut |_, _| {}).unwrap();
    assert_eq!(report.problems, Vec::<String>::new(), "round {round}");
}

/// The index is the BK-tree, whose nodes are written with the entries: it must be whole and right after each kill too.
#[test]
fn an_acknowledged_add_and_its_tree_node_outlive_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("store");
    let (mut acknowledged, mut asked) = (BTreeSet::new(), BTreeSet::new());
    let mut config = Config::default();
    config.index.pdq = IndexChoice::BkTree;
    let hashes = random_pdq(3, 4_000);
    {
        let catalog = app::lists(&dir, &config, Access::Write).unwrap();
        catalog.create(&by(), "known", Polarity::Positive, &PolicyUpdate::default()).unwrap();
    }
    let mut n = 0;
    for round in 0..10 {
        let mut server = hashwarden(&dir)
            .arg("serve")
            .env("HASHWARDEN__GRPC__LISTEN", "127.0.0.1:0")
            .env("HASHWARDEN__OPERATOR__LISTEN", "127.0.0.1:0")
            .env("HASHWARDEN__INDEX__PDQ", "bk-tree")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(server.stdout.take().unwrap()), &mut line).unwrap();
        let address = line.strip_prefix("gRPC on ").and_then(|l| l.split(',').next()).unwrap_or_else(|| panic!("{line:?}"));
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50 + 37 * round));
            server.kill().unwrap();
            server.wait().unwrap();
        });
        let endpoint = format!("http://{address}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let Ok(client) = hashwarden::client::Client::connect(&endpoint, Duration::from_secs(5)).await else { return };
            while n < hashes.len() {
                let id = format!("e{n}");
                asked.insert(id.clone());
                let entry = hashwarden::catalog::NewEntry {
                    id: Some(id.clone()),
                    category: String::new(),
                    hashes: vec![hashwarden::entry::HashValue::Pdq(hashes[n])],
                    ..hashwarden::catalog::NewEntry::default()
                };
                n += 1;
                match client.add("known", vec![entry]).await {
                    Ok(_) => acknowledged.insert(id),
                    Err(_) => break, // killed
                };
            }
        });
        killer.join().unwrap();
        let there: BTreeSet<_> = active_rows(&dir).into_iter().map(|(id, _)| id).collect();
        assert!(acknowledged.is_subset(&there), "round {round}: lost {:?}", acknowledged.difference(&there).collect::<Vec<_>>());
        assert!(there.is_subset(&asked), "round {round}: entries nobody added");
        // Read as the kill left it: a writer would mend it first.
        let store = Store::open(&dir, Access::Read, hashwarden::catalog::FORMAT_DERIVED).unwrap();
        let tree = bk::tree(&store, HashKind::Pdq).unwrap().map_or(0, |tree| tree.nodes);
        assert_eq!(tree as usize, there.len(), "round {round}: nodes and entries");
        assert_eq!(bk::verify(&store, HashKind::Pdq).unwrap(), Vec::<String>::new(), "round {round}");
    }
    assert!(acknowledged.len() > 10, "only {} adds were acknowledged", acknowledged.len());
}

/// Compaction drops versions, sweeps rows and writes every table anew: killed at any moment it loses nothing, and the next one finishes it.
#[test]
fn a_compaction_that_is_killed_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("store");
    let file = folder.path().join("rows.csv");
    {
        let catalog = app::lists(&dir, &Config::default(), Access::Write).unwrap();
        catalog.create(&by(), "known", Polarity::Positive, &PolicyUpdate::default()).unwrap();
    }
    let run = |args: &[&str]| hashwarden(&dir).args(args).spawn().unwrap();
    let (mut random, mut killed) = (7u64, 0);
    let mut until = Duration::from_millis(150);
    for round in 0..8u64 {
        write_list(&file, 10 + round);
        // Many versions to drop at once.
        let mut import = hashwarden(&dir);
        import.env("HASHWARDEN__STORE__VERSIONS_MAX", "100").args(["list", "import", "known"]).arg(&file);
        assert!(import.status().unwrap().success());
        let expected = active_rows(&dir);
        assert_eq!(expected.len(), ROWS);
        let mut child = run(&["store", "compact"]);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(until.mul_f64((random >> 40) as f64 / f64::from(1 << 24)));
        child.kill().unwrap();
        let was_killed = !child.wait().unwrap().success();
        killed += usize::from(was_killed);
        until = until.mul_f64(if was_killed { 1.3 } else { 0.7 });
        assert!(active_rows(&dir) == expected, "round {round}");
        let catalog = app::lists(&dir, &Config::default(), Access::Write).unwrap();
        assert_sound(&catalog, round as usize);
    }
    println!("{killed} compactions were killed");
    assert!(killed > 0, "no compaction was killed");
    assert!(run(&["store", "compact"]).wait().unwrap().success());
    let catalog = app::lists(&dir, &Config::default(), Access::Write).unwrap();
    assert_eq!(catalog.versions("known").unwrap().len(), 2);
    assert_sound(&catalog, 99);
}
