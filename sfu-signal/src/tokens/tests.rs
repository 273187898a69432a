use jsonwebtoken::{EncodingKey, Header};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const LEEWAY: Duration = Duration::from_secs(60);
const SECRET: &str = "a-secret-that-is-at-least-32-bytes-long";

fn keyring() -> Keyring {
    let keys = [("key", SECRET), ("other", "another-secret-that-is-32-bytes-long!")];
    Keyring::new(&Keys(keys.map(|(id, secret)| (id.to_owned(), secret.to_owned())).into()), LEEWAY)
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
fn times_are_checked_with_a_leeway() {
    let (now, leeway) = (unix_now().as_secs(), LEEWAY.as_secs());
    let at = |exp, nbf| keyring().mint(&Claims { exp, nbf, ..claims() }).unwrap();
    assert_eq!(refused(&at(now - leeway - 2, None)), ErrorCode::TokenExpired);
    assert_eq!(refused(&at(now + 60, Some(now + leeway + 5))), ErrorCode::TokenNotYetValid);
    assert!(keyring().verify(&at(now - leeway + 5, Some(now + leeway - 5))).is_ok());
    assert!(keyring().verify_with(&at(now - 600, None), Expiry::Ignored).is_ok());
}

/// What the claims of `json!({...})`, beside those of a plain token, are read as.
fn read(changes: serde_json::Value) -> Result<Claims, SignalError> {
    let mut token = json!({
        "iss": "key", "sub": "ann", "exp": unix_now().as_secs() + 60, "video": {"roomJoin": true, "room": "demo"},
    });
    for (name, value) in changes.as_object().unwrap() {
        token[name] = value.clone();
    }
    keyring().verify(&sign(&Header::default(), &token, SECRET))
}

/// The shapes of LiveKit's server SDKs: each joins `demo` as `ann`.
#[test]
fn tokens_of_other_peoples_libraries_are_read() {
    let exp = unix_now().as_secs() + 60;
    let shapes = [
        ("JavaScript", json!({"video": {"room": "demo", "roomJoin": true}, "nbf": 0, "sub": "ann"})),
        (
            "Go",
            json!({"kind": "standard", "video": {"roomJoin": true, "room": "demo", "canPublishSources": ["camera"]}}),
        ),
        (
            "Python",
            json!({"name": "", "metadata": "", "attributes": {}, "sha256": "", "roomPreset": "",
            "video": {"roomJoin": true, "room": "demo", "canPublish": true, "canPublishSources": []}}),
        ),
        (
            "Ruby",
            json!({"name": null, "metadata": null, "attributes": null, "sha256": null, "nbf": null,
            "video": {"roomJoin": true, "room": "demo", "canPublish": null, "canPublishSources": null,
                "hidden": null, "recorder": null, "roomAdmin": null}}),
        ),
        ("PHP", json!({"attributes": [], "jti": "ann", "video": {"roomJoin": true, "room": "demo"}})),
        ("Java", json!({"video": {"roomJoin": true, "room": "demo", "canPublishSources": ["CAMERA", "MICROPHONE"]}})),
        (
            "Rust",
            json!({"name": "", "sha256": "", "metadata": "", "roomConfig": null, "video": {
            "roomCreate": false, "roomList": false, "roomRecord": false, "roomAdmin": false, "roomJoin": true,
            "room": "demo", "destinationRoom": "", "canPublish": true, "canSubscribe": true, "canPublishData": true,
            "canPublishSources": [], "canUpdateOwnMetadata": false, "ingressAdmin": false, "hidden": false,
            "recorder": false}}),
        ),
        ("numbers of the protocol", json!({"video": {"roomJoin": true, "room": "demo", "canPublishSources": [1, 2]}})),
        ("fractions of a second", json!({"exp": exp as f64 + 0.25, "nbf": 1.5e3})),
        ("an audience and more", json!({"aud": ["a"], "iat": exp, "sip": {"call": true}, "agent": {"x": [null]}})),
    ];
    for (library, shape) in shapes {
        let claims = read(shape).unwrap_or_else(|error| panic!("{library}: {error:?}"));
        assert_eq!((claims.joinable_room(), claims.sub.as_str()), (Ok("demo"), "ann"), "{library}");
        assert!(claims.video.permissions().can_publish, "{library}");
    }
    let numbers = read(json!({"video": {"canPublishSources": [1, 4, 9]}})).unwrap().video.permissions();
    assert_eq!(numbers.can_publish_sources, [TrackSource::Camera, TrackSource::ScreenShareAudio]);
}

#[test]
fn an_error_names_the_claim_that_is_wrong() {
    let wrong = |changes| {
        let error = read(changes).unwrap_err();
        assert_eq!(error.code, ErrorCode::TokenInvalid);
        assert!(!error.message.contains("signature"), "{}", error.message);
        error.message
    };
    assert!(wrong(json!({"exp": "1999999999"})).starts_with("the claim exp: seconds since 1970 as a number"));
    assert!(wrong(json!({"exp": null})).contains("no claim exp"));
    assert!(wrong(json!({"nbf": true})).contains("claim nbf"));
    assert!(wrong(json!({"iss": null})).contains("no claim iss"));
    assert!(wrong(json!({"iss": 7})).contains("claim iss"));
    assert!(wrong(json!({"name": {}})).contains("claim name"));
    assert!(wrong(json!({"attributes": {"seat": 7}})).contains("claim attributes.seat"));
    assert!(wrong(json!({"video": {"canPublish": "yes"}})).contains("claim video.canPublish"));
    assert!(wrong(json!({"video": {"canPublishSources": "camera"}})).contains("claim video.canPublishSources"));
    assert!(wrong(json!({"video": [1]})).contains("claim video"));
}

#[test]
fn dates_that_no_clock_shows_are_dates() {
    assert_eq!(read(json!({"exp": -5})).unwrap_err().code, ErrorCode::TokenExpired);
    assert_eq!(read(json!({"exp": 1e300})).unwrap().exp, u64::MAX);
    assert_eq!(read(json!({"nbf": 1e300})).unwrap_err().code, ErrorCode::TokenNotYetValid);
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
    assert!(!format!("{keys:?} {:?}", Keyring::new(&keys, LEEWAY)).contains(SECRET));
}

proptest! {
    #[test]
    fn any_text_is_a_token_or_an_error(text: String) {
        prop_assert!(keyring().verify(&text).is_err());
    }
}
