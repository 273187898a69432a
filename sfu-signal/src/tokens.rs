//! Access tokens: JWTs signed by HS256 with LiveKit's claims and LiveKit's defaults, because people have code that mints them.
//!
//! `iss` names the API key, so that several keys live at once. Claims that we do not know are ignored. A token is never
//! logged: [`Keyring`] and errors do not hold it. How claims are read, whichever library wrote them, is in [`claims`].

mod claims;

use std::collections::BTreeMap;
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::Keys;
use crate::error::{ErrorCode, SignalError};
use crate::protocol::{Permissions, TrackSource};

/// A token is a header line: longer ones are refused unread.
const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// The shortest secret that HS256 may have (RFC 7518 section 3.2).
pub const MIN_SECRET_BYTES: usize = 32;
const MAX_NAME_BYTES: usize = 256;

/// The claims of a token.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Claims {
    /// The API key's id.
    pub iss: String,
    /// The identity.
    pub sub: String,
    /// Not before, in seconds of Unix time.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "claims::optional_date")]
    pub nbf: Option<u64>,
    /// Expiry, in seconds of Unix time. Required.
    #[serde(deserialize_with = "claims::date")]
    pub exp: u64,
    /// The display name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Free text of the application.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub metadata: String,
    /// Key and value of the application.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// What the token grants.
    pub video: VideoGrant,
}

/// LiveKit's `video` grant. Absent booleans are false, except that who may join may publish, subscribe and send data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VideoGrant {
    /// May join `room`.
    #[serde(skip_serializing_if = "is_false")]
    pub room_join: bool,
    /// The room's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub room: String,
    /// May publish tracks. Absent: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish: Option<bool>,
    /// Only these sources, by their names or by the numbers of LiveKit's protocol. Absent or empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "claims::sources")]
    pub can_publish_sources: Vec<String>,
    /// Receives others' tracks. Absent: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_subscribe: Option<bool>,
    /// May send data. Absent: as `can_publish`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish_data: Option<bool>,
    /// May change its own name, metadata and attributes. Absent: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_update_own_metadata: Option<bool>,
    /// May administer `room`.
    #[serde(skip_serializing_if = "is_false")]
    pub room_admin: bool,
    /// May create rooms.
    #[serde(skip_serializing_if = "is_false")]
    pub room_create: bool,
    /// May list rooms.
    #[serde(skip_serializing_if = "is_false")]
    pub room_list: bool,
    /// Others do not see this participant; it publishes nothing.
    #[serde(skip_serializing_if = "is_false")]
    pub hidden: bool,
    /// Records the room.
    #[serde(skip_serializing_if = "is_false")]
    pub recorder: bool,
}

const fn is_false(value: &bool) -> bool {
    !*value
}

impl VideoGrant {
    /// What the grant allows, with defaults filled in.
    pub fn permissions(&self) -> Permissions {
        let known: Vec<_> = self.can_publish_sources.iter().filter_map(|source| parse_source(source)).collect();
        // A list that names only sources we do not know allows none of ours: it must not read as "all".
        let none_known = known.is_empty() && !self.can_publish_sources.is_empty();
        let can_publish = self.can_publish.unwrap_or(true) && !self.hidden;
        Permissions {
            can_publish: can_publish && !none_known,
            can_publish_sources: known,
            can_subscribe: self.can_subscribe.unwrap_or(true),
            can_publish_data: self.can_publish_data.unwrap_or(can_publish),
            can_update_own_metadata: self.can_update_own_metadata.unwrap_or(false),
        }
    }
}

fn parse_source(text: &str) -> Option<TrackSource> {
    match text.to_ascii_lowercase().as_str() {
        "camera" => Some(TrackSource::Camera),
        "microphone" => Some(TrackSource::Microphone),
        "screen_share" => Some(TrackSource::ScreenShare),
        "screen_share_audio" => Some(TrackSource::ScreenShareAudio),
        _ => None,
    }
}

impl Claims {
    /// Checks that the token lets its bearer join a room, and returns that room's name.
    pub fn joinable_room(&self) -> Result<&str, SignalError> {
        if !self.video.room_join {
            return Err(SignalError::new(ErrorCode::PermissionDenied, "the token does not grant roomJoin"));
        }
        if self.sub.is_empty() || self.sub.len() > MAX_NAME_BYTES || self.name.len() > MAX_NAME_BYTES {
            return Err(SignalError::new(ErrorCode::PermissionDenied, "the token's sub must have 1 to 256 bytes"));
        }
        match self.video.room.as_str() {
            "" => Err(SignalError::new(ErrorCode::PermissionDenied, "the token names no room")),
            room if room.len() > MAX_NAME_BYTES => {
                Err(SignalError::new(ErrorCode::PermissionDenied, "the room's name is longer than 256 bytes"))
            }
            room => Ok(room),
        }
    }

    /// Checks that the token lets its bearer administer this very room.
    pub fn administers(&self, room: &str) -> Result<(), SignalError> {
        if !self.video.room_admin {
            return Err(SignalError::new(ErrorCode::PermissionDenied, "the token does not grant roomAdmin"));
        }
        if self.video.room != room || room.is_empty() {
            return Err(ErrorCode::WrongRoom.into());
        }
        Ok(())
    }
}

/// The API keys, ready for use.
pub struct Keyring {
    keys: BTreeMap<String, (EncodingKey, DecodingKey)>,
    leeway: Duration,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.keys.keys()).finish()
    }
}

/// Whether `exp` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// An expired token is refused.
    Enforced,
    /// An expired token still shows who its bearer was: enough to end what it began.
    Ignored,
}

impl Keyring {
    /// The keys of a configuration. The clocks of those that mint and verify tokens differ by `leeway` at most.
    pub fn new(keys: &Keys, leeway: Duration) -> Self {
        let pair = |secret: &String| {
            (EncodingKey::from_secret(secret.as_bytes()), DecodingKey::from_secret(secret.as_bytes()))
        };
        Self { keys: keys.0.iter().map(|(id, secret)| (id.clone(), pair(secret))).collect(), leeway }
    }

    /// The id of the first key, for the tokens that the server mints in dev mode.
    pub fn first(&self) -> Option<&str> {
        self.keys.keys().next().map(String::as_str)
    }

    /// Signs `claims` by the key that their `iss` names.
    pub fn mint(&self, claims: &Claims) -> Result<String, SignalError> {
        let (key, _) = self.keys.get(&claims.iss).ok_or(ErrorCode::TokenUnknownKey)?;
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, key)
            .map_err(|error| SignalError::new(ErrorCode::Internal, format!("cannot sign: {error}")))
    }

    /// Reads a token and checks its signature and times.
    pub fn verify(&self, token: &str) -> Result<Claims, SignalError> {
        self.verify_with(token, Expiry::Enforced)
    }

    /// The same, for requests that an expired token may still make.
    pub fn verify_with(&self, token: &str, expiry: Expiry) -> Result<Claims, SignalError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(SignalError::new(ErrorCode::TokenInvalid, "the token is too long"));
        }
        let (_, key) = self.keys.get(&issuer(token)?).ok_or(ErrorCode::TokenUnknownKey)?;
        // Times are checked on the claims as we read them: the library's own check takes `null` for a malformed claim.
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_required_spec_claims::<&str>(&[]);
        validation.validate_aud = false;
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Value>(token, key, &validation).map_err(|error| refusal(&error))?.claims;
        let claims = claims::read(claims)?;
        self.check_times(&claims, expiry, unix_now().as_secs())?;
        Ok(claims)
    }

    fn check_times(&self, claims: &Claims, expiry: Expiry, now: u64) -> Result<(), SignalError> {
        let leeway = self.leeway.as_secs();
        if expiry == Expiry::Enforced && claims.exp.saturating_add(leeway) < now {
            return Err(ErrorCode::TokenExpired.into());
        }
        if claims.nbf.is_some_and(|nbf| nbf > now.saturating_add(leeway)) {
            return Err(ErrorCode::TokenNotYetValid.into());
        }
        Ok(())
    }
}

/// The key id that a token claims, before its signature is checked.
fn issuer(token: &str) -> Result<String, SignalError> {
    let claims = jsonwebtoken::dangerous::insecure_decode_claims::<Value>(token).map_err(|_| {
        SignalError::new(ErrorCode::TokenInvalid, "the token is not a JWT of three parts with JSON in them")
    })?;
    match claims.get("iss") {
        Some(Value::String(iss)) => Ok(iss.clone()),
        None | Some(Value::Null) => {
            Err(SignalError::new(ErrorCode::TokenInvalid, "the token has no claim iss: it names the API key"))
        }
        Some(_) => Err(SignalError::new(ErrorCode::TokenInvalid, "the claim iss is no text: it names the API key")),
    }
}

fn refusal(error: &jsonwebtoken::errors::Error) -> SignalError {
    let text = match error.kind() {
        ErrorKind::InvalidSignature => "the signature is not that of the key named by iss",
        ErrorKind::InvalidAlgorithm | ErrorKind::MissingAlgorithm => "the token must be signed by HS256",
        _ => "the token's header is not that of a JWT",
    };
    SignalError::new(ErrorCode::TokenInvalid, text)
}

/// The time for `nbf` and `exp`.
pub fn unix_now() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests;
