//! `smc_diag`: what the kernel says about each AF_SMC socket.

use std::io;
use std::net::Ipv4Addr;

use rustix::net::netlink;

use crate::netlink::{Body, DUMP, Netlink, attributes, text, u16_at, u32_at, u64_at};
use crate::protocol::{ConnectionInfo, Cursor, LinkInfo, SmcSocket};

const BY_FAMILY: u16 = 20;
const REQUEST_LEN: usize = 52;
const AF_SMC: u8 = 43;
const WANT_CONNECTION: u8 = 0x01;
const WANT_LINK: u8 = 0x02;

/// The fixed part of an answer; attributes follow.
const ANSWER_LEN: usize = 64;
const CONNECTION: u16 = 1;
const LINK: u16 = 2;
const FALLBACK: u16 = 5;

/// All AF_SMC sockets.
pub(crate) fn sockets() -> io::Result<Vec<SmcSocket>> {
    let mut request = [0; REQUEST_LEN];
    request[0] = AF_SMC;
    request[3] = WANT_CONNECTION | WANT_LINK;
    let mut netlink = Netlink::open(Some(netlink::SOCK_DIAG))?;
    let answers = netlink.ask(BY_FAMILY, DUMP, &Body::new(&request))?;
    Ok(answers.iter().filter(|a| a.kind == BY_FAMILY).filter_map(|a| socket(&a.body)).collect())
}

fn socket(octets: &[u8]) -> Option<SmcSocket> {
    let (fixed, rest) = octets.split_at_checked(ANSWER_LEN)?;
    let mode = match fixed[2] {
        0 => "SMCR",
        1 => "TCP",
        2 => "SMCD",
        _ => "unknown",
    };
    let mut socket = SmcSocket {
        inode: u64_at(fixed, 56),
        state: state(fixed[1]),
        mode: mode.to_owned(),
        local: endpoint(fixed, 4, 8),
        remote: endpoint(fixed, 6, 24),
        fallback: None,
        connection: None,
        link: None,
    };
    for (kind, payload) in attributes(rest) {
        match kind {
            CONNECTION => socket.connection = Some(connection(payload)),
            LINK => socket.link = Some(link(payload)),
            FALLBACK => {
                let (reason, diagnosis) = (u32_at(payload, 0), u32_at(payload, 4));
                socket.fallback = (reason != 0).then_some((reason, diagnosis));
            }
            _ => {}
        }
    }
    Some(socket)
}

/// Ports and addresses are in network order; IPv4 is in the first four octets.
fn endpoint(fixed: &[u8], port: usize, address: usize) -> String {
    let port = u16_at(fixed, port).to_be();
    let address = Ipv4Addr::from(u32_at(fixed, address).to_be());
    format!("{address}:{port}")
}

fn state(number: u8) -> String {
    let name = match number {
        1 => "ACTIVE",
        2 => "INIT",
        7 => "CLOSED",
        10 => "LISTEN",
        20 => "PEERCLOSEWAIT1",
        21 => "PEERCLOSEWAIT2",
        22 => "APPCLOSEWAIT1",
        23 => "APPCLOSEWAIT2",
        24 => "APPFINCLOSEWAIT",
        25 => "PEERFINCLOSEWAIT",
        26 => "PEERABORTWAIT",
        27 => "PROCESSABORT",
        other => return other.to_string(),
    };
    name.to_owned()
}

fn cursor(octets: &[u8], at: usize) -> Cursor {
    Cursor { wrap: u16_at(octets, at + 2), count: u32_at(octets, at + 4) }
}

fn connection(octets: &[u8]) -> ConnectionInfo {
    let flag = |at: usize| octets.get(at).copied().unwrap_or(0);
    ConnectionInfo {
        token: u32_at(octets, 0),
        sndbuf: u32_at(octets, 4),
        rmbe: u32_at(octets, 8),
        peer_rmbe: u32_at(octets, 12),
        rx_prod: cursor(octets, 16),
        rx_cons: cursor(octets, 24),
        tx_prod: cursor(octets, 32),
        tx_cons: cursor(octets, 40),
        rx_prod_flags: flag(48),
        rx_state_flags: flag(49),
        tx_prod_flags: flag(50),
        tx_state_flags: flag(51),
        tx_prep: cursor(octets, 52),
        tx_sent: cursor(octets, 60),
        tx_fin: cursor(octets, 68),
    }
}

fn link(octets: &[u8]) -> LinkInfo {
    let part = |from: usize, to: usize| octets.get(from..to).unwrap_or_default();
    LinkInfo {
        link: octets.first().copied().unwrap_or(0),
        device: text(part(1, 65)),
        port: octets.get(65).copied().unwrap_or(0),
        gid: text(part(66, 106)),
        peer_gid: text(part(106, 146)),
        server: octets.get(146) == Some(&1),
    }
}
