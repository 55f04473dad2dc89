//! A conversation drawn as a ladder: two hosts, and an arrow for each thing one
//! says to the other.

mod traffic;
mod words;

use std::io::{self, Write};
use std::net::IpAddr;

use smolsmc_decode::FrameReport;

use traffic::Traffic;
use words::{Step, step};

/// Columns between the two hosts.
const RUNG_LEN: usize = 66;

/// Columns of the time, in front.
const TIME_LEN: usize = 11;

/// Draws reports as they come; see [`Ladder::finish`].
#[derive(Default)]
pub(crate) struct Ladder {
    /// The client of the first connection and its server: left and right.
    hosts: Option<[IpAddr; 2]>,
    /// Whose lines these are.
    connection: Option<u32>,
    traffic: Traffic,
    others: u64,
}

/// Which way an arrow points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Right,
    Left,
}

impl Way {
    const BOTH: [Self; 2] = [Self::Right, Self::Left];

    const fn index(self) -> usize {
        self as usize
    }
}

impl Ladder {
    /// Draws what this frame says, or keeps it until it is known how much of the
    /// same kind follows.
    pub(crate) fn frame(&mut self, report: &FrameReport, out: &mut impl Write) -> io::Result<()> {
        let step = step(report);
        let Some(way) = self.way(report, out)?.filter(|_| step != Step::Other) else {
            self.others += 1;
            return Ok(());
        };
        self.connection(report, out)?;
        let again = report.facts.iter().any(|fact| fact == "retransmission");
        if !self.traffic.add(report.time_ns, way, &step, again)
            && let Step::Event(words) = step
        {
            self.draw_traffic(out)?;
            let again = if again { " (again)" } else { "" };
            arrow(report.time_ns, way, &format!("{words}{again}"), out)?;
        }
        for violation in &report.violations {
            self.draw_traffic(out)?;
            writeln!(out, "{:TIME_LEN$} VIOLATION: {violation}", "")?;
        }
        Ok(())
    }

    /// Draws what is left.
    pub(crate) fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.draw_traffic(out)?;
        if self.hosts.is_none() {
            return writeln!(out, "no TCP connection is in this capture");
        }
        let others = match self.others {
            0 => String::new(),
            others => format!("; {others} other frames"),
        };
        writeln!(out, "{:TIME_LEN$} (not drawn: acknowledgements of TCP and RoCE{others})", "")
    }

    /// Which way the frame goes; the first TCP segment says who stands where.
    fn way(&mut self, report: &FrameReport, out: &mut impl Write) -> io::Result<Option<Way>> {
        let Some(direction) = report.context.direction else { return Ok(None) };
        let to_server = if direction == "client>server" { Way::Right } else { Way::Left };
        let Some((src, dst)) = addresses(report) else { return Ok(None) };
        let [left, right] = match self.hosts {
            Some(hosts) => hosts,
            None => {
                let hosts = if to_server == Way::Right { [src, dst] } else { [dst, src] };
                title(hosts, out)?;
                *self.hosts.insert(hosts)
            }
        };
        // A host may be client here and server there; a second NIC has an address
        // that does not stand above, and its group knows which side it is.
        Ok(Some(match (src, dst) {
            _ if src == left || dst == right => Way::Right,
            _ if src == right || dst == left => Way::Left,
            _ => to_server,
        }))
    }

    /// Says whose lines follow, if that changes.
    fn connection(&mut self, report: &FrameReport, out: &mut impl Write) -> io::Result<()> {
        let Some(id) = report.context.connection.filter(|id| self.connection != Some(*id)) else {
            return Ok(());
        };
        self.draw_traffic(out)?;
        self.connection = Some(id);
        let name = match report.layers.contains_key("tcp") {
            true => format!(" connection {id}: {} ", report.route),
            false => format!(" connection {id} "),
        };
        writeln!(out, "{:TIME_LEN$} │{name:·^RUNG_LEN$}│", "")
    }

    fn draw_traffic(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.traffic.take().into_iter().try_for_each(|(time, way, words)| arrow(time, way, &words, out))
    }
}

fn title([left, right]: [IpAddr; 2], out: &mut impl Write) -> io::Result<()> {
    let (left, right) = (left.to_string(), right.to_string());
    let gap = (RUNG_LEN + 2).saturating_sub(left.len() + right.len());
    writeln!(out, "{:>TIME_LEN$} {left}{:gap$}{right}", "seconds", "")
}

/// Source and destination; of TCP the route names ports too.
fn addresses(report: &FrameReport) -> Option<(IpAddr, IpAddr)> {
    let (src, dst) = report.route.split_once(" > ")?;
    let host = |end: &str| {
        let address = match report.layers.contains_key("tcp") {
            true => end.rsplit_once(':')?.0,
            false => end,
        };
        address.parse().ok()
    };
    Some((host(src)?, host(dst)?))
}

fn arrow(time_ns: u64, way: Way, words: &str, out: &mut impl Write) -> io::Result<()> {
    let room = RUNG_LEN - 6;
    let words: String = match words.chars().count() {
        len if len > room => words.chars().take(room - 1).chain(['…']).collect(),
        _ => words.to_owned(),
    };
    let rest = "─".repeat(RUNG_LEN - 5 - words.chars().count());
    let rung = match way {
        Way::Right => format!("│── {words} {rest}▶│"),
        Way::Left => format!("│◀─ {words} {rest}─│"),
    };
    let (seconds, micros) = (time_ns / 1_000_000_000, time_ns % 1_000_000_000 / 1000);
    writeln!(out, "{:>TIME_LEN$} {rung}", format!("{seconds}.{micros:06}"))
}
