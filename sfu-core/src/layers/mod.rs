//! Layers: the choices that a publisher gives its subscribers, and who gets which.
//!
//! A layer is named in one way for all codecs: which simulcast encoding (by its place among the m-line's RIDs), which
//! spatial layer of it (VP9 and AV1 SVC), which temporal layer. Higher is better, and a layer includes those below it
//! within its encoding.

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
