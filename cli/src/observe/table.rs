//! Connections and groups in the columns of smcss and smcr.

use std::io::{self, Write};

use serde_json::Value;

#[derive(Clone, Copy)]
pub(super) struct Columns {
    pub(super) listeners: bool,
    pub(super) details: bool,
    pub(super) smcr: bool,
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
        let names = ["Token", "Sndbuf", "Rcvbuf", "Peerbuf", "Recv-Q", "Send-Q", "Space", "Sent", "Received"];
        write!(out, " {:<10}", names[0])?;
        for name in &names[1..] {
            write!(out, " {name:>9}")?;
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
            write!(
                out,
                " {:<4} {:<9} {:<4} {:<6} {:<24} {:<24}",
                short_role(&group["role"]),
                format!("soft{}", word(&link["port"])),
                1,
                word(&link["link"]),
                word(&link["gid"]),
                word(&link["peer_gid"])
            )?;
        } else {
            write!(out, " {:<4} {:<9} {:<4} {:<6} {:<24} {:<24}", "-", "-", "-", "-", "-", "-")?;
        }
    }
    if columns.details {
        let rings = &connection["rings"];
        let stats = &connection["stats"];
        let token = rings["token"].as_u64().map_or("-".to_owned(), |token| format!("0x{token:08x}"));
        write!(out, " {token:<10}")?;
        for value in ["send", "own", "peer", "readable", "unacknowledged", "space"].map(|name| &rings[name]) {
            write!(out, " {:>9}", word(value))?;
        }
        write!(out, " {:>9} {:>9}", word(&stats["octets_sent"]), word(&stats["octets_received"]))?;
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
