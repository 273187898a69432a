//! The thread that drives clients with data channels, and does with one of them what is hostile.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sfu_core::id::{ParticipantId, Ssrc};
use sfu_core::rtcp;
use sfu_core::rtp::{HeaderOut, MAX_HEADER, write_header};
use sfu_core::transport::Channel;
use sfu_core::unit::SeqNo;
use tokio::sync::oneshot;

use super::client::Client;
use crate::stamp::Kind;
use crate::synthetic::sdp::{MID, OFFERED};
use crate::synthetic::socket::RECEIVE_BUFFER;

/// How often clients are looked at.
const LOOK: Duration = Duration::from_millis(2);
/// What is late by more than this is left out: a flood is no backlog.
const LATE: Duration = Duration::from_millis(100);
/// 20 Mbit/s in packets of so many bytes of "Opus".
const AUDIO_BYTES: usize = 1_100;
const AUDIO_RATE: f64 = 20_000_000.0 / 8.0 / AUDIO_BYTES as f64;
/// Frames of a camera that has one packet each.
const CAMERA_RATE: f64 = 10.0;
const FRAME_BYTES: usize = 900;
/// Messages of a flood, on each channel.
const LOSSY_RATE: f64 = 3_000.0;
const LOSSY_BYTES: usize = 1_000;
const RELIABLE_RATE: f64 = 200.0;
/// A chunk of a file, in an honest transfer of 4 Mbit/s to few and in a flood.
const CHUNK_BYTES: usize = 16_000;
pub(super) const FILE_RATE: f64 = 4_000_000.0 / 8.0 / CHUNK_BYTES as f64;
const FEEDBACK_RATE: f64 = 2_000.0;
/// Packets that one chunk of forged feedback can say were lost, and those that it says came, all at once.
const LOST: u16 = 8_191;
const CAME: u16 = 1_002;

/// What a client does with every look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Nothing,
    /// Honest: a camera.
    Camera,
    /// Honest: a file for everybody.
    File,
    Audio,
    Data,
    Pli,
    Feedback,
    /// It reads no messages.
    Deaf,
}

/// Names a client of the crowd.
pub(super) type Index = usize;

enum Request {
    Add(Box<Client>, Act, oneshot::Sender<Index>),
    Remove(Index),
    Act(Index, Act),
    /// Whom its files are for.
    Address(Index, Vec<ParticipantId>),
    Ask(oneshot::Sender<Tally>),
}

/// What the clients are like now.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) clients: usize,
    pub(super) up: usize,
    /// Keyframes that their cameras were asked for.
    pub(super) requests: u64,
    /// Messages that they got.
    pub(super) messages: u64,
    /// RTP packets that they got.
    pub(super) packets: u64,
}

/// The thread. It ends when this is dropped.
pub(super) struct Crowd {
    requests: mpsc::Sender<Request>,
}

impl Crowd {
    pub(super) fn start() -> anyhow::Result<Self> {
        let (requests, mailbox) = mpsc::channel();
        std::thread::Builder::new().name("crowd".to_owned()).spawn(move || run(&mailbox))?;
        Ok(Self { requests })
    }

    /// Adds a client.
    pub(super) async fn add(&self, client: Client, act: Act) -> anyhow::Result<Index> {
        let (reply, index) = oneshot::channel();
        self.ask(Request::Add(Box::new(client), act, reply))?;
        index.await.context("the crowd's thread has ended")
    }

    pub(super) fn remove(&self, index: Index) -> anyhow::Result<()> {
        self.ask(Request::Remove(index))
    }

    pub(super) fn act(&self, index: Index, act: Act) -> anyhow::Result<()> {
        self.ask(Request::Act(index, act))
    }

    /// Whom a client's files are for from now on.
    pub(super) fn address(&self, index: Index, to: Vec<ParticipantId>) -> anyhow::Result<()> {
        self.ask(Request::Address(index, to))
    }

    pub(super) async fn tally(&self) -> anyhow::Result<Tally> {
        let (reply, tally) = oneshot::channel();
        self.ask(Request::Ask(reply))?;
        tally.await.context("the crowd's thread has ended")
    }

    fn ask(&self, request: Request) -> anyhow::Result<()> {
        self.requests.send(request).ok().context("the crowd's thread has ended")
    }
}

/// One client, and how far its act is.
struct Actor {
    client: Client,
    act: Act,
    since: Instant,
    done: [u64; 2],
    seq: SeqNo,
    timestamp: u32,
    /// Whom its files are for; nobody: everybody.
    to: Vec<ParticipantId>,
}

fn run(mailbox: &mpsc::Receiver<Request>) {
    let mut actors: slab::Slab<Actor> = slab::Slab::new();
    let mut scratch = vec![0; RECEIVE_BUFFER];
    loop {
        loop {
            match mailbox.try_recv() {
                Ok(Request::Add(client, act, reply)) => {
                    // Who asked is gone if the run has ended.
                    let _ = reply.send(actors.insert(Actor::new(*client, act)));
                }
                Ok(Request::Remove(index)) => {
                    if let Some(mut actor) = actors.try_remove(index) {
                        actor.client.rtc.close(Instant::now());
                        actor.client.flush();
                    }
                }
                Ok(Request::Act(index, act)) => {
                    if let Some(actor) = actors.get_mut(index) {
                        actor.begin(act);
                    }
                }
                Ok(Request::Address(index, to)) => {
                    if let Some(actor) = actors.get_mut(index) {
                        actor.to = to;
                    }
                }
                Ok(Request::Ask(reply)) => drop(reply.send(tally(&actors))),
                Err(mpsc::TryRecvError::Empty) => break,
                Err(mpsc::TryRecvError::Disconnected) => return,
            }
        }
        let now = Instant::now();
        for (_, actor) in &mut actors {
            actor.client.drive(now, &mut scratch);
            if actor.client.is_up() {
                actor.perform(now);
            }
        }
        std::thread::sleep(LOOK);
    }
}

fn tally(actors: &slab::Slab<Actor>) -> Tally {
    actors.iter().fold(Tally::default(), |sum, (_, actor)| Tally {
        clients: sum.clients + 1,
        up: sum.up + usize::from(actor.client.is_up()),
        requests: sum.requests + actor.client.requests,
        messages: sum.messages + actor.client.messages,
        packets: sum.packets + actor.client.packets,
    })
}

impl Actor {
    fn new(client: Client, act: Act) -> Self {
        let seq = SeqNo::first(rand::random());
        let (since, timestamp) = (Instant::now(), rand::random());
        let mut actor = Self { client, act: Act::Nothing, since, done: [0; 2], seq, timestamp, to: Vec::new() };
        actor.begin(act);
        actor
    }

    fn begin(&mut self, act: Act) {
        let now = Instant::now();
        self.client.rtc.set_deaf(now, act == Act::Deaf);
        (self.act, self.since, self.done) = (act, now, [0; 2]);
    }

    /// How often something is due that happens so often a second.
    fn due(&mut self, which: usize, now: Instant, rate: f64) -> u64 {
        let elapsed = now.saturating_duration_since(self.since).as_secs_f64();
        let target = (elapsed * rate) as u64;
        let oldest = ((elapsed - LATE.as_secs_f64()).max(0.0) * rate) as u64;
        let begin = self.done[which].max(oldest);
        self.done[which] = target.max(begin);
        target.saturating_sub(begin)
    }

    fn perform(&mut self, now: Instant) {
        match self.act {
            Act::Nothing | Act::Deaf => {}
            Act::Audio => {
                (0..self.due(0, now, AUDIO_RATE)).for_each(|_| self.rtp(Kind::Audio, 960, &[0x78; AUDIO_BYTES]));
            }
            Act::Camera => (0..self.due(0, now, CAMERA_RATE)).for_each(|_| self.frame()),
            Act::File => {
                (0..self.due(0, now, FILE_RATE)).for_each(|_| self.message(now, Channel::Reliable, CHUNK_BYTES));
            }
            Act::Data => {
                (0..self.due(0, now, LOSSY_RATE)).for_each(|_| self.message(now, Channel::Lossy, LOSSY_BYTES));
                (0..self.due(1, now, RELIABLE_RATE)).for_each(|_| self.message(now, Channel::Reliable, CHUNK_BYTES));
            }
            Act::Pli => (0..self.due(0, now, FEEDBACK_RATE)).for_each(|_| self.pli()),
            Act::Feedback => (0..self.due(0, now, FEEDBACK_RATE)).for_each(|_| self.feedback()),
        }
    }

    fn message(&mut self, now: Instant, channel: Channel, len: usize) {
        // Version 1, bytes, no flags, the sender's place, no topic, whom it is for, stream and chunk 0 (docs/protocol.md).
        let mut message = vec![1, 0, 0, 0];
        message.extend([0; 13]);
        message.push(self.to.len() as u8);
        self.to.iter().for_each(|id| message.extend(id.as_bytes()));
        message.resize(message.len() + 8 + len, 0);
        self.client.rtc.send_data(now, channel, &message);
        self.client.flush();
    }

    fn rtp(&mut self, kind: Kind, step: u32, payload: &[u8]) {
        let Some(line) = self.client.offer.send.iter().find(|line| line.kind == kind) else { return };
        let (ssrc, mid) = (line.encodings[0].ssrc, line.mid.clone());
        self.timestamp = self.timestamp.wrapping_add(step);
        let header = HeaderOut {
            marker: kind == Kind::Video,
            payload_type: if kind == Kind::Audio { OFFERED.audio } else { OFFERED.video },
            sequence_number: self.seq.wire(),
            timestamp: self.timestamp,
            ssrc,
            csrc: None,
        };
        let mut packet = vec![0; MAX_HEADER];
        let header_len = write_header(&mut packet, &header, &[(MID, mid.as_bytes())]);
        packet.truncate(header_len);
        packet.extend_from_slice(payload);
        let sealed = self.client.rtc.protect_rtp(&packet, header_len, self.seq);
        self.seq = SeqNo(self.seq.0 + 1);
        self.client.send(&sealed);
    }

    /// A keyframe of VP8 in one packet (RFC 7741, RFC 6386 section 9.1).
    fn frame(&mut self) {
        let mut payload = [0; FRAME_BYTES];
        payload[..11].copy_from_slice(&[0x10, 0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00]);
        self.rtp(Kind::Video, 9_000, &payload);
    }

    /// Asks for a keyframe of what is received.
    fn pli(&mut self) {
        let mut compound = Vec::new();
        for &(_, media) in &self.client.remote.repairs {
            rtcp::write_pli(&mut compound, Ssrc(1), Ssrc(media));
        }
        self.rtcp(&compound);
    }

    /// Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1) from a random number on: in
    /// turns a run of thousands that did not come, and a run of packets that came at the same instant.
    fn feedback(&mut self) {
        let is_loss = self.seq.0.is_multiple_of(2);
        self.seq = SeqNo(self.seq.0 + 1);
        let (count, symbol, deltas) = if is_loss { (LOST, 0, 2) } else { (CAME, 1 << 13, usize::from(CAME)) };
        let words = (20 + 2 + deltas) / 4 - 1;
        let mut packet = vec![0x8f, 205, 0, 0];
        packet[2..].copy_from_slice(&(words as u16).to_be_bytes());
        packet.extend(1u32.to_be_bytes());
        packet.extend(1u32.to_be_bytes());
        packet.extend(rand::random::<u16>().to_be_bytes());
        packet.extend(count.to_be_bytes());
        packet.extend([0, 0, rand::random(), self.seq.0 as u8]);
        packet.extend((symbol | count).to_be_bytes());
        packet.resize(packet.len() + deltas, 0);
        self.rtcp(&packet);
    }

    fn rtcp(&mut self, compound: &[u8]) {
        if !compound.is_empty() {
            let sealed = self.client.rtc.protect_rtcp(compound);
            self.client.send(&sealed);
        }
    }
}
