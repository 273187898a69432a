//! When packets leave for one subscriber: audio at once, then retransmissions, then video, then padding.
//!
//! A packet that finds nothing waiting and bytes in the bucket leaves on the spot, so that an idle pacer costs a few
//! comparisons. Otherwise its descriptor (8 bytes) waits here, and everything that depends on the moment of sending (is
//! the layer still wanted, sequence numbers, the transport-wide number, the seal) is done when it is released.
//!
//! Invariants:
//! - Audio never waits; it is paid for from the same bucket.
//! - What waits leaves in trains ([`TRAIN`]), so that segmentation offload has something to merge, at least
//!   [`INTERVAL`] apart; a shallow queue on the path would drop longer bursts.
//! - What waits is bounded in number, and in time: the rate rises until the queue is gone within [`MAX_DELAY`], as
//!   libwebrtc's `PacingController` does (modules/pacing/pacing_controller.cc, `SetQueueTimeLimit`).
//! - Retransmissions take at most half of the estimate in the long run.

mod bucket;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::stream::RingIndex;
use crate::unit::Bitrate;

use bucket::Bucket;

/// Media is sent up to so many times as fast as the estimate, in tenths: frames must not wait for the next one. libwebrtc's
/// `kDefaultPaceMultiplier` is 2.5 and its encoder keeps keyframes small; here one of a new layer would queue at the
/// bottleneck, and take the estimate down that it was sent for.
const PACING_FACTOR: u64 = 15;

/// What leaves at once, in bytes: ten packets of 1,200.
const TRAIN: i64 = 12_000;

/// Releases are at least this far apart.
pub const INTERVAL: Duration = Duration::from_millis(1);

/// What waits is gone by then.
const MAX_DELAY: Duration = Duration::from_millis(250);

/// The most video packets that wait: 4 KiB of descriptors.
const MAX_VIDEO: usize = 512;

/// The most retransmissions that wait. A receiver asks again for what found no place.
const MAX_RESENDS: usize = 128;

/// A packet's size on the wire when the size of what waits is estimated.
const TYPICAL_PACKET: u64 = 1_200;

/// A video packet that waits: where it is, and for which line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queued {
    /// The packet in its encoding's ring.
    pub packet: RingIndex,
    /// See [`Queued::new`].
    key: u32,
}

impl Queued {
    /// A packet for the member's `line`. `encoding` is below 16; of the two generations the low bits are kept, so that a
    /// line that shows another track by then, or an encoding that began anew, is told.
    pub const fn new(line: u16, subscription: u32, encoding: u8, generation: u32, packet: RingIndex) -> Self {
        let key =
            (line as u32 & 0xfff) | (encoding as u32 & 0xf) << 12 | (subscription & 0xff) << 16 | generation << 24;
        Self { packet, key }
    }

    /// The line.
    pub const fn line(&self) -> usize {
        (self.key & 0xfff) as usize
    }

    /// The encoding's index.
    pub const fn encoding(&self) -> u8 {
        (self.key >> 12 & 0xf) as u8
    }

    /// Whether it was queued for this subscription and this generation of the encoding.
    pub const fn is_of(&self, subscription: u32, generation: u32) -> bool {
        self.key >> 16 == (subscription & 0xff) | (generation & 0xff) << 8
    }
}

/// A retransmission that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resend {
    /// The member's line.
    pub line: u16,
    /// The number that was asked for.
    pub wire: u16,
}

/// A burst that shows what the path can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeTask {
    /// Marks its packets.
    pub id: u8,
    pub rate: Bitrate,
    /// What it sends at least.
    pub bytes: usize,
    pub packets: u32,
}

/// What leaves next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    Resend(Resend),
    Video(Queued),
    /// Nothing waits, but a probe needs a packet.
    Filler,
}

#[derive(Debug, Clone, Copy)]
struct ActiveProbe {
    task: ProbeTask,
    bucket: Bucket,
}

/// The pacer of one subscriber.
#[derive(Debug)]
pub struct Pacer {
    /// `None`: nobody told what the path carries, and nothing waits.
    estimate: Option<Bitrate>,
    bucket: Bucket,
    /// The share of retransmissions.
    resend_bucket: Bucket,
    resends: VecDeque<Resend>,
    video: VecDeque<Queued>,
    probe: Option<ActiveProbe>,
    /// Not before this time is anything released.
    next: Instant,
    /// Packets that found no place.
    pub dropped: u64,
}

impl Pacer {
    /// A pacer that lets everything through until it is told an estimate.
    pub fn new(now: Instant) -> Self {
        Self {
            estimate: None,
            bucket: Bucket::new(now, Bitrate(0), TRAIN),
            resend_bucket: Bucket::new(now, Bitrate(0), TRAIN),
            resends: VecDeque::new(),
            video: VecDeque::new(),
            probe: None,
            next: now,
            dropped: 0,
        }
    }

    /// Sets what the path carries.
    pub fn set_estimate(&mut self, now: Instant, estimate: Option<Bitrate>) {
        if let Some(rate) = estimate
            && self.estimate != estimate
        {
            self.bucket.set(now, self.rate(rate), TRAIN);
            // Half a second's worth may be saved up: losses come in bursts.
            self.resend_bucket.set(now, Bitrate(rate.0 / 2), (rate.0 as i64 / 32).max(TRAIN));
        }
        self.estimate = estimate;
    }

    fn rate(&self, estimate: Bitrate) -> Bitrate {
        let waiting = (self.video.len() + self.resends.len()) as u64 * TYPICAL_PACKET * 8;
        let drain = waiting * 1_000 / MAX_DELAY.as_millis() as u64;
        Bitrate((estimate.0 * PACING_FACTOR / 10).max(drain))
    }

    /// Whether a video packet may leave now; otherwise it is to be [queued](Self::queue).
    #[inline]
    pub fn passes(&mut self, now: Instant) -> bool {
        if self.estimate.is_none() {
            return true;
        }
        if !self.video.is_empty() || !self.resends.is_empty() {
            return false;
        }
        self.bucket.fill(now);
        self.bucket.level() > 0
    }

    /// Whether a retransmission may leave now; otherwise it is to be [queued](Self::queue_resend).
    pub fn passes_resend(&mut self, now: Instant) -> bool {
        if self.estimate.is_none() {
            return true;
        }
        if !self.resends.is_empty() {
            return false;
        }
        self.bucket.fill(now);
        self.resend_bucket.fill(now);
        self.bucket.level() > 0 && self.resend_bucket.level() > 0
    }

    /// Notes what left, of whatever kind.
    #[inline]
    pub fn on_sent(&mut self, bytes: usize) {
        if self.estimate.is_some() {
            self.bucket.take(bytes);
        }
        if let Some(probe) = &mut self.probe {
            probe.bucket.take(bytes);
            probe.task.bytes = probe.task.bytes.saturating_sub(bytes);
            probe.task.packets = probe.task.packets.saturating_sub(1);
            if probe.task.bytes == 0 && probe.task.packets == 0 {
                self.probe = None;
            }
        }
    }

    /// Notes that a retransmission left, besides [`Self::on_sent`].
    pub const fn on_resent(&mut self, bytes: usize) {
        if self.estimate.is_some() {
            self.resend_bucket.take(bytes);
        }
    }

    /// Lets a video packet wait.
    pub fn queue(&mut self, now: Instant, packet: Queued) {
        if self.video.len() >= MAX_VIDEO {
            self.dropped += 1;
            return;
        }
        self.video.push_back(packet);
        self.after_queueing(now);
    }

    /// Lets a retransmission wait.
    pub fn queue_resend(&mut self, now: Instant, resend: Resend) {
        if self.resends.len() >= MAX_RESENDS || self.resends.contains(&resend) {
            self.dropped += 1;
            return;
        }
        self.resends.push_back(resend);
        self.after_queueing(now);
    }

    fn after_queueing(&mut self, now: Instant) {
        if let Some(estimate) = self.estimate {
            self.bucket.set(now, self.rate(estimate), TRAIN);
        }
    }

    /// Starts a probe; media that leaves meanwhile is part of it.
    pub fn start_probe(&mut self, now: Instant, task: ProbeTask) {
        let mut bucket = Bucket::new(now, task.rate, (task.rate.0 as i64 / 8 / 100).max(TRAIN));
        bucket.take(bucket.level() as usize);
        self.probe = Some(ActiveProbe { task, bucket });
    }

    /// The id of the probe that goes on.
    pub fn probe(&self) -> Option<u8> {
        self.probe.map(|probe| probe.task.id)
    }

    /// Ends a probe that has nothing to send.
    pub const fn abandon_probe(&mut self) {
        self.probe = None;
    }

    /// When [`Self::release`] wants to be called; `None`: nothing waits.
    pub fn due(&self) -> Option<Instant> {
        let waiting = self.video.len() + self.resends.len();
        let probe = self.probe.and_then(|probe| probe.bucket.ready_at(1));
        if waiting == 0 {
            return probe.map(|due| due.max(self.next));
        }
        let train = (waiting as i64 * TYPICAL_PACKET as i64).min(TRAIN);
        let media = if self.estimate.is_some() { self.bucket.ready_at(train) } else { Some(self.next) };
        media.into_iter().chain(probe).min().map(|due| due.max(self.next))
    }

    /// Begins a release: false if it is too early for one. Call [`Self::next`] until it gives nothing more.
    pub fn begin(&mut self, now: Instant) -> bool {
        if self.due().is_none_or(|due| due > now) {
            return false;
        }
        self.bucket.fill(now);
        self.resend_bucket.fill(now);
        if let Some(probe) = &mut self.probe {
            probe.bucket.fill(now);
        }
        self.next = now + INTERVAL;
        true
    }

    /// What leaves next. The caller reports what it sent by [`Self::on_sent`].
    pub fn release(&mut self) -> Option<Release> {
        let probing = self.probe.is_some_and(|probe| probe.bucket.level() > 0);
        let unlimited = self.estimate.is_none();
        if unlimited || probing || self.bucket.level() > 0 {
            if (unlimited || self.resend_bucket.level() > 0)
                && let Some(resend) = self.resends.pop_front()
            {
                return Some(Release::Resend(resend));
            }
            if let Some(video) = self.video.pop_front() {
                return Some(Release::Video(video));
            }
        }
        if let Some(estimate) = self.estimate.filter(|_| self.waiting() == 0) {
            self.bucket.set_rate(self.rate(estimate));
        }
        probing.then_some(Release::Filler)
    }

    /// Packets that wait.
    pub fn waiting(&self) -> usize {
        self.video.len() + self.resends.len()
    }
}

#[cfg(test)]
mod tests;
