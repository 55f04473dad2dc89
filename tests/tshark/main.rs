//! Our decode against tshark's, field by field, over every capture in
//! `tests/vectors/linux612`.
//!
//! ```text
//!   capture --tshark-----> layers --.                        table: field, compared, equal
//!      |                             >-- rows -- ledger -->  unlike values
//!      +-----Dissector---> layers --'       \               unused rows and exceptions
//!      |                                 exceptions
//!      `--network_order--> the same frames, LLC as a big-endian host would send it:
//!                          tshark 4 reads SMC-Rv2 LLC in that order only
//! ```
//!
//! The rows name every field that is compared, the exceptions every one that is
//! not, with the reason. A field of SMC or InfiniBand that tshark shows and
//! that is in neither table fails the test, and so does a row or an exception
//! that no frame needed. Last, our side is spoilt on purpose, and no row may
//! call a spoilt value equal.
//!
//! Run it with `cargo test -p smolsmc-tests --features tshark --test tshark`.

mod comparison;
mod exceptions;
mod form;
mod ledger;
mod network_order;
mod ours;
mod rows;
mod rows_below;
mod rows_clc;
mod rows_link;
mod shown;

use std::io::{self, Write};
use std::path::Path;

use ledger::Ledger;
use serde_json::Value;
use shown::{ShownFrame, Tshark};
use smolsmc_tests::vectors::linux612;

/// One capture as both explain it, and once more in network order.
struct Pair {
    name: String,
    shown: Vec<ShownFrame>,
    ours: Vec<Value>,
    shown_in_network_order: Vec<ShownFrame>,
    ours_in_network_order: Vec<Value>,
}

#[test]
fn our_decode_agrees_with_tshark() {
    let result = explain_all().and_then(|(version, pairs)| judge(&version, &pairs));
    if let Err(sentence) = result {
        panic!("{sentence}");
    }
}

fn explain_all() -> Result<(String, Vec<Pair>), String> {
    let tshark = Tshark::find()?;
    let pairs: Result<_, _> = linux612().iter().map(|path| explain(&tshark, path)).collect();
    Ok((tshark.version().to_owned(), pairs?))
}

fn explain(tshark: &Tshark, path: &Path) -> Result<Pair, String> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let rewritten = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-network-order.pcap"));
    network_order::rewrite(path, &rewritten)?;
    Ok(Pair {
        name,
        shown: tshark.explain(path)?,
        ours: ours::explain(path),
        shown_in_network_order: tshark.explain(&rewritten)?,
        ours_in_network_order: ours::explain(&rewritten),
    })
}

/// Compares, shows the tables, and says what is wrong in one go.
fn judge(version: &str, pairs: &[Pair]) -> Result<(), String> {
    let mut ledger = Ledger::default();
    let mut spoilt = Ledger::default();
    for pair in pairs {
        comparison::compare(&mut ledger, pair, Clone::clone);
        comparison::compare(&mut spoilt, pair, ours::spoil);
    }
    let frames: usize = pairs.iter().map(|pair| pair.ours.len()).sum();
    let head = format!("\n{version}\n{} captures, {frames} frames\n", pairs.len());
    // Not through print!: the tables are wanted when the test passes, too.
    write!(io::stdout().lock(), "{head}\n{ledger}\n").map_err(|e| e.to_string())?;

    let faults: Vec<_> = ledger.faults().into_iter().chain(spoilt.blind_rows()).collect();
    if faults.is_empty() {
        return Ok(());
    }
    let shown: Vec<_> = faults.iter().take(60).map(String::as_str).collect();
    let rest = match faults.len() - shown.len() {
        0 => String::new(),
        n => format!("\n  and {n} more"),
    };
    Err(format!(
        "our decode and tshark's do not agree in {} place(s):\n  {}{rest}",
        faults.len(),
        shown.join("\n  ")
    ))
}
