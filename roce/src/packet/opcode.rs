use smolsmc_wire::open_number;

use super::ExtKind;

/// Who sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The requester.
    Request,
    /// The responder.
    Response,
}

/// What a packet is part of (IBTA §9.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A SEND, into a receive buffer the responder posted.
    Send,
    /// An RDMA WRITE, into memory the requester names.
    Write,
    /// An RDMA READ, as asked for.
    ReadRequest,
    /// An RDMA READ, as answered.
    ReadResponse,
    /// An acknowledgement of either kind, ACK or NAK.
    Ack,
    /// A compare-and-swap or fetch-and-add, as asked for.
    Atomic,
    /// A compare-and-swap or fetch-and-add, as answered.
    AtomicAck,
}

/// Where in its message a packet stands (IBTA §9.7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Position {
    /// The first of several.
    First,
    /// Neither first nor last.
    Middle,
    /// The last of several.
    Last,
    /// All of the message.
    Only,
}

impl Position {
    /// Whether a message starts with this packet.
    #[must_use]
    pub const fn is_start(self) -> bool {
        matches!(self, Self::First | Self::Only)
    }

    /// Whether a message ends with this packet.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Last | Self::Only)
    }
}

/// What an opcode says about its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OpcodeFacts {
    /// Who sends it.
    pub direction: Direction,
    /// What it is part of.
    pub operation: Operation,
    /// Where in the message it stands.
    pub position: Position,
    /// The extension headers between BTH and payload.
    pub ext: ExtKind,
}

/// Writes every opcode once: name, number, words, and its facts.
macro_rules! opcodes {
    ($( $NAME:ident = $value:literal => $text:literal : $dir:ident $op:ident $pos:ident $ext:ident; )*) => {
        open_number! {
            /// The opcode of a BTH (IBTA §9.2.1). Named are those of a reliable
            /// connection, whose upper three bits are 0.
            pub struct Opcode: u8 {
                $( #[doc = $text] $NAME = $value => $text, )*
            }
        }

        impl Opcode {
            /// What this opcode means, if it is a named one.
            #[must_use]
            pub const fn facts(self) -> Option<OpcodeFacts> {
                match self.0 {
                    $( $value => Some(OpcodeFacts {
                        direction: Direction::$dir,
                        operation: Operation::$op,
                        position: Position::$pos,
                        ext: ExtKind::$ext,
                    }), )*
                    _ => None,
                }
            }
        }
    };
}

opcodes! {
    SEND_FIRST = 0x00 => "SEND first": Request Send First None;
    SEND_MIDDLE = 0x01 => "SEND middle": Request Send Middle None;
    SEND_LAST = 0x02 => "SEND last": Request Send Last None;
    SEND_LAST_IMM = 0x03 => "SEND last with immediate": Request Send Last Imm;
    SEND_ONLY = 0x04 => "SEND only": Request Send Only None;
    SEND_ONLY_IMM = 0x05 => "SEND only with immediate": Request Send Only Imm;
    WRITE_FIRST = 0x06 => "RDMA WRITE first": Request Write First Reth;
    WRITE_MIDDLE = 0x07 => "RDMA WRITE middle": Request Write Middle None;
    WRITE_LAST = 0x08 => "RDMA WRITE last": Request Write Last None;
    WRITE_LAST_IMM = 0x09 => "RDMA WRITE last with immediate": Request Write Last Imm;
    WRITE_ONLY = 0x0a => "RDMA WRITE only": Request Write Only Reth;
    WRITE_ONLY_IMM = 0x0b => "RDMA WRITE only with immediate": Request Write Only RethImm;
    READ_REQUEST = 0x0c => "RDMA READ request": Request ReadRequest Only Reth;
    READ_RESPONSE_FIRST = 0x0d => "RDMA READ response first": Response ReadResponse First Aeth;
    READ_RESPONSE_MIDDLE = 0x0e => "RDMA READ response middle": Response ReadResponse Middle None;
    READ_RESPONSE_LAST = 0x0f => "RDMA READ response last": Response ReadResponse Last Aeth;
    READ_RESPONSE_ONLY = 0x10 => "RDMA READ response only": Response ReadResponse Only Aeth;
    ACK = 0x11 => "ACK": Response Ack Only Aeth;
    ATOMIC_ACK = 0x12 => "atomic ACK": Response AtomicAck Only AtomicAck;
    COMPARE_SWAP = 0x13 => "compare and swap": Request Atomic Only AtomicEth;
    FETCH_ADD = 0x14 => "fetch and add": Request Atomic Only AtomicEth;
    SEND_LAST_INV = 0x16 => "SEND last with invalidate": Request Send Last Ieth;
    SEND_ONLY_INV = 0x17 => "SEND only with invalidate": Request Send Only Ieth;
}

impl Opcode {
    /// The extension headers of this opcode; none for one without a name,
    /// whose layout is not known and all of which counts as payload.
    #[must_use]
    pub const fn ext_kind(self) -> ExtKind {
        match self.facts() {
            Some(facts) => facts.ext,
            None => ExtKind::None,
        }
    }

    /// Whether the requester sends it. `false` for an opcode without a name.
    #[must_use]
    pub const fn is_request(self) -> bool {
        matches!(self.facts(), Some(OpcodeFacts { direction: Direction::Request, .. }))
    }

    /// Whether the responder sends it. `false` for an opcode without a name.
    #[must_use]
    pub const fn is_response(self) -> bool {
        matches!(self.facts(), Some(OpcodeFacts { direction: Direction::Response, .. }))
    }
}
