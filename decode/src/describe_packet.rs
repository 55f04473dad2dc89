//! Headers below SMC as fields.

use smolsmc_roce::packet::{Bth, EthernetHeader, Ext, Ipv4Header, Ipv6Header, Syndrome, UdpHeader};

use crate::describe_link::hex;
use crate::report::{Fields, fields};

/// Ethernet.
pub(crate) fn ethernet_fields(h: &EthernetHeader) -> Fields {
    let mut out = fields! {
        "dst" => h.dst.to_string(), "src" => h.src.to_string(), "type" => h.ethertype.0,
    };
    if let Some(tag) = h.vlan {
        out.extend(fields! { "vlan_id" => tag.vid(), "vlan_priority" => tag.pcp() });
    }
    out
}

/// IPv4.
pub(crate) fn ipv4_fields(h: &Ipv4Header) -> Fields {
    fields! {
        "version" => 4,
        "src" => h.src.to_string(), "dst" => h.dst.to_string(),
        "tos" => h.tos, "total_len" => h.total_len, "id" => h.identification,
        "dont_fragment" => h.dont_fragment, "more_fragments" => h.more_fragments,
        "fragment_offset" => h.fragment_offset, "ttl" => h.ttl, "protocol" => h.protocol.0,
    }
}

/// IPv6.
pub(crate) fn ipv6_fields(h: &Ipv6Header) -> Fields {
    fields! {
        "version" => 6,
        "src" => h.src.to_string(), "dst" => h.dst.to_string(),
        "traffic_class" => h.traffic_class, "flow_label" => h.flow_label,
        "payload_len" => h.payload_len, "next_header" => h.next_header.0, "hop_limit" => h.hop_limit,
    }
}

/// UDP.
pub(crate) fn udp_fields(h: &UdpHeader) -> Fields {
    fields! {
        "src_port" => h.src_port, "dst_port" => h.dst_port, "len" => h.len, "checksum" => h.checksum,
    }
}

/// Base transport header.
pub(crate) fn bth_fields(h: &Bth) -> Fields {
    fields! {
        "opcode" => h.opcode.0, "opcode_name" => h.opcode.to_string(),
        "solicited" => h.solicited, "migrated" => h.migrated, "pad" => h.pad, "pkey" => h.pkey,
        "fecn" => h.fecn, "becn" => h.becn, "dest_qpn" => h.dest_qpn.value(),
        "ack_request" => h.ack_request, "psn" => h.psn.value(),
    }
}

/// The extension headers, each as a layer of its own.
pub(crate) fn ext_fields(ext: &Ext) -> Fields {
    let mut out = Fields::new();
    if let Some(reth) = ext.reth() {
        let fields = fields! { "vaddr" => reth.vaddr, "rkey" => reth.rkey.0, "dma_len" => reth.dma_len };
        out.insert("reth".to_owned(), fields.into());
    }
    if let Some(aeth) = ext.aeth() {
        let (kind, name) = match aeth.syndrome {
            Syndrome::Ack { .. } => ("ack", "ACK".to_owned()),
            Syndrome::RnrNak { timer } => ("rnr-nak", format!("RNR NAK, wait {}", timer.duration())),
            Syndrome::Nak { code } => ("nak", code.to_string()),
            Syndrome::Reserved(_) => ("reserved", "reserved".to_owned()),
        };
        let fields = fields! {
            "syndrome" => aeth.syndrome.octet(), "kind" => kind, "name" => name, "msn" => aeth.msn.value(),
        };
        out.insert("aeth".to_owned(), fields.into());
    }
    if let Some(imm) = ext.imm() {
        out.insert("immdt".to_owned(), fields! { "immediate" => hex(&imm.0) }.into());
    }
    match ext {
        Ext::Ieth(ieth) => {
            out.insert("ieth".to_owned(), fields! { "rkey" => ieth.0.0 }.into());
        }
        Ext::AtomicEth(eth) => {
            out.insert("atomiceth".to_owned(), fields! { "octets" => hex(&eth.0) }.into());
        }
        Ext::AtomicAck(_, eth) => {
            out.insert("atomicacketh".to_owned(), fields! { "octets" => hex(&eth.0) }.into());
        }
        _ => {}
    }
    out
}
