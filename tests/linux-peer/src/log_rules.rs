//! Which lines of a guest's kernel log are no good.

use crate::protocol::LogLine;

/// Warnings and worse have a level up to this.
const WARNING: u8 = 4;

/// Signs of a kernel in trouble, at any level.
const TROUBLE: [&str; 7] =
    ["WARNING:", "BUG:", "Oops", "Call Trace", "blocked for more than", "lockup", "refcount_t:"];

/// Lines at warning level or worse that belong to a healthy life. SMC reports
/// its links and devices as warnings.
const HARMLESS: [&str; 17] = [
    "smc: adding ib device",
    "smc: removing ib device",
    "has pnetid",
    "link added",
    "link removed",
    "state changed",
    "smc: smc_core",
    // There were too many of the same.
    "smc_llc_link_active: ",
    "smcr_lgr_set_type: ",
    // rxe, when SMC takes back the QP it had made for an ADD LINK that was rejected.
    "rxe_modify_qp: returned err = -22",
    // rxe on the dummy device, which has no speed to tell.
    "dummy0 speed is unknown",
    // The guest's clock is the emulator's.
    "clocksource:",
    "Unable to calibrate against PIT",
    "hrtimer: interrupt took",
    "DL replenish lagged too much",
    // TCP on a NIC that is being emulated.
    "TCP: Possible SYN flooding",
    "speed is unknown, defaulting to",
];

/// rxe, when a dead queue pair of ours refuses what it is still asked (NAK 0x63, a
/// remote operation error): harmless where a link of a living stack has failed
/// while Linux had SENDs on it, and nowhere else.
const REFUSED: &str = "make_send_cqe: non-flush error status = 11";

/// The lines that even a scenario must answer for that provokes errors.
pub(crate) fn trouble(lines: &[LogLine]) -> Vec<String> {
    let bad = lines.iter().filter(|line| TROUBLE.iter().any(|word| line.text.contains(word)));
    bad.map(|line| format!("<{}> {}", line.level, line.text)).collect()
}

/// The lines that a scenario must answer for. `refused`: a dead queue pair of ours may
/// have refused what Linux still asked of it.
pub(crate) fn complaints(lines: &[LogLine], refused: bool) -> Vec<String> {
    let bad = |line: &&LogLine| {
        let has = |words: &[&str]| words.iter().any(|word| line.text.contains(word));
        let harmless = has(&HARMLESS) || (refused && line.text.contains(REFUSED));
        has(&TROUBLE) || (line.level <= WARNING && !harmless)
    };
    lines.iter().filter(bad).map(|line| format!("<{}> {}", line.level, line.text)).collect()
}

#[cfg(test)]
mod tests {
    use super::complaints;
    use crate::protocol::LogLine;

    fn line(level: u8, text: &str) -> LogLine {
        LogLine { seq: 0, level, micros: 0, text: text.to_owned() }
    }

    #[test]
    fn a_healthy_life_is_no_reason_to_complain() {
        let lines = [
            line(4, "smc: SMC-R lg 00010000 net 1 state changed: SINGLE, pnetid "),
            line(3, "rxe0: qp#18 rxe_modify_qp: returned err = -22"),
            line(6, "infiniband rxe0: added eth0"),
        ];
        assert!(complaints(&lines, false).is_empty());
    }

    #[test]
    fn warnings_and_traces_are() {
        let lines = [
            line(4, "WARNING: CPU: 0 PID: 1 at net/smc/smc_core.c:1"),
            line(6, "INFO: task init:1 blocked for more than 120 seconds."),
            line(3, "smc: something new"),
            line(4, "rxe0: out of anything"),
        ];
        assert_eq!(complaints(&lines, true).len(), lines.len());
    }
    #[test]
    fn a_refusal_is_harmless_only_where_a_link_has_failed() {
        let lines = [line(3, "rxe0: qp#20 make_send_cqe: non-flush error status = 11")];
        assert_eq!(complaints(&lines, false).len(), 1);
        assert!(complaints(&lines, true).is_empty());
    }
}
