//! Layers: the choices that a publisher gives its subscribers, and who gets which.
//!
//! A layer is named in one way for all codecs: which simulcast encoding (by its place among the m-line's RIDs), which
//! spatial layer of it (VP9 and AV1 SVC), which temporal layer. Higher is better, and a layer includes those below it
//! within its encoding.
//!
//! [`FrameReader`] tells of each packet what it is part of, once; a [`Meter`] what the layers cost; a [`Selector`], one per
//! subscription, which packets are taken.

mod frame;
mod meter;
mod selector;

pub use frame::{Arrived, Frame, FrameReader};
pub use meter::Meter;
pub use selector::{Choice, Flows, Selector};

use crate::control::Size;
use crate::unit::Bitrate;

/// Simulcast encodings of an m-line: as many as are answered, received, chosen from and reported on. Browsers send at most three.
pub const MAX_ENCODINGS: usize = 4;

/// Spatial layers of an encoding; higher ones count as the highest.
pub const MAX_SPATIAL: usize = 4;

/// Temporal layers of an encoding; higher ones count as the highest.
pub const MAX_TEMPORAL: usize = 4;

/// A choice of what to forward of a publication. The derived order is the order of quality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Layer {
    /// The encoding's place among its m-line's, 0 the smallest.
    pub encoding: u8,
    /// 0: the smallest picture.
    pub spatial: u8,
    /// 0: the lowest frame rate.
    pub temporal: u8,
}

impl Layer {
    /// The best that there is.
    pub const BEST: Self = Self { encoding: u8::MAX, spatial: u8::MAX, temporal: u8::MAX };
}

/// A layer that a publisher sends, or sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerOffer {
    pub layer: Layer,
    /// Over the last second, with the layers below it in the same encoding; whole RTP packets.
    pub bitrate: Bitrate,
    /// Where the stream says it.
    pub size: Option<Size>,
    /// Frames per second.
    pub fps: Option<f32>,
    /// It is sent now. The figures of one that is not are its last.
    pub flows: bool,
}
