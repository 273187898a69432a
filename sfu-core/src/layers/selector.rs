//! Which packets of a publication one subscription takes: what flows now, what it is to become, and when it may.
//!
//! Invariants:
//! - Frames are taken whole or not at all: what is decided for the first packet of a frame that arrives holds for the
//!   others, late ones included. What is left out closes up.
//! - Another encoding starts at its keyframe only; until then the one before flows on.
//! - A frame is taken only if all that it refers to was. Lower layers of the same encoding are always taken, also where
//!   the higher ones do not refer to them (k-SVC, except in key pictures): that is what allows to move down at once,
//!   without a keyframe, which all subscribers would pay for.
//! - Down within an encoding: with the next picture. Up: a temporal layer where a frame refers to nothing of its own
//!   layer, a spatial layer where a frame refers to no earlier picture, which mostly is a key picture.

use super::{Frame, Layer, MAX_ENCODINGS};

/// Frames whose fate is remembered for packets that come late.
const REMEMBERED: usize = 16;

/// What a publication sends: which encodings flow, and the highest layers of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flows {
    /// The highest spatial and temporal layer; `None`: the encoding does not flow.
    encodings: [Option<(u8, u8)>; MAX_ENCODINGS],
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// It is sent.
    Take {
        /// As the first of its encoding.
        starts: bool,
        /// It ends the picture, as far as the picture is sent.
        ends: bool,
    },
    /// It is of the encoding that flows, but of no layer that is taken.
    Leave,
    /// It is of another encoding.
    Skip,
    /// It is of the encoding that is to flow, but no decoder can start with it.
    Wait,
}

/// What flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Current {
    encoding: u8,
    spatial: u8,
    temporal: u8,
    /// The highest layers that there are.
    highest: (u8, u8),
}

/// A frame's fate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Decided {
    timestamp: u32,
    spatial: u8,
    /// The spatial and temporal layers that were taken then.
    layers: (u8, u8),
    temporal: u8,
}

/// The selector of one subscription.
#[derive(Debug)]
pub struct Selector {
    target: Option<Layer>,
    /// The encoding to take: the best that flows up to the target. `None`: not known.
    goal: Option<u8>,
    current: Option<Current>,
    /// Bit n: a keyframe of this encoding waits to be sent, and with it all that came after it.
    coming: u8,
    /// The last frame, which is nearly always the one that is asked for.
    newest: Option<Decided>,
    /// [`REMEMBERED`] frames before it, in a circle that begins at `oldest`. No memory before the second frame.
    earlier: Vec<Decided>,
    oldest: usize,
}

impl Flows {
    /// The publication's encodings, from the lowest.
    pub fn new(encodings: impl Iterator<Item = Option<(u8, u8)>>) -> Self {
        let mut flows = Self::default();
        flows.encodings.iter_mut().zip(encodings).for_each(|(place, highest)| *place = highest);
        flows
    }

    fn best_up_to(&self, encoding: u8) -> Option<u8> {
        let last = usize::from(encoding).min(MAX_ENCODINGS - 1);
        (0..=last).rev().find(|index| self.encodings[*index].is_some()).map(|index| index as u8)
    }

    fn highest(&self, encoding: u8) -> Option<(u8, u8)> {
        self.encodings.get(usize::from(encoding)).copied().flatten()
    }
}

impl Selector {
    /// Takes the best that there is.
    pub const fn new() -> Self {
        Self {
            target: Some(Layer::BEST),
            goal: None,
            current: None,
            coming: 0,
            newest: None,
            earlier: Vec::new(),
            oldest: 0,
        }
    }

    /// What shall flow; `None`: nothing, after the frame that is on its way.
    pub const fn set_target(&mut self, target: Option<Layer>) {
        self.target = target;
    }

    /// What shall flow.
    pub const fn target(&self) -> Option<Layer> {
        self.target
    }

    /// What flows.
    pub fn sending(&self) -> Option<Layer> {
        let Current { encoding, spatial, temporal, highest } = self.current?;
        Some(Layer { encoding, spatial: spatial.min(highest.0), temporal: temporal.min(highest.1) })
    }

    /// The spatial and temporal layers that are taken of what flows.
    pub fn taken(&self) -> Option<(u8, u8)> {
        self.current.map(|current| (current.spatial, current.temporal))
    }

    /// Nothing flows any more, and what comes next is a new start.
    pub fn stop(&mut self) {
        self.current = None;
        self.coming = 0;
        self.forget();
    }

    /// Follows what the publication sends; to be called often.
    pub fn follow(&mut self, flows: &Flows) {
        let Some(target) = self.target else {
            self.goal = None;
            return;
        };
        // Where nothing flows there is nothing better than what there was.
        let kept = self.current.map(|current| current.encoding).or(self.goal);
        let kept = kept.filter(|kept| *kept <= target.encoding);
        self.goal = flows.best_up_to(target.encoding).or(kept);
        if let Some(current) = &mut self.current {
            current.highest = flows.highest(current.encoding).unwrap_or(current.highest);
        }
    }

    /// The encoding of which a keyframe is waited for.
    pub fn awaits(&self) -> Option<u8> {
        let goal = self.goal?;
        let Some(current) = self.current.filter(|current| current.encoding == goal) else { return Some(goal) };
        let wanted = self.wish(goal)?.0.min(current.highest.0);
        (wanted > current.spatial).then_some(goal)
    }

    /// What becomes of a packet of a frame with this RTP timestamp.
    pub fn choose(&mut self, encoding: u8, frame: &Frame, timestamp: u32) -> Choice {
        let flows = self.current.is_some_and(|current| current.encoding == encoding);
        if frame.keyframe {
            self.coming &= !bit(encoding);
        }
        if self.target.is_none() {
            return self.wind_down(flows, frame, timestamp);
        }
        if flows {
            return self.choose_layer(encoding, frame, timestamp);
        }
        if !frame.keyframe || !self.prefers(encoding) {
            return if self.goal == Some(encoding) { Choice::Wait } else { Choice::Skip };
        }
        let Some((spatial, temporal)) = self.wish(encoding) else { return Choice::Skip };
        self.forget();
        self.current = Some(Current { encoding, spatial, temporal, highest: (frame.spatial, frame.temporal) });
        let decided = Decided::new(timestamp, frame, (spatial, temporal));
        self.remember(decided);
        Choice::Take { starts: true, ends: frame.end && decided.is_top() }
    }

    /// Whether a packet that has to wait could be taken then, or is of the encoding that is waited for.
    pub fn may_take(&mut self, encoding: u8, frame: &Frame) -> bool {
        if frame.keyframe && self.prefers(encoding) {
            self.coming |= bit(encoding);
        }
        let flows = self.current.is_some_and(|current| current.encoding == encoding);
        flows || self.goal == Some(encoding) || self.coming & bit(encoding) != 0
    }

    /// Whether a keyframe of this encoding, which does not flow here, is to be taken. A better one than the current is,
    /// although it may not be known yet that it flows.
    fn prefers(&self, encoding: u8) -> bool {
        let wanted = self.target.is_some_and(|target| encoding <= target.encoding);
        wanted && (self.goal == Some(encoding) || self.current.is_none_or(|current| current.encoding < encoding))
    }

    /// The layers to take of an encoding: all of one below the target's.
    fn wish(&self, encoding: u8) -> Option<(u8, u8)> {
        let target = self.target?;
        Some(if encoding < target.encoding { (u8::MAX, u8::MAX) } else { (target.spatial, target.temporal) })
    }

    fn choose_layer(&mut self, encoding: u8, frame: &Frame, timestamp: u32) -> Choice {
        if let Some(decided) = self.find(timestamp, frame.spatial) {
            return decided.choice(frame);
        }
        let Some((wish, mut current)) = self.wish(encoding).zip(self.current) else { return Choice::Skip };
        let newest = self.newest;
        let ahead = newest.map_or(1, |newest| timestamp.wrapping_sub(newest.timestamp) as i32);
        if ahead < 0 || (ahead == 0 && newest.is_some_and(|newest| newest.spatial > frame.spatial)) {
            // Later ones were decided as if it had come in time.
            let before = self.last_before(timestamp);
            return before.map_or(Choice::Leave, |before| Decided::new(timestamp, frame, before.layers).choice(frame));
        }
        current.advance(wish, frame, ahead > 0);
        self.current = Some(current);
        let decided = Decided::new(timestamp, frame, (current.spatial, current.temporal));
        self.remember(decided);
        decided.choice(frame)
    }

    /// Nothing shall flow, but a frame that was begun goes to its end.
    fn wind_down(&mut self, flows: bool, frame: &Frame, timestamp: u32) -> Choice {
        match self.find(timestamp, frame.spatial).filter(|decided| flows && decided.is_taken()) {
            Some(decided) => decided.choice(frame),
            None if flows => {
                self.stop();
                Choice::Skip
            }
            None => Choice::Skip,
        }
    }

    fn find(&self, timestamp: u32, spatial: u8) -> Option<Decided> {
        let newest = self.newest?;
        let is_it = |decided: &Decided| decided.timestamp == timestamp && decided.spatial == spatial;
        if is_it(&newest) {
            return self.newest;
        }
        // Nothing that was decided is of a later picture than the newest.
        let is_old = timestamp.wrapping_sub(newest.timestamp) as i32 <= 0;
        self.earlier.iter().copied().find(|decided| is_old && is_it(decided))
    }

    /// The frame before one that comes late.
    fn last_before(&self, timestamp: u32) -> Option<Decided> {
        let age = |decided: &Decided| timestamp.wrapping_sub(decided.timestamp) as i32;
        let known = self.earlier.iter().copied().chain(self.newest);
        known.filter(|decided| age(decided) >= 0).min_by_key(age)
    }

    fn remember(&mut self, decided: Decided) {
        let Some(before) = self.newest.replace(decided) else { return };
        if self.earlier.len() < REMEMBERED {
            self.earlier.reserve_exact(REMEMBERED - self.earlier.len());
            self.earlier.push(before);
        } else {
            self.earlier[self.oldest] = before;
            self.oldest = (self.oldest + 1) % REMEMBERED;
        }
    }

    fn forget(&mut self) {
        self.newest = None;
        self.earlier.clear();
        self.oldest = 0;
    }
}

const fn bit(encoding: u8) -> u8 {
    1 << (encoding & 7)
}

impl Default for Selector {
    fn default() -> Self {
        Self::new()
    }
}

impl Current {
    /// Moves towards `wish` as far as a new frame allows.
    fn advance(&mut self, wish: (u8, u8), frame: &Frame, new_picture: bool) {
        if new_picture {
            self.spatial = self.spatial.min(wish.0);
            self.temporal = self.temporal.min(wish.1);
        }
        if frame.keyframe {
            (self.spatial, self.temporal) = wish;
        }
        if frame.spatial_entry && Some(frame.spatial) == self.spatial.checked_add(1) && frame.spatial <= wish.0 {
            self.spatial = frame.spatial;
        }
        if frame.spatial > self.spatial {
            return;
        }
        if frame.temporal_entry && Some(frame.temporal) == self.temporal.checked_add(1) && frame.temporal <= wish.1 {
            self.temporal = frame.temporal;
        }
        if frame.opens && frame.temporal <= self.temporal {
            self.temporal = self.temporal.max(wish.1);
        }
    }
}

impl Decided {
    const fn new(timestamp: u32, frame: &Frame, layers: (u8, u8)) -> Self {
        Self { timestamp, spatial: frame.spatial, temporal: frame.temporal, layers }
    }

    const fn is_taken(&self) -> bool {
        self.spatial <= self.layers.0 && self.temporal <= self.layers.1
    }

    /// Whether no higher spatial layer is taken.
    const fn is_top(&self) -> bool {
        self.spatial == self.layers.0
    }

    const fn choice(self, frame: &Frame) -> Choice {
        match self.is_taken() {
            true => Choice::Take { starts: false, ends: frame.end && self.is_top() },
            false => Choice::Leave,
        }
    }
}

#[cfg(test)]
mod tests;
