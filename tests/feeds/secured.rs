//! Servers that are reached over TLS, and through a proxy.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use rcgen::{CertificateParams, KeyPair};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

use super::ask::{Bench, ncmec, open_with, options};
use super::certificates::{Authority, Pair};
use super::server::{Reply, Server, ok};
use hashwarden::entry::FeedKind;
use hashwarden::feeds::Options;

fn tls(pair: &Pair) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    Arc::new(config.with_single_cert(chain, key).unwrap())
}

fn served(pair: &Pair) -> Server {
    Server::with(Some(tls(pair)), |_| ok(ncmec(&[1], &[], None)))
}

/// That trusts an authority, with a source at this URL.
fn trusting(dir: &Path, authority: &Authority, url: &str, change: impl FnOnce(&mut Options)) -> Bench {
    let ca_file = dir.join("authority.pem");
    std::fs::write(&ca_file, authority.pem()).unwrap();
    let mut options = Options { ca_file, ..options() };
    change(&mut options);
    let bench = open_with(&dir.join("store"), options);
    bench.create("known");
    bench.set(FeedKind::Ncmec, url);
    bench
}

#[test]
fn a_server_is_believed_by_its_certificate_alone() {
    let (authority, other) = (Authority::new("authority"), Authority::new("another"));
    let good = authority.server();
    let check = |server: &Server, url: &str, expected: Result<(), &str>| {
        let dir = tempfile::tempdir().unwrap();
        let bench = trusting(dir.path(), &authority, url, |_| ());
        let fetched = bench.fetch().map(|report| assert_eq!(report.added, 1)).map_err(|error| error.to_string());
        match expected {
            Ok(()) => assert_eq!(fetched, Ok(())),
            Err(part) => {
                let why = fetched.unwrap_err();
                assert!(why.contains("no TLS connection to https://") && why.contains(part) && !why.contains("attempt"), "{why}");
                assert_eq!((bench.entries(), server.asked().len()), (0, 0), "{part}");
            }
        }
    };
    let server = served(&good);
    check(&server, &server.url, Ok(()));
    let port = server.url.rsplit(':').next().unwrap();
    server.asked();
    check(&server, &format!("https://localhost:{port}"), Ok(()));

    let server = served(&authority.server_for(&["mirror.example"], [2000, 2090]));
    check(&server, &server.url, Err("for another name"));
    let server = served(&authority.server_until(2001));
    check(&server, &server.url, Err("has expired"));
    let server = served(&authority.server_for(&["127.0.0.1"], [2089, 2090]));
    check(&server, &server.url, Err("is not valid yet"));
    let server = served(&other.server());
    check(&server, &server.url, Err("no authority that is trusted here"));
    let (params, key) = (CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap(), KeyPair::generate().unwrap());
    let own = Pair { certificate: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() };
    let server = served(&own);
    check(&server, &server.url, Err("no authority that is trusted here"));

    // What is no TLS, or too old.
    for (greeting, expected) in [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "does not speak TLS"),
        // A ServerHello of TLS 1.1, and the alert of a server that has nothing newer.
        ([&[0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2][..], &[7; 32], &[0, 0, 0x2f, 0]].concat(), "neither TLS 1.2 nor TLS 1.3"),
        (vec![0x15, 3, 1, 0, 2, 2, 70], "neither TLS 1.2 nor TLS 1.3"),
    ] {
        check(&server, &format!("https://{}", greeting_with(greeting)), Err(expected));
    }
}

/// A server that answers whoever says hello with these bytes.
fn greeting_with(greeting: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut hello = [0; 16];
        stream.read_exact(&mut hello).unwrap();
        stream.write_all(&greeting).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    address
}

#[test]
fn no_redirect_leads_out_of_tls() {
    let (authority, dir) = (Authority::new("authority"), tempfile::tempdir().unwrap());
    let plain = Server::new(|_| ok(ncmec(&[1], &[], None)));
    let location = plain.url.clone();
    let server = Server::with(Some(tls(&authority.server())), move |_| Reply::Full {
        status: 302,
        headers: vec![("location", location.clone())],
        body: Vec::new(),
    });
    let bench = trusting(dir.path(), &authority, &server.url, |_| ());
    let why = bench.failure();
    assert!(why.contains("redirects to http://, which is not encrypted"), "{why}");
    assert!(plain.asked().is_empty());
}

#[test]
fn a_file_of_authorities_that_can_t_be_used_says_why() {
    let (authority, dir) = (Authority::new("authority"), tempfile::tempdir().unwrap());
    let server = served(&authority.server());
    let bench = trusting(dir.path(), &authority, &server.url, |_| ());
    let file = dir.path().join("authority.pem");
    let check = |expected: &str| {
        let why = bench.failure();
        assert!(why.contains("[feeds] ca_file: ") && why.contains(expected), "{why}");
        let options = Options { ca_file: file.clone(), ..options() };
        assert!(hashwarden::feeds::check(&options).is_err_and(|why| why.contains(expected)), "it is found at the start, too");
    };
    std::fs::write(&file, "nothing").unwrap();
    check("holds no certificate");
    let pem = authority.pem();
    std::fs::write(&file, &pem[..pem.len() / 2]).unwrap();
    check("certificate 1");
    std::fs::remove_file(&file).unwrap();
    check("no such file");
    std::fs::create_dir(&file).unwrap();
    check("is not a file");
    // It is read for each fetch.
    std::fs::remove_dir(&file).unwrap();
    std::fs::write(&file, pem).unwrap();
    assert_eq!(bench.fetch().unwrap().added, 1);
}

/// A proxy for CONNECT that leads wherever a test's server is, whatever name it is asked for, and remembers what it was asked.
struct Proxy {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    answer: Arc<Mutex<&'static str>>,
}

const ESTABLISHED: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

impl Proxy {
    fn to(server: &Server) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, answer) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(Mutex::new(ESTABLISHED)));
        let (heard, answers, to) = (asked.clone(), answer.clone(), server.address().to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, mut head) = (stream.unwrap(), Vec::new());
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                    head.push(byte[0]);
                }
                heard.lock().unwrap().push(String::from_utf8(head).unwrap());
                let answer = *answers.lock().unwrap();
                let _ = stream.write_all(answer.as_bytes());
                if answer == ESTABLISHED {
                    let server = TcpStream::connect(&to).unwrap();
                    let (from, into) = (stream.try_clone().unwrap(), server.try_clone().unwrap());
                    std::thread::spawn(move || copy(from, into));
                    std::thread::spawn(move || copy(server, stream));
                }
            }
        });
        Proxy { url, asked, answer }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn copy(mut from: TcpStream, mut into: TcpStream) {
    let _ = std::io::copy(&mut from, &mut into);
    let _ = into.shutdown(std::net::Shutdown::Write);
}

#[test]
fn a_proxy_is_asked_for_the_server_and_sees_nothing_of_what_is_sent() {
    let (authority, dir) = (Authority::new("authority"), tempfile::tempdir().unwrap());
    let server = served(&authority.server_for(&["mirror.example"], [2000, 2090]));
    let proxy = Proxy::to(&server);
    // No name of it is resolved here: there is none.
    let bench = trusting(dir.path(), &authority, "https://mirror.example/hashsharing", |options| {
        (options.proxy, options.private_hosts) = (proxy.url.clone(), false);
    });
    assert_eq!(bench.fetch().unwrap().added, 1);
    let asked = proxy.asked();
    assert!(asked.len() == 1 && asked[0].starts_with("CONNECT mirror.example:443 HTTP/1.1\r\n"), "{asked:?}");
    assert!(asked[0].contains("host: mirror.example:443\r\n") && !asked[0].contains("proxy-authorization"), "{asked:?}");
    assert_eq!(server.asked()[0].header("host"), Some("mirror.example"));

    // A certificate for another name is no better by a proxy.
    bench.set(FeedKind::Files, "https://other.example/list.csv");
    assert!(bench.failure().contains("for another name"));
    assert_eq!(server.asked().len(), 0);
    proxy.asked();
    for (answer, expected) in [
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 6\r\n\r\nsecret", "403 Forbidden"),
        ("HTTP/1.1 407 X\r\ncontent-length: 0\r\n\r\n", "does not accept the credentials ([feeds] proxy_credentials)"),
        ("HTTP/1.1 502 X\r\ncontent-length: 0\r\n\r\n", "502 Bad Gateway (attempt 3)"),
        ("HTTP/1.1 200 X\r\n\r\nnot TLS but HTTP", "does not speak TLS"),
        ("nonsense\r\n\r\n", "no connection to https://other.example through the proxy"),
    ] {
        *proxy.answer.lock().unwrap() = answer;
        let why = bench.failure();
        assert!(why.contains(expected) && !why.contains("secret"), "{why}");
    }
}

#[test]
fn what_a_proxy_is_shown_and_what_it_is_not_asked_for() {
    let (authority, dir) = (Authority::new("authority"), tempfile::tempdir().unwrap());
    let server = served(&authority.server_for(&["mirror.example", "127.0.0.1"], [2000, 2090]));
    let proxy = Proxy::to(&server);
    let credentials = dir.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    let write = |origin: &str| {
        let text = format!("origin = {origin:?}\nuser = \"me\"\npassword = \"geheim\"\n");
        std::fs::write(credentials.join("proxy.toml"), text).unwrap();
    };
    write(&proxy.url);
    let bench = trusting(dir.path(), &authority, "https://mirror.example", |options| {
        (options.proxy, options.proxy_credentials) = (proxy.url.clone(), "proxy".to_owned());
        (options.credentials_dir, options.private_hosts) = (credentials.clone(), false);
    });
    assert_eq!(bench.fetch().unwrap().added, 1);
    assert!(proxy.asked()[0].contains("proxy-authorization: Basic bWU6Z2VoZWlt\r\n"));
    assert_eq!(server.asked()[0].header("proxy-authorization"), None);
    write("http://other.example:3128");
    let why = bench.failure();
    assert!(why.contains("are for http://other.example:3128, and are not sent to") && !why.contains("geheim"), "{why}");
    write(&proxy.url);

    // What a URL says by itself holds with a proxy as without; names, the proxy resolves.
    for place in
        ["https://10.0.0.1/x", "https://[fd00::1]/x", "https://169.254.169.254", "https://localhost:1", "https://127.0.0.1:1"]
    {
        bench.set(FeedKind::Files, place);
        let why = bench.failure();
        assert!(why.contains("private_hosts"), "{place}: {why}");
    }
    assert!(proxy.asked().is_empty());
}

#[test]
fn a_proxy_that_is_none_is_refused_at_the_start() {
    let check = |proxy: &str, credentials: &str, expected: Result<(), &str>| {
        let options = Options { proxy: proxy.to_owned(), proxy_credentials: credentials.to_owned(), ..options() };
        match (hashwarden::feeds::check(&options), expected) {
            (Ok(()), Ok(())) => {}
            (Err(why), Err(part)) => assert!(why.contains(part) && !why.contains("geheim"), "{proxy}: {why}"),
            (found, _) => panic!("{proxy}: {found:?}"),
        }
    };
    check("", "", Ok(()));
    check("http://proxy.example.org:3128", "", Ok(()));
    check("http://[::1]:3128/", "", Ok(()));
    let form = "[feeds] proxy is not of the form http://HOST:PORT";
    for bad in [
        "proxy.example.org:3128",
        "https://proxy.example.org",
        "http://me:geheim@proxy",
        "http://proxy/path",
        "socks5://proxy",
        "x y",
    ] {
        check(bad, "", Err(form));
    }
    check("http://proxy", "absent", Err("no folder of credentials"));
}
