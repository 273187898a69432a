//! Messages on data channels between members of whom some read slowly, late, or not at all, or send too much.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sfu_core::config::DataLimits;
use sfu_core::control::{Command, DataLimit, Event, Source};
use sfu_core::id::{ParticipantId, RoomId};
use sfu_core::transport::Channel;

use crate::session::{envelope, open_channels};
use crate::support::{CAMERA, VIEWER, World};

const MILLISECOND: Duration = Duration::from_millis(1);

/// Members of a room whose channels are open.
fn room(world: &mut World, members: usize) -> (RoomId, Vec<usize>) {
    let room = world.open_room();
    let members: Vec<_> = (0..members).map(|_| world.connect(room, VIEWER, 0)).collect();
    members.iter().for_each(|member| open_channels(world, *member));
    (room, members)
}

/// A client sends a message of so many bytes that ends in a number.
fn send(world: &mut World, from: usize, channel: Channel, to: &[ParticipantId], number: u32, len: usize) {
    let mut payload = vec![0; len];
    payload.extend(number.to_be_bytes());
    let now = world.now;
    world.clients[from].rtc.send_data(now, channel, &envelope(to, &payload));
    world.exchange();
}

/// The numbers that a client got on a channel, and has not been asked for before.
fn take(world: &mut World, client: usize, of: Channel) -> Vec<u32> {
    let number = |message: &[u8]| u32::from_be_bytes(*message.last_chunk().unwrap());
    let (taken, left) = std::mem::take(&mut world.clients[client].data).into_iter().partition(|(at, _)| *at == of);
    world.clients[client].data = left;
    let taken: Vec<(Channel, bytes::Bytes)> = taken;
    taken.iter().map(|(_, message)| number(message)).collect()
}

/// What a client was told of its limits.
fn told(world: &mut World, client: usize) -> Vec<(DataLimit, u64)> {
    let id = world.clients[client].id;
    let of = |event: &Event| matches!(event, Event::DataLimited { participant, .. } if *participant == id);
    let told = world.take_events(of).into_iter().map(|event| match event {
        Event::DataLimited { limit, lost, .. } => (limit, lost),
        other => panic!("{other:?}"),
    });
    told.collect()
}

/// Red if a join holds up what others say to each other.
#[test]
fn who_is_not_there_yet_is_not_waited_for() {
    let mut world = World::new();
    let (room, members) = room(&mut world, 2);
    let silent = world.join(room, VIEWER, 0);
    let late = world.connect(room, VIEWER, 0);
    for number in 0..40 {
        send(&mut world, members[0], Channel::Reliable, &[], number, 20_000);
        world.advance(20 * MILLISECOND);
    }
    world.advance(100 * MILLISECOND);
    assert!(take(&mut world, members[1], Channel::Reliable).into_iter().eq(0..40), "at once");
    open_channels(&mut world, late);
    send(&mut world, members[0], Channel::Reliable, &[], 40, 10);
    world.advance(Duration::from_secs(2));
    assert!(take(&mut world, late, Channel::Reliable).into_iter().eq(2..=40), "the newest, in order");
    assert!(world.clients[silent].data.is_empty());
}

#[test]
fn who_comes_too_late_gets_what_is_sent_from_then_on() {
    let mut world = World::new();
    let (room, members) = room(&mut world, 1);
    let late = world.connect(room, VIEWER, 0);
    send(&mut world, members[0], Channel::Reliable, &[], 0, 10);
    for _ in 0..3 {
        world.check(late);
        world.advance(Duration::from_secs(4));
    }
    open_channels(&mut world, late);
    send(&mut world, members[0], Channel::Reliable, &[], 1, 10);
    world.advance(100 * MILLISECOND);
    assert_eq!(take(&mut world, late, Channel::Reliable), [1]);
}

/// Red if a member that reads nothing holds up the others for longer than the bound, costs more than its buffer, is not told, or
/// gets anything twice or out of order afterwards.
#[test]
fn who_does_not_read_loses_messages_and_holds_nobody_up() {
    let limits = DataLimits { buffer_bytes: 200_000, ..DataLimits::DEFAULT };
    let mut world = World::with_limits(limits);
    let (_, members) = room(&mut world, 3);
    let now = world.now;
    world.clients[members[2]].rtc.set_deaf(now, true);
    let count = 400;
    let (mut got, mut longest, mut last) = (Vec::new(), Duration::ZERO, world.now);
    for number in 0..count {
        send(&mut world, members[0], Channel::Reliable, &[], number, 4_000);
        world.advance(10 * MILLISECOND);
        let new = take(&mut world, members[1], Channel::Reliable);
        if !new.is_empty() {
            longest = longest.max(world.now - last);
            last = world.now;
        }
        got.extend(new);
    }
    world.advance(Duration::from_secs(1));
    got.extend(take(&mut world, members[1], Channel::Reliable));
    assert!(got.into_iter().eq(0..count));
    assert!(longest <= limits.stall + 200 * MILLISECOND, "{longest:?}");
    assert!(longest >= limits.stall / 2, "{longest:?}: it is waited for at first");
    let counters = *world.core.counters();
    assert_eq!(counters.data_stalled, 1);
    let lost: u64 = told(&mut world, members[2])
        .iter()
        .map(|(limit, lost)| {
            assert_eq!(*limit, DataLimit::Reading);
            *lost
        })
        .sum();
    assert_eq!(lost, counters.data_dropped);
    let now = world.now;
    world.clients[members[2]].rtc.set_deaf(now, false);
    // Until SCTP probes the window again.
    for _ in 0..8 {
        members.iter().for_each(|member| world.check(*member));
        world.advance(Duration::from_secs(4));
    }
    send(&mut world, members[0], Channel::Reliable, &[], count, 10);
    world.advance(100 * MILLISECOND);
    let late = take(&mut world, members[2], Channel::Reliable);
    assert!(late.is_sorted_by(|one, other| one < other) && late.last() == Some(&count), "{late:?}");
    assert_eq!(late.len() as u64 + lost, u64::from(count) + 1);
    // What its client's window holds, and what waited here.
    assert!(late.len() * 4_000 < 256 * 1024 + limits.buffer_bytes + 8_000, "{}", late.len());
}

#[test]
fn lossy_messages_beyond_the_rate_are_dropped_counted_and_told() {
    let mut world = World::with_limits(DataLimits { messages_per_second: 100, ..DataLimits::DEFAULT });
    let (_, members) = room(&mut world, 3);
    for number in 0..500 {
        send(&mut world, members[0], Channel::Lossy, &[], number, 10);
        world.advance(10 * MILLISECOND);
    }
    let got = take(&mut world, members[1], Channel::Lossy).len();
    assert!((250..=265).contains(&got), "{got}: 50 a second, and the burst");
    world.advance(Duration::from_secs(1));
    let told = told(&mut world, members[0]);
    assert!((4..=7).contains(&told.len()), "once a second: {told:?}");
    let lost: u64 = told.iter().map(|(_, lost)| lost).sum();
    assert!(told.iter().all(|(limit, _)| *limit == DataLimit::Rate));
    assert_eq!((lost, world.core.counters().data_limited), (500 - got as u64, 500 - got as u64));
    assert_eq!(world.core.counters().data_shed, 0);
}

#[test]
fn a_worker_past_its_limit_sheds_lossy_messages() {
    let mut world = World::with_limits(DataLimits { messages_per_second: 100, ..DataLimits::DEFAULT });
    let (_, members) = room(&mut world, 2);
    let now = world.now;
    world.core.set_shed_level(now, 10);
    for number in 0..500 {
        send(&mut world, members[0], Channel::Lossy, &[], number, 10);
        world.advance(10 * MILLISECOND);
    }
    let got = take(&mut world, members[1], Channel::Lossy).len();
    assert!((50..=55).contains(&got), "{got}: a tenth");
    assert_eq!(world.core.counters().data_shed, 500 - got as u64);
}

/// Red if reliable messages beyond the rate are lost, or not held back.
#[test]
fn reliable_messages_beyond_the_rate_wait() {
    let mut world = World::with_limits(DataLimits { bytes_per_second: 100_000, ..DataLimits::DEFAULT });
    let (_, members) = room(&mut world, 3);
    (0..100).for_each(|number| send(&mut world, members[0], Channel::Reliable, &[], number, 10_000));
    world.advance(Duration::from_secs(10));
    let first = take(&mut world, members[1], Channel::Reliable);
    assert!((48..=56).contains(&first.len()), "{}: 50 kB a second to each of two", first.len());
    world.advance(Duration::from_secs(11));
    let all = [first, take(&mut world, members[1], Channel::Reliable)].concat();
    assert!(all.into_iter().eq(0..100));
    assert!(take(&mut world, members[2], Channel::Reliable).into_iter().eq(0..100));
    assert_eq!((world.core.counters().data_held > 0, world.core.counters().data_dropped), (true, 0));
    assert!(told(&mut world, members[0]).iter().all(|told| *told == (DataLimit::Rate, 0)));
}

/// Whoever stops reading for less than the bound, at any time, gets everything once and in order; so does everybody else.
#[test]
fn nothing_is_lost_or_out_of_order_under_random_stalls() {
    for seed in 0..6 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::with_limits(DataLimits { buffer_bytes: 100_000, ..DataLimits::DEFAULT });
        let (_, members) = room(&mut world, 4);
        let mut deaf = [Duration::ZERO; 4];
        let mut sent = [0; 2];
        for _ in 0..300 {
            let sender = rng.random_range(0..2);
            let len = rng.random_range(0..12_000);
            send(&mut world, members[sender], Channel::Reliable, &[], sender as u32 * 1_000 + sent[sender], len);
            sent[sender] += 1;
            let now = world.now;
            for (member, deaf) in deaf.iter_mut().enumerate().skip(1) {
                if deaf.is_zero() && rng.random_bool(0.02) {
                    *deaf = MILLISECOND * rng.random_range(100..1_500);
                    world.clients[members[member]].rtc.set_deaf(now, true);
                } else if !deaf.is_zero() {
                    *deaf = deaf.saturating_sub(20 * MILLISECOND);
                    world.clients[members[member]].rtc.set_deaf(now, !deaf.is_zero());
                }
            }
            world.advance(20 * MILLISECOND);
        }
        let now = world.now;
        members.iter().for_each(|member| world.clients[*member].rtc.set_deaf(now, false));
        for _ in 0..5 {
            members.iter().for_each(|member| world.check(*member));
            world.advance(Duration::from_secs(4));
        }
        for (place, member) in members.iter().enumerate() {
            let got = take(&mut world, *member, Channel::Reliable);
            for sender in (0..2).filter(|sender| *sender != place) {
                let base = sender as u32 * 1_000;
                let of = got.iter().filter(|number| (base..base + 1_000).contains(*number));
                assert!(of.copied().eq(base..base + sent[sender]), "seed {seed}: {sender} to {place}");
            }
        }
        assert_eq!(world.core.counters().data_dropped, 0);
    }
}

/// A room with a member on each of two workers.
fn spread() -> (World, RoomId, [usize; 2]) {
    let mut world = World::new();
    let room = world.open_room();
    let here = world.connect(room, VIEWER, 1);
    world.worker = world.open_part(room);
    let there = world.connect(room, VIEWER, 1);
    [here, there].into_iter().for_each(|client| open_channels(&mut world, client));
    (world, room, [here, there])
}

/// Red if what a worker does not take grows without bound, or if notices are dropped with it.
#[test]
fn what_another_worker_does_not_take_is_bounded_and_notices_arrive() {
    let (mut world, _, [here, there]) = spread();
    world.are_cut = true;
    for number in 0..3_000 {
        send(&mut world, here, Channel::Lossy, &[], number, 1_000);
        world.advance(2 * MILLISECOND);
    }
    let dropped = world.core.counters().data_dropped;
    let track = world.publish(here, CAMERA, Source::Camera);
    world.are_cut = false;
    world.advance(100 * MILLISECOND);
    let viewer = world.clients[there].id;
    let shown = world.take_events(|event| {
        matches!(event, Event::Slots { participant, slots, .. }
            if *participant == viewer && slots[0].video.is_some_and(|video| video.track == track))
    });
    assert_eq!(shown.len(), 1);
    let got = take(&mut world, there, Channel::Lossy);
    assert!(dropped > 3_000 - 128 && !got.is_empty(), "{dropped} were dropped, {} arrive", got.len());
    send(&mut world, here, Channel::Lossy, &[], 9, 10);
    world.advance(50 * MILLISECOND);
    assert_eq!(take(&mut world, there, Channel::Lossy), [9], "there is room again");
}

/// Red if a part that was closed, as one that opened too late is, is still waited for or shown.
#[test]
fn nothing_is_left_of_a_part_that_closed() {
    let (mut world, room, [here, there]) = spread();
    world.worker = 0;
    let second = world.connect(room, VIEWER, 1);
    open_channels(&mut world, second);
    world.publish(there, CAMERA, Source::Camera);
    world.take_events(|_| true);
    world.command_on(1, Command::CloseRoom { room });
    let viewer = world.clients[here].id;
    let emptied = world.take_events(|event| {
        matches!(event, Event::Slots { participant, slots, .. } if *participant == viewer && slots[0].participant.is_none())
    });
    assert_eq!(emptied.len(), 1, "its publisher is shown no more");
    for number in 0..100 {
        send(&mut world, here, Channel::Reliable, &[], number, 10_000);
        world.advance(10 * MILLISECOND);
    }
    world.advance(100 * MILLISECOND);
    assert!(take(&mut world, second, Channel::Reliable).into_iter().eq(0..100), "at once");
    world.worker = world.open_part_beside(room, vec![0]);
    let again = world.connect(room, VIEWER, 1);
    open_channels(&mut world, again);
    send(&mut world, here, Channel::Reliable, &[], 100, 10);
    world.advance(50 * MILLISECOND);
    assert_eq!(take(&mut world, again, Channel::Reliable), [100], "another part may follow");
    for worker in [0, 2] {
        world.command_on(worker, Command::CloseRoom { room });
    }
    world.advance(Duration::from_secs(1));
    assert!((0..=2).all(|worker| world.core_mut(worker).poll_timeout().is_none()), "nobody is left behind");
}
