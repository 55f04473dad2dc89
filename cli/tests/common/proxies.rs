//! Two proxies on one cable, and a TCP port at each end.

use std::io::{BufRead, BufReader};
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
        let client = Running::connecting(&["proxy", "--json", "--to-smc", &to_smc], &link, options[1]);
        for _ in 0..200 {
            // The gate is open before the stack stands.
            if TcpListener::bind(entrance).is_err() {
                return Self { server, client, entrance };
            }
            pause();
        }
        panic!("the proxy never listened");
    }

    /// Ends the client's, and with it the server's, as soon as the client's has
    /// told the end of so many connections: an interruption resets what has not
    /// ended yet, and a program that has closed is ahead of both proxies.
    pub(crate) fn end_after(mut self, connections: usize) -> (Ended, Ended) {
        let mut told = BufReader::new(self.client.child.stdout.take().expect("piped"));
        let mut ends = Vec::new();
        for _ in 0..connections {
            assert_ne!(told.read_until(b'\n', &mut ends).expect("readable"), 0, "the proxy has ended");
        }
        self.client.interrupt();
        let mut client = self.client.end();
        client.stdout = ends;
        (client, self.server.end())
    }
}

#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "another process is waited for")]
fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(50));
}
