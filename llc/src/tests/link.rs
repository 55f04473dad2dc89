//! The machine of a link, word by word.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use smolsmc_wire::{Duration, Gid, Instant, LinkNumber, LinkUid, Mac, MtuCode, Psn, Qpn, Rkey};

use crate::{
    AddLink, Body, ConfirmLink, ConfirmRkey, DeleteLink, DeleteReason, DeleteRkey, DownReason, HostOrder,
    Ledger, Link, LinkAction, LinkRkey, LinkState, MAX_PEER_RMBS, MAX_REQUESTS_A_SECOND, Message,
    NoEyecatcher, Others, RejectReason, RequestAddLink, Role, Siblings, TestLink, Timers, Version,
};

const START: Instant = Instant::from_millis(1000);

/// A link, and what it knows of its group: links 1 and 2.
struct Tested {
    link: Link,
    ledger: Ledger,
}

impl Tested {
    fn new(link: Link) -> Self {
        Self { link, ledger: Ledger::default() }
    }

    fn hear(&mut self, now: Instant, message: &Message) {
        let links = [LinkNumber(1), LinkNumber(2)];
        self.link.hear(now, message, &mut Siblings { ledger: &mut self.ledger, links: &links });
    }
}

impl core::ops::Deref for Tested {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.link
    }
}

impl core::ops::DerefMut for Tested {
    fn deref_mut(&mut self) -> &mut Link {
        &mut self.link
    }
}

fn end(number: u8) -> ConfirmLink {
    ConfirmLink {
        mac: Mac([2, 0, 0, 0, 0, number]),
        gid: Gid::from_ipv4([10, 9, 0, number]),
        qpn: Qpn::new(17),
        link_number: LinkNumber(number),
        link_uid: LinkUid(0x101),
        max_links: 1,
        max_conns: 255,
        no_eyecatcher: NoEyecatcher::BOTH,
    }
}

fn message(response: bool, body: Body) -> Message {
    Message { version: Version::V2(HostOrder::Little), response, body }
}

fn actions(link: &mut Link) -> Vec<LinkAction> {
    core::iter::from_fn(|| link.next_action()).collect()
}

/// What it says, and nothing else.
fn said(link: &mut Link) -> Vec<Message> {
    let said = actions(link).into_iter().map(|action| match action {
        LinkAction::Send(message) => message,
        other => panic!("{other:?}"),
    });
    said.collect()
}

fn after(millis: u64) -> Instant {
    START + Duration::from_millis(millis)
}

/// An active link of a client, or of a server.
fn active(role: Role) -> Tested {
    let mut link = Tested::new(Link::first(role, end(1), Timers::LINUX, START));
    let theirs = Body::ConfirmLink(end(1));
    link.hear(START, &message(role == Role::Server, theirs));
    assert_eq!(link.state(), LinkState::Active);
    actions(&mut link);
    link
}

#[test]
fn a_client_answers_when_it_can_send() {
    let mut link = Tested::new(Link::first(Role::Client, end(9), Timers::LINUX, START));
    assert_eq!(link.poll_at(), Some(after(4000)));
    link.hear(after(10), &message(false, Body::ConfirmLink(end(3))));
    let answer = ConfirmLink { link_number: LinkNumber(3), ..end(9) };
    assert_eq!(
        actions(&mut link),
        [
            LinkAction::ReadyToSend,
            LinkAction::Send(message(true, Body::ConfirmLink(answer))),
            LinkAction::Active
        ]
    );
    assert_eq!(link.number(), LinkNumber(3), "the server's");
    // The server asks again: it is told again, and nothing else happens.
    link.hear(after(500), &message(false, Body::ConfirmLink(end(3))));
    assert_eq!(said(&mut link), [message(true, Body::ConfirmLink(answer))]);
}

#[test]
fn a_server_asks_after_a_while_and_once_again() {
    let mut link = Tested::new(Link::first(Role::Server, end(1), Timers::LINUX, START));
    assert_eq!(link.poll_at(), Some(after(5)));
    link.run_timers(after(4));
    assert_eq!(said(&mut link), []);
    let ask = message(false, Body::ConfirmLink(end(1)));
    link.run_timers(after(5));
    assert_eq!(said(&mut link), core::slice::from_ref(&ask));
    link.run_timers(after(504));
    assert_eq!(said(&mut link), []);
    link.run_timers(after(505));
    assert_eq!(said(&mut link), [ask]);
    link.hear(after(600), &message(true, Body::ConfirmLink(end(2))));
    assert_eq!(actions(&mut link), [LinkAction::Active]);
}

#[test]
fn with_two_links_a_server_never_asks_twice() {
    let own = ConfirmLink { max_links: 2, ..end(1) };
    let mut link = Tested::new(Link::first(Role::Server, own, Timers::LINUX, START));
    link.run_timers(after(5));
    assert_eq!(said(&mut link).len(), 1);
    link.run_timers(after(1500));
    assert_eq!(said(&mut link), []);
}

#[test]
fn confirm_link_that_does_not_come_ends_it() {
    for (role, at) in [(Role::Client, 4000), (Role::Server, 2005)] {
        let mut link = Tested::new(Link::first(role, end(1), Timers::LINUX, START));
        link.run_timers(after(at - 1));
        actions(&mut link);
        assert_eq!(link.state(), LinkState::Activating);
        link.run_timers(after(at));
        assert_eq!(actions(&mut link), [LinkAction::Down(DownReason::ConfirmLinkTimeout)]);
        assert_eq!(link.poll_at(), None);
    }
}

#[test]
fn a_peer_with_eyecatchers_is_none_for_us() {
    let theirs = ConfirmLink { no_eyecatcher: NoEyecatcher::new(0), ..end(1) };
    let mut link = Tested::new(Link::first(Role::Client, end(2), Timers::LINUX, START));
    link.hear(START, &message(false, Body::ConfirmLink(theirs)));
    assert_eq!(actions(&mut link)[0], LinkAction::Eyecatcher);
    assert_eq!(link.state(), LinkState::Inactive);
}

#[test]
fn a_second_link_is_rejected_in_the_words_of_linux() {
    let offer = AddLink {
        rejected: false,
        reject_reason: RejectReason::NONE,
        mac: Mac([2; 6]),
        gid: Gid::from_ipv4([10, 9, 0, 1]),
        qpn: Qpn::new(18),
        link_number: LinkNumber(2),
        mtu: MtuCode::OCTETS_1024,
        psn: Psn::new(5),
        extension: Some(crate::AddLinkExtension::default()),
    };
    let mut link = active(Role::Client);
    link.hear(START, &message(false, Body::AddLink(offer.clone())));
    assert_eq!(actions(&mut link), [LinkAction::AddLinkOffered(Box::new(offer.clone()))]);
    link.reject_add_link(&offer);
    let answer = message(true, Body::AddLink(AddLink { rejected: true, extension: None, ..offer.clone() }));
    assert_eq!(said(&mut link), core::slice::from_ref(&answer));
    let mut octets = [0; 44];
    assert_eq!(answer.emit(&mut octets), Ok(44));
    assert_eq!(octets[..4], [0x22, 0x2c, 0, 0xc0]);

    // A client only suggests; a server need not answer that, but to the request it does.
    let mut link = active(Role::Server);
    link.hear(START, &message(false, Body::AddLink(offer)));
    assert_eq!(said(&mut link), []);
    let wish = RequestAddLink { gids: vec![Gid::from_ipv4([10, 9, 0, 2]), Gid::from_ipv4([10, 9, 0, 12])] };
    link.hear(START, &message(false, Body::RequestAddLink(wish)));
    assert_eq!(said(&mut link), [message(true, Body::RequestAddLink(RequestAddLink { gids: Vec::new() }))]);
}

fn confirm(rkey: u32) -> ConfirmRkey {
    ConfirmRkey { negative: false, retry: false, rkey: Rkey(rkey), address: 0x1000, others: Others::NONE }
}

#[test]
fn rkeys_of_the_peer_are_kept_account_of() {
    let mut link = active(Role::Server);
    let ask = message(false, Body::ConfirmRkey(confirm(7)));
    link.hear(START, &ask);
    assert_eq!(said(&mut link), [message(true, ask.body)]);
    // Two links are known, a third is not.
    let other = |number| LinkRkey { link_number: LinkNumber(number), rkey: Rkey(70), address: 0x7000 };
    let ask = ConfirmRkey { others: Others::new(&[other(2)]).expect("one"), ..confirm(7) };
    link.hear(START, &message(false, Body::ConfirmRkey(ask)));
    assert_eq!(said(&mut link), [message(true, Body::ConfirmRkey(ask))]);
    assert_eq!(link.ledger.translate(LinkNumber(1), Rkey(7), LinkNumber(2)), Some(other(2)));
    let others = Others::new(&[other(3)]).expect("one");
    let ask = ConfirmRkey { others, ..confirm(8) };
    link.hear(START, &message(false, Body::ConfirmRkey(ask)));
    let no = ConfirmRkey { negative: true, retry: true, ..ask };
    assert_eq!(said(&mut link), [message(true, Body::ConfirmRkey(no))]);
    let gone = DeleteRkey::request(vec![Rkey(7), Rkey(8)]);
    link.hear(START, &message(false, Body::DeleteRkey(gone)));
    let answer = DeleteRkey { negative: true, errors: 1, rkeys: Vec::new(), unlisted: 2 };
    assert_eq!(said(&mut link), [message(true, Body::DeleteRkey(answer))]);
    link.hear(START, &message(false, Body::DeleteRkey(DeleteRkey::request(vec![Rkey(7)]))));
    let Body::DeleteRkey(answer) = said(&mut link).remove(0).body else { panic!("another answer") };
    assert_eq!(answer.errors, 1, "it was deleted before");
}

#[test]
fn a_peer_cannot_have_more_rmbs_than_the_limit() {
    let mut link = active(Role::Server);
    let key = |rkey| LinkRkey { link_number: LinkNumber(1), rkey: Rkey(rkey), address: 0 };
    for rkey in 0..MAX_PEER_RMBS as u32 {
        assert!(link.ledger.learn(key(rkey)));
    }
    assert!(link.ledger.learn(key(3)), "known already");
    assert!(!link.ledger.learn(key(1000)));
    link.hear(START, &message(false, Body::ConfirmRkey(confirm(1000))));
    let Body::ConfirmRkey(answer) = said(&mut link).remove(0).body else { panic!("another answer") };
    assert!(answer.negative && answer.retry);
    link.hear(START, &message(false, Body::DeleteRkey(DeleteRkey::request(vec![Rkey(3)]))));
    said(&mut link);
    assert!(link.ledger.learn(key(1000)));
}

#[test]
fn own_rkey_requests_go_one_by_one() {
    let mut link = active(Role::Client);
    assert!(link.confirm_rkey(START, Rkey(1), 0x1000, Others::NONE));
    assert!(link.delete_rkey(START, Rkey(2)));
    assert!(link.confirm_rkey(START, Rkey(3), 0x1000, Others::NONE));
    assert_eq!(said(&mut link), [message(false, Body::ConfirmRkey(confirm(1)))]);
    // An answer to something else is none.
    link.hear(START, &message(true, Body::ConfirmRkey(confirm(9))));
    assert_eq!(actions(&mut link), []);
    link.hear(START, &message(true, Body::ConfirmRkey(confirm(1))));
    let delete = message(false, Body::DeleteRkey(DeleteRkey::request(vec![Rkey(2)])));
    assert_eq!(actions(&mut link), [LinkAction::RkeyConfirmed(Rkey(1), true), LinkAction::Send(delete)]);
    // A missing answer to DELETE RKEY is nothing.
    assert_eq!(link.poll_at(), Some(after(2000)));
    link.run_timers(after(2000));
    assert_eq!(said(&mut link), [message(false, Body::ConfirmRkey(confirm(3)))]);
    link.run_timers(after(4000));
    assert_eq!(actions(&mut link), [LinkAction::RkeyConfirmed(Rkey(3), false)]);
}

#[test]
fn a_refused_rkey_is_told() {
    let mut link = active(Role::Client);
    link.confirm_rkey(START, Rkey(1), 0x1000, Others::NONE);
    said(&mut link);
    link.hear(START, &message(true, Body::ConfirmRkey(ConfirmRkey { negative: true, ..confirm(1) })));
    assert_eq!(actions(&mut link), [LinkAction::RkeyConfirmed(Rkey(1), false)]);
}

#[test]
fn silence_is_asked_about_and_then_is_the_end() {
    let mut link = active(Role::Server);
    assert_eq!(link.poll_at(), Some(after(30_000)));
    link.heard(after(10_000));
    assert_eq!(link.poll_at(), Some(after(40_000)));
    let ask = message(false, Body::TestLink(TestLink::default()));
    link.run_timers(after(40_000));
    assert_eq!(said(&mut link), core::slice::from_ref(&ask));
    link.hear(after(41_000), &message(true, ask.body.clone()));
    assert_eq!(actions(&mut link), [LinkAction::Tested]);
    assert_eq!(link.poll_at(), Some(after(71_000)));
    link.run_timers(after(71_000));
    assert_eq!(said(&mut link), [ask]);
    link.run_timers(after(73_000));
    assert_eq!(actions(&mut link), [LinkAction::Down(DownReason::TestLinkTimeout)]);
}

#[test]
fn a_probe_is_one_question_and_its_answer_has_the_time_of_silence() {
    let ask = message(false, Body::TestLink(TestLink::default()));
    let mut link = active(Role::Client);
    assert!(link.probe(after(1000)));
    assert_eq!(said(&mut link), core::slice::from_ref(&ask));
    assert!(!link.probe(after(1001)), "one is out");
    link.hear(after(1010), &message(true, ask.body.clone()));
    assert_eq!(actions(&mut link), [LinkAction::Tested]);
    link.hear(after(1011), &message(true, ask.body.clone()));
    assert_eq!(actions(&mut link), [], "nothing was asked");

    // The peer is heard all the time, but never answers.
    assert!(link.probe(after(2000)));
    said(&mut link);
    for at in (3000..34_000).step_by(1000) {
        link.heard(after(at));
        link.run_timers(after(at));
        assert_eq!(actions(&mut link), [], "{at} ms");
    }
    assert_eq!(link.poll_at(), Some(after(34_000)));
    link.run_timers(after(34_000));
    assert_eq!(actions(&mut link), [LinkAction::Down(DownReason::TestLinkTimeout)]);
    assert!(!link.probe(after(34_001)), "it has ended");

    // It is silent as well: that ends as without a probe.
    let mut link = active(Role::Server);
    assert!(link.probe(after(20_000)));
    said(&mut link);
    assert_eq!(link.poll_at(), Some(after(32_000)));
    link.run_timers(after(31_999));
    assert_eq!(actions(&mut link), []);
    link.run_timers(after(32_000));
    assert_eq!(actions(&mut link), [LinkAction::Down(DownReason::TestLinkTimeout)]);
}

#[test]
fn a_link_that_asks_nobody_may_probe() {
    let timers = Timers { test_link: Duration::ZERO, ..Timers::LINUX };
    let mut link = Tested::new(Link::first(Role::Client, end(1), timers, START));
    link.hear(START, &message(false, Body::ConfirmLink(end(1))));
    actions(&mut link);
    assert_eq!(link.poll_at(), None);
    assert!(link.probe(after(0)));
    assert_eq!(link.poll_at(), Some(after(32_000)));
}

#[test]
fn who_is_asked_echoes() {
    let mut link = active(Role::Client);
    let ask = Body::TestLink(TestLink { user_data: [7; 16] });
    link.hear(START, &message(false, ask.clone()));
    assert_eq!(said(&mut link), [message(true, ask)]);
}

#[test]
fn a_flood_of_requests_is_answered_so_often_a_second() {
    let mut link = active(Role::Client);
    let ask = message(false, Body::TestLink(TestLink::default()));
    let mut answers = 0;
    for _ in 0..3 * MAX_REQUESTS_A_SECOND {
        link.hear(START, &ask);
        answers += said(&mut link).len();
    }
    // CONFIRM LINK was the first one.
    assert_eq!(answers as u32, MAX_REQUESTS_A_SECOND - 1);
    assert_eq!(link.refused(), u64::from(2 * MAX_REQUESTS_A_SECOND) + 1);
    link.hear(after(1000), &ask);
    assert_eq!(said(&mut link).len(), 1, "another second");
}

/// A peer with a million messages a second asks 40 000 times a second after
/// them, and was refused: the link died.
#[test]
fn probes_between_messages_are_no_flood() {
    let mut link = active(Role::Client);
    let ask = message(false, Body::TestLink(TestLink::default()));
    for n in 0..3 * MAX_REQUESTS_A_SECOND {
        (0..4).for_each(|_| link.heard(START));
        link.hear(START, &ask);
        assert_eq!(said(&mut link).len(), 1, "probe {n}");
    }
    // With fewer messages between them it is one.
    for _ in 0..3 * MAX_REQUESTS_A_SECOND {
        (0..3).for_each(|_| link.heard(START));
        link.hear(START, &ask);
        said(&mut link);
    }
    assert_eq!(link.refused(), u64::from(2 * MAX_REQUESTS_A_SECOND) + 1);
}

fn delete(all: bool, orderly: bool, number: u8, reason: DeleteReason) -> Body {
    Body::DeleteLink(DeleteLink { all, orderly, link_number: LinkNumber(number), reason })
}

#[test]
fn delete_link_as_linux_answers_it() {
    let idle = DeleteReason::PROGRAM_INITIATED;
    let lost = DeleteReason::LOST_PATH;
    let all = LinkAction::GroupDeleted;
    let one = |reason| LinkAction::LinkDeleted(LinkNumber(2), reason);
    let none = delete(false, true, 2, DeleteReason::NONE);
    let unknown = delete(false, true, 9, DeleteReason::UNKNOWN_LINK);
    // Role, what comes, whether the answer is a response, what it is, what follows.
    let cases = [
        (Role::Client, delete(true, true, 0, idle), (false, delete(true, false, 0, idle)), Some(all(idle))),
        (Role::Server, delete(true, false, 0, lost), (false, delete(true, true, 0, lost)), Some(all(lost))),
        (Role::Client, delete(false, true, 2, lost), (true, none), Some(one(lost))),
        (
            Role::Server,
            delete(false, false, 2, lost),
            (false, delete(false, false, 2, lost)),
            Some(one(lost)),
        ),
        (Role::Client, delete(false, true, 9, lost), (true, unknown), None),
    ];
    for (role, heard, (response, answer), follows) in cases {
        let mut link = active(role);
        link.hear(START, &message(false, heard.clone()));
        let want: Vec<_> = [LinkAction::Send(message(response, answer))].into_iter().chain(follows).collect();
        assert_eq!(actions(&mut link), want, "{role:?} {heard:?}");
    }
    let mut link = active(Role::Server);
    link.hear(START, &message(false, delete(false, false, 9, lost)));
    assert_eq!(actions(&mut link), [], "a link nobody has");
}

#[test]
fn another_link_is_deleted_in_words_on_this_one() {
    let mut link = active(Role::Server);
    link.delete_other(LinkNumber(2), DeleteReason::LOST_PATH);
    assert_eq!(said(&mut link), [message(false, delete(false, true, 2, DeleteReason::LOST_PATH))]);
}

fn further() -> AddLink {
    AddLink {
        rejected: false,
        reject_reason: RejectReason::NONE,
        mac: Mac([2; 6]),
        gid: Gid::from_ipv4([10, 9, 1, 1]),
        qpn: Qpn::new(19),
        link_number: LinkNumber(2),
        mtu: MtuCode::OCTETS_1024,
        psn: Psn::new(5),
        extension: None,
    }
}

#[test]
fn an_offer_is_answered_rejected_or_runs_out() {
    for answer in [Some(false), Some(true), None] {
        let mut link = active(Role::Server);
        assert!(link.offer_add_link(START, further()));
        assert!(!link.offer_add_link(START, further()), "one at a time");
        assert_eq!(said(&mut link), [message(false, Body::AddLink(further()))]);
        let accepted = match answer {
            Some(rejected) => {
                let answer = AddLink { rejected, ..further() };
                link.hear(START, &message(true, Body::AddLink(answer.clone())));
                (!rejected).then(|| Box::new(answer))
            }
            None => {
                link.run_timers(after(2000));
                None
            }
        };
        assert_eq!(actions(&mut link), [LinkAction::AddLinkAnswered(accepted)]);
        link.hear(after(2001), &message(true, Body::AddLink(further())));
        assert_eq!(actions(&mut link), [], "nothing is out any more");
    }
}

#[test]
fn a_further_link_is_confirmed_at_once_and_has_more_time() {
    let mut link = Tested::new(Link::further(Role::Server, end(2), Timers::LINUX, START));
    link.run_timers(START);
    assert_eq!(said(&mut link), [message(false, Body::ConfirmLink(end(2)))]);
    link.run_timers(after(4999));
    actions(&mut link);
    assert_eq!(link.state(), LinkState::Activating);
    link.run_timers(after(5000));
    assert_eq!(actions(&mut link), [LinkAction::Down(DownReason::ConfirmLinkTimeout)]);
}

#[test]
fn what_waited_hears_of_the_end() {
    let mut link = active(Role::Server);
    link.confirm_rkey(START, Rkey(1), 0x1000, Others::NONE);
    link.confirm_rkey(START, Rkey(2), 0x1000, Others::NONE);
    said(&mut link);
    link.delete_all(DeleteReason::PROGRAM_INITIATED, true);
    assert_eq!(
        actions(&mut link),
        [
            LinkAction::Send(message(false, delete(true, true, 0, DeleteReason::PROGRAM_INITIATED))),
            LinkAction::RkeyConfirmed(Rkey(1), false),
            LinkAction::RkeyConfirmed(Rkey(2), false),
        ]
    );
    assert!(!link.confirm_rkey(START, Rkey(3), 0, Others::NONE));
    link.hear(START, &message(false, Body::TestLink(TestLink::default())));
    assert_eq!(actions(&mut link), [], "it is over");
}
