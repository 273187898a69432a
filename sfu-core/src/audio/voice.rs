//! One microphone: how loud it is, and whether somebody speaks into it.
//!
//! - The level follows rises within 100 ms and falls over several 100 ms, so that a pause between two words is none.
//! - Somebody speaks after [`ONSET`] of speech, which clicks and coughs do not reach, and until [`HOLD`] after the last.
//! - The voice-activity bit V counts for streams that ever set it: then a packet without it is noise, however loud. Some
//!   clients never set it (RFC 6464 section 3 lets them); theirs are judged by level alone.
//! - A stream without levels (no such extension negotiated) is taken to be speech at [`UNKNOWN`] while packets come, and
//!   silence while none do, or only Opus DTX frames. It competes with others, and yields to whoever is clearly louder.

use std::time::{Duration, Instant};

use crate::rtp::values::AudioLevel;

use super::Loudness;

/// So much speech, pauses subtracted, makes a speaker.
pub const ONSET: Duration = Duration::from_millis(100);

/// Somebody who was silent for so long speaks no more.
pub const HOLD: Duration = Duration::from_millis(700);

/// The level of a stream that tells none: -40 dBov, quiet speech.
const UNKNOWN: Loudness = Loudness(87.0);

/// The time constant of rises, in seconds: 95 % in 90 ms.
const ATTACK: f32 = 0.03;

/// The time constant of falls, in seconds: 10 dB above the noise are lost in a pause of 60 ms, 40 dB in half a second.
const RELEASE: f32 = 0.25;

/// The longest packet that browsers send. After a longer gap the level falls.
const PACKET: Duration = Duration::from_millis(60);

/// A longer gap is DTX, or a loss that is as good as silence: what comes next is a beginning.
const PAUSE: Duration = Duration::from_millis(120);

/// How long a stream's first packet is.
const FIRST_PACKET: Duration = Duration::from_millis(20);

/// One microphone.
#[derive(Debug, Clone, Copy)]
pub struct Voice {
    level: Loudness,
    last_packet: Option<Instant>,
    /// Speech, less the silence since, up to [`ONSET`].
    evidence: Duration,
    /// V was set once.
    marks_voice: bool,
    /// The last turn of speaking: from when to when.
    turn: Option<Turn>,
}

#[derive(Debug, Clone, Copy)]
struct Turn {
    since: Instant,
    last: Instant,
    /// Cut short by a mute.
    over: bool,
}

impl Voice {
    /// Nothing was heard yet.
    pub const SILENT: Self =
        Self { level: Loudness::SILENCE, last_packet: None, evidence: Duration::ZERO, marks_voice: false, turn: None };

    /// Digests a packet: what its header says, and whether its payload is as small as only silence is.
    pub fn on_packet(&mut self, now: Instant, level: Option<AudioLevel>, payload_len: usize) {
        let heard = self.heard(level, payload_len);
        let gap = self.last_packet.map(|at| now.saturating_duration_since(at)).filter(|gap| *gap <= PAUSE);
        let duration = gap.map_or(FIRST_PACKET, |gap| gap.min(PACKET));
        let before = self.level(now);
        let (dt, constant) = (duration.as_secs_f32(), if heard > before { ATTACK } else { RELEASE });
        // Backward Euler: stable for any step, and without an exponential per packet.
        self.level = before.plus((heard.0 - before.0) * dt / (dt + constant));
        self.last_packet = Some(now);
        let loud = heard >= Loudness::SPEECH;
        self.evidence = match (gap, loud) {
            (None, true) => duration,
            (None, false) => Duration::ZERO,
            (Some(_), true) => (self.evidence + duration).min(ONSET),
            (Some(_), false) => self.evidence.saturating_sub(duration),
        };
        if loud {
            self.on_speech(now);
        }
    }

    /// How loud it is.
    pub fn level(&self, now: Instant) -> Loudness {
        let Some(last) = self.last_packet else { return Loudness::SILENCE };
        let gap = now.saturating_duration_since(last).saturating_sub(PACKET);
        if gap.is_zero() { self.level } else { Loudness(self.level.0 * (-gap.as_secs_f32() / RELEASE).exp()) }
    }

    /// Since when somebody speaks; `None`: nobody does.
    pub fn speaking_since(&self, now: Instant) -> Option<Instant> {
        self.current(now).map(|turn| turn.since)
    }

    /// When somebody spoke last.
    pub fn spoke(&self) -> Option<Instant> {
        self.turn.map(|turn| turn.last)
    }

    /// Silence from now on: what came before does not count any more.
    pub fn mute(&mut self) {
        let turn = self.turn.map(|turn| Turn { over: true, ..turn });
        *self = Self { marks_voice: self.marks_voice, turn, ..Self::SILENT };
    }

    fn current(&self, now: Instant) -> Option<Turn> {
        self.turn.filter(|turn| !turn.over && now.saturating_duration_since(turn.last) < HOLD)
    }

    fn heard(&mut self, level: Option<AudioLevel>, payload_len: usize) -> Loudness {
        match level {
            // A frame of DTX is the TOC byte and at most one more (RFC 6716 section 3.1, libopus).
            None if payload_len <= 2 => Loudness::SILENCE,
            None => UNKNOWN,
            Some(level) => {
                self.marks_voice |= level.voice;
                if self.marks_voice && !level.voice { Loudness::SILENCE } else { Loudness::of(level) }
            }
        }
    }

    fn on_speech(&mut self, now: Instant) {
        let since = match self.current(now) {
            Some(turn) => turn.since,
            None if self.evidence >= ONSET => now,
            None => return,
        };
        self.turn = Some(Turn { since, last: now, over: false });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Packets of 20 ms, each with a level below the overload point.
    struct Stream {
        voice: Voice,
        now: Instant,
    }

    impl Stream {
        fn new() -> Self {
            Self { voice: Voice::SILENT, now: Instant::now() }
        }

        fn packet(&mut self, level: Option<AudioLevel>) {
            self.now += Duration::from_millis(20);
            self.voice.on_packet(self.now, level, 80);
        }

        /// `millis` of packets at this level, without V.
        fn play(&mut self, level: u8, millis: u64) {
            (0..millis / 20).for_each(|_| self.packet(Some(AudioLevel { voice: false, level })));
        }

        fn speaks(&self) -> bool {
            self.voice.speaking_since(self.now).is_some()
        }

        fn level(&self) -> f32 {
            self.voice.level(self.now).0
        }
    }

    #[test]
    fn speech_is_noticed_within_an_eighth_of_a_second_and_held_over_pauses() {
        let mut stream = Stream::new();
        stream.play(75, 2_000);
        assert!(!stream.speaks());
        stream.play(25, 120);
        assert!(stream.speaks());
        assert!(stream.level() > 98.0, "{} of 102", stream.level());
        let since = stream.voice.speaking_since(stream.now);
        stream.play(75, 400);
        assert_eq!(stream.voice.speaking_since(stream.now), since, "between two words");
        stream.play(25, 40);
        assert_eq!(stream.voice.speaking_since(stream.now), since);
        stream.play(75, HOLD.as_millis() as u64 + 20);
        assert!(!stream.speaks());
        assert!(stream.level() < 58.0, "{} of 52", stream.level());
    }

    #[test]
    fn clicks_make_no_speaker() {
        let mut stream = Stream::new();
        for _ in 0..50 {
            stream.play(75, 100);
            stream.play(5, 60);
            assert!(!stream.speaks());
        }
    }

    #[test]
    fn silence_is_not_sent_by_dtx() {
        let mut stream = Stream::new();
        stream.play(25, 1_000);
        let loud = stream.level();
        stream.now += Duration::from_millis(60);
        assert_eq!(stream.level(), loud, "jitter");
        stream.now += Duration::from_millis(700);
        assert!(stream.level() < 10.0);
        assert!(!stream.speaks());
        stream.play(25, 80);
        assert!(!stream.speaks(), "a new turn needs a new onset");
        stream.play(25, 20);
        assert!(stream.speaks());
    }

    #[test]
    fn v_counts_for_those_who_set_it() {
        let level = |voice| Some(AudioLevel { voice, level: 20 });
        let mut stream = Stream::new();
        (0..50).for_each(|_| stream.packet(level(false)));
        assert!(stream.speaks(), "it never sets V");
        stream.packet(level(true));
        (0..50).for_each(|_| stream.packet(level(false)));
        assert!(!stream.speaks(), "it does, so that this is noise");
        (0..6).for_each(|_| stream.packet(level(true)));
        assert!(stream.speaks());
    }

    #[test]
    fn without_levels_packets_are_speech_and_dtx_is_silence() {
        let mut stream = Stream::new();
        (0..10).for_each(|_| stream.packet(None));
        assert!(stream.speaks());
        for _ in 0..50 {
            stream.now += Duration::from_millis(20);
            stream.voice.on_packet(stream.now, None, 1);
        }
        assert!(!stream.speaks());
    }

    #[test]
    fn a_mute_is_silence_at_once_but_who_spoke_is_remembered() {
        let mut stream = Stream::new();
        stream.play(20, 500);
        let spoke = stream.voice.spoke();
        stream.voice.mute();
        assert!(!stream.speaks());
        assert_eq!((stream.level(), stream.voice.spoke()), (0.0, spoke));
        stream.play(20, 80);
        assert!(!stream.speaks());
        stream.play(20, 20);
        assert!(stream.speaks());
    }

    proptest! {
        /// Whatever comes: the level stays between the extremes that were heard, and who speaks was heard lately.
        #[test]
        fn levels_stay_in_bounds(packets in prop::collection::vec((0u64..500, any::<Option<u8>>(), 0usize..4), 1..100)) {
            let mut voice = Voice::SILENT;
            let mut now = Instant::now();
            let (mut loudest, mut last_loud) = (Loudness::SILENCE, None);
            for (gap, byte, len) in packets {
                now += Duration::from_millis(gap);
                let level = byte.and_then(|byte| AudioLevel::parse(&[byte]));
                voice.on_packet(now, level, len);
                let heard = level.map_or(UNKNOWN, Loudness::of);
                loudest = if heard > loudest { heard } else { loudest };
                last_loud = if heard >= Loudness::SPEECH { Some(now) } else { last_loud };
                prop_assert!((Loudness::SILENCE..=loudest.plus(0.01)).contains(&voice.level(now)));
                let later = now + HOLD;
                prop_assert!(voice.level(later) <= voice.level(now));
                prop_assert_eq!(voice.speaking_since(later), None);
                prop_assert!(voice.speaking_since(now).is_none_or(|_| last_loud.is_some_and(|at| now - at < HOLD)));
            }
        }
    }
}
