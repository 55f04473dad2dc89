//! The harness itself at the other end of a guest's NIC: the way by which any
//! other program becomes the peer.

use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::scenario::Stage;
use crate::{Error, Result, frames};

const OUR_MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 0x99];

/// Asks for the guest's MAC by ARP, and believes only the right answer.
pub(super) fn answers_arp(stage: &Stage<'_>) -> Result<String> {
    let guest = stage.guest(0)?;
    let path = guest.nic(0);
    let mut nic = UnixStream::connect(&path).map_err(Error::io(path.display().to_string()))?;
    nic.set_read_timeout(Some(Duration::from_secs(5))).map_err(Error::io("the NIC's socket"))?;
    let ask = arp_request(Stage::free_address(), Stage::address(0));
    frames::write(&mut nic, &ask).map_err(Error::io("the NIC's socket"))?;
    let mut frame = Vec::new();
    // Others may come first: a guest speaks IPv6 of its own accord.
    while frames::read(&mut nic, &mut frame).map_err(Error::io("no ARP reply"))? {
        let is_reply = frame.get(12..14) == Some(&[0x08, 0x06]) && frame.get(20..22) == Some(&[0, 2]);
        if is_reply && frame.get(22..28) == Some(&guest.mac(0)) {
            return Ok("Ethernet".to_owned());
        }
    }
    Err(Error::Scenario("the NIC's socket was closed".to_owned()))
}

fn arp_request(from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(OUR_MAC);
    // ARP; Ethernet, IPv4, their lengths, request.
    frame.extend([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
    frame.extend(OUR_MAC);
    frame.extend(from.octets());
    frame.extend([0; 6]);
    frame.extend(to.octets());
    frame.resize(60, 0);
    frame
}
