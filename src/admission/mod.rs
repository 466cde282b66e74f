//! May this caller come in, and have more? What every edge needs and none may borrow from another: limits on what callers hold, for each and for all.
//!
//! What can run out is counted in a [`Budget`] (connections, calls, bytes); who takes from it gets a [`Share`] that gives back when it is
//! dropped. A [`Ledger`] is one stream's part of a budget. Callers are told apart by their [`Caller`](crate::entry::Caller) name, so one of
//! them can't use up what another needs. Every limit has a key in the configuration, and shows in the metrics by the same name: how much of it is
//! in use, and how often something was refused for it. A [`Quotas`] says how many items a second each may have matched. A port is served through a [`Listener`], with [`Tls`] where it is on. Absent: what a request means, and what is done when the answer is no.

mod budget;
mod certificate;
mod connections;
mod ledger;
mod listener;
mod quota;
mod stream;
mod tls;

pub use budget::{Budget, Over, Refusals, Share};
pub use connections::{Connection, Connections, InCall, Patience, Peer, Work};
pub use ledger::{Entry, Ledger};
pub use listener::Listener;
pub use quota::{OverQuota, Quota, Quotas};
pub use stream::Stream;
pub use tls::{Options as TlsOptions, Port, TLS_BYTES, Tls, TlsError};
