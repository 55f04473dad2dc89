//! smoltcp's TCP alone, over the same cable.

use smolsmc_ethernet::{Wire, pair};
use smoltcp::iface::{Config, Interface, PollIngressSingleResult, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};

use crate::hosts::MTU;

struct Side {
    iface: Interface,
    wire: Wire,
    set: SocketSet<'static>,
    socket: SocketHandle,
}

pub(crate) struct Plain {
    sides: [Side; 2],
    now: Instant,
}

fn side(number: u8, mut wire: Wire) -> Side {
    let address = EthernetAddress([2, 0, 0, 0, 0, number]);
    let mut iface = Interface::new(Config::new(HardwareAddress::Ethernet(address)), &mut wire, Instant::ZERO);
    iface.update_ip_addrs(|addresses| {
        addresses.push(IpCidr::new(IpAddress::v4(10, 9, 0, number), 24)).expect("room");
    });
    let mut socket =
        Socket::new(SocketBuffer::new(vec![0; 64 * 1024]), SocketBuffer::new(vec![0; 64 * 1024]));
    socket.set_nagle_enabled(false);
    socket.set_ack_delay(None);
    let mut set = SocketSet::new(Vec::new());
    let socket = set.add(socket);
    Side { iface, wire, set, socket }
}

impl Side {
    fn poll(&mut self, now: Instant) {
        while self.iface.poll_ingress_single(now, &mut self.wire, &mut self.set)
            != PollIngressSingleResult::None
        {}
        while self.iface.poll_egress(now, &mut self.wire, &mut self.set) != smoltcp::iface::PollResult::None {
        }
    }

    fn socket(&mut self) -> &mut Socket<'static> {
        self.set.get_mut(self.socket)
    }
}

impl Plain {
    pub(crate) fn new() -> Self {
        let (a, b) = pair(MTU);
        let mut plain = Self { sides: [side(1, a), side(2, b)], now: Instant::ZERO };
        plain.sides[1].socket().listen(5000).expect("a port");
        let [client, _] = &mut plain.sides;
        let socket = client.set.get_mut::<Socket<'_>>(client.socket);
        socket
            .connect(client.iface.context(), (IpAddress::v4(10, 9, 0, 2), 5000), 50_000)
            .expect("a connection");
        for _ in 0..1000 {
            plain.turn();
            plain.now += smoltcp::time::Duration::from_millis(1);
            if plain.sides.iter_mut().all(|side| side.socket().may_send()) {
                return plain;
            }
        }
        panic!("no connection");
    }

    fn turn(&mut self) {
        for side in &mut self.sides {
            side.poll(self.now);
        }
    }

    pub(crate) fn round_trip(&mut self, octets: &[u8], buffer: &mut [u8]) {
        for from in [0, 1] {
            let (mut sent, mut received) = (0, 0);
            while received < octets.len() {
                sent += self.sides[from].socket().send_slice(&octets[sent..]).expect("open");
                self.turn();
                received += self.sides[1 - from].socket().recv_slice(&mut buffer[received..]).expect("open");
            }
        }
    }

    pub(crate) fn stream(&mut self, total: u64, buffer: &mut [u8]) {
        let (mut sent, mut received) = (0, 0);
        while received < total {
            let len = (total - sent).min(buffer.len() as u64) as usize;
            sent += self.sides[0].socket().send_slice(&buffer[..len]).expect("open") as u64;
            self.turn();
            received += self.sides[1].socket().recv_slice(buffer).expect("open") as u64;
        }
    }
}
