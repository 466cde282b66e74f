//! gRPC's connections: accepted by `admission`'s rules, handed to tonic.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected as OfTonic, TcpConnectInfo};

use super::{Options, meter};
use crate::access::grpc_caller;
use crate::admission::{Connection, Connections, Patience, Peer};

/// What a request's extensions say of its connection.
#[derive(Clone)]
pub struct Connected {
    pub tcp: TcpConnectInfo,
    pub peer: Arc<Peer>,
}

impl OfTonic for Connection {
    type ConnectInfo = Connected;
    fn connect_info(&self) -> Connected {
        Connected { tcp: self.stream().connect_info(), peer: self.peer().clone() }
    }
}

/// Accepts until the stream is dropped, which closes the listener.
pub fn accept(listener: TcpListener, options: &Options) -> ReceiverStream<io::Result<Connection>> {
    let (send, accepted) = mpsc::channel(1);
    let patience = Patience {
        first_byte: Duration::from_millis(options.connection_silent_ms_max),
        idle: Duration::from_secs(options.connection_idle_s),
        request: None,
    };
    let (max, caller_max) = (options.connections_max, options.connections_per_caller_max);
    let connections = Connections::new("grpc.connections_max", max, caller_max, patience);
    tokio::spawn(async move {
        loop {
            let mut connection = tokio::select! {
                connection = connections.accept(&listener, |address| grpc_caller(Some(address))) => connection,
                () = send.closed() => return,
            };
            connection.hold(meter::Connected::new());
            if send.send(Ok(connection)).await.is_err() {
                return;
            }
        }
    });
    ReceiverStream::new(accepted)
}
