use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use ibverbs::ibv_gid_type;
use ibverbs_sys as ffi;
use smolsmc_verbs::{
    DeviceAttributes, GidEntry, GidKind, PortAttributes, PortNumber, PortState, QpCapabilities, VerbsError,
};
use smolsmc_wire::{Gid, Mac, MtuCode};

use super::OpenError;
use crate::Selector;
use crate::raw::{Channel, Context, Cq, Errno, IfNames, Pd, Qp, refusal};

/// Sizes of inline data to try: verbs have no way to ask. Linux's rxe takes the
/// first, and logs an error for what it does not take.
const INLINE_SIZES: [u32; 8] = [512, 400, 256, 192, 128, 64, 32, 16];

/// A device, open or gone.
#[derive(Debug)]
pub(super) struct Device {
    name: String,
    gid: Option<(u8, u16)>,
    attributes: DeviceAttributes,
    node: String,
    open: Option<Open>,
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) channel: Arc<Channel>,
    pub(super) context: Arc<Context>,
}

impl Device {
    pub(super) fn open(selector: &Selector) -> Result<Self, OpenError> {
        let name = &selector.device;
        let system = |errno| OpenError::System { device: name.clone(), errno };
        let context = Context::open(name).ok_or_else(|| OpenError::NoDevice(name.clone()))?;
        let context = Arc::new(context.map_err(system)?);
        let attributes = describe(&context).map_err(system)?;
        if !(1..=attributes.ports).contains(&selector.port) {
            let (device, port, ports) = (name.clone(), selector.port, attributes.ports);
            return Err(OpenError::NoPort { device, port, ports });
        }
        let channel = Arc::new(Channel::new(&context).map_err(system)?);
        let mut device = Self {
            name: name.clone(),
            gid: selector.gid.map(|gid| (selector.port, gid)),
            attributes,
            node: context.node(),
            open: Some(Open { channel, context }),
        };
        device.attributes.max_inline_data = device.probe_inline();
        Ok(device)
    }

    /// The largest inline data that a queue pair is granted.
    fn probe_inline(&self) -> u32 {
        let Some(Open { channel, context }) = &self.open else { return 0 };
        let (Ok(pd), Ok(cq)) = (Pd::new(context), Cq::new(context, channel, 1, 0, 0)) else { return 0 };
        let (pd, cq) = (Arc::new(pd), Arc::new(cq));
        let grant = |max_inline_data| {
            let wanted = QpCapabilities {
                max_send_wr: 1,
                max_recv_wr: 1,
                max_send_sge: 1,
                max_recv_sge: 1,
                max_inline_data,
            };
            Qp::new(&pd, &cq, &cq, &wanted, 0).ok().map(|(_, granted)| granted.max_inline_data)
        };
        INLINE_SIZES.into_iter().find_map(grant).unwrap_or(0)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    pub(super) const fn opened(&self) -> Option<&Open> {
        self.open.as_ref()
    }

    pub(super) fn close(&mut self) {
        self.open = None;
    }

    pub(super) const fn attributes(&self) -> &DeviceAttributes {
        &self.attributes
    }

    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.open.iter().flat_map(|open| [open.context.as_fd(), open.channel.as_fd()])
    }

    /// Whether the system still has it under the name and node it was opened by.
    pub(super) fn is_present(&self) -> bool {
        let path = format!("/sys/class/infiniband_verbs/{}/ibdev", self.node);
        std::fs::read_to_string(path).is_ok_and(|name| name.trim() == self.name)
    }

    fn context(&self) -> Result<&Context, VerbsError> {
        self.open.as_ref().map(|open| &*open.context).ok_or(VerbsError::DeviceGone)
    }

    pub(super) fn has_port(&self, port: PortNumber) -> bool {
        (1..=self.attributes.ports).contains(&port.0)
    }

    /// A port as it is now; its Ethernet address is that of the network device
    /// its GIDs belong to.
    pub(super) fn port(&self, port: PortNumber, names: &IfNames) -> Result<PortAttributes, VerbsError> {
        if !self.has_port(port) {
            return Err(VerbsError::NoSuch("port"));
        }
        let context = self.context()?;
        let found = context.query_port(port.0).map_err(|errno| refusal(errno, "port"))?;
        let is_active = found.state == ffi::ibv_port_state::IBV_PORT_ACTIVE;
        let state = if is_active { PortState::Active } else { PortState::Down };
        let table = u16::try_from(found.gid_tbl_len).unwrap_or(0);
        let own = self.gid.filter(|(number, _)| *number == port.0).map(|(_, index)| index);
        let indexes = own.map_or(0..table, |index| index..index.saturating_add(1));
        let entries = indexes.filter_map(|index| context.query_gid(port.0, index).ok()?);
        let mac =
            entries.filter(|entry| entry.ndev_ifindex != 0).find_map(|entry| names.mac(entry.ndev_ifindex));
        let mtu = MtuCode::from_code(u8::try_from(found.active_mtu).unwrap_or(0));
        Ok(PortAttributes::new(state, mtu, Mac(mac.unwrap_or_default()), table))
    }

    pub(super) fn gid(
        &self,
        port: PortNumber,
        index: u16,
        names: &IfNames,
    ) -> Result<Option<GidEntry>, VerbsError> {
        if !self.has_port(port) {
            return Err(VerbsError::NoSuch("port"));
        }
        let context = self.context()?;
        let table = context.query_port(port.0).map_err(|errno| refusal(errno, "port"))?.gid_tbl_len;
        if i32::from(index) >= table {
            return Err(VerbsError::OutOfRange("GID index"));
        }
        if self.gid.is_some_and(|(number, wanted)| number == port.0 && wanted != index) {
            return Ok(None);
        }
        let entry = context.query_gid(port.0, index).map_err(|errno| refusal(errno, "GID"))?;
        Ok(entry.map(|entry| read_gid(&entry, names)))
    }
}

/// An entry of a GID table in our words.
pub(crate) fn read_gid(entry: &ibverbs::GidEntry, names: &IfNames) -> GidEntry {
    let kind = match entry.gid_type {
        ffi::IBV_GID_TYPE_ROCE_V2 => GidKind::RoCEv2,
        ffi::IBV_GID_TYPE_ROCE_V1 => GidKind::RoCEv1,
        _ => GidKind::InfiniBand,
    };
    const { assert!(size_of::<ibv_gid_type>() == size_of::<u32>()) };
    let (prefix, id) = (entry.gid.subnet_prefix(), entry.gid.interface_id());
    let mut gid = [0; 16];
    let octets = prefix.to_be_bytes().into_iter().chain(id.to_be_bytes());
    gid.iter_mut().zip(octets).for_each(|(to, from)| *to = from);
    GidEntry { gid: Gid(gid), kind, vlan: names.vlan(entry.ndev_ifindex) }
}

fn describe(context: &Context) -> Result<DeviceAttributes, Errno> {
    let found = context.query_device()?;
    let count = |number: i32| u32::try_from(number).unwrap_or(0);
    let mut attributes = DeviceAttributes::new(found.phys_port_cnt);
    attributes.max_qp = count(found.max_qp);
    attributes.max_qp_wr = count(found.max_qp_wr);
    attributes.max_sge = count(found.max_sge);
    attributes.max_cqe = count(found.max_cqe);
    attributes.max_mr = count(found.max_mr);
    attributes.completion_vectors = context.completion_vectors();
    Ok(attributes)
}
