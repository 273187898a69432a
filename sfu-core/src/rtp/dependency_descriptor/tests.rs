use super::*;
use proptest::prelude::*;

/// Writes bits as the specification's syntax tables list them.
#[derive(Default)]
struct Writer(Vec<bool>);

impl Writer {
    fn put(&mut self, value: u32, count: u32) -> &mut Self {
        self.0.extend((0..count).rev().map(|bit| value & (1 << bit) != 0));
        self
    }

    /// `write_ns` of the specification.
    fn put_below(&mut self, value: u32, limit: u32) -> &mut Self {
        let width = u32::BITS - limit.leading_zeros();
        let short = (1 << width) - limit;
        if value < short { self.put(value, width - 1) } else { self.put(value + short, width) }
    }

    fn bytes(&self) -> Vec<u8> {
        let byte =
            |bits: &[bool]| bits.iter().enumerate().fold(0, |byte, (at, &bit)| byte | (u8::from(bit) << (7 - at)));
        self.0.chunks(8).map(byte).collect()
    }
}

/// L2T2 with three decode targets and two chains: four templates from id 62, so that the last ids wrap.
fn keyframe(template_id: u32) -> Vec<u8> {
    let mut bits = Writer::default();
    bits.put(1, 1).put(0, 1).put(template_id, 6).put(0x1234, 16); // mandatory fields
    bits.put(0b10000, 5); // a structure, nothing custom
    bits.put(62, 6).put(2, 5); // template id offset, decode targets - 1
    bits.put(1, 2).put(2, 2).put(1, 2).put(3, 2); // S0T0, S0T1, S1T0, S1T1
    for indications in [[2, 3, 3], [0, 1, 2], [0, 2, 3], [0, 0, 1]] {
        for indication in indications {
            bits.put(indication, 2);
        }
    }
    for differences in [&[][..], &[1], &[0, 3], &[15]] {
        for &difference in differences {
            bits.put(1, 1).put(difference, 4);
        }
        bits.put(0, 1);
    }
    bits.put_below(2, 4); // chains
    for chain in [0, 0, 1] {
        bits.put_below(chain, 2);
    }
    for difference in 0..8 {
        bits.put(difference, 4);
    }
    bits.put(1, 1).put(319, 16).put(179, 16).put(639, 16).put(359, 16); // resolutions
    bits.bytes()
}

#[test]
fn a_short_descriptor_is_three_bytes() {
    let descriptor = DependencyDescriptor::parse(&[0x45, 0x01, 0x02]).unwrap();
    let expected = DependencyDescriptor {
        start_of_frame: false,
        end_of_frame: true,
        template_id: 5,
        frame_number: 0x0102,
        structure: None,
        custom: Custom { at: 24, ..Custom::default() },
    };
    assert_eq!(descriptor, expected);
    assert!(!descriptor.is_keyframe_start());
    assert_eq!(DependencyDescriptor::parse(&[0x45, 0x01]), None);
}

#[test]
fn a_long_descriptor_need_not_have_a_structure() {
    // Only the custom differences flag.
    let descriptor = DependencyDescriptor::parse(&[0x85, 0x01, 0x02, 0x10]).unwrap();
    assert!(descriptor.start_of_frame && descriptor.structure.is_none());
}

#[test]
fn a_structure_names_the_layers_of_its_templates() {
    let descriptor = DependencyDescriptor::parse(&keyframe(62)).unwrap();
    assert!(descriptor.is_keyframe_start() && descriptor.frame_number == 0x1234);
    let structure = descriptor.structure.unwrap();
    let layers = |id| structure.layers(id).map(|layers| (layers.spatial, layers.temporal));
    assert_eq!([62, 63, 0, 1].map(layers), [(0, 0), (0, 1), (1, 0), (1, 1)].map(Some), "ids wrap after 63");
    assert_eq!([61, 2].map(layers), [None; 2]);
    assert_eq!(structure.max_layers(), Layers { spatial: 1, temporal: 1 });
    assert_eq!(structure.resolutions(), [(320, 180), (640, 360)], "all that stands before was stepped over rightly");
    assert_eq!(structure.decode_targets(), 3);
    assert_eq!(structure.indication(63, 2), Some(Indication::Switch));
    assert_eq!(structure.indication(1, 0), Some(Indication::NotPresent));
    assert_eq!(structure.indication(62, 3), None);
}

#[test]
fn a_keyframe_must_name_a_template_of_its_structure() {
    assert_eq!(DependencyDescriptor::parse(&keyframe(2)), None);
}

#[test]
fn a_cut_structure_is_none() {
    let whole = keyframe(62);
    assert!((4..whole.len()).all(|len| DependencyDescriptor::parse(&whole[..len]).is_none()));
}

#[test]
fn layers_have_bounds() {
    let with_layers = |next: &[u32]| {
        let mut bits = Writer::default();
        bits.put(1, 1).put(1, 1).put(0, 6).put(1, 16).put(0b10000, 5).put(0, 6).put(0, 5);
        for &next in next {
            bits.put(next, 2);
        }
        bits.put(3, 2);
        for _ in 0..=next.len() {
            bits.put(3, 2);
        }
        for _ in 0..=next.len() {
            bits.put(0, 1);
        }
        bits.put_below(0, 2).put(0, 1);
        DependencyDescriptor::parse(&bits.bytes())
    };
    assert!(with_layers(&[2, 2, 2]).is_some() && with_layers(&[2, 2, 2, 2]).is_none(), "four spatial layers");
    assert!(with_layers(&[1; 7]).is_some() && with_layers(&[1; 8]).is_none(), "eight temporal layers");
    assert!(with_layers(&[0; 63]).is_some() && with_layers(&[0; 64]).is_none(), "64 templates");
}

proptest! {
    #[test]
    fn any_element_is_read(
        value in proptest::collection::vec(any::<u8>(), 0..256),
        cut in 0usize..80, flips in proptest::collection::vec((0usize..60, any::<u8>()), 0..4),
    ) {
        DependencyDescriptor::parse(&value);
        let mut near = keyframe(62);
        flips.into_iter().for_each(|(at, flip)| if let Some(byte) = near.get_mut(at) { *byte ^= flip });
        near.truncate(cut);
        if let Some(DependencyDescriptor { structure: Some(structure), template_id, .. }) = DependencyDescriptor::parse(&near) {
            prop_assert!(structure.layers(template_id).is_some());
            for id in 0..=255 {
                structure.indication(id, id);
            }
        }
    }

    #[test]
    fn values_below_a_limit_survive((limit, value) in (1u32..40).prop_flat_map(|limit| (Just(limit), 0..limit))) {
        let bytes = Writer::default().put_below(value, limit).put(0, 8).bytes();
        prop_assert_eq!(Bits { bytes: &bytes, at: 0 }.take_below(limit), Some(value));
    }
}
