//! Which error may be told to whom.

use smolsmc::ConnectionError;

use super::host::Host;
use super::plan::Weather;
use super::talk::{Fate, Talk};

/// Why side `side` of a talk may hear this error, if it may.
pub(super) fn explanation(
    talk: &Talk,
    side: usize,
    error: ConnectionError,
    weather: Weather,
    hosts: &[Host],
) -> Option<&'static str> {
    use ConnectionError as E;
    let [own, peer] = [&talk.ends[side], &talk.ends[1 - side]];
    let [own_host, peer_host] = [&hosts[own.host], &hosts[peer.host]];
    if weather == Weather::Storm && (own_host.is_hurt || peer_host.is_hurt) {
        return Some("a host was hurt");
    }
    let peers_doing = matches!(error, E::PeerAborted | E::Reset | E::ClosedInHandshake);
    if peers_doing && matches!(peer.fate, Fate::Closed | Fate::Aborted | Fate::Failed(_)) {
        return Some("the peer ended it");
    }
    let strict = [talk.options.strict, hosts[talk.ends[1].host].plan.strict_listener];
    let lacks = own_host.may_lack_smc()
        || peer_host.may_lack_smc()
        || talk.options.plain_tcp
        || matches!(weather, Weather::Lossy | Weather::Storm);
    if strict.contains(&true) && lacks && matches!(error, E::NotSmc { .. } | E::Reset | E::ClosedInHandshake)
    {
        return Some("SMC-R was demanded and could not be had");
    }
    // Three losses in a row make a CLC message too late.
    let never_open = own.transport.is_none() || peer.transport.is_none();
    if matches!(weather, Weather::Lossy | Weather::Storm) && never_open {
        return Some("frames of the handshake were lost");
    }
    None
}
