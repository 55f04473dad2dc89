//! NICs by rtnetlink: up and down, MTU, addresses, routes, neighbours, netem.

use std::fs;
use std::io;
use std::net::Ipv4Addr;

use crate::netlink::{ACK, Body, CREATE, Netlink, REPLACE};
use crate::protocol::Netem;

const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const DELETE_ADDRESS: u16 = 21;
const NEW_ROUTE: u16 = 24;
const NEW_NEIGHBOUR: u16 = 28;
const NEW_QDISC: u16 = 36;
const DELETE_QDISC: u16 = 37;

const AF_INET: u8 = 2;
const IFF_UP: u32 = 1;
const IFLA_MTU: u16 = 4;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_DST: u16 = 1;
const RTA_GATEWAY: u16 = 5;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NUD_PERMANENT: u16 = 0x80;
const TC_ROOT: u32 = 0xffff_ffff;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;

fn index(nic: &str) -> io::Result<u32> {
    let text = fs::read_to_string(format!("/sys/class/net/{nic}/ifindex"))?;
    text.trim().parse().map_err(|_| io::ErrorKind::InvalidData.into())
}

fn route_netlink(kind: u16, flags: u16, body: &Body) -> io::Result<()> {
    Netlink::open(None)?.ask(kind, flags | ACK, body).map(|_| ())
}

/// `struct ifinfomsg`: which NIC, and which flags to change.
fn link_message(nic: &str, flags: u32, change: u32) -> io::Result<Body> {
    let mut fixed = [0; 16];
    fixed[4..8].copy_from_slice(&index(nic)?.to_ne_bytes());
    fixed[8..12].copy_from_slice(&flags.to_ne_bytes());
    fixed[12..].copy_from_slice(&change.to_ne_bytes());
    Ok(Body::new(&fixed))
}

pub(crate) fn set_up(nic: &str, up: bool) -> io::Result<()> {
    route_netlink(NEW_LINK, 0, &link_message(nic, u32::from(up), IFF_UP)?)
}

pub(crate) fn set_mtu(nic: &str, mtu: u32) -> io::Result<()> {
    route_netlink(NEW_LINK, 0, &link_message(nic, 0, 0)?.attribute(IFLA_MTU, &mtu.to_ne_bytes()))
}

fn address_message(nic: &str, address: Ipv4Addr, prefix: u8) -> io::Result<Body> {
    let mut fixed = [AF_INET, prefix, 0, 0, 0, 0, 0, 0];
    fixed[4..].copy_from_slice(&index(nic)?.to_ne_bytes());
    let octets = address.octets();
    Ok(Body::new(&fixed).attribute(IFA_LOCAL, &octets).attribute(IFA_ADDRESS, &octets))
}

pub(crate) fn add_address(nic: &str, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
    route_netlink(NEW_ADDRESS, CREATE | REPLACE, &address_message(nic, address, prefix)?)
}

pub(crate) fn remove_address(nic: &str, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
    route_netlink(DELETE_ADDRESS, 0, &address_message(nic, address, prefix)?)
}

pub(crate) fn add_route(to: Ipv4Addr, prefix: u8, via: Ipv4Addr) -> io::Result<()> {
    // family, prefix of destination and source, TOS, table main, protocol boot,
    // scope everywhere, type unicast, flags.
    let fixed = [AF_INET, prefix, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0];
    let body = Body::new(&fixed).attribute(RTA_DST, &to.octets()).attribute(RTA_GATEWAY, &via.octets());
    route_netlink(NEW_ROUTE, CREATE | REPLACE, &body)
}

pub(crate) fn add_neighbour(nic: &str, address: Ipv4Addr, mac: [u8; 6]) -> io::Result<()> {
    let mut fixed = [0; 12];
    fixed[0] = AF_INET;
    fixed[4..8].copy_from_slice(&index(nic)?.to_ne_bytes());
    fixed[8..10].copy_from_slice(&NUD_PERMANENT.to_ne_bytes());
    let body = Body::new(&fixed).attribute(NDA_DST, &address.octets()).attribute(NDA_LLADDR, &mac);
    route_netlink(NEW_NEIGHBOUR, CREATE | REPLACE, &body)
}

/// `struct tcmsg` for the root of a NIC.
fn qdisc_message(nic: &str) -> io::Result<Body> {
    let mut fixed = [0; 20];
    fixed[4..8].copy_from_slice(&index(nic)?.to_ne_bytes());
    // The handle stays 0: the kernel chooses, and a replacement is a new qdisc.
    fixed[12..16].copy_from_slice(&TC_ROOT.to_ne_bytes());
    Ok(Body::new(&fixed))
}

/// A probability as netem has it: a 32-bit fraction.
fn fraction(probability: f64) -> [u8; 4] {
    ((probability.clamp(0.0, 1.0) * f64::from(u32::MAX)) as u32).to_ne_bytes()
}

/// `struct tc_netem_qopt` and the attributes for what does not fit in it.
fn netem_options(netem: &Netem) -> Body {
    const LIMIT: u32 = 10_000;
    const REORDER: u16 = 3;
    const CORRUPT: u16 = 4;
    const LATENCY_NS: u16 = 10;
    const JITTER_NS: u16 = 11;
    let mut fixed = [0; 24];
    fixed[4..8].copy_from_slice(&LIMIT.to_ne_bytes());
    fixed[8..12].copy_from_slice(&fraction(netem.loss));
    // A gap of 1 with a probability: any packet may overtake.
    fixed[12..16].copy_from_slice(&u32::from(netem.reorder > 0.0).to_ne_bytes());
    fixed[16..20].copy_from_slice(&fraction(netem.duplicate));
    let uncorrelated = [0; 4];
    let pair = |probability| [fraction(probability), uncorrelated].concat();
    Body::new(&fixed)
        .attribute(REORDER, &pair(netem.reorder))
        .attribute(CORRUPT, &pair(netem.corrupt))
        .attribute(LATENCY_NS, &(i64::from(netem.delay) * 1000).to_ne_bytes())
        .attribute(JITTER_NS, &(i64::from(netem.jitter) * 1000).to_ne_bytes())
}

pub(crate) fn set_netem(nic: &str, netem: &Netem) -> io::Result<()> {
    let body = qdisc_message(nic)?.string(TCA_KIND, "netem").nest(TCA_OPTIONS, &netem_options(netem));
    route_netlink(NEW_QDISC, CREATE | REPLACE, &body)
}

pub(crate) fn clear_netem(nic: &str) -> io::Result<()> {
    const ENOENT: i32 = 2;
    match route_netlink(DELETE_QDISC, 0, &qdisc_message(nic)?) {
        // There was none of ours: the default qdisc cannot be deleted.
        Err(error) if matches!(error.raw_os_error(), Some(ENOENT | 22)) => Ok(()),
        other => other,
    }
}
