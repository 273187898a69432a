//! What the control plane counts. The binary turns a [`Snapshot`] into metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::ErrorCode;
use crate::protocol::LeaveReason;

/// A join worked if its media path was up within this time.
const MEDIA_WITHIN: Duration = Duration::from_secs(10);

/// What became of an attempt to join, so that a service level can be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinResult {
    /// The media path was up within 10 s.
    Ok,
    /// The join was answered, and the media path was not up within 10 s.
    NoMedia,
    /// The participant was gone before its media path was up, within 10 s.
    Abandoned,
    /// The token was not good for it.
    Unauthorized,
    /// The room was full.
    RoomFull,
    /// The request was wrong.
    BadRequest,
    /// The server was busy or stopping.
    Busy,
    /// The media plane did not answer.
    MediaTimeout,
    /// The media plane lost the room meanwhile.
    MediaRestarted,
    /// A fault of the server.
    Internal,
}

impl JoinResult {
    /// Every result.
    pub const ALL: [Self; 10] = [
        Self::Ok,
        Self::NoMedia,
        Self::Abandoned,
        Self::Unauthorized,
        Self::RoomFull,
        Self::BadRequest,
        Self::Busy,
        Self::MediaTimeout,
        Self::MediaRestarted,
        Self::Internal,
    ];

    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NoMedia => "no_media",
            Self::Abandoned => "abandoned",
            Self::Unauthorized => "unauthorized",
            Self::RoomFull => "room_full",
            Self::BadRequest => "bad_request",
            Self::Busy => "busy",
            Self::MediaTimeout => "media_timeout",
            Self::MediaRestarted => "media_restarted",
            Self::Internal => "internal",
        }
    }

    /// Of a join that was refused.
    const fn refused(code: ErrorCode) -> Self {
        match code {
            ErrorCode::RoomFull => Self::RoomFull,
            ErrorCode::MediaTimeout => Self::MediaTimeout,
            ErrorCode::MediaRestarted => Self::MediaRestarted,
            code => match code.status() {
                401 | 403 => Self::Unauthorized,
                503 => Self::Busy,
                400..500 => Self::BadRequest,
                _ => Self::Internal,
            },
        }
    }
}

/// Live counters. Relaxed: each is read by itself.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) websockets: AtomicU64,
    pub(crate) joins: AtomicU64,
    pub(crate) leaves: AtomicU64,
    pub(crate) resumes: AtomicU64,
    pub(crate) messages: AtomicU64,
    pub(crate) slow_clients: AtomicU64,
    pub(crate) media_limits: AtomicU64,
    join_results: [AtomicU64; JoinResult::ALL.len()],
    errors: ErrorCounts,
}

#[derive(Debug)]
struct ErrorCounts(Box<[AtomicU64]>);

impl Default for ErrorCounts {
    fn default() -> Self {
        Self(ErrorCode::ALL.iter().map(|_| AtomicU64::new(0)).collect())
    }
}

impl Counters {
    pub(crate) fn error(&self, code: ErrorCode) {
        if let Some(at) = ErrorCode::ALL.iter().position(|known| *known == code) {
            add(&self.errors.0[at], 1);
        }
    }

    fn join_result(&self, result: JoinResult) {
        add(&self.join_results[result as usize], 1);
    }

    /// A join was refused.
    pub(crate) fn on_refused_join(&self, code: ErrorCode) {
        self.join_result(JoinResult::refused(code));
    }

    /// A participant's media path is up for the first time, so long after its join was answered.
    pub(crate) fn on_media(&self, after: Duration) {
        self.join_result(if after <= MEDIA_WITHIN { JoinResult::Ok } else { JoinResult::NoMedia });
    }

    /// A participant is gone whose media path was never up.
    pub(crate) fn on_gone_without_media(&self, after: Duration, reason: LeaveReason) {
        self.join_result(match reason {
            LeaveReason::MediaFailed => JoinResult::NoMedia,
            LeaveReason::MediaRestarted => JoinResult::MediaRestarted,
            _ if after > MEDIA_WITHIN => JoinResult::NoMedia,
            _ => JoinResult::Abandoned,
        });
    }

    pub(crate) fn snapshot(&self, rooms: usize, participants: usize, body_bytes: usize) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            rooms: rooms as u64,
            participants: participants as u64,
            body_bytes: body_bytes as u64,
            websockets: read(&self.websockets),
            joins: read(&self.joins),
            leaves: read(&self.leaves),
            resumes: read(&self.resumes),
            messages: read(&self.messages),
            slow_clients: read(&self.slow_clients),
            media_limits: read(&self.media_limits),
            join_results: JoinResult::ALL.into_iter().zip(self.join_results.iter().map(read)).collect(),
            errors: ErrorCode::ALL.iter().copied().zip(self.errors.0.iter().map(read)).collect(),
        }
    }
}

pub(crate) fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

/// Counts one while it lives.
#[derive(Debug)]
pub(crate) struct Gauge<'a>(&'a AtomicU64);

impl<'a> Gauge<'a> {
    pub(crate) fn enter(counter: &'a AtomicU64) -> Self {
        add(counter, 1);
        Self(counter)
    }
}

impl Drop for Gauge<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The counters at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Rooms that are open now.
    pub rooms: u64,
    /// Participants now, those included whose WebSocket is lost and may be resumed.
    pub participants: u64,
    /// Bytes of HTTP bodies under way.
    pub body_bytes: u64,
    /// WebSockets that are open now.
    pub websockets: u64,
    /// Joins that were answered, whether or not media came.
    pub joins: u64,
    /// Participants that left, for whatever reason.
    pub leaves: u64,
    /// Sessions that were resumed.
    pub resumes: u64,
    /// Messages from clients.
    pub messages: u64,
    /// Clients that were disconnected because they did not read.
    pub slow_clients: u64,
    /// Publishers that were told of a limit on their media.
    pub media_limits: u64,
    /// What became of attempts to join; every result is there. A join that was answered is counted once its media path is up or
    /// it is gone.
    pub join_results: Vec<(JoinResult, u64)>,
    /// Errors that were told to clients, by code; every code is there.
    pub errors: Vec<(ErrorCode, u64)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_counted_under_their_own_names() {
        let counters = Counters::default();
        let seconds = Duration::from_secs;
        counters.on_media(seconds(10));
        counters.on_media(seconds(11));
        counters.on_gone_without_media(seconds(1), LeaveReason::MediaFailed);
        counters.on_gone_without_media(seconds(1), LeaveReason::Left);
        counters.on_gone_without_media(seconds(20), LeaveReason::SignalLost);
        for code in [ErrorCode::TokenExpired, ErrorCode::RoomFull, ErrorCode::SdpMalformed, ErrorCode::ShuttingDown] {
            counters.on_refused_join(code);
        }
        for code in [ErrorCode::MediaTimeout, ErrorCode::MediaRestarted, ErrorCode::Internal] {
            counters.on_refused_join(code);
        }
        let results = counters.snapshot(0, 0, 0).join_results;
        let counted: Vec<_> = results.iter().map(|(result, count)| (result.as_str(), *count)).collect();
        let expected = [
            ("ok", 1),
            ("no_media", 3),
            ("abandoned", 1),
            ("unauthorized", 1),
            ("room_full", 1),
            ("bad_request", 1),
            ("busy", 1),
            ("media_timeout", 1),
            ("media_restarted", 1),
            ("internal", 1),
        ];
        assert_eq!(counted, expected);
    }
}
