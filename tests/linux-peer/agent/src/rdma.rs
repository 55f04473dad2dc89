//! rxe devices, by NETLINK_RDMA.

use std::collections::BTreeMap;
use std::io;

use rustix::net::netlink;

use crate::netlink::{ACK, Body, DUMP, Netlink, attributes, text, u32_at, u64_at};

/// Client NLDEV (5), then its command.
const fn nldev(command: u16) -> u16 {
    (5 << 10) | command
}

const GET: u16 = nldev(1);
const NEW_LINK: u16 = nldev(3);
const DELETE_LINK: u16 = nldev(4);
const RESOURCES: u16 = nldev(9);
const DEVICE_INDEX: u16 = 1;
const DEVICE_NAME: u16 = 2;
const SUMMARY: u16 = 15;
const SUMMARY_ENTRY: u16 = 16;
const ENTRY_NAME: u16 = 17;
const ENTRY_COUNT: u16 = 18;
const NIC_NAME: u16 = 51;
const LINK_TYPE: u16 = 65;

fn open() -> io::Result<Netlink> {
    Netlink::open(Some(netlink::RDMA))
}

pub(crate) fn add_rxe(name: &str, nic: &str) -> io::Result<()> {
    let body = Body::default().string(DEVICE_NAME, name).string(NIC_NAME, nic).string(LINK_TYPE, "rxe");
    open()?.ask(NEW_LINK, ACK, &body).map(|_| ())
}

pub(crate) fn remove(name: &str) -> io::Result<()> {
    let devices = open()?.ask(GET, DUMP, &Body::default())?;
    let index = devices.iter().find_map(|device| {
        let find = |kind| attributes(&device.body).find(|(k, _)| *k == kind).map(|(_, payload)| payload);
        let named = find(DEVICE_NAME).is_some_and(|n| text(n) == name);
        named.then(|| find(DEVICE_INDEX).map(|i| u32_at(i, 0))).flatten()
    });
    let index =
        index.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no RDMA device {name}")))?;
    let body = Body::default().attribute(DEVICE_INDEX, &index.to_ne_bytes());
    open()?.ask(DELETE_LINK, ACK, &body).map(|_| ())
}

/// As `rdma resource show`: objects of each kind, the kernel's own included.
pub(crate) fn objects(name: &str) -> io::Result<BTreeMap<String, u64>> {
    let devices = open()?.ask(RESOURCES, DUMP, &Body::default())?;
    let find =
        |octets, wanted| attributes(octets).find(move |(kind, _)| *kind == wanted).map(|(_, found)| found);
    let device = devices
        .iter()
        .find(|device| find(&device.body, DEVICE_NAME).is_some_and(|found| text(found) == name))
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no RDMA device {name}")))?;
    let entries = attributes(find(&device.body, SUMMARY).unwrap_or_default());
    let entry = |(kind, entry)| {
        let named = (kind == SUMMARY_ENTRY).then(|| find(entry, ENTRY_NAME)).flatten()?;
        Some((text(named), u64_at(find(entry, ENTRY_COUNT)?, 0)))
    };
    Ok(entries.filter_map(entry).collect())
}
