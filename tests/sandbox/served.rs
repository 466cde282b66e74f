//! The same of a server as it is run: at start, when it ends, and what is left of pictures afterwards.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};

use hashwarden::client::Client;
use hashwarden::matcher::Content;
use hashwarden::verdict::Outcome;
use seccompiler::{SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule};

use super::*;

/// A server with a folder of its own. It is killed with the test.
struct Server {
    child: Child,
    endpoint: String,
    operator: String,
    folder: tempfile::TempDir,
}

fn command(folder: &Path, sandbox: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hashwarden"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HASHWARDEN__")) {
        command.env_remove(name);
    }
    for name in ["data", "tmp"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    command.env("HASHWARDEN__GRPC__LISTEN", "127.0.0.1:0").env("HASHWARDEN__OPERATOR__LISTEN", "127.0.0.1:0");
    command.env("HASHWARDEN__LOG__LEVEL", "trace").env("HASHWARDEN__EXTRACT__THREADS", "2");
    command.env("HASHWARDEN__EXTRACT__SANDBOX", sandbox).env("TMPDIR", folder.join("tmp"));
    command.arg("serve").arg("--store").arg(folder.join("data/store")).current_dir(folder.join("data"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(fs::File::create(folder.join("log")).unwrap());
    command
}

/// Ready, or how it ended instead.
fn serve(sandbox: &str) -> Result<Server, (ExitStatus, String)> {
    let folder = tempfile::tempdir().unwrap();
    let mut child = command(folder.path(), sandbox).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if line.is_empty() {
        return Err((child.wait().unwrap(), fs::read_to_string(folder.path().join("log")).unwrap()));
    }
    let address = |before: &str| line.split(before).nth(1).unwrap().split(',').next().unwrap().to_owned();
    let (endpoint, operator) = (format!("http://{}", address("gRPC on ")), address("operator port on "));
    Ok(Server { child, endpoint, operator, folder })
}

impl Server {
    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.operator).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nHost: test\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Its workers, once there are two.
    fn workers(&self) -> Vec<u32> {
        let mut found = Vec::new();
        until("two workers", || {
            let of_server = processes().into_iter().filter(|(_, (_, parent))| *parent == self.child.id());
            found = of_server.map(|(pid, _)| pid).collect();
            // One that is just ending may be gone before it is looked at.
            let is_locked = |pid: &u32| {
                fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| status.contains("\nSeccomp:\t2\n"))
            };
            found.len() == 2 && found.iter().all(is_locked)
        });
        found
    }

    async fn client(&self) -> Client {
        Client::connect(&self.endpoint, FAR).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs something on a system that refuses these calls, as one without them does.
fn without<T: Send>(refused: &[(i64, Option<u64>)], run: impl FnOnce() -> T + Send) -> T {
    let rule = |(call, argument): &(i64, Option<u64>)| {
        let is = |value| SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value).unwrap();
        (*call, argument.map(|value| SeccompRule::new(vec![is(value)]).unwrap()).into_iter().collect())
    };
    let table: BTreeMap<i64, Vec<SeccompRule>> = refused.iter().map(rule).collect();
    let no = SeccompAction::Errno(libc::ENOSYS as u32);
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter: seccompiler::BpfProgram = SeccompFilter::new(table, SeccompAction::Allow, no, arch).unwrap().try_into().unwrap();
    // The filter is the thread's, and of what it starts.
    thread::scope(|scope| {
        scope
            .spawn(|| {
                seccompiler::apply_filter(&filter).unwrap();
                run()
            })
            .join()
            .unwrap()
    })
}

const SECCOMP: (i64, Option<u64>) = (libc::SYS_seccomp, None);
const LANDLOCK: (i64, Option<u64>) = (libc::SYS_landlock_create_ruleset, None);

#[tokio::test]
async fn a_system_that_cannot_confine_is_told_and_refused_where_confinement_is_required() {
    let whole = serve("required").unwrap();
    assert!(whole.get("/readyz").ends_with("ready: snapshot 0\n"), "{}", whole.get("/readyz"));
    let page = whole.get("/metrics");
    for line in [
        "hashwarden_workers 2",
        "hashwarden_sandbox_denies{what=\"files\"} 1",
        "hashwarden_sandbox_denies{what=\"network\"} 1",
        "hashwarden_sandbox_denies{what=\"processes\"} 1",
        "hashwarden_workers_lost_total{reason=\"ended\"} 0",
    ] {
        assert!(page.contains(line), "no {line} in {page}");
    }
    for refused in [&[SECCOMP][..], &[SECCOMP, LANDLOCK]] {
        let Err((status, log)) = without(refused, || serve("required")) else { panic!("it serves without {refused:?}") };
        assert_eq!(status.code(), Some(2), "{log}");
        assert!(log.contains("[extract] sandbox is \"required\": on this system a worker process could "), "{log}");
        let auto = without(refused, || serve("auto")).unwrap();
        let ready = auto.get("/readyz");
        let words = "worker processes that are not confined: on this system they can ";
        assert!(ready.starts_with("HTTP/1.0 200") && ready.contains(words), "{ready}");
        assert!(auto.log().contains(words), "{}", auto.log());
        assert!(auto.get("/metrics").contains("hashwarden_sandbox_denies{what=\"processes\"} 0"));
        // They decode all the same.
        assert!(auto.client().await.hash(picture()).await.unwrap().features.is_ok());
    }
    // Without Landlock alone, the filter denies it all.
    assert!(without(&[LANDLOCK], || serve("required")).is_ok());
    let off = serve("off").unwrap();
    let words = "in the server's own process, without a sandbox: [extract] sandbox is \"off\"";
    assert!(off.get("/readyz").contains(words) && off.log().contains(words));
    assert!(off.get("/metrics").contains("hashwarden_workers 0"));
    assert!(off.client().await.hash(picture()).await.unwrap().features.is_ok());
}

#[tokio::test]
async fn no_worker_outlives_its_server() {
    for end in [Signal::KILL, Signal::TERM] {
        let mut server = serve("required").unwrap();
        let workers = server.workers();
        // One of them is at work, for ever.
        signal(workers[0], Signal::STOP);
        signal(server.child.id(), end);
        let status = server.child.wait().unwrap();
        assert!(end == Signal::KILL || status.success(), "{status}: {}", server.log());
        until("no worker", || workers.iter().all(|pid| processes().get(pid).is_none_or(|(state, _)| *state == 'Z')));
    }
}

/// What a server's worker is killed by is one picture's loss, and the server's metrics say so.
#[tokio::test]
async fn a_server_goes_on_without_a_worker() {
    let server = serve("required").unwrap();
    let client = server.client().await;
    let workers = server.workers();
    for pid in &workers {
        signal(*pid, Signal::STOP);
    }
    let asked: Vec<_> = (0..2)
        .map(|_| {
            tokio::spawn({
                let client = client.clone();
                async move { client.hash(picture()).await }
            })
        })
        .collect();
    // Both are asked once nothing more is in their queues to be read.
    tokio::time::sleep(Duration::from_millis(300)).await;
    workers.iter().for_each(|pid| signal(*pid, Signal::KILL));
    for asked in asked {
        let hashed = asked.await.unwrap().unwrap();
        // Its digests are there all the same.
        assert_eq!(hashed.digests, hashwarden::hash::digest::Digests::of(&picture()));
        assert!(hashed.features.is_ok() || hashed.features.unwrap_err().reason == Reason::Crashed);
    }
    assert!(client.hash(picture()).await.unwrap().features.is_ok());
    assert!(server.workers().iter().all(|pid| !workers.contains(pid)));
    let page = server.get("/metrics");
    assert!(page.contains("hashwarden_workers_lost_total{reason=\"ended\"} 2"), "{page}");
}

/// What is searched for: it stands in pictures' bytes as they are, and can be told from all else.
const MARKER: &[u8] = b"MaRkEr-of-a-picture-7fKq";

/// A PNG with the marker in a text.
fn with_text(png: &[u8]) -> Vec<u8> {
    let mut text = [b"tEXtComment\0".as_slice(), MARKER].concat();
    let sum = crc32fast::hash(&text);
    text = [&(text.len() as u32 - 4).to_be_bytes()[..], &text, &sum.to_be_bytes()].concat();
    [&png[..33], &text, &png[33..]].concat()
}

/// Files that hold the marker: in a comment, in a text, in pixels; whole, cut, and no pictures at all.
fn marked() -> Vec<Vec<u8>> {
    let original = draw(5, 160, 120);
    let jpeg = Edit::Original.apply(&original).unwrap();
    let comment = [&[0xff, 0xfe, 0, MARKER.len() as u8 + 2][..], MARKER].concat();
    let jpeg = [&jpeg[..2], &comment, &jpeg[2..]].concat();
    let png = with_text(&Edit::Png.apply(&original).unwrap());
    let mut pixels = original.clone();
    for (place, byte) in pixels.as_mut().iter_mut().zip(MARKER.iter().cycle()) {
        *place = *byte;
    }
    let bmp = hashwarden::demo::edits::encoded(
        &image::RgbImage::from_raw(160, 120, bgr(pixels.into_raw())).unwrap(),
        image::ImageFormat::Bmp,
    );
    let padding = [b' '; 40].as_slice();
    let files = [
        jpeg,
        png,
        bmp.unwrap(),
        [b"no picture ".as_slice(), MARKER, padding].concat(),
        [b"\xff\xd8\xff\xe0".as_slice(), MARKER, padding].concat(),
    ];
    let cut = files.clone().map(|file| file[..file.len() * 9 / 10].to_vec());
    files.into_iter().chain(cut).collect()
}

/// As a BMP has its bytes.
fn bgr(mut pixels: Vec<u8>) -> Vec<u8> {
    pixels.as_chunks_mut::<3>().0.iter_mut().for_each(|pixel| pixel.reverse());
    pixels
}

/// The files under a folder that hold the marker, or the base64 or hex of it.
fn holding(folder: &Path) -> Vec<PathBuf> {
    use base64::Engine;
    // Of base64, what stays the same wherever the text begins.
    let engine = base64::engine::general_purpose::STANDARD;
    let coded = [0, 1, 2].map(|skip| engine.encode(&MARKER[skip..]).as_bytes()[..24].to_vec());
    let hex = hex::encode(MARKER).into_bytes();
    let debug = format!("{:?}", &MARKER[..6]).trim_matches(['[', ']']).as_bytes().to_vec();
    let wanted: Vec<Vec<u8>> = coded.into_iter().chain([MARKER.to_vec(), hex, debug]).collect();
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path));
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        if wanted.iter().any(|wanted| bytes.windows(wanted.len()).any(|part| part == wanted)) {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn a_pictures_bytes_are_nowhere_afterwards() {
    let mut server = serve("required").unwrap();
    let client = server.client().await;
    let folder = server.folder.path().to_owned();
    client.create("known", hashwarden::entry::Polarity::Positive, &Default::default()).await.unwrap();
    let pdq = client.hash(picture()).await.unwrap().features.unwrap().seen[0].hash.clone();
    let entry = hashwarden::catalog::NewEntry { hashes: vec![pdq], ..Default::default() };
    client.add("known", vec![entry]).await.unwrap();
    let files = marked();
    let mut outcomes = Vec::new();
    for (n, bytes) in files.iter().enumerate() {
        assert!(bytes.windows(MARKER.len()).any(|part| part == MARKER), "file {n} has no marker");
        let verdict = client.match_one(Content::Image(bytes.clone()), Vec::new()).await.unwrap();
        outcomes.push(verdict.outcome);
        client.hash(bytes.clone()).await.unwrap();
    }
    assert!(outcomes.contains(&Outcome::NotScanned) && outcomes.contains(&Outcome::Partial), "{outcomes:?}");
    assert!(outcomes.contains(&Outcome::NoMatch), "{outcomes:?}");
    // Workers that fault as they get a picture, and one in the middle of it.
    for bytes in &files {
        let workers = server.workers();
        // One that is just ending may be gone by now.
        let all = |signal| {
            for pid in &workers {
                let _ = kill_process(Pid::from_raw(*pid as i32).unwrap(), signal);
            }
        };
        all(Signal::STOP);
        let asking = tokio::spawn({
            let (client, bytes) = (client.clone(), bytes.clone());
            async move { client.hash(bytes).await }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        // It faults once it goes on.
        all(Signal::SEGV);
        all(Signal::CONT);
        asking.await.unwrap().unwrap();
    }
    let slow = with_text(&super::slow_picture());
    let mut crashed = false;
    for _ in 0..10 {
        let workers = server.workers();
        let asking = tokio::spawn({
            let (client, bytes) = (client.clone(), slow.clone());
            async move { client.hash(bytes).await }
        });
        // One that is only being started may be hit first.
        let working = tokio::task::spawn_blocking(move || super::until_at_work(&workers)).await.unwrap();
        signal(working, Signal::SEGV);
        crashed = asking.await.unwrap().unwrap().features.is_err_and(|unscanned| unscanned.reason == Reason::Crashed);
        if crashed {
            break;
        }
    }
    assert!(crashed, "no worker was at work");
    signal(server.child.id(), Signal::TERM);
    assert!(server.child.wait().unwrap().success());
    let log = server.log();
    assert!(log.contains("a worker process was lost to a picture"), "{log}");
    assert!(log.contains("TRACE"), "the log is not at its loudest");
    assert_eq!(holding(&folder), Vec::<PathBuf>::new());
    // The search finds what is there.
    fs::write(folder.join("tmp/left"), &files[0]).unwrap();
    fs::write(folder.join("data/coded"), hex::encode(&files[2])).unwrap();
    assert_eq!(holding(&folder).len(), 2);
}
