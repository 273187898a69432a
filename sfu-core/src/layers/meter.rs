//! What the layers of one encoding cost and carry, measured as its packets arrive.
//!
//! Bytes and frames are counted per spatial and temporal layer in steps of [`STEP`]; a figure is the sum of the last
//! [`STEPS`] whole steps. A layer that stops keeps the figures of its last step with a packet: what it costs is asked again
//! before it is wanted back, and a rate that fades with the pause would make the largest layer look like the cheapest. One that
//! comes back costs no less than before for a while ([`YOUNG`]): an encoder begins with less than it takes a moment later. Per
//! packet it is one addition, per frame a few comparisons.

use std::time::{Duration, Instant};

use crate::control::Size;
use crate::unit::Bitrate;

use super::{Frame, MAX_SPATIAL, MAX_TEMPORAL};

/// Spatial times temporal layers.
const CELLS: usize = MAX_SPATIAL * MAX_TEMPORAL;

/// Counts are taken in steps of this length.
const STEP: Duration = Duration::from_millis(250);

/// So many steps are measured.
const STEPS: usize = 4;

/// Of a keyframe, so much is counted: it is about four times a frame and comes when somebody asks, so that a layer that
/// was just taken would seem to cost too much to be kept.
const KEYFRAME_SHARE: usize = 4;

/// A layer of which so many pictures had no frame has stopped. The longest pattern of temporal layers has eight pictures.
const STOPPED_AFTER: u8 = 24;

/// For so many steps a layer that comes back is young: two seconds.
const YOUNG: u8 = 8;

/// Counts of one step.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    seconds: f32,
    bytes: [u32; CELLS],
    frames: [u16; CELLS],
}

/// The meter of one encoding.
#[derive(Debug)]
pub struct Meter {
    since: Instant,
    /// The first is being filled.
    steps: [Counts; STEPS + 1],
    /// Of the others, so many were filled.
    filled: usize,
    /// Pictures since the layer's last frame; [`u8::MAX`]: there was none.
    missed: [u8; CELLS],
    sizes: [Option<Size>; MAX_SPATIAL],
    rates: [u32; CELLS],
    /// Steps since the layer came, and its rate before that.
    ages: [u8; CELLS],
    known: [u32; CELLS],
    fps: [f32; CELLS],
    in_keyframe: bool,
}

impl Meter {
    /// Nothing was measured yet.
    pub fn new(now: Instant) -> Self {
        Self {
            since: now,
            steps: [Counts::default(); STEPS + 1],
            filled: 0,
            missed: [u8::MAX; CELLS],
            sizes: [None; MAX_SPATIAL],
            rates: [0; CELLS],
            ages: [0; CELLS],
            known: [0; CELLS],
            fps: [0.0; CELLS],
            in_keyframe: false,
        }
    }

    /// Counts a packet of so many bytes; `picture_end` is its marker bit.
    #[inline]
    pub fn on_packet(&mut self, now: Instant, frame: &Frame, bytes: usize, picture_end: bool) {
        if now.saturating_duration_since(self.since) >= STEP {
            self.roll(now);
        }
        let cell = cell(frame.spatial, frame.temporal);
        self.in_keyframe |= frame.keyframe;
        let bytes = if self.in_keyframe { bytes / KEYFRAME_SHARE } else { bytes };
        self.in_keyframe &= !picture_end;
        self.steps[0].bytes[cell] = self.steps[0].bytes[cell].saturating_add(bytes as u32);
        self.missed[cell] = 0;
        if frame.end {
            self.steps[0].frames[cell] = self.steps[0].frames[cell].saturating_add(1);
        }
        if picture_end {
            // Layers that never were stay at the maximum.
            for missed in self.missed.iter_mut().filter(|missed| **missed < u8::MAX - 1) {
                *missed += 1;
            }
        }
    }

    /// Notes the size of a spatial layer.
    pub fn set_size(&mut self, spatial: usize, size: Option<Size>) {
        if let Some(place) = self.sizes.get_mut(spatial) {
            *place = size;
        }
    }

    /// The size of a spatial layer.
    pub fn size(&self, spatial: u8) -> Option<Size> {
        self.sizes.get(usize::from(spatial)).copied().flatten()
    }

    /// The spatial and temporal layers that there were, with whether they flow.
    pub fn layers(&self) -> impl Iterator<Item = (u8, u8, bool)> {
        let seen = (0..CELLS).filter(|cell| self.missed[*cell] < u8::MAX);
        seen.map(|cell| ((cell / MAX_TEMPORAL) as u8, (cell % MAX_TEMPORAL) as u8, self.missed[cell] < STOPPED_AFTER))
    }

    /// The highest spatial and temporal layer that flow.
    pub fn highest(&self) -> (u8, u8) {
        let flowing = self.layers().filter(|layer| layer.2);
        flowing.fold((0, 0), |(spatial, temporal), layer| (spatial.max(layer.0), temporal.max(layer.1)))
    }

    /// Bits per second of a layer with all below it, and the frames per second of its spatial layer.
    pub fn figures(&mut self, now: Instant, spatial: u8, temporal: u8) -> (Bitrate, Option<f32>) {
        if now.saturating_duration_since(self.since) >= STEP {
            self.roll(now);
        }
        let mut rate = 0;
        for below in 0..=usize::from(spatial).min(MAX_SPATIAL - 1) {
            let row = below * MAX_TEMPORAL;
            rate += self.rates[row..=row + usize::from(temporal).min(MAX_TEMPORAL - 1)]
                .iter()
                .map(|r| u64::from(*r))
                .sum::<u64>();
        }
        let row = usize::from(spatial).min(MAX_SPATIAL - 1) * MAX_TEMPORAL;
        let fps: f32 = self.fps[row..=row + usize::from(temporal).min(MAX_TEMPORAL - 1)].iter().sum();
        (Bitrate(rate), (fps > 0.0).then_some(fps))
    }

    #[cold]
    fn roll(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.since);
        self.since = now;
        if elapsed > STEP * STEPS as u32 {
            (self.steps[0], self.filled, self.ages) = (Counts::default(), 0, [0; CELLS]);
            return;
        }
        self.steps[0].seconds = elapsed.as_secs_f32();
        self.filled = (self.filled + 1).min(STEPS);
        self.steps.rotate_right(1);
        self.steps[0] = Counts::default();
        let is_empty = |step: &Counts| step.bytes.iter().all(|bytes| *bytes == 0);
        let filled = &self.steps[1..=self.filled];
        if is_empty(&filled[0]) {
            // A pause is no part of what is measured.
            if filled.iter().all(is_empty) {
                (self.filled, self.ages) = (0, [0; CELLS]);
            }
            return;
        }
        let seconds: f32 = filled.iter().map(|step| step.seconds).sum();
        for cell in (0..CELLS).filter(|cell| filled[0].bytes[*cell] > 0) {
            let bytes: u64 = filled.iter().map(|step| u64::from(step.bytes[cell])).sum();
            let frames: u32 = filled.iter().map(|step| u32::from(step.frames[cell])).sum();
            let rate = (bytes as f32 * 8.0 / seconds) as u32;
            if self.ages[cell] == 0 {
                self.known[cell] = self.rates[cell];
            }
            self.rates[cell] = if self.ages[cell] < YOUNG { rate.max(self.known[cell]) } else { rate };
            self.ages[cell] = self.ages[cell].saturating_add(1);
            self.fps[cell] = frames as f32 / seconds;
        }
        let rests = |cell: &usize| filled.iter().all(|step| step.bytes[*cell] == 0);
        (0..CELLS).filter(rests).for_each(|cell| self.ages[cell] = 0);
    }
}

const fn cell(spatial: u8, temporal: u8) -> usize {
    let spatial = if spatial as usize >= MAX_SPATIAL { MAX_SPATIAL - 1 } else { spatial as usize };
    let temporal = if temporal as usize >= MAX_TEMPORAL { MAX_TEMPORAL - 1 } else { temporal as usize };
    spatial * MAX_TEMPORAL + temporal
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of `bytes` every `gap` until `to`, asked for figures every 50 ms as a room does.
    fn run(meter: &mut Meter, start: Instant, gap: u64, range: std::ops::Range<u64>, spatial: u8, bytes: usize) {
        let frame = Frame { spatial, end: true, ..Frame::default() };
        for at in range {
            let now = start + Duration::from_millis(at);
            if bytes > 0 && at % gap == 0 {
                meter.on_packet(now, &frame, bytes, true);
            }
            if at % 50 == 0 {
                meter.figures(now, spatial, 0);
            }
        }
    }

    fn kbps(meter: &mut Meter, start: Instant, at: u64, spatial: u8) -> u64 {
        meter.figures(start + Duration::from_millis(at), spatial, 0).0.0 / 1_000
    }

    #[test]
    fn what_stops_keeps_its_figures() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        run(&mut meter, start, 50, 0..3_010, 0, 5_000);
        let before = kbps(&mut meter, start, 3_010, 0);
        assert!((780..=820).contains(&before), "{before}");
        run(&mut meter, start, 50, 3_010..9_000, 0, 0);
        let after = kbps(&mut meter, start, 9_000, 0);
        assert!(after >= before * 3 / 4, "{before} before it stopped, {after} after");
    }

    #[test]
    fn what_comes_back_costs_no_less_than_before_until_it_is_measured_for_a_while() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        run(&mut meter, start, 50, 0..1_010, 0, 2_000);
        assert!((300..=340).contains(&kbps(&mut meter, start, 1_010, 0)), "what is new costs what is measured");
        run(&mut meter, start, 50, 1_010..3_010, 0, 5_000);
        run(&mut meter, start, 50, 3_010..9_000, 0, 0);
        run(&mut meter, start, 50, 9_000..10_500, 0, 2_000);
        let young = kbps(&mut meter, start, 10_500, 0);
        assert!((600..=820).contains(&young), "an encoder begins with less than it takes: {young}");
        run(&mut meter, start, 50, 10_500..13_000, 0, 2_000);
        let old = kbps(&mut meter, start, 13_000, 0);
        assert!((300..=340).contains(&old), "{old}");
    }

    #[test]
    fn a_spatial_layer_that_stops_keeps_its_figures_while_the_one_below_flows() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        let (low, high) =
            (Frame { end: true, ..Frame::default() }, Frame { spatial: 1, end: true, ..Frame::default() });
        for at in (0..6_000).step_by(50) {
            let now = start + Duration::from_millis(at);
            meter.on_packet(now, &low, 1_000, at >= 3_000);
            if at < 3_000 {
                meter.on_packet(now, &high, 5_000, true);
            }
        }
        assert!((150..=170).contains(&kbps(&mut meter, start, 6_000, 0)));
        assert!(kbps(&mut meter, start, 6_000, 1) >= 720, "{}", kbps(&mut meter, start, 6_000, 1));
    }

    #[test]
    fn few_frames_a_second_are_measured_over_the_second() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        run(&mut meter, start, 1_000, 0..6_400, 0, 50_000);
        let rate = kbps(&mut meter, start, 6_400, 0);
        assert!((380..=420).contains(&rate), "{rate}");
    }

    /// Five seconds of 30 pictures per second in two spatial and two temporal layers, `bytes` each frame.
    fn play(meter: &mut Meter, start: Instant, seconds: u32, spatial: u8, bytes: usize) -> Instant {
        let mut now = start;
        for picture in 0..30 * seconds {
            now += Duration::from_micros(33_333);
            for layer in 0..spatial {
                let frame = Frame { spatial: layer, temporal: (picture % 2) as u8, end: true, ..Frame::default() };
                meter.on_packet(now, &frame, bytes, layer + 1 == spatial);
            }
        }
        now
    }

    fn near(rate: Bitrate, expected: u64) -> bool {
        rate.0.abs_diff(expected) * 100 <= expected * 6
    }

    #[test]
    fn figures_include_the_layers_below() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        let now = play(&mut meter, start, 5, 2, 1_000);
        let (lowest, fps) = meter.figures(now, 0, 0);
        assert!(near(lowest, 120_000), "{lowest:?}");
        assert!(fps.is_some_and(|fps| (fps - 15.0).abs() < 1.0), "{fps:?}");
        let (highest, fps) = meter.figures(now, 1, 1);
        assert!(near(highest, 480_000), "{highest:?}");
        assert!(fps.is_some_and(|fps| (fps - 30.0).abs() < 1.5), "{fps:?}");
        assert_eq!(meter.layers().collect::<Vec<_>>(), [(0, 0, true), (0, 1, true), (1, 0, true), (1, 1, true)]);
    }

    #[test]
    fn a_layer_that_stops_keeps_its_figures_only_while_all_do() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        let now = play(&mut meter, start, 3, 2, 1_000);
        let later = now + Duration::from_secs(9);
        assert!(near(meter.figures(later, 1, 1).0, 480_000), "the whole encoding rests");
        let now = play(&mut meter, later, 3, 1, 1_000);
        assert_eq!(meter.highest(), (0, 1));
        assert!(near(meter.figures(now, 0, 1).0, 240_000));
        assert_eq!(meter.layers().filter(|layer| !layer.2).count(), 2, "known, but not flowing");
    }
}
