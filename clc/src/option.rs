//! The TCP option that announces SMC (RFC 7609 §3.1 and Appendix A.1): kind
//! 254 with the experiment identifier "SMCR" in EBCDIC, on a SYN and on the
//! SYN-ACK that answers it.
//!
//! SMC is used only if both segments carried it. [`find`] is a receiver's view
//! of a header; [`append`] puts the option on a segment that some TCP stack
//! without knowledge of SMC has made.

use smolsmc_wire::ParseError;

/// The option: kind 254 (shared experimental), length 6, and the experiment
/// identifier E2D4C3D9 (RFC 7609 Appendix A.1).
pub const OPTION: [u8; 6] = [KIND, 6, 0xe2, 0xd4, 0xc3, 0xd9];

/// The option behind two NOPs, as Linux 6.12 tcp_output sends it: a multiple of
/// four octets, so that it fits at the end of any TCP header.
pub const PADDED_OPTION: [u8; 8] = [NOP, NOP, KIND, 6, 0xe2, 0xd4, 0xc3, 0xd9];

/// The longest TCP header in octets; it leaves 40 for options (RFC 9293 §3.1).
pub const MAX_HEADER_LEN: usize = 60;

const MIN_HEADER_LEN: usize = 20;
const EOL: u8 = 0;
const NOP: u8 = 1;
const KIND: u8 = 254;
const EXID: [u8; 4] = [0xe2, 0xd4, 0xc3, 0xd9];
/// Fast Open under the same kind, told apart by 16 bits (RFC 7413 Appendix A).
const FAST_OPEN_EXID: [u8; 2] = [0xf9, 0x89];
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// Where a received segment carries the SMC option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SmcOption {
    /// Octets from the start of the TCP header to the kind octet.
    pub offset: usize,
    /// The length octet of the option: 6, or a larger even number.
    pub len: u8,
}

/// What a segment means for the opening of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SynKind {
    /// SYN without ACK: a client asks.
    Syn,
    /// SYN with ACK: a server answers.
    SynAck,
    /// Every other segment.
    Other,
}

impl SynKind {
    /// From the octet at offset 13 of a TCP header.
    #[must_use]
    pub const fn from_flags(flags: u8) -> Self {
        match (flags & SYN != 0, flags & ACK != 0) {
            (true, false) => Self::Syn,
            (true, true) => Self::SynAck,
            (false, _) => Self::Other,
        }
    }

    /// Whether a segment of this kind is to be sent with the option
    /// (RFC 7609 §3.1).
    ///
    /// A SYN: if `enabled`, that is, its socket may use SMC. A SYN-ACK: if also
    /// `syn_had_option`, for a server that could see that. Nothing else: RFC
    /// 7609 lets a client repeat the option on its last ACK of the handshake,
    /// Linux does not, and [`find`] ignores it there.
    #[must_use]
    pub const fn carries_option(self, enabled: bool, syn_had_option: bool) -> bool {
        match self {
            Self::Syn => enabled,
            Self::SynAck => enabled && syn_had_option,
            Self::Other => false,
        }
    }
}

/// Looks for the SMC option in the TCP header at the start of `segment`; octets
/// after the header are payload and not looked at.
///
/// The rules are those of Linux 6.12 tcp_input: only on segments with SYN, an
/// even option length of at least 6, all four octets of the identifier. An
/// option whose length cannot be ends the search, as does the end of the list.
///
/// # Errors
/// If `segment` does not hold a whole TCP header.
pub fn find(segment: &[u8]) -> Result<Option<SmcOption>, ParseError> {
    let header = TcpHeader::new(segment)?;
    if header.kind() == SynKind::Other {
        return Ok(None);
    }
    Ok(header.options().find_map(|found| match found {
        Found::Option { offset, octets } if is_smc(octets) => {
            octets.get(1).map(|&len| SmcOption { offset, len })
        }
        _ => None,
    }))
}

/// Why [`append`] left a segment as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The buffer does not hold the segment and the eight octets to be added.
    #[error("needs a buffer of {needed} octets, got {got}")]
    BufferTooShort {
        /// Octets of the segment with the option.
        needed: usize,
        /// Octets of the buffer.
        got: usize,
    },
    /// The octets are not a TCP header.
    #[error("no TCP header: {0}")]
    NotTcp(ParseError),
    /// The segment carries payload, behind which the option would fall.
    #[error("the segment has {0} octets of payload")]
    Payload(usize),
    /// The option belongs on a SYN or SYN-ACK only.
    #[error("the segment is no SYN")]
    NotSyn,
    /// The option is there already.
    #[error("the option is present")]
    Present,
    /// An option's length leads out of the header: no receiver would read on.
    #[error("malformed option at octet {0}")]
    MalformedOption(usize),
    /// Fewer than eight octets of the option space are left.
    #[error("a header of {0} octets has no room for the option")]
    NoRoom(usize),
}

/// Puts [`PADDED_OPTION`] at the end of the TCP header that fills the first
/// `len` octets of `segment`, and returns the new length, `len + 8`.
///
/// The data offset is raised, an end-of-list and what follows it become NOPs,
/// and the checksum is mended (RFC 1624), the longer TCP length in the pseudo
/// header included: what was right stays right, over IPv4 and IPv6, whatever
/// the addresses. Length and checksum of the IP header are the caller's.
///
/// # Errors
/// [`AppendError`]; the segment is then untouched.
pub fn append(segment: &mut [u8], len: usize) -> Result<usize, AppendError> {
    let got = segment.len();
    let longer = len.saturating_add(PADDED_OPTION.len());
    let whole = segment.get(..len).ok_or(AppendError::BufferTooShort { needed: longer, got })?;
    let end_of_list = room_for_option(whole)?;
    let Some(header) = segment.get_mut(..longer) else {
        return Err(AppendError::BufferTooShort { needed: longer, got });
    };

    let before = sum_of_changing_fields(header, len);
    if let Some(padding) = header.get_mut(end_of_list..len) {
        padding.fill(NOP);
    }
    if let Some(added) = header.get_mut(len..) {
        added.copy_from_slice(&PADDED_OPTION);
    }
    if let Some(data_offset) = header.get_mut(12) {
        *data_offset += (PADDED_OPTION.len() as u8 / 4) << 4;
    }
    let after = sum_of_changing_fields(header, longer);

    if let Some([high, low]) = header.get_mut(16..18) {
        let checksum = u16::from_be_bytes([*high, *low]);
        let pseudo_header = PADDED_OPTION.len() as u32;
        let sum = u32::from(!checksum) + u32::from(!before) + u32::from(after) + pseudo_header;
        [*high, *low] = (!fold(sum)).to_be_bytes();
    }
    Ok(longer)
}

/// Offset of the end of the option list in `segment`, if all is well for
/// [`append`].
fn room_for_option(segment: &[u8]) -> Result<usize, AppendError> {
    let header = TcpHeader::new(segment).map_err(AppendError::NotTcp)?;
    if header.kind() == SynKind::Other {
        return Err(AppendError::NotSyn);
    }
    let len = header.octets.len();
    match segment.len() - len {
        0 => {}
        payload => return Err(AppendError::Payload(payload)),
    }
    let mut end_of_list = len;
    for found in header.options() {
        match found {
            Found::Option { octets, .. } if is_smc(octets) => return Err(AppendError::Present),
            Found::Option { .. } => {}
            Found::End { offset } => end_of_list = offset,
            Found::Malformed { offset } => return Err(AppendError::MalformedOption(offset)),
        }
    }
    if len + PADDED_OPTION.len() > MAX_HEADER_LEN {
        return Err(AppendError::NoRoom(len));
    }
    Ok(end_of_list)
}

/// The one's complement sum of what [`append`] changes in the first `len`
/// octets: the word with the data offset, and the options.
fn sum_of_changing_fields(header: &[u8], len: usize) -> u16 {
    let fields = [header.get(12..14), header.get(MIN_HEADER_LEN..len)];
    let words = fields.into_iter().flatten().flat_map(|field| field.chunks_exact(2));
    fold(words.map(|word| word.iter().fold(0, |sum, &octet| sum << 8 | u32::from(octet))).sum())
}

const fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Whether `option`, from its kind octet on, is the SMC option. Fast Open needs
/// no test of its own: its identifier differs in the first octet.
fn is_smc(option: &[u8]) -> bool {
    const { assert!(FAST_OPEN_EXID[0] != EXID[0], "one cannot be taken for the other") };
    option.len().is_multiple_of(2)
        && option.len() >= OPTION.len()
        && option.first() == Some(&KIND)
        && option.get(2..6) == Some(&EXID)
}

/// A TCP header, fixed part and options: 20 to 60 octets.
struct TcpHeader<'a> {
    octets: &'a [u8],
}

impl<'a> TcpHeader<'a> {
    fn new(segment: &'a [u8]) -> Result<Self, ParseError> {
        const WHAT: &str = "TCP header";
        let truncated = |needed| ParseError::truncated(WHAT, 0, needed, segment.len());
        let data_offset = match segment.get(12) {
            Some(octet) if segment.len() >= MIN_HEADER_LEN => octet >> 4,
            _ => return Err(truncated(MIN_HEADER_LEN)),
        };
        let len = usize::from(data_offset) * 4;
        if len < MIN_HEADER_LEN {
            return Err(ParseError::value("TCP data offset", 12, data_offset.into()));
        }
        let octets = segment.get(..len).ok_or_else(|| truncated(len))?;
        Ok(Self { octets })
    }

    fn kind(&self) -> SynKind {
        SynKind::from_flags(self.octets.get(13).copied().unwrap_or(0))
    }

    fn options(&self) -> Options<'a> {
        Options { header: self.octets, offset: MIN_HEADER_LEN }
    }
}

/// What a walk over the options of a TCP header meets.
enum Found<'a> {
    /// An option other than NOP, from its kind octet on.
    Option { offset: usize, octets: &'a [u8] },
    /// The end-of-list option; the last.
    End { offset: usize },
    /// An option whose length leads nowhere; the last.
    Malformed { offset: usize },
}

struct Options<'a> {
    header: &'a [u8],
    offset: usize,
}

impl<'a> Iterator for Options<'a> {
    type Item = Found<'a>;

    fn next(&mut self) -> Option<Found<'a>> {
        while self.header.get(self.offset) == Some(&NOP) {
            self.offset += 1;
        }
        let offset = self.offset;
        let rest = self.header.get(offset..)?;
        let kind = rest.first()?;
        // Unless the option proves sound, the walk ends here.
        self.offset = self.header.len();
        if *kind == EOL {
            return Some(Found::End { offset });
        }
        match rest.get(1).and_then(|&len| rest.get(..len.into())) {
            Some(octets) if octets.len() >= 2 => {
                self.offset = offset + octets.len();
                Some(Found::Option { offset, octets })
            }
            _ => Some(Found::Malformed { offset }),
        }
    }
}
