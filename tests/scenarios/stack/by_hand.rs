//! A peer whose CLC messages are made by hand: TCP of a stack that knows no SMC,
//! and the option put on its SYN on the way.

use smolsmc::{ConnectionError, Diagnosis, Fallback, SocketHandle, SocketOptions, Transport};
use smolsmc_clc::{
    Accept, AgreementV2, Decline, Eid, FirstContact, Header, HostName, IpArea, Message, Offer, PathTypes,
    Proposal, ProposalV1, ProposalV2, Sender, SmcrTerms, TermsV1, Version,
};
use smolsmc_wire::{AlertToken, Duration, Gid, Mac, MtuCode, PeerId, Psn, Qpn, Rkey, RmbeIndex, RmbeSize};

use super::meddling::offering_smc;
use super::pair::{CLIENT, Pair, SERVER};

/// A pair of which `hand` says what the test says.
struct ByHand {
    pair: Pair,
    hand: usize,
    /// The client's socket, and the server's once it is accepted.
    client: SocketHandle,
    server: Option<SocketHandle>,
}

impl ByHand {
    fn new(seed: u64, hand: usize) -> Self {
        let mut pair = Pair::of(seed, |host, config| config.smc = host != hand);
        pair.lan.meddler = Some(offering_smc(hand));
        let client = pair.begin(SocketOptions::default());
        let mut server = None;
        let listener = pair.listener;
        pair.lan.until(Duration::from_secs(1), "the SYNs", |lan| {
            // A stack without SMC accepts as soon as TCP stands.
            server = server.or_else(|| lan.stack(SERVER).accept(listener));
            match hand {
                SERVER => server.is_some(),
                _ => lan.stack(CLIENT).socket(client).unwrap().transport().is_some(),
            }
        });
        Self { pair, hand, client, server }
    }

    fn socket(&self) -> SocketHandle {
        if self.hand == CLIENT { self.client } else { self.server.expect("accepted") }
    }

    fn say_octets(&mut self, octets: &[u8]) {
        let socket = self.socket();
        let sent = self.pair.lan.stack(self.hand).socket(socket).unwrap().send(octets);
        assert_eq!(sent, Ok(octets.len()));
    }

    fn say(&mut self, message: &Message) {
        self.say_octets(&octets_of(message));
    }

    /// The next CLC message of the stack.
    fn heard(&mut self) -> Message {
        let (hand, socket) = (self.hand, self.socket());
        let mut octets = Vec::new();
        self.pair.lan.until(Duration::from_secs(5), "a message", |lan| {
            let mut socket = lan.stack(hand).socket(socket).unwrap();
            let mut octet = [0];
            while socket.recv(&mut octet) == Ok(1) {
                octets.push(octet[0]);
                let whole = Header::parse(&octets).map(|header| header.message_len());
                if octets.len() >= Header::LEN && whole == Ok(octets.len()) {
                    return true;
                }
            }
            false
        });
        Message::parse(&octets).unwrap()
    }

    /// The stack has declined with `why`, in this version, and octets go both
    /// ways over TCP.
    fn expect_decline(mut self, why: Diagnosis, version: Version) {
        let Message::Decline(Decline { diagnosis, version: said, .. }) = self.heard() else {
            panic!("a Decline")
        };
        assert_eq!((diagnosis, said), (why, version));
        let listener = self.pair.listener;
        let mut server = self.server;
        self.pair.lan.until(Duration::from_secs(1), "the server's socket", |lan| {
            server = server.or_else(|| lan.stack(SERVER).accept(listener));
            server.is_some()
        });
        let (client, server) = ((CLIENT, self.client), (SERVER, server.unwrap()));
        let stack = if self.hand == CLIENT { server } else { client };
        let fallback = Fallback { local: Some(why), peer: None };
        assert_eq!(self.pair.transport(stack.0, stack.1), Transport::Tcp(fallback));
        self.pair.transfer(client, server, 20_000);
        self.pair.transfer(server, client, 20_000);
    }
}

fn octets_of(message: &Message) -> Vec<u8> {
    let mut octets = vec![0; 1024];
    let len = message.emit(&mut octets).unwrap();
    octets.truncate(len);
    octets
}

fn sender() -> Sender {
    let mac = Mac([0x52, 0x54, 0, 0, 0, 1]);
    Sender { peer_id: PeerId { instance: 7, mac }, gid: Gid([0; 16]), mac }
}

/// What our own client would say.
fn proposal() -> ProposalV2 {
    let eids = [Eid::from_ascii("SIM").unwrap()];
    let offer = Offer { eids: &eids, max_conns: 255, max_links: 1, host_name: HostName::NONE };
    offer.propose(sender(), Gid::from_ipv4([10, 9, 0, 1]))
}

fn proposed(change: impl Fn(&mut ProposalV2)) -> ByHand {
    let mut hand = ByHand::new(81, CLIENT);
    let mut message = proposal();
    change(&mut message);
    hand.say(&Message::Proposal(Proposal::V2(message)));
    hand
}

fn terms() -> SmcrTerms {
    SmcrTerms {
        peer_id: PeerId { instance: 8, mac: Mac([0x52, 0x54, 0, 0, 0, 2]) },
        gid: Gid::from_ipv4([10, 9, 0, 2]),
        mac: Mac([0x52, 0x54, 0, 0, 0, 2]),
        qpn: Qpn::new(77),
        rkey: Rkey(99),
        rmbe_index: RmbeIndex::FIRST,
        alert_token: AlertToken(5),
        rmbe_size: RmbeSize::KIB_16,
        mtu: MtuCode::OCTETS_1024,
        rmb_address: 0x1000,
        psn: Psn::new(3),
    }
}

// ---- versions and offers we do not share ----

/// The server knows the Proposal of version 1, and has nothing for it: its
/// Decline is one of version 1, as Linux 6.12 over rxe says it.
#[test]
fn a_proposal_of_version_1() {
    let mut hand = ByHand::new(82, CLIENT);
    let ip_area = IpArea { ipv4_subnet: [10, 9, 0, 0], ipv4_prefix_len: 24, ipv6_prefixes: Vec::new() };
    let v1 = ProposalV1 { types: PathTypes::SmcR, sender: sender(), growth: Vec::new(), ip_area };
    hand.say(&Message::Proposal(Proposal::V1(v1)));
    hand.expect_decline(Diagnosis::NO_SMC_DEVICE, Version::V1);
}

/// It answers a Proposal of version 2 that offers nothing else.
#[test]
fn an_accept_of_version_1() {
    for first_contact in [true, false] {
        let mut hand = ByHand::new(83, SERVER);
        assert!(matches!(hand.heard(), Message::Proposal(Proposal::V2(_))));
        hand.say(&Message::Accept(Accept::V1(TermsV1 { first_contact, terms: terms() })));
        hand.expect_decline(Diagnosis::MODE_MISMATCH, Version::V2);
    }
}

#[test]
fn a_proposal_of_version_2_that_offers_version_1_alone() {
    proposed(|message| {
        message.v2_types = PathTypes::Neither;
        message.v1_types = PathTypes::SmcR;
        message.ip_area = Some(IpArea::default());
        message.v2 = None;
    })
    .expect_decline(Diagnosis::NO_SMC_DEVICE, Version::V2);
}

#[test]
fn a_proposal_without_an_enterprise_id() {
    proposed(|message| message.v2.as_mut().unwrap().eids.clear())
        .expect_decline(Diagnosis::NO_UEID, Version::V2);
}

/// A later contact to a link that the client has never heard of, from a server
/// that says it is one.
#[test]
fn an_accept_of_a_link_that_is_not_there() {
    let mut hand = ByHand::new(84, SERVER);
    hand.heard();
    let eid = Eid::from_ascii("SIM").unwrap();
    let accept =
        AgreementV2::<FirstContact> { version: Version::V2, terms: terms(), eid, first_contact: None };
    hand.say(&Message::Accept(Accept::V2(accept)));
    hand.expect_decline(Diagnosis::OUT_OF_SYNC, Version::V2);
}

// ---- slow, or silent ----

/// How a handshake drags on.
#[derive(Clone, Copy, Debug)]
enum Drag {
    /// Nothing is said at all.
    Silent,
    /// An octet a second.
    Dribble,
    /// The header, and then nothing.
    HeaderOnly,
}

/// However little it says, and however often: a message is whole in its time, or
/// the connection is over, and nothing of it is left.
#[test]
fn a_handshake_that_drags_on_is_over_in_the_time_of_a_message() {
    for drag in [Drag::Silent, Drag::Dribble, Drag::HeaderOnly] {
        for hand in [CLIENT, SERVER] {
            drag_on(hand, drag);
        }
    }
}

fn drag_on(hand: usize, drag: Drag) {
    let mut by_hand = ByHand::new(85, hand);
    let octets = match hand {
        CLIENT => octets_of(&Message::Proposal(Proposal::V2(proposal()))),
        _ => {
            by_hand.heard();
            octets_of(&Message::Accept(Accept::V1(TermsV1 { first_contact: true, terms: terms() })))
        }
    };
    if matches!(drag, Drag::HeaderOnly) {
        by_hand.say_octets(&octets[..Header::LEN]);
    }
    for octet in &octets[..5] {
        if matches!(drag, Drag::Dribble) {
            by_hand.say_octets(&[*octet]);
        }
        by_hand.pair.lan.run_for(Duration::from_secs(1));
    }
    let ByHand { mut pair, client, .. } = by_hand;
    if hand == CLIENT {
        assert_eq!(pair.lan.stack(SERVER).held().handshakes, 1, "{drag:?}: not too early");
    } else {
        assert_eq!(pair.error(CLIENT, client), None, "{drag:?}: not too early");
    }
    pair.lan.run_for(Duration::from_millis(1500));
    if hand == CLIENT {
        let held = pair.lan.stack(SERVER).held();
        assert_eq!((held.handshakes, held.backlog, held.groups, held.tokens), (0, 0, 0, 0), "{drag:?}");
        assert_eq!(pair.lan.stack(SERVER).stats().handshakes_failed, 1, "{drag:?}");
        let listener = pair.listener;
        assert!(pair.lan.stack(SERVER).accept(listener).is_none(), "{drag:?}");
    } else {
        assert_eq!(pair.error(CLIENT, client), Some(ConnectionError::TimedOut("the Accept")), "{drag:?}");
    }
}

/// A client that takes the Accept of a first contact and says no more: neither
/// its half of the group nor the group is left.
#[test]
fn a_first_contact_that_is_never_confirmed_leaves_nothing() {
    let mut hand = proposed(|_| {});
    assert!(matches!(hand.heard(), Message::Accept(_)));
    let held = hand.pair.lan.stack(SERVER).held();
    assert_eq!((held.groups, held.tokens), (1, 1));
    hand.pair.lan.run_for(Duration::from_millis(5500));
    assert_eq!(hand.pair.lan.stack(SERVER).held().tokens, 1, "not too early");
    hand.pair.lan.run_for(Duration::from_secs(4));
    let held = hand.pair.lan.stack(SERVER).held();
    assert_eq!((held.handshakes, held.backlog, held.groups, held.tokens), (0, 0, 0, 0));
    let objects = hand.pair.lan.stack(SERVER).provider_mut().objects();
    assert_eq!((objects.pds, objects.qps, objects.memories, objects.mrs), (0, 0, 0, 0));
}
