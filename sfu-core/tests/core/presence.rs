//! A publisher that vanishes: viewers without a say are shown somebody else, the others are told.

use std::time::Duration;

use sfu_core::control::{ConnectionQuality, Event, ParticipantSettings, Source};
use sfu_core::id::{ParticipantId, RoomId};

use crate::support::offer::{MID, VP8};
use crate::support::{CAMERA, Packet, VIEWER, World, vp8_payload};

/// A viewer that says whom it is shown, and is told.
const CLIENT: ParticipantSettings = ParticipantSettings { confirms_slots: true, ..VIEWER };

/// Publishes only.
const PUBLISHER: ParticipantSettings = ParticipantSettings { can_subscribe: false, ..VIEWER };

const FRAME: Duration = Duration::from_millis(100);

/// Frames of 6 s: a camera that is silent for so long is gone.
const FRAMES: u64 = 60;

struct Stage {
    world: World,
    room: RoomId,
    frame: u64,
}

impl Stage {
    fn new() -> Self {
        let mut world = World::new();
        let room = world.open_room();
        Self { world, room, frame: 0 }
    }

    fn publisher(&mut self) -> usize {
        let publisher = self.world.connect(self.room, PUBLISHER, 0);
        self.world.publish(publisher, CAMERA, Source::Camera);
        publisher
    }

    /// These publishers send, and nobody else does.
    fn pass(&mut self, frames: u64, publishers: &[usize]) {
        for _ in 0..frames {
            self.frame += 1;
            for publisher in publishers {
                let payload = vp8_payload(self.frame as u16, self.frame as u8, true, true, 500);
                let packet = Packet {
                    payload_type: VP8,
                    ssrc: 100 + *publisher as u32,
                    seq: 0x1_0000 + self.frame,
                    timestamp: self.frame as u32 * 9_000,
                    marker: true,
                    extensions: &[(MID, CAMERA.as_bytes())],
                    payload: &payload,
                };
                self.world.send_rtp(*publisher, &packet);
            }
            self.world.advance(FRAME);
        }
    }

    /// Whom the first slot of a viewer shows.
    fn shown(&self, viewer: usize) -> Option<ParticipantId> {
        let of_viewer = |event: &&Event| event.participant() == Some(self.world.clients[viewer].id);
        let mut slots = self.world.events.iter().filter(of_viewer).filter_map(|event| match event {
            Event::Slots { slots, .. } => slots.iter().find(|slot| slot.slot == 0),
            _ => None,
        });
        slots.next_back()?.participant
    }

    fn id(&self, client: usize) -> Option<ParticipantId> {
        Some(self.world.clients[client].id)
    }

    fn was_told_lost(&self, client: usize) -> bool {
        let lost = (self.world.clients[client].id, ConnectionQuality::Lost);
        let names_it = |event: &Event| matches!(event, Event::Qualities { qualities, .. } if qualities.contains(&lost));
        self.world.events.iter().any(names_it)
    }
}

#[test]
fn who_vanishes_yields_to_who_is_there() {
    let mut stage = Stage::new();
    let (first, second) = (stage.publisher(), stage.publisher());
    let watching = stage.world.connect(stage.room, VIEWER, 1);
    let client = stage.world.connect(stage.room, CLIENT, 1);
    stage.pass(10, &[first, second]);
    assert_eq!((stage.shown(watching), stage.shown(client)), (stage.id(first), stage.id(first)));
    assert!(!stage.was_told_lost(first));

    stage.pass(FRAMES, &[second]);
    assert_eq!(stage.shown(watching), stage.id(second), "it has no say, and sees who is there");
    assert_eq!(stage.shown(client), stage.id(first), "it may choose, and is told");
    assert!(stage.was_told_lost(first) && !stage.was_told_lost(second));

    let late = stage.world.connect(stage.room, VIEWER, 1);
    stage.pass(1, &[second]);
    assert_eq!(stage.shown(late), stage.id(second));

    stage.pass(10, &[first, second]);
    assert_eq!(stage.shown(watching), stage.id(second), "who is back waits for a free slot");
}

#[test]
fn the_only_one_is_shown_also_in_silence_and_leaves_when_another_begins() {
    let mut stage = Stage::new();
    let first = stage.publisher();
    stage.pass(10, &[first]);
    stage.pass(FRAMES, &[]);
    let watching = stage.world.connect(stage.room, VIEWER, 1);
    assert_eq!(stage.shown(watching), stage.id(first), "there is nobody else");
    let second = stage.publisher();
    stage.pass(5, &[]);
    assert_eq!(stage.shown(watching), stage.id(first), "nothing comes of the other either");
    stage.pass(FRAMES, &[second]);
    assert_eq!(stage.shown(watching), stage.id(second), "the first was asked for, and did not come");
}

#[test]
fn a_camera_that_nobody_takes_may_rest() {
    let mut stage = Stage::new();
    let first = stage.publisher();
    stage.pass(30, &[first]);
    stage.pass(2 * FRAMES, &[]);
    assert!(!stage.was_told_lost(first), "it was told that nobody takes it");
}
