//! The process's life: parse, run the verb, say how it went. 0 done and nothing matched, 1 matched, 2 usage, 3 could not do it,
//! 4 nothing matched but something was not scanned.

use std::process::ExitCode;

fn main() -> ExitCode {
    hashwarden::cli::main()
}
