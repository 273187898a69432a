//! The rooms, and the members in them: speakers and some listeners whose audio is measured, and many with data channels, who
//! hear as well.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures_util::{StreamExt, TryStreamExt};
use serde_json::json;
use sfu_core::id::ParticipantId;
use sfu_core::transport::Certificate;

use super::client::{self, Signal, Wanted};
use super::crowd::{self, Act, Crowd};
use crate::cli::{Changes, HostileArgs, Opponent, RunArgs, Target};
use crate::fleet::{Fleet, Member, Role};
use crate::scenario::{Audio, Scenario};
use crate::stamp::Kind;
use crate::token::TokenMint;
use crate::versus::servers::Running;

/// Joins under way at a time.
const AT_ONCE: usize = 20;
/// All must be there by then.
const JOINING: Duration = Duration::from_secs(60);
/// Members of the small room, all of whom speak.
const SMALL: u32 = 3;
/// Members whom a file is for, beside the hostile one.
pub(super) const READERS: usize = 7;

/// The rooms and who is in them.
pub(super) struct Scene {
    pub(super) server: Running,
    pub(super) large: Arc<Fleet>,
    pub(super) small: Arc<Fleet>,
    pub(super) crowd: Crowd,
    certificate: Certificate,
    mint: TokenMint,
    /// WebSockets of the crowd's honest members.
    signals: Vec<Signal>,
    /// The one of them who sends a file when asked.
    pub(super) sender: crowd::Index,
    /// Those whom it is for.
    pub(super) readers: Vec<ParticipantId>,
    fleets: Vec<(Arc<Fleet>, Vec<Member>)>,
}

/// The member that is hostile.
pub(super) struct Hostile {
    pub(super) index: crowd::Index,
    pub(super) id: ParticipantId,
    pub(super) signal: Signal,
}

/// Who is in the large room.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Members {
    /// Those who speak.
    pub speakers: u32,
    /// Those who listen, and whose audio is measured.
    pub listeners: u32,
    /// Those who listen and have data channels.
    pub with_data: u32,
}

impl Members {
    fn of(args: &HostileArgs) -> anyhow::Result<Self> {
        let others = (args.members).checked_sub(args.speakers + args.listeners + 1);
        let with_data = others.unwrap_or_default();
        ensure!(with_data as usize > READERS + 2, "--members is too small for {READERS} readers of a file");
        Ok(Self { speakers: args.speakers, listeners: args.listeners, with_data })
    }

    /// All, the hostile one included.
    pub fn all(&self) -> u32 {
        self.speakers + self.listeners + self.with_data + 1
    }
}

impl Scene {
    pub(super) async fn build(args: &HostileArgs) -> anyhow::Result<(Self, Members)> {
        let members = Members::of(args)?;
        let server = Running::start(Opponent::Madang, &args.host).await?;
        let run = |room: &str| RunArgs {
            target: Target::Madang,
            room: room.to_owned(),
            threads: Some(1),
            ..server.run_args("audio-room", Changes::default())
        };
        let large = Arc::new(Fleet::new(&run("large"), scenario(members.speakers, members.listeners))?);
        let small = Arc::new(Fleet::new(&run("small"), scenario(SMALL, 0))?);
        let mut fleets = Vec::new();
        for (fleet, count, role) in [
            (&large, members.speakers, Role::PARTICIPANT),
            (&small, SMALL, Role::PARTICIPANT),
            (&large, members.listeners, Role::VIEWER),
        ] {
            fleets.push((Arc::clone(fleet), join(fleet, count, role).await?));
        }
        let mut scene = Self {
            mint: large.context().mint.clone(),
            server,
            large,
            small,
            crowd: Crowd::start()?,
            certificate: Certificate::generate()?,
            signals: Vec::new(),
            sender: 0,
            readers: Vec::new(),
            fleets,
        };
        scene.fill(&members).await?;
        scene.large.context().set_measuring(true);
        scene.small.context().set_measuring(true);
        Ok((scene, members))
    }

    /// Those with data channels: the first has a camera, which the hostile member can ask for keyframes; the second sends
    /// files; the next ones get them.
    async fn fill(&mut self, members: &Members) -> anyhow::Result<()> {
        let wanted = |number: u32| Wanted {
            identity: format!("data-{number}"),
            publish: number == 0,
            send: if number == 0 { vec![(Kind::Video, 1)] } else { Vec::new() },
            receive: vec![Kind::Audio; members.speakers as usize],
        };
        let joins: Vec<_> = (0..members.with_data).map(|number| self.client(wanted(number))).collect();
        let joined: Vec<_> = futures_util::stream::iter(joins).buffered(AT_ONCE).try_collect().await?;
        for (number, (client, signal)) in joined.into_iter().enumerate() {
            if (2..2 + READERS).contains(&number) {
                self.readers.push(client.id);
            }
            let index = self.crowd.add(client, if number == 0 { Act::Camera } else { Act::Nothing }).await?;
            self.signals.push(signal);
            if number == 1 {
                self.sender = index;
            }
        }
        self.wait_for(members.with_data as usize).await
    }

    fn client(&self, wanted: Wanted) -> impl Future<Output = anyhow::Result<(client::Client, Signal)>> + use<> {
        let (url, mint, certificate) = (self.server.url.clone(), self.mint.clone(), self.certificate.clone());
        async move { client::join(&url, &mint, &certificate, wanted).await }
    }

    async fn wait_for(&self, up: usize) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            let tally = self.crowd.tally().await?;
            if tally.up >= up {
                return Ok(());
            }
            ensure!(start.elapsed() < JOINING, "of {up} members {} have data channels", tally.up);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The hostile member joins and behaves, for now.
    pub(super) async fn enter(&self, publishes: bool) -> anyhow::Result<Hostile> {
        let wanted = Wanted {
            identity: "hostile".to_owned(),
            send: vec![(Kind::Audio, 1)],
            receive: vec![Kind::Audio, Kind::Video],
            publish: publishes,
        };
        let (client, signal) = self.client(wanted).await?;
        let id = client.id;
        let up = self.crowd.tally().await?.up + 1;
        let index = self.crowd.add(client, Act::Nothing).await?;
        self.wait_for(up).await?;
        Ok(Hostile { index, id, signal })
    }

    /// It leaves. What it was told, and how often.
    pub(super) async fn leave(&self, mut hostile: Hostile) -> anyhow::Result<BTreeMap<String, u64>> {
        let told = hostile.signal.told.lock().clone();
        hostile.signal.request(json!({"type": "leave"})).await;
        self.crowd.remove(hostile.index)?;
        Ok(told)
    }

    /// Joins by signalling; its media never connects.
    pub(super) fn stranger(&self, number: u32) -> impl Future<Output = anyhow::Result<Signal>> + use<> {
        let wanted = Wanted {
            identity: format!("stranger-{number}"),
            send: Vec::new(),
            receive: vec![Kind::Audio],
            publish: false,
        };
        let joining = self.client(wanted);
        async move { Ok(joining.await?.1) }
    }

    /// Honest members who are still in their rooms.
    pub(super) fn present(&self) -> usize {
        let members = self.fleets.iter().flat_map(|(_, members)| members);
        members.filter(|member| member.failure().is_none()).count()
            + self.signals.iter().filter(|signal| !signal.is_closed()).count()
    }

    pub(super) async fn end(self) {
        for (fleet, members) in self.fleets {
            futures_util::future::join_all(members.into_iter().map(|member| member.leave(&fleet.engine))).await;
        }
        self.server.stop().await;
    }
}

fn scenario(speakers: u32, listeners: u32) -> Scenario {
    Scenario {
        participants: speakers,
        viewers: listeners,
        publishers: 0,
        video: None,
        audio: Some(Audio::default()),
        open_every: 1,
        ..Scenario::default()
    }
}

async fn join(fleet: &Arc<Fleet>, count: u32, role: Role) -> anyhow::Result<Vec<Member>> {
    let joins: Vec<_> = (0..count).map(|_| fleet.join(0, role, false)).collect();
    futures_util::stream::iter(joins).buffer_unordered(AT_ONCE).try_collect().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_as_large_as_was_asked_for() {
        use clap::Parser;
        let args = |words: &str| match crate::cli::Cli::parse_from(words.split(' ')).command {
            crate::cli::Command::Hostile(args) => args,
            _ => unreachable!("the words name the command"),
        };
        let members = Members::of(&args("load hostile")).unwrap();
        assert_eq!(members.all(), 300);
        assert!(Members::of(&args("load hostile --members 20")).is_err());
    }
}
