//! What a run does: who joins which rooms, what they send, what happens meanwhile, and when it failed.
//!
//! A scenario is a preset by name ([`preset`]), a YAML file with the same fields, or either of them with flags on top.
//! Rooms are alike; in each there are publishers (who only send), viewers (who only receive) and participants (who do
//! both). Everybody who receives sees everybody else of the room, as far as the target's limits let it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use crate::clip::{AudioClip, VideoClip};
use crate::media::VideoShape;
use crate::publisher::{Media, Pacing};
use crate::synthetic::link::Profile;
use crate::units::{Bitrate, Span};

/// All of a scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// For the report.
    pub name: String,
    /// How many rooms.
    pub rooms: u32,
    /// Per room, who only send.
    pub publishers: u32,
    /// Per room, who only receive.
    pub viewers: u32,
    /// Per room, who do both.
    pub participants: u32,
    /// Of each who sends; `null`: none.
    pub video: Option<Video>,
    /// Of each who sends; `null`: none.
    pub audio: Option<Audio>,
    /// Joins that begin per second.
    pub join_rate: f64,
    /// How long to measure.
    pub duration: Span,
    /// The share of peers that are those of the `webrtc` crate, 0 to 1.
    pub webrtc_share: f64,
    /// One packet in so many is opened and authenticated.
    pub open_every: u16,
    /// The last mile of each synthetic participant.
    pub link: Profile,
    /// While measuring, so many per second leave and others come for them.
    pub churn: f64,
    /// While measuring, so many tracks per second are muted or unmuted.
    pub mutes: f64,
    /// While measuring, so many more viewers join, at `join_rate`.
    pub storm: u32,
    /// More viewers step by step, until the server is at its end.
    pub step: Option<Step>,
    /// When to end early.
    pub stop: Stop,
    /// When the run has failed.
    pub thresholds: Thresholds,
}

/// A camera.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Video {
    /// Of payload; with simulcast that of the largest encoding.
    pub bitrate: Bitrate,
    /// Frames per second.
    pub fps: u32,
    /// Longest payload, in bytes.
    pub packet_size: u16,
    /// How the packets of a frame leave.
    pub pacing: Pacing,
    /// Three encodings.
    pub simulcast: bool,
    /// An IVF file of VP8 that is sent in place of filler: its bitrate, frame rate and keyframes.
    pub file: Option<PathBuf>,
}

/// A microphone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audio {
    /// Of payload.
    pub bitrate: Bitrate,
    /// How many of a room speak at a time, in turns; the others are silent, with DTX. `null`: all.
    pub speaking: Option<u32>,
    /// An Ogg file of Opus that is sent in place of filler.
    pub file: Option<PathBuf>,
}

/// Steps to the knee.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Step {
    /// Viewers per step and room.
    pub viewers: u32,
    /// How long a step is measured.
    pub every: Span,
    /// The most viewers per room.
    pub max: u32,
}

/// When a run ends early: three bad seconds in a row.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stop {
    /// More loss than this, in per cent.
    pub loss_percent: Option<f64>,
    /// A longer latency at the 99th percentile, in milliseconds.
    pub latency_p99_ms: Option<f64>,
}

/// What makes a run fail, each if it is set.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// Loss, in per cent.
    pub max_loss_percent: Option<f64>,
    /// The server's CPU per delivered packet, in microseconds.
    pub max_cpu_us: Option<f64>,
    /// Forwarding latency, 99th percentile, in milliseconds.
    pub max_latency_p99_ms: Option<f64>,
    /// From the join to the first keyframe, 99th percentile, in milliseconds.
    pub max_join_p99_ms: Option<f64>,
    /// Freezes of all viewers together.
    pub max_freezes: Option<u64>,
    /// Delivered packets per second.
    pub min_packets_per_second: Option<f64>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: "custom".to_owned(),
            rooms: 1,
            publishers: 0,
            viewers: 0,
            participants: 0,
            video: Some(Video::default()),
            audio: Some(Audio::default()),
            join_rate: 20.0,
            duration: Span(Duration::from_secs(10)),
            webrtc_share: 0.0,
            open_every: 1,
            link: Profile::default(),
            churn: 0.0,
            mutes: 0.0,
            storm: 0,
            step: None,
            stop: Stop::default(),
            thresholds: Thresholds::default(),
        }
    }
}

impl Default for Video {
    fn default() -> Self {
        Self {
            bitrate: Bitrate(1_500_000),
            fps: 30,
            packet_size: 1_160,
            pacing: Pacing::Burst,
            simulcast: false,
            file: None,
        }
    }
}

impl Default for Audio {
    fn default() -> Self {
        Self { bitrate: Bitrate(32_000), speaking: None, file: None }
    }
}

impl Default for Step {
    fn default() -> Self {
        Self { viewers: 50, every: Span(Duration::from_secs(5)), max: 3_000 }
    }
}

/// Names of presets, and what each is, for the help.
pub const PRESETS: [(&str, &str); 9] = [
    ("livestream", "1 publisher of 2.5 Mbps to 50 viewers"),
    ("meeting", "10 who all send and see each other, with simulcast"),
    ("audio-room", "10 speakers to 100 listeners"),
    ("rooms", "50 rooms of 4"),
    ("join-storm", "200 viewers join at once while 20 watch"),
    ("churn", "a meeting of 20 in which 2 per second are replaced"),
    ("mute-storm", "a meeting of 20 in which 20 tracks per second are muted or unmuted"),
    ("knee", "1 -> n, 50 more viewers every 5 s until it breaks"),
    ("soak", "a meeting of 10 and its churn, for 8 hours"),
];

/// The preset of this name.
pub fn preset(name: &str) -> Option<Scenario> {
    let base = Scenario { name: name.to_owned(), ..Scenario::default() };
    let meeting = |participants| Scenario {
        participants,
        video: Some(Video { simulcast: true, ..Video::default() }),
        audio: Some(Audio { speaking: Some(2), ..Audio::default() }),
        ..base.clone()
    };
    let live = Video { bitrate: Bitrate(2_500_000), ..Video::default() };
    Some(match name {
        "livestream" => Scenario { publishers: 1, viewers: 50, video: Some(live), ..base },
        "meeting" => meeting(10),
        "audio-room" => Scenario { publishers: 10, viewers: 100, video: None, ..base },
        "rooms" => Scenario { rooms: 50, ..meeting(4) },
        "join-storm" => Scenario { publishers: 1, viewers: 20, storm: 200, join_rate: 200.0, ..base },
        "churn" => Scenario { churn: 2.0, ..meeting(20) },
        "mute-storm" => Scenario { mutes: 20.0, ..meeting(20) },
        "knee" => Scenario {
            publishers: 1,
            viewers: 50,
            video: Some(live),
            step: Some(Step::default()),
            stop: Stop { loss_percent: Some(0.5), latency_p99_ms: Some(250.0) },
            join_rate: 50.0,
            ..base
        },
        "soak" => Scenario { churn: 0.2, duration: Span(Duration::from_secs(8 * 3_600)), ..meeting(10) },
        _ => return None,
    })
}

impl Scenario {
    /// A preset, or else a YAML file.
    pub fn named(name: &str) -> anyhow::Result<Self> {
        if let Some(scenario) = preset(name) {
            return Ok(scenario);
        }
        ensure!(
            Path::new(name).exists(),
            "{name} is neither a file nor one of {}",
            PRESETS.map(|(name, _)| name).join(", ")
        );
        let text = std::fs::read_to_string(name).with_context(|| name.to_owned())?;
        serde_yaml_ng::from_str(&text).with_context(|| name.to_owned())
    }

    /// Refuses what makes no sense.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!(self.rooms > 0, "no rooms");
        ensure!(self.senders() > 0, "nobody sends: set publishers or participants");
        ensure!(self.viewers + self.participants > 0, "nobody receives: set viewers or participants");
        ensure!(self.video.is_some() || self.audio.is_some(), "neither video nor audio is sent");
        ensure!(self.join_rate > 0.0, "join_rate is 0");
        ensure!((0.0..=1.0).contains(&self.webrtc_share), "webrtc_share is not between 0 and 1");
        ensure!(self.video.as_ref().is_none_or(|video| (1..=120).contains(&video.fps)), "fps is not between 1 and 120");
        let has_encoder = |video: &Video| !(video.simulcast && video.file.is_some());
        ensure!(self.video.as_ref().is_none_or(has_encoder), "a video file is one encoding: set simulcast to false");
        ensure!(self.open_every >= 1, "open_every is 0");
        ensure!(u64::from(self.senders()) * u64::from(self.rooms) <= 0xffff, "more than 65,535 publishers");
        Ok(())
    }

    /// Per room, who send.
    pub fn senders(&self) -> u32 {
        self.publishers + self.participants
    }

    /// What each publisher sends.
    pub fn media(&self) -> Media {
        let shape = |video: &Video| VideoShape {
            bitrate: video.bitrate.0,
            fps: video.fps,
            max_payload: video.packet_size.into(),
            size: (1_280, 720),
            encoding: 0,
        };
        Media {
            video: self.video.as_ref().map(shape),
            audio: self.audio.as_ref().map(|audio| audio.bitrate.0),
            video_clip: None,
            audio_clip: None,
            pacing: self.video.as_ref().map_or(Pacing::Burst, |video| video.pacing),
        }
    }

    /// The same with what is in files, which is read.
    pub fn load_media(&self) -> anyhow::Result<Media> {
        let mut media = self.media();
        if let Some(path) = self.video.as_ref().and_then(|video| video.file.as_ref()) {
            let clip = VideoClip::read(path)?;
            media.video = media.video.map(|shape| VideoShape { fps: clip.fps, size: clip.size, ..shape });
            media.video_clip = Some(clip);
        }
        if let Some(path) = self.audio.as_ref().and_then(|audio| audio.file.as_ref()) {
            media.audio_clip = Some(AudioClip::read(path)?);
        }
        Ok(media)
    }

    /// Whether it is known beforehand which packets each receiver should get: everybody's, all the time.
    pub fn is_static(&self) -> bool {
        let simulcast = self.video.as_ref().is_some_and(|video| video.simulcast);
        !simulcast && self.churn == 0.0 && self.storm == 0 && self.step.is_none() && self.open_every == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_makes_sense_and_survives_yaml() {
        for (name, _) in PRESETS {
            let scenario = preset(name).unwrap();
            scenario.check().unwrap();
            let text = serde_yaml_ng::to_string(&scenario).unwrap();
            assert_eq!(serde_yaml_ng::from_str::<Scenario>(&text).unwrap(), scenario, "{text}");
        }
        assert_eq!(preset("nonsense"), None);
    }

    #[test]
    fn yaml_says_only_what_differs() {
        let text = "name: town hall\npublishers: 3\nviewers: 400\nvideo: {bitrate: 2.5M, pacing: even}\naudio: null\n\
                    duration: 1m\nthresholds: {max_loss_percent: 0.1}\n";
        let scenario: Scenario = serde_yaml_ng::from_str(text).unwrap();
        scenario.check().unwrap();
        assert_eq!((scenario.viewers, scenario.audio.clone()), (400, None));
        assert_eq!(scenario.media().video.unwrap().bitrate, 2_500_000);
        assert_eq!(scenario.thresholds.max_loss_percent, Some(0.1));
        assert!(scenario.is_static());
        assert!(serde_yaml_ng::from_str::<Scenario>("viewer: 3").is_err(), "a misspelt field is refused");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let good = preset("livestream").unwrap();
        let bad = [
            Scenario { publishers: 0, ..good.clone() },
            Scenario { viewers: 0, ..good.clone() },
            Scenario { video: None, audio: None, ..good.clone() },
            Scenario { join_rate: 0.0, ..good.clone() },
            Scenario { webrtc_share: 1.5, ..good.clone() },
            Scenario {
                video: Some(Video { simulcast: true, file: Some("clip.ivf".into()), ..Video::default() }),
                ..good
            },
        ];
        for scenario in bad {
            assert!(scenario.check().is_err(), "{scenario:?}");
        }
    }
}
