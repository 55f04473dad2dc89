//! Two proxies on one cable, and a TCP port at each end.

use std::net::{SocketAddr, TcpListener};

use crate::common::{Ended, Running, socket_path};

pub(crate) struct Proxies {
    server: Running,
    client: Running,
    /// Where programs connect to.
    pub(crate) entrance: SocketAddr,
}

/// A TCP port of this host that is free now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr()).expect("a port").port()
}

impl Proxies {
    /// From the entrance over SMC to `target`.
    pub(crate) fn start(name: &str, target: SocketAddr, options: [&[&str]; 2]) -> Self {
        let link = socket_path(name);
        let to_tcp = format!("7000={target}");
        let server = Running::listening(&["proxy", "--to-tcp", &to_tcp], &link, options[0]);
        let entrance = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let to_smc = format!("{}=10.9.0.1:7000", entrance.port());
        let client = Running::connecting(&["proxy", "--to-smc", &to_smc], &link, options[1]);
        for _ in 0..200 {
            // The gate is open before the stack stands.
            if TcpListener::bind(entrance).is_err() {
                return Self { server, client, entrance };
            }
            pause();
        }
        panic!("the proxy never listened");
    }

    /// Ends the client's, and with it the server's.
    pub(crate) fn end(self) -> (Ended, Ended) {
        self.client.interrupt();
        let client = self.client.end();
        (client, self.server.end())
    }
}

#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "another process is waited for")]
fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(50));
}
