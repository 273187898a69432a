//! What a worker past its limit withholds: of whom, in which order, and what it tells them.

use sfu_core::control::{ControlError, Negotiation};
use sfu_core::id::ParticipantId;
use sfu_core::overload::{ALL as EVERYTHING, FULL};

use super::*;
use crate::support::offer::OPUS;
use crate::support::{MICROPHONE, credentials, lines};

impl Meeting {
    /// So many viewers, and a microphone beside the camera.
    fn heard(viewers: usize) -> Self {
        let mut meeting = Self::new(viewers);
        meeting.world.publish(meeting.publisher, MICROPHONE, Source::Microphone);
        meeting.settle();
        meeting
    }

    /// Until encodings that nobody took before have come.
    fn shed(&mut self, level: u16) {
        self.world.core.set_shed_level(self.world.now, level);
        self.run(25);
    }

    /// How many viewers were told this last.
    fn count(&self, rid: Option<&str>, limit: Limit) -> usize {
        (0..self.viewers.len()).filter(|viewer| self.told(*viewer) == (rid, limit)).count()
    }

    /// Says something; how many packets of it each viewer got.
    fn speak(&mut self, packets: u64) -> Vec<usize> {
        self.viewers.iter().for_each(|viewer| self.world.clients[*viewer].rtp.clear());
        for _ in 0..packets {
            self.frames += 1;
            let packet = Packet {
                payload_type: OPUS,
                ssrc: 200,
                seq: 0x1_0000 + self.frames,
                timestamp: self.frames as u32 * 960,
                marker: false,
                extensions: &[(MID, MICROPHONE.as_bytes())],
                payload: &[7; 60],
            };
            self.world.send_rtp(self.publisher, &packet);
            self.world.advance(Duration::from_millis(20));
        }
        self.viewers.iter().map(|viewer| self.got(*viewer, 60)).collect()
    }

    fn join(&mut self) -> Result<(), ControlError> {
        let (request, room) = (self.world.request(), self.room);
        let (lines, slots) = lines(1);
        let fingerprint = self.world.clients[0].answer.fingerprint;
        let offer = crate::support::offer::parsed(&credentials(99, 0), &fingerprint, &lines);
        let participant = ParticipantId::from_bytes([9; 12]);
        let negotiation = Negotiation { offer, slots };
        self.world.command(Command::Join { request, room, participant, settings: VIEWER, negotiation });
        let answered = self.world.take_events(|event| matches!(event, Event::Negotiated { .. }));
        match answered.into_iter().next() {
            Some(Event::Negotiated { result, .. }) => result.map(drop),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn enhancement_layers_go_first_for_as_many_as_it_takes() {
    let mut meeting = Meeting::heard(12);
    assert_eq!(meeting.count(Some("f"), Limit::None), 12);
    meeting.shed(300);
    let lowered = meeting.count(Some("h"), Limit::Overload);
    assert!((2..=10).contains(&lowered), "{lowered} of 12 for a third");
    assert_eq!(meeting.count(Some("f"), Limit::None), 12 - lowered, "the others as before");
    let before: Vec<_> = (0..12).filter(|viewer| meeting.told(*viewer).1 == Limit::Overload).collect();
    meeting.shed(400);
    assert!(before.iter().all(|viewer| meeting.told(*viewer).1 == Limit::Overload), "always the same first");
    meeting.shed(700);
    assert_eq!(
        meeting.count(None, Limit::Overload),
        0,
        "nobody loses the picture while others have more than the lowest"
    );
    meeting.run(15);
    assert!(meeting.run(30).iter().all(|[q, h, f]| q + h >= 28 && *f < 50), "what was told is done");
    let lowered = (0..12).find(|viewer| meeting.told(*viewer) == (Some("h"), Limit::Overload)).unwrap();
    assert_eq!(meeting.reason(lowered), "360p: the server is overloaded");
    meeting.shed(900);
    assert_eq!(meeting.count(None, Limit::Overload), 0);
    assert!(meeting.count(Some("q"), Limit::Overload) >= 10);
}

#[test]
fn audio_goes_on_when_all_video_is_withheld_and_all_comes_back() {
    let mut meeting = Meeting::heard(3);
    meeting.shed(EVERYTHING);
    assert_eq!(meeting.count(None, Limit::Overload), 3);
    assert_eq!(meeting.reason(0), "paused: the server is overloaded");
    assert!(meeting.run(60).iter().all(|got| *got == [0, 0, 0]));
    assert_eq!(meeting.wanted, [false; 3], "publishers need not send what is not forwarded");
    assert_eq!(meeting.speak(50), [50; 3]);
    meeting.shed(0);
    meeting.run(30);
    assert_eq!(meeting.count(Some("f"), Limit::None), 3);
    assert!(meeting.run(30).iter().all(|[.., f]| *f >= 200));
}

#[test]
fn who_was_pinned_or_matters_more_keeps_the_picture_longest() {
    let mut meeting = Meeting::heard(2);
    meeting.configure(0, SubscriptionSettings { priority: sfu_core::control::Priority::High, ..ALL });
    meeting.shed(950);
    assert_eq!(meeting.told(1), (None, Limit::Overload));
    assert_eq!(meeting.told(0), (Some("q"), Limit::Overload));
}

#[test]
fn newcomers_are_refused_when_nothing_is_left_to_shed() {
    let mut meeting = Meeting::heard(1);
    meeting.shed(FULL);
    assert!(matches!(meeting.join(), Err(ControlError::Overloaded)));
    meeting.shed(FULL - 1);
    assert!(meeting.join().is_ok());
}

#[test]
fn what_came_too_late_is_dropped_unless_it_is_audio() {
    let mut meeting = Meeting::heard(1);
    meeting.world.core.set_behind(true);
    let sent: u64 = FRAMES.iter().zip(meeting.wanted).filter(|(_, wanted)| *wanted).map(|((n, _), _)| n).sum();
    let discarded = meeting.world.core.counters().discarded;
    assert_eq!(meeting.run(10)[0], [0, 0, 0]);
    assert_eq!(meeting.world.core.counters().discarded - discarded, 10 * sent);
    assert_eq!(meeting.speak(10), [10]);
    meeting.world.core.set_behind(false);
    meeting.run(20);
    assert!(meeting.run(30)[0][2] >= 200, "as after any loss");
}
