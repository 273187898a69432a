//! What the rows of the table of goals run, and by what they are compared.

use crate::cli::{Changes, Opponent, RunArgs, VersusArgs};
use crate::publisher::Pacing;
use crate::units::{Bitrate, Span};

use super::Run;
use super::servers::Running;

/// Between two joins of row 6: the next keyframe must be the newcomer's own, and servers ask for one at most so often.
const JOINS_PER_SECOND: f64 = 2.0;

/// For people.
pub const fn name(row: u8) -> &'static str {
    match row {
        1 => "CPU per video packet, frames in bursts",
        2 => "CPU per video packet, evenly paced",
        3 => "CPU per audio packet, 10 speakers",
        5 => "added latency",
        _ => "join to first keyframe",
    }
}

/// Who is compared in a row: what its goal names, or all; mediasoup wherever CPU is compared, since whoever names it wants
/// to know.
pub fn line_up(row: u8, against: &[Opponent]) -> Vec<Opponent> {
    let is_floor = |opponent: &Opponent| matches!(opponent, Opponent::Floor | Opponent::FloorSendto);
    let wanted = against.iter().copied().filter(|opponent| *opponent != Opponent::Madang);
    let others: Vec<_> = match row {
        2 => wanted.filter(|opponent| is_floor(opponent) || *opponent == Opponent::Mediasoup).collect(),
        6 => wanted.filter(is_floor).collect(),
        3 | 5 => wanted.filter(|opponent| *opponent != Opponent::Webrtc).collect(),
        _ => wanted.collect(),
    };
    std::iter::once(Opponent::Madang).chain(others).collect()
}

/// The goal for the ratio, at most.
pub fn goal(row: u8, against: Opponent) -> Option<f64> {
    match (row, against) {
        (1, Opponent::Janus) => Some(0.1),
        (1, Opponent::Webrtc | Opponent::Mediasoup) | (3, Opponent::Janus) => Some(0.2),
        (1 | 2, Opponent::Floor) => Some(1.3),
        (3, Opponent::Floor | Opponent::FloorSendto) => Some(1.4),
        (6, Opponent::Floor) => Some(1.15),
        _ => None,
    }
}

/// The goal for latency that is added to the floor's, at most, in milliseconds: p50, p99 and p99.9.
pub fn latency_goal(row: u8, against: Opponent) -> Option<[f64; 3]> {
    ((row, against) == (5, Opponent::Floor)).then_some([0.1, 0.5, 2.0])
}

/// The figure that is compared, and its unit.
pub const fn figure(row: u8) -> (fn(&Run) -> Option<f64>, &'static str) {
    match row {
        6 => (|run| run.first_keyframe_ms, "ms"),
        _ => (|run| run.us_per_packet, "µs"),
    }
}

/// What a run of a row does.
pub fn run_args(args: &VersusArgs, row: u8, running: &Running) -> RunArgs {
    let base = Changes { duration: Some(args.duration), join_rate: Some(100.0), ..Changes::default() };
    let changes = match row {
        3 => Changes { publishers: Some(10), viewers: Some(args.viewers * 2), ..base },
        6 => Changes {
            viewers: Some((args.viewers / 2).max(1)),
            join_rate: Some(JOINS_PER_SECOND),
            duration: Some(Span(std::time::Duration::from_secs(1))),
            ..base
        },
        _ => Changes {
            viewers: Some(if row == 5 { args.latency_viewers } else { args.viewers }),
            // Of video alone, so that a packet is a packet.
            audio_bitrate: Some(Bitrate(0)),
            pacing: Some(if row == 2 { Pacing::Even } else { Pacing::Burst }),
            ..base
        },
    };
    running.run_args(if row == 3 { "audio-room" } else { "livestream" }, changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_whom_its_goals_name() {
        let against = [Opponent::Floor, Opponent::Webrtc, Opponent::Janus];
        for row in [1, 2, 3, 6] {
            let line_up = line_up(row, &against);
            assert_eq!(line_up[0], Opponent::Madang);
            assert!(line_up[1..].iter().all(|opponent| goal(row, *opponent).is_some()), "{line_up:?}");
            assert!(against.iter().filter(|o| goal(row, **o).is_some()).all(|o| line_up.contains(o)), "{line_up:?}");
        }
        for row in [1, 2, 3] {
            assert!(line_up(row, &[Opponent::Mediasoup]).contains(&Opponent::Mediasoup), "row {row}");
        }
        assert!(line_up(5, &against).into_iter().any(|opponent| latency_goal(5, opponent).is_some()));
    }
}
