//! What is in a file or in the environment that is no key, or not of its key's type? In words that name what and where.
//!
//! The defaults say what keys there are, and of what type. The `config` crate alone would take "8" for 8, and not say where a bad value stands.

use super::{Config, ConfigError};
use crate::entry::ViewSet;
use crate::entry::shown::{message_alone, nearest};
use crate::index::IndexChoice;
use ::config::{Source, Value, ValueKind};
use std::collections::BTreeMap;
use toml::de::DeValue;

/// Section, then key, then value.
pub type Sections = BTreeMap<String, BTreeMap<String, Value>>;

/// The defaults as plain values: what keys there are, and of what type.
pub fn defaults() -> Result<Sections, ConfigError> {
    let unsound = |e: ::config::ConfigError| ConfigError::Unsound(e.to_string());
    let whole = ::config::Config::try_from(&Config::default()).map_err(unsound)?.collect().map_err(unsound)?;
    let section = |(name, value): (String, Value)| Ok((name, value.into_table().map_err(unsound)?.into_iter().collect()));
    whole.into_iter().map(section).collect()
}

/// Environment variables are text: makes numbers of those whose key is one. What does not parse stays text, and is refused as such.
pub fn typed(defaults: &Sections, mut given: ::config::Map<String, Value>) -> ::config::Map<String, Value> {
    for (section, keys) in &mut given {
        let ValueKind::Table(keys) = &mut keys.kind else { continue };
        for (key, value) in keys {
            let number = defaults.get(section).and_then(|keys| keys.get(key)).is_some_and(|d| is_number(&d.kind));
            let parsed = if let ValueKind::String(text) = &value.kind { text.trim().parse::<i64>().ok() } else { None };
            if let (true, Some(parsed)) = (number, parsed) {
                value.kind = ValueKind::I64(parsed);
            }
        }
    }
    given
}

/// What was given, as a source.
#[derive(Debug, Clone)]
pub struct Typed(pub ::config::Map<String, Value>);

impl Source for Typed {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<::config::Map<String, Value>, ::config::ConfigError> {
        Ok(self.0.clone())
    }
}

/// Why a file could not be read as TOML.
pub fn not_toml(name: &str, text: &str, error: &::config::ConfigError) -> ConfigError {
    let not_toml = || ConfigError::NotToml { origin: name.to_owned(), what: message_alone(&error.to_string()) };
    too_large(name, text).unwrap_or_else(not_toml)
}

/// What a number beyond 64 bits is not.
fn within_64_bits() -> String {
    format!("must be a whole number between 0 and {}", i64::MAX)
}

/// The first number of a file that 64 bits do not hold: it is TOML, and the `config` crate says neither its key nor its line.
fn too_large(name: &str, text: &str) -> Option<ConfigError> {
    let whole = toml::de::DeTable::parse(text).ok()?;
    let mut found: Vec<(usize, String, String)> = Vec::new();
    let mut note = |section: &str, key: &str, value: &toml::Spanned<DeValue<'_>>| {
        if matches!(value.get_ref(), DeValue::Integer(n) if i64::from_str_radix(n.as_str(), n.radix()).is_err()) {
            found.push((value.span().start, section.to_owned(), key.to_owned()));
        }
    };
    for (section, value) in whole.get_ref() {
        let section = section.get_ref();
        match value.get_ref() {
            DeValue::Table(keys) => keys.iter().for_each(|(key, value)| note(section, key.get_ref(), value)),
            _ => note("", section, value),
        }
    }
    let (at, section, key) = found.into_iter().min()?;
    let line = 1 + text.get(..at)?.matches('\n').count();
    let (origin, must) = (format!("{name}, line {line}"), within_64_bits());
    Some(match section.is_empty() {
        true => ConfigError::NotToml { origin, what: format!("{key} {must}") },
        false => ConfigError::Refused { section, key, must, origin },
    })
}

/// Refuses what is not known, or not of its key's type. `origin` says where a section's key was set.
pub fn check_given(
    defaults: &Sections,
    given: ::config::Map<String, Value>,
    origin: impl Fn(&str, &str) -> String,
) -> Result<(), ConfigError> {
    let given: BTreeMap<String, Value> = given.into_iter().collect();
    for (section, value) in given {
        let (Some(known), ValueKind::Table(keys)) = (defaults.get(&section), value.kind) else {
            let meant = meant_section(defaults, &section);
            let known = defaults.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(ConfigError::UnknownSection { origin: origin(&section, ""), section, meant, known });
        };
        let keys: BTreeMap<String, Value> = keys.into_iter().collect();
        for (key, value) in keys {
            let origin = origin(&section, &key);
            let Some(default) = known.get(&key) else {
                let meant = did_you_mean(nearest(&key, known.keys().map(String::as_str)));
                let known = known.keys().cloned().collect::<Vec<_>>().join(", ");
                return Err(ConfigError::UnknownKey { section, key, origin, meant, known });
            };
            if let Err(must) = check_type(default, &value, &section, &key) {
                return Err(ConfigError::Refused { section, key, must, origin });
            }
        }
    }
    Ok(())
}

fn did_you_mean(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

/// What was meant by an unknown section: one of a similar name, or a key that stands outside of its section.
fn meant_section(defaults: &Sections, section: &str) -> String {
    let with_key: Vec<_> =
        defaults.iter().filter(|(_, keys)| keys.contains_key(section)).map(|(name, _)| format!("[{name}]")).collect();
    match with_key.is_empty() {
        true => did_you_mean(nearest(section, defaults.keys().map(String::as_str))),
        false => format!("; {section} is a key of {}", with_key.join(" and ")),
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_number(kind: &ValueKind) -> bool {
    matches!(kind, ValueKind::I64(_) | ValueKind::U64(_) | ValueKind::I128(_) | ValueKind::U128(_))
}

/// Checks one value by itself, so that what is wrong can only be this key. The `config` crate alone would take "8" for 8.
fn check_type(default: &Value, given: &Value, section: &str, key: &str) -> Result<(), String> {
    if is_number(&default.kind) {
        if let ValueKind::String(text) = &given.kind
            && is_digits(text.trim())
            && text.trim().parse::<i64>().is_err()
        {
            return Err(within_64_bits());
        }
        let number = given.clone().into_int().ok().filter(|n| is_number(&given.kind) && *n >= 0);
        number.ok_or("must be a whole number, 0 or more")?;
    } else if matches!(default.kind, ValueKind::Boolean(_)) {
        // The environment has nothing but text.
        let is_one = match &given.kind {
            ValueKind::Boolean(_) => true,
            ValueKind::String(text) => matches!(text.trim(), "true" | "false"),
            _ => false,
        };
        if !is_one {
            return Err("must be true or false".into());
        }
    } else if !matches!(given.kind, ValueKind::String(_)) {
        return Err("must be text, in quotes".into());
    }
    let alone = ::config::Config::try_from(&Config::default())
        .and_then(|base| {
            ::config::Config::builder().add_source(base).set_override(format!("{section}.{key}"), given.clone())?.build()
        })
        .and_then(::config::Config::try_deserialize::<Config>);
    match alone {
        Ok(_) => Ok(()),
        Err(_) if key == "listen" => {
            Err(format!("must be an address with a port such as {default}, not {given:?}", given = given.to_string()))
        }
        Err(_) if section == "views" && key == "default" => {
            Err(format!("must be one of {}, not {:?}", ViewSet::ALL.map(ViewSet::name).join(", "), given.to_string()))
        }
        Err(_) if section == "index" => {
            Err(format!("must be one of {}, not {:?}", IndexChoice::ALL.map(IndexChoice::name).join(", "), given.to_string()))
        }
        Err(_) if key == "network" => {
            Err(format!("must be \"untrusted\" or \"trusted\", not {given:?}", given = given.to_string()))
        }
        Err(_) if key == "sandbox" => {
            Err(format!("must be \"auto\", \"required\" or \"off\", not {given:?}", given = given.to_string()))
        }
        Err(_) if key == "core_dumps" => Err(format!("must be \"off\" or \"system\", not {given:?}", given = given.to_string())),
        Err(_) if key == "format" => Err(format!("must be \"text\" or \"json\", not {given:?}", given = given.to_string())),
        Err(_) if is_number(&default.kind) => Err(format!("is too large: {given}")),
        Err(e) => Err(format!("is refused: {e}")),
    }
}
