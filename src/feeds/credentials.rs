//! What is a source shown, so that it gives its list?
//!
//! A file for each name, in a folder that the configuration names: whoever may set up sources names credentials and never reads them. Invariant:
//! they are sent to their own origin alone, and no `Debug`, error or log line holds any of them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use serde::Deserialize;

use super::error::FeedError;
use super::origin::Origin;
use crate::entry::check_list_name;

/// Longest file of credentials, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Headers, and parameters of a query.
const PARTS_MAX: usize = 16;

/// As a file has them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    origin: String,
    /// The lists that may name them; all where it is absent.
    #[serde(default)]
    lists: Option<Vec<String>>,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    query: BTreeMap<String, String>,
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
        check_list_name(name).map_err(|_| FeedError::Refused("credentials are named as lists are".to_owned()))?;
        if dir.as_os_str().is_empty() {
            return Err(unfit("the configuration has no folder of credentials ([feeds] credentials_dir)"));
        }
        let text = read(&dir.join(format!("{name}.toml"))).map_err(|why| unfit(&why))?;
        Self::read(&text, list).map_err(|why| unfit(&why))
    }

    fn read(text: &str, list: Option<&str>) -> Result<Credentials, String> {
        // The parser's words quote the line, which may hold a password.
        let place = |error: toml::de::Error| {
            let line = error.span().map_or(0, |span| text.get(..span.start).map_or(0, |before| before.matches('\n').count() + 1));
            format!(
                "line {line} is not what such a file has: origin = \"https://HOST\", and user and password, or [headers], or [query], all of them text"
            )
        };
        let written: Written = toml::from_str(text).map_err(place)?;
        if let (Some(lists), Some(list)) = (&written.lists, list)
            && lists.iter().all(|of| of != list)
        {
            return Err("they are not for this list".to_owned());
        }
        let url = written.origin.parse().ok().filter(|url: &http::Uri| matches!(url.path(), "" | "/") && url.query().is_none());
        let origin = url.as_ref().and_then(Origin::of).ok_or("origin is no origin, such as https://HOST")?;
        if written.headers.len() + written.query.len() > PARTS_MAX {
            return Err(format!("there are more than {PARTS_MAX} headers and parameters"));
        }
        let mut headers = Vec::new();
        for (name, value) in &written.headers {
            let header = name.parse::<HeaderName>().map_err(|_| "a header's name is none")?;
            headers.push((header, secret(value).ok_or("a header's value holds what a header can't")?));
        }
        match (&written.user, &written.password) {
            (None, None) => {}
            (Some(user), Some(password)) if !user.contains(':') => {
                let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
                headers.push((AUTHORIZATION, secret(&basic).ok_or("user and password can't be sent")?));
            }
            _ => return Err("user and password stand together, and the user holds no colon".to_owned()),
        }
        Ok(Credentials { origin, headers, query: written.query.into_iter().collect() })
    }
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn read(path: &Path) -> Result<String, String> {
    use std::io::Read;
    // A pipe would keep the reader waiting.
    if !std::fs::metadata(path).map_err(|error| words(&error))?.is_file() {
        return Err("what has its name is not a file".to_owned());
    }
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| words(&error))?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| words(&error))?;
    match text.len() as u64 > FILE_BYTES_MAX {
        true => Err("the file is too long".to_owned()),
        false => Ok(text),
    }
}

fn words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            "there is no file of that name, with .toml behind it, in [feeds] credentials_dir".to_owned()
        }
        _ => format!("its file can't be read: {}", crate::entry::shown::in_words(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_credentials_is_read_and_never_shown() {
        let read = |text: &str| Credentials::read(text, Some("known"));
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
}
