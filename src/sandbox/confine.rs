//! How does a worker give up what it does not need?
//!
//! Landlock takes the file system and TCP, a seccomp filter every system call but those that a decoder needs, limits the memory and time.
//! Whatever of that a system lacks is passed over; then the worker tries what it should be denied, and what it was denied is all that
//! counts. Once locked, nothing opens again: no thread, file or socket is there that the filter does not know.
//!
//! Of file descriptors the filter lets the worker's own stream be read and written and nothing else, so that one which the server's parent
//! left open to all its children is no way out.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::RawFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::thread;

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, Scope};
use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::SeccompCmpArgLen::{Dword, Qword};
use seccompiler::SeccompCmpOp::{Eq, MaskedEq};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// What a worker tried, and the system did not allow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Denied {
    /// To open a file or folder, or to use a descriptor that is not its stream.
    pub files: bool,
    /// To make a socket, of the network or of this machine.
    pub network: bool,
    /// To start a process or a thread.
    pub processes: bool,
}

impl Denied {
    pub const ALL: Denied = Denied { files: true, network: true, processes: true };

    /// By what they are called in metrics.
    pub fn each(self) -> [(&'static str, bool); 3] {
        [("files", self.files), ("network", self.network), ("processes", self.processes)]
    }

    /// What a worker could do; `None` where it can't do anything of it.
    pub fn allows(self) -> Option<String> {
        let could = ["use files", "open sockets", "start processes"];
        let could: Vec<&str> =
            self.each().into_iter().zip(could).filter(|((_, denied), _)| !denied).map(|(_, what)| what).collect();
        (!could.is_empty()).then(|| could.join(", "))
    }

    pub fn both(self, other: Denied) -> Denied {
        Denied {
            files: self.files && other.files,
            network: self.network && other.network,
            processes: self.processes && other.processes,
        }
    }
}

/// Bytes of address space that the process has now.
pub fn mapped_bytes() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmSize:")?.strip_suffix("kB")?.trim().parse::<u64>().ok());
    Ok(kib.ok_or(ErrorKind::InvalidData)? * 1024)
}

/// Locks the process and tries the locks. `stream` is the descriptor that stays open. To be called before there are threads.
pub fn lock(memory_bytes: u64, stream: RawFd) -> io::Result<Denied> {
    limit(Resource::As, memory_bytes)?;
    // A crash writes no memory to a file, and no file grows.
    limit(Resource::Core, 0)?;
    limit(Resource::Fsize, 0)?;
    // What can't be had is not there after the tries: see below.
    let _ = landlocked();
    let _ = filtered(stream);
    let denied = tried();
    // Last, as a limit that says no would hide whether a lock does.
    let _ = (limit(Resource::Nofile, 0), limit(Resource::Nproc, 0));
    Ok(denied)
}

fn limit(resource: Resource, most: u64) -> io::Result<()> {
    Ok(setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?)
}

/// CPU seconds after which the process is ended, counted from its beginning. It can be moved.
pub fn limit_cpu(seconds: u64) {
    let _ = setrlimit(Resource::Cpu, Rlimit { current: Some(seconds), maximum: None }); // the server watches the clock as well
}

/// Every right that Landlock knows is handled, and no rule gives one back.
fn landlocked() -> Result<(), landlock::RulesetError> {
    const NEWEST: ABI = ABI::V10;
    let all = Ruleset::default().handle_access(AccessFs::from_all(NEWEST))?.handle_access(AccessNet::from_all(NEWEST))?;
    all.scope(Scope::from_all(NEWEST))?.create()?.restrict_self()?;
    Ok(())
}

/// Calls that are not in the table fail with EPERM: decoders ask for the number of cores and such, and go on without it.
fn filtered(stream: RawFd) -> Result<(), seccompiler::Error> {
    let arch = std::env::consts::ARCH.try_into().map_err(seccompiler::Error::from)?;
    let denied = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(allowed(stream)?, denied, SeccompAction::Allow, arch)?;
    let program: BpfProgram = filter.try_into()?;
    seccompiler::apply_filter(&program)
}

/// System calls, and what their arguments must be, where not all will do.
fn allowed(stream: RawFd) -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
    let is = |n: u8, length: SeccompCmpArgLen, op: SeccompCmpOp, value: u64| SeccompCondition::new(n, length, op, value);
    let stream = stream as u64;
    let own = u64::from(std::process::id());
    let not_executable = |n| is(n, Qword, MaskedEq(libc::PROT_EXEC as u64), 0);
    let anonymous = is(3, Qword, MaskedEq(libc::MAP_ANONYMOUS as u64), libc::MAP_ANONYMOUS as u64);
    let mut limits = Vec::new();
    for resource in [libc::RLIMIT_CPU, libc::RLIMIT_NOFILE, libc::RLIMIT_NPROC] {
        limits.push(SeccompRule::new(vec![is(0, Dword, Eq, 0)?, is(1, Dword, Eq, u64::from(resource))?])?);
    }
    let mut table = BTreeMap::from([
        (libc::SYS_read, vec![SeccompRule::new(vec![is(0, Dword, Eq, stream)?])?]),
        (libc::SYS_write, vec![SeccompRule::new(vec![is(0, Dword, Eq, stream)?])?]),
        // Memory, and none that could be run.
        (libc::SYS_mmap, vec![SeccompRule::new(vec![not_executable(2)?, anonymous?])?]),
        (libc::SYS_mprotect, vec![SeccompRule::new(vec![not_executable(2)?])?]),
        // To end by a fault of its own.
        (libc::SYS_tgkill, vec![SeccompRule::new(vec![is(0, Dword, Eq, own)?, is(2, Dword, Eq, libc::SIGABRT as u64)?])?]),
        (libc::SYS_prlimit64, limits),
        (libc::SYS_sched_getaffinity, vec![SeccompRule::new(vec![is(0, Dword, Eq, 0)?])?]),
    ]);
    let whatever = [
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_sched_yield,
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_clock_getres,
        libc::SYS_gettimeofday,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
    table.extend(whatever.map(|call| (call, Vec::new())));
    Ok(table)
}

/// Tries each thing in all the ways that there are. Only a refusal counts: what fails for another reason could succeed the next time.
fn tried() -> Denied {
    fn refused<T>(tried: io::Result<T>) -> bool {
        tried.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    }
    let others = rustix::io::write(io::stderr(), b"\n").map_err(io::Error::from);
    let files = [
        refused(others),
        refused(File::open("/")),
        refused(File::open("/proc/self/exe")),
        refused(OpenOptions::new().write(true).open("/dev/null")),
    ];
    let network =
        [refused(UdpSocket::bind("127.0.0.1:0")), refused(TcpListener::bind("127.0.0.1:0")), refused(UnixDatagram::unbound())];
    let mut program = Command::new("/proc/self/exe");
    let program = program.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
    let started = program.spawn().map(|mut child| drop((child.kill(), child.wait())));
    let processes = [refused(started), refused(thread::Builder::new().spawn(|| ()))];
    let all = |tried: &[bool]| tried.iter().all(|refused| *refused);
    Denied { files: all(&files), network: all(&network), processes: all(&processes) }
}
