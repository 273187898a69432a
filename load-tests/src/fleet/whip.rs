//! Joining by WHIP and WHEP: one session to send, one to receive.

use super::{Join, Part, Role, Signalling};
use crate::token;

/// Joins; who does both has two sessions, under two identities.
pub(super) async fn join(join: &Join<'_>) -> anyhow::Result<Vec<Part>> {
    let mut parts = Vec::new();
    if join.role.receives {
        parts.push(session(join, Role::VIEWER).await?);
    }
    if join.role.sends {
        parts.push(session(join, Role::PUBLISHER).await?);
    }
    Ok(parts)
}

async fn session(join: &Join<'_>, role: Role) -> anyhow::Result<Part> {
    let offer = join.offer(role);
    let (endpoint, token_role) = match role.sends {
        true => (&join.context.whip, token::Role::Publisher),
        false => (&join.context.whep, token::Role::Viewer),
    };
    let identity = format!("{}-{}", join.identity, if role.sends { "whip" } else { "whep" });
    let token = join.context.mint.mint(&identity, token_role)?;
    let session = endpoint.post(offer.text.clone(), token).await?;
    let answer = session.answer.clone();
    join.start(offer, &answer, Signalling::Whip(session))
}
