use crate::{CqHandle, DeviceId, QpHandle, RdmaPort};

/// Something that happened outside any request (IBTA §11.6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AsyncEvent {
    /// A device came.
    DeviceAdded(DeviceId),
    /// A device went; its handles are dead but for their destruction, and for polling
    /// what had completed.
    DeviceGone(DeviceId),
    /// A port carries traffic now.
    PortActive(RdmaPort),
    /// A port carries none any more.
    PortDown(RdmaPort),
    /// A port's GIDs changed.
    GidChange(RdmaPort),
    /// A queue pair went to ERR by itself.
    QpFatal(QpHandle),
    /// A completion queue overflowed; its queue pairs are lost.
    CqError(CqHandle),
}
