//! Every line follows what its publication sends; keyframes are asked for of the encodings that lines wait for.

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
            let mut awaited = 0_u32;
            for subscriber in &publication.subscribers {
                let line = &mut self.members[subscriber.member.0 as usize].lines[usize::from(subscriber.line)];
                line.follow(&flows);
                awaited |= line.awaits().map_or(0, |encoding| 1 << encoding);
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
    pub(super) fn on_keyframe_request(&mut self, member: MemberIndex, media: Ssrc) {
        let line = self.member(member).and_then(|member| member.lines.iter().find(|line| line.ssrc() == media.0));
        let Some((index, key)) = line.and_then(|line| line.publication().zip(line.flowing())) else { return };
        let Some(publication) = self.publications.get(index.0 as usize) else { return };
        if publication.source.kind() == TrackKind::Audio || publication.muted {
            return;
        }
        let publisher = &mut self.members[publication.publisher.0 as usize];
        let Some(from) = publisher.receiver.line_of(&publication.mid) else { return };
        if let Some(encoding) = from.encoding_mut(key) {
            encoding.keyframes.request();
        }
    }
}
