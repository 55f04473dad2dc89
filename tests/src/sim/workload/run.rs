use core::fmt;
use std::collections::BTreeMap;

use smolsmc_verbs::{
    Access, AddressVector, Completion, CompletionVector, CqHandle, DeviceId, InitAttributes, PdHandle,
    PortNumber, Provider, QpCapabilities, QpHandle, QpInit, QpTransition, RdmaPort, RtrAttributes,
    RtsAttributes,
};
use smolsmc_wire::{Duration, Instant};

use super::Class;
use super::lane::{Ends, Lane};
use super::plan::{Mishap, Plan, QpPlan};
use crate::sim::{Attachment, Controlled, Counters, Faults, Random, Sim};

/// What is not done by then hangs.
const DEADLINE: Instant = Instant::from_millis(60_000);

/// Steps of a run; a run that needs more does not move time.
const STEPS_MAX: u64 = 2_000_000;

/// A run that held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Sums up every frame and its time.
    pub trace: u64,
    /// Requests that succeeded.
    pub succeeded: u64,
    /// Directions of queue pairs that ended with a failure the plan allows.
    pub failed: u64,
    /// What the wire did.
    pub wire: Counters,
    /// When the last request ended.
    pub end: Instant,
}

/// A run that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// What goes wrong in it.
    pub class: Class,
    /// Its seed.
    pub seed: u64,
    /// When it broke.
    pub at: Instant,
    /// What broke.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { class, seed, at, what } = self;
        write!(f, "seed {seed} ({class:?}) at {at}: {what}")
    }
}

impl core::error::Error for Broken {}

/// A node's share of a run: one PD per device, one pair of completion queues
/// per device for all its queue pairs.
struct Node {
    devices: Vec<(RdmaPort, PdHandle, CqHandle, CqHandle)>,
}

struct Run<P: Provider> {
    sim: Sim<P>,
    random: Random,
    nodes: Vec<Node>,
    lanes: Vec<Lane>,
    /// Which lane a completion belongs to: of the sender, of the receiver.
    sends: BTreeMap<(usize, QpHandle), usize>,
    receives: BTreeMap<(usize, QpHandle), usize>,
}

/// Runs the traffic of `seed` between NICs from `make`, which is given a node's
/// number and a number to make its entropy of. Each must have two devices with
/// one port each, whose first GID reaches every other node's device of the same
/// place.
///
/// # Errors
/// What broke.
///
/// # Panics
/// If the NICs cannot be set up.
pub fn run<P: Controlled>(
    class: Class,
    seed: u64,
    mut make: impl FnMut(usize, u64) -> P,
) -> Result<Summary, Broken> {
    let mut random = Random::new(seed);
    let plan = Plan::new(class, &mut random);
    let mut sim = Sim::new(random.number());
    for node in 0..plan.nodes {
        let entropy = random.number();
        sim.add(make(node, entropy));
    }
    let mut run = Run::new(sim, random, &plan, class);
    match run.drive() {
        Ok(end) => Ok(run.summary(end)),
        Err(what) => Err(Broken { class, seed, at: run.sim.now(), what }),
    }
}

impl<P: Controlled> Run<P> {
    fn new(mut sim: Sim<P>, random: Random, plan: &Plan, class: Class) -> Self {
        let nodes = (0..plan.nodes).map(|node| Node::new(&mut sim, node)).collect();
        let (sends, receives) = (BTreeMap::new(), BTreeMap::new());
        let mut run = Self { sim, random, nodes, lanes: Vec::new(), sends, receives };
        let qps: Vec<_> = plan.qps.iter().map(|qp| run.connect(qp, class)).collect();
        run.set_faults(plan);
        for (when, mishap) in &plan.mishaps {
            run.schedule(*when, *mishap, plan, &qps);
        }
        run
    }

    fn set_faults(&mut self, plan: &Plan) {
        for (node, of_node) in self.nodes.iter().enumerate() {
            for (port, ..) in &of_node.devices {
                let suffers = plan.sender.is_none_or(|sender| sender == node);
                let delay = plan.faults.delay;
                let faults =
                    if suffers { plan.faults.clone() } else { Faults { delay, ..Faults::default() } };
                self.sim.set_faults(Attachment { node, port: *port }, faults);
            }
        }
    }

    fn schedule(&mut self, when: Instant, mishap: Mishap, plan: &Plan, qps: &[[QpHandle; 2]]) {
        match mishap {
            Mishap::QpError { qp, end } => {
                let handle = qps[qp][end];
                self.sim.at(when, plan.qps[qp].nodes[end], move |nic| {
                    nic.modify_qp(handle, QpTransition::Error).expect("ERR is reached from everywhere");
                });
            }
            Mishap::PortDown { node, device, until } => {
                let port = self.nodes[node].devices[device].0;
                self.sim.at(when, node, move |nic| nic.set_carrier(port, false));
                self.sim.at(until, node, move |nic| nic.set_carrier(port, true));
            }
        }
    }

    /// A queue pair at both ends, and its two lanes.
    fn connect(&mut self, plan: &QpPlan, class: Class) -> [QpHandle; 2] {
        let capabilities = QpCapabilities {
            max_send_wr: plan.send_depth as u32,
            max_recv_wr: plan.recv_depth as u32,
            max_send_sge: 3,
            max_recv_sge: 1,
            max_inline_data: 0,
        };
        let ends = plan.nodes.map(|node| {
            let (_, pd, send_cq, recv_cq) = self.nodes[node].devices[plan.device];
            let nic = self.sim.nic(node);
            let qp = nic.create_qp(QpInit { pd, send_cq, recv_cq, capabilities }).expect("a queue pair");
            (qp, nic.qp(qp).expect("it is there").qpn)
        });
        for (own, peer) in [(0, 1), (1, 0)] {
            let path = self.path_to(plan.nodes[peer], plan.device);
            let port = self.nodes[plan.nodes[own]].devices[plan.device].0.port;
            let access = Access::REMOTE_WRITE | Access::REMOTE_READ;
            let transitions = [
                QpTransition::Init(InitAttributes { port, pkey_index: 0, access }),
                QpTransition::ReadyToReceive(RtrAttributes {
                    path_mtu: plan.mtu,
                    destination_qpn: ends[peer].1,
                    rq_psn: plan.psn[peer],
                    max_dest_rd_atomic: 2,
                    min_rnr_timer: plan.min_rnr_timer,
                    path,
                }),
                QpTransition::ReadyToSend(RtsAttributes {
                    timeout: plan.timeout,
                    retry_count: 7,
                    rnr_retry: 7,
                    sq_psn: plan.psn[own],
                    max_rd_atomic: 2,
                }),
            ];
            for transition in transitions {
                self.sim.nic(plan.nodes[own]).modify_qp(ends[own].0, transition).expect("to RTS");
            }
        }
        for (from, to) in [(0, 1), (1, 0)] {
            let lane_ends = Ends {
                from: (plan.nodes[from], ends[from].0, self.nodes[plan.nodes[from]].devices[plan.device].1),
                to: (plan.nodes[to], ends[to].0, self.nodes[plan.nodes[to]].devices[plan.device].1),
                send_depth: plan.send_depth,
                recv_depth: plan.recv_depth,
                stream: self.lanes.len() as u64,
            };
            let lane = Lane::new(&mut self.sim, &plan.lanes[from], class.failures(), &lane_ends);
            self.sends.insert(lane.from, self.lanes.len());
            self.receives.insert(lane.to, self.lanes.len());
            self.lanes.push(lane);
        }
        ends.map(|(qp, _)| qp)
    }

    fn path_to(&mut self, node: usize, device: usize) -> AddressVector {
        let port = self.nodes[node].devices[device].0;
        let nic = self.sim.nic(node);
        let gid = nic.gid(port, 0).expect("a GID table").expect("a first GID").gid;
        crate::sim::address_vector(gid, nic.port(port).expect("it is there").mac)
    }

    fn drive(&mut self) -> Result<Instant, String> {
        for _ in 0..STEPS_MAX {
            self.turn()?;
            if self.lanes.iter().all(Lane::is_done) {
                let end = self.sim.now();
                self.calm_down()?;
                return Ok(end);
            }
            if self.sim.now() > DEADLINE {
                return Err(format!("it hangs: {}", self.unfinished()));
            }
            let due = self.lanes.iter().filter_map(Lane::due).min().unwrap_or(DEADLINE);
            self.sim.step_to(due.max(self.sim.now()).min(DEADLINE + Duration::from_millis(1)));
        }
        Err(format!("time does not move: {}", self.unfinished()))
    }

    fn unfinished(&self) -> String {
        let hanging: Vec<_> = self.lanes.iter().filter(|lane| !lane.is_done()).map(Lane::describe).collect();
        hanging.join("; ")
    }

    /// Looks at everything that came, and posts what can be.
    fn turn(&mut self) -> Result<(), String> {
        // Receives first: what a sender knows, its receiver has.
        self.completions(
            |(_, _, _, recv_cq)| *recv_cq,
            |run, node, done| {
                let lane = run.receives.get(&(node, done.qp)).ok_or("a receive of no queue pair")?;
                run.lanes[*lane].received(&mut run.sim, done, &mut run.random)
            },
        )?;
        self.completions(
            |(_, _, send_cq, _)| *send_cq,
            |run, node, done| {
                let lane = run.sends.get(&(node, done.qp)).ok_or("a completion of no queue pair")?;
                run.lanes[*lane].sent(&mut run.sim, done)
            },
        )?;
        for lane in &mut self.lanes {
            lane.look_at_cell(&mut self.sim)?;
            lane.post_receives(&mut self.sim)?;
            lane.post_requests(&mut self.sim, &mut self.random)?;
        }
        Ok(())
    }

    fn completions(
        &mut self,
        queue: impl Fn(&(RdmaPort, PdHandle, CqHandle, CqHandle)) -> CqHandle,
        mut each: impl FnMut(&mut Self, usize, &Completion) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut room = [Completion::EMPTY; 16];
        for node in 0..self.nodes.len() {
            for device in 0..self.nodes[node].devices.len() {
                let cq = queue(&self.nodes[node].devices[device]);
                loop {
                    let polled = self.sim.nic(node).poll_cq(cq, &mut room).map_err(|e| e.to_string())?;
                    for done in &room[..polled] {
                        each(self, node, done)?;
                    }
                    if polled < room.len() {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Lets late frames arrive, which must change nothing.
    fn calm_down(&mut self) -> Result<(), String> {
        let end = self.sim.now() + Duration::from_millis(20);
        while self.sim.now() < end {
            self.turn()?;
            self.sim.step_to(end);
        }
        self.turn()?;
        for lane in &mut self.lanes {
            lane.look_at_everything(&mut self.sim)?;
        }
        Ok(())
    }

    fn summary(&self, end: Instant) -> Summary {
        Summary {
            trace: self.sim.trace_hash(),
            succeeded: self.lanes.iter().map(|lane| lane.succeeded).sum(),
            failed: self.lanes.iter().filter(|lane| lane.has_failed()).count() as u64,
            wire: self.sim.counters(),
            end,
        }
    }
}

impl Node {
    fn new<P: Provider>(sim: &mut Sim<P>, node: usize) -> Self {
        let nic = sim.nic(node);
        let mut ids = [DeviceId(0); 2];
        assert_eq!(nic.devices(&mut ids), 2, "a node has two devices");
        let devices = ids.into_iter().map(|device| {
            let pd = nic.alloc_pd(device).expect("a PD");
            let mut cq = || nic.create_cq(device, 1024, CompletionVector(0)).expect("a completion queue");
            let (send_cq, recv_cq) = (cq(), cq());
            (RdmaPort { device, port: PortNumber(1) }, pd, send_cq, recv_cq)
        });
        Self { devices: devices.collect() }
    }
}
