use core::fmt;

use smolsmc_clc::Diagnosis;
use smolsmc_llc::Role;
use smolsmc_wire::LinkNumber;

/// A link group's number in this stack, for people: counts from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupNumber(pub u32);

/// What carries a connection's octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// SMC-R.
    SmcR {
        /// 1, or 2.
        version: u8,
        /// Of version 2: 2.`release`.
        release: u8,
        /// Which side of the group this is.
        role: Role,
        /// The link group.
        group: GroupNumber,
        /// Its link.
        link: LinkNumber,
        /// Whether the group was made with this connection.
        first_contact: bool,
    },
    /// Plain TCP.
    Tcp(Fallback),
}

impl Transport {
    pub(crate) const fn is_first_contact(&self) -> bool {
        matches!(self, Self::SmcR { first_contact: true, .. })
    }
}

/// Why a connection is plain TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fallback {
    /// Our reason: [`Diagnosis::PEER_DECLINED`] if it was the peer's. `None` if
    /// SMC was not wanted here.
    pub local: Option<Diagnosis>,
    /// What the peer's Decline said.
    pub peer: Option<Diagnosis>,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SmcR { version, release, role, group, link, first_contact } => {
                write!(f, "SMC-R v{version}")?;
                if *version > 1 {
                    write!(f, ".{release}")?;
                }
                let role = if *role == Role::Server { "server" } else { "client" };
                let contact = if *first_contact { "first" } else { "subsequent" };
                write!(f, ", {role} of link group {}, link {}, {contact} contact", group.0, link.0)
            }
            Self::Tcp(Fallback { local: None, peer: None }) => f.write_str("TCP (SMC was not asked for)"),
            Self::Tcp(Fallback { local, peer }) => {
                f.write_str("TCP (")?;
                if let Some(local) = local {
                    write!(f, "we: {:#010x} {local}", local.0)?;
                }
                if let Some(peer) = peer {
                    let gap = if local.is_some() { "; " } else { "" };
                    write!(f, "{gap}peer: {:#010x} {peer}", peer.0)?;
                }
                f.write_str(")")
            }
        }
    }
}
