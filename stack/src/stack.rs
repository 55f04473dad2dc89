//! The stack, and its one `poll`.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;

use hashbrown::HashMap;
use slotmap::SlotMap;
use smolsmc_llc::{self as llc, Role};
use smolsmc_verbs::{Completion, CompletionVector, FrameEngine, Provider};
use smolsmc_wire::{Instant, Mac, PeerId};
use smoltcp::iface::SocketSet;
use smoltcp::phy::Device;

use crate::completions::BATCH;
use crate::config::Config;
use crate::connection::{Connection, Phase};
use crate::deadlines::{Deadline, Deadlines, Due};
use crate::draws::Draws;
use crate::error::{ConfigError, ConnectError, ListenError, NoSuchSocket};
use crate::event::{Events, Told};
use crate::group::Group;
use crate::handle::{ListenerHandle, SocketHandle};
use crate::listener::Listener;
use crate::options::{ListenOptions, SocketOptions};
use crate::port::{Port, Tuple};
use crate::shared::{Connections, Shared};
use crate::socket::Socket;
use crate::spare::Spare;
use crate::stats::{SocketStats, StackStats};
use crate::tcp::Tcp;
use crate::time_wait::TimeWaits;
use crate::wakers::Wakers;

/// One host's SMC-R: ports, link groups, connections, and the provider they
/// run on. It does nothing by itself: call [`Stack::poll`].
pub struct Stack<P: Provider> {
    pub(crate) connections: Connections,
    pub(crate) shared: Shared<P>,
    /// For frames that belong to no connection: ARP, ICMP, strangers' TCP.
    nobody: SocketSet<'static>,
}

/// What a [`Stack::poll`] came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PollOutcome {
    /// Frames, completions or messages were moved.
    pub progressed: bool,
    /// Some socket or listener may have become readable, writable or acceptable, or
    /// the stack idle.
    pub readiness_changed: bool,
    /// A limit ended this call before there was nothing left to do: call again
    /// without waiting.
    pub more: bool,
}

/// When to call [`Stack::poll`] again, if no frame and no notification comes
/// before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wakeup {
    /// At once.
    Now,
    /// At this moment; earlier is harmless.
    At(Instant),
    /// When a frame or a notification comes.
    OnInput,
}

impl<P: Provider> Stack<P> {
    /// A stack on the devices of `provider`, which it owns.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn new(config: Config, mut provider: P, now: Instant) -> Result<Self, ConfigError> {
        config.check()?;
        let mut draws = Draws::new(config.entropy);
        let mut cqs = Vec::new();
        for device in config.ports.iter().filter_map(|port| port.rdma).map(|rdma| rdma.device) {
            if cqs.iter().all(|(known, _)| *known != device) {
                let most = provider.device(device)?.max_cqe;
                let limits = &config.limits;
                let per_link = limits.completions_per_link();
                let groups = u32::try_from(limits.groups).unwrap_or(u32::MAX);
                let entries = per_link.saturating_mul(groups).clamp(1, most);
                cqs.push((device, provider.create_cq(device, entries, CompletionVector::default())?));
            }
        }
        let ports: Vec<Port> =
            config.ports.iter().map(|port| Port::new(port, draws.tcp_seed(), now)).collect();
        let mac = config.ports.first().map_or(Mac::default(), |port| port.mac);
        let events = Events::new(config.limits.events);
        let spare = Spare::new(config.limits.handshakes, config.limits.tcp_buffer);
        let shared = Shared {
            spare,
            peer_id: PeerId { instance: draws.instance(), mac },
            config,
            provider,
            now,
            ports,
            cqs,
            listeners: SlotMap::with_key(),
            groups: SlotMap::with_key(),
            groups_made: 0,
            by_tuple: HashMap::with_hasher(draws.secret()),
            time_waits: TimeWaits::new(draws.secret()),
            by_token: HashMap::with_hasher(draws.secret()),
            by_qp: BTreeMap::new(),
            deadlines: Deadlines::default(),
            dirty: VecDeque::new(),
            is_port_full: false,
            opening: BTreeSet::new(),
            waiting_for_group: VecDeque::new(),
            waiting_for_rkey: VecDeque::new(),
            woken: VecDeque::new(),
            rkeys_confirmed: VecDeque::new(),
            ready: VecDeque::new(),
            downed: VecDeque::new(),
            ended: VecDeque::new(),
            handshakes: 0,
            handshakes_from: BTreeMap::new(),
            batch: vec![Completion::EMPTY; BATCH],
            scratch: vec![0; llc::MAX_LEN],
            readiness_changed: false,
            events,
            stats: StackStats::default(),
            noticed: VecDeque::new(),
            knocked: VecDeque::new(),
            draws,
        };
        Ok(Self { connections: Connections::with_key(), shared, nobody: SocketSet::new(Vec::new()) })
    }

    /// Moves everything forward that can be, in this order: frames in,
    /// timers, completions in, handshakes and TCP, connections out, frames out.
    /// Each step is bounded by [`Limits`](crate::Limits). `devices` are those of
    /// the ports in [`Config::ports`], in their order.
    ///
    /// `now` never goes back: an earlier moment counts as the latest one seen.
    pub fn poll<D: Device>(&mut self, now: Instant, devices: &mut [D]) -> PollOutcome {
        self.shared.now = self.shared.now.max(now);
        self.shared.readiness_changed = false;
        let limits = self.shared.config.limits;
        let frames_in = self.frames_in(devices);
        self.timers();
        let mut completions = self.shared.completions(&mut self.connections);
        self.shared.provider_events(&mut self.connections);
        self.settle();
        let is_calm = completions == 0 && self.shared.dirty.is_empty() && !self.shared.is_port_full;
        let first_out = self.frames_out_first(devices);
        let served = self.serve(devices);
        self.time_waits_out(devices);
        let (said, has_more_to_say) = self.shared.transmit(&mut self.connections);
        let (frames_out, out_full) = self.frames_out(devices);
        self.begin(devices);
        if !(is_calm && said == 0 && first_out + frames_out == 0) && self.shared.provider.frames().is_some() {
            // What failed at once has completed already, and no frame will tell. Who has no
            // frames is asked when he is armed.
            completions += self.shared.completions(&mut self.connections);
            self.settle();
        }
        self.wake();
        let work = frames_in + completions + said + first_out + frames_out;
        let progressed = work > 0;
        self.shared.stats.poll_work += work as u64;
        self.shared.stats.longest_poll = self.shared.stats.longest_poll.max(work as u64);
        self.shared.stats.polls += 1;
        self.shared.stats.idle_polls += u64::from(!progressed);
        PollOutcome {
            progressed,
            readiness_changed: self.shared.readiness_changed,
            more: frames_in >= limits.frames
                || completions >= limits.completions
                || served
                || out_full
                || has_more_to_say,
        }
    }

    /// When to poll again.
    pub fn poll_at(&mut self) -> Wakeup {
        let shared = &mut self.shared;
        if !shared.dirty.is_empty()
            || !shared.ended.is_empty()
            || !shared.downed.is_empty()
            || !shared.woken.is_empty()
            || !shared.noticed.is_empty()
            || !shared.knocked.is_empty()
        {
            return Wakeup::Now;
        }
        if shared.ready.iter().any(|&key| shared.groups.get(key).is_some_and(Group::can_say)) {
            return Wakeup::Now;
        }
        let engine = shared.provider.frames().and_then(|engine| engine.poll_at());
        match engine.into_iter().chain(shared.deadlines.next()).min() {
            Some(at) if at <= shared.now => Wakeup::Now,
            Some(at) => Wakeup::At(at),
            None => Wakeup::OnInput,
        }
    }

    /// The provider, to look at or to change what it is made of.
    pub const fn provider_mut(&mut self) -> &mut P {
        &mut self.shared.provider
    }

    /// Listens on `local`; an unspecified address stands for all of its kind.
    ///
    /// # Errors
    /// [`ListenError`].
    pub fn listen(
        &mut self,
        local: SocketAddr,
        options: ListenOptions,
    ) -> Result<ListenerHandle, ListenError> {
        let shared = &mut self.shared;
        if local.port() == 0 {
            return Err(ListenError::NoPort);
        }
        let ours = shared.ports.iter().any(|port| port.has_address(local.ip()));
        if !local.ip().is_unspecified() && !ours {
            return Err(ListenError::NoSuchAddress);
        }
        if shared.listeners.values().any(|listener| listener.takes(local) || listener.local == local) {
            return Err(ListenError::InUse);
        }
        if shared.listeners.len() >= shared.config.limits.listeners {
            return Err(ListenError::Exhausted);
        }
        Ok(shared.listeners.insert(Listener {
            local,
            options,
            opening: 0,
            ready: VecDeque::new(),
            waker: None,
        }))
    }

    /// The next connection whose handshake is done, be it SMC-R or TCP.
    pub fn accept(&mut self, listener: ListenerHandle) -> Option<SocketHandle> {
        let handle = self.shared.listeners.get_mut(listener)?.ready.pop_front()?;
        if let Some(connection) = self.connections.get_mut(handle) {
            connection.listener = None;
        }
        Some(handle)
    }

    /// Stops listening. Connections that nobody accepted are aborted; whoever
    /// waits for one is woken.
    pub fn unlisten(&mut self, listener: ListenerHandle) {
        let Some(listener) = self.shared.listeners.remove(listener) else { return };
        if let Some(waker) = listener.waker {
            waker.wake();
        }
        for handle in listener.ready {
            if let Ok(socket) = self.socket(handle) {
                socket.abort();
            }
        }
    }

    /// Begins a connection to `remote`.
    ///
    /// # Errors
    /// [`ConnectError`]; what goes wrong later is told by the socket.
    pub fn connect(
        &mut self,
        remote: SocketAddr,
        options: SocketOptions,
    ) -> Result<SocketHandle, ConnectError> {
        let shared = &mut self.shared;
        if remote.port() == 0 || remote.ip().is_unspecified() || remote.ip().is_multicast() {
            return Err(ConnectError::BadAddress);
        }
        if self.connections.len() >= shared.config.limits.connections {
            return Err(ConnectError::Exhausted);
        }
        let routed = shared
            .ports
            .iter()
            .enumerate()
            .find_map(|(index, port)| port.source_for(remote.ip()).map(|source| (index, source)));
        let (port, source) = routed.ok_or(ConnectError::NoRoute)?;
        let tuple =
            shared.free_tuple((port, source), options.local_port, remote).ok_or(ConnectError::NoFreePort)?;
        let mut connection = shared.new_connection(tuple, Role::Client, options, None);
        let context = shared.ports.get_mut(port).ok_or(ConnectError::NoRoute)?.iface.context();
        if !connection.tcp.connect(context, tuple.local, remote) {
            return Err(ConnectError::BadAddress);
        }
        let handle = self.connections.insert(connection);
        shared.by_tuple.insert(tuple, handle);
        if let Some(connection) = self.connections.get_mut(handle) {
            shared.touch(handle, connection);
        }
        Ok(handle)
    }

    /// A socket, to be used until the next call of the stack.
    ///
    /// # Errors
    /// [`NoSuchSocket`] for a handle whose socket was closed.
    pub fn socket(&mut self, handle: SocketHandle) -> Result<Socket<'_, P>, NoSuchSocket> {
        let connection = self.connections.get_mut(handle).filter(|connection| !connection.is_released);
        Ok(Socket::new(handle, connection.ok_or(NoSuchSocket)?, &mut self.shared))
    }

    /// Says good-bye to all peers: every link group is deleted in order, and its
    /// queue pair answers on until the peers have heard. Close the sockets
    /// first; poll until [`Stack::is_idle`].
    pub fn leave(&mut self) {
        let keys: Vec<_> = self.shared.groups.keys().collect();
        for key in keys {
            self.shared.leave_group(key);
        }
        self.settle();
    }

    /// Whether there is neither a connection nor a link group.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.connections.is_empty() && self.shared.groups.is_empty()
    }

    /// Whether there is a connection, or what is left of one.
    #[must_use]
    pub fn has_connections(&self) -> bool {
        !self.connections.is_empty()
    }

    // ---- the steps of poll ----

    fn frames_in<D: Device>(&mut self, devices: &mut [D]) -> usize {
        let Self { connections, shared, nobody } = self;
        let now = shared.now;
        let most = shared.config.limits.frames;
        let mut taken = 0;
        let mut ports = core::mem::take(&mut shared.ports);
        for (index, (port, device)) in ports.iter_mut().zip(devices).enumerate() {
            let mut here = 0;
            while here < most {
                let came = port.frame_in(now, device, |port, frame, to_tcp| {
                    shared.frame(connections, nobody, index, port, frame, to_tcp);
                });
                if !came {
                    break;
                }
                here += 1;
            }
            taken = taken.max(here);
        }
        shared.ports = ports;
        taken
    }

    fn timers(&mut self) {
        let Self { connections, shared, .. } = self;
        if let Some(engine) = shared.provider.frames() {
            engine.run_timers(shared.now);
        }
        while let Some(due) = shared.deadlines.pop(shared.now) {
            match due {
                Due::Connection(handle) => {
                    let Some(connection) = connections.get_mut(handle) else { continue };
                    if connection.deadline.reminded(shared.now) {
                        shared.touch(handle, connection);
                    } else {
                        let at = connection.deadline.at;
                        shared.deadlines.set(&mut connection.deadline, due, at);
                    }
                }
                Due::Group(key) => shared.group_reminded(connections, key),
            }
        }
        shared.time_waits.expire(shared.now);
        shared.tell_rkeys(connections);
    }

    /// Tells connections what has become of their groups.
    #[inline]
    fn settle(&mut self) {
        let Shared { downed, ended, rkeys_confirmed, woken, .. } = &self.shared;
        if !(downed.is_empty() && ended.is_empty() && rkeys_confirmed.is_empty() && woken.is_empty()) {
            self.settle_news();
        }
    }

    #[cold]
    fn settle_news(&mut self) {
        let Self { connections, shared, .. } = self;
        shared.move_connections(connections);
        while let Some((key, why)) = shared.ended.pop_front() {
            let mut waiting = core::mem::take(&mut shared.waiting_for_group);
            shared.woken.append(&mut waiting);
            for (handle, connection) in connections.iter_mut() {
                if connection.link().is_some_and(|(group, _)| group == key) {
                    shared.group_ended(handle, connection, why);
                }
            }
        }
        shared.tell_rkeys(connections);
        while let Some(handle) = shared.woken.pop_front() {
            if let Some(connection) = connections.get_mut(handle) {
                shared.touch(handle, connection);
            }
        }
    }
}

impl<P: Provider> Shared<P> {
    fn free_tuple(
        &mut self,
        (port, source): (usize, core::net::IpAddr),
        wanted: Option<u16>,
        remote: SocketAddr,
    ) -> Option<Tuple> {
        const TRIES: usize = 1024;
        let tries = if wanted.is_some() { 1 } else { TRIES };
        (0..tries).find_map(|_| {
            let local = SocketAddr::new(source, wanted.unwrap_or_else(|| self.draws.ephemeral_port()));
            let tuple = Tuple { port, local, remote };
            let listened = self.listeners.values().any(|listener| listener.takes(local));
            let taken = self.by_tuple.contains_key(&tuple) || self.time_waits.contains(&tuple);
            (!listened && !taken).then_some(tuple)
        })
    }

    pub(crate) fn new_connection(
        &mut self,
        tuple: Tuple,
        role: Role,
        options: SocketOptions,
        listener: Option<ListenerHandle>,
    ) -> Connection {
        let Config { timers, smc, smc_with, .. } = &self.config;
        let wanted = *smc && !options.plain_tcp && smc_with.is_none_or(|with| with(tuple.remote));
        let mut tcp = Tcp::new(self.spare.take(), timers.tcp);
        tcp.set_keep_alive(options.keep_alive);
        Connection {
            tuple,
            role,
            tcp,
            peer_mac: Mac::default(),
            our_option: wanted,
            peer_option: false,
            is_crossed: false,
            options,
            listener,
            phase: Phase::Opening,
            phase_until: Some(self.now + timers.tcp),
            deadline: Deadline::default(),
            may_cross: false,
            is_dirty: false,
            is_blocked: false,
            awaits_fin: false,
            wakers: Wakers::default(),
            told: Told::default(),
            stats: SocketStats::default(),
            is_released: false,
        }
    }
}
