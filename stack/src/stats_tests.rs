use smolsmc_clc::Diagnosis;
use smolsmc_llc::Role;

use crate::stats::{FALLBACK_REASONS, StackStats};
use crate::transport::Fallback;

const fn reason(number: u32) -> Fallback {
    Fallback { local: Some(Diagnosis::PEER_DECLINED), peer: Some(Diagnosis(number)) }
}

#[test]
fn a_peer_that_makes_up_reasons_fills_the_table_and_no_more() {
    let mut stats = StackStats::default();
    for round in 0..3 {
        for number in 0..FALLBACK_REASONS as u32 + 5 {
            let role = if round == 0 { Role::Client } else { Role::Server };
            stats.fallback(reason(number), role);
        }
    }
    assert_eq!(stats.fallback_reasons().count(), FALLBACK_REASONS);
    for (number, count) in (0..).zip(stats.fallback_reasons()) {
        assert_eq!((count.fallback, count.as_client, count.as_server), (reason(number), 1, 2));
    }
    assert_eq!(stats.fallbacks_of_other_reasons, 15);
    assert_eq!(stats.fallbacks_for(Diagnosis::PEER_DECLINED), 3 * FALLBACK_REASONS as u64);
    assert_eq!(stats.fallbacks_for(Diagnosis::MEMORY), 0);
}
