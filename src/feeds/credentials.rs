//! What is a source shown, so that it gives its list?
//!
//! A file for each name, in a folder that the configuration names, and variables of the environment over it, as for the configuration: whoever may
//! set up sources names credentials and never reads them. Invariant: they are sent to their own origin alone, and no `Debug`, error or log line
//! holds any of them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use serde::Deserialize;

use super::error::FeedError;
use super::origin::Origin;
use crate::access::file::{self, Unread};
use crate::entry::check_list_name;
use crate::entry::shown::in_words;

/// Longest file of credentials, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Headers, and parameters of a query.
const PARTS_MAX: usize = 16;
/// What the variables of all credentials begin with.
const PREFIX: &str = "HASHWARDEN_CREDENTIALS__";

/// As a file and the environment have them.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    origin: Option<String>,
    /// The lists that may name them; all where it is absent.
    lists: Option<Vec<String>>,
    user: Option<String>,
    password: Option<String>,
    headers: BTreeMap<String, String>,
    query: BTreeMap<String, String>,
}

impl Written {
    /// Takes what a variable says, by what of its name stands behind the name of the credentials.
    fn set(&mut self, key: &str, value: String) -> Result<(), ()> {
        let lower = |name: &str| name.to_ascii_lowercase();
        match key.split_once("__") {
            None => match key {
                "ORIGIN" => self.origin = Some(value),
                "USER" => self.user = Some(value),
                "PASSWORD" => self.password = Some(value),
                "LISTS" => self.lists = Some(value.split(',').map(|list| list.trim().to_owned()).collect()),
                _ => return Err(()),
            },
            Some(("HEADERS", name)) => {
                let name = lower(name).replace('_', "-");
                self.headers.retain(|known, _| !known.eq_ignore_ascii_case(&name));
                self.headers.insert(name, value);
            }
            Some(("QUERY", name)) => drop(self.query.insert(lower(name), value)),
            Some(_) => return Err(()),
        }
        Ok(())
    }
}

/// What is sent with a request.
pub struct Credentials {
    pub origin: Origin,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Parameters of the URL's query.
    pub query: Vec<(String, String)>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials for {}", self.origin)
    }
}

impl Credentials {
    /// Reads those of a name, for a list or for the server itself; anew each time, as they may be replaced while the server runs.
    pub fn load(dir: &Path, name: &str, list: Option<&str>) -> Result<Credentials, FeedError> {
        let unfit = |why: &str| FeedError::Refused(format!("credentials {name:?}: {why}"));
        check_list_name(name).map_err(|_| {
            FeedError::Refused(format!("{name:?} is not a valid name of credentials; the rules are those for names of lists"))
        })?;
        let text = match dir.as_os_str().is_empty() {
            true => None,
            false => read(&dir.join(format!("{name}.toml"))).map_err(|why| unfit(&why))?,
        };
        let prefix = format!("{PREFIX}{}__", name.to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
        let variables: Vec<_> =
            std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(prefix.as_bytes())).collect();
        if text.is_none() && variables.is_empty() {
            return Err(unfit(&match dir.as_os_str().is_empty() {
                true => format!(
                    "no variable begins with {prefix}, and the configuration names no folder of credentials ([feeds] credentials_dir)"
                ),
                false => format!("there is no file {name}.toml in [feeds] credentials_dir, and no variable begins with {prefix}"),
            }));
        }
        Self::read(text.as_deref(), (&prefix, variables), list).map_err(|why| unfit(&why))
    }

    /// From a file's text, and variables with their prefix.
    fn read(
        text: Option<&str>,
        (prefix, variables): (&str, Vec<(OsString, OsString)>),
        list: Option<&str>,
    ) -> Result<Credentials, String> {
        let text = text.unwrap_or_default();
        // The parser's words quote the line, which may hold a password.
        let place = |error: toml::de::Error| {
            let line = error.span().map_or(0, |span| text.get(..span.start).map_or(0, |before| before.matches('\n').count() + 1));
            format!(
                "line {line} is not valid; the file has origin = \"https://HOST\", lists = [\"NAME\"], and user and password, or [headers], or [query], all of them text"
            )
        };
        let mut written: Written = toml::from_str(text).map_err(place)?;
        for (name, value) in variables {
            let name = name.to_string_lossy();
            let value = value.into_string().map_err(|_| format!("the variable {name} is not UTF-8"))?;
            written.set(name.trim_start_matches(prefix), value).map_err(|()| {
                format!(
                    "unknown variable {name}: {prefix} is followed by ORIGIN, LISTS, USER, PASSWORD, HEADERS__NAME or QUERY__NAME"
                )
            })?;
        }
        if let (Some(lists), Some(list)) = (&written.lists, list)
            && lists.iter().all(|of| of != list)
        {
            return Err("they are not for this list".to_owned());
        }
        let origin = written.origin.ok_or("they have no origin, such as https://HOST, which they are sent to")?;
        let url = origin.parse().ok().filter(|url: &http::Uri| matches!(url.path(), "" | "/") && url.query().is_none());
        let origin = url.as_ref().and_then(Origin::of).ok_or("their origin is not of the form https://HOST")?;
        if written.headers.len() + written.query.len() > PARTS_MAX {
            return Err(format!("there are more than {PARTS_MAX} headers and parameters"));
        }
        let mut headers = Vec::new();
        for (name, value) in &written.headers {
            let header = name.parse::<HeaderName>().map_err(|_| "the name of a header is not valid")?;
            headers.push((header, secret(value).ok_or("the value of a header has characters that are not allowed there")?));
        }
        match (&written.user, &written.password) {
            (None, None) => {}
            (Some(user), Some(password)) if !user.contains(':') => {
                let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
                headers.push((AUTHORIZATION, secret(&basic).ok_or("user or password has characters that can't be sent")?));
            }
            _ => return Err("user and password must be given together, and the user must not contain a colon".to_owned()),
        }
        Ok(Credentials { origin, headers, query: written.query.into_iter().collect() })
    }
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// `None` where there is no such file.
fn read(path: &Path) -> Result<Option<String>, String> {
    let bytes = match file::read(path, FILE_BYTES_MAX) {
        Ok((bytes, _)) => bytes,
        Err(Unread::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(Unread::Io(error)) => return Err(format!("their file can't be read: {}", in_words(&error))),
        Err(Unread::NotAFile) => return Err("their file is not a regular file".to_owned()),
        Err(Unread::TooLong) => return Err(format!("their file has more than {FILE_BYTES_MAX} bytes")),
    };
    String::from_utf8(bytes).map(Some).map_err(|_| "their file is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_credentials_is_read_and_never_shown() {
        let read = |text: &str| Credentials::read(Some(text), ("", Vec::new()), Some("known"));
        let both = read(
            "origin = \"https://HOST/\"\nuser = \"u\"\npassword = \"geheim\"\n[headers]\nx-key = \"k\"\n[query]\naccess_token = \"t\"\n",
        );
        let both = both.unwrap();
        assert_eq!(both.origin.to_string(), "https://host");
        let sent: Vec<_> = both.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        assert_eq!(sent, ["x-key: k", "authorization: Basic dTpnZWhlaW0="]);
        assert_eq!(both.query, [("access_token".to_owned(), "t".to_owned())]);
        assert!(both.headers.iter().all(|(_, value)| value.is_sensitive()));
        assert_eq!(format!("{both:?}"), "Credentials for https://host");
        for text in [
            "password = \"geheim\"",
            "origin = \"https://host\"\nlists = [\"geheim\"]",
            "origin = \"https://host\"\npassword = \"geheim\"",
            "origin = \"https://host/path\"",
            "origin = \"https://geheim@host\"",
            "origin = \"https://host\"\ngeheim = 1",
            "origin = \"https://host\"\nuser = geheim",
            "origin = \"https://host\"\n[headers]\nx = \"geheim\\n\"",
            "origin = \"https://host\"\n[headers]\n\"geheim x\" = \"y\"",
        ] {
            let error = read(text).unwrap_err();
            assert!(!error.contains("geheim"), "{text}: {error}");
        }
    }
    #[test]
    fn variables_of_the_environment_stand_over_the_file() {
        let read = |text: Option<&str>, variables: &[(&str, &str)]| {
            let variables = variables.iter().map(|(name, value)| (format!("P__{name}").into(), (*value).into())).collect();
            Credentials::read(text, ("P__", variables), Some("known")).map(|read| {
                let sent = read.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
                let query = read.query.iter().map(|(name, value)| format!("{name}={value}"));
                (read.origin.to_string(), sent.chain(query).collect::<Vec<_>>().join(", "))
            })
        };
        let check =
            |text, variables: &[(&str, &str)], expected: Result<(&str, &str), &str>| match (read(text, variables), expected) {
                (Ok(found), Ok((origin, sent))) => assert_eq!((&*found.0, &*found.1), (origin, sent)),
                (Err(why), Err(part)) => assert!(why.contains(part) && !why.contains("geheim"), "{why}"),
                (found, _) => panic!("{variables:?}: {found:?}"),
            };
        let all = [("ORIGIN", "https://host"), ("USER", "u"), ("PASSWORD", "geheim"), ("LISTS", "a, known")];
        check(None, &all, Ok(("https://host", "authorization: Basic dTpnZWhlaW0=")));
        let file = Some("origin = \"https://file\"\nuser = \"u\"\n[headers]\nX-Functions-Key = \"old\"\n");
        check(
            file,
            &[("PASSWORD", "geheim"), ("HEADERS__X_FUNCTIONS_KEY", "new")],
            Ok(("https://file", "x-functions-key: new, authorization: Basic dTpnZWhlaW0=")),
        );
        check(None, &[("ORIGIN", "https://host"), ("QUERY__ACCESS_TOKEN", "A|B")], Ok(("https://host", "access_token=A|B")));
        check(file, &[], Err("given together"));
        check(None, &all[1..], Err("no origin"));
        check(None, &[("ORIGIN", "https://host"), ("LISTS", "a,b")], Err("not for this list"));
        check(None, &[("ORIGIN", "https://host"), ("PASSWROD", "geheim")], Err("unknown variable P__PASSWROD"));
        check(None, &[("ORIGIN", "geheim")], Err("not of the form"));
    }
}
