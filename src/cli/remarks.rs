//! What is said beside results, on standard error, and how what others named is shown there.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;

use crate::entry::shown::{escaped, escaped_lines};

/// A path for a terminal.
pub fn path_text(path: &Path) -> String {
    escaped(&path.to_string_lossy()).into_owned()
}

/// Writes a remark to standard error; where nobody can read it, nobody misses it.
pub fn remark(text: impl Display) {
    let _ = writeln!(io::stderr(), "hashwarden: {}", escaped_lines(&text.to_string()));
}
