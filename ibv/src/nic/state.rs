//! Attributes of state transitions: what is allowed, and in libibverbs' words.

use ibverbs_sys as ffi;
use smolsmc_verbs::{
    Access, InitAttributes, PortAttributes, QpState, QpTransition, RtrAttributes, RtsAttributes, VerbsError,
};

/// What is handed to `ibv_modify_qp`.
pub(super) type Change = (ffi::ibv_qp_attr, ffi::ibv_qp_attr_mask);

type Mask = ffi::ibv_qp_attr_mask;

const fn at_most(value: u32, most: u32, what: &'static str) -> Result<(), VerbsError> {
    if value <= most { Ok(()) } else { Err(VerbsError::OutOfRange(what)) }
}

/// Rights as libibverbs has them.
pub(super) fn rights(access: Access) -> ffi::ibv_access_flags {
    let mut flags = ffi::ibv_access_flags(0);
    for (right, flag) in [
        (Access::LOCAL_WRITE, ffi::ibv_access_flags::IBV_ACCESS_LOCAL_WRITE),
        (Access::REMOTE_WRITE, ffi::ibv_access_flags::IBV_ACCESS_REMOTE_WRITE),
        (Access::REMOTE_READ, ffi::ibv_access_flags::IBV_ACCESS_REMOTE_READ),
    ] {
        if access.contains(right) {
            flags |= flag;
        }
    }
    flags
}

/// The state a transition starts from, `None` for any.
pub(super) const fn starts_from(transition: &QpTransition) -> Option<QpState> {
    match transition {
        QpTransition::Reset | QpTransition::Error => None,
        QpTransition::Init(_) => Some(QpState::Reset),
        QpTransition::ReadyToReceive(_) => Some(QpState::Init),
        QpTransition::ReadyToSend(_) => Some(QpState::ReadyToReceive),
    }
}

/// The state a transition leads to.
pub(super) const fn leads_to(transition: &QpTransition) -> QpState {
    match transition {
        QpTransition::Reset => QpState::Reset,
        QpTransition::Error => QpState::Error,
        QpTransition::Init(_) => QpState::Init,
        QpTransition::ReadyToReceive(_) => QpState::ReadyToReceive,
        QpTransition::ReadyToSend(_) => QpState::ReadyToSend,
    }
}

/// A state as libibverbs has it; SQD and SQE, into which we never bring a queue
/// pair, count as dead.
pub(super) const fn read_state(state: ffi::ibv_qp_state::Type) -> QpState {
    match state {
        ffi::ibv_qp_state::IBV_QPS_RESET => QpState::Reset,
        ffi::ibv_qp_state::IBV_QPS_INIT => QpState::Init,
        ffi::ibv_qp_state::IBV_QPS_RTR => QpState::ReadyToReceive,
        ffi::ibv_qp_state::IBV_QPS_RTS => QpState::ReadyToSend,
        _ => QpState::Error,
    }
}

pub(super) fn to_state(state: ffi::ibv_qp_state::Type) -> Change {
    (ffi::ibv_qp_attr { qp_state: state, ..ffi::ibv_qp_attr::default() }, Mask::IBV_QP_STATE)
}

pub(super) fn to_init(to: &InitAttributes) -> Change {
    let (attributes, mask) = to_state(ffi::ibv_qp_state::IBV_QPS_INIT);
    let attributes = ffi::ibv_qp_attr {
        pkey_index: to.pkey_index,
        port_num: to.port.0,
        qp_access_flags: rights(to.access).0,
        ..attributes
    };
    (attributes, mask | Mask::IBV_QP_PKEY_INDEX | Mask::IBV_QP_PORT | Mask::IBV_QP_ACCESS_FLAGS)
}

/// `port` is the one the queue pair uses, as it is now.
pub(super) fn to_rtr(to: &RtrAttributes, number: u8, port: &PortAttributes) -> Result<Change, VerbsError> {
    if to.path_mtu.octets().is_none() || to.path_mtu > port.active_mtu {
        return Err(VerbsError::OutOfRange("path MTU"));
    }
    let path = &to.path;
    at_most(to.min_rnr_timer.into(), 31, "RNR timer")?;
    at_most(path.flow_label, 0x000f_ffff, "flow label")?;
    at_most(path.service_level.into(), 15, "service level")?;
    let index =
        u8::try_from(path.source_gid_index).ok().filter(|_| path.source_gid_index < port.gid_table_len);
    let sgid_index = index.ok_or(VerbsError::OutOfRange("GID index"))?;
    let (attributes, mask) = to_state(ffi::ibv_qp_state::IBV_QPS_RTR);
    let ah_attr = ffi::ibv_ah_attr {
        grh: ffi::ibv_global_route {
            dgid: ffi::ibv_gid { raw: path.destination_gid.0 },
            flow_label: path.flow_label,
            sgid_index,
            hop_limit: path.hop_limit,
            traffic_class: path.traffic_class,
        },
        sl: path.service_level,
        is_global: 1,
        port_num: number,
        ..ffi::ibv_ah_attr::default()
    };
    let attributes = ffi::ibv_qp_attr {
        path_mtu: to.path_mtu.code().into(),
        dest_qp_num: to.destination_qpn.value(),
        rq_psn: to.rq_psn.value(),
        max_dest_rd_atomic: to.max_dest_rd_atomic,
        min_rnr_timer: to.min_rnr_timer,
        ah_attr,
        ..attributes
    };
    let mask = mask
        | Mask::IBV_QP_AV
        | Mask::IBV_QP_PATH_MTU
        | Mask::IBV_QP_DEST_QPN
        | Mask::IBV_QP_RQ_PSN
        | Mask::IBV_QP_MAX_DEST_RD_ATOMIC
        | Mask::IBV_QP_MIN_RNR_TIMER;
    Ok((attributes, mask))
}

pub(super) fn to_rts(to: &RtsAttributes) -> Result<Change, VerbsError> {
    at_most(to.timeout.into(), 31, "timeout")?;
    at_most(to.retry_count.into(), 7, "retry count")?;
    at_most(to.rnr_retry.into(), 7, "RNR retry count")?;
    let (attributes, mask) = to_state(ffi::ibv_qp_state::IBV_QPS_RTS);
    let attributes = ffi::ibv_qp_attr {
        timeout: to.timeout,
        retry_cnt: to.retry_count,
        rnr_retry: to.rnr_retry,
        sq_psn: to.sq_psn.value(),
        max_rd_atomic: to.max_rd_atomic,
        ..attributes
    };
    let mask = mask
        | Mask::IBV_QP_TIMEOUT
        | Mask::IBV_QP_RETRY_CNT
        | Mask::IBV_QP_RNR_RETRY
        | Mask::IBV_QP_SQ_PSN
        | Mask::IBV_QP_MAX_QP_RD_ATOMIC;
    Ok((attributes, mask))
}
