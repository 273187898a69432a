//! Access tokens, minted here so that a run needs no token server: HS256 over LiveKit's claims.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

/// How long a token is good for, in seconds: longer than any run.
const LIFE: u64 = 24 * 3600;

/// An API key and the room that its tokens are for.
#[derive(Clone)]
pub struct TokenMint {
    /// The key's id, which becomes `iss`.
    pub key: String,
    /// The key's secret.
    pub secret: String,
    /// The room.
    pub room: String,
}

/// What a token lets its bearer do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sends and receives nothing.
    Publisher,
    /// Receives and sends nothing.
    Viewer,
    /// Does both.
    Participant,
    /// Does both, sends on data channels, and says things of itself.
    Member,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    nbf: u64,
    exp: u64,
    video: Grant<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Grant<'a> {
    room_join: bool,
    room: &'a str,
    can_publish: bool,
    can_subscribe: bool,
    can_publish_data: bool,
    can_update_own_metadata: bool,
}

impl TokenMint {
    /// A token for one participant.
    pub fn mint(&self, identity: &str, role: Role) -> anyhow::Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?.as_secs();
        let video = Grant {
            room_join: true,
            room: &self.room,
            can_publish: role != Role::Viewer,
            can_subscribe: role != Role::Publisher,
            can_publish_data: role == Role::Member,
            can_update_own_metadata: role == Role::Member,
        };
        let claims = Claims { iss: &self.key, sub: identity, nbf: now, exp: now + LIFE, video };
        let key = EncodingKey::from_secret(self.secret.as_bytes());
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).context("cannot sign a token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{DecodingKey, Validation};

    #[test]
    fn a_viewer_may_only_look() {
        let mint = TokenMint { key: "k".into(), secret: "s".repeat(32), room: "load".into() };
        let token = mint.mint("viewer-1", Role::Viewer).unwrap();
        let key = DecodingKey::from_secret(mint.secret.as_bytes());
        let claims = jsonwebtoken::decode::<serde_json::Value>(&token, &key, &Validation::default()).unwrap().claims;
        assert_eq!((&claims["iss"], &claims["sub"]), (&"k".into(), &"viewer-1".into()));
        let video = serde_json::json!({
            "roomJoin": true, "room": "load", "canPublish": false, "canSubscribe": true, "canPublishData": false,
            "canUpdateOwnMetadata": false,
        });
        assert_eq!(claims["video"], video);
    }
}
