//! The kernel's log, by `/dev/kmsg`: one record a read.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;

use crate::protocol::LogLine;

/// Records from number `since` on.
pub(crate) fn read(since: u64) -> io::Result<Vec<LogLine>> {
    const EPIPE: i32 = 32;
    let mut log =
        OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open("/dev/kmsg")?;
    let mut lines = Vec::new();
    let mut record = vec![0; 8192];
    loop {
        match log.read(&mut record) {
            Ok(0) => return Ok(lines),
            Ok(len) => {
                lines.extend(parse(&String::from_utf8_lossy(&record[..len])).filter(|l| l.seq >= since));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(lines),
            // Overwritten while we read: the next read goes on with what is left.
            Err(error) if error.raw_os_error() == Some(EPIPE) => {}
            Err(error) => return Err(error),
        }
    }
}

/// `level,seq,micros,flags[,...];text`, then lines with a leading blank (a dictionary).
fn parse(record: &str) -> Option<LogLine> {
    let (head, text) = record.split_once(';')?;
    let mut head = head.split(',');
    let level: u32 = head.next()?.parse().ok()?;
    let seq = head.next()?.parse().ok()?;
    let micros = head.next()?.parse().ok()?;
    let text = text.lines().next().unwrap_or_default().to_owned();
    Some(LogLine { seq, level: (level & 7) as u8, micros, text })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_record_has_its_level_number_and_time() {
        let line = parse("6,339,5140900,-;smc: adding ib device rxe0\n SUBSYSTEM=x\n").expect("a record");
        assert_eq!((line.level, line.seq, line.micros), (6, 339, 5_140_900));
        assert_eq!(line.text, "smc: adding ib device rxe0");
        assert!(parse("garbage").is_none());
    }
}
