//! Does the sandbox hold: what can a worker do, what does it cost when it is lost, and what stays of a picture?
//!
//! Workers are started from the real binary, by the test as their server or by a server that the test starts. They are lost as they are in
//! life: killed, stopped, out of memory; one that talks nonsense is a script. A system without Landlock or seccomp is a seccomp filter over the
//! server that refuses the calls by which workers lock themselves.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test stops where its ground is missing

#[path = "sandbox/served.rs"]
mod served;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use hashwarden::decode::Limits;
use hashwarden::demo::edits::{Edit, broken};
use hashwarden::demo::pictures::draw;
use hashwarden::entry::Reason;
use hashwarden::extract::{Extractor, Features, InProcess, Unscanned, Wants};
use hashwarden::sandbox::{Denied, Options, Sandbox, Sandboxed, StartError};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

const FAR: Duration = Duration::from_secs(60);
const VIEWS: Wants = Wants { views: true, ..Wants::ALL };

fn options(sandbox: Sandbox, program: impl Into<PathBuf>) -> Options {
    Options { sandbox, program: Some(program.into()) }
}

/// Workers of the real binary, fully confined, once all of them are there.
fn workers(count: usize) -> Sandboxed {
    let options = options(Sandbox::Required, env!("CARGO_BIN_EXE_hashwarden"));
    let workers = Sandboxed::start(&options, Limits::default(), count).unwrap();
    idle(&workers, count);
    workers
}

/// The process ids of the idle workers, once there are so many.
fn idle(workers: &Sandboxed, count: usize) -> Vec<u32> {
    let mut found = Vec::new();
    until("idle workers", || {
        found = workers.idle();
        found.len() == count && workers.alive() == count
    });
    found
}

/// Waits until something holds; fails where it does not come to that.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + FAR;
    while !holds() {
        assert!(Instant::now() < end, "{what}: it does not come to that");
        thread::sleep(Duration::from_millis(2));
    }
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid as i32).unwrap(), signal).unwrap();
}

fn picture() -> Vec<u8> {
    Edit::Original.apply(&draw(1, 320, 240)).unwrap()
}

fn extract(extractor: &dyn Extractor, bytes: &[u8]) -> Result<Features, Unscanned> {
    extractor.extract(bytes, &VIEWS, Instant::now() + FAR)
}

/// A line of a file of /proc/PID.
fn of_process(pid: u32, file: &str, key: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("no {key} in {text}"));
    line.trim().to_owned()
}

/// State and parent of every process.
fn processes() -> BTreeMap<u32, (char, u32)> {
    let of = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let mut fields = stat[stat.rfind(')')? + 2..].split(' ');
        Some((pid, (fields.next()?.chars().next()?, fields.next()?.parse().ok()?)))
    };
    fs::read_dir("/proc").unwrap().filter_map(|entry| of(entry.unwrap())).collect()
}

/// What a worker says that it was denied is what it tried; what the system says of it agrees.
#[test]
fn a_worker_can_open_no_file_no_socket_and_start_no_process() {
    let limits = Limits::default();
    let workers = workers(2);
    assert_eq!(workers.denied(), Denied::ALL);
    assert_eq!(Denied::ALL.allows(), None);
    for pid in idle(&workers, 2) {
        assert_eq!((of_process(pid, "status", "Seccomp:"), of_process(pid, "status", "NoNewPrivs:")), ("2".into(), "1".into()));
        assert_eq!(of_process(pid, "status", "Threads:"), "1");
        let limit = |key| of_process(pid, "limits", key).split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>();
        for key in ["Max core file size", "Max file size", "Max open files", "Max processes"] {
            assert_eq!(limit(key), ["0", "0"], "{key}");
        }
        let [soft, hard] = [0, 1].map(|n| limit("Max address space")[n].parse::<u64>().unwrap());
        let most = limits.alloc_bytes_max + limits.image_bytes_max + (1 << 30);
        assert!(soft == hard && (limits.alloc_bytes_max..most).contains(&soft), "{soft} {hard}");
        // Its stream and the null device; what the test's own parent left open it may have too, and can't use.
        let open = |fd: u32| fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap().to_str().unwrap().to_owned();
        assert!(open(0).starts_with("socket:"), "{}", open(0));
        assert_eq!((open(1), open(2)), ("/dev/null".to_owned(), "/dev/null".to_owned()));
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
        assert!(!environment.windows(4).any(|part| part == b"HOME"), "the environment is the server's");
    }
    // Where one of the three is not denied, it is said.
    let some = Denied { network: false, processes: false, ..Denied::ALL };
    assert_eq!(some.allows().as_deref(), Some("open sockets, start processes"));
}

/// In a worker and in this process a file has the same hashes, planes and words.
#[test]
fn a_worker_sees_what_this_process_sees() {
    let workers = workers(1);
    let here = InProcess::new(Limits::default(), Instant::now);
    let original = draw(3, 200, 150);
    let mut files: Vec<Vec<u8>> = Edit::ALL.iter().map(|edit| edit.apply(&original).unwrap()).collect();
    files.extend(broken().unwrap().into_iter().map(|file| file.bytes));
    for format in [image::ImageFormat::Bmp, image::ImageFormat::Tiff, image::ImageFormat::WebP] {
        files.push(hashwarden::demo::edits::encoded(&original, format).unwrap());
    }
    let mut scanned = 0;
    for (n, bytes) in files.iter().enumerate() {
        for wants in [VIEWS, Wants::ALL, Wants { pdq: false, dhash64: false, ..Wants::ALL }] {
            let until = Instant::now() + FAR;
            let seen = workers.extract(bytes, &wants, until);
            assert_eq!(seen, here.extract(bytes, &wants, until), "file {n}");
            scanned += usize::from(seen.is_ok());
        }
        assert_eq!(workers.work(bytes), here.work(bytes), "file {n}");
    }
    assert!(scanned > 60, "{scanned}");
    let late = workers.extract(&files[0], &VIEWS, Instant::now() - Duration::from_millis(1));
    assert_eq!(late.unwrap_err().reason, Reason::Timeout);
    let large = workers.extract(&vec![0xff; (32 << 20) + 1], &VIEWS, Instant::now() + FAR);
    assert_eq!(large.unwrap_err().reason, Reason::TooLarge);
}

/// No decoder needs what a worker is denied: files of every format, as other programs write them.
#[test]
fn a_worker_reads_every_format() {
    let Some(python) = std::env::var_os("HASHWARDEN_TEST_PYTHON") else {
        return println!("skipped: HASHWARDEN_TEST_PYTHON names no Python with Pillow and its plugins");
    };
    let dir = tempfile::tempdir().unwrap();
    draw(1, 200, 150).save(dir.path().join("0.png")).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/encode_formats.py");
    let output = std::process::Command::new(python).arg(script).arg(dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let workers = workers(1);
    let here = InProcess::new(Limits::default(), Instant::now);
    let mut formats = std::collections::BTreeSet::new();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let seen = extract(&workers, &fs::read(&path).unwrap());
        assert_eq!(seen, extract(&here, &fs::read(&path).unwrap()), "{}", path.display());
        formats.extend(seen.is_ok().then(|| path.extension().unwrap().to_str().unwrap().to_owned()));
    }
    for format in ["heic", "avif", "jxl", "jp2", "gif", "tif", "webp", "ico"] {
        assert!(formats.contains(format), "no {format} was read: {formats:?}");
    }
}

/// Even where the picture is sent to one that has been killed and has not ended yet.
#[test]
fn a_worker_that_is_killed_while_idle_costs_no_picture() {
    let workers = workers(2);
    let expected = extract(&workers, &picture());
    for _ in 0..10 {
        let killed = idle(&workers, 2);
        killed.iter().for_each(|pid| signal(*pid, Signal::KILL));
        assert_eq!(extract(&workers, &picture()), expected);
        assert!(idle(&workers, 2).iter().all(|pid| !killed.contains(pid)));
    }
}

/// A picture that takes a worker some hundred milliseconds, most of it decoding.
fn slow_picture() -> Vec<u8> {
    Edit::Png.apply(&image::imageops::resize(&draw(1, 64, 64), 6000, 6000, image::imageops::FilterType::Nearest)).unwrap()
}

/// CPU time of a process, in hundredths of a second; none where it is gone.
fn cpu_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat[stat.rfind(')')? + 2..].split(' ').skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// Waits until one of them has worked for so long that it has read its picture and is decoding it.
fn until_at_work(pids: &[u32]) -> u32 {
    let before: Vec<_> = pids.iter().map(|pid| cpu_time(*pid)).collect();
    let mut found = None;
    until("a worker at work", || {
        found =
            pids.iter().zip(&before).find(|(pid, before)| cpu_time(**pid) > before.map(|before| before + 4)).map(|(pid, _)| *pid);
        found.is_some()
    });
    found.unwrap()
}

/// A picture that a worker never read is another one's, however much of it was sent.
#[test]
fn a_worker_that_is_killed_before_it_reads_costs_no_picture() {
    let workers = workers(2);
    for picture in [picture(), Edit::Png.apply(&draw(2, 3000, 2000)).unwrap()] {
        let expected = extract(&workers, &picture);
        let pids = idle(&workers, 2);
        pids.iter().for_each(|pid| signal(*pid, Signal::STOP));
        let seen = thread::scope(|scope| {
            let asked = scope.spawn(|| extract(&workers, &picture));
            until("a worker that is asked", || workers.idle().len() < 2);
            thread::sleep(Duration::from_millis(20)); // so that as much is sent as the stream takes
            pids.iter().for_each(|pid| signal(*pid, Signal::KILL));
            asked.join().unwrap()
        });
        assert!(seen.is_ok() && seen == expected, "{seen:?}");
    }
}

#[test]
fn a_worker_that_is_killed_at_work_costs_its_picture_alone() {
    let workers = workers(1);
    let expected = extract(&workers, &picture());
    let large = slow_picture();
    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        let pids = idle(&workers, 1);
        let unscanned = thread::scope(|scope| {
            let asked = scope.spawn(|| extract(&workers, &large));
            signal(until_at_work(&pids), Signal::KILL);
            asked.join().unwrap().unwrap_err()
        });
        let lost = Instant::now();
        assert_eq!(unscanned.reason, Reason::Crashed);
        assert_eq!(unscanned.detail, "the process that decoded it ended (signal 9)");
        idle(&workers, 1);
        slowest = slowest.max(lost.elapsed());
        assert_eq!(extract(&workers, &picture()), expected);
    }
    println!("the slowest of five workers was there again after {slowest:?}");
    // It goes on with a signal that is for all processes of a service.
    let pid = idle(&workers, 1)[0];
    for ends in [Signal::TERM, Signal::INT, Signal::HUP] {
        signal(pid, ends);
    }
    assert_eq!(extract(&workers, &picture()), expected);
    assert_eq!(idle(&workers, 1), [pid]);
}

#[test]
fn a_worker_that_overruns_is_ended_at_the_deadline() {
    let workers = workers(1);
    let began = Instant::now();
    signal(idle(&workers, 1)[0], Signal::STOP);
    let unscanned = workers.extract(&picture(), &VIEWS, began + Duration::from_millis(300)).unwrap_err();
    assert_eq!(unscanned.reason, Reason::Timeout);
    assert_eq!(unscanned.detail, "the deadline passed, and the process that decoded it was ended");
    assert!(began.elapsed() < FAR);
    // One that the server can't end is ended by the system once it has used its CPU time.
    let large = slow_picture();
    let one = idle(&workers, 1)[0];
    let limit = Rlimit { current: Some(0), maximum: Some(0) };
    prlimit(Some(Pid::from_raw(one as i32).unwrap()), Resource::Cpu, limit).unwrap();
    let unscanned = extract(&workers, &large).unwrap_err();
    assert!(matches!(unscanned.reason, Reason::Timeout | Reason::Crashed), "{unscanned}");
    assert_ne!(idle(&workers, 1), [one]);
    assert!(extract(&workers, &picture()).is_ok());
}

/// Of a picture that takes more memory than its worker may have, whatever its header said.
#[test]
fn a_worker_that_takes_too_much_memory_costs_its_picture_alone() {
    let workers = workers(1);
    let expected = extract(&workers, &picture());
    let large = slow_picture();
    let pid = idle(&workers, 1)[0];
    let kib = of_process(pid, "status", "VmSize:").trim_end_matches(" kB").parse::<u64>().unwrap();
    let limit = Some((kib << 10) + (4 << 20));
    prlimit(Some(Pid::from_raw(pid as i32).unwrap()), Resource::As, Rlimit { current: limit, maximum: limit }).unwrap();
    let unscanned = extract(&workers, &large).unwrap_err();
    assert_eq!(unscanned.reason, Reason::Crashed, "{unscanned}");
    assert_ne!(idle(&workers, 1), [pid]);
    assert!(extract(&workers, &large).is_ok());
    assert_eq!(extract(&workers, &picture()), expected);
}

/// What of this process's resources workers take stays the same, however many are lost.
#[test]
fn lost_workers_leave_no_zombie_and_no_descriptor() {
    let workers = workers(2);
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let own = |pid: u32| fs::read_to_string(format!("/proc/{pid}/stat")).is_ok();
    let before = descriptors();
    let mut had = Vec::new();
    for _ in 0..20 {
        let pids = idle(&workers, 2);
        pids.iter().for_each(|pid| signal(*pid, Signal::KILL));
        had.extend(pids);
        extract(&workers, &picture()).unwrap();
    }
    had.extend(idle(&workers, 2));
    // Other tests of this process have workers too.
    until("as many descriptors as before", || descriptors() <= before + 64);
    drop(workers);
    assert!(had.len() == 42 && had.iter().all(|pid| !own(*pid)), "workers are left: {:?}", processes());
}

#[test]
fn a_worker_is_replaced_after_thousands_of_pictures() {
    let workers = workers(1);
    let tiny = Edit::Png.apply(&draw(1, 8, 8)).unwrap();
    let first = idle(&workers, 1);
    for _ in 0..4_500 {
        assert!(extract(&workers, &tiny).is_ok());
    }
    assert_ne!(idle(&workers, 1), first);
}

/// A program in the place of a worker.
fn script(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path
}

/// It was taken over, and says what no worker would.
#[test]
fn a_worker_that_talks_nonsense_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let check = |name: &str, said: &str, reason: Reason| {
        let hello = r"printf 'hwWk\002\000\007' >&0";
        let program = script(dir.path(), name, &format!("{hello}\n{said}\nexec sleep 60"));
        let workers = Sandboxed::start(&options(Sandbox::Required, program), Limits::default(), 1).unwrap();
        let first = idle(&workers, 1);
        let unscanned = workers.extract(&picture(), &VIEWS, Instant::now() + Duration::from_secs(2)).unwrap_err();
        assert_eq!(unscanned.reason, reason, "{name}: {unscanned}");
        assert_ne!(idle(&workers, 1), first, "{name}");
    };
    check("number", r"printf '\002\000\000\000\000\000\000\000\002\000\000\000\000\000' >&0", Reason::Crashed);
    check("length", r"printf '\001\000\000\000\000\000\000\000\377\377\377\377' >&0", Reason::Crashed);
    check("kind", r"printf '\001\000\000\000\000\000\000\000\001\000\000\000\011' >&0", Reason::Crashed);
    // It stops in the middle.
    check("half", r"printf '\001\000\000\000\000\000\000\000\011\000\000\000\001' >&0", Reason::Timeout);
    check("silent", "", Reason::Timeout);
}

#[test]
fn a_program_that_is_no_worker_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let start = |program: PathBuf| Sandboxed::start(&options(Sandbox::Auto, program), Limits::default(), 1).unwrap_err();
    assert!(matches!(start(dir.path().join("nothing")), StartError::Unstarted(_)));
    assert!(matches!(start("/bin/true".into()), StartError::Silent(_)));
    assert!(matches!(start(script(dir.path(), "talks", "printf 'hello there' >&0")), StartError::Silent(_)));
    let none = Sandboxed::start(&Options::default(), Limits::default(), 1).unwrap_err();
    assert!(matches!(none, StartError::NoProgram));
    // A worker that is not confined is one that "required" does not want.
    let open = script(dir.path(), "open", "printf 'hwWk\\002\\000\\003' >&0; exec sleep 60");
    let required = Sandboxed::start(&options(Sandbox::Required, open.clone()), Limits::default(), 1).unwrap_err();
    assert_eq!(required.to_string(), "on this system a worker process could start processes");
    let auto = Sandboxed::start(&options(Sandbox::Auto, open), Limits::default(), 1).unwrap();
    assert_eq!(auto.denied(), Denied { processes: false, ..Denied::ALL });
}

/// Many threads at once, with workers that die under them: every picture has an answer, and all but those that were hit the right one.
#[test]
fn pictures_of_many_threads_survive_killed_workers() {
    let workers = Arc::new(workers(2));
    let expected = extract(&*workers, &picture());
    let lost = thread::scope(|scope| {
        let asking: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let answers = (0..200).map(|_| extract(&*workers, &picture()));
                    let lost: Vec<_> = answers.filter(|seen| *seen != expected).map(|seen| seen.unwrap_err().reason).collect();
                    assert!(lost.iter().all(|reason| *reason == Reason::Crashed), "{lost:?}");
                    lost.len()
                })
            })
            .collect();
        for _ in 0..20 {
            thread::sleep(Duration::from_millis(20));
            if let Some(pid) = workers.idle().first() {
                let _ = kill_process(Pid::from_raw(*pid as i32).unwrap(), Signal::KILL); // it may be gone already
            }
        }
        asking.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
    });
    println!("{lost} of 400 pictures were lost to 20 killed workers");
    assert!(lost <= 20, "{lost}");
    idle(&workers, 2);
}
