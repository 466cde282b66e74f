//! Do README.md and docs/ tell the truth: their links, commands, metrics and figures?
//!
//! Commands are run as they stand there, each block in a folder and a store of its own. The first match from Python runs with the interpreter
//! that `HASHWARDEN_TEST_PYTHON` names (grpcio, grpcio-tools); without one that part says that it is skipped.

#![allow(clippy::unwrap_used)] // a test stops where its ground is missing

#[path = "../benches/figures/lookups.rs"]
mod lookups;
#[path = "../benches/figures/verdict.rs"]
mod verdict;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use hashwarden::demo::{edits, lists, pictures};
use hashwarden::entry::Bits;
use hashwarden::telemetry::{METRICS, Metric, MetricType};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Every page, by its path from the root.
fn pages() -> Vec<String> {
    let mut pages: Vec<String> =
        ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "src/ARCHITECTURE.md"].map(str::to_owned).into();
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        pages.extend(name.ends_with(".md").then(|| format!("docs/{name}")));
    }
    pages
}

/// The fenced blocks of a language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    page.split("```")
        .skip(1)
        .step_by(2)
        .filter_map(|block| block.strip_prefix(&format!("{language}\n")).map(str::to_owned))
        .collect()
}

/// A heading's anchor, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut checked = 0;
    for page in pages() {
        let text = read(&page);
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if link.starts_with("https://") {
                continue;
            }
            let (file, heading) = link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
            let target = if file.is_empty() { root().join(&page) } else { root().join(&page).parent().unwrap().join(file) };
            assert!(target.exists(), "{page} links to {link}, which is not there");
            if let Some(heading) = heading {
                let there = fs::read_to_string(&target).unwrap();
                let found = there.lines().any(|line| line.starts_with('#') && anchor(line) == heading);
                assert!(found, "{page} links to {link}, which has no such heading");
            }
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked} links");
}

/// Every page of docs/ can be reached from the README, which is one page and names the two commands.
#[test]
fn the_readme_is_one_page_and_leads_to_all_others() {
    let readme = read("README.md");
    assert!(readme.lines().count() <= 130, "{} lines", readme.lines().count());
    for page in pages().iter().filter(|page| *page != "README.md") {
        assert!(readme.contains(&format!("]({page})")), "README.md does not link to {page}");
    }
    let makefile = read("Makefile");
    for target in ["demo", "test"] {
        assert!(readme.lines().any(|line| line.starts_with(&format!("make {target} "))), "make {target} is not in README.md");
    }
    for page in pages() {
        for line in blocks(&read(&page), "sh").iter().flat_map(|block| block.lines()) {
            if let Some(target) = line.strip_prefix("make ").and_then(|rest| rest.split(' ').next()) {
                assert!(makefile.lines().any(|line| line.starts_with(&format!("{target}:"))), "{page}: make {target}");
            }
        }
    }
    assert!(read(".ci/run").lines().any(|line| line == "make test"), "CI does not run the README's test command");
}

/// An operator finds every metric in docs/operating.md, with the words that /metrics has for it.
#[test]
fn every_metric_is_in_the_table() {
    let page = read("docs/operating.md");
    for Metric(kind, name, meaning) in METRICS {
        let kind = match kind {
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
        };
        let row = page.lines().find(|line| line.starts_with(&format!("| `{name}`")));
        let row = row.unwrap_or_else(|| panic!("no row for {name} in docs/operating.md"));
        assert!(row.ends_with(&format!(" | {kind} | {meaning} |")), "{row}");
    }
    let rows = page.lines().filter(|line| line.starts_with("| `hashwarden_")).count();
    assert_eq!(rows, METRICS.len(), "a metric in docs/operating.md is not there any more");
}

/// Who changes a figure in a table draws its plot anew.
#[test]
fn the_plot_shows_the_figures_of_the_tables() {
    let drawn = lookups::svg(&read("docs/benchmarks.md")).unwrap();
    assert!(read("docs/lookups.svg") == drawn, "docs/lookups.svg is old: cargo bench --bench figures");
    let missing = lookups::svg("").unwrap_err();
    assert!(missing.contains("no row"), "{missing}");
}

/// Once the picture of a verdict is not what the binary says any more, it is drawn anew.
#[test]
fn the_picture_of_a_verdict_shows_what_the_binary_says() {
    let folder = tempfile::tempdir().unwrap();
    let words = |svg: &str| svg.lines().filter(|line| line.starts_with("<text")).map(str::to_owned).collect::<Vec<_>>();
    let drawn = verdict::svg(Path::new(env!("CARGO_BIN_EXE_hashwarden")), folder.path());
    assert!(words(&drawn).iter().any(|line| line.ends_with("outcome      MATCH</text>")), "{:?}", words(&drawn));
    assert_eq!(words(&read("docs/verdict.svg")), words(&drawn), "docs/verdict.svg is old: cargo bench --bench figures");
}

/// What the commands of the pages work on: a store, pictures, list files.
struct Ground(tempfile::TempDir);

impl Ground {
    fn new() -> Self {
        let ground = Ground(tempfile::tempdir().unwrap());
        fs::write(ground.path("photo.jpg"), edits::jpeg(&pictures::draw(1, 320, 240), 88).unwrap()).unwrap();
        fs::create_dir(ground.path("folder")).unwrap();
        fs::copy(ground.path("photo.jpg"), ground.path("folder/photo.jpg")).unwrap();
        for (name, rows) in [("hashes.csv", 20), ("tomorrow.csv", 22), ("daily.csv", 3)] {
            let hashes = lists::random_pdq(1, rows);
            let lines = hashes.iter().zip(1..).map(|(hash, id)| format!("{id},{}\n", hex::encode(hash.to_bytes())));
            fs::write(ground.path(name), format!("id,pdq\n{}", lines.collect::<String>())).unwrap();
        }
        // What a hotline has: the photograph, ordinary pictures, and one that is blank.
        let photo = ground.hashes_of_photo();
        let rows =
            lists::random_pdq(2, 20).into_iter().zip(1..).map(|(hash, n)| format!("h{n},{},B\n", hex::encode(hash.to_bytes())));
        let others = format!("photo,{},A\nblank-1,{},B\n", photo["pdq"].as_str().unwrap(), "0f".repeat(32));
        fs::create_dir(ground.path("hotline")).unwrap();
        fs::write(ground.path("hotline/monday.csv"), format!("id,pdq,category\n{others}{}", rows.collect::<String>())).unwrap();
        ground
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a line as a shell does, with the built binary as `hashwarden`.
    fn shell(&self, line: &str) -> Output {
        let binary = Path::new(env!("CARGO_BIN_EXE_hashwarden"));
        let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.args(["-c", line]).env("PATH", path).env("HASHWARDEN__STORE__DIR", self.path("store"));
        // What a block exports is another command's.
        command.env("HASHWARDEN__ACCESS__TOKENS_FILE", self.path("tokens.json"));
        command.env("HASHWARDEN__FEEDS__FOLDER", self.0.path());
        for (key, value) in [("ORIGIN", "https://report.cybertip.org"), ("USER", "me"), ("PASSWORD", "secret")] {
            command.env(format!("HASHWARDEN_CREDENTIALS__NCMEC__{key}"), value);
        }
        command.current_dir(self.0.path()).stdin(Stdio::null()).output().unwrap()
    }

    /// What a page's reader puts in for `HEX` and for what `jq` would cut out.
    fn filled(&self, line: &str) -> String {
        let hashes = self.hashes_of_photo();
        let (pdq, md5) = (hashes["pdq"].as_str().unwrap(), hashes["md5"].as_str().unwrap());
        line.replace("$(hashwarden hash --json photo.jpg | jq -r .pdq)", pdq)
            .replace("--pdq HEX", &format!("--pdq {pdq}"))
            .replace("--md5 HEX", &format!("--md5 {md5}"))
            .replace("/srv/hotline", self.path("hotline").to_str().unwrap())
    }

    fn hashes_of_photo(&self) -> serde_json::Value {
        serde_json::from_slice(&self.shell("hashwarden hash --json photo.jpg").stdout).unwrap()
    }
}

/// The commands work as they are printed, in the order in which they stand there.
#[test]
fn the_commands_of_the_pages_work() {
    let mut ran = 0;
    for page in pages() {
        for block in blocks(&read(&page), "sh").iter().filter(|block| !block.contains("--endpoint")) {
            let commands: Vec<&str> = block.lines().filter(|line| line.starts_with("hashwarden ")).collect();
            let ground = Ground::new();
            for name in ["known", "other"] {
                let is_made = commands.iter().any(|line| line.contains(&format!("list create {name}")));
                assert!(is_made || ground.shell(&format!("hashwarden list create {name}")).status.success());
            }
            for line in commands {
                let output = ground.shell(&ground.filled(line));
                // 1 and 4 are verdicts: something matched, or was not scanned whole.
                let is_done = matches!(output.status.code(), Some(0 | 1 | 4));
                assert!(is_done, "{page}: {line}\n{}", String::from_utf8_lossy(&output.stderr));
                ran += 1;
            }
        }
    }
    assert!(ran >= 19, "{ran} commands");
}

/// What the page's day with a list comes to, line by line.
#[test]
fn a_day_with_a_list_goes_as_the_page_says() {
    let (page, ground) = (read("docs/lists.md"), Ground::new());
    let section = page.split("## A day with a list").nth(1).unwrap();
    let block = blocks(section, "sh").into_iter().next().unwrap();
    let run = |line: &str| {
        let output = ground.shell(&ground.filled(line));
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let third = hex::encode(lists::random_pdq(1, 3)[2].to_bytes());
    let ask = format!("hashwarden match --json --pdq {third}");
    let (mut ran, mut before) = (0, 0);
    for line in block.lines().filter(|line| line.starts_with("hashwarden ")) {
        let (exit, out, err) = run(line);
        let verb = line.split(' ').nth(2).unwrap();
        let says = |words: &[&str]| words.iter().for_each(|word| assert!(out.contains(word), "{line}\n{out}\n{err}"));
        assert_eq!(exit, i32::from(verb == "as-of"), "{line}\n{out}\n{err}");
        match verb {
            "create" => says(&["legal basis      DSA, article 16"]),
            "source" if line.contains("fetch") => says(&["22"]),
            "report" => assert!(fs::read_to_string(ground.path("known.html")).unwrap().contains("<svg")),
            "find" => says(&["blank-1", "QUARANTINED by list check"]),
            "diff" => says(&["22 added"]),
            "activate" => {
                let (exit, out, _) = run(&ask);
                assert_eq!(exit, 1);
                before = serde_json::from_str::<serde_json::Value>(&out).unwrap()["snapshot"].as_u64().unwrap();
            }
            "disable" => assert_eq!(run(&ask).0, 0),
            "export" => {
                let file = fs::read_to_string(ground.path("known-today.csv")).unwrap();
                assert!(file.lines().any(|line| line.starts_with("3,") && line.contains("WITHDRAWN")), "{file}");
            }
            "as-of" => {
                says(&["known: would have matched", "photo", "since version 1"]);
                // Disabled now, and not then.
                let (exit, out, _) = run(&format!("hashwarden list as-of known --snapshot {before} --pdq {third}"));
                assert!(exit == 1 && out.contains("since version 2"), "{out}");
                let (exit, out, _) = run(&format!("hashwarden list as-of known --at 0s --pdq {third}"));
                assert!(exit == 0 && out.contains("did not match: DISABLED (wrong picture)"), "{out}");
            }
            "rollback" => says(&["version 1"]),
            _ => {}
        }
        ran += 1;
    }
    assert_eq!(ran, 13);
}

/// A server that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// One on free ports, and where its gRPC is.
    fn start(ground: &Ground, environment: &[(&str, PathBuf)]) -> (Self, String) {
        let mut serve = Command::new(env!("CARGO_BIN_EXE_hashwarden"));
        serve.args(["serve", "--store"]).arg(ground.path("served")).stdout(Stdio::piped());
        serve
            .env("HASHWARDEN__GRPC__LISTEN", "127.0.0.1:0")
            .env("HASHWARDEN__OPERATOR__LISTEN", "127.0.0.1:0")
            .env("HASHWARDEN__LOG__LEVEL", "error")
            .envs(environment.iter().map(|(name, value)| (name, value)));
        let mut server = Server(serve.spawn().unwrap());
        let mut said = String::new();
        BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let address = said.strip_prefix("gRPC on ").and_then(|rest| rest.split(',').next()).unwrap().to_owned();
        (server, address)
    }
}

/// Certificates made as docs/security.md says are good for a server and its client.
#[test]
fn the_certificates_of_the_security_page_work() {
    if Command::new("openssl").arg("version").output().is_err() {
        return println!("skipped: there is no openssl");
    }
    let ground = Ground::new();
    let block = blocks(&read("docs/security.md"), "sh").into_iter().find(|block| block.contains("openssl")).unwrap();
    let (making, asking): (Vec<&str>, Vec<&str>) = block.lines().partition(|line| !line.starts_with("hashwarden "));
    for line in making {
        let output = ground.shell(line);
        assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let files = [("CERTIFICATE", "server.pem"), ("KEY", "server.key")];
    let files = files.map(|(key, file)| (format!("HASHWARDEN__TLS__{key}_FILE"), ground.path(file)));
    let (_server, address) = Server::start(&ground, &files.each_ref().map(|(name, path)| (name.as_str(), path.clone())));
    let port = address.rsplit(':').next().unwrap();
    assert_eq!(asking.len(), 1);
    let output = ground.shell(&asking[0].replace("50051", port));
    assert!(output.status.success(), "{}\n{}", asking[0], String::from_utf8_lossy(&output.stderr));
}

/// A stranger's first match, from the README alone: its shell lines against a server, then its Python.
#[test]
fn the_first_match_of_the_readme_matches() {
    let (readme, ground) = (read("README.md"), Ground::new());
    let (_server, address) = Server::start(&ground, &[]);
    let here = |text: &str| text.replace("127.0.0.1:50051", &address);

    let block = blocks(&readme, "sh").into_iter().find(|block| block.contains("--endpoint")).unwrap();
    let commands: Vec<&str> = block.lines().filter(|line| line.starts_with("hashwarden ")).collect();
    assert_eq!(commands.len(), 2);
    for line in commands {
        let output = ground.shell(&here(&ground.filled(line)));
        assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
    }

    let Some(python) = std::env::var_os("HASHWARDEN_TEST_PYTHON") else {
        return println!("skipped in part: HASHWARDEN_TEST_PYTHON names no interpreter");
    };
    let protos: BTreeSet<PathBuf> =
        fs::read_dir(root().join("proto/hashwarden/v1")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let line = "venv/bin/python -m grpc_tools.protoc -Iproto --python_out=. --grpc_python_out=. proto/hashwarden/v1/*.proto";
    assert!(readme.contains(line), "the test generates stubs in another way than the README");
    let mut generate = Command::new(&python);
    generate
        .args(["-m", "grpc_tools.protoc", "--python_out=.", "--grpc_python_out=."])
        .arg(format!("-I{}", root().join("proto").display()));
    assert!(generate.args(&protos).current_dir(ground.0.path()).status().unwrap().success());
    let program = here(&blocks(&readme, "python")[0]);
    let output = Command::new(&python).args(["-c", &program]).current_dir(ground.0.path()).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("outcome: OUTCOME_MATCH"), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("entry_id: \"first\""), "{printed}");
}
