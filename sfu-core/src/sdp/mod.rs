//! Session descriptions: a client's offer in, our answer out (RFC 8866, RFC 8829, RFC 9143).
//!
//! The server never offers. [`Offer::parse`] turns text into what we understand of it, or a typed error;
//! [`Negotiator::answer`] decides and keeps what must stay the same across offers; `Display` of [`Answer`] writes it.
//!
//! Invariants: an answer has the offer's m-lines in their order; a failed offer leaves the negotiator as it was;
//! payload types and extension ids of an answer are the offer's.

mod answer;
mod attributes;
mod bundle;
mod codec;
mod error;
mod extmap;
mod fmtp;
mod ice;
mod limits;
mod negotiator;
mod offer;
mod payload;
mod section;
mod simulcast;
mod value;

pub use answer::{Answer, AnswerMedia, MAX_MESSAGE_SIZE, SendStream};
pub use codec::{Codec, H264Profile};
pub use error::NegotiationError;
pub use extmap::OfferedExtension;
pub use ice::{Candidate, Fingerprint, IceCredentials};
pub use limits::{MAX_CODECS, MAX_MEDIA, OfferLimits};
pub use negotiator::Negotiator;
pub use offer::Offer;
pub use payload::{NegotiatedCodec, RedFormat};
pub use section::{MediaWire, OfferMedia};
pub use simulcast::OfferedRid;
pub use value::{Direction, Feedback, MediaKind, Setup};
