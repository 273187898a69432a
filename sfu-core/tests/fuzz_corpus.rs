//! The fuzz corpora, and mutations of them, through the functions that `fuzz/` calls.

use sfu_core::fuzzing::{TARGETS, replay};

/// A test per target, so that they run beside each other and a failure has a name.
macro_rules! corpora {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                let target = TARGETS.iter().find(|target| target.name == stringify!($name));
                replay(target.expect("a target of this name"));
            }
        )*

        #[test]
        fn every_target_is_replayed() {
            assert_eq!(TARGETS.map(|target| target.name), [$(stringify!($name)),*]);
        }
    };
}

corpora!(dtls envelope extensions framing payload room rtcp rtp sctp sdp stun);
