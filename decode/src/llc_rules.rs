//! What LLC messages teach about links and rkeys, and the rules they can break.

use smolsmc_llc::{AddLink, Body, ConfirmLink, ConfirmRkey, DeleteRkey, Message};
use smolsmc_wire::LinkNumber;

use crate::group::{Both, Groups, QpAddress, Side};
use crate::rdma::Place;
use crate::report::FrameReport;
use crate::requests::Sight;

/// Learns from a message that came on the link at `place`.
pub(crate) fn apply(
    report: &mut FrameReport,
    message: &Message,
    sight: Sight,
    place: Place,
    groups: &mut Groups,
) {
    if let Some(link) = groups.link_mut(place.0, place.1) {
        link.counts.llc += 1;
    }
    if !sight.is_first() {
        return;
    }
    let sender = place.2.other();
    match &message.body {
        Body::ConfirmLink(m) => confirm_link(report, m, message.response, sender, place, groups),
        Body::AddLink(m) => add_link(report, m, message.response, sender, place, groups),
        Body::ConfirmRkey(m) if !message.response => confirm_rkey(m, sender, place, groups),
        Body::DeleteRkey(m) if !message.response => delete_rkey(m, sender, place, groups),
        _ => {}
    }
}

fn confirm_link(
    report: &mut FrameReport,
    m: &ConfirmLink,
    response: bool,
    sender: Side,
    (group, link, _): Place,
    groups: &mut Groups,
) {
    if response == (sender == Side::Server) {
        let what = if response { "response from the server" } else { "request from the client" };
        report.violations.push(format!("CONFIRM LINK {what}: the server asks, the client answers"));
    }
    if m.link_number == LinkNumber(0) {
        report.violations.push("CONFIRM LINK with link number 0".to_owned());
    }
    let Some(link) = groups.link_mut(group, link) else { return };
    match link.number {
        None => link.number = Some(m.link_number),
        Some(number) if number != m.link_number => report.violations.push(format!(
            "CONFIRM LINK names link {} on the link that was announced as {number}",
            m.link_number
        )),
        Some(_) => {}
    }
}

/// The server offers a link; when the client accepts, both ends are known.
fn add_link(
    report: &mut FrameReport,
    m: &AddLink,
    response: bool,
    sender: Side,
    (group, link, _): Place,
    groups: &mut Groups,
) {
    let Some(known) = groups.groups.get_mut(group) else { return };
    if sender == Side::Server && !response {
        known.offered = Some(m.clone());
        return;
    }
    if sender != Side::Client || !response {
        return;
    }
    let Some(offer) = known.offered.take() else {
        report.facts.push("answers an ADD LINK that was not seen".to_owned());
        return;
    };
    if m.rejected {
        return;
    }
    let end = |m: &AddLink| (QpAddress { gid: m.gid, qpn: m.qpn }, m.psn);
    let new_link = known.links.len();
    groups.add_link(group, Some(offer.link_number), Both::new(end(m), end(&offer)));
    let Some(known) = groups.groups.get_mut(group).filter(|g| g.links.len() > new_link) else { return };
    for (owner, message) in [(Side::Client, m), (Side::Server, &offer)] {
        for mapping in message.extension.iter().flat_map(|extension| &extension.rkeys) {
            let rmb = known.rmb_by_key(owner, link, mapping.current);
            if let Some(rmb) = rmb.and_then(|index| known.rmbs.get_mut(index)) {
                rmb.keys.insert(new_link, (mapping.new, mapping.address));
            }
        }
    }
}

/// Announces an RMB on the link that carries the message and on others.
fn confirm_rkey(m: &ConfirmRkey, owner: Side, (group, link, _): Place, groups: &mut Groups) {
    let Some(known) = groups.groups.get_mut(group) else { return };
    let Some(rmb) = known.announce(owner, link, m.rkey, m.address) else { return };
    for other in m.others.here() {
        if let Some(on) = known.link_by_number(other.link_number)
            && let Some(rmb) = known.rmbs.get_mut(rmb)
        {
            rmb.keys.insert(on, (other.rkey, other.address));
        }
    }
}

fn delete_rkey(m: &DeleteRkey, owner: Side, (group, link, _): Place, groups: &mut Groups) {
    let Some(known) = groups.groups.get_mut(group) else { return };
    for &rkey in &m.rkeys {
        if let Some(index) = known.rmb_by_key(owner, link, rkey) {
            known.rmbs.remove(index);
        }
    }
}
