//! One guest that stays, for somebody who wants to try something by hand.

use std::fs;
use std::os::unix::net::UnixListener;

use crate::kernel::Series;
use crate::lab::Lab;
use crate::plug::Plug;
use crate::protocol::{Behaviour, Family};
use crate::scenario::{Stage, UEID};
use crate::{Error, GuestConfig, Result, Wire};

/// Where the guest's echo listens.
const ECHO_PORT: u16 = 5000;

/// Boots one guest with an SMC echo, says how to reach it, and lets one peer
/// after the other be plugged into its NIC until the process is ended.
///
/// # Errors
///
/// If there is no kernel or no guest.
pub fn hold(fresh_kernel: bool, mut say: impl FnMut(&str)) -> Result<()> {
    let lab = Lab::prepare(Series::default(), fresh_kernel)?;
    let guests = lab.boot(&[GuestConfig::numbered(0, 1)])?;
    let Some(guest) = guests.first() else { return Err(Error::Scenario("no guest came up".to_owned())) };
    guest.set_up(|nic| Stage::nic_address(0, nic), UEID)?;
    guest.listen(Family::Smc, ECHO_PORT, Behaviour::Echo)?;
    let plug = Plug::new(&guest.nic(0))?;
    let path = lab.folder().join("guest.sock");
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(&path).map_err(Error::io(path.display().to_string()))?;
    say(&format!(
        "Linux {} at {}, enterprise id {UEID}, SMC echo on port {ECHO_PORT}; its cable is {}. Try:\n\n  \
         cargo run --release -- ping {}:{ECHO_PORT} --link unix:{} --ip {}/24 --eid {UEID}\n\nCtrl-C ends it.",
        lab.kernel().release,
        Stage::address(0),
        path.display(),
        Stage::address(0),
        path.display(),
        Stage::free_address(),
    ));
    let mut plugged_in: Option<Wire> = None;
    for peer in listener.incoming() {
        let peer = peer.map_err(Error::io("a peer"))?;
        // The old one first: its threads must not take frames any more.
        drop(plugged_in.take());
        plugged_in = Some(Wire::between(peer, plug.attach()?).map_err(Error::io("cannot make a wire"))?);
    }
    Ok(())
}
