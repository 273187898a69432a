//! `madang token`: an access token on stdout, and nothing else there.

use std::io::Write;

use anyhow::Context;
use sfu_signal::config::{DEV_KEY, DEV_SECRET};
use sfu_signal::tokens::{Claims, Keyring, VideoGrant, unix_now};

use crate::cli::TokenArgs;
use crate::config::load;

/// The token that the flags ask for.
pub(crate) fn mint(args: &TokenArgs) -> anyhow::Result<String> {
    let mut config = load::load(&args.sources, args.sources.layer())?.config;
    if config.keys.0.is_empty() {
        let _ = writeln!(std::io::stderr(), "no key is configured: signing with the development key of `serve --dev`");
        config.keys.0.insert(DEV_KEY.to_owned(), DEV_SECRET.to_owned());
    }
    let keyring = Keyring::new(&config.keys, config.sessions.token_leeway);
    let key = args.key.as_deref().or(keyring.first()).unwrap_or_default();
    let claims = claims(args, key);
    claims.joinable_room().map_err(|error| anyhow::anyhow!("{error}"))?;
    keyring.mint(&claims).map_err(|error| anyhow::anyhow!("{error}")).with_context(|| format!("key {key:?}"))
}

fn claims(args: &TokenArgs, key: &str) -> Claims {
    let now = unix_now().as_secs();
    Claims {
        iss: key.to_owned(),
        sub: args.identity.clone(),
        nbf: Some(now),
        exp: now.saturating_add(args.ttl.as_secs()),
        name: args.name.clone(),
        metadata: args.metadata.clone(),
        attributes: args.attribute.iter().cloned().collect(),
        video: VideoGrant {
            room_join: true,
            room: args.room.clone(),
            can_publish: args.no_publish.then_some(false),
            can_publish_sources: args.publish_source.clone(),
            can_subscribe: args.no_subscribe.then_some(false),
            can_publish_data: args.no_data.then_some(false),
            can_update_own_metadata: args.update_own_metadata.then_some(true),
            room_admin: args.room_admin,
            room_create: args.room_create,
            room_list: args.room_list,
            hidden: args.hidden,
            recorder: args.recorder,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    const KEY: &str = "test:0123456789abcdef0123456789abcdef";

    fn minted(flags: &[&str]) -> Claims {
        let flags = [&["madang", "token", "--keys", KEY, "--room", "demo", "--identity", "ann"], flags].concat();
        let Command::Token(args) = Cli::parse_from(flags).command else { panic!("token") };
        let token = mint(&args).unwrap();
        let keys = load::load(&args.sources, args.sources.layer()).unwrap().config.keys;
        Keyring::new(&keys, Duration::ZERO).verify(&token).unwrap()
    }

    #[test]
    fn a_plain_token_may_join_publish_and_subscribe() {
        let claims = minted(&[]);
        assert_eq!((claims.iss.as_str(), claims.sub.as_str()), ("test", "ann"));
        assert_eq!(claims.joinable_room().unwrap(), "demo");
        let permissions = claims.video.permissions();
        assert!(permissions.can_publish && permissions.can_subscribe && permissions.can_publish_data);
        assert_eq!(claims.exp - claims.nbf.unwrap(), 6 * 3600);
    }

    #[test]
    fn grants_are_taken_from_flags() {
        let claims = minted(&["--no-publish", "--no-data", "--ttl", "30m", "--attribute", "role=host"]);
        let permissions = claims.video.permissions();
        assert!(!permissions.can_publish && !permissions.can_publish_data && permissions.can_subscribe);
        assert_eq!(claims.attributes["role"], "host");
        assert_eq!(claims.exp - claims.nbf.unwrap(), 1800);
    }
}
