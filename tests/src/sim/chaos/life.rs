//! The hosts, their talks, and the ticks at which they act.

use smolsmc::{SocketOptions, Transport};
use smolsmc_wire::{Duration, RmbeSize};

use super::Outcome;
use super::host::{self, Host, service};
use super::judge::explanation;
use super::plan::Plan;
use super::talk::{End, Fate, Script, Talk, Told};
use crate::sim::{Lan, Random};

pub(super) struct Life {
    pub(super) plan: Plan,
    pub(super) lan: Lan,
    pub(super) random: Random,
    pub(super) hosts: Vec<Host>,
    pub(super) talks: Vec<Talk>,
    tick: u64,
    outcome: Outcome,
}

/// Steps of the clock that one tick may take: more is no progress.
const STEPS_MAX: u64 = 2_000_000;

impl Life {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::draw(&mut random);
        let hosts: Vec<_> = plan.hosts.iter().cloned().map(Host::new).collect();
        let configs = (0..).zip(&hosts).map(|(index, h)| host::config(index, &h.plan, &mut random)).collect();
        let mut plans = plan.hosts.iter();
        let mut lan = Lan::with(random.number(), configs, |config, now| {
            host::stack(config, plans.next().expect("a plan for each host"), now)
        });
        lan.log = (plan.is_watched || is_shown()).then(Vec::new);
        let mut life =
            Self { plan, lan, random, hosts, talks: Vec::new(), tick: 0, outcome: Outcome::default() };
        (0..life.hosts.len()).for_each(|host| life.listen(host));
        life.set_weather();
        life
    }

    pub(super) fn outcome(&self) -> Outcome {
        let ends = || self.talks.iter().flat_map(|talk| &talk.ends);
        let smc = |end: &&End| matches!(end.transport, Some(Transport::SmcR { .. }));
        Outcome {
            trace: self.lan.trace_hash(),
            talks: self.talks.len(),
            smc: ends().filter(smc).count(),
            tcp: ends().filter(|end| matches!(end.transport, Some(Transport::Tcp(_)))).count(),
            complete: ends().filter(|end| end.ended).count(),
            ..self.outcome
        }
    }

    /// Until the last tick.
    pub(super) fn live(&mut self) {
        while self.tick < self.plan.ticks {
            if (self.talks.len() as u64) < self.plan.talks && self.random.chance(0.3) {
                self.begin();
            }
            self.maybe_strike();
            self.act();
            // Now and then everybody sleeps.
            let gap = match self.random.chance(0.03) {
                true => self.random.between(1, 4_000_000),
                false => self.random.between(1, self.plan.gap),
            };
            self.pass(Duration::from_micros(gap));
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.lan.now() + time;
        let mut steps = 0;
        while self.lan.now() < end {
            let left = Duration::from_micros(end.micros() - self.lan.now().micros());
            self.lan.step_within(left);
            steps += 1;
            assert!(steps < STEPS_MAX, "the clock hardly moves");
        }
        self.tick += 1;
    }

    fn begin(&mut self) {
        let count = self.hosts.len() as u64;
        let client = self.random.below(count) as usize;
        let server = (client + self.random.between(1, count - 1) as usize) % self.hosts.len();
        let mut options = SocketOptions::default();
        options.plain_tcp = self.random.chance(0.1);
        options.strict = self.random.chance(0.1);
        options.rmb_size = self.random.chance(0.3).then(|| RmbeSize::from_code(self.random.below(3) as u8));
        options.send_size = self.random.chance(0.3).then(|| RmbeSize::from_code(self.random.below(3) as u8));
        self.connect(client, server, options);
    }

    /// Begins a talk; its number in the list.
    pub(super) fn connect(&mut self, client: usize, server: usize, options: SocketOptions) -> usize {
        let server_addr = service(server);
        let stack = self.lan.stack(client);
        let handle = stack.connect(server_addr, options).expect("few connections");
        let client_addr = stack.socket(handle).expect("just made").local_addr();
        let ends = [client, server].map(|host| {
            End::new(host, self.hosts[host].life, Script::draw(&mut self.random, self.plan.ticks))
        });
        let number = self.talks.len() as u64;
        self.talks.push(Talk { ends, number, client_addr, server_addr, options });
        self.talks[number as usize].ends[0].handle = Some(handle);
        number as usize
    }

    /// Everybody accepts, and does what is next.
    pub(super) fn act(&mut self) {
        for host in 0..self.hosts.len() {
            self.accept(host);
        }
        for talk in 0..self.talks.len() {
            for side in [0, 1] {
                self.act_once(talk, side);
            }
        }
    }

    fn accept(&mut self, host: usize) {
        let Some(listener) = self.hosts[host].listener else { return };
        while let Some(handle) = self.lan.stack(host).accept(listener) {
            let remote = self.lan.stack(host).socket(handle).expect("just accepted").remote_addr();
            let ends = (remote, service(host));
            let talk = self.talks.iter_mut().rev().find(|talk| (talk.client_addr, talk.server_addr) == ends);
            let talk = talk.expect("somebody began it");
            let end = &mut talk.ends[1];
            assert_eq!(end.handle, None, "accepted twice");
            (end.handle, end.life, end.fate) = (Some(handle), self.hosts[host].life, Fate::Open);
        }
    }

    fn act_once(&mut self, index: usize, side: usize) {
        let Self { talks, lan, random, .. } = self;
        let talk = &mut talks[index];
        match talk.ends[side].act(lan, random, talk.number, side, self.tick) {
            Told::Nothing => {}
            Told::Error(error) => {
                let why = explanation(talk, side, error, self.plan.weather, &self.hosts);
                assert!(
                    why.is_some(),
                    "side {side} is told: {error} ({error:?})\n{talk:#?}\n{:#?}",
                    self.plan
                );
                self.outcome.errors += 1;
                talk.ends[side].fail(lan, error);
            }
            Told::End => {
                let [own, peer] = [&talk.ends[side], &talk.ends[1 - side]];
                assert_eq!(
                    own.received, peer.sent,
                    "side {side}: the stream ends early\n{talk:#?}\n{:#?}",
                    self.plan
                );
                let said = peer.shut || peer.fate != Fate::Open;
                assert!(said, "side {side}: an end that nobody said\n{talk:#?}");
            }
        }
    }

    /// Whether somebody still has something to do.
    pub(super) fn is_talking(&self) -> bool {
        self.talks.iter().flat_map(|talk| &talk.ends).any(End::is_open)
    }
}

/// `SMOLSMC_SHOW=1` prints the frames of a life that fails.
fn is_shown() -> bool {
    std::env::var_os("SMOLSMC_SHOW").is_some()
}

impl Drop for Life {
    fn drop(&mut self) {
        if std::thread::panicking() && is_shown() {
            self.reports().iter().for_each(|report| eprintln!("{}", report.to_line()));
        }
    }
}
