//! What CLC messages settle, and the rules they can break.

use smolsmc_clc::{Accept, Confirm, Decline, FirstContact, Message, Proposal, ProposalV2, SmcrTerms};
use smolsmc_wire::{Gid, Psn};

use crate::connection::{Connection, TcpReason, Transport};
use crate::group::{Both, Groups, QpAddress, Side};
use crate::report::FrameReport;

/// Connections a link group of SMC-Rv2.1 must at least hold (Linux 6.12 smc_clc).
const MIN_MAX_CONNS: u8 = 16;

/// Links a link group of SMC-Rv2.1 can at most have (Linux 6.12 smc_clc).
const MAX_MAX_LINKS: u8 = 2;

/// Learns from a whole message that `side` sent on `connection`.
pub(crate) fn apply(
    report: &mut FrameReport,
    connection: &mut Connection,
    side: Side,
    message: Message,
    groups: &mut Groups,
) {
    check_turn(report, connection, side, &message);
    match message {
        Message::Proposal(proposal) => {
            if let Proposal::V2(v2) = &proposal {
                check_proposal(report, v2);
            }
            connection.proposal = Some(proposal);
        }
        Message::Accept(accept) => {
            check_accept(report, connection, &accept);
            if let Accept::SmcD(_) = accept {
                connection.transport = Transport::SmcD;
            }
            connection.accept = Some(accept);
        }
        Message::Confirm(confirm) => {
            check_confirm(report, connection, &confirm);
            connection.confirm = Some(confirm);
            settle(report, connection, groups);
        }
        Message::Decline(decline) => declined(report, connection, side, &decline),
    }
    set_context(report, connection, groups);
}

fn set_context(report: &mut FrameReport, connection: &Connection, groups: &Groups) {
    let Some((group, link)) = connection.place else { return };
    let Some(known) = groups.groups.get(group) else { return };
    report.context.group = Some(known.id);
    report.context.link = Some(known.link_name(link));
}

/// Who may say what, and when (RFC 7609 Appendix A.2).
fn check_turn(report: &mut FrameReport, connection: &Connection, side: Side, message: &Message) {
    let unseen = connection.transport == Transport::NotSeen;
    let (name, speaker, in_turn) = match message {
        Message::Proposal(_) => ("Proposal", Side::Client, connection.proposal.is_none()),
        Message::Accept(_) => {
            ("Accept", Side::Server, unseen || connection.proposal.is_some() && connection.accept.is_none())
        }
        Message::Confirm(_) => {
            ("Confirm", Side::Client, unseen || connection.accept.is_some() && connection.confirm.is_none())
        }
        Message::Decline(_) => return,
    };
    if side != speaker {
        report.violations.push(format!("{name} from the {}", side.name()));
    } else if !in_turn {
        report.violations.push(format!("{name} out of turn"));
    }
}

fn check_proposal(report: &mut FrameReport, proposal: &ProposalV2) {
    let Some(v2) = &proposal.v2 else { return };
    if !proposal.v2_types.offers_smcr() {
        return;
    }
    if v2.eids.is_empty() {
        report.violations.push("Proposal of SMC-Rv2 without a UEID".to_owned());
    }
    for eid in &v2.eids {
        if let Err(error) = eid.validate() {
            report.violations.push(format!("UEID: {error}"));
        }
    }
    check_gid(report, v2.roce_gid);
    if v2.release > 0 {
        check_limits(report, v2.max_conns, v2.max_links);
    }
}

fn check_gid(report: &mut FrameReport, gid: Gid) {
    if gid.is_zero() {
        report.violations.push("the GID is zero".to_owned());
    }
}

fn check_limits(report: &mut FrameReport, max_conns: u8, max_links: u8) {
    if max_conns < MIN_MAX_CONNS {
        report.violations.push(format!("max_conns {max_conns} is below {MIN_MAX_CONNS}"));
    }
    if max_links == 0 || max_links > MAX_MAX_LINKS {
        report.violations.push(format!("max_links {max_links} is not 1 to {MAX_MAX_LINKS}"));
    }
}

fn check_terms(report: &mut FrameReport, terms: &SmcrTerms) {
    if terms.rmbe_index.0 == 0 {
        report.violations.push("RMBE index 0".to_owned());
    }
    if terms.mtu.octets().is_none() {
        report.violations.push(format!("MTU code {} is reserved", terms.mtu.code()));
    }
    check_gid(report, terms.gid);
}

fn check_accept(report: &mut FrameReport, connection: &Connection, accept: &Accept) {
    if let Some(terms) = accept.smcr_terms() {
        check_terms(report, terms);
    }
    let Some(proposal) = &connection.proposal else { return };
    let offered = match (accept, proposal) {
        (Accept::V1(_), Proposal::V1(p)) => p.types.offers_smcr(),
        (Accept::V1(_), Proposal::V2(p)) => p.v1_types.offers_smcr(),
        (Accept::V2(_), Proposal::V2(p)) => p.v2_types.offers_smcr(),
        (Accept::V2(_), Proposal::V1(_)) => false,
        (Accept::SmcD(_), Proposal::V1(p)) => p.types.offers_smcd(),
        (Accept::SmcD(_), Proposal::V2(p)) => p.v1_types.offers_smcd() || p.v2_types.offers_smcd(),
    };
    if !offered {
        report.violations.push("Accept of what the Proposal does not offer".to_owned());
    }
    let (Accept::V2(accept), Proposal::V2(ProposalV2 { v2: Some(offer), .. })) = (accept, proposal) else {
        return;
    };
    if !offer.eids.contains(&accept.eid) {
        report.violations.push("the accepted EID is not one of the Proposal's".to_owned());
    }
    let Some(first) = &accept.first_contact else { return };
    if first.release > offer.release {
        report.violations.push("the accepted release is newer than the Proposal's".to_owned());
    }
    if first.release > 0 {
        check_limits(report, first.max_conns, first.max_links);
        if first.max_conns > offer.max_conns || first.max_links > offer.max_links {
            report.violations.push("the Accept's limits exceed the Proposal's".to_owned());
        }
    }
}

fn check_confirm(report: &mut FrameReport, connection: &Connection, confirm: &Confirm) {
    if let Some(terms) = confirm.smcr_terms() {
        check_terms(report, terms);
    }
    let Some(accept) = &connection.accept else { return };
    if accept.is_first_contact() != confirm.is_first_contact()
        && !matches!((accept, confirm), (Accept::V1(_), Confirm::V1(_)))
    {
        // RFC 7609 has no such bit in a v1 Confirm; Linux sets it there too.
        report.violations.push("Accept and Confirm differ in the first-contact bit".to_owned());
    }
    let (Accept::V2(accept), Confirm::V2(confirm)) = (accept, confirm) else { return };
    if accept.eid != confirm.eid {
        report.violations.push("Accept and Confirm name different EIDs".to_owned());
    }
    if let (Some(theirs), Some(ours)) = (&accept.first_contact, &confirm.first_contact) {
        check_agreement(report, theirs, &ours.extension);
    }
}

/// The client repeats what the server settled (Linux 6.12 smc_clc).
fn check_agreement(report: &mut FrameReport, accept: &FirstContact, confirm: &FirstContact) {
    if accept.release != confirm.release {
        report.violations.push("Accept and Confirm name different releases".to_owned());
    }
    let limits = |first: &FirstContact| (first.max_conns, first.max_links);
    if accept.release > 0 && limits(accept) != limits(confirm) {
        report.violations.push("Accept and Confirm name different limits".to_owned());
    }
}

fn declined(report: &mut FrameReport, connection: &mut Connection, side: Side, decline: &Decline) {
    if decline.diagnosis.name().is_none() {
        // Values are each implementation's own (RFC 7609 Appendix A.2.5).
        report.facts.push("a diagnosis that Linux 6.12 does not use".to_owned());
    }
    if connection.said.of(side).seq.is_some() {
        report.violations.push("Decline after data could flow".to_owned());
        return;
    }
    if let Transport::Tcp(TcpReason::Declined(..)) = connection.transport {
        report.facts.push("the other side has declined before".to_owned());
        return;
    }
    connection.transport = Transport::Tcp(TcpReason::Declined(side, decline.diagnosis));
}

/// Both ends are known: the connection joins its link group.
fn settle(report: &mut FrameReport, connection: &mut Connection, groups: &mut Groups) {
    let (Some(accept), Some(confirm)) = (&connection.accept, &connection.confirm) else { return };
    let (Some(server), Some(client)) = (accept.smcr_terms(), confirm.smcr_terms()) else { return };
    let first_contact = accept.is_first_contact();
    let address = |terms: &SmcrTerms| QpAddress { gid: terms.gid, qpn: terms.qpn };
    let place = if first_contact {
        let end = |terms: &SmcrTerms| -> (QpAddress, Psn) { (address(terms), terms.psn) };
        groups.create(Both::new(end(client), end(server))).map(|group| (group, 0))
    } else {
        groups.place(address(server)).map(|(group, link, _)| (group, link))
    };
    connection.transport = Transport::SmcR { first_contact };
    connection.place = place;
    let Some((group, link)) = place else {
        report.facts.push("its link group was made before this capture".to_owned());
        return;
    };
    let Some(known) = groups.groups.get_mut(group) else { return };
    known.connections += 1;
    if let Accept::V2(accept) = accept
        && let Some(first) = &accept.first_contact
    {
        known.max_conns = (first.release > 0).then_some(first.max_conns);
    }
    let index = usize::try_from(connection.id.saturating_sub(1)).unwrap_or(usize::MAX);
    for (owner, terms) in [(Side::Server, server), (Side::Client, client)] {
        known.tokens.of_mut(owner).insert(terms.alert_token, index);
        let rmb = known.announce(owner, link, terms.rkey, terms.rmb_address);
        if let Some(rmb) = rmb.and_then(|rmb| known.rmbs.get_mut(rmb)) {
            rmb.connection = Some(index);
        }
    }
}
