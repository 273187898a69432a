//! From a client's SDP text to a [`Negotiation`] of the media plane, within limits.

use sfu_core::control::{Negotiation, SlotLines};
use sfu_core::id::Mid;
use sfu_core::sdp::{MAX_MEDIA, NegotiationError, Offer, OfferLimits};

use crate::config::Limits;
use crate::error::{ErrorCode, SignalError};
use crate::protocol::{SlotLayout, SlotRole};

/// Reads an offer and the slot layout that belongs to it.
pub(crate) fn negotiation(offer: &str, slots: &[SlotLayout], limits: &Limits) -> Result<Negotiation, SignalError> {
    let offer = parse_offer(offer, limits)?;
    if slots.len() > limits.media_per_offer.min(MAX_MEDIA) {
        return Err(SignalError::new(ErrorCode::SlotLayout, "more slots than an offer may have m-lines"));
    }
    let slots = slots.iter().map(slot_lines).collect::<Result<Vec<_>, _>>()?;
    Ok(Negotiation { offer: Box::new(offer), slots })
}

/// Reads an offer.
pub(crate) fn parse_offer(text: &str, limits: &Limits) -> Result<Offer, SignalError> {
    let limits = OfferLimits { max_bytes: limits.sdp_bytes, max_media: limits.media_per_offer };
    Offer::parse(text, &limits).map_err(|error| refused(&error))
}

/// The error of an offer that cannot be answered.
pub(crate) fn refused(error: &NegotiationError) -> SignalError {
    let code = error.code().parse().unwrap_or(ErrorCode::SdpMalformed);
    SignalError::new(code, error.to_string())
}

fn slot_lines(layout: &SlotLayout) -> Result<SlotLines, SignalError> {
    if layout.audio.is_none() && layout.video.is_none() {
        return Err(SignalError::new(ErrorCode::SlotLayout, "a slot needs an m-line"));
    }
    Ok(SlotLines {
        role: match layout.role {
            SlotRole::Pair => sfu_core::control::SlotRole::Pair,
            SlotRole::Screen => sfu_core::control::SlotRole::Screen,
            SlotRole::Audio => sfu_core::control::SlotRole::Audio,
        },
        audio: layout.audio.as_deref().map(mid).transpose()?,
        video: layout.video.as_deref().map(mid).transpose()?,
    })
}

/// A MID of a message.
pub(crate) fn mid(text: &str) -> Result<Mid, SignalError> {
    Mid::new(text).ok_or_else(|| SignalError::new(ErrorCode::BadRequest, "a mid is 1 to 16 visible ASCII characters"))
}
