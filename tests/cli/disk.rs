//! A full disk: look-ups start and go on, changes are refused in words, and come back by themselves.

use std::fs::File;
use std::time::{Duration, Instant};

use super::server::Server;
use super::*;

/// A file system of its own, so that it can be filled.
struct Disk {
    folder: TempDir,
}

impl Disk {
    /// `None`, in words, where none can be mounted.
    fn new(mib: u32) -> Option<Disk> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={mib}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        if !mounted.is_ok_and(|ran| ran.status.success()) {
            println!("skipped: no tmpfs can be mounted here, which takes a superuser");
            return None;
        }
        Some(Disk { folder })
    }

    fn store(&self) -> String {
        self.folder.path().join("store").to_str().unwrap().to_owned()
    }

    fn fill(&self) {
        let mut file = File::options().create(true).append(true).open(self.folder.path().join("filler")).unwrap();
        let block = vec![1; 64 * 1024];
        while file.write_all(&block).is_ok() {}
        while file.write_all(&block[..512]).is_ok() {}
    }

    fn make_room(&self) {
        std::fs::remove_file(self.folder.path().join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}

fn md5(n: u32) -> String {
    format!("{:08x}", n + 1).repeat(4)
}

fn add(server: &Server, n: u32) -> Ran {
    server.run(&["list", "add", "known", "--id", &format!("e{n}"), "--md5", &md5(n)])
}

fn known(server: &Server, n: u32) -> bool {
    server.run(&["match", "--md5", &md5(n)]).exit == 1
}

/// Tries again for as long as a busy machine may need.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(60), "not in a minute: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn writable(server: &Server) -> bool {
    let page = server.get("/metrics").1;
    page.lines().any(|line| line == "hashwarden_store_writable 1")
}

/// With a reserve, changes are refused before RocksDB runs into the disk's end; without one it does, and is opened anew.
#[test]
fn a_full_disk_ends_changes_until_there_is_room_and_never_look_ups() {
    for free_bytes_min in ["4194304", "0"] {
        let Some(disk) = Disk::new(24) else { return };
        let place = Place::new();
        let start = || Server::start_with(&disk.store(), "info", &[("HASHWARDEN__STORE__FREE_BYTES_MIN", free_bytes_min)]);
        let mut server = start();
        server.run(&["list", "create", "known"]).exits(0);
        add(&server, 0).exits(0);
        disk.fill();
        let mut added = 0;
        // Some may still fit into what the disk has given to the store already.
        until("a change is refused", || {
            added += 1;
            add(&server, added).exit == 3
        });
        add(&server, added).exits(3).says(&["disk is full"]);
        let file = place.write("rows.csv", format!("id,md5\na,{}\n", md5(9_000)).as_bytes());
        server.run(&["list", "import", "known", &file]).exits(3);
        assert!(known(&server, 0) && !known(&server, 8_000));
        let (status, page) = server.get("/readyz");
        assert!(status == 200 && page.contains("lists accept no changes"), "{status} {page}");
        assert!(!writable(&server));

        // It starts on a full disk, and looks up.
        server.terminate();
        disk.fill(); // what RocksDB gave back when it was closed
        // What applies is told, and whose number it is: with none kept free, "at least 128 MiB required" was somebody else's.
        let mut verb = hashwarden(&["--store", &disk.store(), "list", "add", "known", "--md5", &md5(7_000)]);
        let refused = ended(verb.env("HASHWARDEN__STORE__FREE_BYTES_MIN", free_bytes_min)).exits(3);
        refused.says(&[match free_bytes_min {
            "0" => " free, and the system has no room for what was to be written;",
            _ => " free, 512 KiB required (an eighth of [store] free_bytes_min = 4194304);",
        }]);
        let mut server = start();
        assert!(known(&server, 0) && !known(&server, 8_000));
        assert_eq!(server.get("/readyz").0, 200);
        let before = add(&server, 7_000);
        assert!(before.exit == 3 || free_bytes_min == "0", "{before:?}");

        if free_bytes_min != "0" {
            server.logged("lists accept no changes; look-ups continue");
        }
        disk.make_room();
        until("changes are accepted again", || add(&server, 8_000).exit == 0);
        assert!(writable(&server) && known(&server, 8_000) && known(&server, 0));
        server.run(&["list", "import", "known", &file, "--stage"]).exits(0);
        server.terminate();
        run(&["--store", &disk.store(), "store", "verify"]).exits(0);
    }
}

/// The same without a disk of its own: more is to be kept free than there is.
#[test]
fn a_store_without_the_room_it_is_to_keep_is_looked_up_in_and_takes_no_changes() {
    let place = Place::new();
    place.run(&["list", "create", "known"]).exits(0);
    place.run(&["list", "add", "known", "--id", "e0", "--md5", &md5(0)]).exits(0);
    let much = [("HASHWARDEN__STORE__FREE_BYTES_MIN", "1152921504606846976")];
    let mut server = Server::start_with(&place.store, "info", &much);
    assert!(known(&server, 0));
    add(&server, 1).exits(3).says(&["disk is full", "look-ups continue"]);
    server.run(&["list", "disable", "known"]).exits(3).says(&["disk is full"]);
    assert_eq!(server.run(&["list", "ls", "--json"]).exits(0).json().len(), 1);
    let (status, page) = server.get("/readyz");
    assert!(status == 200 && page.contains("lists accept no changes") && page.contains("required"), "{status} {page}");
    assert!(!writable(&server));
    server.terminate();
    // A verb on the store itself says which disk and how much.
    let mut command = hashwarden(&["--store", &place.store, "list", "add", "known", "--md5", &md5(1)]);
    ended(command.envs(much)).exits(3).says(&[
        "the disk of the store in",
        &place.store,
        " free, 131072 TiB required (an eighth of [store] free_bytes_min = 1152921504606846976)",
    ]);
}

/// It was gone, and the answer was that nothing had been changed: what is done after a deletion needed more room than the deletion.
#[test]
fn a_deletion_is_done_where_there_is_room_for_no_other_change() {
    let place = Place::new();
    let free = Command::new("df").args(["--output=avail", "-B1"]).arg(place.folder.path()).output().unwrap();
    let free: u64 = String::from_utf8_lossy(&free.stdout).lines().last().unwrap().trim().parse().unwrap();
    place.run(&["list", "create", "known"]).exits(0);
    place.run(&["list", "add", "known", "--id", "e0", "--phash64", "00ff00ff00ff00f1"]).exits(0);
    let between = (free * 4).to_string();
    let mut server = Server::start_with(&place.store, "info", &[("HASHWARDEN__STORE__FREE_BYTES_MIN", &between)]);
    add(&server, 1).exits(3).says(&["disk is full"]);
    server.run(&["list", "delete", "known", "--yes"]).exits(0);
    assert_eq!(server.run(&["list", "ls", "--json"]).exits(0).json().len(), 0);
    server.terminate();
    place.run(&["store", "compact"]).exits(0);
    place.run(&["store", "verify"]).exits(0);
}
