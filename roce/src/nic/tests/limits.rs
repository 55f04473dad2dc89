//! Numbers that are drawn, and limits that hold.

use super::*;
use smolsmc_wire::Qpn;

// ---- numbers ----

#[test]
fn numbers_are_drawn_and_carry_their_shard() {
    for (bits, value) in [(0, 0), (1, 1), (4, 9)] {
        let mut config = Config::new([bits + 1; 32]);
        config.shard = Shard { bits, value };
        config.limits.max_qp = 256;
        config.devices.push(DeviceConfig::new(vec![PortConfig::new(mac_of(0), 1500)]));
        let mut side = Side::with(SoftNic::new(&config).unwrap(), &SETUP);
        let init = QpInit {
            pd: side.pd,
            send_cq: side.send_cq,
            recv_cq: side.recv_cq,
            capabilities: QpCapabilities::default(),
        };
        let (mut qpns, mut rkeys, mut low) = (vec![], vec![], 0);
        for _ in 0..255 {
            let qp = side.nic.create_qp(init).unwrap();
            let qpn = side.nic.qp(qp).unwrap().qpn;
            assert_eq!(qpn.value() >> (24 - bits), u32::from(value));
            assert!(qpn != Qpn::new(0) && qpn != Qpn::new(1) && qpn != Qpn::MAX);
            qpns.push(qpn);
            low += usize::from(qpn.value() & 0xffff < 0x8000);
            let mr = side.nic.register(side.pd, side.into, ALL).unwrap();
            let attributes = side.nic.mr(mr).unwrap();
            assert_eq!(attributes.rkey.0.checked_shr(32 - u32::from(bits)).unwrap_or(0), u32::from(value));
            assert_ne!(attributes.rkey.0, attributes.lkey.0);
            assert_eq!(attributes.iova % 4096, 0);
            assert!(attributes.iova.checked_add(LEN as u64).is_some());
            rkeys.push(attributes.rkey);
            side.nic.deregister(mr).unwrap();
        }
        assert_eq!(side.nic.create_qp(init), Err(VerbsError::Exhausted("queue pairs")));
        assert!((64..192).contains(&low), "the middle bit is a coin: {low}");
        qpns.sort_unstable();
        qpns.dedup();
        assert_eq!(qpns.len(), 255);
        rkeys.sort_unstable();
        rkeys.dedup();
        assert!(rkeys.len() > 250, "another key at each registration");
    }
}

#[test]
fn the_key_of_a_place_is_never_the_one_before() {
    // One place and few bits: by chance one in 2^28 would repeat, so look at
    // the draw itself with a place of nearly all bits.
    let space = entropy::KeySpace::new(24, 1 << 20, Shard { bits: 2, value: 1 });
    assert_eq!(space.random_bits(), 2);
    let mut entropy = entropy::Entropy::new([5; 32]);
    let mut last = 0;
    for _ in 0..1000 {
        let number = space.draw(&mut entropy.rkey, 0x12345, &[last]);
        assert_ne!(number, last);
        assert_eq!((number >> 22, space.place(number)), (1, 0x12345));
        last = number;
    }
}

#[test]
fn streams_of_different_purpose_do_not_disturb_each_other() {
    let one = Side::new(0, &SETUP);
    let config = |_: ()| {
        let mut side = Side::new(0, &SETUP);
        for _ in 0..3 {
            side.nic.register(side.pd, side.into, ALL).unwrap();
        }
        let init = QpInit {
            pd: side.pd,
            send_cq: side.send_cq,
            recv_cq: side.recv_cq,
            capabilities: SETUP.capabilities,
        };
        let qp = side.nic.create_qp(init).unwrap();
        side.nic.qp(qp).unwrap().qpn
    };
    let mut plain = one;
    let init = QpInit {
        pd: plain.pd,
        send_cq: plain.send_cq,
        recv_cq: plain.recv_cq,
        capabilities: SETUP.capabilities,
    };
    let qp = plain.nic.create_qp(init).unwrap();
    assert_eq!(plain.nic.qp(qp).unwrap().qpn, config(()), "three registrations more change no QPN");
}

// ---- configuration ----

#[test]
fn configurations_that_cannot_be_are_refused() {
    let error = |change: fn(&mut Config)| {
        let mut config = Config::new([1; 32]);
        config.devices.push(DeviceConfig::new(vec![PortConfig::new(mac_of(0), 1500)]));
        change(&mut config);
        SoftNic::new(&config).map(drop).unwrap_err()
    };
    let limit = |what: &str, e: ConfigError| {
        assert!(matches!(e, ConfigError::Limit { what: w, .. } if w == what), "{e}");
    };
    assert_eq!(error(|c| c.shard = Shard { bits: 5, value: 0 }), ConfigError::Shard);
    assert_eq!(error(|c| c.shard = Shard { bits: 1, value: 2 }), ConfigError::Shard);
    assert_eq!(error(|c| c.devices[0].ports.clear()), ConfigError::Ports(0));
    assert_eq!(
        error(|c| c.devices[0].ports = vec![PortConfig::new(mac_of(0), 1500); 9]),
        ConfigError::Ports(9)
    );
    assert_eq!(error(|c| c.devices[0].ports[0].ethernet_mtu = 300), ConfigError::EthernetMtu(300));
    assert_eq!(error(|c| c.devices = vec![c.devices[0].clone(); 9]), ConfigError::TooManyDevices);
    limit("window", error(|c| c.window = 1));
    limit("window", error(|c| c.window = MAX_WINDOW + 1));
    limit("max_qp", error(|c| c.limits.max_qp = 0));
    limit("max_qp", error(|c| c.limits.max_qp = MAX_QP + 1));
    limit("max_mr", error(|c| c.limits.max_mr = MAX_MR + 1));
    limit("max_sge", error(|c| c.limits.max_sge = MAX_SGE + 1));
    limit("max_wr", error(|c| c.limits.max_wr = MAX_WR + 1));
    limit("max_inline", error(|c| c.limits.max_inline = MAX_INLINE + 1));
    limit("max_cqe", error(|c| c.limits.max_cqe = MAX_CQE + 1));
    limit("max_pd", error(|c| c.limits.max_pd = 0));
    limit("max_cq", error(|c| c.limits.max_cq = 0));
    limit("max_memories", error(|c| c.limits.max_memories = 0));
    limit("max_devices", error(|c| c.limits.max_devices = 0));
    limit("memory_octets", error(|c| c.limits.memory_octets = usize::MAX));
    limit("gid_table_len", error(|c| c.devices[0].ports[0].gid_table_len = 0));
    let many = |c: &mut Config| {
        let entry = GidEntry { gid: gid_of(0, false), kind: GidKind::RoCEv2, vlan: None };
        c.devices[0].ports[0].gids = (0..17).map(|i| GidEntry { gid: Gid([i + 1; 16]), ..entry }).collect();
    };
    assert_eq!(error(many), ConfigError::GidTableFull);
}

#[test]
fn limits_are_kept_and_given_back() {
    let mut config = Config::new([1; 32]);
    config.devices.push(DeviceConfig::new(vec![PortConfig::new(mac_of(0), 1500)]));
    config.limits =
        Limits { max_pd: 1, max_cq: 1, max_mr: 1, max_memories: 2, memory_octets: 10_000, ..Limits::USUAL };
    let mut nic = SoftNic::new(&config).unwrap();
    let device = DeviceId(0);
    for _ in 0..3 {
        let pd = nic.alloc_pd(device).unwrap();
        assert_eq!(nic.alloc_pd(device), Err(VerbsError::Exhausted("protection domains")));
        let cq = nic.create_cq(device, 1, CompletionVector(0)).unwrap();
        assert_eq!(
            nic.create_cq(device, 1, CompletionVector(0)),
            Err(VerbsError::Exhausted("completion queues"))
        );
        let memory = nic.alloc_memory(9_000, MemoryUse::Incoming).unwrap();
        assert_eq!(
            nic.alloc_memory(1_001, MemoryUse::Incoming),
            Err(VerbsError::Exhausted("octets of memory"))
        );
        let rest = nic.alloc_memory(1_000, MemoryUse::Incoming).unwrap();
        assert_eq!(
            nic.alloc_memory(0, MemoryUse::Incoming),
            Err(VerbsError::OutOfRange("memory of no length"))
        );
        let mr = nic.register(pd, memory, ALL).unwrap();
        assert_eq!(nic.register(pd, rest, ALL), Err(VerbsError::Exhausted("registrations")));
        nic.deregister(mr).unwrap();
        nic.refuse_registrations(2);
        for _ in 0..2 {
            assert_eq!(nic.register(pd, rest, ALL), Err(VerbsError::Exhausted("registrations")));
        }
        let mr = nic.register(pd, rest, ALL).unwrap();
        nic.deregister(mr).unwrap();
        nic.free_memory(rest).unwrap();
        nic.free_memory(memory).unwrap();
        nic.destroy_cq(cq).unwrap();
        nic.dealloc_pd(pd).unwrap();
    }
}

#[test]
fn memory_begins_at_a_page() {
    let mut nic = SoftNic::new(&Config::new([1; 32])).unwrap();
    for len in [1, 4095, 4096, 100_000] {
        let memory = nic.alloc_memory(len, MemoryUse::Incoming).unwrap();
        let octets = nic.incoming(memory, 0, len).unwrap();
        assert_eq!(octets.as_ptr().align_offset(4096), 0);
        assert!(octets.iter().all(|octet| *octet == 0));
        assert!(nic.incoming(memory, 1, len).is_err());
    }
}
