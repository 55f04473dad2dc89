//! Connections and groups in the columns of smcss and smcr.

use std::io::{self, Write};

use serde_json::Value;

#[derive(Clone, Copy)]
pub(super) struct Columns {
    pub(super) listeners: bool,
    pub(super) details: bool,
    pub(super) smcr: bool,
}

/// Of each connection with --details, in their order: the name above it, how wide it
/// is, and where its value is.
const DETAILS: [(&str, usize, Place); 18] = [
    ("Token", 10, Place::Token),
    ("Sndbuf", 9, Place::Rings("send")),
    ("Rcvbuf", 9, Place::Rings("own")),
    ("Peerbuf", 9, Place::Rings("peer")),
    ("rxprod-Cursor", 13, Place::Cursors("rx_producer")),
    ("rxcons-Cursor", 13, Place::Cursors("rx_consumer")),
    ("rxFlags", 7, Place::Cursors("rx_flags")),
    ("txprod-Cursor", 13, Place::Cursors("tx_producer")),
    ("txcons-Cursor", 13, Place::Cursors("tx_consumer")),
    ("txFlags", 7, Place::Cursors("tx_flags")),
    ("txprep-Cursor", 13, Place::Cursors("tx_prepared")),
    ("txsent-Cursor", 13, Place::Cursors("tx_sent")),
    ("txfin-Cursor", 13, Place::Cursors("tx_finished")),
    ("Recv-Q", 9, Place::Rings("readable")),
    ("Send-Q", 9, Place::Rings("unacknowledged")),
    ("Space", 9, Place::Rings("space")),
    ("Sent", 9, Place::Stats("octets_sent")),
    ("Received", 9, Place::Stats("octets_received")),
];

#[derive(Clone, Copy)]
enum Place {
    Token,
    Rings(&'static str),
    Cursors(&'static str),
    Stats(&'static str),
}

impl Place {
    fn word(self, connection: &Value) -> String {
        let rings = &connection["rings"];
        match self {
            Self::Token => rings["token"].as_u64().map_or("-".to_owned(), |token| format!("0x{token:08x}")),
            Self::Rings(name) => word(&rings[name]),
            Self::Cursors(name) => word(&rings["cursors"][name]),
            Self::Stats(name) => word(&connection["stats"][name]),
        }
    }
}

/// A value in words; a dash if there is none.
pub(super) fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(super) fn connections(snapshot: &Value, columns: Columns, out: &mut dyn Write) -> io::Result<()> {
    write!(
        out,
        "{:<15} {:<5} {:<5} {:<22} {:<22} {:<4} {:<27}",
        "State", "UID", "Inode", "Local Address", "Peer Address", "Intf", "Mode"
    )?;
    if columns.smcr {
        write!(
            out,
            " {:<4} {:<9} {:<4} {:<6} {:<24} {:<24}",
            "Role", "IB-Device", "Port", "Linkid", "GID", "Peer-GID"
        )?;
    }
    if columns.details {
        for (name, width, _) in DETAILS {
            write!(out, " {name:>width$}")?;
        }
    }
    writeln!(out)?;
    let uid = word(&snapshot["node"]["uid"]);
    for connection in list(&snapshot["connections"]) {
        row(connection, snapshot, &uid, columns, out)?;
    }
    if columns.listeners {
        for listener in list(&snapshot["listeners"]) {
            let local = word(&listener["local"]);
            writeln!(out, "{:<15} {uid:<5} {:<5} {local:<22}", "LISTEN", "-")?;
        }
    }
    Ok(())
}

fn row(
    connection: &Value,
    snapshot: &Value,
    uid: &str,
    columns: Columns,
    out: &mut dyn Write,
) -> io::Result<()> {
    let field = |name: &str| word(&connection[name]);
    write!(
        out,
        "{:<15} {uid:<5} {:<5} {:<22} {:<22} {:<4} {:<27}",
        field("state"),
        "-",
        field("local"),
        field("remote"),
        field("port"),
        field("mode")
    )?;
    if columns.smcr {
        let group = list(&snapshot["groups"]).iter().find(|group| group["group"] == connection["group"]);
        let link = group
            .filter(|_| !connection["group"].is_null())
            .and_then(|group| list(&group["links"]).iter().find(|link| link["link"] == connection["link"]));
        if let (Some(group), Some(link)) = (group, link) {
            // Links are numbered from 1 there.
            let place = link["port"].as_u64().and_then(|port| usize::try_from(port.checked_sub(1)?).ok());
            let device = place.map_or(&Value::Null, |place| &snapshot["node"]["devices"][place]);
            write!(
                out,
                " {:<4} {:<9} {:<4} {:<6} {:<24} {:<24}",
                short_role(&group["role"]),
                word(&device["device"]),
                word(&device["port"]),
                word(&link["link"]),
                word(&link["gid"]),
                word(&link["peer_gid"])
            )?;
        } else {
            write!(out, " {:<4} {:<9} {:<4} {:<6} {:<24} {:<24}", "-", "-", "-", "-", "-", "-")?;
        }
    }
    if columns.details {
        for (_, width, place) in DETAILS {
            write!(out, " {:>width$}", place.word(connection))?;
        }
    }
    writeln!(out)
}

fn short_role(role: &Value) -> &'static str {
    if role == "server" { "SERV" } else { "CLNT" }
}

pub(super) fn groups(snapshot: &Value, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{:<8} {:<7} {:<7} {:<6} {:<22} {:<6} {:<8} {:<24} {:<24} {:>8} {:>8}",
        "LG-ID",
        "LG-Role",
        "LG-Type",
        "#Conns",
        "Peer-ID",
        "Linkid",
        "State",
        "GID",
        "Peer-GID",
        "Sent",
        "Received"
    )?;
    for group in list(&snapshot["groups"]) {
        let links = list(&group["links"]);
        let kind = if links.len() > 1 { "SYM" } else { "SINGLE" };
        for link in links {
            let state = if link["active"] == true { "ACTIVE" } else { "INACTIVE" };
            writeln!(
                out,
                "{:<8} {:<7} {kind:<7} {:<6} {:<22} {:<6} {state:<8} {:<24} {:<24} {:>8} {:>8}",
                word(&group["group"]),
                short_role(&group["role"]),
                word(&link["connections"]),
                word(&group["peer_id"]),
                word(&link["link"]),
                word(&link["gid"]),
                word(&link["peer_gid"]),
                word(&link["messages_sent"]),
                word(&link["messages_received"])
            )?;
        }
    }
    Ok(())
}
