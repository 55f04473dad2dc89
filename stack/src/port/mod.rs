//! Ethernet ports: whose a frame is, and how smoltcp sees it.

mod carrier;
mod segment;
mod tagged;
mod turn;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use core::net::{IpAddr, SocketAddr};

use smolsmc_verbs::{FrameEngine, RdmaPort};
use smolsmc_wire::{Instant, Mac};
use smoltcp::iface::{Interface, SocketSet};
use smoltcp::phy::{Device, RxToken, TxToken};
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr};

pub(crate) use carrier::TcpOut;
use carrier::{BARE_MAX, Inlet, Outlet, bare_frame};
pub(crate) use segment::{Segment, is_stray_roce};
pub(crate) use tagged::Untagged;
use tagged::{Tagged, WithTag, untag};
use turn::Turn;

use crate::config::PortConfig;
use crate::connection::Connection;
use crate::handle::SocketHandle;
use crate::quiet::{Bare, Quiet};
use crate::tcp::Tcp;

/// One port: an interface of smoltcp, and the RDMA port on the same cable.
pub(crate) struct Port {
    pub(crate) iface: Interface,
    mac: Mac,
    pub(crate) mtu: u16,
    pub(crate) vlan: Option<u16>,
    pub(crate) rdma: Option<RdmaPort>,
    pub(crate) addresses: Vec<(IpAddr, u8)>,
    pub(crate) has_gateway: bool,
    /// Connections whose TCP found no room here, in turn.
    pub(crate) blocked: VecDeque<SocketHandle>,
    /// Connections of ours that have not said anything yet, in turn.
    pub(crate) beginning: VecDeque<SocketHandle>,
    /// Whether they go first.
    pub(crate) begin_turn: Turn,
    /// Whether frames of RoCE go before those of TCP.
    pub(crate) roce_turn: Turn,
    /// In this poll, frames of TCP have found room, and of RoCE.
    pub(crate) tcp_sent: bool,
    pub(crate) roce_sent: bool,
}

/// Lets smoltcp look at the frame that has just come, now without a tag, with
/// these sockets.
pub(crate) type ToTcp<'a> = &'a mut dyn FnMut(&mut Port, &[u8], &mut SocketSet<'static>);

/// The four numbers that name a TCP connection, from our side, and the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tuple {
    pub(crate) port: usize,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

impl Hash for Tuple {
    #[inline]
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let ports = u64::from(self.local.port()) << 16 | u64::from(self.remote.port());
        hasher.write_u64((self.port as u64) << 32 | ports);
        match (self.local.ip(), self.remote.ip()) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                hasher.write_u64(u64::from(local.to_bits()) << 32 | u64::from(remote.to_bits()));
            }
            (local, remote) => {
                for address in [local, remote] {
                    let bits = match address {
                        IpAddr::V4(address) => address.to_bits().into(),
                        IpAddr::V6(address) => address.to_bits(),
                    };
                    hasher.write_u64(bits as u64);
                    hasher.write_u64((bits >> 64) as u64);
                }
            }
        }
    }
}

impl Port {
    pub(crate) fn new(config: &PortConfig, seed: u64, now: Instant) -> Self {
        let Mac(mac) = config.mac;
        let address = HardwareAddress::Ethernet(EthernetAddress(mac));
        let mut iface_config = smoltcp::iface::Config::new(address);
        iface_config.random_seed = seed;
        let mut iface = Interface::new(iface_config, &mut Inlet::nothing(config.ethernet_mtu), moment(now));
        iface.update_ip_addrs(|addresses| {
            for &(address, prefix) in &config.addresses {
                // `Config::check` has counted them.
                let _ = addresses.push(IpCidr::new(address.into(), prefix));
            }
        });
        if let Some(gateway) = config.gateway {
            let _ = iface.routes_mut().add_default_ipv4_route(gateway);
        }
        Self {
            iface,
            mac: config.mac,
            mtu: config.ethernet_mtu,
            vlan: config.vlan,
            rdma: config.rdma,
            addresses: config.addresses.clone(),
            has_gateway: config.gateway.is_some(),
            blocked: VecDeque::new(),
            beginning: VecDeque::new(),
            begin_turn: Turn::default(),
            roce_turn: Turn::default(),
            tcp_sent: false,
            roce_sent: false,
        }
    }

    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|&(own, _)| own == address)
    }

    /// Our address on the subnet of `other`.
    pub(crate) fn neighbour_of(&self, other: IpAddr) -> Option<IpAddr> {
        let on_link =
            |&&(own, prefix): &&(IpAddr, u8)| IpCidr::new(own.into(), prefix).contains_addr(&other.into());
        self.addresses.iter().find(on_link).map(|&(own, _)| own)
    }

    /// The prefix length of one of our addresses.
    pub(crate) fn prefix_of(&self, address: IpAddr) -> Option<u8> {
        self.addresses.iter().find(|(own, _)| *own == address).map(|&(_, prefix)| prefix)
    }

    /// The address that packets to `other` come from, if any lead there.
    pub(crate) fn source_for(&self, other: IpAddr) -> Option<IpAddr> {
        let routed = || {
            let same_kind = |&&(own, _): &&(IpAddr, u8)| own.is_ipv4() == other.is_ipv4();
            let own = self.addresses.iter().find(same_kind).map(|&(own, _)| own);
            own.filter(|own| own.is_ipv4() && self.has_gateway)
        };
        self.neighbour_of(other).or_else(routed)
    }

    /// A frame without the tag of this port.
    #[inline]
    pub(crate) fn untagged<'f>(&self, frame: &'f [u8]) -> Untagged<'f> {
        untag(frame, self.vlan)
    }

    /// Takes the next frame of the device, if there is one. `whose` says what
    /// becomes of it, and may hand it to a set of TCP sockets.
    #[inline]
    pub(crate) fn frame_in<D: Device>(
        &mut self,
        now: Instant,
        device: &mut D,
        whose: impl FnOnce(&mut Self, &[u8], ToTcp<'_>),
    ) -> bool {
        let Some((rx, token)) = device.receive(moment(now)) else { return false };
        let (mtu, vlan) = (self.mtu, self.vlan);
        rx.consume(|frame| {
            let mut tx = Some(WithTag { token, vlan });
            whose(self, frame, &mut |port, frame, set| {
                let mut inlet = Inlet::new(frame, tx.take(), mtu);
                port.iface.poll_ingress_single(moment(now), &mut inlet, set);
            });
        });
        true
    }

    /// Lets a connection's TCP send what it has, up to `frames_max`; and when it wants
    /// to be polled again.
    pub(crate) fn tcp_out<D: Device>(
        &mut self,
        now: Instant,
        device: &mut D,
        connection: &mut Connection,
        frames_max: usize,
    ) -> (TcpOut, Option<Instant>) {
        let with_option = connection.puts_option();
        let is_noted = connection.may_become_quiet() || connection.tcp.is_closing();
        let tcp = &mut connection.tcp;
        if let Some(quiet) = &mut tcp.quiet {
            let is_blocked = self.quiet_out(now, device, quiet, &connection.tuple, connection.peer_mac);
            return (if is_blocked { TcpOut::Blocked } else { TcpOut::Done }, quiet.due());
        }
        let seen = is_noted.then_some(&mut tcp.seen);
        let mut device = Tagged::new(device, self.vlan);
        let mut outlet = Outlet::new(&mut device, seen, self.mtu, with_option, frames_max);
        let mut due = None;
        while !outlet.is_shut() {
            let sent = self.iface.poll_egress(moment(now), &mut outlet, &mut tcp.set);
            if sent == smoltcp::iface::PollResult::None {
                due = None;
                break;
            }
            // To ask when there is more costs less than to find nothing to send.
            due = self.iface.poll_at(moment(now), &tcp.set);
            if due.is_none_or(|due| due > moment(now)) {
                break;
            }
        }
        self.tcp_sent |= outlet.has_sent();
        (outlet.outcome(), due.map(instant).or_else(|| self.tcp_due(now, tcp)))
    }

    /// Lets a connection without octets say what it has to; whether there was no
    /// room for it.
    fn quiet_out<D: Device>(
        &mut self,
        now: Instant,
        device: &mut D,
        quiet: &mut Quiet,
        tuple: &Tuple,
        peer: Mac,
    ) -> bool {
        quiet.run_timer(now);
        let mut device = Tagged::new(device, self.vlan);
        while !quiet.is_silent() {
            let Some(token) = device.transmit(moment(now)) else { return true };
            let Some(bare) = quiet.next_segment(now) else { break };
            self.tcp_sent = true;
            let mut frame = [0; BARE_MAX];
            let len = bare_frame(&mut frame, (self.mac, peer), tuple, bare);
            token.consume(len, |out| {
                if let Some(frame) = frame.get(..len) {
                    out.copy_from_slice(frame);
                }
            });
        }
        false
    }

    /// Sends one segment without octets, if there is room.
    pub(crate) fn bare_out<D: Device>(
        &self,
        now: Instant,
        device: &mut D,
        (tuple, to): (&Tuple, Mac),
        bare: Bare,
    ) {
        let mut device = Tagged::new(device, self.vlan);
        let Some(token) = device.transmit(moment(now)) else { return };
        let mut frame = [0; BARE_MAX];
        let len = bare_frame(&mut frame, (self.mac, to), tuple, bare);
        token.consume(len, |out| {
            if let Some(frame) = frame.get(..len) {
                out.copy_from_slice(frame);
            }
        });
    }

    /// Gives the engine's frames to the device, `most` of them; how many, and whether
    /// there was no room for the next one.
    pub(crate) fn frames_out<D: Device, E: FrameEngine>(
        &mut self,
        now: Instant,
        device: &mut D,
        engine: &mut E,
        most: usize,
    ) -> (usize, bool) {
        let Some(rdma) = self.rdma else { return (0, false) };
        for given in 0..most {
            let Some(len) = engine.next_len(now, rdma) else { return (given, false) };
            let Some(tx) = device.transmit(moment(now)) else { return (given, true) };
            tx.consume(len, |out| engine.emit(now, rdma, out));
            self.roce_sent = true;
        }
        (most, false)
    }

    /// When a connection's TCP wants to be polled.
    pub(crate) fn tcp_due(&mut self, now: Instant, tcp: &mut Tcp) -> Option<Instant> {
        if let Some(quiet) = &tcp.quiet {
            return quiet.due();
        }
        let mut due = self.iface.poll_at(moment(now), &tcp.set);
        if due.is_none() && tcp.waits_for_fin() {
            tcp.remind_of_fin();
            due = self.iface.poll_at(moment(now), &tcp.set);
        }
        due.map(instant)
    }
}

fn instant(moment: smoltcp::time::Instant) -> Instant {
    Instant::from_micros(u64::try_from(moment.total_micros()).unwrap_or(0))
}

/// The same moment in smoltcp's terms.
pub(crate) fn moment(now: Instant) -> smoltcp::time::Instant {
    smoltcp::time::Instant::from_micros(i64::try_from(now.micros()).unwrap_or(i64::MAX))
}
