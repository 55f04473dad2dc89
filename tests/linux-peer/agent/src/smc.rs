//! SMC's generic netlink family: UEIDs, link groups, links, statistics.
//! Numbers as in Linux 6.12.

use std::io;

use rustix::net::netlink;

use crate::netlink::{ACK, Body, DUMP, Netlink, attributes, text, u16_at, u32_at, u64_at};
use crate::protocol::{Fallback, Link, LinkGroup, Statistics};

const CONTROLLER: u16 = 16;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;

const GET_LINK_GROUPS: u8 = 2;
const GET_LINKS: u8 = 3;
const GET_STATISTICS: u8 = 7;
const GET_FALLBACKS: u8 = 8;
const DUMP_UEIDS: u8 = 9;
const ADD_UEID: u8 = 10;
const FLUSH_UEIDS: u8 = 12;

const UEID_LEN: usize = 32;
const EID_ENTRY: u16 = 1;

/// `struct genlmsghdr`: command and version.
fn command(command: u8) -> Body {
    Body::new(&[command, 1, 0, 0])
}

/// Asks the family; the answers' attributes, after their generic header.
fn ask(flags: u16, body: &Body) -> io::Result<Vec<Vec<u8>>> {
    let mut netlink = Netlink::open(Some(netlink::GENERIC))?;
    let lookup = command(GET_FAMILY).string(FAMILY_NAME, "SMC_GEN_NETLINK");
    let family = netlink.ask(CONTROLLER, 0, &lookup)?;
    let id = family.iter().find_map(|message| attribute(message.body.get(4..)?, FAMILY_ID));
    let id = id.map(|id| u16_at(id, 0)).ok_or(io::ErrorKind::NotFound)?;
    let answers = netlink.ask(id, flags, body)?;
    Ok(answers.into_iter().map(|message| message.body.get(4..).unwrap_or_default().to_vec()).collect())
}

fn attribute(octets: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(octets).find(|(k, _)| *k == kind).map(|(_, payload)| payload)
}

fn number(octets: &[u8], kind: u16) -> u32 {
    attribute(octets, kind).map_or(0, |payload| match payload.len() {
        1 => u32::from(payload[0]),
        2 => u32::from(u16_at(payload, 0)),
        _ => u32_at(payload, 0),
    })
}

fn octet(octets: &[u8], kind: u16) -> u8 {
    number(octets, kind) as u8
}

fn long(octets: &[u8], kind: u16) -> u64 {
    attribute(octets, kind).map_or(0, |payload| u64_at(payload, 0))
}

fn string(octets: &[u8], kind: u16) -> String {
    attribute(octets, kind).map(text).unwrap_or_default()
}

pub(crate) fn add_ueid(ueid: &str) -> io::Result<()> {
    if ueid.len() > UEID_LEN {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // Blank-padded, and the NUL is wanted too.
    let mut entry = [b' '; UEID_LEN + 1];
    entry[..ueid.len()].copy_from_slice(ueid.as_bytes());
    entry[UEID_LEN] = 0;
    ask(ACK, &command(ADD_UEID).attribute(EID_ENTRY, &entry)).map(|_| ())
}

pub(crate) fn flush_ueids() -> io::Result<()> {
    ask(ACK, &command(FLUSH_UEIDS)).map(|_| ())
}

pub(crate) fn ueids() -> io::Result<Vec<String>> {
    let answers = ask(DUMP, &command(DUMP_UEIDS))?;
    Ok(answers.iter().filter_map(|a| attribute(a, EID_ENTRY)).map(text).collect())
}

pub(crate) fn link_groups() -> io::Result<Vec<LinkGroup>> {
    const GROUP: u16 = 2;
    let answers = ask(DUMP, &command(GET_LINK_GROUPS))?;
    Ok(answers.iter().filter_map(|a| attribute(a, GROUP)).map(link_group).collect())
}

fn link_group(octets: &[u8]) -> LinkGroup {
    const V2_COMMON: u16 = 7;
    const V2: u16 = 8;
    let kinds = ["none", "single", "symmetric", "asymmetric-peer", "asymmetric-local"];
    let common = attribute(octets, V2_COMMON);
    LinkGroup {
        id: number(octets, 1),
        server: octet(octets, 2) == 1,
        kind: kinds.get(number(octets, 3) as usize).map_or_else(|| "unknown".to_owned(), |k| (*k).to_owned()),
        connections: number(octets, 6),
        eid: common.map(|c| string(c, 3)),
        version: common.map(|c| (octet(c, 0), octet(c, 1))),
        limits: attribute(octets, V2).map(|v2| (octet(v2, 2), octet(v2, 3))),
    }
}

pub(crate) fn links() -> io::Result<Vec<Link>> {
    const LINK: u16 = 3;
    let answers = ask(DUMP, &command(GET_LINKS))?;
    Ok(answers.iter().filter_map(|a| attribute(a, LINK)).map(link).collect())
}

fn link(octets: &[u8]) -> Link {
    Link {
        id: octet(octets, 1),
        device: string(octets, 2),
        gid: string(octets, 4),
        peer_gid: string(octets, 5),
        connections: number(octets, 6),
        state: number(octets, 10),
    }
}

pub(crate) fn statistics() -> io::Result<Statistics> {
    const STATISTICS: u16 = 7;
    const SMCR: u16 = 2;
    let answers = ask(DUMP, &command(GET_STATISTICS))?;
    let all = answers.iter().find_map(|a| attribute(a, STATISTICS)).ok_or(io::ErrorKind::NotFound)?;
    let smcr = attribute(all, SMCR).ok_or(io::ErrorKind::NotFound)?;
    Ok(Statistics {
        client_v1: long(smcr, 7),
        client_v2: long(smcr, 8),
        server_v1: long(smcr, 9),
        server_v2: long(smcr, 10),
        cork: long(smcr, 13),
        nodelay: long(smcr, 14),
        urgent: long(smcr, 15),
        rx_octets: long(smcr, 16),
        tx_octets: long(smcr, 17),
        rx_count: long(smcr, 18),
        tx_count: long(smcr, 19),
        client_handshake_errors: long(all, 3),
        server_handshake_errors: long(all, 4),
    })
}

pub(crate) fn fallbacks() -> io::Result<Vec<Fallback>> {
    const FALLBACK: u16 = 8;
    let answers = ask(DUMP, &command(GET_FALLBACKS))?;
    let one = |octets: &[u8]| Fallback {
        server: octet(octets, 1) == 1,
        reason: number(octets, 4),
        count: number(octets, 5) as u16,
    };
    Ok(answers.iter().filter_map(|a| attribute(a, FALLBACK)).map(one).collect())
}
