//! Which server is this, and may it be asked?
//!
//! Credentials go to the origin that they are of and to no other. Addresses that a stranger's name can stand for, and that only this machine or
//! its network should reach, are refused unless the configuration allows them. Invariant: the address that was checked is the one that is connected to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

/// Scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub is_encrypted: bool,
    /// Lower case, an address without its brackets.
    pub host: String,
    pub port: u16,
}

impl Origin {
    pub fn of(url: &Uri) -> Option<Origin> {
        let is_encrypted = match url.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = url.authority()?;
        if authority.as_str().contains('@') {
            return None;
        }
        let host = authority.host().trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        let port = url.port_u16().unwrap_or(if is_encrypted { 443 } else { 80 });
        (!host.is_empty()).then_some(Origin { is_encrypted, host, port })
    }

    /// As a proxy is asked for it.
    pub fn host_and_port(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{host}:{}", self.port)
    }

    /// As it stands in the header `Host`.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.is_encrypted, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.is_encrypted { "https" } else { "http" }, self.authority())
    }
}

/// Whether an address is for everybody: not of this machine, of a private network, or of a special use.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// The special-purpose blocks of IANA's registry.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match (a, b, c) {
        (0 | 10 | 127, ..) => true,
        (100, 64..=127, _) => true, // carriers' own
        (169, 254, _) => true,
        (172, 16..=31, _) => true,
        (192, 0, 0 | 2) => true,
        (192, 88, 99) => true,
        (192, 168, _) => true,
        (198, 18 | 19, _) => true,
        (198, 51, 100) | (203, 0, 113) => true,
        (224.., ..) => true, // several at once, reserved, broadcast
        _ => false,
    };
    !special
}

/// What is given out to the public lies in 2000::/3; in it and beside it some blocks carry addresses of the older kind.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    let older = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => older(high, low),
        [0x2002, high, low, ..] => older(high, low),
        [0x2001, 0..=0x1ff, ..] => false, // among them Teredo, whose addresses are hidden ones
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let check = |url: &str, expected: Option<&str>| {
            let found = url.parse::<Uri>().ok().and_then(|url| Origin::of(&url)).map(|origin| origin.to_string());
            assert_eq!(found.as_deref(), expected, "{url}");
        };
        check("https://HOST/a", Some("https://host"));
        check("https://host:443", Some("https://host"));
        check("https://host.:8443/a?b", Some("https://host:8443"));
        check("http://[::1]:80/", Some("http://[::1]"));
        check("https://user@host/", None);
        check("ftp://host/", None);
        check("/path", None);
    }

    #[test]
    fn addresses_of_networks_of_one_s_own_are_not_public() {
        for public in
            ["8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.0.1", "192.0.1.1", "2606:4700::1", "::ffff:8.8.8.8"]
        {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "2001:0:1::1",
            "2001:db8::1",
            "::127.0.0.1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }
}
