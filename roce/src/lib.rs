//! RoCEv2 in software: the packets of a reliable connection over UDP, and a NIC
//! that speaks them.
//!
//! ```text
//!   frame octets --RocePacket::parse--> headers + payload --verify_icrc--> trusted
//!   FrameHeaders --emit--> OpenFrame --payload_mut, seal--> frame octets
//!
//!   verbs (Provider) <--> nic::SoftNic <--> frames and time (FrameEngine)
//! ```
//!
//! [`packet`] is octets and their meaning, without state; [`nic`] is built on it.
//!
//! What it refuses to know: SMC-R, clocks, sockets, and where frames come from.
//!
//! # Example
//! ```
//! use core::net::Ipv4Addr;
//! use smolsmc_roce::packet::{Bth, Ext, FrameHeaders, IpPath, Opcode, RocePacket, source_port};
//! use smolsmc_wire::{Mac, Psn, Qpn};
//!
//! let headers = FrameHeaders {
//!     dst: Mac([0x52, 0x54, 0, 0, 0, 1]),
//!     src: Mac([0x52, 0x54, 0, 0, 0, 2]),
//!     vlan: None,
//!     ip: IpPath::V4 {
//!         src: Ipv4Addr::new(10, 9, 0, 2),
//!         dst: Ipv4Addr::new(10, 9, 0, 1),
//!         tos: 0,
//!         ttl: 1,
//!         identification: 7,
//!     },
//!     src_port: source_port(Qpn::new(17), Qpn::new(17)),
//!     bth: Bth::new(Opcode::SEND_ONLY, Qpn::new(17), Psn::new(1)),
//!     ext: Ext::None,
//! };
//! let mut buffer = [0u8; 128];
//! let mut open = headers.emit(5, &mut buffer)?;
//! open.payload_mut().copy_from_slice(b"hello");
//! let len = open.seal();
//!
//! let packet = RocePacket::parse(&buffer[..len])?.expect("it is RoCE");
//! packet.verify_icrc()?;
//! assert_eq!(packet.payload, b"hello");
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod nic;
pub mod packet;
