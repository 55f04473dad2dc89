use std::net::SocketAddr;

use smolsmc::{Config, ListenOptions, ListenerHandle, SoftNic, Stack};
use smolsmc_verbs::{DeviceId, PortNumber, RdmaPort};
use smolsmc_wire::{Duration, Instant};

use super::plan::HostPlan;
use crate::sim::{Random, address_of, host_config, second_port, small_stack};

pub(super) const PORT: u16 = 5000;

/// A host beside its stack, which the [`Lan`](crate::sim::Lan) has.
pub(super) struct Host {
    pub(super) plan: HostPlan,
    /// How often it was restarted.
    pub(super) life: u32,
    pub(super) listener: Option<ListenerHandle>,
    /// Something befell it that connections do not survive.
    pub(super) is_hurt: bool,
    /// Ports that are down.
    pub(super) down: Vec<RdmaPort>,
    /// Devices that were taken out.
    pub(super) pulled: usize,
}

impl Host {
    pub(super) const fn new(plan: HostPlan) -> Self {
        Self { plan, life: 0, listener: None, is_hurt: false, down: Vec::new(), pulled: 0 }
    }

    /// Whether connections to and from it need not become SMC-R.
    pub(super) const fn may_lack_smc(&self) -> bool {
        let few_groups = self.plan.groups <= 4;
        few_groups || self.plan.scarce.is_some() || !self.plan.smc || self.plan.short_idle || self.is_hurt
    }
}

/// The configuration of one life of host `index`.
pub(super) fn config(index: usize, plan: &HostPlan, random: &mut Random) -> Config {
    let mut config = host_config(index, random);
    if plan.second_port {
        second_port(index, &mut config);
    }
    config.smc = plan.smc;
    config.max_conns = plan.max_conns;
    config.rmb_size = plan.rmb_size;
    config.send_size = plan.send_size;
    let limits = &mut config.limits;
    (limits.connections, limits.handshakes, limits.groups) = (64, 32, plan.groups);
    (limits.frames, limits.completions) = (plan.frames, plan.completions);
    (limits.receives, limits.messages) = (plan.receives, plan.messages);
    (limits.write_turn, limits.octets, limits.tcp_buffer) = (plan.write_turn, plan.write_turn, 16 * 1024);
    if plan.short_idle {
        config.timers.idle_server = Duration::from_millis(1500);
        config.timers.idle_client = Duration::from_millis(2500);
    }
    config
}

/// A stack on a small NIC in software.
pub(super) fn stack(config: Config, plan: &HostPlan, now: Instant) -> Stack<SoftNic> {
    small_stack(config, plan.scarce.unwrap_or(512), now)
}

/// Where it listens.
pub(super) fn service(index: usize) -> SocketAddr {
    SocketAddr::new(address_of(index), PORT)
}

pub(super) fn listen_options(plan: &HostPlan) -> ListenOptions {
    let mut options = ListenOptions::USUAL;
    options.backlog = 8;
    options.socket.strict = plan.strict_listener;
    options
}

/// The RDMA port of Ethernet port `number`.
pub(super) const fn rdma_port(number: u32) -> RdmaPort {
    RdmaPort { device: DeviceId(number), port: PortNumber(1) }
}
