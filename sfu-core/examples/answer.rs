//! Reads offers from the standard input and writes the answer to the last one: what the server would say to a browser.
//!
//! ```text
//! cargo run -p sfu-core --example answer < offer.sdp
//! ```
//!
//! Several offers of one session are separated by lines of `---`. Addresses and credentials of the answer are made up, so
//! a browser accepts it and then connects to nobody.

use std::io::{Read, Write};

use sfu_core::config::CodecPolicy;
use sfu_core::id::Ssrc;
use sfu_core::sdp::{Candidate, Fingerprint, IceCredentials, MediaKind, Negotiator, Offer, OfferLimits, SendStream};
use sfu_core::transport::Protocol;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;

    let address = "192.0.2.1:7882".parse()?;
    let candidates =
        vec![Candidate { protocol: Protocol::Udp, address }, Candidate { protocol: Protocol::Tcp, address }];
    let ice = IceCredentials { ufrag: "00example".into(), password: "examplepasswordexample00".into() };
    let mut negotiator = Negotiator::new(1, Fingerprint([0xab; 32]), candidates);

    let mut lines = 0;
    let mut answer = String::new();
    for offer in text.split("\n---\n") {
        let offer = Offer::parse(offer, &OfferLimits::default())?;
        let send = |_: &_, kind| {
            lines += 1;
            Some(SendStream {
                ssrc: Ssrc(1000 * lines),
                rtx: (kind == MediaKind::Video).then_some(Ssrc(1000 * lines + 1)),
                cname: format!("pair{}", lines.div_ceil(2)),
                stream_id: format!("pair{}", lines.div_ceil(2)),
            })
        };
        answer = negotiator.answer(&offer, &ice, &CodecPolicy::default(), send)?.to_string();
    }
    std::io::stdout().write_all(answer.as_bytes())?;
    Ok(())
}
