//! The SCTP fuzz target; `crate::fuzzing` says what targets are.
//!
//! The bytes are a list of what a member's stack does. Its packets carry the tag, the cookie and the checksum that our end
//! asks for, as nothing gets far without them; the rest of a packet may be anything.

use std::time::Duration;

use bytes::Bytes;

use super::{Channel, MAX_MESSAGE, Sctp, SctpEvent, dcep, guard};
use crate::config::DataLimits;
use crate::fuzzing::{Input, start};

const MAX_STEPS: usize = 300;
/// Packets that one packet can cause: all that may wait on both channels, in packets of an MTU, and again as much.
const MAX_ANSWERS: usize = 2_500;
const INITIAL_TSN: u32 = 1_000;
const COOKIE: u16 = 7;

/// A member's SCTP packets, and what our side does meanwhile.
pub fn fuzz(data: &[u8]) {
    Peer::new().run(data);
}

/// What a member has learnt of our end.
struct Peer {
    sctp: Sctp,
    now: std::time::Instant,
    tag: u32,
    cookie: Vec<u8>,
    /// The next TSN of its own.
    tsn: u32,
    /// The last of ours.
    theirs: u32,
    /// The next message's number by stream.
    numbers: [u16; 256],
    /// The next request's number (RFC 6525 section 4.1).
    request: u32,
    is_paused: bool,
    open: [bool; 2],
    messages: usize,
}

impl Peer {
    fn new() -> Self {
        Self {
            sctp: Sctp::new(DataLimits::DEFAULT.in_flight_bytes()),
            now: start(),
            tag: 0,
            cookie: Vec::new(),
            tsn: INITIAL_TSN,
            theirs: 0,
            numbers: [0; 256],
            request: INITIAL_TSN,
            is_paused: false,
            open: [false; 2],
            messages: 0,
        }
    }

    fn run(&mut self, data: &[u8]) {
        let mut input = Input::new(data);
        for _ in 0..MAX_STEPS {
            if input.is_empty() {
                break;
            }
            self.step(&mut input);
            self.drain();
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 12 {
            0 => self.init(input.byte()),
            1 => self.send(&chunk(10, 0, &self.cookie.clone())),
            2 => self.send(input.long_slice()),
            3 => self.packet(input.long_slice().to_vec()),
            4 => {
                let (stream, flags, ppi, skip) = (input.byte(), input.byte(), input.byte(), input.byte());
                self.tsn = self.tsn.wrapping_add_signed(i32::from(skip as i8));
                self.data(stream, flags, ppi, input.slice());
            }
            5 => self.open(input),
            6 => {
                let acknowledged = self.theirs.wrapping_add_signed(i32::from(input.byte() as i8));
                let window = input.u32();
                self.send(&chunk(3, 0, &[&words(&[acknowledged, window])[..], &[0; 4]].concat()));
            }
            7 => {
                self.now += Duration::from_millis(u64::from(input.byte()).pow(2));
                self.sctp.handle_timeout(self.now);
            }
            8 => {
                let channel = if input.byte() & 1 == 0 { Channel::Reliable } else { Channel::Lossy };
                let message = vec![7; usize::from(input.u16())];
                let room = self.sctp.has_room(channel, message.len());
                let sent = self.sctp.send(self.now, channel, &message);
                assert!(room.is_some() || sent.is_err() || !self.open[channel as usize]);
            }
            9 => {
                self.is_paused = !self.is_paused;
                self.sctp.set_paused(self.now, self.is_paused);
            }
            10 => {
                let request = words(&[self.request, 0, self.tsn.wrapping_sub(1)]);
                self.request = self.request.wrapping_add(1);
                let stream = [0, input.byte()];
                self.send(&chunk(130, 0, &[&[0, 13, 0, 18][..], &request, &stream].concat()));
            }
            _ => {
                self.tsn = self.tsn.wrapping_add(u32::from(input.u16()));
                let skipped = words(&[self.tsn.wrapping_sub(1), input.u32()]);
                self.send(&chunk(192, 0, &skipped));
            }
        }
    }

    fn init(&mut self, tag: u8) {
        (self.tsn, self.request, self.numbers) = (INITIAL_TSN, INITIAL_TSN, [0; 256]);
        let body = [&words(&[u32::from(tag), 100_000])[..], &[0, 64, 0, 64], &words(&[INITIAL_TSN])].concat();
        // Forward TSN, and the chunk types of extensions that there are.
        let parameters = [0xc0, 0, 0, 4, 0x80, 8, 0, 6, 130, 192, 0, 0];
        let bytes = [&[19, 136, 19, 136][..], &[0; 8], &chunk(guard::INIT, 0, &[body, parameters.to_vec()].concat())];
        self.packet(bytes.concat());
    }

    fn open(&mut self, input: &mut Input<'_>) {
        let (stream, bits) = (input.byte(), input.byte());
        let label = [&b"reliable"[..], b"lossy", b"", b"other"][usize::from(bits) % 4];
        let reliability = match bits >> 2 & 3 {
            0 => dcep::Reliability::Reliable,
            1 => dcep::Reliability::Lifetime(u32::from(input.byte())),
            _ => dcep::Reliability::Retransmissions(u32::from(input.byte())),
        };
        let open = dcep::Open { label, unordered: bits & 0x80 != 0, reliability };
        self.data(stream, 3, 50, &open.to_bytes());
    }

    fn data(&mut self, stream: u8, flags: u8, ppi: u8, payload: &[u8]) {
        let number = &mut self.numbers[usize::from(stream)];
        let head = [&words(&[self.tsn])[..], &[0, stream], &number.to_be_bytes(), &[0, 0, 0, ppi]].concat();
        // The last fragment of an ordered message.
        *number = number.wrapping_add(u16::from(flags & 5 == 1));
        self.tsn = self.tsn.wrapping_add(1);
        self.send(&chunk(0, flags, &[&head, payload].concat()));
    }

    /// Chunks in a packet of the association.
    fn send(&mut self, chunks: &[u8]) {
        self.packet([&[19, 136, 19, 136][..], &self.tag.to_be_bytes(), &[0; 4], chunks].concat());
    }

    fn packet(&mut self, mut bytes: Vec<u8>) {
        if bytes.len() >= 12 {
            checksum(&mut bytes);
        }
        self.sctp.handle(self.now, Bytes::from(bytes));
    }

    fn drain(&mut self) {
        let mut count = 0;
        while let Some(packet) = self.sctp.poll_transmit(self.now) {
            count += 1;
            assert!(count <= MAX_ANSWERS, "one packet is answered by many");
            self.learn(&packet);
        }
        while let Some(event) = self.sctp.poll_event() {
            match event {
                SctpEvent::Open(channel) => assert!(!std::mem::replace(&mut self.open[channel as usize], true)),
                SctpEvent::Closed(channel) => assert!(std::mem::replace(&mut self.open[channel as usize], false)),
                SctpEvent::Message(channel, message) => {
                    assert!(self.open[channel as usize] && message.len() <= MAX_MESSAGE);
                    self.messages += 1;
                }
            }
        }
        assert!(self.sctp.poll_timeout().is_none_or(|at| at + Duration::from_secs(1) >= self.now));
    }

    fn learn(&mut self, packet: &[u8]) {
        let word = |at: usize| packet.get(at..at + 4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
        match packet.get(12) {
            Some(0) => self.theirs = word(16),
            Some(2) => {
                (self.tag, self.theirs) = (word(16), word(28).wrapping_sub(1));
                let mut rest = packet.get(32..).unwrap_or_default();
                while let [kind @ .., high, low] = &rest[..rest.len().min(4)]
                    && rest.len() >= 4
                {
                    let len = usize::from(u16::from_be_bytes([*high, *low])).clamp(4, rest.len());
                    if kind == COOKIE.to_be_bytes() {
                        self.cookie = rest[4..len].to_vec();
                    }
                    rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
                }
            }
            _ => {}
        }
    }
}

fn chunk(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = [&[kind, flags][..], &(value.len() as u16 + 4).to_be_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// Writes the checksum of a packet (RFC 9260 appendix A).
pub(super) fn checksum(packet: &mut [u8]) {
    packet[8..12].fill(0);
    let bit = |sum: u32| if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 };
    let sum = !packet.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), |sum, _| bit(sum)));
    packet[8..12].copy_from_slice(&sum.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red if the target stops doing what it is for, whatever the reason.
    #[test]
    fn the_corpus_reaches_messages_on_both_channels() {
        let mut peer = Peer::new();
        peer.run(include_bytes!("../../../../fuzz/corpus/sctp/opens-and-echoes"));
        assert_eq!((peer.open, peer.messages), ([true, true], 2));
        assert_ne!(peer.theirs, 0, "and of ours");
    }
}
