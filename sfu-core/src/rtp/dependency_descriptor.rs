//! The dependency descriptor header extension (AV1 RTP specification, appendix A).
//!
//! It tells which layers a frame belongs to without a look at the payload, which end-to-end encryption hides. A keyframe
//! carries a [`Structure`] with templates; the frames after it name a template, so that a reader must keep the last
//! structure of the stream. [`DependencyDescriptor::parse`] needs no structure for what every descriptor says (where frames
//! start and end, their numbers, whether a structure is attached); [`Structure::layers`] adds the layers, and
//! [`Structure::references`] what the frame refers to.
//!
//! Chains are stepped over: what was forwarded is known by layer. Of a forwarded descriptor the frame number is rewritten
//! and the active decode targets are told ([`rewrite`]); the dependencies, being differences, stay right. Every loop is
//! bounded by the extension's 255 bytes.

mod rewrite;

pub use rewrite::{MAX_LEN, rewrite};

use arrayvec::ArrayVec;

/// Templates are named by six bits.
const MAX_TEMPLATES: usize = 64;
/// Spatial layers are counted by two bits (section A.4).
const MAX_SPATIAL: u8 = 3;
/// Temporal layers are counted by three bits (section A.4).
const MAX_TEMPORAL: u8 = 7;

/// What a packet's descriptor says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DependencyDescriptor {
    /// The first packet of a frame.
    pub start_of_frame: bool,
    /// The last packet of a frame.
    pub end_of_frame: bool,
    /// Which template describes the frame, 0 to 63; see [`Structure::layers`].
    pub template_id: u8,
    /// Rises by one per frame.
    pub frame_number: u16,
    /// A new structure: the frame is a keyframe.
    pub structure: Option<Structure>,
    /// What the frame says instead of its template.
    custom: Custom,
}

/// Which parts of the frame's definition replace its template's, and where they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Custom {
    indications: bool,
    references: bool,
    /// The active decode targets are told; they stand before the definition.
    targets: bool,
    /// The bit after the flags and the structure.
    at: u16,
}

/// The layers of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Layers {
    /// 0 is the smallest picture.
    pub spatial: u8,
    /// 0 is the lowest frame rate.
    pub temporal: u8,
}

/// What a frame is to a decode target (section A.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Indication {
    /// Not part of it.
    NotPresent,
    /// No later frame of the target needs it.
    Discardable,
    /// The target can be joined here.
    Switch,
    /// Later frames of the target may need it.
    Required,
}

/// A kind of frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Template {
    layers: Layers,
    /// Two bits per decode target, the first target lowest.
    indications: u64,
    /// Bit `n`: refers to the frame `n + 1` before.
    references: u16,
}

/// The kinds of frames that a stream is made of, until the next keyframe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Structure {
    id_offset: u8,
    decode_targets: u8,
    templates: ArrayVec<Template, MAX_TEMPLATES>,
    /// Width and height per spatial layer, where the sender says so.
    resolutions: ArrayVec<(u32, u32), { MAX_SPATIAL as usize + 1 }>,
}

impl DependencyDescriptor {
    /// Reads the element; `None` if it is cut short or contradicts itself.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut bits = Bits { bytes: value, at: 0 };
        let start_of_frame = bits.flag()?;
        let end_of_frame = bits.flag()?;
        let template_id = bits.take(6)? as u8;
        let frame_number = bits.take(16)? as u16;
        // Three bytes are the short form. In the long one five flags follow.
        let flags = if value.len() > 3 { bits.take(5)? } else { 0 };
        let structure = if flags & 0x10 != 0 { Some(Structure::parse(&mut bits)?) } else { None };
        if structure.as_ref().is_some_and(|structure| structure.layers(template_id).is_none()) {
            return None;
        }
        let custom = Custom {
            targets: flags & 8 != 0,
            indications: flags & 4 != 0,
            references: flags & 2 != 0,
            at: bits.at as u16,
        };
        Some(Self { start_of_frame, end_of_frame, template_id, frame_number, structure, custom })
    }

    /// Whether a decoder can start here.
    pub const fn is_keyframe_start(&self) -> bool {
        self.start_of_frame && self.structure.is_some()
    }
}

impl Structure {
    fn parse(bits: &mut Bits<'_>) -> Option<Self> {
        let id_offset = bits.take(6)? as u8;
        let decode_targets = bits.take(5)? as u8 + 1;
        let mut templates = read_layers(bits)?;
        for template in &mut templates {
            for target in 0..decode_targets {
                template.indications |= u64::from(bits.take(2)?) << (2 * target);
            }
        }
        for template in &mut templates {
            // Frame differences: a flag before each says that there is one more.
            while bits.flag()? {
                template.references |= 1 << bits.take(4)?;
            }
        }
        skip_chains(bits, decode_targets, templates.len())?;
        let spatial = templates.last().map_or(0, |template| template.layers.spatial);
        let resolutions = if bits.flag()? { read_resolutions(bits, spatial)? } else { ArrayVec::new() };
        Some(Self { id_offset, decode_targets, templates, resolutions })
    }

    /// The layers of frames with this template id, if there is such a template.
    pub fn layers(&self, template_id: u8) -> Option<Layers> {
        self.template(template_id).map(|template| template.layers)
    }

    /// What frames with this template id are to a decode target, unless the frame says otherwise itself.
    pub fn indication(&self, template_id: u8, decode_target: u8) -> Option<Indication> {
        let template = self.template(template_id).filter(|_| decode_target < self.decode_targets)?;
        Some(match (template.indications >> (2 * decode_target)) & 3 {
            0 => Indication::NotPresent,
            1 => Indication::Discardable,
            2 => Indication::Switch,
            _ => Indication::Required,
        })
    }

    /// Calls `refer` with how many frames before it each frame is that the one with `descriptor`, read from `value`,
    /// refers to. False: there is no such template, or the descriptor is cut short; what was called is then in part.
    pub fn references(&self, descriptor: &DependencyDescriptor, value: &[u8], mut refer: impl FnMut(u16)) -> bool {
        let Some(template) = self.template(descriptor.template_id) else { return false };
        if !descriptor.custom.references {
            (0..16).filter(|bit| template.references & (1 << bit) != 0).for_each(|bit| refer(bit + 1));
            return true;
        }
        self.read_custom_references(descriptor, value, refer).is_some()
    }

    fn read_custom_references(
        &self,
        descriptor: &DependencyDescriptor,
        value: &[u8],
        mut refer: impl FnMut(u16),
    ) -> Option<()> {
        let Custom { indications, targets, at, .. } = descriptor.custom;
        let skipped = usize::from(self.decode_targets) * (usize::from(targets) + 2 * usize::from(indications));
        let mut bits = Bits { bytes: value, at: usize::from(at) + skipped };
        // The size of each in half bytes goes before it; 0 ends the list.
        while let size @ 1.. = bits.take(2)? {
            refer(bits.take(4 * size)? as u16 + 1);
        }
        Some(())
    }

    /// The decode targets, lowest bit first, all of whose frames are within `layers`.
    pub fn targets_within(&self, layers: Layers) -> u32 {
        let outside = |template: &&Template| {
            template.layers.spatial > layers.spatial || template.layers.temporal > layers.temporal
        };
        let needed = self.templates.iter().filter(outside).fold(0, |bits, template| bits | template.indications);
        (0..self.decode_targets)
            .filter(|target| (needed >> (2 * target)) & 3 == 0)
            .fold(0, |mask, target| mask | 1 << target)
    }

    /// The number of decode targets, 1 to 32: the choices that a receiver has.
    pub const fn decode_targets(&self) -> u8 {
        self.decode_targets
    }

    /// The highest layers that any frame has.
    pub fn max_layers(&self) -> Layers {
        let layers = self.templates.iter().map(|template| template.layers);
        layers.fold(Layers { spatial: 0, temporal: 0 }, |max, layers| Layers {
            spatial: max.spatial.max(layers.spatial),
            temporal: max.temporal.max(layers.temporal),
        })
    }

    /// Width and height of each spatial layer from the lowest, or nothing if the sender does not say.
    pub fn resolutions(&self) -> &[(u32, u32)] {
        &self.resolutions
    }

    fn template(&self, template_id: u8) -> Option<&Template> {
        let index = (template_id & 63).wrapping_sub(self.id_offset) & 63;
        self.templates.get(usize::from(index))
    }
}

/// Every template says how the next one's layers differ.
fn read_layers(bits: &mut Bits<'_>) -> Option<ArrayVec<Template, MAX_TEMPLATES>> {
    let mut templates = ArrayVec::new();
    let mut layers = Layers { spatial: 0, temporal: 0 };
    loop {
        templates.try_push(Template { layers, indications: 0, references: 0 }).ok()?;
        layers = match bits.take(2)? {
            0 => layers,
            1 => Layers { temporal: layers.temporal + 1, ..layers },
            2 => Layers { spatial: layers.spatial + 1, temporal: 0 },
            _ => return Some(templates),
        };
        if layers.spatial > MAX_SPATIAL || layers.temporal > MAX_TEMPORAL {
            return None;
        }
    }
}

fn skip_chains(bits: &mut Bits<'_>, decode_targets: u8, templates: usize) -> Option<()> {
    let chains = bits.take_below(u32::from(decode_targets) + 1)?;
    if chains == 0 {
        return Some(());
    }
    for _ in 0..decode_targets {
        bits.take_below(chains)?;
    }
    (0..templates as u32 * chains).try_for_each(|_| bits.take(4).map(drop))
}

fn read_resolutions(
    bits: &mut Bits<'_>,
    max_spatial: u8,
) -> Option<ArrayVec<(u32, u32), { MAX_SPATIAL as usize + 1 }>> {
    let mut resolutions = ArrayVec::new();
    for _ in 0..=max_spatial {
        let (width, height) = (bits.take(16)? + 1, bits.take(16)? + 1);
        resolutions.try_push((width, height)).ok()?;
    }
    Some(resolutions)
}

/// Reads bits from the most significant one.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte & (0x80 >> (self.at % 8)) != 0;
        self.at += 1;
        Some(bit)
    }

    /// `f(count)`: at most 32 bits.
    fn take(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |value, _| Some((value << 1) | u32::from(self.flag()?)))
    }

    /// `ns(limit)`: a value below `limit`, which is at least 1. Low values take a bit less.
    fn take_below(&mut self, limit: u32) -> Option<u32> {
        let width = u32::BITS - limit.leading_zeros();
        let short = (1 << width) - limit;
        let value = self.take(width - 1)?;
        if value < short {
            return Some(value);
        }
        Some(((value << 1) | self.take(1)?) - short)
    }
}

#[cfg(test)]
mod tests;
