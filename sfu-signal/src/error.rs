//! One list of stable error codes for WebSocket, HTTP and SDK.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Stable for programs; docs/errors.md is generated from this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// The message is not what docs/protocol.md describes.
    BadRequest,
}
