//! Many connections over one wire.

#![expect(clippy::disallowed_types, reason = "here time enters")]

use std::borrow::Cow;
use std::process::Command;
use std::time::Duration;

use super::Progress;
use crate::column::Label;
use crate::cores::own_memory;
use crate::crowd::{Contacts, Crowd};
use crate::crowd_host::Kind;
use crate::fault::Fault;
use crate::near::Cores;
use crate::plan::Plan;
use crate::report::{Cell, Row, Section, Unit};
use crate::statistics::{fairness, quantile};

/// How a far end is started, and where.
pub struct Start<'a> {
    /// Makes a command whose standard input will be the socket for
    /// [`obey_standard_input`](crate::obey_standard_input).
    pub command: &'a dyn Fn() -> Command,
    /// The ends' cores: two of them, as all of this spins.
    pub cores: Cores,
}

impl Start<'_> {
    pub(super) fn crowd(&self) -> Result<Crowd, Fault> {
        Crowd::with_process((self.command)(), self.cores)
    }
}

/// A stream's connections.
const STREAMS: usize = 8;
/// Contacts being made at any moment.
const CONCURRENT: [usize; 5] = [1, 4, 16, 64, 200];

pub(super) fn label(id: String, what: String) -> Label {
    Label { id: Cow::Owned(id), wire: "shm", what: Cow::Owned(what), mode: "busy" }
}

fn share(nanos: &[u64], part: f64) -> f64 {
    quantile(&mut nanos.iter().map(|nanos| *nanos as f64).collect::<Vec<_>>(), part)
}

/// A hot connection beside idle ones, what a poll costs that finds nothing, and
/// the memory of a connection.
///
/// # Errors
/// [`Fault`].
pub fn idle_crowd(start: &Start<'_>, plan: &Plan, progress: Progress<'_>) -> Result<Section, Fault> {
    let (mut crowds, mut cells) = (Vec::new(), Vec::new());
    let figures = [("p50", Unit::Nanos), ("p99", Unit::Nanos), ("idle poll", Unit::Nanos)];
    let mut memory = Vec::new();
    for &count in &plan.crowds {
        progress(&format!("{count} idle connections are made"));
        let mut crowd = start.crowd()?;
        crowd.gather(Kind::Echo, 1)?;
        let before = own_memory();
        crowd.gather(Kind::Echo, count + 1)?;
        let after = own_memory();
        cells.push(Cell::new(label(format!("idle-{count}"), format!("SMC-R beside {count} idle")), &figures));
        if count > 0 {
            let each = |n: usize| after[n].saturating_sub(before[n]) as f64 / count as f64;
            let figures = [("own", Unit::Octets), ("shared", Unit::Octets)];
            let mut cell = Cell::new(label(format!("memory-{count}"), format!("SMC-R, {count}")), &figures);
            cell.add(&[each(0), each(1)]);
            memory.push(cell);
        }
        crowds.push(crowd);
    }
    let mut nanos = Vec::new();
    for block in 0..=plan.blocks {
        progress(&format!("64 B beside idle connections: block {block} of {}", plan.blocks));
        for (cell, crowd) in cells.iter_mut().zip(&mut crowds) {
            crowd.trips(plan.times, &mut nanos)?;
            let idle = crowd.idle_poll(plan.times * 4)?;
            if block > 0 {
                cell.add(&[share(&nanos, 0.5), share(&nanos, 0.99), idle]);
            }
        }
    }
    let rows = vec![
        Row { label: "round trip of 64 B beside idle connections".to_owned(), key: 64.0, cells },
        Row {
            label: "memory of a connection at one end, rings of 16 KiB included".to_owned(),
            key: 0.0,
            cells: memory,
        },
    ];
    let note = "Each number of connections has a process of its own at the other end; blocks are interleaved. An \
                idle poll is one that finds nothing. Memory is what a process had more when the connections \
                stood: its own with the send rings, the shared one with those that the peer writes.";
    Ok(section("idle-crowd", "Idle connections", note, ("connections", &["idle-0"]), rows))
}

/// Many connections that are all active.
///
/// # Errors
/// [`Fault`].
pub fn active_crowd(start: &Start<'_>, plan: &Plan, progress: Progress<'_>) -> Result<Section, Fault> {
    let counts = [10, plan.active];
    let mut crowd = start.crowd()?;
    progress(&format!("{} connections are made", plan.active));
    crowd.gather(Kind::Echo, plan.active)?;
    let figures = [("rate", Unit::PerSecond), ("fairness", Unit::Part)];
    let named = |count| label(format!("active-{count}"), format!("SMC-R, {count} connections"));
    let mut cells: Vec<_> = counts.iter().map(|count| Cell::new(named(*count), &figures)).collect();
    let time = Duration::from_millis(plan.crowd_millis.into());
    for block in 0..=plan.blocks {
        progress(&format!("all connections active: block {block} of {}", plan.blocks));
        for (cell, count) in cells.iter_mut().zip(counts) {
            let (shares, seconds) = crowd.all_active(count, time)?;
            if block > 0 {
                cell.add(&[shares.iter().sum::<f64>() / seconds, fairness(&shares)]);
            }
        }
    }
    let rows =
        vec![Row { label: "round trips of 64 B on all connections at once".to_owned(), key: 64.0, cells }];
    let note = "On each connection the next message goes when the last one is back; both ends are told by wakers \
                who has something. Fairness is Jain's index of the connections' round trips: 1 if all have as many.";
    Ok(section("active-crowd", "All connections active at once", note, ("connections", &["active-10"]), rows))
}

/// Small messages beside streams on the same link.
///
/// # Errors
/// [`Fault`].
pub fn beside_streams(start: &Start<'_>, plan: &Plan, progress: Progress<'_>) -> Result<Section, Fault> {
    let mut crowd = start.crowd()?;
    crowd.gather(Kind::Echo, 1)?;
    crowd.gather(Kind::Sink, STREAMS)?;
    let figures = [("p50", Unit::Nanos), ("p99", Unit::Nanos), ("max", Unit::Nanos)];
    let named = |id: &str, what: &str| label(id.to_owned(), what.to_owned());
    let mut cells = vec![
        Cell::new(named("alone", "SMC-R alone"), &figures),
        Cell::new(named("beside-8", "SMC-R beside 8 streams"), &figures),
    ];
    let mut rates = Cell::new(named("streams-8", "SMC-R, 8 streams"), &[("rate", Unit::GbPerSecond)]);
    let mut nanos = Vec::new();
    for block in 0..=plan.blocks {
        progress(&format!("64 B beside {STREAMS} streams: block {block} of {}", plan.blocks));
        for (n, cell) in cells.iter_mut().enumerate() {
            let rate = match n {
                0 => crowd.trips(plan.times, &mut nanos).map(|()| None)?,
                _ => Some(crowd.trips_beside_streams(plan.times, &mut nanos)?),
            };
            if block > 0 {
                cell.add(&[share(&nanos, 0.5), share(&nanos, 0.99), share(&nanos, 1.0)]);
                rates.figures.iter_mut().for_each(|figure| figure.blocks.extend(rate.map(|rate| rate / 1e9)));
            }
        }
    }
    let rows = vec![
        Row { label: format!("round trip of 64 B beside {STREAMS} streams"), key: 64.0, cells },
        Row { label: format!("the {STREAMS} streams meanwhile"), key: 0.0, cells: vec![rates] },
    ];
    let note = "One connection has round trips; between two polls the same thread gives one of eight others of the \
                same link up to 16 KiB, in turn, as does who takes them. Their rings have 512 KiB.";
    Ok(section("beside-streams", "Small messages beside streams", note, ("octets", &["alone"]), rows))
}

/// What it takes to connect: the first contact, which brings link and queue pair,
/// and later ones on the same link.
///
/// # Errors
/// [`Fault`].
pub fn contacts(start: &Start<'_>, plan: &Plan, progress: Progress<'_>) -> Result<Section, Fault> {
    let figures =
        [("rate", Unit::PerSecond), ("p50", Unit::Nanos), ("p99", Unit::Nanos), ("CPU a contact", Unit::Cpu)];
    let mut rows = vec![first_contacts(start, plan, progress)?];
    let mut crowd = start.crowd()?;
    // It holds the link group, so that all others are later contacts.
    crowd.gather(Kind::Echo, 1)?;
    let time = Duration::from_millis(plan.crowd_millis.into());
    for concurrent in CONCURRENT {
        let kinds =
            [("smc", Kind::Echo, "SMC-R, later contact"), ("tcp", Kind::Tcp, "smoltcp TCP on our stack")];
        let mut cells: Vec<_> = kinds
            .iter()
            .map(|(id, _, what)| Cell::new(label((*id).to_owned(), (*what).to_owned()), &figures))
            .collect();
        for block in 0..=plan.blocks {
            progress(&format!("{concurrent} contacts at a time: block {block} of {}", plan.blocks));
            for (cell, (_, kind, _)) in cells.iter_mut().zip(kinds) {
                let Contacts { count, nanos, cost } = crowd.contacts(kind, concurrent, time)?;
                if block > 0 {
                    let count = count as f64;
                    let times = [share(&nanos, 0.5), share(&nanos, 0.99)];
                    cell.add(&[count / cost.seconds, times[0], times[1], cost.cpu / count * 1e9]);
                }
            }
        }
        let label = format!("connect and close in order, {concurrent} at a time");
        rows.push(Row { label, key: concurrent as f64, cells });
    }
    let note = "From connect until it stands, seen by who connects, who then closes; the other end closes when it \
                hears. The processor time is that of both ends, which spin, closing included. TIME-WAIT is a millisecond: \
                with a minute the ports would run out. A first contact is \
                in a fresh process each time.";
    Ok(section("contacts", "Setting up connections", note, ("contacts at a time", &["tcp"]), rows))
}

fn first_contacts(start: &Start<'_>, plan: &Plan, progress: Progress<'_>) -> Result<Row, Fault> {
    let named = label("first".to_owned(), "SMC-R, first contact".to_owned());
    let mut cell = Cell::new(named, &[("time", Unit::Nanos)]);
    for block in 1..=plan.blocks {
        progress(&format!("first contacts: block {block} of {}", plan.blocks));
        let contacts = start.crowd()?.contacts(Kind::Echo, 1, Duration::ZERO)?;
        cell.add(&[share(&contacts.nanos, 0.5)]);
    }
    Ok(Row { label: "the first contact of two hosts".to_owned(), key: 0.0, cells: vec![cell] })
}

fn section(
    id: &'static str,
    title: &str,
    note: &str,
    (key, baselines): (&'static str, &'static [&'static str]),
    rows: Vec<Row>,
) -> Section {
    Section { id, title: title.to_owned(), note: note.to_owned(), key, baselines, scatters: &[], rows }
}
