//! One list of stable error codes for WebSocket, HTTP and SDK; docs/errors.md is generated from it.
//!
//! A code never changes its meaning. Texts may: they are for people. The code alone decides the HTTP status and whether
//! the same request may work later.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sfu_core::control::ControlError;
use ts_rs::TS;

use crate::protocol::WireError;

macro_rules! error_codes {
    ($($name:ident $text:literal $status:literal $retryable:literal $doc:literal;)*) => {
        /// Stable for programs; docs/errors.md lists all with their HTTP status.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, TS)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum ErrorCode {
            $(#[doc = $doc] $name,)*
        }

        impl ErrorCode {
            /// Every code, in the order of docs/errors.md.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The text that travels.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The HTTP status of an answer with this code.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// Whether the same request may work later.
            pub const fn retryable(self) -> bool {
                match self { $(Self::$name => $retryable,)* }
            }

            const fn doc(self) -> &'static str {
                match self { $(Self::$name => $doc,)* }
            }
        }
    };
}

error_codes! {
    BadRequest "bad_request" 400 false "The message or request is not what docs/protocol.md describes.";
    UnsupportedProtocol "unsupported_protocol" 400 false "The server does not speak the client's protocol version.";
    NotJoined "not_joined" 400 false "The first message of a WebSocket must be `join` or `resume`.";
    AlreadyJoined "already_joined" 409 false "This WebSocket has joined already.";
    JoinTimeout "join_timeout" 408 true "No `join` or `resume` came in time after the WebSocket opened.";
    TokenMissing "token_missing" 401 false "No token in `Authorization: Bearer`, `Sec-WebSocket-Protocol` or `?access_token=`.";
    TokenInvalid "token_invalid" 401 false "The token cannot be read, or its signature is not that of its key.";
    TokenExpired "token_expired" 401 false "The token's `exp` has passed.";
    TokenNotYetValid "token_not_yet_valid" 401 true "The token's `nbf` lies ahead.";
    TokenUnknownKey "token_unknown_key" 401 false "No API key has the token's `iss`.";
    PermissionDenied "permission_denied" 403 false "The token is valid and does not grant this.";
    WrongRoom "wrong_room" 403 false "The token is valid for another room.";
    OriginNotAllowed "origin_not_allowed" 403 false "The page's origin is not in `http.allowed_origins`.";
    RoomNotFound "room_not_found" 404 true "There is no such room, and it may not be created on join.";
    NotFound "not_found" 404 false "No such participant, track or resource.";
    SessionGone "session_gone" 404 false "No session to resume: unknown, ended, or another secret. Join anew.";
    RoomFull "room_full" 409 true "The room has as many participants as it may have.";
    TooManyTracks "too_many_tracks" 409 false "The participant has as many tracks as it may have.";
    MidUnusable "mid_unusable" 409 false "The m-line does not exist, does not send, or another track uses it.";
    KindMismatch "kind_mismatch" 400 false "The m-line is not of the track's kind.";
    SlotLayout "slot_layout" 400 false "The slot layout does not fit the offer, or took a slot away.";
    SdpMalformed "sdp_malformed" 400 false "The offer cannot be read.";
    SdpTooLarge "sdp_too_large" 413 false "The offer has too many bytes.";
    SdpTooManyMedia "sdp_too_many_media" 413 false "The offer has too many m-lines.";
    SdpTooManyStreams "sdp_too_many_streams" 413 false "The offer names too many SSRCs or encodings.";
    SdpNoMedia "sdp_no_media" 400 false "The offer has no m-line.";
    SdpUnsupportedMedia "sdp_unsupported_media" 400 false "An m-line is neither audio, video nor a data channel of WebRTC.";
    SdpNothingInCommon "sdp_nothing_in_common" 400 false "No m-line has a codec that the server knows.";
    SdpNoBundle "sdp_no_bundle" 400 false "The offer does not bundle its m-lines.";
    SdpNoRtcpMux "sdp_no_rtcp_mux" 400 false "The offer does not multiplex RTCP.";
    SdpNoIce "sdp_no_ice" 400 false "The offer has no ICE credentials.";
    SdpIceLite "sdp_ice_lite" 400 false "The client is ICE-lite, and so is the server.";
    SdpNoFingerprint "sdp_no_fingerprint" 400 false "The offer has no SHA-256 fingerprint.";
    SdpFingerprintHash "sdp_fingerprint_hash" 400 false "The offer's fingerprint is not of SHA-256.";
    SdpFingerprintChanged "sdp_fingerprint_changed" 400 false "A further offer has another fingerprint.";
    SdpSetup "sdp_setup" 400 false "The offer's `a=setup` leaves no DTLS role to the server, or not the one that it has.";
    SdpMediaOrder "sdp_media_order" 400 false "A further offer removed or changed m-lines.";
    SdpMidMissing "sdp_mid_missing" 400 false "An m-line has no MID.";
    SdpMidDuplicate "sdp_mid_duplicate" 400 false "Two m-lines of the offer have one MID.";
    SdpContradiction "sdp_contradiction" 400 false "The offer contradicts itself or an earlier one.";
    RequestTimeout "request_timeout" 408 true "The body of the request did not arrive in time.";
    MessageTooLarge "message_too_large" 413 false "The message or body has too many bytes.";
    UnsupportedMediaType "unsupported_media_type" 415 false "The body's Content-Type is not the one expected here.";
    MethodNotAllowed "method_not_allowed" 405 false "The resource does not know this method.";
    PreconditionRequired "precondition_required" 428 false "A PATCH needs `If-Match` with the resource's `ETag`, or `*`.";
    PreconditionFailed "precondition_failed" 412 false "The `If-Match` is not the resource's `ETag`.";
    IceRestartUnsupported "ice_restart_unsupported" 422 false "WHIP and WHEP resources cannot restart ICE: make another.";
    UpgradeRequired "upgrade_required" 426 false "The token is good; this address wants a WebSocket.";
    RateLimited "rate_limited" 429 true "Too many messages or requests per second; this one was not handled.";
    TooManyConnections "too_many_connections" 429 true "The client's address has as many connections as it may have.";
    ServerBusy "server_busy" 503 true "The server has too much to do right now.";
    ShuttingDown "shutting_down" 503 true "The server stops. Another may take the client.";
    MediaTimeout "media_timeout" 504 true "The media plane did not answer in time.";
    MediaRestarted "media_restarted" 503 true "The media thread of the room failed and began anew. Try again at once.";
    Internal "internal" 500 true "A fault of the server.";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ErrorCode {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text).ok_or(UnknownCode)
    }
}

/// The text is no error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such error code")]
pub struct UnknownCode;

/// A request that failed: a code for programs and a text for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct SignalError {
    /// What happened.
    pub code: ErrorCode,
    /// What to do about it. Never holds a token or a secret.
    pub message: String,
}

impl SignalError {
    /// An error with a text of its own.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<ErrorCode> for SignalError {
    fn from(code: ErrorCode) -> Self {
        Self::new(code, code.doc())
    }
}

impl From<SignalError> for WireError {
    fn from(error: SignalError) -> Self {
        Self { code: error.code, message: error.message, retryable: error.code.retryable() }
    }
}

impl From<ControlError> for SignalError {
    fn from(error: ControlError) -> Self {
        let code = match &error {
            ControlError::Gone => ErrorCode::NotFound,
            ControlError::AlreadyJoined => ErrorCode::AlreadyJoined,
            ControlError::Overloaded => ErrorCode::ServerBusy,
            ControlError::Negotiation(cause) => return crate::negotiation::refused(cause),
            ControlError::SlotLayout(_) => ErrorCode::SlotLayout,
            ControlError::NoSuchMid(_) => ErrorCode::MidUnusable,
            ControlError::KindMismatch(_) => ErrorCode::KindMismatch,
            _ => ErrorCode::Internal,
        };
        Self::new(code, error.to_string())
    }
}

/// docs/errors.md, whole.
pub fn errors_page() -> String {
    let mut page = String::from(
        "# Errors\n\n\
         Every error, on WebSocket and HTTP alike, is `{code, message, retryable}`. The code is stable, the message is for people.\n\
         A retryable error may go away by itself: the same request may work later.\n\n\
         This page is generated from `sfu-signal/src/error.rs` (`UPDATE_GOLDEN=1 cargo test -p sfu-signal errors_page`).\n\n\
         | Code | HTTP | Retryable | Meaning |\n|---|---|---|---|\n",
    );
    for code in ErrorCode::ALL {
        let retryable = if code.retryable() { "yes" } else { "no" };
        page += &format!("| `{code}` | {} | {retryable} | {} |\n", code.status(), code.doc());
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_travel_as_their_text() {
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert_eq!(code.as_str().parse(), Ok(*code));
        }
    }
}
