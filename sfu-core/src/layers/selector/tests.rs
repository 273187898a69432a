use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// A layer's frame: the picture and the spatial layer.
type Id = (u32, u8);

/// A frame, what it is called, and what it refers to.
type Coded = (Frame, Id, Vec<Id>);

/// How an encoder predicts between its spatial layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Between {
    /// Always from the layer below.
    Full,
    /// In key pictures only.
    Key,
}

/// An encoder of so many spatial and temporal layers: each frame with what it refers to.
#[derive(Debug)]
struct Encoder {
    between: Between,
    spatial: u8,
    temporal: u8,
    picture: u32,
    /// Pictures since the key picture.
    position: u32,
    /// By spatial and temporal layer: the last picture.
    last: BTreeMap<(u8, u8), u32>,
}

impl Encoder {
    fn new(between: Between, spatial: u8, temporal: u8) -> Self {
        Self { between, spatial, temporal, picture: 0, position: 0, last: BTreeMap::new() }
    }

    /// The frames of the next picture. The middle temporal layer refers to its own last frame in every other round.
    fn picture(&mut self, key: bool) -> Vec<Coded> {
        self.picture += 1;
        self.position = if key || self.picture == 1 { 0 } else { self.position + 1 };
        let key = self.position == 0;
        let temporal = match (self.temporal, self.position % 4) {
            (1, _) | (_, 0) => 0,
            (2, place) => (place % 2) as u8,
            (_, place) => [2, 1, 2][place as usize - 1],
        };
        (0..self.spatial).map(|spatial| self.frame(key, spatial, temporal)).collect()
    }

    fn frame(&mut self, key: bool, spatial: u8, temporal: u8) -> (Frame, Id, Vec<Id>) {
        let mut refers = Vec::new();
        if spatial > 0 && (key || self.between == Between::Full) {
            refers.push((self.picture, spatial - 1));
        }
        let own = temporal > 0 && self.position % 8 >= 4;
        if !key {
            let below = (0..temporal.max(1)).filter_map(|layer| self.last.get(&(spatial, layer)));
            refers.extend(below.max().map(|picture| (*picture, spatial)));
            refers.extend(self.last.get(&(spatial, temporal)).filter(|_| own).map(|picture| (*picture, spatial)));
        }
        self.last.insert((spatial, temporal), self.picture);
        if key {
            self.last.retain(|(of, layer), _| *of != spatial || *layer == 0);
        }
        let frame = Frame {
            spatial,
            temporal,
            end: true,
            keyframe: key && spatial == 0,
            spatial_entry: key,
            temporal_entry: !own,
            opens: key,
            ..Frame::default()
        };
        (frame, (self.picture, spatial), refers)
    }
}

fn flows(encodings: &[(u8, u8)]) -> Flows {
    Flows::new(encodings.iter().map(|(spatial, temporal)| Some((spatial - 1, temporal - 1))))
}

fn takes(choice: Choice) -> bool {
    matches!(choice, Choice::Take { .. })
}

fn layer(encoding: u8, spatial: u8, temporal: u8) -> Layer {
    Layer { encoding, spatial, temporal }
}

fn encoder() -> impl Strategy<Value = (Between, u8, u8)> {
    (prop_oneof![Just(Between::Full), Just(Between::Key)], 1u8..=3, 1u8..=3)
}

/// What is wanted: of an encoding, a spatial and a temporal layer, or nothing.
type Target = Option<(u8, u8, u8)>;

/// A target, from time to time, and whether a key picture comes.
fn step() -> impl Strategy<Value = (Option<Target>, bool)> {
    let target = prop_oneof![1 => Just(None), 8 => (0u8..3, 0u8..3, 0u8..3).prop_map(Some)];
    (prop::option::weighted(0.15, target), prop::bool::weighted(0.1))
}

#[test]
fn what_comes_after_a_keyframe_that_waits_waits_too() {
    let (key, delta) =
        (Frame { keyframe: true, end: true, ..Frame::default() }, Frame { end: true, ..Frame::default() });
    let mut selector = Selector::new();
    selector.set_target(Some(layer(1, 0, 0)));
    assert!(!selector.may_take(0, &delta), "nothing is known of it");
    assert!(selector.may_take(0, &key) && selector.may_take(1, &key));
    selector.set_target(None);
    assert!(selector.may_take(0, &delta), "it may be wanted again when the keyframe leaves");
    selector.set_target(Some(layer(1, 0, 0)));
    assert!(takes(selector.choose(0, &key, 0)) && takes(selector.choose(0, &delta, 3_000)));
    assert!(selector.may_take(1, &delta));
    selector.set_target(None);
    assert_eq!(selector.choose(1, &key, 0), Choice::Skip);
    assert!(!selector.may_take(1, &delta), "its keyframe has gone");
}

proptest! {
    /// Against a decoder that knows what each frame refers to: it can decode all that it is given, it is given nothing
    /// above the target once the next picture began, and it gets every layer of the target from the next key picture on.
    #[test]
    fn what_is_taken_can_be_decoded(
        encoders in prop::collection::vec(encoder(), 1..=3),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let layers: Vec<(u8, u8)> = encoders.iter().map(|(_, spatial, temporal)| (*spatial, *temporal)).collect();
        let flows = flows(&layers);
        let mut encoders: Vec<_> = encoders.into_iter().map(|(b, s, t)| Encoder::new(b, s, t)).collect();
        let mut selector = Selector::new();
        // Frames that the decoder has of what flows.
        let (mut flowing, mut decoded) = (None, BTreeSet::new());
        for (target, key) in steps {
            if let Some(target) = target {
                selector.set_target(target.map(|(e, s, t)| layer(e, s, t)));
            }
            selector.follow(&flows);
            for (index, encoder) in encoders.iter_mut().enumerate() {
                let frames = encoder.picture(key);
                let mut ends = 0;
                let mut taken = Vec::new();
                for (frame, id, refers) in &frames {
                    let choice = selector.choose(index as u8, frame, 3_000 * id.0);
                    let Choice::Take { starts, ends: last } = choice else { continue };
                    if starts {
                        prop_assert!(frame.keyframe, "started by {frame:?}");
                        (flowing, decoded) = (Some(index), BTreeSet::new());
                    }
                    prop_assert_eq!(flowing, Some(index));
                    prop_assert!(refers.iter().all(|id| decoded.contains(id)), "{:?} of {:?} needs {:?}", id, encoder, refers);
                    decoded.insert(*id);
                    ends += u32::from(last);
                    taken.push(frame.spatial);
                }
                let Some(target) = selector.target() else {
                    prop_assert!(taken.is_empty(), "nothing is to flow");
                    continue;
                };
                if usize::from(target.encoding).min(layers.len() - 1) != index || flowing != Some(index) {
                    continue;
                }
                let wish = if usize::from(target.encoding) == index { (target.spatial, target.temporal) } else { (9, 9) };
                let within = frames.iter().filter(|(frame, ..)| frame.spatial <= wish.0 && frame.temporal <= wish.1);
                let within: Vec<u8> = within.map(|(frame, ..)| frame.spatial).collect();
                prop_assert!(taken.iter().all(|spatial| within.contains(spatial)), "no more than the target");
                if frames[0].0.keyframe {
                    prop_assert_eq!(&taken, &within, "all of the target from a key picture on");
                    prop_assert_eq!(selector.awaits(), None);
                }
                // The highest layer ends the picture, unless the source does.
                let highest = taken.last().copied();
                prop_assert!(highest != Some(wish.0) || ends == 1, "{ends} ends of {taken:?}");
            }
        }
    }
}

fn frame(temporal: u8, keyframe: bool) -> Frame {
    Frame { temporal, keyframe, end: true, ..Frame::default() }
}

#[test]
fn another_encoding_waits_for_its_keyframe_and_the_old_one_flows_on() {
    let mut selector = Selector::new();
    let flows = flows(&[(1, 1), (1, 1)]);
    selector.set_target(Some(layer(0, 0, 0)));
    selector.follow(&flows);
    assert_eq!(selector.awaits(), Some(0));
    assert!(takes(selector.choose(0, &frame(0, true), 1)));
    selector.set_target(Some(layer(1, 0, 0)));
    selector.follow(&flows);
    assert_eq!(selector.awaits(), Some(1));
    assert_eq!(selector.choose(1, &frame(0, false), 2), Choice::Wait);
    assert!(takes(selector.choose(0, &frame(0, false), 2)), "until then");
    assert_eq!(selector.choose(1, &frame(0, true), 3), Choice::Take { starts: true, ends: true });
    assert_eq!(selector.choose(0, &frame(0, false), 3), Choice::Skip);
    assert_eq!((selector.awaits(), selector.sending()), (None, Some(layer(1, 0, 0))));
}

#[test]
fn an_encoding_that_stopped_is_left_for_the_best_that_flows() {
    let mut selector = Selector::new();
    selector.follow(&flows(&[(1, 1), (1, 1), (1, 1)]));
    assert!(takes(selector.choose(2, &frame(0, true), 1)));
    selector.follow(&flows(&[(1, 1), (1, 1)]));
    assert_eq!(selector.awaits(), Some(1));
    assert_eq!(selector.choose(0, &frame(0, true), 2), Choice::Skip, "not for any that flows");
    assert!(takes(selector.choose(1, &frame(0, true), 2)));
    assert!(takes(selector.choose(2, &frame(0, true), 3)), "it is back, before that is known");
    selector.follow(&Flows::default());
    assert_eq!(selector.awaits(), None, "where nothing flows there is nothing to wait for");
}

#[test]
fn a_frame_goes_to_its_end_when_nothing_shall_flow() {
    let mut selector = Selector::new();
    selector.follow(&flows(&[(1, 1)]));
    assert!(takes(selector.choose(0, &frame(0, true), 1)));
    selector.set_target(None);
    assert!(takes(selector.choose(0, &frame(0, false), 1)), "of the same frame");
    assert_eq!(selector.choose(0, &frame(0, false), 2), Choice::Skip);
    assert_eq!(selector.sending(), None);
    selector.set_target(Some(Layer::BEST));
    selector.follow(&flows(&[(1, 1)]));
    assert_eq!(selector.choose(0, &frame(0, false), 3), Choice::Wait);
}

#[test]
fn late_packets_share_their_frames_fate() {
    let mut selector = Selector::new();
    selector.follow(&flows(&[(1, 2)]));
    assert!(takes(selector.choose(0, &frame(0, true), 10)));
    assert!(takes(selector.choose(0, &frame(1, false), 11)));
    selector.set_target(Some(layer(0, 0, 0)));
    assert!(takes(selector.choose(0, &frame(0, false), 12)));
    assert_eq!(selector.choose(0, &frame(1, false), 13), Choice::Leave);
    assert!(takes(selector.choose(0, &frame(1, false), 11)), "the rest of what was begun");
    selector.set_target(Some(Layer::BEST));
    let entry = Frame { temporal_entry: true, ..frame(1, false) };
    assert!(takes(selector.choose(0, &entry, 15)));
    assert_eq!(selector.choose(0, &frame(1, false), 13), Choice::Leave, "the rest of what was not");
}

#[test]
fn a_frame_that_comes_after_a_keyframe_is_judged_by_what_was_before() {
    let mut selector = Selector::new();
    selector.follow(&flows(&[(1, 3)]));
    selector.set_target(Some(layer(0, 0, 1)));
    assert!(takes(selector.choose(0, &frame(0, true), 10)));
    assert_eq!(selector.choose(0, &frame(2, false), 11), Choice::Leave);
    assert!(takes(selector.choose(0, &frame(1, false), 12)));
    selector.set_target(Some(Layer::BEST));
    assert!(takes(selector.choose(0, &frame(0, true), 14)));
    assert_eq!(selector.choose(0, &frame(2, false), 13), Choice::Leave, "it may refer to what was left out");
    assert!(takes(selector.choose(0, &frame(2, false), 15)));
}
