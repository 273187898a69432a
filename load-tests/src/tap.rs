//! Interceptors at the application's end of a peer's chain: they see packets that were decrypted and authenticated.
//!
//! A viewer counts here and goes no further: the way through the driver's queues to an application would cost a
//! generator more CPU than all the rest, and its queue drops packets that did arrive. The first packet of each SSRC
//! passes, so that the `webrtc` crate announces the track as it does for any application.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rtc::interceptor::{Interceptor, Packet, Slot, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

use crate::tally::Tally;

/// Behind every interceptor of the `webrtc` crate, which end at 13,000.
pub fn slot() -> Slot {
    Slot::from(14_000)
}

/// Looks at incoming packets and decides which of them go on.
pub trait Tap: Send + Sync + 'static {
    /// Whether the packet goes on to the application.
    fn passes(&mut self, packet: &TaggedPacket) -> bool;
}

/// A [`Tap`] in the chain.
pub struct Tapped<T> {
    tap: T,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

impl<T: Tap> Tapped<T> {
    /// Puts `tap` into an interceptor.
    pub fn new(tap: T) -> Self {
        Self { tap, reads: VecDeque::new(), writes: VecDeque::new() }
    }
}

impl<T: Tap> Protocol<TaggedPacket, TaggedPacket, ()> for Tapped<T> {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        if self.tap.passes(&packet) {
            self.reads.push_back(packet);
        }
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.writes.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }
}

impl<T: Tap> Interceptor for Tapped<T> {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}

/// A publisher's: notes that a keyframe was asked for, by PLI or FIR.
pub struct KeyframeRequests(pub Arc<AtomicBool>);

impl Tap for KeyframeRequests {
    fn passes(&mut self, packet: &TaggedPacket) -> bool {
        let Packet::Rtcp(packets) = &packet.message.packet else { return true };
        let asked = packets.iter().any(|packet| {
            let packet = packet.as_any();
            packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>()
        });
        if asked {
            self.0.store(true, Ordering::Relaxed);
        }
        true
    }
}

/// A forwarder's: everything goes on.
pub struct Passing;

impl Tap for Passing {
    fn passes(&mut self, _packet: &TaggedPacket) -> bool {
        true
    }
}

/// A viewer's: counts what arrives.
pub struct Counting {
    tally: Arc<Mutex<Tally>>,
    announced: HashSet<u32>,
}

impl Counting {
    /// Counts into `tally`.
    pub fn new(tally: Arc<Mutex<Tally>>) -> Self {
        Self { tally, announced: HashSet::new() }
    }
}

impl Tap for Counting {
    fn passes(&mut self, packet: &TaggedPacket) -> bool {
        let Packet::Rtp(rtp) = &packet.message.packet else { return true };
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.on_packet(packet.now, &rtp.header, &rtp.payload);
        self.announced.insert(rtp.header.ssrc)
    }
}
