//! TCP connections: who speaks, whether SMC was agreed on, and why not.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use smolsmc_clc::{Accept, Confirm, Diagnosis, Proposal};

use crate::cdc_rules::Said;
use crate::group::{Both, MAX_TRACKED, Side};
use crate::stream::Stream;

/// What carries the connection's octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// SYN seen; not agreed yet.
    Opening,
    /// SMC-R.
    SmcR {
        /// Whether the handshake created the link group.
        first_contact: bool,
    },
    /// SMC-D, which runs where no capture sees it.
    SmcD,
    /// TCP, and why.
    Tcp(TcpReason),
    /// The capture began after the handshake.
    NotSeen,
}

/// Why a connection is plain TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TcpReason {
    /// The client did not offer SMC.
    NotOffered,
    /// The server's SYN-ACK has no SMC option.
    NotAccepted,
    /// One side declined.
    Declined(Side, Diagnosis),
    /// The first octets on the stream are no CLC message.
    NotClc,
}

impl TcpReason {
    /// As a sentence.
    pub(crate) fn sentence(self) -> String {
        match self {
            Self::NotOffered => "the SYN has no SMC option".to_owned(),
            Self::NotAccepted => "the SYN-ACK has no SMC option".to_owned(),
            Self::Declined(side, diagnosis) => {
                format!("the {} declined with {:#010x} ({diagnosis})", side.name(), diagnosis.0)
            }
            Self::NotClc => "the stream does not begin with a CLC message".to_owned(),
        }
    }
}

/// Everything known of one TCP connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Counts from 1 in this capture.
    pub(crate) id: u32,
    /// Their addresses.
    pub(crate) addresses: Both<SocketAddr>,
    /// What carries it.
    pub(crate) transport: Transport,
    /// Whether the SYN (client) and the SYN-ACK (server) had the SMC option.
    pub(crate) option: Both<Option<bool>>,
    /// Initial sequence number of the client, to know a repeated SYN.
    pub(crate) client_isn: Option<u32>,
    /// What each side sent on TCP.
    pub(crate) streams: Both<Stream>,
    /// The client's offer.
    pub(crate) proposal: Option<Proposal>,
    /// The server's answer.
    pub(crate) accept: Option<Accept>,
    /// The client's end of the handshake.
    pub(crate) confirm: Option<Confirm>,
    /// CLC messages seen.
    pub(crate) clc_messages: u64,
    /// Segments with octets seen before.
    pub(crate) tcp_retransmissions: u64,
    /// Link group and link, by index.
    pub(crate) place: Option<(usize, usize)>,
    /// What each side said in CDC messages.
    pub(crate) said: Both<Said>,
    /// Who sent a RST.
    pub(crate) reset_by: Option<Side>,
    /// Whether each side sent a FIN.
    pub(crate) fin: Both<bool>,
}

impl Connection {
    fn new(id: u32, client: SocketAddr, server: SocketAddr, transport: Transport) -> Self {
        Self {
            id,
            addresses: Both::new(client, server),
            transport,
            option: Both::default(),
            client_isn: None,
            streams: Both::default(),
            proposal: None,
            accept: None,
            confirm: None,
            clc_messages: 0,
            tcp_retransmissions: 0,
            place: None,
            said: Both::default(),
            reset_by: None,
            fin: Both::default(),
        }
    }

    /// Length of the ring that `owner` receives into.
    pub(crate) fn ring_len(&self, owner: Side) -> Option<u32> {
        self.terms(owner).map(|terms| terms.rmbe_size.octets())
    }

    /// Where in its RMB that ring begins.
    pub(crate) fn element_offset(&self, owner: Side) -> Option<u64> {
        let terms = self.terms(owner)?;
        terms.rmbe_index.offset(terms.rmbe_size.octets())
    }

    fn terms(&self, owner: Side) -> Option<&smolsmc_clc::SmcrTerms> {
        match owner {
            Side::Server => self.accept.as_ref()?.smcr_terms(),
            Side::Client => self.confirm.as_ref()?.smcr_terms(),
        }
    }

    /// Whether all that both sides said is known, so that rules about windows
    /// can be held against them.
    pub(crate) fn is_certain(&self) -> bool {
        let certain = |said: &Said| !said.incomplete && !said.failed_over;
        certain(self.said.of(Side::Client)) && certain(self.said.of(Side::Server))
    }
}

/// All TCP connections of a capture.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    all: Vec<Connection>,
    newest: BTreeMap<(SocketAddr, SocketAddr), usize>,
}

/// What a segment says about which connection it belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentFacts {
    /// From.
    pub(crate) src: SocketAddr,
    /// To.
    pub(crate) dst: SocketAddr,
    /// SYN without ACK.
    pub(crate) syn: bool,
    /// SYN with ACK.
    pub(crate) syn_ack: bool,
    /// Sequence number.
    pub(crate) seq: u32,
}

impl Connections {
    /// The connection of a segment and the side that sent it; made if it is new.
    /// `None` if too many are known.
    pub(crate) fn of_segment(&mut self, segment: SegmentFacts) -> Option<(&mut Connection, Side)> {
        let SegmentFacts { src, dst, syn, syn_ack, seq } = segment;
        let key = if src <= dst { (src, dst) } else { (dst, src) };
        let known = self.newest.get(&key).copied().filter(|&index| {
            // A SYN with another sequence number opens the address pair again.
            !syn || self.all.get(index).is_some_and(|c| c.client_isn == Some(seq))
        });
        let index = match known {
            Some(index) => index,
            None if self.all.len() >= MAX_TRACKED => return None,
            None => {
                let from_client = if syn || syn_ack { syn } else { src.port() >= dst.port() };
                let (client, server) = if from_client { (src, dst) } else { (dst, src) };
                let transport = if syn { Transport::Opening } else { Transport::NotSeen };
                let id = u32::try_from(self.all.len()).unwrap_or(u32::MAX).saturating_add(1);
                self.all.push(Connection::new(id, client, server, transport));
                self.newest.insert(key, self.all.len() - 1);
                self.all.len() - 1
            }
        };
        let connection = self.all.get_mut(index)?;
        let side = if *connection.addresses.of(Side::Client) == src { Side::Client } else { Side::Server };
        Some((connection, side))
    }

    /// The connection with this index.
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut Connection> {
        self.all.get_mut(index)
    }

    /// All of them, in the order they were seen.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.all.iter()
    }
}
