//! gRPC's connections: accepted by `admission`'s rules, handed to tonic.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected as OfTonic, TcpConnectInfo};

use super::{Options, call_metrics};
use crate::access::{certified_caller, grpc_caller};
use crate::admission::{Connections, Listener, Patience, Peer, Port, Stream, Tls};
use crate::entry::Caller;

/// What a request's extensions say of its connection.
#[derive(Clone)]
pub struct Connected {
    pub tcp: TcpConnectInfo,
    pub peer: Arc<Peer>,
    /// Who calls: by its certificate, where it has one.
    pub caller: Arc<Caller>,
}

impl OfTonic for Stream {
    type ConnectInfo = Connected;
    fn connect_info(&self) -> Connected {
        let connection = self.connection();
        let peer = connection.peer().clone();
        let caller = self.certified_name().map_or_else(|| peer.caller.clone(), |name| Arc::new(certified_caller(name)));
        Connected { tcp: connection.stream().connect_info(), peer, caller }
    }
}

/// Accepts until the stream is dropped, which closes the listener.
pub fn accept(listener: TcpListener, options: &Options, tls: Option<Arc<Tls>>) -> ReceiverStream<io::Result<Stream>> {
    let (send, accepted) = mpsc::channel(1);
    let patience = Patience {
        first_byte: Duration::from_millis(options.connection_silent_ms_max),
        idle: Duration::from_secs(options.connection_idle_s),
        request: None,
    };
    let (max, caller_max) = (options.connections_max, options.connections_per_caller_max);
    let connections = Connections::new("grpc.connections_max", max, caller_max, patience);
    let tls = tls.map(|tls| (tls, Port::Rpc));
    let mut listener = Listener::new(listener, connections, tls, |address| grpc_caller(Some(address)));
    tokio::spawn(async move {
        loop {
            let mut stream = tokio::select! {
                stream = listener.accept() => stream,
                () = send.closed() => return,
            };
            stream.hold(call_metrics::Connected::new());
            if send.send(Ok(stream)).await.is_err() {
                return;
            }
        }
    });
    ReceiverStream::new(accepted)
}
