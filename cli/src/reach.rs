//! Reaching a peer, and being reached: what commands have in common.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use smolsmc::{Duration, ListenOptions, ListenerHandle, SocketHandle, SocketOptions, Transport};

use crate::node::{Node, sentence};

/// Connects; returns when it is known what carries the octets. An error is the
/// reason alone.
pub(crate) fn connect(
    node: &mut Node,
    remote: SocketAddr,
    options: SocketOptions,
    timeout: u32,
) -> Result<(SocketHandle, Transport), String> {
    let socket = node.stack.connect(remote, options).map_err(|error| error.to_string())?;
    let mut settled = None;
    node.until(Duration::from_secs(timeout.into()), |node| {
        settled = match node.stack.socket(socket) {
            Err(error) => Some(Err(error.to_string())),
            Ok(socket) => match (socket.error(), socket.transport()) {
                (Some(error), _) => Some(Err(sentence(error))),
                (None, transport) => transport.map(Ok),
            },
        };
        settled.is_some()
    })?;
    let why = match settled {
        Some(Ok(transport)) => return Ok((socket, transport)),
        Some(Err(why)) => why,
        None => unfinished(node, timeout),
    };
    if let Ok(socket) = node.stack.socket(socket) {
        socket.abort();
    }
    Err(why)
}

/// Why something did not end in time.
pub(crate) fn unfinished(node: &Node, timeout: u32) -> String {
    match (node.ports_ended(), node.down_reason()) {
        (Some(sentence), _) => sentence,
        (None, _) if node.is_stopped() => "interrupted".to_owned(),
        (None, Some(reason)) => format!("nothing in {timeout} s, and {reason}"),
        (None, None) => format!("nothing in {timeout} s"),
    }
}

/// Listens on a port, at one address or at all of them.
pub(crate) fn listen(
    node: &mut Node,
    address: Option<IpAddr>,
    port: u16,
    options: ListenOptions,
) -> Result<Vec<ListenerHandle>, String> {
    let any: [IpAddr; 2] = [[0, 0, 0, 0].into(), Ipv6Addr::UNSPECIFIED.into()];
    let one = address.map(|address| [address]);
    let addresses = one.as_ref().map_or(&any[..], |one| &one[..]);
    let listeners = addresses.iter().map(|ip| node.stack.listen(SocketAddr::new(*ip, port), options));
    listeners.collect::<Result<_, _>>().map_err(|error| format!("port {port}: {error}"))
}
