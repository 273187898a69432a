//! What must hold of who is heard and who is shown.

use sfu_core::control::{SlotRole, Source};
use sfu_core::id::TrackId;

use super::super::client::TrackKindKey;
use super::Simulation;

impl Simulation {
    /// No more microphones than allowed are forwarded.
    pub(super) fn check_loudest(&self) {
        let heard = self.room.publications().filter(|(_, publication)| publication.is_voice() && publication.audible);
        assert!(self.loudest.is_none_or(|limit| heard.count() <= limit));
    }

    pub(super) fn is_audible(&self, track: TrackId) -> bool {
        self.room.publications().any(|(_, publication)| publication.track == track && publication.audible)
    }

    fn is_screen(&self, track: TrackId) -> bool {
        self.room
            .publications()
            .any(|(_, publication)| publication.track == track && publication.source == Source::Screen)
    }

    /// Who speaks is heard, and shown to everybody who has a pair and wants to see them.
    pub(super) fn check_the_talker_is_shown(&self) {
        let Some(talker) = self.talker else { return };
        let (publisher, ..) = self.tracks[&talker.csrc()];
        assert!(self.is_audible(talker), "who speaks is heard");
        for (index, client) in self.clients.iter().enumerate().filter(|(_, client)| client.alive && !client.pins) {
            // A screen share in a pair yields to nobody.
            let yields = |slot: &usize| {
                let track = client.server_view.tracks.get(&(*slot as u8, TrackKindKey::Video)).map(|(track, _)| *track);
                client.layout[*slot].role == SlotRole::Pair && track.is_none_or(|track| !self.is_screen(track))
            };
            let has_pair = (0..client.layout.len()).any(|slot| yields(&slot));
            if index == publisher || !has_pair || self.unwanted.contains(&(index, talker)) {
                continue;
            }
            let shown = client.server_view.tracks.iter().find(|(_, (track, _))| *track == talker);
            let ((slot, _), _) = shown.unwrap_or_else(|| panic!("{index} does not hear {publisher}, who speaks"));
            let role = client.layout[usize::from(*slot)].role;
            assert_eq!(role, SlotRole::Pair, "{index} does not see {publisher}, who speaks");
        }
    }
}
