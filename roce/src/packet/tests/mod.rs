extern crate alloc;
extern crate std;

mod frames;
mod headers;
mod icrc;
mod refusals;
mod template;
mod vectors;

use alloc::vec;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use smolsmc_wire::{Mac, Msn, Psn, Qpn, Rkey};

use super::*;

/// Sealed frame of `headers` and `payload`, exactly as long as it should be.
fn sealed(headers: &FrameHeaders, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xaa; headers.frame_len(payload.len())];
    assert_eq!(headers.emit_with(payload, &mut frame), Ok(frame.len()));
    frame
}

fn parsed(frame: &[u8]) -> RocePacket<'_> {
    RocePacket::parse(frame).unwrap().unwrap()
}

/// A frame's IP header, corrected after a test has changed it.
fn mend_ipv4_checksum(header: &mut [u8]) {
    header[10..12].fill(0);
    let mut sum: u32 = header.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    header[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

fn v4_path() -> IpPath {
    let (src, dst) = (Ipv4Addr::new(10, 9, 0, 2), Ipv4Addr::new(10, 9, 0, 1));
    IpPath::V4 { src, dst, tos: 0, ttl: 1, identification: 0x1234 }
}

fn v6_path() -> IpPath {
    let (src, dst) = (Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1), Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2));
    IpPath::V6 { src, dst, traffic_class: 0, flow_label: 0, hop_limit: 1 }
}

/// An RDMA WRITE only.
fn write_only(ip: IpPath) -> FrameHeaders {
    FrameHeaders {
        dst: Mac([0x52, 0x54, 0, 0, 0, 1]),
        src: Mac([0x52, 0x54, 0, 0, 0, 2]),
        vlan: None,
        ip,
        src_port: 0xc121,
        bth: Bth::new(Opcode::WRITE_ONLY, Qpn::new(17), Psn::new(Psn::MAX.value())),
        ext: Ext::Reth(Reth { vaddr: 0x1122_3344_5566_7788, rkey: Rkey(0x99aa), dma_len: 5 }),
    }
}

prop_compose! {
    fn any_reth()(vaddr: u64, rkey: u32, dma_len: u32) -> Reth {
        Reth { vaddr, rkey: Rkey(rkey), dma_len }
    }
}

prop_compose! {
    fn any_aeth()(octet: u8, msn: u32) -> Aeth {
        Aeth { syndrome: Syndrome::from_octet(octet), msn: Msn::new(msn) }
    }
}

fn any_ext(kind: ExtKind) -> BoxedStrategy<Ext> {
    let imm = any::<[u8; 4]>().prop_map(ImmDt);
    match kind {
        ExtKind::None => Just(Ext::None).boxed(),
        ExtKind::Reth => any_reth().prop_map(Ext::Reth).boxed(),
        ExtKind::RethImm => (any_reth(), imm).prop_map(|(r, i)| Ext::RethImm(r, i)).boxed(),
        ExtKind::Imm => imm.prop_map(Ext::Imm).boxed(),
        ExtKind::Ieth => any::<u32>().prop_map(|key| Ext::Ieth(Ieth(Rkey(key)))).boxed(),
        ExtKind::Aeth => any_aeth().prop_map(Ext::Aeth).boxed(),
        ExtKind::AtomicEth => (any::<[u8; 28]>()).prop_map(|x| Ext::AtomicEth(AtomicEth(x))).boxed(),
        ExtKind::AtomicAck => {
            (any_aeth(), any::<[u8; 8]>()).prop_map(|(a, x)| Ext::AtomicAck(a, AtomicAckEth(x))).boxed()
        }
    }
}

prop_compose! {
    fn any_bth(opcode: Opcode)(
        (solicited, migrated, fecn, becn, ack_request) in any::<(bool, bool, bool, bool, bool)>(),
        pad in 0u8..4, pkey: u16, qpn: u32, psn: u32,
    ) -> Bth {
        let (dest_qpn, psn) = (Qpn::new(qpn), Psn::new(psn));
        Bth { opcode, solicited, migrated, pad, pkey, fecn, becn, dest_qpn, ack_request, psn }
    }
}

fn any_path() -> impl Strategy<Value = IpPath> {
    let v4 = any::<([u8; 4], [u8; 4], u8, u8, u16)>().prop_map(|(src, dst, tos, ttl, identification)| {
        IpPath::V4 { src: src.into(), dst: dst.into(), tos, ttl, identification }
    });
    let v6 = (any::<([u8; 16], [u8; 16], u8, u8)>(), 0..=Ipv6Header::MAX_FLOW_LABEL).prop_map(
        |((src, dst, traffic_class, hop_limit), flow_label)| IpPath::V6 {
            src: src.into(),
            dst: dst.into(),
            traffic_class,
            flow_label,
            hop_limit,
        },
    );
    prop_oneof![v4, v6]
}

/// Headers of any named opcode, with the extension headers it asks for.
fn any_headers() -> impl Strategy<Value = FrameHeaders> {
    proptest::sample::select(Opcode::NAMED)
        .prop_flat_map(|opcode| {
            let link = any::<([u8; 6], [u8; 6], Option<u16>)>();
            (link, any_path(), any::<u16>(), any_bth(opcode), any_ext(opcode.ext_kind()))
        })
        .prop_map(|((dst, src, tag), ip, src_port, bth, ext)| FrameHeaders {
            dst: Mac(dst),
            src: Mac(src),
            vlan: tag.map(VlanTag),
            ip,
            src_port,
            bth,
            ext,
        })
}
