use smolsmc_wire::open_number;

open_number! {
    /// Why a connection stays with TCP: the diagnosis of a Decline, also used
    /// for reasons found locally.
    ///
    /// RFC 7609 Appendix A.2.5 leaves the values to implementations; these are
    /// the ones of Linux 6.12 smc_clc. A receiver reports the value and does
    /// not act on it.
    pub struct Diagnosis: u32 {
        /// Memory or buffers are used up.
        MEMORY = 0x0101_0000 => "out of memory or buffers",
        /// CONFIRM LINK was not answered in time.
        TIMEOUT_CONFIRM_LINK = 0x0201_0000 => "timeout waiting for CONFIRM LINK",
        /// ADD LINK was not answered in time; Linux 6.12 never sends it.
        TIMEOUT_ADD_LINK = 0x0202_0000 => "timeout waiting for ADD LINK",
        /// The sender's configuration is wrong.
        CONFIGURATION = 0x0300_0000 => "configuration error",
        /// The SYN or SYN-ACK had no option, or there is no usable version.
        PEER_NO_SMC = 0x0301_0000 => "peer did not signal SMC",
        /// An IPsec policy applies to the socket, which RDMA would bypass.
        IPSEC = 0x0302_0000 => "IPsec policy on the socket",
        /// No device for any kind of SMC; Linux also says this when no UEID is common.
        NO_SMC_DEVICE = 0x0303_0000 => "no SMC device (R or D)",
        /// No device for SMC-D.
        NO_SMCD_DEVICE = 0x0303_0001 => "no SMC-D device",
        /// No device for SMC-R, or none that is active.
        NO_SMCR_DEVICE = 0x0303_0002 => "no SMC-R device",
        /// The machine has no ISMv2.
        NO_ISMV2 = 0x0303_0003 => "no ISMv2 support",
        /// A version 2 Proposal without its extension.
        NO_V2_EXTENSION = 0x0303_0004 => "peer sent no v2 extension",
        /// A Proposal of SMC-Dv2 without its extension.
        NO_SMCD_V2_EXTENSION = 0x0303_0005 => "peer sent no SMC-Dv2 extension",
        /// A Proposal of SMC-Dv2 without a system enterprise id.
        NO_SEID = 0x0303_0006 => "peer sent no SEID",
        /// No device for SMC-Dv2.
        NO_SMCD_V2_DEVICE = 0x0303_0007 => "no SMC-Dv2 device",
        /// A Proposal of version 2 without a user-defined enterprise id.
        NO_UEID = 0x0303_0008 => "peer sent no UEID",
        /// Accept and Confirm disagree on the release.
        RELEASE = 0x0303_0009 => "release negotiation failed",
        /// No common number of connections for a link group.
        MAX_CONNS = 0x0303_000a => "max connections negotiation failed",
        /// No common number of links for a link group.
        MAX_LINKS = 0x0303_000b => "max links negotiation failed",
        /// What was accepted had not been offered.
        MODE_MISMATCH = 0x0304_0000 => "SMC modes do not match",
        /// The peer wants eyecatchers in its RMBEs.
        RMBE_EYECATCHER = 0x0305_0000 => "peer uses an RMBE eyecatcher",
        /// A socket option that SMC cannot keep, such as fast open; local only.
        SOCKET_OPTION = 0x0306_0000 => "socket option not supported",
        /// The two hosts share no IP subnet, as SMC-Rv1 demands.
        PREFIX_MISMATCH = 0x0307_0000 => "IP prefix or subnet mismatch",
        /// The VLAN of the connection is not known.
        VLAN_LOOKUP = 0x0308_0000 => "VLAN id lookup failed",
        /// The ISM device refused the VLAN.
        ISM_VLAN = 0x0309_0000 => "VLAN registration on ISM failed",
        /// All links of the link group are down.
        NO_ACTIVE_LINK = 0x030a_0000 => "no active link in the link group",
        /// The server named a link that the client does not have.
        NO_SERVER_LINK = 0x030b_0000 => "server's link not known to the client",
        /// The versions of the messages differ.
        VERSION_MISMATCH = 0x030c_0000 => "version mismatch",
        /// The SMC-D device has no further buffers.
        SMCD_BUFFER_LIMIT = 0x030d_0000 => "SMC-D buffer limit",
        /// There is no IP route to the peer's GID.
        NO_ROUTE = 0x030e_0000 => "SMC-Rv2: no route to peer",
        /// One side sees a gateway between them, the other none.
        INDIRECT_MISMATCH = 0x030f_0000 => "SMC-Rv2: direct/indirect mismatch",
        /// The server relies on a link group that the client does not have; goes
        /// with the out-of-sync bit.
        OUT_OF_SYNC = 0x0400_0000 => "out of sync",
        /// A Decline came; local only, never sent.
        PEER_DECLINED = 0x0500_0000 => "peer declined",
        /// Something in the sender went wrong.
        INTERNAL = 0x0999_0000 => "internal error",
        /// The rkey and address of the peer's RMB could not be stored.
        RTOKEN = 0x0999_0001 => "rtoken handling failed",
        /// The queue pair could not be made ready.
        READY_LINK = 0x0999_0002 => "QP to ready state failed",
        /// The RMB could not be registered, or CONFIRM RKEY failed.
        REGISTER_MR = 0x0999_0003 => "MR registration or CONFIRM RKEY failed",
    }
}
