//! What to do about a connection that is not SMC-R.

use smolsmc::{Diagnosis, Fallback};

use crate::witness::Heard;

/// Whose reason counts: the peer's, if it was the peer that declined.
pub(super) fn reason(fallback: Fallback) -> Option<(bool, Diagnosis)> {
    match (fallback.local, fallback.peer) {
        (Some(Diagnosis::PEER_DECLINED) | None, Some(peer)) => Some((true, peer)),
        (Some(local), _) => Some((false, local)),
        (None, None) => None,
    }
}

/// What usually helps.
pub(super) fn advice(fallback: Fallback, heard: &Heard, our_eids: &str) -> String {
    let Some((of_peer, diagnosis)) = reason(fallback) else {
        return "SMC was not asked for".to_owned();
    };
    let peer = if of_peer { "there" } else { "here" };
    match diagnosis {
        Diagnosis::PEER_NO_SMC if !of_peer => {
            "the answer to our SYN had no SMC option: the program there has an ordinary TCP socket, or \
             something on the way strips TCP options. On Linux: modprobe smc, and start the program with \
             smc_run, or let it open AF_SMC sockets"
                .to_owned()
        }
        Diagnosis::NO_SMC_DEVICE | Diagnosis::NO_SMCR_DEVICE | Diagnosis::NO_UEID if of_peer => format!(
            "the peer knows none of our enterprise ids ({our_eids}), or has no RDMA port for the interface \
             it was reached at. On Linux: smcr ueid show lists its ids (smcr ueid add {our_eids}, or give \
             one of them to --eid); smcr device and rdma link show its ports, which must be ACTIVE and \
             belong to that interface"
        ),
        Diagnosis::TIMEOUT_CONFIRM_LINK | Diagnosis::READY_LINK => {
            let came = match heard.roce_received {
                None => "",
                Some(0) => " (no RoCE frames came from the peer)",
                Some(_) => " (some RoCE frames came from the peer)",
            };
            format!(
                "TCP passes and RoCE does not{came}: UDP port 4791 must \
                 pass every firewall in both directions, and the frames of an RDMA MTU must fit the path"
            )
        }
        Diagnosis::NO_V2_EXTENSION | Diagnosis::VERSION_MISMATCH | Diagnosis::RELEASE => {
            "the peer speaks another version: SMC-Rv2 is all there is here; Linux has it since 5.16".to_owned()
        }
        Diagnosis::OUT_OF_SYNC => {
            "the peer, or we, did not know the link group any more: it has been forgotten; try again".to_owned()
        }
        Diagnosis::MEMORY => format!("make room {peer}: buffers, or the limits of the stack"),
        Diagnosis::MAX_CONNS | Diagnosis::MAX_LINKS => format!(
            "the numbers that were proposed are refused {peer}: 16 to 255 connections and 1 or 2 links a \
             link group"
        ),
        Diagnosis::PREFIX_MISMATCH => {
            "SMC-Rv1 needs both ends in one subnet; SMC-Rv2 does not: give both a common enterprise id".to_owned()
        }
        Diagnosis::NO_ROUTE | Diagnosis::INDIRECT_MISMATCH => {
            format!("the RDMA port {peer} has no route to the other's GID: check its addresses and routes")
        }
        Diagnosis::RMBE_EYECATCHER => "the peer keeps eyecatchers in its buffers, which nobody else does".to_owned(),
        Diagnosis::IPSEC => format!("RDMA passes by IPsec, so that SMC is refused {peer}: exempt the connection"),
        Diagnosis::VLAN_LOOKUP => format!("check the VLAN of the interface {peer}"),
        Diagnosis::SOCKET_OPTION => {
            "the program there has set a socket option that SMC does not have (TCP_FASTOPEN, say)".to_owned()
        }
        _ if of_peer => {
            "look into the peer: on Linux smcss -a shows the connection, smcr stats the reasons, dmesg the rest"
                .to_owned()
        }
        _ => "record it with --pcap, and look at it with smolsmc decode --verbose".to_owned(),
    }
}

/// What usually helps if there is no connection at all.
pub(super) fn unreached(why: &str, host: &str, heard: &Heard) -> String {
    if why.contains("refused") {
        return "the host is there, and nothing listens on this port: start the program".to_owned();
    }
    if why.contains("no route") {
        return "give an --ip in its subnet, or a --gateway".to_owned();
    }
    if heard.sources.iter().any(|source| source == host) {
        return "the host answers, but the connection does not come to be: a firewall drops it, or SYNs with \
                unknown options; record it with --pcap"
            .to_owned();
    }
    match heard.received {
        0 => "not a single frame came: check the --link, and that the other end is up".to_owned(),
        _ => format!("frames come, but none from {host}: check its address, and that it is up"),
    }
}
