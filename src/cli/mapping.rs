//! Which columns does a mapping file name, and what is wrong with it: by section and key, as a parser's own words name neither.

use config::{ConfigError, FileFormat, Source, ValueKind};

use crate::entry::shown::{message_alone, nearest};
use crate::lists::{Mapping, Signal};

/// Reads a mapping in TOML. No error repeats a hash.
pub fn read(toml: &str) -> Result<Mapping, String> {
    read_unmasked(toml).map_err(|why| message_alone(&why))
}

fn read_unmasked(toml: &str) -> Result<Mapping, String> {
    let source = config::File::from_str(toml, FileFormat::Toml);
    let given = source.collect().map_err(|error| error.to_string())?;
    check_keys(given.keys(), &Mapping::KEYS, None)?;
    if let Some(ValueKind::Table(signal)) = given.get("signal").map(|signal| &signal.kind) {
        check_keys(signal.keys(), &Signal::KEYS, Some("signal"))?;
    }
    config::Config::builder().add_source(source).build().and_then(config::Config::try_deserialize).map_err(placed)
}

fn check_keys<'k>(given: impl Iterator<Item = &'k String>, known: &[&str], section: Option<&str>) -> Result<(), String> {
    let Some(key) = given.filter(|key| !known.contains(&key.as_str())).min() else { return Ok(()) };
    let meant = nearest(key, known.iter().copied()).map_or_else(String::new, |name| format!(" (did you mean {name}?)"));
    Err(match section {
        Some(section) => format!("unknown key {key} in [{section}]{meant}: its keys are {}", known.join(", ")),
        None => format!("unknown key {key}{meant}: the keys are {}", known.join(", ")),
    })
}

/// What is wrong, behind its section and key.
fn placed(error: ConfigError) -> String {
    let (key, what) = match error {
        ConfigError::At { error, key: Some(key), .. } => (key, format!(": {error}")),
        ConfigError::NotFound(key) => (key, " is missing".to_owned()),
        other => return other.to_string(),
    };
    match key.split_once('.') {
        Some((section, key)) => format!("[{section}] {key}{what}"),
        None if ["hashes", "signal"].contains(&key.as_str()) => format!("[{key}]{}", what.trim_start_matches(':')),
        None => format!("{key}{what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys that are checked are those that are read.
    #[test]
    fn every_key_can_be_given() {
        let details = "member = 4\nnote = 5\nquality = 6\nstatus = 7\ntags = 8\nupdated = 9\n";
        let all = "category = 1\ndeleted = 2\ndelimiter = ';'\nheader = 'absent'\nid = 'x'\n[hashes]\nmd5 = 3\n";
        let signal = "[signal]\ntype = 1\nvalue = 2\n";
        let read_all = [details, all, signal].concat();
        let mapping = read(&read_all).unwrap();
        assert!(mapping.signal.is_some() && mapping.category.is_some() && mapping.hashes.len() == 1, "{mapping:?}");
        for key in Mapping::KEYS.iter().chain(&Signal::KEYS) {
            assert!(read_all.contains(&format!("{key} = ")) || read_all.contains(&format!("[{key}]")), "{key}");
        }
    }
}
