//! Who declines what, and with which words.

use alloc::vec::Vec;

use smolsmc_wire::{Gid, MtuCode, PeerId, Psn, Qpn, Rkey, RmbeIndex, RmbeSize};

use crate::{
    AcceptV2, AgreementV2, Choice, ConfirmFirstContact, Diagnosis, Eid, FirstContact, HostName, Offer,
    PathTypes, Proposal, ProposalV2, Sender, SmcrTerms, Version,
};

const GID: Gid = Gid::from_ipv4([10, 9, 0, 2]);

fn eid(text: &str) -> Eid {
    Eid::from_ascii(text).expect("a UEID")
}

fn offer(eids: &[Eid], max_conns: u8, max_links: u8) -> Offer<'_> {
    Offer { eids, max_conns, max_links, host_name: HostName::NONE }
}

fn proposal(eids: &[Eid]) -> ProposalV2 {
    offer(eids, 255, 2).propose(Sender::default(), GID)
}

#[test]
fn the_first_of_the_clients_ids_that_is_ours() {
    let (a, b, c) = (eid("A"), eid("B"), eid("C"));
    let ours = [c, b];
    let chosen = offer(&ours, 100, 1).choose(&Proposal::from(proposal(&[a, b, c]))).expect("one in common");
    assert_eq!(
        chosen,
        Choice { version: Version::V2, release: 1, eid: b, max_conns: 100, max_links: 1, gid: GID }
    );
}

#[test]
fn what_a_server_declines() {
    let ours = [eid("A")];
    let refused = |change: &dyn Fn(&mut ProposalV2)| {
        let mut theirs = proposal(&ours);
        change(&mut theirs);
        offer(&ours, 255, 2).choose(&theirs.into()).expect_err("declined")
    };
    fn ext(p: &mut ProposalV2) -> &mut crate::V2Extension {
        p.v2.as_mut().expect("offered")
    }
    assert_eq!(refused(&|p| ext(p).eids = [eid("B")].into()), Diagnosis::NO_SMC_DEVICE);
    assert_eq!(refused(&|p| ext(p).eids = Vec::new()), Diagnosis::NO_UEID);
    assert_eq!(refused(&|p| p.v2 = None), Diagnosis::NO_V2_EXTENSION);
    assert_eq!(refused(&|p| p.v2_types = PathTypes::SmcD), Diagnosis::NO_SMC_DEVICE);
    assert_eq!(refused(&|p| ext(p).max_conns = 15), Diagnosis::MAX_CONNS);
    assert_eq!(refused(&|p| ext(p).max_links = 0), Diagnosis::MAX_LINKS);
    assert_eq!(refused(&|p| ext(p).roce_gid = Gid([0xfd; 16])), Diagnosis::NO_SMCR_DEVICE);
}

#[test]
fn release_zero_knows_no_limits() {
    let ours = [eid("A")];
    let mut theirs = proposal(&ours);
    let extension = theirs.v2.as_mut().expect("offered");
    (extension.release, extension.max_conns, extension.max_links) = (0, 0, 0);
    let chosen = offer(&ours, 20, 1).choose(&theirs.into()).expect("as good as any");
    assert_eq!((chosen.release, chosen.max_conns, chosen.max_links), (0, 255, 2));
    let told = offer(&ours, 20, 1).first_contact(true, 0, 255, 2);
    assert_eq!((told.max_conns, told.max_links, told.feature_mask), (0, 0, 0));
}

#[test]
fn a_newer_release_is_answered_with_ours() {
    let ours = [eid("A")];
    let mut theirs = proposal(&ours);
    theirs.v2.as_mut().expect("offered").release = 5;
    assert_eq!(offer(&ours, 255, 2).choose(&theirs.into()).map(|chosen| chosen.release), Ok(1));
}

fn terms() -> SmcrTerms {
    SmcrTerms {
        peer_id: PeerId::default(),
        gid: GID,
        mac: smolsmc_wire::Mac([2; 6]),
        qpn: Qpn::new(17),
        rkey: Rkey(1),
        rmbe_index: RmbeIndex::FIRST,
        alert_token: smolsmc_wire::AlertToken(1),
        rmbe_size: RmbeSize::KIB_64,
        mtu: MtuCode::OCTETS_1024,
        rmb_address: 0,
        psn: Psn::new(1),
    }
}

fn accept(change: impl Fn(&mut FirstContact)) -> AcceptV2 {
    let ours = [eid("A")];
    let mut first = offer(&ours, 255, 2).first_contact(true, 1, 255, 2);
    change(&mut first);
    AgreementV2 { version: Version::V2, terms: terms(), eid: eid("A"), first_contact: Some(first) }
}

#[test]
fn what_a_client_declines() {
    let ours = [eid("A")];
    let ask = offer(&ours, 200, 2);
    assert_eq!(ask.check_accept(&accept(|first| first.max_conns = 200)), Ok(()));
    assert_eq!(ask.check_accept(&accept(|_| {})), Err(Diagnosis::MAX_CONNS), "more than was proposed");
    assert_eq!(ask.check_accept(&accept(|first| first.max_conns = 15)), Err(Diagnosis::MAX_CONNS));
    let good = |first: &mut FirstContact| first.max_conns = 100;
    assert_eq!(
        ask.check_accept(&accept(|first| {
            good(first);
            first.max_links = 3;
        })),
        Err(Diagnosis::MAX_LINKS)
    );
    assert_eq!(
        ask.check_accept(&accept(|first| {
            good(first);
            first.release = 2;
        })),
        Err(Diagnosis::RELEASE)
    );
    let other = AcceptV2 { eid: eid("B"), ..accept(good) };
    assert_eq!(ask.check_accept(&other), Err(Diagnosis::MODE_MISMATCH));
    let not_mapped = SmcrTerms { gid: Gid([0xfd; 16]), ..terms() };
    assert_eq!(ask.check_accept(&AcceptV2 { terms: not_mapped, ..accept(good) }), Err(Diagnosis::NO_ROUTE));
    // On a subsequent contact there is nothing to compare.
    assert_eq!(ask.check_accept(&AcceptV2 { first_contact: None, ..accept(good) }), Ok(()));
}

#[test]
fn a_confirm_repeats_what_was_accepted() {
    let choice =
        Choice { version: Version::V2, release: 1, eid: eid("A"), max_conns: 100, max_links: 1, gid: GID };
    let confirm = |change: &dyn Fn(&mut FirstContact)| {
        let ours = [eid("A")];
        let mut extension = offer(&ours, 100, 1).first_contact(true, 1, 100, 1);
        change(&mut extension);
        let first = ConfirmFirstContact { extension, gids: None };
        AgreementV2 { version: Version::V2, terms: terms(), eid: eid("A"), first_contact: Some(first) }
    };
    assert_eq!(choice.check_confirm(&confirm(&|_| {})), Ok(()));
    assert_eq!(choice.check_confirm(&confirm(&|first| first.release = 0)), Err(Diagnosis::RELEASE));
    assert_eq!(choice.check_confirm(&confirm(&|first| first.max_conns = 99)), Err(Diagnosis::MAX_CONNS));
    assert_eq!(choice.check_confirm(&confirm(&|first| first.max_links = 2)), Err(Diagnosis::MAX_LINKS));
    let bare = AgreementV2 { first_contact: None, ..confirm(&|_| {}) };
    assert_eq!(choice.check_confirm(&bare), Ok(()), "as Linux lets it pass");
}
