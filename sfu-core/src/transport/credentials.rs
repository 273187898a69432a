//! ICE credentials (RFC 8839 section 5.4), and the worker that our user fragments name.
//!
//! A user fragment of ours begins with its worker's index as two lower-case hexadecimal digits, so that a shared port
//! can hand a STUN check or a TCP connection to the right worker without a table.

use rand::{Rng, RngExt};

use super::stun;
use crate::control::WorkerIndex;
use crate::sdp::IceCredentials;

/// RFC 8839 asks for 24 random bits; six bits a character, and the worker's digits are not random.
const UFRAG_RANDOM: usize = 8;
/// RFC 8839 asks for 128 random bits: 22 characters. 24 as both browsers use.
const PASSWORD: usize = 24;
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

impl IceCredentials {
    /// Fresh credentials for a participant of this worker. `rng` must be cryptographically strong outside tests.
    pub fn generate(worker: WorkerIndex, rng: &mut impl Rng) -> Self {
        let ufrag = format!("{worker:02x}{}", ice_chars(rng, UFRAG_RANDOM));
        Self { ufrag, password: ice_chars(rng, PASSWORD) }
    }
}

fn ice_chars(rng: &mut impl Rng, count: usize) -> String {
    (0..count).map(|_| char::from(ICE_CHARS[rng.random_range(0..ICE_CHARS.len())])).collect()
}

/// The worker that a user fragment of ours names, or `None` if it is none of ours.
pub fn worker_of_ufrag(ufrag: &str) -> Option<WorkerIndex> {
    let digits = ufrag.get(..2).filter(|_| ufrag.len() > 2)?;
    let is_ours = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    WorkerIndex::from_str_radix(digits, 16).ok().filter(|_| is_ours)
}

/// Our user fragment in a STUN check's USERNAME, which is `ours:theirs` (RFC 8445 section 7.2.2). Nothing is
/// authenticated by this: it only says who should look at the datagram.
pub fn stun_username(datagram: &[u8]) -> Option<&str> {
    let message = stun::Message::parse(datagram).ok()?;
    message.username()?.split_once(':').map(|(ours, _)| ours)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn the_worker_is_found_again() {
        let mut rng = rand::rngs::StdRng::seed_from_u64(1);
        for worker in [0, 9, 10, 255] {
            let credentials = IceCredentials::generate(worker, &mut rng);
            assert_eq!(worker_of_ufrag(&credentials.ufrag), Some(worker));
            assert_eq!(credentials.ufrag.len(), 10);
            assert_eq!(credentials.password.len(), 24);
        }
        for foreign in ["", "0", "01", "0Gabc", "0Aabc", "+1abc", "é1"] {
            assert_eq!(worker_of_ufrag(foreign), None, "{foreign}");
        }
    }
}
