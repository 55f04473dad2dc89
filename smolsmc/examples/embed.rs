//! An embedder's view: a device and a clock of its own, two hosts in one
//! program, no sockets and no threads of any operating system.
//!
//! `cargo run --example embed`

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use smolsmc::{
    Config, Duration, Eid, Instant, ListenOptions, Mac, PortConfig, RecvError, SocketOptions, SoftNic, Stack,
    Wakeup,
};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};

/// Your network driver. This one puts frames into the other host's queue.
struct Driver {
    inbox: Queue,
    peer: Queue,
}
type Queue = Rc<RefCell<VecDeque<Vec<u8>>>>;

/// A frame that has come.
struct Rx(Vec<u8>);
/// Room for a frame to go.
struct Tx(Queue);

impl RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

impl TxToken for Tx {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut frame = vec![0; len];
        let result = write(&mut frame);
        self.0.borrow_mut().push_back(frame);
        result
    }
}

impl Device for Driver {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Rx, Tx)> {
        let frame = self.inbox.borrow_mut().pop_front()?;
        Some((Rx(frame), Tx(self.peer.clone())))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Tx> {
        Some(Tx(self.peer.clone()))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

fn host(number: u8) -> Result<Stack<SoftNic>, Box<dyn std::error::Error>> {
    let mut config = Config::new([number; 32]); // outside of an example: 32 octets of real randomness
    config.eids.push(Eid::from_ascii("EXAMPLE")?);
    let mut port = PortConfig::new(Mac([2, 0, 0, 0, 0, number]), 1500);
    port.addresses.push((IpAddr::V4(Ipv4Addr::new(10, 9, 0, number)), 24));
    config.ports.push(port);
    Ok(smolsmc::soft(config, Instant::ZERO)?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (a, b) = (Queue::default(), Queue::default());
    let mut client_driver = [Driver { inbox: a.clone(), peer: b.clone() }];
    let mut server_driver = [Driver { inbox: b, peer: a }];
    let (mut client, mut server) = (host(1)?, host(2)?);

    let address = SocketAddr::from(([10, 9, 0, 2], 5000));
    let listener = server.listen(address, ListenOptions::USUAL)?;
    let socket = client.connect(address, SocketOptions::default())?;

    let mut now = Instant::ZERO; // your clock, in microseconds
    let (mut asked, mut answer) = (false, Vec::new());
    let mut served = None;
    while answer.len() < 5 {
        let busy =
            client.poll(now, &mut client_driver).progressed | server.poll(now, &mut server_driver).progressed;

        served = served.or_else(|| server.accept(listener));
        if let Some(socket) = served {
            let mut socket = server.socket(socket)?;
            let mut octets = [0; 64];
            match socket.recv(&mut octets) {
                Ok(len) => assert_eq!(socket.send(&octets[..len])?, len),
                Err(RecvError::WouldBlock) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut mine = client.socket(socket)?;
        if let (Some(transport), false) = (mine.transport(), asked) {
            println!("connected by {transport}");
            asked = mine.send(b"hello")? == 5;
        }
        let mut octets = [0; 64];
        if let Ok(len) = mine.recv(&mut octets) {
            answer.extend_from_slice(&octets[..len]);
        }

        // Sleep here until a frame comes or the earlier of both deadlines.
        if !busy {
            let next = [client.poll_at(), server.poll_at()].map(|wakeup| match wakeup {
                Wakeup::At(at) => at,
                _ => now + Duration::from_micros(1),
            });
            now = now.max(next[0].min(next[1]));
        }
    }
    println!("the answer is {:?}", String::from_utf8(answer)?);
    client.socket(socket)?.close();
    Ok(())
}
