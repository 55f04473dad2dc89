//! Every reason to decline, once: a message is changed on its way so that its
//! receiver must say no, and both sides go on with TCP. More of them, by peers
//! that no stack of ours would be, are in `by_hand`.
//!
//! Of the codes in `clc::Diagnosis`, these are never said: those of SMC-D, IPsec,
//! VLANs and the subnets of version 1, which are not there; `NO_V2_EXTENSION`,
//! without which a Proposal is no message; `NO_SERVER_LINK`, for which
//! `OUT_OF_SYNC` stands; `VERSION_MISMATCH`, for which `MODE_MISMATCH` does;
//! `TIMEOUT_ADD_LINK`, after which a connection goes on with one link;
//! `SOCKET_OPTION`, `INTERNAL`.

use smolsmc::{Config, Diagnosis, Fallback, Transport};
use smolsmc_tests::sim::Meddler;
use smolsmc_verbs::{DeviceId, PortNumber, RdmaPort};
use smolsmc_wire::Duration;

use super::meddling::{ACCEPT, CONFIRM, PROPOSAL, clc, llc};
use super::pair::{CLIENT, Pair, SERVER};

const RDMA_PORT: RdmaPort = RdmaPort { device: DeviceId(0), port: PortNumber(1) };

/// Connects with `meddler` on the wire: whoever says no does so with `why`, and
/// octets go over TCP.
fn declined(who: usize, why: Diagnosis, meddler: Meddler) {
    declined_by(who, why, |_, _| {}, Some(meddler));
}

fn declined_by(who: usize, why: Diagnosis, change: impl Fn(usize, &mut Config), meddler: Option<Meddler>) {
    let mut pair = Pair::of(71, change);
    pair.lan.meddler = meddler;
    let sockets = pair.connect();
    expect(&mut pair, sockets, who, why);
}

fn expect(
    pair: &mut Pair,
    (client, server): (smolsmc::SocketHandle, smolsmc::SocketHandle),
    who: usize,
    why: Diagnosis,
) {
    let said = Transport::Tcp(Fallback { local: Some(why), peer: None });
    let heard = Transport::Tcp(Fallback { local: Some(Diagnosis::PEER_DECLINED), peer: Some(why) });
    let [at_client, at_server] = if who == CLIENT { [said, heard] } else { [heard, said] };
    assert_eq!(pair.transport(CLIENT, client), at_client, "{why}");
    assert_eq!(pair.transport(SERVER, server), at_server, "{why}");
    pair.transfer((CLIENT, client), (SERVER, server), 20_000);
    pair.transfer((SERVER, server), (CLIENT, client), 20_000);
}

/// Where the v2 extension of a Proposal is, and the first contact extension.
const V2: usize = 80;
const FCE: usize = 104;

#[test]
fn no_enterprise_id_in_common() {
    declined(SERVER, Diagnosis::NO_SMC_DEVICE, clc(PROPOSAL, |m| m[V2 + 40..V2 + 72].fill(b'Z')));
}

#[test]
fn max_conns_below_sixteen() {
    declined(SERVER, Diagnosis::MAX_CONNS, clc(PROPOSAL, |m| m[V2 + 24] = 15));
    declined(CLIENT, Diagnosis::MAX_CONNS, clc(ACCEPT, |m| m[FCE + 36] = 15));
    declined(SERVER, Diagnosis::MAX_CONNS, clc(CONFIRM, |m| m[FCE + 36] -= 1));
}

#[test]
fn max_links_that_cannot_be() {
    declined(SERVER, Diagnosis::MAX_LINKS, clc(PROPOSAL, |m| m[V2 + 25] = 0));
    declined(CLIENT, Diagnosis::MAX_LINKS, clc(ACCEPT, |m| m[FCE + 37] = 2));
    declined(SERVER, Diagnosis::MAX_LINKS, clc(CONFIRM, |m| m[FCE + 37] = 2));
}

#[test]
fn releases_that_differ() {
    declined(CLIENT, Diagnosis::RELEASE, clc(ACCEPT, |m| m[FCE + 1] = m[FCE + 1] & 0xf0 | 2));
    declined(SERVER, Diagnosis::RELEASE, clc(CONFIRM, |m| m[FCE + 1] &= 0xf0));
}

#[test]
fn an_enterprise_id_that_was_not_offered() {
    declined(CLIENT, Diagnosis::MODE_MISMATCH, clc(ACCEPT, |m| m[64..96].fill(b'Z')));
}

#[test]
fn a_gid_that_is_no_ipv4_address() {
    declined(SERVER, Diagnosis::NO_SMCR_DEVICE, clc(PROPOSAL, |m| m[V2 + 8..V2 + 24].fill(0xfd)));
    declined(CLIENT, Diagnosis::NO_ROUTE, clc(ACCEPT, |m| m[16..32].fill(0xfd)));
}

#[test]
fn a_gid_that_no_route_leads_to() {
    declined(SERVER, Diagnosis::NO_ROUTE, clc(PROPOSAL, |m| m[V2 + 21] = 77));
    declined(CLIENT, Diagnosis::NO_ROUTE, clc(ACCEPT, |m| m[29] = 77));
}

#[test]
fn a_server_that_sees_a_gateway_where_there_is_none() {
    declined(CLIENT, Diagnosis::INDIRECT_MISMATCH, clc(ACCEPT, |m| m[FCE] &= 0x7f));
}

#[test]
fn a_path_mtu_that_is_none() {
    declined(CLIENT, Diagnosis::CONFIGURATION, clc(ACCEPT, |m| m[50] &= 0xf0));
    declined(SERVER, Diagnosis::CONFIGURATION, clc(CONFIRM, |m| m[50] |= 0x0f));
}

#[test]
fn an_rmbe_that_does_not_exist() {
    declined(CLIENT, Diagnosis::RTOKEN, clc(ACCEPT, |m| m[45] = 0));
    declined(SERVER, Diagnosis::RTOKEN, clc(CONFIRM, |m| m[52..60].fill(0xff)));
}

#[test]
fn a_peer_with_eyecatchers_in_its_rings() {
    declined(CLIENT, Diagnosis::RMBE_EYECATCHER, llc(0x21, false, |m| m[3] &= !3));
}

#[test]
fn a_link_that_is_never_confirmed() {
    // The request becomes something nobody knows.
    let lost = || llc(0x21, false, |m| m[0] = 0x2f);
    declined(SERVER, Diagnosis::TIMEOUT_CONFIRM_LINK, lost());
}

/// A Linux server says so 5.1 s after the Confirm, and does not read by then: the
/// client, who waits 4 s for CONFIRM LINK, must leave the word to it. (Our server
/// would notice by 5.1 s that the client's queue pair is gone.)
#[test]
fn a_server_that_declines_late_is_waited_for() {
    let lost = llc(0x21, false, |m| m[0] = 0x2f);
    let late = |host, config: &mut Config| {
        if host == SERVER {
            config.timers.link.confirm_link_response = Duration::from_millis(4500);
        }
    };
    declined_by(SERVER, Diagnosis::TIMEOUT_CONFIRM_LINK, late, Some(lost));
}

/// A server that says nothing is not waited for without end.
#[test]
fn a_server_that_never_declines_is_declined() {
    let lost = llc(0x21, false, |m| m[0] = 0x2f);
    let never = |host, config: &mut Config| match host {
        CLIENT => config.timers.clc = Duration::from_millis(200),
        _ => config.timers.link.confirm_link_response = Duration::from_secs(60),
    };
    declined_by(CLIENT, Diagnosis::TIMEOUT_CONFIRM_LINK, never, Some(lost));
}

#[test]
fn an_rmb_the_peer_will_not_have() {
    let mut pair = Pair::new(72);
    pair.connect();
    // From now on CONFIRM RKEY is refused. The server asks first.
    pair.lan.meddler = Some(llc(0x26, true, |m| m[3] |= 0x20));
    let sockets = pair.connect();
    expect(&mut pair, sockets, SERVER, Diagnosis::REGISTER_MR);
}

#[test]
fn an_rmb_the_peer_never_answers_for() {
    let mut pair = Pair::new(72);
    pair.connect();
    pair.lan.meddler = Some(llc(0x26, true, |m| m[0] = 0x2f));
    let sockets = pair.connect();
    expect(&mut pair, sockets, SERVER, Diagnosis::REGISTER_MR);
}

/// A pair whose server has said Accept, and has a group.
fn accepting(seed: u64) -> (Pair, smolsmc::SocketHandle) {
    let mut pair = Pair::new(seed);
    let client = pair.begin(smolsmc::SocketOptions::default());
    pair.lan.until(Duration::from_secs(1), "the group", |lan| !lan.stack(SERVER).groups().is_empty());
    (pair, client)
}

fn accepted(pair: &mut Pair) -> smolsmc::SocketHandle {
    let (mut server, listener) = (None, pair.listener);
    pair.lan.until(Duration::from_secs(1), "the server's end", |lan| {
        server = lan.stack(SERVER).accept(listener);
        server.is_some()
    });
    // Until the client has heard it.
    pair.lan.run_for(Duration::from_millis(100));
    server.unwrap()
}

#[test]
fn a_queue_pair_that_cannot_be_made_ready() {
    let (mut pair, client) = accepting(74);
    // The path that was promised with the Accept does not fit any more.
    pair.lan.stack(SERVER).provider_mut().set_ethernet_mtu(RDMA_PORT, 600).unwrap();
    let server = accepted(&mut pair);
    expect(&mut pair, (client, server), SERVER, Diagnosis::READY_LINK);
}

#[test]
fn a_link_that_fails_before_the_confirm() {
    let (mut pair, client) = accepting(75);
    let qp = pair.lan.stack(SERVER).groups()[0].links[0].qp;
    pair.lan.stack(SERVER).provider_mut().fail_qp(qp).unwrap();
    let server = accepted(&mut pair);
    expect(&mut pair, (client, server), SERVER, Diagnosis::NO_ACTIVE_LINK);
}

#[test]
fn a_server_whose_rdma_port_is_down() {
    let mut pair = Pair::new(73);
    let down = smolsmc_verbs::PortState::Down;
    pair.lan.stack(SERVER).provider_mut().set_port_state(RDMA_PORT, down).unwrap();
    let sockets = pair.connect();
    expect(&mut pair, sockets, SERVER, Diagnosis::NO_SMCR_DEVICE);
}

#[test]
fn no_room_for_a_link_group() {
    let change = |host: usize, config: &mut Config| {
        if host == SERVER {
            config.limits.groups = 0;
        }
    };
    declined_by(SERVER, Diagnosis::MEMORY, change, None);
}

#[test]
fn rings_that_do_not_fit_the_limit() {
    let change = |host: usize, config: &mut Config| {
        if host == CLIENT {
            config.limits.group_octets = 1000;
        }
    };
    declined_by(CLIENT, Diagnosis::MEMORY, change, None);
}
