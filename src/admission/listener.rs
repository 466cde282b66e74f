//! Which connections are let in, and when are they ready?

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::connections::Connections;
use super::stream::Stream;
use super::tls::{Port, Tls};
use crate::entry::Caller;

/// Lets connections in by the rules of [`Connections`] and [`Tls`].
pub struct Listener<F> {
    listener: TcpListener,
    connections: Arc<Connections>,
    tls: Option<(Arc<Tls>, Port)>,
    caller_of: F,
    /// Each of them has its place among the connections, so there are never more than those.
    handshakes: JoinSet<Option<Stream>>,
}

impl<F: Fn(SocketAddr) -> Caller> Listener<F> {
    /// Plain text where there is no `tls`. `caller_of` tells callers apart by their addresses.
    pub fn new(listener: TcpListener, connections: Arc<Connections>, tls: Option<(Arc<Tls>, Port)>, caller_of: F) -> Self {
        Listener { listener, connections, tls, caller_of, handshakes: JoinSet::new() }
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next connection whose handshake, if it needs one, is done: nobody waits for another one's. Dropping the future loses nothing.
    pub async fn accept(&mut self) -> Stream {
        loop {
            tokio::select! {
                connection = self.connections.accept(&self.listener, &self.caller_of) => match self.tls.clone() {
                    None => return Stream::plain(connection),
                    Some((tls, port)) => drop(self.handshakes.spawn(async move { tls.handshake(port, connection).await })),
                },
                Some(shaken) = self.handshakes.join_next() => {
                    if let Ok(Some(stream)) = shaken {
                        return stream;
                    }
                }
            }
        }
    }
}
