//! The fuzz targets of this crate; `sfu_core::fuzzing` says what targets are.

use sfu_core::fuzzing::Target;

use crate::adaptation::subscription_settings;
use crate::config::{DEV_KEY, DEV_SECRET, Keys, Limits, SessionsConfig};
use crate::negotiation::{mid, negotiation};
use crate::protocol::{ClientMessage, Request};
use crate::tokens::{Expiry, Keyring};
use crate::wire::{decode, message_id};

/// Every target of this crate.
pub const TARGETS: [Target; 2] = [
    Target { name: "signalling", run: signalling, mutations: 1_500 },
    Target { name: "token", run: token, mutations: 5_000 },
];

/// A message of a WebSocket, and the offer, slots and MIDs in it.
pub fn signalling(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(message) = decode(&text) else {
        message_id(&text);
        return;
    };
    assert_eq!(message_id(&text), message.id);
    check_request(&message);
    if !matches!(message.request, Request::Ping { .. }) {
        let again = serde_json::to_string(&message).expect("what was JSON can be JSON");
        assert_eq!(decode(&again).as_ref(), Ok(&message), "written alike");
    }
}

fn check_request(message: &ClientMessage) {
    match &message.request {
        Request::Join { offer, slots, .. } | Request::Offer { offer, slots } => {
            let limits = Limits::default();
            if let Ok(negotiation) = negotiation(offer, slots, &limits) {
                assert!(negotiation.slots.len() == slots.len() && slots.len() <= limits.media_per_offer);
            }
        }
        Request::Configure { tracks } => tracks.iter().for_each(|track| drop(subscription_settings(track))),
        Request::Publish { track } => {
            let _ = mid(&track.mid);
        }
        Request::Candidate { mid: Some(text), .. } => {
            let _ = mid(text);
        }
        _ => {}
    }
}

/// A bearer's token.
pub fn token(data: &[u8]) {
    let keys = Keyring::new(
        &Keys([(DEV_KEY.to_owned(), DEV_SECRET.to_owned())].into()),
        SessionsConfig::default().token_leeway,
    );
    let text = String::from_utf8_lossy(data);
    if let Ok(claims) = keys.verify(&text) {
        assert_eq!(keys.verify_with(&text, Expiry::Ignored).as_ref(), Ok(&claims));
    }
    if let Ok(claims) = keys.verify_with(&text, Expiry::Ignored) {
        assert_eq!(claims.iss, DEV_KEY);
        let _ = (claims.video.permissions(), claims.joinable_room());
    }
}
