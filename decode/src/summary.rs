//! The closing words: each connection, each link group, the whole capture.

use std::fmt;

use serde_json::Value;

use crate::cdc_rules::Said;
use crate::connection::{Connection, Connections, Transport};
use crate::group::{Group, Groups, LinkCounts, Side};
use crate::report::fields;

/// What a capture held.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Every TCP connection.
    pub connections: Vec<ConnectionSummary>,
    /// Every link group.
    pub groups: Vec<GroupSummary>,
    /// Frames seen.
    pub frames: u64,
    /// Frames that break a rule.
    pub violations: u64,
    /// Frames that were not understood.
    pub unknown: u64,
    /// Frames that were not captured whole.
    pub cut: u64,
}

/// One connection.
#[derive(Clone, Debug)]
pub struct ConnectionSummary {
    /// Counts from 1.
    pub id: u32,
    /// Address and port.
    pub client: String,
    /// Address and port.
    pub server: String,
    /// "SMC-R", "SMC-D", "TCP", "none" or "unknown".
    pub transport: &'static str,
    /// Which contact, or why TCP.
    pub why: String,
    /// Link group it joined.
    pub group: Option<u32>,
    /// Link it began on.
    pub link: Option<String>,
    /// Application octets from client to server and back.
    pub octets: [u64; 2],
    /// CLC messages.
    pub clc: u64,
    /// CDC messages, both ways.
    pub cdc: u64,
    /// RDMA WRITEs, both ways.
    pub writes: u64,
    /// Segments, CDC and WRITE packets seen again.
    pub retransmissions: u64,
    /// What happened on the link it began on, to all its connections: LLC
    /// messages, NAKs and RNR NAKs name no connection.
    pub on_link: LinkCounts,
    /// How it ended: CDC state flags of client and server, FIN, RST.
    pub end: String,
}

/// One link group.
#[derive(Clone, Debug)]
pub struct GroupSummary {
    /// Counts from 1.
    pub id: u32,
    /// Connections that joined it.
    pub connections: u32,
    /// Its links.
    pub links: Vec<LinkSummary>,
}

/// One link.
#[derive(Clone, Debug)]
pub struct LinkSummary {
    /// Its number, "?" if CONFIRM LINK was not seen.
    pub number: String,
    /// Client's and server's queue pair.
    pub qps: String,
    /// What happened on it.
    pub counts: LinkCounts,
}

impl Summary {
    pub(crate) fn new(connections: &Connections, groups: &Groups) -> Self {
        Self {
            connections: connections.iter().map(|c| connection(c, groups)).collect(),
            groups: groups.groups.iter().map(group).collect(),
            ..Self::default()
        }
    }

    /// One object per connection, one per link group, and one for the capture.
    pub fn to_json(&self) -> Vec<Value> {
        let connections = self.connections.iter().map(ConnectionSummary::to_json);
        let groups = self.groups.iter().map(GroupSummary::to_json);
        let capture = fields! {
            "kind" => "capture", "frames" => self.frames, "connections" => self.connections.len(),
            "groups" => self.groups.len(), "violations" => self.violations,
            "unknown" => self.unknown, "cut" => self.cut,
        };
        connections.chain(groups).chain([Value::from(capture)]).collect()
    }
}

fn connection(c: &Connection, groups: &Groups) -> ConnectionSummary {
    let (client, server) = (c.said.of(Side::Client), c.said.of(Side::Server));
    let (transport, why) = match c.transport {
        Transport::Opening => match c.reset_by {
            Some(side) => ("none", format!("the {} reset it before it was open", side.name())),
            None => ("unknown", "the capture ends before it is settled".to_owned()),
        },
        Transport::SmcR { first_contact: true } => ("SMC-R", "first contact".to_owned()),
        Transport::SmcR { first_contact: false } => ("SMC-R", "subsequent contact".to_owned()),
        Transport::SmcD => ("SMC-D", "the peers share memory".to_owned()),
        Transport::Tcp(reason) => ("TCP", reason.sentence()),
        Transport::NotSeen => ("unknown", "the capture begins after the handshake".to_owned()),
    };
    let octets = |side| match c.transport {
        Transport::SmcR { .. } => c.said.of(side).octets,
        _ => c.streams.of(side).application_octets,
    };
    let place = c.place.and_then(|(group, link)| Some((groups.groups.get(group)?, link)));
    ConnectionSummary {
        id: c.id,
        client: c.addresses.of(Side::Client).to_string(),
        server: c.addresses.of(Side::Server).to_string(),
        transport,
        why,
        group: place.map(|(group, _)| group.id),
        link: place.map(|(group, link)| group.link_name(link)),
        on_link: place
            .and_then(|(group, link)| Some(group.links.get(link)?.counts.clone()))
            .unwrap_or_default(),
        octets: [octets(Side::Client), octets(Side::Server)],
        clc: c.clc_messages,
        cdc: client.messages + server.messages,
        writes: client.writes + server.writes,
        retransmissions: c.tcp_retransmissions + client.repeated + server.repeated,
        end: end(c, client, server),
    }
}

fn end(c: &Connection, client: &Said, server: &Said) -> String {
    let mut words = Vec::new();
    for (side, said) in [(Side::Client, client), (Side::Server, server)] {
        if !said.state.is_empty() {
            words.push(format!("{} {}", side.name(), said.state));
        }
    }
    for side in [Side::Client, Side::Server] {
        if *c.fin.of(side) {
            words.push(format!("{} FIN", side.name()));
        }
    }
    if let Some(side) = c.reset_by {
        words.push(format!("{} RST", side.name()));
    }
    if words.is_empty() { "open".to_owned() } else { words.join(", ") }
}

fn group(g: &Group) -> GroupSummary {
    let links = g.links.iter().enumerate().map(|(index, link)| LinkSummary {
        number: g.link_name(index),
        qps: [Side::Client, Side::Server]
            .map(|side| link.ends.of(side).map_or("?".to_owned(), |end| format!("{} {}", end.gid, end.qpn)))
            .join(" - "),
        counts: link.counts.clone(),
    });
    GroupSummary { id: g.id, connections: g.connections, links: links.collect() }
}

impl ConnectionSummary {
    fn to_json(&self) -> Value {
        let mut out = fields! {
            "kind" => "connection", "connection" => self.id,
            "client" => self.client.clone(), "server" => self.server.clone(),
            "transport" => self.transport, "why" => self.why.clone(),
        };
        if let (Some(group), Some(link)) = (self.group, &self.link) {
            out.extend(fields! { "group" => group, "link" => link.clone() });
        }
        let [to_server, to_client] = self.octets;
        out.extend(fields! {
            "octets_to_server" => to_server, "octets_to_client" => to_client,
            "clc" => self.clc, "cdc" => self.cdc, "writes" => self.writes,
            "retransmissions" => self.retransmissions, "end" => self.end.clone(),
        });
        if self.group.is_some() {
            let link = &self.on_link;
            out.extend(fields! {
                "link_llc" => link.llc, "link_naks" => link.naks, "link_rnr_naks" => link.rnr_naks,
            });
        }
        out.into()
    }
}

impl GroupSummary {
    fn to_json(&self) -> Value {
        let links = self.links.iter().map(|link| {
            let c = &link.counts;
            Value::from(fields! {
                "link" => link.number.clone(), "qps" => link.qps.clone(),
                "llc" => c.llc, "cdc" => c.cdc, "write_packets" => c.write_packets, "acks" => c.acks,
                "naks" => c.naks, "rnr_naks" => c.rnr_naks, "retransmissions" => c.retransmissions,
            })
        });
        fields! {
            "kind" => "group", "group" => self.id, "connections" => self.connections,
            "links" => links.collect::<Vec<_>>(),
        }
        .into()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in &self.connections {
            let group = match (&c.group, &c.link) {
                (Some(group), Some(link)) => format!(", group {group} link {link}"),
                _ => String::new(),
            };
            let [to_server, to_client] = c.octets;
            writeln!(
                f,
                "connection {}: {} > {}: {} ({}{group})",
                c.id, c.client, c.server, c.transport, c.why
            )?;
            writeln!(
                f,
                "    {to_server} octets to the server, {to_client} to the client; {} CLC, {} CDC, {} WRITEs, \
                 {} retransmissions; {}",
                c.clc, c.cdc, c.writes, c.retransmissions, c.end
            )?;
            if c.group.is_some() {
                let link = &c.on_link;
                writeln!(
                    f,
                    "    its link: {} LLC, {} NAKs, {} RNR NAKs",
                    link.llc, link.naks, link.rnr_naks
                )?;
            }
        }
        for g in &self.groups {
            for link in &g.links {
                let c = &link.counts;
                writeln!(
                    f,
                    "group {} ({} connections) link {}: {}",
                    g.id, g.connections, link.number, link.qps
                )?;
                writeln!(
                    f,
                    "    {} LLC, {} CDC, {} WRITE packets, {} ACKs, {} NAKs, {} RNR NAKs, {} retransmissions",
                    c.llc, c.cdc, c.write_packets, c.acks, c.naks, c.rnr_naks, c.retransmissions
                )?;
            }
        }
        write!(
            f,
            "{} frames, {} violations, {} not understood, {} cut by the capture",
            self.frames, self.violations, self.unknown, self.cut
        )
    }
}
