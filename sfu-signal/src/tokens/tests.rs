use jsonwebtoken::{EncodingKey, Header};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const SECRET: &str = "a-secret-that-is-at-least-32-bytes-long";

fn keyring() -> Keyring {
    let keys = [("key", SECRET), ("other", "another-secret-that-is-32-bytes-long!")];
    Keyring::new(&Keys(keys.map(|(id, secret)| (id.to_owned(), secret.to_owned())).into()))
}

fn claims() -> Claims {
    let video = VideoGrant { room_join: true, room: "demo".into(), ..VideoGrant::default() };
    Claims { iss: "key".into(), sub: "ann".into(), exp: unix_now().as_secs() + 60, video, ..Claims::default() }
}

fn sign(header: &Header, claims: &serde_json::Value, secret: &str) -> String {
    jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

fn refused(token: &str) -> ErrorCode {
    keyring().verify(token).unwrap_err().code
}

#[test]
fn what_was_minted_is_accepted_by_each_key() {
    for iss in ["key", "other"] {
        let claims = Claims { iss: iss.into(), name: "Ann".into(), ..claims() };
        let token = keyring().mint(&claims).unwrap();
        assert_eq!(keyring().verify(&token), Ok(claims));
    }
}

#[test]
fn forged_tokens_are_refused() {
    let claims = serde_json::to_value(claims()).unwrap();
    assert_eq!(
        refused(&sign(&Header::default(), &claims, "not-the-secret-that-is-32-bytes-long")),
        ErrorCode::TokenInvalid
    );
    // Signed by one key, said to be of another.
    let mut foreign = claims.clone();
    foreign["iss"] = "other".into();
    assert_eq!(refused(&sign(&Header::default(), &foreign, SECRET)), ErrorCode::TokenInvalid);
    foreign["iss"] = "nobody".into();
    assert_eq!(refused(&sign(&Header::default(), &foreign, SECRET)), ErrorCode::TokenUnknownKey);
    let mut stronger = Header::new(Algorithm::HS512);
    stronger.kid = Some("key".into());
    assert_eq!(refused(&sign(&stronger, &claims, SECRET)), ErrorCode::TokenInvalid);
}

#[test]
fn alg_none_is_refused() {
    let token = sign(&Header::default(), &serde_json::to_value(claims()).unwrap(), SECRET);
    let payload = token.split('.').nth(1).unwrap();
    // {"alg":"none","typ":"JWT"}
    for signature in ["", "AAAA"] {
        let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.{signature}");
        assert_eq!(refused(&unsigned), ErrorCode::TokenInvalid);
    }
}

#[test]
fn times_are_checked_with_a_small_leeway() {
    let now = unix_now().as_secs();
    let at = |exp, nbf| keyring().mint(&Claims { exp, nbf, ..claims() }).unwrap();
    assert_eq!(refused(&at(now - LEEWAY - 2, None)), ErrorCode::TokenExpired);
    assert_eq!(refused(&at(now + 60, Some(now + LEEWAY + 5))), ErrorCode::TokenNotYetValid);
    assert!(keyring().verify(&at(now - 2, Some(now + 2))).is_ok());
    assert!(keyring().verify_with(&at(now - 600, None), Expiry::Ignored).is_ok());
    let eternal = json!({"iss": "key", "sub": "ann", "video": {"roomJoin": true, "room": "demo"}});
    assert_eq!(refused(&sign(&Header::default(), &eternal, SECRET)), ErrorCode::TokenInvalid);
}

#[test]
fn unknown_claims_are_ignored_and_defaults_are_livekits() {
    let exp = unix_now().as_secs() + 60;
    let token = json!({
        "iss": "key", "sub": "ann", "exp": exp, "aud": "somebody", "kind": "standard", "sip": {"admin": true},
        "video": {"roomJoin": true, "room": "demo", "agent": false, "canPublishSources": []},
    });
    let claims = keyring().verify(&sign(&Header::default(), &token, SECRET)).unwrap();
    let all = Permissions {
        can_publish: true,
        can_publish_sources: vec![],
        can_subscribe: true,
        can_publish_data: true,
        can_update_own_metadata: false,
    };
    assert_eq!(claims.video.permissions(), all);
    let silent = VideoGrant { can_publish: Some(false), ..VideoGrant::default() };
    assert!(!silent.permissions().can_publish_data, "as canPublish where absent");
}

#[test]
fn sources_that_we_do_not_know_do_not_mean_all() {
    let grant = |sources: &[&str]| VideoGrant {
        can_publish_sources: sources.iter().map(|source| (*source).to_owned()).collect(),
        ..VideoGrant::default()
    };
    assert!(!grant(&["hologram"]).permissions().can_publish);
    assert_eq!(grant(&["CAMERA", "hologram"]).permissions().can_publish_sources, [TrackSource::Camera]);
}

#[test]
fn joining_needs_the_grant_a_room_and_an_identity() {
    let denied = |claims: Claims| claims.joinable_room().unwrap_err().code;
    assert_eq!(claims().joinable_room(), Ok("demo"));
    let video = VideoGrant { room_join: false, ..claims().video };
    assert_eq!(denied(Claims { video, ..claims() }), ErrorCode::PermissionDenied);
    let video = VideoGrant { room: String::new(), ..claims().video };
    assert_eq!(denied(Claims { video, ..claims() }), ErrorCode::PermissionDenied);
    assert_eq!(denied(Claims { sub: String::new(), ..claims() }), ErrorCode::PermissionDenied);
}

#[test]
fn secrets_are_not_printed() {
    let keys = Keys([("key".to_owned(), SECRET.to_owned())].into());
    assert!(!format!("{keys:?} {:?}", Keyring::new(&keys)).contains(SECRET));
}

proptest! {
    #[test]
    fn any_text_is_a_token_or_an_error(text: String) {
        prop_assert!(keyring().verify(&text).is_err());
    }
}
