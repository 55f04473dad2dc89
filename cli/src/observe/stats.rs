//! Counts in the shape of smcr stats.

use std::io::{self, Write};

use serde_json::Value;

use super::table::word;

pub(super) fn show(snapshot: &Value, out: &mut dyn Write) -> io::Result<()> {
    let (stats, smcr) = (&snapshot["stats"], &snapshot["stats"]["smcr"]);
    let count = |name: &str| stats[name].as_u64().unwrap_or(0);
    let of_smcr = |name: &str| smcr[name].as_u64().unwrap_or(0);
    let client = count("first_contacts_client") + count("later_contacts_client");
    let server = count("first_contacts_server") + count("later_contacts_server");
    let connections = client + server;
    let (fallback_client, fallback_server) = fallbacks(stats);
    let other = count("fallbacks_of_other_reasons");
    let fallback = fallback_client + fallback_server + other;
    let failed = count("handshakes_failed");
    let total = connections + fallback + failed + count("plain_tcp");
    let requests = of_smcr("sends") + of_smcr("receives");
    let average = if connections > 0 { requests as f64 / connections as f64 } else { 0.0 };

    writeln!(out, "SMC-R Connections Summary")?;
    line(out, 1, "Total connections handled", total)?;
    both(out, 1, "SMC connections", connections, client, server)?;
    line(out, 2, "v1", count("version_1"))?;
    line(out, 2, "v2", connections - count("version_1"))?;
    both(
        out,
        2,
        "First contacts",
        count("first_contacts_client") + count("first_contacts_server"),
        count("first_contacts_client"),
        count("first_contacts_server"),
    )?;
    line(out, 1, "Handshake errors", failed)?;
    line(out, 1, "SYNs dropped", count("syns_dropped"))?;
    writeln!(out, "  {:<28} {average:>14.1}", "Avg requests per SMC conn")?;
    both(out, 1, "TCP fallback", fallback, fallback_client, fallback_server)?;
    line(out, 1, "TCP, SMC not wanted", count("plain_tcp"))?;
    reasons(stats, out)?;

    writeln!(out, "\nRX Stats")?;
    octets(out, "Data transmitted (Bytes)", of_smcr("octets_received"))?;
    line(out, 1, "Total requests", of_smcr("receives"))?;
    share(out, "Buffer empty", of_smcr("receives_blocked"), of_smcr("receives"))?;
    sizes(out, &stats["rmbs_by_size"], &stats["receives_by_size"])?;
    line(out, 1, "CDC messages", of_smcr("cdc_heard"))?;

    writeln!(out, "\nTX Stats")?;
    octets(out, "Data transmitted (Bytes)", of_smcr("octets_sent"))?;
    line(out, 1, "Total requests", of_smcr("sends"))?;
    share(out, "Buffer full", of_smcr("sends_blocked"), of_smcr("sends"))?;
    share(out, "Buffer full (remote)", of_smcr("cdc_blocked"), of_smcr("cdc_sent"))?;
    sizes(out, &stats["send_rings_by_size"], &stats["sends_by_size"])?;
    line(out, 1, "CDC messages", of_smcr("cdc_sent"))?;
    line(out, 2, "without octets", of_smcr("cdc_updates"))?;
    line(out, 1, "RDMA WRITEs", of_smcr("writes"))?;

    writeln!(out, "\nExtras")?;
    let (urgent_sent, urgent_heard) = (of_smcr("urgent_sent"), of_smcr("urgent_heard"));
    let special = count("corked") + count("nodelays") + urgent_sent + urgent_heard;
    line(out, 1, "Special socket calls", special)?;
    line(out, 2, "cork", count("corked"))?;
    line(out, 2, "nodelay", count("nodelays"))?;
    let urgent = urgent_sent + urgent_heard;
    writeln!(out, "    {:<26} {urgent:>14} (sent {urgent_sent}, received {urgent_heard})", "urgent data")?;
    line(out, 1, "Link groups", count("groups"))?;
    line(out, 1, "Link groups ever", count("groups_made"))?;
    line(out, 1, "Connections now", count("connections"))?;
    line(out, 1, "Polls", count("polls"))?;
    share(out, "Idle polls", count("idle_polls"), count("polls"))
}

fn fallbacks(stats: &Value) -> (u64, u64) {
    let reasons = stats["fallbacks"].as_array().map_or(&[][..], Vec::as_slice);
    let sum = |name: &str| reasons.iter().filter_map(|reason| reason[name].as_u64()).sum();
    (sum("client"), sum("server"))
}

fn reasons(stats: &Value, out: &mut dyn Write) -> io::Result<()> {
    for reason in stats["fallbacks"].as_array().into_iter().flatten() {
        let codes: Vec<_> =
            ["local", "peer"].iter().map(|who| word(&reason[*who])).filter(|code| code != "-").collect();
        let count = reason["client"].as_u64().unwrap_or(0) + reason["server"].as_u64().unwrap_or(0);
        writeln!(out, "    {:<26} {count:>14} ({})", codes.join("/"), word(&reason["text"]))?;
    }
    Ok(())
}

fn line(out: &mut dyn Write, depth: usize, name: &str, count: u64) -> io::Result<()> {
    let indent = depth * 2;
    writeln!(out, "{:indent$}{name:<width$} {count:>14}", "", width = 30 - indent)
}

fn both(out: &mut dyn Write, depth: usize, name: &str, all: u64, client: u64, server: u64) -> io::Result<()> {
    let indent = depth * 2;
    let width = 30 - indent;
    writeln!(out, "{:indent$}{name:<width$} {all:>14} (client {client}, server {server})", "")
}

fn share(out: &mut dyn Write, name: &str, part: u64, of: u64) -> io::Result<()> {
    let percent = if of > 0 { part as f64 * 100.0 / of as f64 } else { 0.0 };
    writeln!(out, "  {name:<28} {part:>14} ({percent:.2}%)")
}

/// How many rings and how many calls there were of each size.
fn sizes(out: &mut dyn Write, rings: &Value, calls: &Value) -> io::Result<()> {
    let names = ["8KB", "16KB", "32KB", "64KB", "128KB", "256KB", "512KB", ">512KB"];
    write!(out, "  {:<5}", "")?;
    names.iter().try_for_each(|name| write!(out, " {name:>8}"))?;
    for (name, counts) in [("Bufs", rings), ("Reqs", calls)] {
        write!(out, "\n  {name:<5}")?;
        for class in 0..names.len() {
            write!(out, " {:>8}", word(&counts[class]))?;
        }
    }
    writeln!(out)
}

/// With a unit as smcr has it, if it is long.
fn octets(out: &mut dyn Write, name: &str, octets: u64) -> io::Result<()> {
    let units = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "K")];
    let short = units.iter().find(|(size, _)| octets as f64 >= *size);
    let short = short.map_or(String::new(), |(size, unit)| format!(" ({:.3}{unit})", octets as f64 / size));
    writeln!(out, "  {name:<28} {octets:>14}{short}")
}
