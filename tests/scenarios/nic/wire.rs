//! The simulated wire does what it says, retries last as long as they should,
//! and the oracles of the traffic can see.

use smolsmc_roce::nic::{Counters, SoftNic};
use smolsmc_tests::sim::workload::{Class, Summary, run};
use smolsmc_tests::sim::{Attachment, Faults, Random, Sim, SimRig, address_vector, port_of, soft_nic};
use smolsmc_verbs::conformance::{Case, Outcome, cases};
use smolsmc_verbs::{
    Access, Completion, CompletionVector, CqHandle, InitAttributes, MemoryUse, MrHandle, Payload, Provider,
    QpCapabilities, QpHandle, QpInit, QpTransition, RtrAttributes, RtsAttributes, SendOperation, SendRequest,
    Sge, VerbsError, WcStatus,
};
use smolsmc_wire::{Duration, Instant, MtuCode, Psn};

const OCTETS: usize = 3000;

/// Two nodes, a queue pair between them, and a WRITE to be posted.
struct OneWrite {
    sim: Sim<SoftNic>,
    qp: QpHandle,
    cq: CqHandle,
    source: MrHandle,
    target: MrHandle,
}

impl OneWrite {
    fn new(seed: u64, timeout: u8, retry_count: u8) -> Self {
        let mut sim = Sim::new(seed);
        let mut made = Vec::new();
        for node in 0..2 {
            sim.add(soft_nic(node, seed + node as u64));
            let nic = sim.nic(node);
            let pd = nic.alloc_pd(port_of(0).device).unwrap();
            let cq = nic.create_cq(port_of(0).device, 16, CompletionVector(0)).unwrap();
            let capabilities = QpCapabilities {
                max_send_wr: 4,
                max_recv_wr: 4,
                max_send_sge: 1,
                max_recv_sge: 1,
                max_inline_data: 0,
            };
            let qp = nic.create_qp(QpInit { pd, send_cq: cq, recv_cq: cq, capabilities }).unwrap();
            let (used_for, access) = match node {
                0 => (MemoryUse::Outgoing, Access::empty()),
                _ => (MemoryUse::Incoming, Access::LOCAL_WRITE | Access::REMOTE_WRITE),
            };
            let memory = nic.alloc_memory(OCTETS, used_for).unwrap();
            let mr = nic.register(pd, memory, access).unwrap();
            let gid = nic.gid(port_of(0), 0).unwrap().unwrap().gid;
            made.push((
                qp,
                cq,
                mr,
                nic.qp(qp).unwrap().qpn,
                address_vector(gid, nic.port(port_of(0)).unwrap().mac),
            ));
        }
        for (own, peer) in [(0, 1), (1, 0)] {
            let (.., destination_qpn, path) = made[peer];
            let transitions = [
                QpTransition::Init(InitAttributes {
                    port: port_of(0).port,
                    pkey_index: 0,
                    access: Access::REMOTE_WRITE,
                }),
                QpTransition::ReadyToReceive(RtrAttributes {
                    path_mtu: MtuCode::OCTETS_1024,
                    destination_qpn,
                    rq_psn: Psn::MAX,
                    max_dest_rd_atomic: 1,
                    min_rnr_timer: 5,
                    path,
                }),
                QpTransition::ReadyToSend(RtsAttributes {
                    timeout,
                    retry_count,
                    rnr_retry: 7,
                    sq_psn: Psn::MAX,
                    max_rd_atomic: 1,
                }),
            ];
            for transition in transitions {
                sim.nic(own).modify_qp(made[own].0, transition).unwrap();
            }
        }
        let (qp, cq, source, ..) = made[0];
        Self { sim, qp, cq, source, target: made[1].2 }
    }

    /// Posts it, and waits for how it ends.
    fn write(&mut self) -> WcStatus {
        let target = self.sim.nic(1).mr(self.target).unwrap();
        let nic = self.sim.nic(0);
        let source = nic.mr(self.source).unwrap();
        let sges = [Sge { addr: source.iova, len: OCTETS as u32, lkey: source.lkey }];
        let operation = SendOperation::Write { remote_addr: target.iova, rkey: target.rkey };
        let payload = Payload::Registered(&sges);
        let request = SendRequest { wr_id: 1, operation, payload, signalled: true, solicited: false };
        nic.post_send(self.qp, &[request]).unwrap();
        let mut one = [Completion::EMPTY];
        while self.sim.nic(0).poll_cq(self.cq, &mut one).unwrap() == 0 {
            assert!(self.sim.now() < Instant::from_millis(100_000), "it ends some time");
            self.sim.step();
        }
        one[0].status
    }
}

const fn sender() -> Attachment {
    Attachment { node: 0, port: port_of(0) }
}

const fn receiver() -> Attachment {
    Attachment { node: 1, port: port_of(0) }
}

/// 4.096 us * 2^code (IBTA §9.9.2.4.2), rounded up.
fn timeout_of(code: u8) -> Duration {
    Duration::from_micros((4096_u64 << code).div_ceil(1000))
}

fn times(duration: Duration, n: u8) -> Duration {
    Duration::from_micros(duration.micros() * u64::from(n))
}

/// A blackhole in either direction that ends just before the last retry is
/// survived; one that ends just after it is not.
#[test]
fn retries_last_exactly_as_long_as_they_should() {
    let margin = Duration::from_millis(2);
    for (code, retries) in [(12, 1), (12, 7), (14, 3)] {
        let last_retry = times(timeout_of(code), retries);
        for direction in [sender(), receiver()] {
            for (survives, lasts) in [
                (true, Duration::from_micros(last_retry.micros() - margin.micros())),
                (false, { Duration::from_micros(last_retry.micros() + margin.micros()) }),
            ] {
                let mut world = OneWrite::new(5, code, retries);
                let start = world.sim.now();
                let blackhole = Some((start, start + lasts));
                world.sim.set_faults(direction, Faults { blackhole, ..Faults::default() });
                let expected = if survives { WcStatus::Success } else { WcStatus::RetryExceeded };
                assert_eq!(world.write(), expected, "code {code}, {retries} retries, {direction:?}, {lasts}");
            }
        }
    }
}

/// What routers may change passes; what they may not never gets in.
#[test]
fn the_icrc_tells_bent_frames_from_changed_ones() {
    let counters = |faults: Faults| -> (Counters, u64) {
        let mut world = OneWrite::new(9, 12, 7);
        world.sim.set_faults(sender(), faults);
        for _ in 0..200 {
            assert_eq!(world.write(), WcStatus::Success);
        }
        let wire = world.sim.counters();
        (*world.sim.nic(1).counters(), wire.corrupted + wire.masked)
    };
    let (changed, bent) = counters(Faults { masked: 1.0, ..Faults::default() });
    assert!(bent >= 200);
    assert_eq!((changed.dropped.wrong_icrc, changed.dropped.malformed), (0, 0));
    let (broken, bent) = counters(Faults { corrupt: 0.05, ..Faults::default() });
    assert!(bent >= 20, "{bent}");
    assert!(broken.dropped.wrong_icrc > bent / 2, "{broken:?}");
}

/// Without its ICRC the NIC lets bent octets through, and the traffic says so:
/// the oracles are not blind.
#[test]
fn without_the_icrc_the_oracles_see_it() {
    let careless = |node, entropy| smolsmc_tests::sim::careless_nic(node, entropy);
    let broken = (0..60).filter(|seed| run(Class::Corruption, *seed, careless).is_err()).count();
    assert!(broken >= 10, "only {broken} of 60 runs were seen to break");
    let case =
        cases().into_iter().find(|case: &Case<SimRig<SoftNic>>| case.name == "write: up to 1 MiB").unwrap();
    let mut rig = SimRig::of(3, careless);
    rig.sim().set_all_faults(&Faults { corrupt: 0.02, ..Faults::default() });
    assert!(matches!(case.run(&mut rig), Outcome::Failed(_)));
}

#[test]
fn each_class_does_what_it_says() {
    for class in Class::ALL {
        let mut sum = [0_u64; 5];
        for seed in 0..25 {
            let Summary { wire, failed, .. } = run(class, seed, soft_nic).unwrap_or_else(|e| panic!("{e}"));
            let of_run = [wire.lost, wire.duplicated, wire.corrupted, wire.masked, failed];
            for (sum, of_run) in sum.iter_mut().zip(of_run) {
                *sum += of_run;
            }
        }
        let lossy = matches!(
            class,
            Class::Loss
                | Class::OneWayLoss
                | Class::Burst
                | Class::Rate
                | Class::ShortBlackhole
                | Class::LongBlackhole
                | Class::Starved
                | Class::Everything
        );
        let expected = [
            lossy,
            matches!(class, Class::Duplicates | Class::Everything),
            matches!(class, Class::Corruption | Class::Everything),
            matches!(class, Class::Corruption | Class::Everything),
        ];
        let happened = [sum[0] > 0, sum[1] > 0, sum[2] > 0, sum[3] > 0];
        assert_eq!(happened, expected, "{class:?}: {sum:?}");
        let must_fail = matches!(class, Class::LongBlackhole | Class::QpError | Class::WrongKey);
        assert!(!must_fail || sum[4] > 0, "{class:?}: nothing failed");
    }
}

#[test]
fn another_seed_is_another_run() {
    let traces: Vec<_> = (0..8).map(|seed| run(Class::Loss, seed, soft_nic).unwrap().trace).collect();
    let mut different = traces.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), traces.len());
}

/// A deed of the schedule happens at its time: registrations are refused for a
/// while, then taken.
#[test]
fn registrations_can_be_refused_for_a_while() {
    let mut sim = Sim::new(Random::new(1).number());
    sim.add(soft_nic(0, 1));
    sim.at(Instant::from_millis(5), 0, |nic| nic.refuse_registrations(2));
    let pd = sim.nic(0).alloc_pd(port_of(0).device).unwrap();
    let memory = sim.nic(0).alloc_memory(64, MemoryUse::Incoming).unwrap();
    let register = |sim: &mut Sim<SoftNic>| sim.nic(0).register(pd, memory, Access::LOCAL_WRITE);
    sim.run_until(Instant::from_millis(4));
    assert!(register(&mut sim).is_ok());
    sim.run_until(Instant::from_millis(6));
    for _ in 0..2 {
        assert!(matches!(register(&mut sim), Err(VerbsError::Exhausted(_))));
    }
    assert!(register(&mut sim).is_ok());
}
