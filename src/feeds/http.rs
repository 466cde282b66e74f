//! One request after another, each within its limits.
//!
//! hyper's bare HTTP/1.1 connection, so that every limit is seen: silence, the whole, headers, body. One connection is kept for the next request
//! to the same origin. Redirects are followed within the origin alone. Invariant: credentials go to their origin and no other; an answer that
//! does not say where it ends, or ends before, is none; nothing that a server sent stands in an error.

use std::time::{Duration, SystemTime};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};

use super::connect::{Connect, Sender, in_words, words};
use super::credentials::Credentials;
use super::error::{FeedError, HttpError};
use super::options::Options;
use super::origin::Origin;
use super::query::encoded;
use crate::entry::shown::sized;

const REDIRECTS_MAX: usize = 5;
const USER_AGENT: &str = concat!("hashwarden/", env!("CARGO_PKG_VERSION"));

/// An answer whose body, if there is one, was taken whole.
#[derive(Debug)]
pub struct Answer {
    /// 200 or 304.
    pub status: StatusCode,
    pub headers: HeaderMap,
}

/// What is asked for.
pub struct Get<'g> {
    pub url: &'g Uri,
    pub credentials: Option<&'g Credentials>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Bytes that the body may have.
    pub bytes_max: u64,
}

/// Takes the body piece by piece.
pub type Sink<'s> = &'s mut (dyn FnMut(&[u8]) -> std::io::Result<()> + Send);

/// A client of one fetch.
pub struct Http {
    connect: Connect,
    idle_max: Duration,
    request_max: Duration,
    kept: Option<(Origin, Sender)>,
}

impl Http {
    pub fn new(options: &Options) -> Result<Self, FeedError> {
        Ok(Http {
            connect: Connect::new(options).map_err(FeedError::Refused)?,
            idle_max: Duration::from_millis(options.idle_ms_max),
            request_max: Duration::from_secs(options.request_s_max),
            kept: None,
        })
    }

    /// Gets a URL, and whatever it leads to within its origin. `sink` sees the body of an answer 200, and of no other.
    pub async fn get(&mut self, get: Get<'_>, sink: Sink<'_>) -> Result<Answer, HttpError> {
        let origin = checked_origin(&get)?;
        let whole = tokio::time::timeout(self.request_max, self.follow(&get, &origin, sink)).await;
        let done = whole.unwrap_or_else(|_| {
            Err(HttpError::passing(format!("a request to {origin} took longer than {} s", self.request_max.as_secs())))
        });
        if done.is_err() {
            self.kept = None; // the rest of an answer may be on it
        }
        done
    }

    /// The same, with the body in memory.
    pub async fn get_whole(&mut self, get: Get<'_>) -> Result<Vec<u8>, HttpError> {
        let mut body = Vec::new();
        self.get(get, &mut |piece| {
            body.extend_from_slice(piece);
            Ok(())
        })
        .await?;
        Ok(body)
    }

    /// Puts a body at a URL; made again it changes nothing. What is answered beside the status is of no interest, and no redirect is followed.
    pub async fn put(&mut self, put: Get<'_>, body: Bytes) -> Result<(), HttpError> {
        let origin = checked_origin(&put)?;
        let target = target(put.url, put.credentials)?;
        let answer = self.send(&put, Some(&body), &origin, &target).await;
        self.kept = None; // the answer's body is on it
        let answer = answer?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status if status.is_redirection() => {
                Err(HttpError::lasting(format!("{origin} redirects what it is sent ({}), which is not followed", words(status))))
            }
            status => Err(refused(&origin, status, answer.headers())),
        }
    }

    async fn follow(&mut self, get: &Get<'_>, origin: &Origin, sink: Sink<'_>) -> Result<Answer, HttpError> {
        let mut target = target(get.url, get.credentials)?;
        for _ in 0..=REDIRECTS_MAX {
            let answer = self.send(get, None, origin, &target).await?;
            let (parts, body) = answer.into_parts();
            match parts.status {
                StatusCode::OK => {
                    self.take(origin, &parts.headers, body, get.bytes_max, sink).await?;
                    return Ok(Answer { status: parts.status, headers: parts.headers });
                }
                StatusCode::NOT_MODIFIED if !get.headers.is_empty() => {
                    return Ok(Answer { status: parts.status, headers: parts.headers });
                }
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => {
                    self.kept = None; // its body is of no interest
                    target = redirected(&parts.headers, origin, get.credentials)?;
                }
                status => return Err(refused(origin, status, &parts.headers)),
            }
        }
        Err(HttpError::lasting(format!("{origin} redirects more than {REDIRECTS_MAX} times")))
    }

    /// Sends one request; over a kept connection, which may have been closed meanwhile, once more over a new one.
    async fn send(
        &mut self,
        get: &Get<'_>,
        put: Option<&Bytes>,
        origin: &Origin,
        target: &Uri,
    ) -> Result<http::Response<Incoming>, HttpError> {
        let unwritable = |_| HttpError::lasting("the request is not valid");
        let request = || request(get, put, origin, target).map_err(unwritable);
        if let Some((of, mut sender)) = self.kept.take()
            && of == *origin
            && sender.ready().await.is_ok()
            && let Ok(answer) = self.answer(&mut sender, request()?, origin).await
        {
            self.kept = Some((of, sender));
            return answer;
        }
        let mut sender = self.connect.to(origin).await?;
        let answer = self.answer(&mut sender, request()?, origin).await;
        let answer = answer.map_err(|error| HttpError::passing(format!("{origin} did not answer: {}", in_words(&error))))??;
        self.kept = Some((origin.clone(), sender));
        Ok(answer)
    }

    /// The outer error is the connection's.
    async fn answer(
        &self,
        sender: &mut Sender,
        request: Request<Full<Bytes>>,
        origin: &Origin,
    ) -> Result<Result<http::Response<Incoming>, HttpError>, hyper::Error> {
        match tokio::time::timeout(self.idle_max, sender.send_request(request)).await {
            Ok(answer) => answer.map(Ok),
            Err(_) => Ok(Err(self.silent(origin))),
        }
    }

    fn silent(&self, origin: &Origin) -> HttpError {
        HttpError::passing(format!("{origin} sent nothing for {} ms", self.idle_max.as_millis()))
    }

    async fn take(
        &self,
        origin: &Origin,
        headers: &HeaderMap,
        mut body: Incoming,
        bytes_max: u64,
        sink: Sink<'_>,
    ) -> Result<(), HttpError> {
        let too_long = || {
            HttpError::lasting(format!("{origin} sent more than {} ([feeds] page_bytes_max, file_bytes_max)", sized(bytes_max)))
        };
        if body.size_hint().lower() > bytes_max {
            return Err(too_long());
        }
        // Else the end of the connection would be the end of the file, wherever it broke.
        let says_end = headers.contains_key(header::CONTENT_LENGTH) || headers.contains_key(header::TRANSFER_ENCODING);
        if !says_end {
            return Err(HttpError::lasting(format!(
                "{origin} sent an answer without a length, so it can't be told whether it is complete"
            )));
        }
        let mut bytes = 0;
        loop {
            let frame = tokio::time::timeout(self.idle_max, body.frame()).await.map_err(|_| self.silent(origin))?;
            let Some(frame) = frame else { return Ok(()) };
            let frame = frame.map_err(|error| {
                HttpError::passing(format!("{origin} closed the connection before its answer was complete: {}", in_words(&error)))
            })?;
            let Ok(piece) = frame.into_data() else { continue };
            bytes += piece.len() as u64;
            if bytes > bytes_max {
                return Err(too_long());
            }
            sink(&piece).map_err(|error| HttpError::lasting(crate::entry::shown::in_words(&error)))?;
        }
    }
}

/// Path and query, with the parameters of the credentials, which stand in no URL that is kept or shown.
fn target(url: &Uri, credentials: Option<&Credentials>) -> Result<Uri, HttpError> {
    let mut target = url.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    if target.starts_with('?') {
        target.insert(0, '/');
    }
    for (name, value) in credentials.map_or(&[][..], |credentials| &credentials.query) {
        target.push(if target.contains('?') { '&' } else { '?' });
        target += &format!("{}={}", encoded(name), encoded(value));
    }
    // Not the error's words: the target may hold a secret.
    target.parse().map_err(|_| HttpError::lasting("the URL is not valid"))
}

/// Where it goes, and what is sent there: credentials are for one origin.
fn checked_origin(get: &Get<'_>) -> Result<Origin, HttpError> {
    let origin = Origin::of(get.url).ok_or_else(|| HttpError::lasting("the URL has no valid host"))?;
    match get.credentials {
        Some(credentials) if credentials.origin != origin => {
            let why = format!("the credentials are for {}, and are not sent to {origin}", credentials.origin);
            Err(HttpError::lasting(why))
        }
        _ => Ok(origin),
    }
}

fn request(get: &Get<'_>, put: Option<&Bytes>, origin: &Origin, target: &Uri) -> Result<Request<Full<Bytes>>, http::Error> {
    let method = if put.is_some() { Method::PUT } else { Method::GET };
    let mut request = Request::builder().method(method).uri(target).header(header::HOST, origin.authority());
    request = request.header(header::USER_AGENT, USER_AGENT).header(header::ACCEPT, "*/*");
    for (name, value) in get.headers.iter().chain(get.credentials.iter().flat_map(|credentials| &credentials.headers)) {
        request = request.header(name, value);
    }
    request.body(put.map_or_else(Full::default, |body| Full::new(body.clone())))
}

/// Where a redirect leads, if it stays within the origin.
fn redirected(headers: &HeaderMap, origin: &Origin, credentials: Option<&Credentials>) -> Result<Uri, HttpError> {
    let nowhere = || HttpError::lasting(format!("{origin} redirects without a valid location"));
    let location = headers.get(header::LOCATION).and_then(|location| location.to_str().ok()).ok_or_else(nowhere)?;
    let url: Uri = location.parse().map_err(|_| nowhere())?;
    let elsewhere = || {
        HttpError::lasting(format!(
            "{origin} redirects to another server, which is not followed; if it has moved, set its new URL"
        ))
    };
    match Origin::of(&url) {
        Some(to) if origin.is_encrypted && !to.is_encrypted => {
            Err(HttpError::lasting(format!("{origin} redirects to http://, which is not encrypted, and is not followed")))
        }
        Some(to) if to == *origin => target(&url, credentials),
        None if url.authority().is_none() && location.starts_with('/') && !location.starts_with("//") => {
            target(&url, credentials)
        }
        _ => Err(elsewhere()),
    }
}

/// What a status that is neither 200 nor a redirect means.
fn refused(origin: &Origin, status: StatusCode, headers: &HeaderMap) -> HttpError {
    let why = format!("{origin} answered {}", words(status));
    match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            HttpError::Passing { why, after: retry_after(headers) }
        }
        status if status.is_server_error() => HttpError::Passing { why, after: retry_after(headers) },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            HttpError::Lasting { why: format!("{why}: it does not accept the credentials"), status: Some(status) }
        }
        status => HttpError::Lasting { why, status: Some(status) },
    }
}

/// Seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).ok(),
    }
}
