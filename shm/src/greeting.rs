//! What the two sides tell each other over the socket before anything else.

use smolsmc_wire::{Gid, Mac, ParseError, Reader, Writer};

use crate::config::{MAX_GIDS, PortConfig};
use crate::error::OpenError;
use crate::layout::Layout;

/// Octets of a greeting.
pub(crate) const LEN: usize = 320;

/// Protocol and version.
const MAGIC: [u8; 8] = *b"smolshm\x02";

/// Descriptors that come with a greeting: control memory, data memory, and the
/// bells of the NIC and of the Ethernet device.
pub(crate) const DESCRIPTORS: usize = 4;

/// A greeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Greeting {
    pub(crate) layout: Layout,
    /// Octets of the memory its peer may write.
    pub(crate) data_len: u64,
    pub(crate) mac: Mac,
    pub(crate) gids: Vec<Gid>,
}

impl Greeting {
    pub(crate) fn new(layout: Layout, data_len: u64, port: &PortConfig) -> Self {
        Self { layout, data_len, mac: port.mac, gids: port.gids.iter().map(|entry| entry.gid).collect() }
    }

    pub(crate) fn emit(&self) -> [u8; LEN] {
        let mut octets = [0; LEN];
        // The buffer is as long as asked for: there is nothing to fail on.
        if let Ok(mut writer) = Writer::new("greeting", &mut octets, LEN) {
            let Layout { message_slots, frame_slots, qps, mrs } = self.layout;
            writer.slice(&MAGIC);
            for number in [message_slots, frame_slots, qps, mrs] {
                writer.u32(number);
            }
            writer.u64(self.data_len);
            writer.slice(&self.mac.0);
            writer.u16(self.gids.len() as u16);
            for gid in &self.gids {
                writer.slice(&gid.0);
            }
        }
        octets
    }

    pub(crate) fn parse(octets: &[u8; LEN]) -> Result<Self, OpenError> {
        let parsed = Self::read(octets);
        let greeting = parsed.map_err(|_| OpenError::Greeting("it cannot be read"))?;
        let greeting = greeting.ok_or(OpenError::Greeting("another protocol or version"))?;
        greeting.layout.check().map_err(|_| OpenError::Greeting("its tables cannot be"))?;
        if greeting.gids.is_empty() || greeting.data_len == 0 {
            return Err(OpenError::Greeting("no GID, or no memory"));
        }
        Ok(greeting)
    }

    fn read(octets: &[u8; LEN]) -> Result<Option<Self>, ParseError> {
        let mut reader = Reader::new("greeting", octets);
        if reader.array::<8>()? != MAGIC {
            return Ok(None);
        }
        let [message_slots, frame_slots, qps, mrs] =
            [reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?];
        let data_len = reader.u64()?;
        let mac = Mac(reader.array()?);
        let count = usize::from(reader.u16()?).min(MAX_GIDS);
        let mut gids = Vec::with_capacity(count);
        for _ in 0..count {
            gids.push(Gid(reader.array()?));
        }
        Ok(Some(Self { layout: Layout { message_slots, frame_slots, qps, mrs }, data_len, mac, gids }))
    }
}
