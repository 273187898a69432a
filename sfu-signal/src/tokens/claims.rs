//! The claims of a token, from the shapes in which other people's libraries write them.
//!
//! Invariants:
//! - `null` is as absent, at every level: LiveKit's Ruby SDK writes each claim that was not set as `null`.
//! - An empty list is an empty object where an object belongs: PHP has one kind of array for both.
//! - A date is any JSON number (RFC 7519 section 2, NumericDate); fractions are cut off, what lies before 1970 is 1970.
//! - An error names the claim and what it must be.

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Claims;
use crate::error::{ErrorCode, SignalError};

/// Claims that are objects.
const OBJECTS: [&str; 2] = ["video", "attributes"];

/// Reads the claims of a token whose signature was checked.
pub(super) fn read(mut claims: Value) -> Result<Claims, SignalError> {
    drop_nulls(&mut claims);
    let Value::Object(object) = &mut claims else {
        return Err(SignalError::new(ErrorCode::TokenInvalid, "the token's claims are no JSON object"));
    };
    object.retain(|name, value| !(OBJECTS.contains(&name.as_str()) && value.as_array().is_some_and(Vec::is_empty)));
    if !object.contains_key("exp") {
        return Err(SignalError::new(ErrorCode::TokenInvalid, "the token has no claim exp: it must expire"));
    }
    serde_path_to_error::deserialize(claims).map_err(|error| {
        SignalError::new(ErrorCode::TokenInvalid, format!("the claim {}: {}", error.path(), error.inner()))
    })
}

/// The depth is bounded by that of `serde_json`'s reader.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, value| !value.is_null());
            object.values_mut().for_each(drop_nulls);
        }
        Value::Array(list) => list.retain(|value| !value.is_null()),
        _ => {}
    }
}

/// Seconds of Unix time.
pub(super) fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = match Value::deserialize(deserializer)? {
        Value::Number(number) => number,
        other => return Err(D::Error::custom(format!("seconds since 1970 as a number, not {other}"))),
    };
    // A cast from a float saturates, at 0 for what is negative.
    Ok(number.as_u64().unwrap_or_else(|| number.as_f64().unwrap_or_default() as u64))
}

pub(super) fn optional_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    date(deserializer).map(Some)
}

/// The names of sources. Numbers are those of `TrackSource` in LiveKit's protocol.
pub(super) fn sources<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize, Serialize)]
    #[serde(untagged)]
    enum Source {
        Name(String),
        Number(u64),
    }
    let name = |source| match source {
        Source::Name(name) => name,
        Source::Number(1) => "camera".to_owned(),
        Source::Number(2) => "microphone".to_owned(),
        Source::Number(3) => "screen_share".to_owned(),
        Source::Number(4) => "screen_share_audio".to_owned(),
        Source::Number(other) => other.to_string(),
    };
    let list = Vec::<Source>::deserialize(deserializer)
        .map_err(|_| D::Error::custom("a list of sources, e.g. [\"camera\", \"microphone\"]"))?;
    Ok(list.into_iter().map(name).collect())
}
