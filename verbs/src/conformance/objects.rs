//! Devices, ports, and the life of objects.

use alloc::vec::Vec;

use super::bench::{Done, End, Pair, Wanted, send};
use super::failure::{equal, holds, refused};
use super::{Case, Failure, Rig, Side, list};
use crate::{
    Access, Completion, CompletionVector, DeviceId, MemoryUse, PortNumber, PortState, Provider,
    QpCapabilities, QpInit, QpState, QpTransition, RdmaPort, VerbsError,
};

pub(super) fn cases<R: Rig>() -> impl IntoIterator<Item = Case<R>> {
    list![
        Any "objects: devices are listed and described" devices;
        Any "objects: ports have a state, an MTU and GIDs" ports;
        Any "objects: a queue pair is granted what it asked for" granted;
        Any "objects: too large queue pairs and completion queues are refused" too_large;
        Any "objects: numbers of queue pairs differ" numbers;
        Any "objects: what is in use cannot be destroyed" in_use;
        Any "objects: a stale handle is refused" stale;
        Any "objects: slots are used again, handles are not" reuse;
        Any "objects: objects of different devices do not mix" [SecondDevice] foreign;
    ]
}

const NOT_A_DEVICE: DeviceId = DeviceId(0x7fff_fff1);

fn no_such(error: &VerbsError) -> bool {
    matches!(error, VerbsError::NoSuch(_))
}

fn out_of_range(error: &VerbsError) -> bool {
    matches!(error, VerbsError::OutOfRange(_))
}

fn in_use_error(error: &VerbsError) -> bool {
    matches!(error, VerbsError::InUse(_))
}

fn devices<R: Rig>(rig: &mut R) -> Done {
    for side in [Side::Near, Side::Far] {
        let port = rig.port(side, 0);
        let nic = rig.nic(side);
        let mut list = [NOT_A_DEVICE; 64];
        let count = nic.devices(&mut list);
        holds("the rig's device is listed", list.iter().take(count).any(|d| *d == port.device))?;
        equal("the count does not depend on the room", nic.devices(&mut []), count)?;
        let device = nic.device(port.device)?;
        holds("ports are numbered from 1", port.port.0 >= 1 && port.port.0 <= device.ports)?;
        holds("there are queue pairs", device.max_qp >= 1 && device.max_qp_wr >= 1)?;
        holds("there are completion queues", device.max_cqe >= 1 && device.completion_vectors >= 1)?;
        holds("there are elements", device.max_sge >= 1)?;
        holds("there are registrations", device.max_mr >= 1)?;
        refused("an unknown device is refused", nic.device(NOT_A_DEVICE), no_such)?;
        refused("an unknown device has no PD", nic.alloc_pd(NOT_A_DEVICE), no_such)?;
        let cq = nic.create_cq(NOT_A_DEVICE, 1, CompletionVector(0));
        refused("an unknown device has no completion queue", cq, no_such)?;
    }
    Ok(())
}

fn ports<R: Rig>(rig: &mut R) -> Done {
    for side in [Side::Near, Side::Far] {
        let port = rig.port(side, 0);
        let path = rig.path(side, 0);
        let peer_path = rig.path(side.other(), 0);
        let nic = rig.nic(side);
        let attributes = nic.port(port)?;
        equal("the port is active", attributes.state, PortState::Active)?;
        holds("its MTU is one", attributes.active_mtu.octets().is_some())?;
        let own = nic.gid(port, path.source_gid_index)?;
        let own = own.map(|entry| entry.gid);
        equal("the peer's path leads to the own GID", own, Some(peer_path.destination_gid))?;
        let beyond = nic.gid(port, attributes.gid_table_len);
        refused("there is no GID beyond the table", beyond, out_of_range)?;
        for number in [0, u8::MAX] {
            let unknown = RdmaPort { port: PortNumber(number), ..port };
            refused("an unknown port is refused", nic.port(unknown), no_such)?;
            refused("an unknown port has no GIDs", nic.gid(unknown, 0), no_such)?;
        }
    }
    Ok(())
}

fn granted<R: Rig>(rig: &mut R) -> Done {
    let port = rig.port(Side::Near, 0);
    let device = rig.nic(Side::Near).device(port.device)?;
    let largest = QpCapabilities {
        max_send_wr: device.max_qp_wr.min(256),
        max_recv_wr: device.max_qp_wr.min(256),
        max_send_sge: device.max_sge,
        max_recv_sge: device.max_sge,
        max_inline_data: device.max_inline_data,
    };
    let smallest = QpCapabilities {
        max_send_wr: 1,
        max_recv_wr: 1,
        max_send_sge: 1,
        max_recv_sge: 1,
        max_inline_data: 0,
    };
    for asked in [largest, smallest, Wanted::default().capabilities] {
        let end = End::new(rig, Side::Near, &Wanted { capabilities: asked, ..Wanted::default() })?;
        let qp = rig.nic(Side::Near).qp(end.qp)?;
        let got = qp.capabilities;
        holds("sends as asked", got.max_send_wr >= asked.max_send_wr)?;
        holds("receives as asked", got.max_recv_wr >= asked.max_recv_wr)?;
        holds("elements to send as asked", got.max_send_sge >= asked.max_send_sge)?;
        holds("elements to receive as asked", got.max_recv_sge >= asked.max_recv_sge)?;
        holds("inline data as asked", got.max_inline_data >= asked.max_inline_data)?;
        equal("it starts in RESET", qp.state, QpState::Reset)?;
        equal("nothing is posted", (qp.send_outstanding, qp.recv_posted), (0, 0))?;
    }
    Ok(())
}

fn too_large<R: Rig>(rig: &mut R) -> Done {
    let port = rig.port(Side::Near, 0);
    let wanted = Wanted::default();
    let end = End::new(rig, Side::Near, &wanted)?;
    let nic = rig.nic(Side::Near);
    let device = nic.device(port.device)?;
    let fits = wanted.capabilities;
    let init = QpInit { pd: end.pd, send_cq: end.send_cq, recv_cq: end.recv_cq, capabilities: fits };
    let above = [
        QpCapabilities { max_send_wr: device.max_qp_wr.saturating_add(1), ..fits },
        QpCapabilities { max_recv_wr: device.max_qp_wr.saturating_add(1), ..fits },
        QpCapabilities { max_send_sge: device.max_sge.saturating_add(1), ..fits },
        QpCapabilities { max_recv_sge: device.max_sge.saturating_add(1), ..fits },
        QpCapabilities { max_inline_data: device.max_inline_data.saturating_add(1), ..fits },
    ];
    for capabilities in above {
        let result = nic.create_qp(QpInit { capabilities, ..init });
        refused("more than the device has is refused", result, out_of_range)?;
    }
    let cq = nic.create_cq(port.device, device.max_cqe.saturating_add(1), CompletionVector(0));
    refused("a too large completion queue is refused", cq, out_of_range)?;
    let vector = CompletionVector(device.completion_vectors);
    let cq = nic.create_cq(port.device, 1, vector);
    refused("a vector the device lacks is refused", cq, out_of_range)
}

fn numbers<R: Rig>(rig: &mut R) -> Done {
    let wanted = Wanted::default();
    let mut seen = Vec::new();
    for _ in 0..8 {
        let end = End::new(rig, Side::Near, &wanted)?;
        // 0 and 1 are the management queue pairs (IBTA §3.5.3).
        holds("0 and 1 are reserved", end.qpn.value() > 1)?;
        holds("the number is new", !seen.contains(&end.qpn))?;
        seen.push(end.qpn);
    }
    Ok(())
}

fn in_use<R: Rig>(rig: &mut R) -> Done {
    let end = End::new(rig, Side::Near, &Wanted::default())?;
    let region = end.incoming(rig, 100)?;
    let nic = rig.nic(Side::Near);
    refused("a PD with a queue pair stays", nic.dealloc_pd(end.pd), in_use_error)?;
    refused("a queue pair's send CQ stays", nic.destroy_cq(end.send_cq), in_use_error)?;
    refused("a queue pair's receive CQ stays", nic.destroy_cq(end.recv_cq), in_use_error)?;
    refused("registered memory stays", nic.free_memory(region.memory), in_use_error)?;
    nic.destroy_qp(end.qp)?;
    refused("a PD with a registration stays", nic.dealloc_pd(end.pd), in_use_error)?;
    let second = nic.register(end.pd, region.memory, Access::empty())?;
    nic.deregister(region.mr)?;
    refused("memory registered once more stays", nic.free_memory(region.memory), in_use_error)?;
    nic.deregister(second)?;
    nic.free_memory(region.memory)?;
    nic.dealloc_pd(end.pd)?;
    nic.destroy_cq(end.send_cq)?;
    Ok(nic.destroy_cq(end.recv_cq)?)
}

fn stale<R: Rig>(rig: &mut R) -> Done {
    let end = End::new(rig, Side::Near, &Wanted::default())?;
    let region = end.incoming(rig, 100)?;
    let live = End::new(rig, Side::Near, &Wanted::default())?;
    let nic = rig.nic(Side::Near);
    nic.destroy_qp(end.qp)?;
    nic.deregister(region.mr)?;
    nic.free_memory(region.memory)?;
    nic.dealloc_pd(end.pd)?;
    nic.destroy_cq(end.send_cq)?;
    nic.destroy_cq(end.recv_cq)?;

    refused("qp", nic.qp(end.qp), no_such)?;
    refused("modify_qp", nic.modify_qp(end.qp, QpTransition::Error), no_such)?;
    refused("destroy_qp", nic.destroy_qp(end.qp), no_such)?;
    refused("post_send", nic.post_send(end.qp, &[send(1, &[])]), |e| no_such(&e.error) && e.posted == 0)?;
    refused("post_recv", nic.post_recv(end.qp, &[]).and(nic.post_recv(end.qp, &[empty_receive()])), |e| {
        no_such(&e.error) && e.posted == 0
    })?;
    refused("mr", nic.mr(region.mr), no_such)?;
    refused("deregister", nic.deregister(region.mr), no_such)?;
    refused("free_memory", nic.free_memory(region.memory), no_such)?;
    refused("register dead memory", nic.register(live.pd, region.memory, Access::empty()), no_such)?;
    refused("incoming", nic.incoming(region.memory, 0, 1).map(|_| ()), no_such)?;
    refused("outgoing", nic.outgoing(region.memory, 0, 1).map(|_| ()), no_such)?;
    refused("zero", nic.zero(region.memory, 0, 1), no_such)?;
    refused("dealloc_pd", nic.dealloc_pd(end.pd), no_such)?;
    let memory = nic.alloc_memory(1, MemoryUse::Incoming)?;
    refused("register in a dead PD", nic.register(end.pd, memory, Access::empty()), no_such)?;
    refused("poll_cq", nic.poll_cq(end.send_cq, &mut [Completion::EMPTY]), no_such)?;
    refused("arm_cq", nic.arm_cq(end.send_cq, crate::ArmFor::Next), no_such)?;
    refused("destroy_cq", nic.destroy_cq(end.recv_cq), no_such)?;
    let init = QpInit {
        pd: end.pd,
        send_cq: live.send_cq,
        recv_cq: live.recv_cq,
        capabilities: QpCapabilities::default(),
    };
    refused("a queue pair in a dead PD", nic.create_qp(init), no_such)?;
    let init = QpInit { pd: live.pd, send_cq: end.send_cq, ..init };
    refused("a queue pair on a dead CQ", nic.create_qp(init), no_such)
}

fn empty_receive() -> crate::RecvRequest<'static> {
    crate::RecvRequest { wr_id: 1, sges: &[] }
}

fn reuse<R: Rig>(rig: &mut R) -> Done {
    let first = End::new(rig, Side::Near, &Wanted::default())?;
    let region = first.incoming(rig, 64)?;
    let nic = rig.nic(Side::Near);
    nic.destroy_qp(first.qp)?;
    nic.deregister(region.mr)?;
    nic.free_memory(region.memory)?;
    for _ in 0..20 {
        let next = End::on(rig, Side::Near, &Wanted::default(), first.pd, first.send_cq, first.recv_cq)?;
        let fresh = next.incoming(rig, 64)?;
        holds("a handle is never given twice", next.qp != first.qp)?;
        holds("a registration's handle is never given twice", fresh.mr != region.mr)?;
        holds("memory's handle is never given twice", fresh.memory != region.memory)?;
        holds("keys change at each registration", fresh.keys.rkey != region.keys.rkey)?;
        let nic = rig.nic(Side::Near);
        refused("the old handle stays dead", nic.qp(first.qp), no_such)?;
        refused("the old registration stays dead", nic.mr(region.mr), no_such)?;
        nic.destroy_qp(next.qp)?;
        nic.deregister(fresh.mr)?;
        nic.free_memory(fresh.memory)?;
    }
    let pair = Pair::new(rig, &Wanted::default())?;
    pair.talks(rig)
}

fn foreign<R: Rig>(rig: &mut R) -> Result<(), Failure> {
    let one = End::new(rig, Side::Near, &Wanted::default())?;
    let other = End::new(rig, Side::Near, &Wanted { index: 1, ..Wanted::default() })?;
    let capabilities = Wanted::default().capabilities;
    let nic = rig.nic(Side::Near);
    let right = QpInit { pd: one.pd, send_cq: one.send_cq, recv_cq: one.recv_cq, capabilities };
    let wrong = [
        QpInit { pd: other.pd, ..right },
        QpInit { send_cq: other.send_cq, ..right },
        QpInit { recv_cq: other.recv_cq, ..right },
    ];
    for init in wrong {
        let result = nic.create_qp(init);
        refused("objects of two devices do not mix", result, |e| matches!(e, VerbsError::Foreign(_)))?;
    }
    Ok(())
}
