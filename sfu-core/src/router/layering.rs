//! Every line follows what its publication sends; keyframes are asked for of the encodings that lines wait for, within the rule
//! of [`keyframe`](super::keyframe). For a line that cannot take the publication's codec nothing is asked.

use std::time::Instant;

use crate::control::TrackKind;
use crate::id::Ssrc;

use super::{MemberIndex, Room};

impl Room {
    /// Tells all video lines which encodings flow, and the encodings whether a line waits for their keyframe.
    pub(super) fn follow_flows(&mut self, now: Instant) {
        for (_, publication) in &self.publications {
            if publication.source.kind() == TrackKind::Audio {
                continue;
            }
            let publisher = publication.publisher.0 as usize;
            let Some(from) = self.members[publisher].receiver.line_of(&publication.mid) else { continue };
            let flows = from.flows(now);
            let (mut awaited, codec) = (0_u32, publication.codec());
            for subscriber in &publication.subscribers {
                let line = &mut self.members[subscriber.member.0 as usize].lines[usize::from(subscriber.line)];
                line.follow(&flows);
                awaited |= line.asks(now, codec).map_or(0, |encoding| 1 << encoding);
            }
            if publication.muted {
                awaited = 0;
            }
            let Some(from) = self.members[publisher].receiver.line_of(&publication.mid) else { continue };
            for (index, encoding) in from.encodings.iter_mut().enumerate() {
                encoding.keyframes.set_awaited(awaited & (1 << index) != 0);
            }
        }
    }

    /// A subscriber's decoder has to begin anew: it needs a keyframe of what it is sent.
    pub(super) fn on_keyframe_request(&mut self, now: Instant, member: MemberIndex, media: Ssrc) {
        let Some(asking) = self.member(member) else { return };
        let rtt = asking.rtt();
        let Some(place) = asking.lines.iter().position(|line| line.ssrc() == media.0) else { return };
        let line = &asking.lines[place];
        let Some((index, key)) = line.publication().zip(line.flowing()) else { return };
        let Some(publication) = self.publications.get(index.0 as usize) else { return };
        if publication.source.kind() == TrackKind::Audio || publication.muted {
            return;
        }
        // Nobody is in its own slots, so that these are two members.
        let places = (member.0 as usize, publication.publisher.0 as usize);
        let Some((asking, publisher)) = self.members.get2_mut(places.0, places.1) else { return };
        let encoding = publisher.receiver.line_of(&publication.mid).and_then(|from| from.encoding_mut(key));
        // What was sent before the last keyframe can have arrived is answered by it.
        let sent = now.checked_sub(rtt).unwrap_or(now);
        let keyframes = encoding.map(|encoding| &mut encoding.keyframes);
        let Some(keyframes) = keyframes.filter(|of| !of.is_wanted() && of.is_missing_since(sent)) else { return };
        if asking.lines[place].asker.may_repair(now) {
            keyframes.request();
        }
    }
}
