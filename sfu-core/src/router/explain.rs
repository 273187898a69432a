//! Why everybody in a room is sent what they are sent.

use std::time::Instant;

use crate::alloc::Availability;
use crate::control::{Limit, ParticipantExplanation, RoomExplanation, SentLayer, SubscriptionExplanation, TrackKind};

use super::Room;
use super::allocation::budget;
use super::member::Member;
use super::publication::Publication;

impl Room {
    /// What every participant is sent, and why.
    pub fn explain(&self, now: Instant) -> RoomExplanation {
        let participants = self.members_here().map(|member| self.explain_member(now, member)).collect();
        RoomExplanation { room: self.id, participants }
    }

    fn explain_member(&self, now: Instant, member: &Member) -> ParticipantExplanation {
        let estimator = &member.downlink.estimator;
        let rtt = member.rtt.or(estimator.rtt());
        let lines = (0..member.lines.len()).filter(|place| member.lines[*place].kind == TrackKind::Video);
        ParticipantExplanation {
            participant: member.id,
            quality: member.health.quality(),
            estimate: estimator.estimate().map(|estimate| estimate.0),
            estimate_source: estimator.source(),
            budget: budget(member, now).rate().map(|rate| rate.0),
            rtt_ms: rtt.map(|rtt| rtt.as_secs_f64() * 1e3),
            loss: estimator.loss(),
            limited: member.receiver.admission.dropped,
            subscriptions: lines.filter_map(|place| self.explain_line(now, member, place)).collect(),
        }
    }

    /// `None`: the line shows nothing, or nothing was decided yet.
    fn explain_line(&self, now: Instant, member: &Member, place: usize) -> Option<SubscriptionExplanation> {
        let line = &member.lines[place];
        let publication = &self.publications[line.publication()?.0 as usize];
        let share = member.adaptation.share(place as u16)?;
        let decision = self.stream_state(member, place as u16)?;
        let offered = publication.catalog.offers().iter().filter(|o| o.availability != Availability::Withheld);
        let flowing = line.sending().map(|layer| self.sent_layer(publication, layer));
        let reason = match &decision.layer {
            Some(layer) => sent(layer, decision.limit, member, publication),
            None => unsent(decision.limit, member, publication),
        };
        Some(SubscriptionExplanation {
            publisher: self.members[publication.publisher.0 as usize].id,
            slot: line.slot,
            wanted: member.adaptation.settings(&publication.track),
            available: offered.map(|offer| self.sent_layer(publication, offer.layer)).collect(),
            reason: with_wait(reason, decision.layer.as_ref(), flowing.as_ref()),
            decision,
            flowing,
            since_ms: share.since.map_or(0, |since| now.saturating_duration_since(since).as_millis() as u64),
        })
    }
}

/// `360p`, or what else tells it.
fn name(layer: &SentLayer) -> String {
    match (layer.size, &layer.rid) {
        (Some(size), _) => format!("{}p", size.width.min(size.height)),
        (None, Some(rid)) => format!("encoding {rid}"),
        (None, None) if layer.spatial > 0 => format!("spatial layer {}", layer.spatial),
        (None, None) => "the video".to_owned(),
    }
}

/// `the connection carries 0.8 Mbps`.
fn carries(member: &Member) -> String {
    match member.downlink.estimator.estimate() {
        Some(estimate) => format!("the connection carries {:.1} Mbps", estimate.0 as f64 / 1e6),
        None => "the connection does not carry it".to_owned(),
    }
}

fn sent(layer: &SentLayer, limit: Limit, member: &Member, publication: &Publication) -> String {
    let settings = member.adaptation.settings(&publication.track);
    let why = match limit {
        Limit::Size => match settings.size {
            Some(size) => format!("shown at {}x{}", size.width, size.height),
            None => "the size that it is shown at".to_owned(),
        },
        Limit::Cap => match settings.max_fps {
            Some(fps) => format!("capped by the application (quality {:?}, {fps} fps)", settings.max_quality),
            None => format!("capped by the application (quality {:?})", settings.max_quality),
        },
        Limit::Bandwidth => carries(member),
        Limit::Publisher => "the publisher sends no better".to_owned(),
        Limit::Overload => "the server is overloaded".to_owned(),
        _ => "the best that is sent".to_owned(),
    };
    format!("{}: {why}", name(layer))
}

fn unsent(limit: Limit, member: &Member, publication: &Publication) -> String {
    match limit {
        Limit::Hidden => "paused: hidden".to_owned(),
        Limit::Disabled => "paused: disabled by the application".to_owned(),
        Limit::Muted => "paused: muted by its publisher".to_owned(),
        Limit::Codec => {
            let codec = publication.codec().map_or("the codec", |codec| codec.name());
            format!("not sent: the receiver cannot decode {codec}, and no keyframe is asked for it")
        }
        Limit::Bandwidth => format!("paused: {}", carries(member)),
        Limit::Overload => "paused: the server is overloaded".to_owned(),
        Limit::Publisher | Limit::None | Limit::Size | Limit::Cap => "waiting: the publisher sends nothing".to_owned(),
    }
}

/// Until a keyframe comes, what flows is not what was decided.
fn with_wait(reason: String, decided: Option<&SentLayer>, flowing: Option<&SentLayer>) -> String {
    let place = |layer: &SentLayer| (layer.rid.clone(), layer.spatial);
    match (decided, flowing) {
        (Some(decided), Some(flowing)) if place(decided) != place(flowing) => {
            format!("{reason}; {} until its next keyframe", name(flowing))
        }
        (Some(_), None) => format!("{reason}; waiting for a keyframe"),
        _ => reason,
    }
}
