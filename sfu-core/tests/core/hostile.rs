//! What strangers and bad members send must not touch another room.

use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use sfu_core::transport::{Path, Protocol};

use crate::media::Call;
use crate::support::{VIEWER, server_address};

/// `MADANG_DATAGRAMS` overrides how many.
fn datagrams() -> usize {
    std::env::var("MADANG_DATAGRAMS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000)
}

/// The call goes on: the next frame arrives whole.
fn assert_untouched(call: &mut Call, frame: u64) {
    (frame * 3..frame * 3 + 3).for_each(|index| call.send(index));
    let ssrc = call.ssrcs("v0").0;
    assert_eq!(call.take(ssrc).len(), 3, "frame {frame}");
}

#[test]
fn random_datagrams_touch_nobody() {
    let mut call = Call::new();
    assert_untouched(&mut call, 0);
    let other = call.world.open_room();
    let member = call.world.connect(other, VIEWER, 1);
    let of_member = call.world.clients[member].path;
    let mut rng = StdRng::seed_from_u64(6);
    let mut buffer = [0; 256];
    for count in 0..datagrams() {
        let len = rng.random_range(0..buffer.len());
        rng.fill_bytes(&mut buffer[..len]);
        // Half of them look like something.
        if len > 0 && count % 2 == 0 {
            buffer[0] = [0, 1, 20, 22, 23, 0x80, 0x90][count / 2 % 7];
        }
        let stranger = SocketAddr::from(([10, 8, 0, count as u8], 1));
        let path = match count % 3 {
            0 => of_member,
            _ => Path { protocol: Protocol::Udp, local: server_address(), remote: stranger },
        };
        call.world.core.handle_datagram(call.world.now, path, &mut buffer[..len]);
        if count % 10_000 == 0 {
            call.world.exchange();
            assert!(call.world.core.gauges().participants == 3);
        }
    }
    call.world.exchange();
    assert_untouched(&mut call, 1);
}

/// A record with a fragment of one byte of a ClientHello of 60,000 (RFC 6347 section 4.2.2).
fn fragment(sequence: u64, message: u16, offset: u32) -> Vec<u8> {
    let mut record = vec![22, 0xfe, 0xfd, 0, 0];
    record.extend(&sequence.to_be_bytes()[2..]);
    record.extend([0, 13, 1]);
    record.extend(&60_000_u32.to_be_bytes()[1..]);
    record.extend(message.to_be_bytes());
    record.extend(&offset.to_be_bytes()[1..]);
    record.extend([0, 0, 1, 0xaa]);
    record
}

#[test]
fn thirty_thousand_fragments_touch_nobody_else() {
    let mut call = Call::new();
    assert_untouched(&mut call, 0);
    let other = call.world.open_room();
    let attacker = call.world.join(other, VIEWER, 1);
    call.world.check(attacker);
    for (index, message) in (0..30_000).map(|index| (index, (index % 3) as u16)) {
        call.world.hand_to_core(attacker, &fragment(index, message, index as u32));
        if index % 1_000 == 0 {
            call.world.exchange();
        }
    }
    call.world.advance(Duration::from_millis(100));
    assert_untouched(&mut call, 1);
}

#[test]
fn a_check_from_a_forged_address_takes_nobody_away() {
    let mut call = Call::new();
    assert_untouched(&mut call, 0);
    let other = call.world.open_room();
    let attacker = call.world.join(other, VIEWER, 1);
    let forged = call.world.clients[call.publisher].path;
    let check = call.world.clients[attacker].rtc.check(true);
    call.world.core.handle_datagram(call.world.now, forged, &mut check.clone());
    call.world.exchange();
    assert_untouched(&mut call, 1);
}
