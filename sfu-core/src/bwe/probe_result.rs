//! What a probe measured: the lower of the rates at which its packets left and arrived.
//!
//! Follows libwebrtc `modules/congestion_controller/goog_cc/probe_bitrate_estimator.cc` (M128).

use arrayvec::ArrayVec;

/// Probes that are looked at together.
const MAX_PROBES: usize = 4;
/// So much of a probe must have arrived, in packets and in bytes. libwebrtc wants 0.8, and has no result where a fifth is lost.
const MIN_ARRIVED: f64 = 0.6;
/// A probe takes no longer than this to leave or to arrive, µs.
const MAX_DURATION_US: i64 = 1_000_000;
/// Packets that leave within this are a train, µs.
const TRAIN_US: i64 = 500;
/// What arrives faster than it left by more than this is not believed.
const MAX_RATIO: f64 = 2.0;
/// What arrives slower than this share of its rate has met the link's end ...
const UNSATURATED: f64 = 0.9;
/// ... of which so much is used.
const UTILISATION: f64 = 0.95;

/// In bits per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measured {
    /// What may be sent.
    pub rate: f64,
    /// What the link carries, if the probe met its end.
    pub capacity: Option<f64>,
}

impl Measured {
    /// What would have arrived of it but for the share that is lost at any rate. Half of that is made up for: how much a
    /// single probe lost is luck, and what is too much fills the queue.
    pub(super) fn despite(self, loss: f64) -> Self {
        let rate = if self.capacity.is_some() { self.rate } else { self.rate / (1.0 - 0.5 * loss) };
        Self { rate, ..self }
    }
}

/// What arrived of a probe; times in µs.
#[derive(Debug)]
struct Arrived {
    probe: u8,
    /// What makes the probe whole.
    bytes_wanted: u32,
    packets_wanted: u32,
    bytes: u32,
    packets: u32,
    /// When the last train left, and its bytes so far; and the first arrival and its bytes.
    first_sent: i64,
    last_sent: (i64, u32),
    first_arrival: (i64, u32),
    last_arrival: i64,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct ProbeResults {
    probes: ArrayVec<Arrived, MAX_PROBES>,
}

impl ProbeResults {
    /// A probe is about to be sent.
    pub(super) fn expect(&mut self, probe: u8, bytes: u32, packets: u8) {
        if self.probes.is_full() {
            self.probes.remove(0);
        }
        self.probes.push(Arrived {
            probe,
            bytes_wanted: (f64::from(bytes) * MIN_ARRIVED) as u32,
            packets_wanted: (f64::from(packets) * MIN_ARRIVED).ceil() as u32,
            bytes: 0,
            packets: 0,
            first_sent: i64::MAX,
            last_sent: (i64::MIN / 2, 0),
            first_arrival: (i64::MAX, 0),
            last_arrival: i64::MIN,
        });
    }

    /// A packet of a probe arrived. What the probe measured so far.
    pub(super) fn on_arrival(&mut self, probe: u8, sent: i64, arrived: i64, bytes: u16) -> Option<Measured> {
        let bytes = u32::from(bytes);
        let arrival = self.probes.iter_mut().find(|known| known.probe == probe)?;
        arrival.packets += 1;
        arrival.bytes = arrival.bytes.saturating_add(bytes);
        arrival.first_sent = arrival.first_sent.min(sent);
        // A train leaves at once: all of the last one is beyond the time that is measured.
        let train = sent - arrival.last_sent.0;
        if train > TRAIN_US {
            arrival.last_sent = (sent, bytes);
        } else if train >= 0 {
            arrival.last_sent.1 += bytes;
        }
        if arrived < arrival.first_arrival.0 {
            arrival.first_arrival = (arrived, bytes);
        }
        arrival.last_arrival = arrival.last_arrival.max(arrived);
        arrival.measure()
    }
}

impl Arrived {
    fn measure(&self) -> Option<Measured> {
        if self.bytes < self.bytes_wanted || self.packets < self.packets_wanted.max(2) {
            return None;
        }
        let sent = rate(self.bytes - self.last_sent.1, self.last_sent.0 - self.first_sent)?;
        let arrived = rate(self.bytes - self.first_arrival.1, self.last_arrival - self.first_arrival.0)?;
        if arrived > MAX_RATIO * sent {
            return None;
        }
        let is_saturated = arrived < UNSATURATED * sent;
        let rate = if is_saturated { arrived * UTILISATION } else { arrived.min(sent) };
        Some(Measured { rate, capacity: is_saturated.then_some(arrived) })
    }
}

fn rate(bytes: u32, duration: i64) -> Option<f64> {
    (1..=MAX_DURATION_US).contains(&duration).then(|| f64::from(bytes) * 8e6 / duration as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten packets of 1,000 bytes, sent and arriving so many µs apart.
    fn probe(sent_gap: i64, arrival_gap: i64, lost: usize) -> Option<f64> {
        let mut results = ProbeResults::default();
        results.expect(1, 10_000, 5);
        let measured =
            (lost as i64..10).map(|n| results.on_arrival(1, n * sent_gap, 7 + n * arrival_gap, 1_000)).last();
        measured.flatten().map(|measured| measured.rate)
    }

    #[test]
    fn measures_the_lower_rate() {
        assert_eq!(probe(2_000, 2_000, 0), Some(4e6));
        assert_eq!(probe(2_000, 1_500, 0), Some(4e6));
        assert_eq!(probe(2_000, 4_000, 0), Some(2e6 * UTILISATION));
    }

    #[test]
    fn believes_neither_too_little_nor_too_fast() {
        assert_eq!(probe(2_000, 2_000, 4), Some(4e6));
        assert_eq!(probe(2_000, 2_000, 5), None);
        assert_eq!(probe(2_000, 900, 0), None);
        assert_eq!(probe(2_000, 0, 0), None);
        assert_eq!(probe(0, 2_000, 0), None);
        assert_eq!(probe(2_000, 200_000, 0), None);
    }

    #[test]
    fn only_probes_that_were_announced_count() {
        let mut results = ProbeResults::default();
        for id in 1..=6 {
            results.expect(id, 2_000, 2);
        }
        for (id, measured) in [(1, None), (9, None), (6, Some(8e6))] {
            results.on_arrival(id, 0, 0, 1_000);
            let result = results.on_arrival(id, 1_000, 1_000, 1_000);
            assert_eq!(result, measured.map(|rate| Measured { rate, capacity: None }));
        }
    }
}
