//! Ethernet ports: whose a frame is, and how smoltcp sees it.

mod carrier;
mod segment;
mod tagged;

use alloc::vec::Vec;
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

use crate::config::PortConfig;
use crate::connection::Connection;
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
}

/// Lets smoltcp look at the frame that has just come, now without a tag, with
/// these sockets.
pub(crate) type ToTcp<'a> = &'a mut dyn FnMut(&mut Port, &[u8], &mut SocketSet<'static>);

/// The four numbers that name a TCP connection, from our side, and the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tuple {
    pub(crate) port: usize,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
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

    /// Lets a connection's TCP send what it has, up to `frames_max`.
    pub(crate) fn tcp_out<D: Device>(
        &mut self,
        now: Instant,
        device: &mut D,
        connection: &mut Connection,
        frames_max: usize,
    ) -> TcpOut {
        let with_option = connection.puts_option();
        let is_noted = connection.may_become_quiet() || connection.tcp.is_closing();
        let tcp = &mut connection.tcp;
        if let Some(quiet) = &mut tcp.quiet {
            let is_blocked = self.quiet_out(now, device, quiet, &connection.tuple, connection.peer_mac);
            return if is_blocked { TcpOut::Blocked } else { TcpOut::Done };
        }
        let seen = is_noted.then_some(&mut tcp.seen);
        let mut device = Tagged::new(device, self.vlan);
        let mut outlet = Outlet::new(&mut device, seen, self.mtu, with_option, frames_max);
        while !outlet.is_shut() {
            if self.iface.poll_egress(moment(now), &mut outlet, &mut tcp.set)
                == smoltcp::iface::PollResult::None
            {
                break;
            }
        }
        outlet.outcome()
    }

    /// Lets a connection without octets say what it has to; whether there was no
    /// room for it.
    fn quiet_out<D: Device>(
        &self,
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

    /// Gives the engine's next frame to the device.
    pub(crate) fn frame_out<D: Device, E: FrameEngine>(
        &self,
        now: Instant,
        device: &mut D,
        engine: &mut E,
    ) -> bool {
        let Some(rdma) = self.rdma else { return false };
        let Some(len) = engine.next_len(now, rdma) else { return false };
        let Some(tx) = device.transmit(moment(now)) else { return false };
        tx.consume(len, |out| engine.emit(now, rdma, out));
        true
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
        let due = due?;
        Some(Instant::from_micros(u64::try_from(due.total_micros()).unwrap_or(0)))
    }
}

/// The same moment in smoltcp's terms.
pub(crate) fn moment(now: Instant) -> smoltcp::time::Instant {
    smoltcp::time::Instant::from_micros(i64::try_from(now.micros()).unwrap_or(i64::MAX))
}
