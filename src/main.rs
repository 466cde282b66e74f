//! The process's life: parse, run the verb, say how it went. 0 done and nothing matched, 1 matched, 2 usage, 3 could not do it,
//! 4 nothing matched but something was not scanned. Or it was started by one of its kind, to decode for it.

use std::process::ExitCode;

fn main() -> ExitCode {
    if hashwarden::sandbox::is_worker() {
        return hashwarden::sandbox::work();
    }
    hashwarden::cli::main()
}
