//! The embedded store on the disk: who may read it, what becomes of a damaged one, what is left of what was deleted.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;

use super::*;

#[test]
fn the_store_is_closed_to_others_whatever_the_umask_is() {
    let place = Place::new();
    let binary = env!("CARGO_BIN_EXE_hashwarden");
    let store = place.path("closed/store");
    let run = |verb: &str| {
        let command = format!("umask 0; exec {binary} --store {} {verb}", store.display());
        assert!(Command::new("sh").args(["-c", &command]).stdout(Stdio::null()).status().unwrap().success(), "{verb}");
    };
    run("list create known");
    run(&format!("list add known --id a --md5 {}", "ab".repeat(16)));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&store), 0o700);
    for file in std::fs::read_dir(&store).unwrap().map(|f| f.unwrap().path()) {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn a_store_whose_head_is_gone_is_refused_and_can_be_accepted() {
    let place = Place::new();
    place.run(&["list", "create", "known"]).exits(0);
    place.run(&["list", "add", "known", "--id", "a", "--md5", &"ab".repeat(16)]).exits(0);
    std::fs::remove_file(place.path("store/HEAD")).unwrap();
    for verb in [&["list", "ls"][..], &["store", "verify"], &["list", "add", "known", "--md5", &"cd".repeat(16)]] {
        place.run(verb).exits(3).says(&["HEAD", "missing", "hashwarden store accept"]);
    }
    place.run(&["store", "accept"]).exits(2).says(&["--yes", "backup"]);
    let accepted = place.run(&["store", "accept", "--yes", "--json"]).exits(0).one();
    assert_eq!((accepted["change"].as_u64(), accepted["acknowledged"].is_null()), (Some(2), true));
    place.run(&["store", "verify"]).exits(0);
    place.run(&["list", "ls"]).exits(0);
}

#[test]
fn a_store_without_its_current_file_is_not_recommended_to_be_accepted() {
    let place = Place::new();
    place.run(&["list", "create", "known"]).exits(0);
    std::fs::remove_file(place.path("store/CURRENT")).unwrap();
    for verb in [&["list", "ls"][..], &["store", "verify"], &["store", "accept", "--yes"]] {
        let ran = place.run(verb).exits(3).says(&["CURRENT is not there", "from a backup"]);
        assert!(!ran.err.contains("accept"), "{ran:?}");
    }
}

/// Whether the system writes a core dump of a server that is ended by SIGABRT, which no shell has its background jobs ignore.
fn leaves_a_core(core_dumps: &str) -> bool {
    let place = Place::new();
    let command = format!("ulimit -c unlimited; exec {} serve --store {}", env!("CARGO_BIN_EXE_hashwarden"), place.store);
    let mut child = Command::new("sh")
        .args(["-c", &command])
        .current_dir(place.folder.path())
        .env("HASHWARDEN__GRPC__LISTEN", "127.0.0.1:0")
        .env("HASHWARDEN__OPERATOR__LISTEN", "127.0.0.1:0")
        .env("HASHWARDEN__PROCESS__CORE_DUMPS", core_dumps)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
    assert!(line.contains("gRPC on"), "{line:?}");
    assert!(Command::new("kill").args(["-ABRT", &child.id().to_string()]).status().unwrap().success());
    child.wait().unwrap().core_dumped()
}

#[test]
fn a_crash_leaves_no_core_unless_it_is_asked_for() {
    assert!(!leaves_a_core("off"));
    // What shows that the test can see one.
    if !leaves_a_core("system") {
        println!("skipped in part: this system writes no core dumps");
    }
}

/// What a list's owner who asks for deletion is told, and what is left then.
#[test]
fn a_deletion_says_what_goes_and_a_compaction_takes_it_off_the_disk() {
    let place = Place::new();
    place.run(&["list", "create", "known"]).exits(0);
    // As an id too, which keys are made of.
    let hash = "3f5a9c0e7b1d2846f0e1d2c3b4a59687".to_owned();
    let file = place.write("rows.csv", format!("id,md5\n{hash},{hash}\nb,{}\n", "cd".repeat(16)).as_bytes());
    place.run(&["list", "import", "known", &file]).exits(0);
    place.run(&["list", "delete", "known"]).exits(2).says(&["2 entries and 1 version", "--yes"]);
    assert_eq!(place.run(&["list", "ls", "--json"]).exits(0).json().len(), 1, "nothing was deleted");
    let found = || {
        let texts = std::fs::read_dir(place.path("store")).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
        let bytes: Vec<u8> = (0..16).map(|at| u8::from_str_radix(&hash[2 * at..2 * at + 2], 16).unwrap()).collect();
        let holds = |text: &[u8], form: &[u8]| text.windows(form.len()).any(|window| window == form);
        texts.filter(|text| holds(text, &bytes) || holds(text, hash.as_bytes())).count()
    };
    assert!(found() > 0);
    let said = place.run(&["list", "delete", "known", "--yes"]).exits(0).out;
    assert!(said.contains("deleted list known with 2 entries") && said.contains("store compact"), "{said}");
    let compacted = place.run(&["store", "compact", "--json"]).exits(0).one();
    assert!(compacted["bytes_after"].as_u64() < compacted["bytes_before"].as_u64(), "{compacted}");
    assert_eq!(found(), 0);
    place.run(&["store", "verify"]).exits(0);
    place.run(&["--endpoint", "http://127.0.0.1:1", "store", "compact"]).exits(2);
}
