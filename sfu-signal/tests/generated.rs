//! Files that are generated from this crate and must not be stale: the SDK's wire types and docs/errors.md.
//! `UPDATE_GOLDEN=1` rewrites them.

use std::path::Path;

use sfu_signal::protocol::*;
use ts_rs::{Config, TS};

fn check(path: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "{} is stale: run `UPDATE_GOLDEN=1 cargo test -p sfu-signal --test generated`",
        path.display()
    );
}

macro_rules! declarations {
    ($config:expr, $($name:ty),* $(,)?) => {
        [$((<$name as TS>::docs(), <$name as TS>::decl($config))),*]
    };
}

#[test]
fn export_types() {
    let config = &Config::new().with_large_int("number");
    let declarations = declarations![
        config,
        Request,
        SlotLayout,
        SlotRole,
        SlotPin,
        TrackSettings,
        VideoQuality,
        TrackPriority,
        PublishTrack,
        TrackSource,
        Reply,
        Joined,
        Resumed,
        Snapshot,
        Room,
        Participant,
        Permissions,
        Track,
        Slot,
        SlotTrack,
        StreamState,
        SentLayer,
        StreamLimit,
        TrackDemand,
        EncodingDemand,
        MediaLimit,
        Speaker,
        ParticipantQuality,
        ConnectionQuality,
        RoomEvent,
        DataLimit,
        ConnectionState,
        LeaveReason,
        IceServer,
        ClientLimits,
        WireError,
        ErrorCode,
    ];
    let mut file = String::from(
        "// Generated from sfu-signal/src/protocol/ by `make types`. Do not edit.\n\n\
         /** The protocol version that these types describe. */\n",
    );
    file += &format!("export const PROTOCOL_VERSION = {PROTOCOL_VERSION};\n");
    // By name rather than inlined, as the derived declarations of flattened members would be.
    file += "\n/** What a client sends. */\nexport type ClientMessage = { id: number } & Request;\n";
    file += "\n/** What the server sends: the answer to a request, or what happened. */\n";
    file += "export type ServerMessage = ({ id: number } & Reply) | ({ seq: number } & RoomEvent);\n";
    for (docs, declaration) in declarations {
        file += &format!("\n{}export {declaration}\n", docs.unwrap_or_default());
    }
    check("sdk-js/packages/client/src/generated/protocol.ts", &file);
}

#[test]
fn errors_page() {
    check("docs/errors.md", &sfu_signal::error::errors_page());
}

/// The wire format stays as it is documented: every golden message is read, written back as it was, and in docs/protocol.md.
#[test]
fn golden_messages_survive_and_are_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("../docs/protocol.md")).unwrap();
    let mut count = 0;
    for entry in std::fs::read_dir(root.join("tests/golden")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let wanted: serde_json::Value = serde_json::from_str(&text).unwrap();
        let found = if name.starts_with("http_") {
            wanted.clone()
        } else if name.starts_with("request_") {
            serde_json::to_value(sfu_signal::decode(&text).unwrap()).unwrap()
        } else {
            let message: ServerMessage = serde_json::from_str(&text).unwrap();
            assert_eq!(matches!(message, ServerMessage::Reply { .. }), name.starts_with("reply_"), "{name}");
            serde_json::to_value(message).unwrap()
        };
        assert_eq!(found, wanted, "{name}");
        assert!(page.contains(text.trim_end()), "docs/protocol.md lacks {name}");
        count += 1;
    }
    assert_eq!(count, 44);
}
