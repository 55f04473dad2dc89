//! The faults are over: everybody comes to an end, everything comes home, and
//! the hosts can go on.

use smolsmc::{SocketOptions, Transport};
use smolsmc_decode::{Dissector, Frame, FrameReport, Kind};
use smolsmc_wire::Duration;

use super::life::Life;
use super::plan::Weather;
use super::talk::{End, Ending, Fate};

/// A dead peer is noticed within this: TEST LINK every 30 s, or all
/// retransmissions of TCP.
const NOTICED: Duration = Duration::from_secs(100);

/// Closed connections are gone within this: 60 s for the peer's answer, 2 s for
/// our abort, 20 s for TCP.
const GONE: Duration = Duration::from_secs(120);

/// Groups are gone so long after somebody left: their queue pairs answer on for
/// 2 s on each side; a peer that was not told finds out by TEST LINK.
const LEFT: Duration = Duration::from_secs(60);

impl Life {
    pub(super) fn end(&mut self) {
        self.heal();
        for end in self.talks.iter_mut().flat_map(|talk| &mut talk.ends) {
            end.script.hurry();
        }
        self.until(NOTICED, |life| !life.is_talking());
        self.nobody_is_stuck();
        self.close_all();
        self.go_on();
        self.leave();
        self.everything_is_home();
        if self.random.chance(0.3) {
            self.go_on();
        }
        self.bystander();
    }

    /// Ticks until `done`; whether it was in time.
    fn until(&mut self, most: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.lan.now() + most;
        let mut gap = 2;
        while !done(self) {
            if self.lan.now() >= end {
                return false;
            }
            self.act();
            self.pass(Duration::from_millis(gap));
            gap = (gap * 2).min(1000);
        }
        true
    }

    fn nobody_is_stuck(&self) {
        for talk in &self.talks {
            for (end, peer) in [(0, 1), (1, 0)].map(|(a, b)| (&talk.ends[a], &talk.ends[b])) {
                assert!(
                    !end.is_open() || may_wait(end, peer, self.plan.weather),
                    "stuck\n{talk:#?}\n{:#?}",
                    self.plan
                );
            }
        }
    }

    fn close_all(&mut self) {
        for end in self.talks.iter_mut().flat_map(|talk| &mut talk.ends) {
            end.give_up(&mut self.lan);
        }
        let count = self.hosts.len();
        let gone = self.until(GONE, |life| (0..count).all(|host| !life.lan.stack(host).has_connections()));
        if !gone {
            for host in 0..count {
                eprintln!("host {host}: {:?}", self.lan.stack(host).held());
            }
            panic!("connections are left\n{:#?}\n{:#?}", self.talks, self.plan);
        }
    }

    /// Each host can be reached by each other one, and octets arrive.
    fn go_on(&mut self) {
        for server in 0..self.hosts.len() {
            let client = (server + 1) % self.hosts.len();
            let talk = self.connect(client, server, SocketOptions::default());
            for end in &mut self.talks[talk].ends {
                end.script.len = 3000;
                end.script.ending = Ending::Orderly;
                end.script.hurry();
            }
            let strict = self.hosts[server].plan.strict_listener;
            let done = self.until(NOTICED, |life| !life.is_talking());
            let ends = &self.talks[talk].ends;
            let well = ends.iter().all(|end| end.ended && end.fate == Fate::Closed);
            let refused = strict && ends.iter().all(|end| !end.is_open());
            assert!(done && (well || refused), "after all\n{:#?}\n{:#?}", self.talks[talk], self.plan);
        }
        self.close_all();
    }

    fn leave(&mut self) {
        let count = self.hosts.len();
        (0..count).for_each(|host| self.lan.stack(host).leave());
        let idle = self.until(LEFT, |life| (0..count).all(|host| life.lan.stack(host).is_idle()));
        let groups: Vec<_> = (0..count).map(|host| self.lan.stack(host).groups()).collect();
        assert!(idle, "groups are left: {groups:#?}\n{:#?}", self.plan);
    }

    fn everything_is_home(&mut self) {
        for host in 0..self.hosts.len() {
            let held = self.lan.stack(host).held();
            let pulled = self.hosts[host].pulled;
            let nic = self.lan.stack(host).provider_mut();
            assert_eq!(nic.counters().cq_overflows, 0, "host {host}: completions were lost");
            let objects = nic.objects();
            let left = (objects.pds, objects.qps, objects.memories, objects.mrs);
            assert_eq!(left, (0, 0, 0, 0), "host {host}: pulled {pulled}: {objects:?} {held:?}");
            let mut home = smolsmc::Held::default();
            home.listeners = 1;
            // They go with time, and until then there are so many at most.
            home.time_waits = held.time_waits.min(smolsmc::Limits::USUAL.time_waits);
            assert_eq!(held, home, "host {host}");
        }
    }

    /// Who knows nothing but the frames finds no rule broken.
    fn bystander(&self) {
        for report in self.reports().iter().filter(|_| self.plan.is_watched) {
            assert!(!matches!(report.kind(), Kind::Violation | Kind::Unknown), "{}", report.to_line());
        }
    }

    pub(super) fn reports(&self) -> Vec<FrameReport> {
        let mut dissector = Dissector::new();
        let frames = (1..).zip(self.lan.log.iter().flatten());
        let frames = frames.map(|(number, (at, octets))| Frame {
            number,
            time_ns: at.micros() * 1000,
            original_len: octets.len(),
            octets,
        });
        frames.map(|frame| dissector.frame(&frame)).collect()
    }
}

/// Nobody tells plain TCP that its peer is no more, as long as it is silent and
/// the RST was lost.
fn may_wait(end: &End, peer: &End, weather: Weather) -> bool {
    let tcp = !matches!(end.transport, Some(Transport::SmcR { .. }));
    tcp && !peer.is_open() && matches!(weather, Weather::Lossy | Weather::Storm)
}
