//! CLC messages in words and fields.

use serde_json::Value;
use smolsmc_clc::{
    Accept, Confirm, Decline, FirstContact, IpArea, Locator, Message, OpaqueTerms, PathTypes, Proposal,
    ProposalV1, ProposalV2, Sender, SmcdV2Extension, SmcrTerms, V2Extension,
};

use crate::describe_link::hex;
use crate::report::{Fields, fields};

/// One line about a CLC message.
pub(crate) fn clc_line(message: &Message) -> String {
    match message {
        Message::Proposal(Proposal::V1(m)) => format!("CLC Proposal v1: {} in v1", types_name(m.types)),
        Message::Proposal(Proposal::V2(m)) => {
            let eids: Vec<_> =
                m.v2.iter().flat_map(|v2| &v2.eids).map(|eid| format!("{:?}", eid.to_string())).collect();
            format!(
                "CLC Proposal {}: {} in v2, {} in v1, EIDs {}",
                m.version,
                types_name(m.v2_types),
                types_name(m.v1_types),
                eids.join(" ")
            )
        }
        Message::Accept(m) => {
            format!("CLC Accept {}{}", m.version(), terms_line(m.is_first_contact(), m.smcr_terms()))
        }
        Message::Confirm(m) => {
            format!("CLC Confirm {}{}", m.version(), terms_line(m.is_first_contact(), m.smcr_terms()))
        }
        Message::Decline(m) => {
            let sync = if m.out_of_sync { ", out of sync" } else { "" };
            format!("CLC Decline {} {:#010x} ({}){sync}", m.version, m.diagnosis.0, m.diagnosis)
        }
    }
}

fn types_name(types: PathTypes) -> &'static str {
    match types {
        PathTypes::SmcR => "SMC-R",
        PathTypes::SmcD => "SMC-D",
        PathTypes::Both => "SMC-R and SMC-D",
        PathTypes::Neither => "nothing",
    }
}

fn terms_line(first_contact: bool, terms: Option<&SmcrTerms>) -> String {
    let contact = if first_contact { "first contact" } else { "subsequent contact" };
    match terms {
        None => format!(" SMC-D, {contact}"),
        Some(t) => format!(
            " {contact}, qp {} {} rkey {} token {} RMBE {} mtu {} psn {}",
            t.qpn, t.gid, t.rkey, t.alert_token, t.rmbe_size, t.mtu, t.psn
        ),
    }
}

/// All fields of a CLC message.
pub(crate) fn clc_fields(message: &Message) -> Fields {
    let mut out = match message.header() {
        Ok(h) => fields! {
            "type" => h.message_type.to_string(), "length" => h.length,
            "version" => h.version.nibble(), "flags" => h.flags,
        },
        Err(_) => Fields::new(),
    };
    out.extend(match message {
        Message::Proposal(Proposal::V1(m)) => proposal_v1(m),
        Message::Proposal(Proposal::V2(m)) => proposal_v2(m),
        Message::Accept(Accept::V1(m)) => smcr_terms(m.first_contact, &m.terms),
        Message::Accept(Accept::V2(m)) => {
            let mut out = smcr_terms(m.first_contact.is_some(), &m.terms);
            out.extend(fields! { "eid" => m.eid.to_string() });
            out.extend(m.first_contact.iter().flat_map(first_contact));
            out
        }
        Message::Accept(Accept::SmcD(m)) | Message::Confirm(Confirm::SmcD(m)) => opaque(m),
        Message::Confirm(Confirm::V1(m)) => smcr_terms(m.first_contact, &m.terms),
        Message::Confirm(Confirm::V2(m)) => {
            let mut out = smcr_terms(m.first_contact.is_some(), &m.terms);
            out.extend(fields! { "eid" => m.eid.to_string() });
            if let Some(first) = &m.first_contact {
                out.extend(first_contact(&first.extension));
                let gids = first.gids.iter().flatten().map(|gid| Value::from(gid.to_string()));
                out.extend(fields! { "gids" => gids.collect::<Vec<_>>() });
            }
            out
        }
        Message::Decline(m) => decline(m),
    });
    out
}

fn sender(s: &Sender) -> Fields {
    fields! {
        "peer_id" => s.peer_id.to_string(), "gid" => s.gid.to_string(), "mac" => s.mac.to_string(),
    }
}

fn ip_area(area: &IpArea) -> Fields {
    let [a, b, c, d] = area.ipv4_subnet;
    let prefixes = area.ipv6_prefixes.iter();
    fields! {
        "ipv4_subnet" => format!("{a}.{b}.{c}.{d}/{}", area.ipv4_prefix_len),
        "ipv6_prefixes" => prefixes
            .map(|p| Value::from(format!("{}/{}", core::net::Ipv6Addr::from(p.prefix), p.len)))
            .collect::<Vec<_>>(),
    }
}

fn locator(l: &Locator) -> Fields {
    fields! {
        "ism_gid" => l.ism_gid, "ism_chid" => l.ism_chid,
        "vendor_oui" => hex(&l.vendor_oui), "vendor_options" => hex(&l.vendor_options),
    }
}

fn proposal_v1(m: &ProposalV1) -> Fields {
    let mut out = fields! { "v1_types" => format!("{:?}", m.types) };
    out.extend(sender(&m.sender));
    if let Some(area) = m.locator() {
        out.extend(locator(&area));
    } else if !m.growth.is_empty() {
        out.extend(fields! { "growth" => hex(&m.growth) });
    }
    out.extend(ip_area(&m.ip_area));
    out
}

fn proposal_v2(m: &ProposalV2) -> Fields {
    let mut out = fields! {
        "v2_types" => format!("{:?}", m.v2_types), "v1_types" => format!("{:?}", m.v1_types),
    };
    out.extend(sender(&m.sender));
    out.extend(locator(&m.locator));
    out.extend(m.ip_area.iter().flat_map(ip_area));
    out.extend(m.v2.iter().flat_map(v2_extension));
    out.extend(m.smcd_v2.iter().flat_map(smcd_v2_extension));
    out
}

fn v2_extension(v2: &V2Extension) -> Fields {
    fields! {
        "release" => v2.release, "seid_present" => v2.seid_present,
        "roce_gid" => v2.roce_gid.to_string(),
        "max_conns" => v2.max_conns, "max_links" => v2.max_links, "feature_mask" => v2.feature_mask,
        "eids" => v2.eids.iter().map(|eid| Value::from(eid.to_string())).collect::<Vec<_>>(),
    }
}

fn smcd_v2_extension(v2: &SmcdV2Extension) -> Fields {
    let gid = |g: &smolsmc_clc::IsmGid| Value::from(fields! { "gid" => g.gid, "chid" => g.chid });
    fields! { "seid" => v2.seid.to_string(), "ism_gids" => v2.gids.iter().map(gid).collect::<Vec<_>>() }
}

fn smcr_terms(first_contact: bool, t: &SmcrTerms) -> Fields {
    fields! {
        "first_contact" => first_contact,
        "peer_id" => t.peer_id.to_string(), "gid" => t.gid.to_string(), "mac" => t.mac.to_string(),
        "qpn" => t.qpn.value(), "rkey" => t.rkey.0, "rmbe_index" => t.rmbe_index.0,
        "alert_token" => t.alert_token.0, "rmbe_size_code" => t.rmbe_size.code(),
        "rmbe_size" => t.rmbe_size.octets(), "mtu_code" => t.mtu.code(),
        "rmb_address" => t.rmb_address, "psn" => t.psn.value(),
    }
}

fn first_contact(f: &FirstContact) -> Fields {
    fields! {
        "v2_direct" => f.v2_direct, "os" => f.os.0, "os_name" => f.os.to_string(),
        "release" => f.release, "host_name" => f.host_name.to_string(),
        "max_conns" => f.max_conns, "max_links" => f.max_links, "feature_mask" => f.feature_mask,
        "vendor_options" => hex(&f.vendor_options),
    }
}

fn opaque(m: &OpaqueTerms) -> Fields {
    fields! { "first_contact" => m.first_contact(), "octets" => hex(&m.octets) }
}

fn decline(m: &Decline) -> Fields {
    let mut out = fields! {
        "out_of_sync" => m.out_of_sync, "peer_id" => m.peer_id.to_string(),
        "diagnosis" => m.diagnosis.0, "diagnosis_name" => m.diagnosis.to_string(),
    };
    if !m.version.is_v1() {
        out.extend(fields! { "os" => m.os.0, "extra" => m.extra.to_vec() });
    }
    out
}
