//! Everybody who takes part in a run, and the ways by which they join.
//!
//! A [`Member`] is a synthetic participant, or peers of the `webrtc` crate; which server it joins, and how, is the
//! [`Target`]'s: [`whip`] and [`madang`] here, [`janus`] for its VideoRoom, [`mediasoup`] for its parameters.

pub mod janus;
pub mod madang;
pub mod mediasoup;
mod member;
mod whip;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rand::SeedableRng;
use rand::rngs::StdRng;
use reqwest::Url;
use sfu_core::sdp::IceCredentials;
use tokio::sync::watch;

use crate::cli::{RunArgs, Target};
use crate::context::{CONNECT_TIMEOUT, Context};
use crate::peer::local_address_for;
use crate::publisher::{Media, Publisher};
use crate::scenario::Scenario;
use crate::stamp::Kind;
use crate::synthetic::sdp::{OFFERED, Offer, Remote, SendLine, TRANSPORT_CC, Wishes};
use crate::synthetic::session::Peer;
use crate::synthetic::{Engine, Identity, Progress, Receiving, Sending, Settings, Setup, Speech, socket};
use crate::token::{self, TokenMint};
use crate::viewer::{Lines, Viewer};
use crate::whip::Endpoint;
pub use member::{Member, Part, Signalling};

/// m-lines that servers take in one offer; what Madang's default limit is.
const MAX_LINES: usize = 64;

/// What somebody does in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Role {
    /// Publishes a microphone and a camera.
    pub sends: bool,
    /// Receives what the others publish.
    pub receives: bool,
}

impl Role {
    /// Only sends.
    pub const PUBLISHER: Self = Self { sends: true, receives: false };
    /// Only receives.
    pub const VIEWER: Self = Self { sends: false, receives: true };
    /// Does both.
    pub const PARTICIPANT: Self = Self { sends: true, receives: true };

    fn token(self) -> token::Role {
        match (self.sends, self.receives) {
            (true, true) => token::Role::Participant,
            (true, false) => token::Role::Publisher,
            (false, _) => token::Role::Viewer,
        }
    }

    fn name(self) -> &'static str {
        match (self.sends, self.receives) {
            (true, true) => "participant",
            (true, false) => "publisher",
            (false, _) => "viewer",
        }
    }
}

/// The whole of a run's participants.
pub struct Fleet {
    /// The synthetic ones.
    pub engine: Engine,
    /// What they do.
    pub scenario: Scenario,
    target: Target,
    url: Url,
    http: reqwest::Client,
    media: Media,
    rooms: Vec<Arc<Context>>,
    /// Numbers of publishers in stamps, and of identities.
    next: AtomicU32,
}

impl Fleet {
    /// Nobody has joined yet.
    pub fn new(args: &RunArgs, scenario: Scenario) -> anyhow::Result<Self> {
        let rooms = rooms(args, scenario.rooms)?;
        let settings =
            Settings { epoch: rooms[0].epoch, open_every: scenario.open_every, measuring: rooms[0].measuring_switch() };
        let threads = args.threads.unwrap_or_else(|| (crate::run::cores() / 2).max(1));
        let engine = Engine::start(threads, settings)?;
        let media = scenario.load_media()?;
        let (target, url, http) = (args.target, args.url.clone(), reqwest::Client::new());
        Ok(Self { engine, scenario, target, url, http, media, rooms, next: AtomicU32::new(0) })
    }

    /// Names and numbers from `first` on: beside another fleet in the same rooms.
    pub fn numbered_from(self, first: u32) -> Self {
        self.next.store(first, Ordering::Relaxed);
        self
    }

    /// The first room's context, whose clock and switch are everybody's.
    pub fn context(&self) -> &Context {
        &self.rooms[0]
    }

    /// Joins a room. Returns once the connection is up.
    pub async fn join(&self, room: usize, role: Role, of_webrtc: bool) -> anyhow::Result<Member> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let identity = format!("{}-{number}", role.name());
        let began = Instant::now();
        let joined = if of_webrtc {
            self.join_webrtc(room, role, number).await
        } else {
            self.join_synthetic(room, role, number, &identity).await
        };
        let (parts, publisher, viewer) = joined.context(identity)?;
        Ok(Member { room, role, began, parts, publisher, viewer })
    }

    async fn join_webrtc(&self, room: usize, role: Role, number: u32) -> anyhow::Result<Joined> {
        if matches!(self.target, Target::Janus | Target::Mediasoup) {
            bail!("peers of the webrtc crate join by WHIP and WHEP, which {} does not speak", self.target.name());
        }
        let context = &self.rooms[room];
        let mut joined = (Vec::new(), None, None);
        if role.sends {
            let index = self.publisher_number(number);
            joined.1 = Some(Publisher::start(context, index, self.media.clone(), self.phase(number)).await?);
        }
        if role.receives {
            let (audio, video) = self.lines(role);
            joined.2 = Some(Viewer::join(context, number as usize, Lines { audio, video }).await?);
        }
        Ok(joined)
    }

    async fn join_synthetic(&self, room: usize, role: Role, number: u32, identity: &str) -> anyhow::Result<Joined> {
        let join = Join { fleet: self, context: &self.rooms[room], room, role, number, identity };
        let parts = match self.target {
            Target::Madang => vec![madang::join(&join, &self.url).await?],
            Target::WhipWhep => whip::join(&join).await?,
            Target::Janus => janus::join(&join, &self.url).await?,
            Target::Mediasoup => mediasoup::join(&join, &self.url).await?,
        };
        for part in &parts {
            part.connected(CONNECT_TIMEOUT).await?;
        }
        Ok((parts, None, None))
    }

    /// Audio and video lines of somebody who sees everybody else.
    fn lines(&self, role: Role) -> (usize, usize) {
        let others = self.scenario.senders() as usize - usize::from(role.sends);
        let per_sender = usize::from(self.media.audio.is_some()) + usize::from(self.media.video.is_some());
        let own = if role.sends { per_sender } else { 0 };
        let count = others.min((MAX_LINES - own) / per_sender.max(1));
        let of = |is_sent: bool| if is_sent { count } else { 0 };
        (of(self.media.audio.is_some()), of(self.media.video.is_some()))
    }

    fn publisher_number(&self, number: u32) -> u16 {
        (number % 0xffff) as u16
    }

    /// People's cameras do not tick alike: publishers are spread over a frame by the golden ratio.
    fn phase(&self, number: u32) -> Duration {
        let interval = self.media.video.map_or(Duration::from_millis(20), |shape| Duration::from_secs(1) / shape.fps);
        interval.mul_f64((f64::from(number) * 0.618_033_988_75).fract())
    }
}

type Joined = (Vec<Part>, Option<Publisher>, Option<Viewer>);

fn rooms(args: &RunArgs, count: u32) -> anyhow::Result<Vec<Arc<Context>>> {
    let mut http = args.url.clone();
    // WHIP and WHEP are HTTP, whatever the signalling speaks; a URL that cannot be changed stays.
    let _ = http.set_scheme(match args.url.scheme() {
        "wss" | "https" => "https",
        _ => "http",
    });
    let client = reqwest::Client::new();
    let local = local_address_for(&http)?;
    let mut rooms: Vec<Arc<Context>> = Vec::new();
    for index in 0..count {
        let room = if index == 0 { args.room.clone() } else { format!("{}-{index}", args.room) };
        let whip = Endpoint::new(client.clone(), &http, "whip", &room)?;
        let whep = Endpoint::new(client.clone(), &http, "whep", &room)?;
        let mint = TokenMint { key: args.token_key.clone(), secret: args.token_secret.clone(), room };
        let context = match rooms.first() {
            Some(first) => first.with_room(whip, whep, mint),
            None => Context::new(local, whip, whep, mint),
        };
        rooms.push(Arc::new(context));
    }
    Ok(rooms)
}

/// One synthetic participant that is joining.
pub struct Join<'a> {
    fleet: &'a Fleet,
    context: &'a Context,
    room: usize,
    role: Role,
    number: u32,
    identity: &'a str,
}

impl Join<'_> {
    /// Bound where the server can be reached from.
    fn bind(&self) -> anyhow::Result<std::net::UdpSocket> {
        socket::bind(self.context.local).context("binding a port")
    }

    fn identity(&self) -> &Identity {
        self.fleet.engine.identity()
    }

    /// Publishers who were there before: those who only send join first.
    fn expected_feeds(&self) -> usize {
        (self.fleet.scenario.publishers as usize).max(1)
    }

    fn token(&self) -> anyhow::Result<String> {
        self.context.mint.mint(self.identity, self.role.token())
    }

    fn credentials() -> IceCredentials {
        IceCredentials::generate(0, &mut StdRng::from_rng(&mut rand::rng()))
    }

    /// Lines for what somebody in this role sends and receives.
    fn wishes(&self, role: Role) -> Wishes {
        let media = &self.fleet.media;
        let mut wishes = Wishes::default();
        if role.sends {
            let encodings = if self.fleet.scenario.video.as_ref().is_some_and(|video| video.simulcast) { 3 } else { 1 };
            wishes.send.extend(media.audio.map(|_| (Kind::Audio, 1)));
            wishes.send.extend(media.video.map(|_| (Kind::Video, encodings)));
        }
        if role.receives {
            let (audio, video) = self.fleet.lines(self.role);
            // In pairs, as a conference has them.
            for line in 0..audio.max(video) {
                wishes.receive.extend((line < audio).then_some(Kind::Audio));
                wishes.receive.extend((line < video).then_some(Kind::Video));
            }
        }
        wishes
    }

    fn offer(&self, role: Role) -> Offer {
        Offer::new(&self.wishes(role), Self::credentials(), self.identity().fingerprint)
    }

    fn sending(&self, lines: Vec<SendLine>) -> Option<Sending> {
        let scenario = &self.fleet.scenario;
        let speaking = scenario.audio.as_ref().and_then(|audio| audio.speaking);
        let of = scenario.senders().max(1);
        let speech = Speech { index: self.number % of, of, speaking: speaking.unwrap_or(of) };
        (!lines.is_empty()).then(|| Sending {
            publisher: self.fleet.publisher_number(self.number),
            lines,
            media: self.fleet.media.clone(),
            speech,
            phase: self.fleet.phase(self.number),
        })
    }

    /// Starts the media of an offer that was answered.
    fn start(&self, offer: Offer, answer: &str, signalling: Signalling) -> anyhow::Result<Part> {
        let remote = Remote::parse(answer)?;
        let receiving = Receiving {
            payload_types: OFFERED,
            transport_cc: remote.transport_cc().map(|_| TRANSPORT_CC),
            repairs: remote.repairs.clone(),
        };
        self.start_with(&remote, offer.ice, self.sending(offer.send), receiving, signalling)
    }

    fn start_with(
        &self,
        remote: &Remote,
        ice: IceCredentials,
        sending: Option<Sending>,
        receiving: Receiving,
        signalling: Signalling,
    ) -> anyhow::Result<Part> {
        let (progress, watched) = watch::channel(Progress::default());
        let setup = Setup {
            socket: self.bind()?,
            peer: Peer {
                address: remote.address(self.context.local)?,
                fingerprint: remote.fingerprint,
                starts_dtls: remote.starts_dtls,
            },
            ice: (ice, remote.ice.clone()),
            sending,
            receiving,
            link: self.fleet.scenario.link,
            progress,
        };
        let id = self.fleet.engine.add(setup)?;
        Ok(Part { id, progress: watched, signalling })
    }
}
