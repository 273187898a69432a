//! The fuzz corpora, and mutations of them, through the functions that `fuzz/` calls.

use sfu_core::fuzzing::replay;
use sfu_signal::fuzzing::TARGETS;

#[test]
fn every_target_is_replayed() {
    TARGETS.iter().for_each(replay);
}
