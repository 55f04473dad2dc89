//! What is not compared, or not under tshark's name, and why. The one list.

use serde_json::Value;

use crate::ours::number;

/// In what way a field is out of the ordinary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// tshark shows it, our decode has no such field.
    NotOurs,
    /// Our decode has it, tshark does not show it.
    OnlyOurs,
    /// tshark shows it under a name that says something else; it is compared.
    Misnamed,
}

/// One field, or layer, and the reason.
pub(crate) struct Exception {
    pub(crate) kind: Kind,
    /// tshark's name, or that of our layer.
    pub(crate) field: &'static str,
    /// For which of our messages it holds.
    pub(crate) when: fn(&Value) -> bool,
    pub(crate) why: &'static str,
}

const fn not_ours(field: &'static str, why: &'static str) -> Exception {
    Exception { kind: Kind::NotOurs, field, when: always, why }
}

const fn misnamed(field: &'static str, why: &'static str) -> Exception {
    Exception { kind: Kind::Misnamed, field, when: always, why }
}

const fn only_ours(field: &'static str, when: fn(&Value) -> bool, why: &'static str) -> Exception {
    Exception { kind: Kind::OnlyOurs, field, when, why }
}

fn always(_: &Value) -> bool {
    true
}

fn is_response(ours: &Value) -> bool {
    number(ours, "/response") == Some(1)
}

fn is_request(ours: &Value) -> bool {
    number(ours, "/response") == Some(0)
}

/// Every exception. One that no frame needs fails the test.
pub(crate) const TABLE: &[Exception] = &[
    only_ours("llc", is_little_endian, LITTLE_ENDIAN),
    only_ours("smc.add.link.response.reject_reason", is_request, "tshark shows it of responses only"),
    only_ours("smc.add.link.flags3", is_response, RESPONSE),
    only_ours("smc.add.link.direct_link", is_response, RESPONSE),
    only_ours("smc.add.link.client_target_gid", is_response, RESPONSE),
    only_ours("smc.add.link.rkey_count", is_response, RESPONSE),
    only_ours("smc.add.link.rmb.RTok.Rkey1", is_response, RESPONSE),
    only_ours("smc.add.link.rmb.RTok.Rkey2", is_response, RESPONSE),
    only_ours("smc.add.link.rmb.RTok.virt", is_response, RESPONSE),
    only_ours("smc.delete.rkey.count.invalid", is_request, "tshark shows it of responses only"),
    only_ours("smc.delete.rkey.deleted", is_response, "tshark shows as many as are invalid, and none was"),
    misnamed("smc.proposal.smc.version", "tshark has one name for the version of all but Decline"),
    misnamed("smc.proposal.first.contact", "tshark has the Accept's flag among the Proposal's"),
    misnamed("smc.accept.fce1.flags", "tshark has one name for Accept and Confirm"),
    misnamed("smc.accept.v2_lg.type", "tshark has one name for Accept and Confirm"),
    misnamed("smc.accept.fce.flags", "tshark has one name for Accept and Confirm"),
    misnamed("smc.reserved", "tshark shows as reserved the octets to which v2.1 gives a meaning"),
    misnamed("smc.rmbe.ctrl.prod.wrap.seq", "tshark gives both cursors the producer's name"),
    misnamed("smc.rmbe.ctrl.peer.prod.curs", "tshark gives both cursors the producer's name"),
    misnamed("smc.add.link.flags", "tshark has one name for ADD LINK and REQUEST ADD LINK"),
    misnamed("infiniband.reserved", "tshark knows InfiniBand's BTH, not the bits RoCEv2 uses in it"),
    misnamed("tcp.options", "tshark shows no offset, but all options, and these begin at 20"),
    not_ours("smc.reserved", "reserved octets are ignored, and not kept"),
    not_ours("smc.proposal.ismv2_gid_count", "ours is the list itself, and only if there is SMC-D"),
    not_ours("smc.proposal.smcv2_ext_offset", OFFSET),
    not_ours("smc.proposal.smcdv2_ext_offset", OFFSET),
    not_ours("smc.request.add.link.response.rejected", "our decode has no such flag, nor has Linux 6.12"),
    not_ours("infiniband.bth", OCTETS),
    not_ours("infiniband.reth", OCTETS),
    not_ours("infiniband.aeth", OCTETS),
    not_ours("infiniband.bth.tver", "a header of another version than 0 is refused, not described"),
    not_ours("infiniband.bth.reserved7", "reserved bits are ignored, and not kept"),
    not_ours("ip.hdr_len", "our decode skips IPv4 options without a word"),
    not_ours("ip.flags.rb", "a reserved bit is ignored, and not kept"),
    not_ours("ip.checksum", "our decode says if it is wrong, not what it is"),
    not_ours("ipv6.hopopts.nxt", "our decode stops at the first extension header"),
    not_ours("tcp.checksum", "our decode does not look: hosts leave it to the NIC behind the capture"),
    not_ours("tcp.urgent_pointer", "our decode does not show it"),
    not_ours("tcp.options.nop", OTHER_OPTION),
    not_ours("tcp.options.mss", OTHER_OPTION),
    not_ours("tcp.options.wscale", OTHER_OPTION),
    not_ours("tcp.options.sack_perm", OTHER_OPTION),
    not_ours("tcp.options.timestamp", OTHER_OPTION),
];

const LITTLE_ENDIAN: &str = "tshark reads the length of SMC-Rv2 LLC as big-endian only and then takes the message \
     for no LLC at all: it is compared in network order";
const RESPONSE: &str = "tshark does not read the extension of an ADD LINK response";
const OFFSET: &str = "layout: what stands there is compared";
const OTHER_OPTION: &str = "of the TCP options our decode shows the SMC option only";
const OCTETS: &str = "the octets of a header whose fields are compared one by one";

fn is_little_endian(ours: &Value) -> bool {
    ours.get("host_order").and_then(Value::as_str) == Some("little-endian")
}

/// The place in [`TABLE`] of the exception that allows this.
pub(crate) fn find(kind: Kind, field: &str, ours: &Value) -> Option<usize> {
    TABLE.iter().position(|e| e.kind == kind && e.field == field && (e.when)(ours))
}
