//! Who calls, and what may they do?
//!
//! A [`Gate`] makes of each call's headers, or of its certificate, a [`Principal`], or a [`Refusal`] in words. Where no tokens are configured every
//! caller may do everything, and is known by its certificate, else by its address. Invariants: every call through a door carries a [`Caller`]; a token is never logged, counted or
//! kept, only its SHA-256. What each role may do is [`TABLE`](table::TABLE) alone.
//! Absent: where a list's right is asked for, which the edge does when it has read the list's name.

pub mod file;
mod gate;
mod near;
mod options;
mod refusal;
mod rights;
pub mod table;
pub mod tokens;

use std::net::SocketAddr;

use crate::entry::Caller;

pub use gate::{Gate, Principal};
pub use near::{Near, Question};
pub use options::{ITEMS_PER_S_TOP, Network, Options};
pub use refusal::Refusal;
pub use rights::{Rights, Role};

/// The caller at the other end of a gRPC connection: its IP address, without the port, so that one caller has one name.
pub fn grpc_caller(peer: Option<SocketAddr>) -> Caller {
    let ip = peer.map_or_else(|| "unknown".to_owned(), |peer| peer.ip().to_canonical().to_string());
    Caller(format!("grpc:{ip}"))
}

/// The name in a caller's certificate, where that is what it is known by.
pub fn certificate_of(caller: &Caller) -> Option<&str> {
    caller.0.strip_prefix(CERTIFIED)
}

const CERTIFIED: &str = "mtls:";

/// Longest name in a certificate, in bytes: twice what a DNS name may have, for SPIFFE ids.
const CERTIFIED_BYTES_MAX: usize = 512;

/// Whether a certificate's name can be a caller's: it shows in logs and in the record of changes.
pub fn can_be_certified(name: &str) -> bool {
    !name.is_empty() && name.len() <= CERTIFIED_BYTES_MAX && !name.chars().any(char::is_control)
}

/// The caller whose certificate, which was proven, names it so.
pub fn certified_caller(name: &str) -> Caller {
    Caller(format!("{CERTIFIED}{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_has_one_name() {
        let check = |peer: Option<&str>, expected: &str| {
            assert_eq!(grpc_caller(peer.map(|p| p.parse().unwrap())), Caller(expected.to_owned()));
        };
        check(Some("192.0.2.7:1"), "grpc:192.0.2.7");
        check(Some("192.0.2.7:2"), "grpc:192.0.2.7");
        check(Some("[::ffff:192.0.2.7]:2"), "grpc:192.0.2.7");
        check(Some("[2001:db8::1]:9"), "grpc:2001:db8::1");
        check(None, "grpc:unknown");
    }
}
