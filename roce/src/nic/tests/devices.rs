//! Ports, GIDs and devices that come and go.

use super::*;

#[test]
fn a_port_that_is_down_loses_everything_and_retries_run_out() {
    let mut pair = Pair::usual();
    let (from, op) = (pair.sides[0].from(0, 256 * 20), pair.write_op(0));
    pair.sides[0].post(1, op, &[from]);
    for _ in 0..5 {
        let frame = pair.sides[0].emit(pair.now).unwrap();
        pair.deliver(1, &frame);
    }
    let port = pair.sides[0].port;
    pair.sides[0].nic.set_port_state(port, PortState::Down).unwrap();
    assert_eq!(pair.sides[0].nic.next_event(), Some(AsyncEvent::PortDown(port)));
    assert_eq!(pair.sides[0].nic.port(port).unwrap().state, PortState::Down);
    let frame = sealed(&pair.headers(1, Opcode::SEND_ONLY, Psn::new(SETUP.psn[1]), Ext::None), &[]);
    pair.deliver(0, &frame);
    assert_eq!(pair.sides[0].nic.counters().dropped.port_down, 1);
    for _ in 0..=7 {
        assert_eq!(pair.sides[0].sent(), []);
        assert_eq!(pair.collect(0).len(), 0);
        pair.pass(Duration::from_millis(135));
    }
    assert_eq!(pair.sides[0].sent(), [(1, WcStatus::RetryExceeded)]);
}

#[test]
fn requests_on_a_port_that_is_down_time_out_too() {
    let mut pair = Pair::new(Setup { retry_count: 1, ..SETUP });
    let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
    let port = pair.sides[0].port;
    pair.sides[0].nic.set_port_state(port, PortState::Down).unwrap();
    pair.sides[0].post(1, op, &[from]);
    for _ in 0..2 {
        assert_eq!(pair.collect(0).len(), 0);
        pair.pass(Duration::from_millis(135));
    }
    assert_eq!(pair.sides[0].sent(), [(1, WcStatus::RetryExceeded)]);
}

#[test]
fn answers_on_a_port_that_is_down_are_lost_too() {
    let mut pair = Pair::usual();
    let (from, write) = (pair.sides[0].from(0, 4), pair.write_op(0));
    let (to, read) = (pair.sides[0].to(0, 600), pair.read_op(0));
    let port = pair.sides[1].port;
    for (operation, sge) in [(write, from), (read, to)] {
        pair.sides[0].post(1, operation, &[sge]);
        let request = pair.collect(0).remove(0);
        pair.deliver(1, &request);
        pair.sides[1].nic.set_port_state(port, PortState::Down).unwrap();
        assert_eq!(pair.collect(1).len(), 0);
        pair.sides[1].nic.set_port_state(port, PortState::Active).unwrap();
        assert_eq!(pair.collect(1).len(), 0, "it was sent, and nobody heard it");
        pair.pass(Duration::from_millis(135));
        pair.settle();
        assert_eq!(pair.sides[0].sent(), [(1, WcStatus::Success)]);
    }
}

#[test]
fn an_idle_queue_pair_waits_for_nothing_on_a_port_that_is_down() {
    let mut pair = Pair::usual();
    let port = pair.sides[0].port;
    pair.sides[0].nic.set_port_state(port, PortState::Down).unwrap();
    assert_eq!(pair.collect(0).len(), 0);
    assert_eq!(pair.sides[0].nic.poll_at(), None);
}

/// An ACK that was lost with its port is not given again unasked.
#[test]
fn answers_lost_with_a_port_are_not_owed_any_more() {
    let mut pair = Pair::usual();
    let write = pair.request(Opcode::WRITE_ONLY, 0, reth(&pair, 0, 4), &[7; 4]);
    pair.deliver(1, &write);
    let port = pair.sides[1].port;
    pair.sides[1].nic.set_port_state(port, PortState::Down).unwrap();
    assert_eq!(pair.collect(1).len(), 0);
    pair.sides[1].nic.set_port_state(port, PortState::Active).unwrap();
    let psn = Psn::new(pair.setup.psn[0]).add(1);
    let mut first = pair.headers(0, Opcode::WRITE_FIRST, psn, reth(&pair, 0, 512));
    first.bth.ack_request = false;
    assert_eq!(answer_to(&mut pair, &sealed(&first, &[7; 256])), []);
}

#[test]
fn a_port_that_comes_back_goes_on() {
    let mut pair = Pair::usual();
    let (from, op) = (pair.sides[0].from(0, 256 * 20), pair.write_op(0));
    pair.sides[0].post(1, op, &[from]);
    let port = pair.sides[0].port;
    for down in [true, false] {
        for _ in 0..3 {
            let frame = pair.sides[0].emit(pair.now).unwrap();
            pair.deliver(1, &frame);
        }
        if down {
            pair.sides[0].nic.set_port_state(port, PortState::Down).unwrap();
            assert_eq!(pair.collect(0).len(), 0);
            pair.sides[0].nic.set_port_state(port, PortState::Active).unwrap();
        }
    }
    pair.settle();
    assert_eq!(pair.sides[0].sent(), [(1, WcStatus::Success)]);
    // Both changes were one object's: the newest state is told.
    assert_eq!(pair.sides[0].nic.next_event(), Some(AsyncEvent::PortActive(port)));
    assert_eq!(pair.sides[0].nic.next_event(), None);
}

#[test]
fn gids_come_and_go() {
    let mut pair = Pair::usual();
    let side = &mut pair.sides[0];
    let entry = GidEntry { gid: Gid::from_ipv4([10, 9, 0, 77]), kind: GidKind::RoCEv2, vlan: Some(3) };
    assert_eq!(side.nic.add_gid(side.port, entry), Ok(1));
    assert_eq!(side.nic.next_event(), Some(AsyncEvent::GidChange(side.port)));
    assert_eq!(side.nic.gid(side.port, 1), Ok(Some(entry)));
    assert_eq!(side.nic.add_gid(side.port, entry), Err(ConfigError::DuplicateGid));
    let untagged = GidEntry { vlan: None, ..entry };
    assert_eq!(side.nic.add_gid(side.port, untagged), Ok(2), "another VLAN is another GID");
    assert_eq!(side.nic.remove_gid(side.port, 1), Ok(()));
    assert_eq!(side.nic.remove_gid(side.port, 1), Err(ConfigError::NoSuch("GID")));
    assert_eq!(side.nic.gid(side.port, 1), Ok(None));
    assert_eq!(side.nic.gid(side.port, 2), Ok(Some(untagged)), "the others keep their places");
    assert_eq!(side.nic.gid(side.port, 16), Err(VerbsError::OutOfRange("GID index")));
    for (bad, error) in [
        (GidEntry { kind: GidKind::RoCEv1, ..entry }, ConfigError::GidKind(GidKind::RoCEv1)),
        (GidEntry { kind: GidKind::InfiniBand, ..entry }, ConfigError::GidKind(GidKind::InfiniBand)),
        (GidEntry { gid: Gid([0; 16]), ..entry }, ConfigError::ZeroGid),
        (GidEntry { vlan: Some(0), ..entry }, ConfigError::Vlan(0)),
        (GidEntry { vlan: Some(4095), ..entry }, ConfigError::Vlan(4095)),
    ] {
        assert_eq!(side.nic.add_gid(side.port, bad), Err(error));
    }
    for i in 0..14 {
        let gid = Gid::from_ipv4([10, 10, 0, i]);
        assert!(side.nic.add_gid(side.port, GidEntry { gid, ..entry }).is_ok());
    }
    let last = GidEntry { gid: Gid::from_ipv4([10, 11, 0, 0]), ..entry };
    assert_eq!(side.nic.add_gid(side.port, last), Err(ConfigError::GidTableFull));
}

#[test]
fn a_removed_gid_claims_nothing() {
    let mut pair = Pair::usual();
    let frame = pair.request(Opcode::SEND_ONLY, 0, Ext::None, &[]);
    let port = pair.sides[1].port;
    assert!(pair.sides[1].nic.claims(port, &frame));
    pair.sides[1].nic.remove_gid(port, 0).unwrap();
    assert!(!pair.sides[1].nic.claims(port, &frame));
}

#[test]
fn the_path_mtu_follows_the_ethernet_mtu() {
    let mut pair = Pair::usual();
    let side = &mut pair.sides[0];
    for (ethernet, code) in [
        (336, 1),
        (591, 1),
        (592, 2),
        (1103, 2),
        (1104, 3),
        (1500, 3),
        (2127, 3),
        (2128, 4),
        (4175, 4),
        (4176, 5),
        (65535, 5),
    ] {
        side.nic.set_ethernet_mtu(side.port, ethernet).unwrap();
        assert_eq!(side.nic.port(side.port).unwrap().active_mtu.code(), code, "{ethernet}");
    }
    assert_eq!(side.nic.set_ethernet_mtu(side.port, 335), Err(ConfigError::EthernetMtu(335)));
}

// ---- devices ----

#[test]
fn a_device_that_is_pulled_leaves_only_what_is_to_be_destroyed() {
    let mut pair = Pair::usual();
    let (from, op) = (pair.sides[0].from(0, 600), pair.write_op(0));
    pair.sides[0].post(1, op, &[from]);
    pair.sides[0].receive(2, &[]);
    pair.sides[0].emit(pair.now).unwrap();
    let (device, port) = (DeviceId(0), pair.sides[0].port);
    let frame = sealed(&pair.headers(1, Opcode::SEND_ONLY, Psn::new(SETUP.psn[1]), Ext::None), &[]);
    let side = &mut pair.sides[0];
    side.nic.remove_device(device).unwrap();
    assert_eq!(side.nic.remove_device(device), Err(ConfigError::NoSuch("device")));
    assert_eq!(side.nic.next_event(), Some(AsyncEvent::DeviceGone(device)));
    assert_eq!(side.nic.next_event(), None);
    assert_eq!(side.nic.devices(&mut []), 0);
    assert_eq!(side.nic.device(device), Err(VerbsError::NoSuch("device")));
    assert_eq!(side.nic.port(port), Err(VerbsError::NoSuch("port")));
    assert_eq!(side.sent(), [(1, WcStatus::Flushed)]);
    assert_eq!(side.received(), [(2, WcStatus::Flushed, 0)]);
    assert!(!side.nic.claims(port, &frame));
    side.nic.take(pair.now, port, &frame);
    assert_eq!(side.nic.counters().dropped.no_such_port, 1);
    assert_eq!(side.nic.next_len(pair.now, port), None);
    let gone = |error| assert_eq!(error, VerbsError::DeviceGone);
    gone(side.nic.modify_qp(side.qp, QpTransition::Reset).unwrap_err());
    gone(side.try_post(0, op, Payload::Registered(&[from])).unwrap_err().error);
    gone(side.nic.post_recv(side.qp, &[RecvRequest { wr_id: 0, sges: &[] }]).unwrap_err().error);
    gone(side.nic.register(side.pd, side.out, Access::empty()).unwrap_err());
    gone(side.nic.alloc_pd(device).unwrap_err());
    gone(side.nic.create_cq(device, 4, CompletionVector(0)).unwrap_err());
    assert_eq!(side.nic.alloc_pd(DeviceId(9)), Err(VerbsError::NoSuch("device")));
    // Everything can be destroyed, and the number is not used again.
    let other = PortConfig::new(Mac([2; 6]), 1500);
    assert_eq!(side.nic.add_device(&DeviceConfig::new(vec![other.clone()])), Ok(DeviceId(1)));
    assert_eq!(side.nic.next_event(), Some(AsyncEvent::DeviceAdded(DeviceId(1))));
    side.nic.destroy_qp(side.qp).unwrap();
    side.nic.destroy_cq(side.send_cq).unwrap();
    side.nic.destroy_cq(side.recv_cq).unwrap();
    side.nic.deregister(side.into_handle).unwrap();
    assert_eq!(side.nic.dealloc_pd(side.pd), Err(VerbsError::InUse("PD")), "one registration is left");
    assert_eq!(side.nic.free_memory(side.into), Ok(()));
    gone(side.nic.alloc_pd(device).unwrap_err());
}

#[test]
fn devices_come_and_go_without_end_if_somebody_listens() {
    let mut nic = SoftNic::new(&Config::new([1; 32])).unwrap();
    let device = DeviceConfig::new(vec![PortConfig::new(Mac([2; 6]), 1500)]);
    for i in 0..1000 {
        assert_eq!(nic.add_device(&device), Ok(DeviceId(i)));
        nic.remove_device(DeviceId(i)).unwrap();
        assert_eq!(nic.next_event(), Some(AsyncEvent::DeviceAdded(DeviceId(i))));
        assert_eq!(nic.next_event(), Some(AsyncEvent::DeviceGone(DeviceId(i))));
    }
    // And if nobody does, it ends.
    let mut made = 0;
    while let Ok(device) = nic.add_device(&device) {
        nic.remove_device(device).unwrap();
        made += 1;
        assert!(made < 100);
    }
    assert_eq!(nic.add_device(&device), Err(ConfigError::TooManyDevices));
    let mut held = SoftNic::new(&Config::new([1; 32])).unwrap();
    for _ in 0..Limits::USUAL.max_devices {
        held.add_device(&device).unwrap();
        held.next_event();
    }
    assert_eq!(held.add_device(&device), Err(ConfigError::TooManyDevices));
}

#[test]
fn ports_of_one_device_do_not_mix() {
    let mut ports = Vec::new();
    for n in 0..2 {
        let mut port = PortConfig::new(Mac([2, 0, 0, 0, 1, n]), 9000);
        let gid = Gid::from_ipv4([10, 9, 1, n]);
        port.gids.push(GidEntry { gid, kind: GidKind::RoCEv2, vlan: None });
        ports.push(port);
    }
    let mut config = Config::new([3; 32]);
    config.devices.push(DeviceConfig::new(ports));
    let mut side = Side::with(SoftNic::new(&config).unwrap(), &SETUP);
    assert_eq!(side.nic.device(DeviceId(0)).unwrap().ports, 2);
    let pair = Pair::usual();
    let [_, up, ready] = pair.way_up(0);
    let (pd, send_cq, recv_cq) = (side.pd, side.send_cq, side.recv_cq);
    let init = QpInit { pd, send_cq, recv_cq, capabilities: SETUP.capabilities };
    let qps = [side.qp, side.nic.create_qp(init).unwrap()];
    let port = |n: u8| RdmaPort { device: DeviceId(0), port: PortNumber(n) };
    for (n, qp) in (1..).zip(qps) {
        let init = InitAttributes { port: PortNumber(n), pkey_index: 0, access: SETUP.access };
        for step in [QpTransition::Init(init), up, ready] {
            side.nic.modify_qp(qp, step).unwrap();
        }
        side.qp = qp;
        let from = side.from(0, 4);
        side.post(n.into(), SendOperation::Write { remote_addr: 0, rkey: smolsmc_wire::Rkey(1) }, &[from]);
        side.receive(n.into(), &[]);
    }
    // Each sends by its own port, from that port's addresses.
    let mut requests = Vec::new();
    for n in 0..2 {
        side.port = port(n + 1);
        let frame = side.emit(pair.now).unwrap();
        assert_eq!(side.emit(pair.now), None, "the other's is not ours");
        let packet = RocePacket::parse(&frame).unwrap().unwrap();
        assert_eq!(packet.ethernet.src, Mac([2, 0, 0, 0, 1, n]));
        assert_eq!(packet.ip.src_gid(), Gid::from_ipv4([10, 9, 1, n]));
        requests.push(packet.headers());
    }
    // And hears by it only.
    for n in 0..2 {
        let request = requests[n];
        let IpPath::V4 { src, dst, .. } = request.ip else { panic!("IPv4") };
        let ip = IpPath::V4 { src: dst, dst: src, tos: 0, ttl: 1, identification: 1 };
        let qpn = side.nic.qp(qps[n]).unwrap().qpn;
        let bth = Bth::new(Opcode::SEND_ONLY, qpn, Psn::new(SETUP.psn[1]));
        let frame = sealed(
            &FrameHeaders { dst: request.src, src: request.dst, ip, bth, ext: Ext::None, ..request },
            &[],
        );
        let (own, other) = (port(n as u8 + 1), port(2 - n as u8));
        assert!(side.nic.claims(own, &frame) && !side.nic.claims(other, &frame));
        side.nic.take(pair.now, other, &frame);
        assert_eq!(side.received(), []);
        assert_eq!(side.nic.counters().dropped.wrong_state, n as u64 + 1);
        side.nic.take(pair.now, own, &frame);
        assert_eq!(side.received(), [(n as u64 + 1, WcStatus::Success, 0)]);
    }
    // One of them down is not the other's end.
    side.nic.set_port_state(port(1), PortState::Down).unwrap();
    assert_eq!(side.nic.next_event(), Some(AsyncEvent::PortDown(port(1))));
    assert_eq!(side.nic.port(port(2)).unwrap().state, PortState::Active);
    side.nic.run_timers(pair.now + Duration::from_millis(140));
    for (n, sends) in [(1, false), (2, true)] {
        side.port = port(n);
        assert_eq!(side.emit(pair.now).is_some(), sends, "{n}");
    }
}

#[test]
fn queue_pairs_of_two_devices_do_not_mix() {
    let mut config = Config::new([3; 32]);
    for n in 1..3 {
        let mut port = PortConfig::new(Mac([2, 0, 0, 0, 0, n]), 9000);
        port.gids.push(GidEntry { gid: gid_of(0, false), kind: GidKind::RoCEv2, vlan: None });
        config.devices.push(DeviceConfig::new(vec![port]));
    }
    let mut pair = Pair::usual();
    pair.sides[0] = Side::with(SoftNic::new(&config).unwrap(), &SETUP);
    let ups = pair.way_up(0);
    let side = &mut pair.sides[0];
    for up in ups {
        side.nic.modify_qp(side.qp, up).unwrap();
    }
    let frame = sealed(&pair.headers(1, Opcode::SEND_ONLY, Psn::new(SETUP.psn[1]), Ext::None), &[]);
    // The queue pair's own number, but at the other device's port.
    let second = RdmaPort { device: DeviceId(1), port: PortNumber(1) };
    let side = &mut pair.sides[0];
    side.receive(0, &[]);
    side.nic.take(pair.now, second, &frame);
    assert_eq!(side.nic.counters().dropped.wrong_state, 1);
    side.nic.take(pair.now, side.port, &frame);
    assert_eq!(side.received(), [(0, WcStatus::Success, 0)]);
    let other = side.nic.create_cq(DeviceId(1), 4, CompletionVector(0)).unwrap();
    let init =
        QpInit { pd: side.pd, send_cq: side.send_cq, recv_cq: other, capabilities: SETUP.capabilities };
    assert_eq!(side.nic.create_qp(init), Err(VerbsError::Foreign("CQ")));
}
