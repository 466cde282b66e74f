//! A web server that does what a test tells it, and remembers what it was asked.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A request; the names of its headers are in lower case.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A parameter of the query, decoded.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let query = self.target.split_once('?')?.1;
        let value = query.split('&').find_map(|part| part.split_once('=').filter(|(n, _)| *n == name))?.1;
        Some(value.replace("%3A", ":").replace("%7C", "|"))
    }
}

pub enum Reply {
    Full {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    /// So many bytes of the body, and the connection's end.
    Broken {
        body: Vec<u8>,
        sent: usize,
    },
    /// Headers, and nothing more for longer than anybody waits.
    Stalled,
    /// These bytes.
    Raw(Vec<u8>),
}

pub fn ok(body: impl Into<Vec<u8>>) -> Reply {
    Reply::Full { status: 200, headers: Vec::new(), body: body.into() }
}

pub fn status(status: u16) -> Reply {
    Reply::Full { status, headers: Vec::new(), body: b"secret words of the server".to_vec() }
}

type Answer = dyn FnMut(&Asked) -> Reply + Send;

pub struct Server {
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    answer: Arc<Mutex<Box<Answer>>>,
    stop: Arc<AtomicBool>,
}

impl Server {
    pub fn new(answer: impl FnMut(&Asked) -> Reply + Send + 'static) -> Server {
        Server::with(None, answer)
    }

    /// Over TLS, if there is a configuration of it.
    pub fn with(tls: Option<Arc<ServerConfig>>, answer: impl FnMut(&Asked) -> Reply + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("{}://{}", if tls.is_some() { "https" } else { "http" }, listener.local_addr().unwrap());
        let (asked, stop) = (Arc::<Mutex<Vec<Asked>>>::default(), Arc::<AtomicBool>::default());
        let answer: Arc<Mutex<Box<Answer>>> = Arc::new(Mutex::new(Box::new(answer)));
        let server = Server { url, asked: asked.clone(), answer: answer.clone(), stop: stop.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Acquire) {
                    return;
                }
                let (asked, answer, tls) = (asked.clone(), answer.clone(), tls.clone());
                std::thread::spawn(move || {
                    let stream = stream.unwrap();
                    match tls {
                        None => serve(&stream, &asked, &answer),
                        Some(tls) => serve(StreamOwned::new(ServerConnection::new(tls).unwrap(), stream), &asked, &answer),
                    }
                });
            }
        });
        server
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        self.url.split_once("://").unwrap().1
    }

    /// From now on it answers so.
    pub fn answer(&self, answer: impl FnMut(&Asked) -> Reply + Send + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    /// What it was asked since the last time.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        drop(TcpStream::connect(self.address()));
    }
}

/// A stream that a test can end.
trait Ends: Read + Write {
    fn end(&mut self);
}

impl Ends for &TcpStream {
    fn end(&mut self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl Ends for StreamOwned<ServerConnection, TcpStream> {
    fn end(&mut self) {
        let _ = self.sock.shutdown(Shutdown::Both);
    }
}

fn serve(mut stream: impl Ends, asked: &Mutex<Vec<Asked>>, answer: &Mutex<Box<Answer>>) {
    while let Some(request) = read(&mut stream) {
        let reply = (answer.lock().unwrap())(&request);
        asked.lock().unwrap().push(request);
        let done = match reply {
            Reply::Full { status, headers, body } => {
                let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                let length = if status == 304 { String::new() } else { format!("content-length: {}\r\n", body.len()) };
                let head = format!("HTTP/1.1 {status} X\r\n{length}{headers}\r\n");
                let body = if status == 304 { Vec::new() } else { body };
                stream.write_all(&[head.as_bytes(), &body].concat())
            }
            Reply::Broken { body, sent } => {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                let _ = stream.write_all(&[head.as_bytes(), &body[..sent]].concat());
                stream.end();
                return;
            }
            Reply::Stalled => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nx");
                std::thread::sleep(Duration::from_secs(20));
                return;
            }
            Reply::Raw(bytes) => {
                let _ = stream.write_all(&bytes);
                stream.end();
                return;
            }
        };
        if done.is_err() {
            return;
        }
    }
}

fn read(stream: &mut impl Read) -> Option<Asked> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 || head.len() > 64 * 1024 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ').map(str::to_owned);
    let (method, target) = (first.next()?, first.next()?);
    let headers =
        lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    let mut asked = Asked { method, target, headers: headers.collect(), body: String::new() };
    let bytes: u64 = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
    stream.take(bytes).read_to_string(&mut asked.body).ok()?;
    Some(asked)
}
