//! The sending side of a participant: a microphone and a camera that keep time, answer NACKs with RTX and requests with
//! keyframes, and report once a second.
//!
//! Time is kept by schedule, not by the last packet: a thread that wakes late sends what is due at once and does not
//! drift. How much was due, and how much left in time, is counted: a generator that falls behind voids its run.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sfu_core::rtcp::{Packet, packets};

use super::outgoing::{Out, Stream};
use super::sdp::{OFFERED, SendLine};
use crate::media::{AUDIO_CLOCK, AUDIO_PACKET_MS, AudioSource, Mark, Payload, VIDEO_CLOCK, VideoShape, VideoSource};
use crate::publisher::{Media, Pacing};
use crate::stamp::Kind;

/// A frame that leaves later than this was not sent as asked for: three frames of 30 fps.
const TOLERANCE: Duration = Duration::from_millis(100);
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
const AUDIO_INTERVAL: Duration = Duration::from_millis(AUDIO_PACKET_MS as u64);
/// One packet in so many leaves in silence with DTX: every 400 ms.
const DTX_TICKS: u64 = 20;
/// How long somebody speaks before the next one does.
const TURN: Duration = Duration::from_secs(5);
/// RFC 6464: voice at -30 dBov, and silence.
const SPEAKING: u8 = 0x80 | 30;
const SILENT: u8 = 127;

/// Who speaks when, of the publishers of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speech {
    /// This one, counted from 0.
    pub index: u32,
    /// How many there are.
    pub of: u32,
    /// How many speak at a time; the others are silent, with DTX. They take turns of five seconds.
    pub speaking: u32,
}

impl Speech {
    fn is_speaking(&self, since_epoch: Duration) -> bool {
        let turn = (since_epoch.as_secs() / TURN.as_secs()) as u32;
        (self.index + turn) % self.of.max(1) < self.speaking
    }
}

/// What does not change from packet to packet.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Now.
    pub now: Instant,
    /// Time zero of stamps.
    pub epoch: Instant,
    /// Whether the window is open.
    pub measuring: bool,
}

struct Camera {
    encodings: Vec<Encoding>,
    fps: u32,
    pacing: Pacing,
    next: Instant,
    timestamp: u32,
    last: Option<Instant>,
    /// Paced packets: when, of which encoding, and what.
    queue: VecDeque<(Instant, usize, Payload)>,
    muted: bool,
}

struct Encoding {
    stream: Stream,
    rtx: Option<Stream>,
    source: VideoSource,
    keyframe: bool,
}

struct Microphone {
    stream: Stream,
    source: AudioSource,
    speech: Speech,
    ticks: u64,
    spoke: bool,
    next: Instant,
    timestamp: u32,
    last: Option<Instant>,
    muted: bool,
}

/// The sending side.
pub struct Sender {
    publisher: u16,
    camera: Option<Camera>,
    microphone: Option<Microphone>,
    report_at: Instant,
}

impl Sender {
    /// A publisher that begins at `start`.
    pub fn new(publisher: u16, lines: &[SendLine], media: &Media, speech: Speech, start: Instant) -> Self {
        let line = |kind| lines.iter().find(|line| line.kind == kind);
        let camera = media.video.zip(line(Kind::Video)).map(|(shape, line)| Camera {
            encodings: encodings(line, shape, media),
            fps: shape.fps,
            pacing: media.pacing,
            next: start,
            timestamp: rand::random(),
            last: None,
            queue: VecDeque::new(),
            muted: false,
        });
        let microphone = media.audio.zip(line(Kind::Audio)).map(|(bitrate, line)| Microphone {
            stream: Stream::new(line.encodings[0].ssrc, OFFERED.audio, &line.mid, None, false),
            source: AudioSource::new(bitrate).playing(media.audio_clip.clone()),
            speech,
            ticks: 0,
            spoke: false,
            next: start,
            timestamp: rand::random(),
            last: None,
            muted: false,
        });
        Self { publisher, camera, microphone, report_at: start + REPORT_INTERVAL }
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Instant {
        let camera = self.camera.iter().map(|camera| camera.queue.front().map_or(camera.next, |(at, ..)| *at));
        let microphone = self.microphone.iter().map(|microphone| microphone.next);
        camera.chain(microphone).fold(self.report_at, Instant::min)
    }

    /// Sends what is due.
    pub fn handle_timeout(&mut self, moment: Moment, out: &mut Out<'_>, buffer: &mut Vec<u8>) {
        let mark = Mark { publisher: self.publisher, measured: moment.measuring };
        if let Some(microphone) = &mut self.microphone {
            while microphone.next <= moment.now {
                microphone.tick(moment, mark, out);
            }
        }
        if let Some(camera) = &mut self.camera {
            camera.handle_timeout(moment, mark, out);
        }
        if moment.now >= self.report_at {
            self.report_at = moment.now + REPORT_INTERVAL;
            self.report(out, buffer);
        }
    }

    /// Takes feedback in plain text.
    pub fn on_rtcp(&mut self, packet: &[u8], out: &mut Out<'_>) {
        let Some(camera) = &mut self.camera else { return };
        for packet in packets(packet).flatten() {
            match packet {
                Packet::Pli(pli) => camera.want_keyframe(pli.media.0),
                Packet::Fir(fir) => fir.entries().for_each(|entry| camera.want_keyframe(entry.media.0)),
                Packet::Nack(nack) => {
                    let Some(encoding) = camera.encodings.iter_mut().find(|e| e.stream.ssrc() == nack.media.0) else {
                        continue;
                    };
                    let Some(rtx) = &mut encoding.rtx else { continue };
                    nack.iter().for_each(|sequence| rtx.send_again(out, &encoding.stream, sequence));
                }
                _ => {}
            }
        }
    }

    /// Stops or starts a track. Video starts with a keyframe.
    pub fn set_muted(&mut self, kind: Kind, muted: bool) {
        match kind {
            Kind::Audio => self.microphone.iter_mut().for_each(|microphone| microphone.muted = muted),
            Kind::Video => {
                if let Some(camera) = &mut self.camera {
                    camera.muted = muted;
                    camera.encodings.iter_mut().for_each(|encoding| encoding.keyframe = true);
                }
            }
        }
    }

    fn report(&self, out: &mut Out<'_>, buffer: &mut Vec<u8>) {
        let audio = self.microphone.iter().map(|microphone| (&microphone.stream, AUDIO_CLOCK, microphone.last));
        let video = self
            .camera
            .iter()
            .flat_map(|camera| camera.encodings.iter().map(|encoding| (&encoding.stream, VIDEO_CLOCK, camera.last)));
        for (stream, clock_rate, last) in audio.chain(video) {
            buffer.clear();
            stream.write_report(clock_rate, last, buffer);
            if !buffer.is_empty() {
                out.rtcp(buffer);
            }
        }
    }
}

fn encodings(line: &SendLine, shape: VideoShape, media: &Media) -> Vec<Encoding> {
    let shapes = if line.encodings.len() == 3 { shape.simulcast().to_vec() } else { vec![shape] };
    let streams = line.encodings.iter().zip(shapes);
    let encoding = |(encoding, shape): (&super::sdp::Encoding, VideoShape)| Encoding {
        stream: Stream::new(encoding.ssrc, OFFERED.video, &line.mid, encoding.rid, true),
        rtx: encoding.rtx.map(|ssrc| Stream::new(ssrc, OFFERED.rtx, &line.mid, encoding.rid, false)),
        source: VideoSource::new(shape, rand::random()).playing(media.video_clip.clone()),
        keyframe: true,
    };
    streams.map(encoding).collect()
}

impl Camera {
    fn handle_timeout(&mut self, moment: Moment, mark: Mark, out: &mut Out<'_>) {
        while self.next <= moment.now {
            self.frame(moment, mark, out);
        }
        while let Some((_, index, payload)) = self.queue.pop_front_if(|(at, ..)| *at <= moment.now) {
            self.send(index, payload, moment, out);
        }
    }

    fn frame(&mut self, moment: Moment, mark: Mark, out: &mut Out<'_>) {
        let (due, interval) = (self.next, Duration::from_secs(1) / self.fps);
        self.next += interval;
        self.timestamp = self.timestamp.wrapping_add(VIDEO_CLOCK / self.fps);
        if self.muted {
            return;
        }
        note_time(out, moment, due);
        // What was paced and not yet sent belongs to an earlier timestamp.
        while let Some((_, index, payload)) = self.queue.pop_front() {
            self.send(index, payload, Moment { now: moment.now, ..moment }, out);
        }
        self.last = Some(due);
        for index in 0..self.encodings.len() {
            let encoding = &mut self.encodings[index];
            let keyframe = std::mem::take(&mut encoding.keyframe);
            let frame = encoding.source.frame(keyframe, mark);
            out.totals.keyframes += u64::from(frame.first().is_some_and(Payload::is_keyframe));
            out.totals.frames += u64::from(mark.measured);
            let gap = interval / (frame.len() as u32).max(1);
            for (position, payload) in (0u32..).zip(frame) {
                match self.pacing {
                    Pacing::Burst => self.send(index, payload, moment, out),
                    Pacing::Even => self.queue.push_back((due + gap * position, index, payload)),
                }
            }
        }
        if self.encodings.len() > 1 {
            self.queue.make_contiguous().sort_by_key(|(at, ..)| *at);
        }
    }

    fn send(&mut self, index: usize, payload: Payload, moment: Moment, out: &mut Out<'_>) {
        let (marker, measured) = (payload.marker, payload.is_measured());
        let payload = payload.stamped(moment.epoch.elapsed().as_micros() as u64);
        if measured {
            out.totals.video.packets += 1;
            out.totals.video.bytes += payload.len() as u64;
        }
        self.encodings[index].stream.send(out, marker, self.timestamp, payload, None);
    }

    fn want_keyframe(&mut self, ssrc: u32) {
        self.encodings.iter_mut().filter(|e| e.stream.ssrc() == ssrc).for_each(|encoding| encoding.keyframe = true);
    }
}

impl Microphone {
    fn tick(&mut self, moment: Moment, mark: Mark, out: &mut Out<'_>) {
        let due = self.next;
        self.next += AUDIO_INTERVAL;
        self.timestamp = self.timestamp.wrapping_add(AUDIO_CLOCK / 1_000 * AUDIO_PACKET_MS);
        self.ticks += 1;
        if self.muted {
            return;
        }
        let speaks = self.speech.is_speaking(due.saturating_duration_since(moment.epoch));
        if !speaks && !self.ticks.is_multiple_of(DTX_TICKS) {
            self.spoke = false;
            return;
        }
        note_time(out, moment, due);
        self.last = Some(due);
        let payload = if speaks { self.source.packet(mark) } else { self.source.silence(mark) };
        let payload = payload.stamped(moment.epoch.elapsed().as_micros() as u64);
        if mark.measured {
            out.totals.audio.packets += 1;
            out.totals.audio.bytes += payload.len() as u64;
        }
        let starts = speaks && !std::mem::replace(&mut self.spoke, speaks);
        let level = if speaks { SPEAKING } else { SILENT };
        self.stream.send(out, starts, self.timestamp, payload, Some(level));
    }
}

fn note_time(out: &mut Out<'_>, moment: Moment, due: Instant) {
    if moment.measuring {
        out.totals.due += 1;
        out.totals.in_time += u64::from(moment.now.saturating_duration_since(due) <= TOLERANCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_take_turns() {
        let speaking = |seconds: u64| -> Vec<u32> {
            let is_speaking =
                |index: &u32| Speech { index: *index, of: 4, speaking: 1 }.is_speaking(Duration::from_secs(seconds));
            (0..4).filter(is_speaking).collect()
        };
        assert_eq!([speaking(0), speaking(4), speaking(5), speaking(20)], [vec![0], vec![0], vec![3], vec![0]]);
    }
}
