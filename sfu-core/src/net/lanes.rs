//! The way between workers: for each pair and direction a bounded queue of batches, one that brings the empty batches
//! back, and one of notices (see [`relay`](crate::relay)). One thread puts in, one takes out; nobody waits.
//!
//! A batch that finds the queue full stays with the engine and grows there, up to its limit. Notices that find theirs full
//! wait in order. Of messages on data channels among them only so many are on their way (see [`Window`](crate::relay::Window));
//! of the others a publisher causes as many as it sends requests.
//!
//! A worker that is about to wait hangs out its bell, and only then is it rung: an eventfd costs a system call. Putting in
//! and looking at the bell, hanging it out and looking into the queues are each in this order for everybody (`SeqCst`
//! fences), so that what comes in between is seen by one of the two.
//!
//! A worker that lost its rooms says so in the queue of notices, so that the others hear of it after what those rooms said
//! and before what new ones say.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, OnceLock};

use mio::Waker;
use rtrb::{Consumer, Producer, RingBuffer};

use crate::control::WorkerIndex;
use crate::relay::{Batch, Notice};

/// Batches on their way: a worker sends one after every read.
const BATCHES: usize = 64;

/// Notices on their way.
const NOTICES: usize = 64;

/// Lets others wake a worker that waits.
#[derive(Debug, Default)]
pub(super) struct Bell {
    asleep: AtomicBool,
    waker: OnceLock<Arc<Waker>>,
}

impl Bell {
    /// Says how the worker is woken; before, it is awake.
    pub(super) fn hang(&self, waker: Arc<Waker>) {
        // Each worker has one, and it is hung once.
        let _ = self.waker.set(waker);
    }

    fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed)
            && self.asleep.swap(false, Ordering::Relaxed)
            && let Some(waker) = self.waker.get()
        {
            // An eventfd's counter cannot overflow by this, and a worker that is gone needs no waking.
            let _ = waker.wake();
        }
    }
}

/// What one worker tells another.
#[derive(Debug)]
pub(super) enum Said {
    /// One of its rooms tells its other part.
    Notice(Notice),
    /// It lost all its rooms.
    RoomsLost,
}

/// To one other worker.
struct Outgoing {
    to: WorkerIndex,
    bell: Arc<Bell>,
    batches: Producer<Batch>,
    empty: Consumer<Batch>,
    notices: Producer<Said>,
    waiting: VecDeque<Said>,
}

/// From one other worker.
struct Incoming {
    from: WorkerIndex,
    batches: Consumer<Batch>,
    empty: Producer<Batch>,
    notices: Consumer<Said>,
}

/// All of one worker's lanes.
pub(super) struct Lanes {
    bell: Arc<Bell>,
    outgoing: Vec<Outgoing>,
    incoming: Vec<Incoming>,
}

impl Lanes {
    /// Lanes between so many workers, in the order of their indexes.
    pub(super) fn between(workers: usize) -> Vec<Self> {
        let lanes = || Self { bell: Arc::default(), outgoing: Vec::new(), incoming: Vec::new() };
        let mut all: Vec<Self> = std::iter::repeat_with(lanes).take(workers).collect();
        for from in 0..workers {
            for to in (0..workers).filter(|to| *to != from) {
                let (batches, batches_out) = RingBuffer::new(BATCHES);
                let (empty, empty_back) = RingBuffer::new(BATCHES);
                let (notices, notices_out) = RingBuffer::new(NOTICES);
                let bell = Arc::clone(&all[to].bell);
                let (waiting, to_index) = (VecDeque::new(), to as WorkerIndex);
                all[from].outgoing.push(Outgoing { to: to_index, bell, batches, empty: empty_back, notices, waiting });
                let from = from as WorkerIndex;
                all[to].incoming.push(Incoming { from, batches: batches_out, empty, notices: notices_out });
            }
        }
        all
    }

    /// How this worker is woken.
    pub(super) fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell)
    }

    /// Hangs out the bell. False: there is something to take, and no time to wait.
    pub(super) fn fall_asleep(&self) -> bool {
        if self.incoming.is_empty() {
            return true;
        }
        self.bell.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.incoming.iter().all(|lane| lane.batches.is_empty() && lane.notices.is_empty())
    }

    /// Whether there is something to hand on as soon as there is room.
    pub(super) fn is_waiting(&self) -> bool {
        self.outgoing.iter().any(|lane| !lane.waiting.is_empty())
    }

    /// Takes the bell in.
    pub(super) fn wake_up(&self) {
        self.bell.asleep.store(false, Ordering::Relaxed);
    }

    /// Hands on what is to be relayed, as far as there is room.
    pub(super) fn send_batches<'a>(&mut self, batches: impl Iterator<Item = (WorkerIndex, &'a mut Batch)>) {
        for (to, batch) in batches {
            let Some(lane) = self.outgoing.iter_mut().find(|lane| lane.to == to) else { continue };
            if lane.batches.is_full() {
                continue;
            }
            let empty = lane.empty.pop().unwrap_or_default();
            // There is room: nobody else puts in.
            let _ = lane.batches.push(std::mem::replace(batch, empty));
            lane.bell.ring();
        }
    }

    /// Takes one batch of each other worker; false: none came.
    pub(super) fn take_batches(&mut self, mut each: impl FnMut(&Batch)) -> bool {
        let mut came = false;
        for lane in &mut self.incoming {
            let Ok(mut batch) = lane.batches.pop() else { continue };
            each(&batch);
            batch.clear();
            // If nobody took the empty ones back, there are enough of them.
            let _ = lane.empty.push(batch);
            came = true;
        }
        came
    }

    /// Hands on what other workers must know.
    pub(super) fn send_notices(&mut self, notices: impl Iterator<Item = (WorkerIndex, Notice)>) {
        for (to, notice) in notices {
            if let Some(lane) = self.outgoing.iter_mut().find(|lane| lane.to == to) {
                lane.waiting.push_back(Said::Notice(notice));
            }
        }
        for lane in self.outgoing.iter_mut().filter(|lane| !lane.waiting.is_empty()) {
            while !lane.notices.is_full()
                && let Some(notice) = lane.waiting.pop_front()
            {
                let _ = lane.notices.push(notice);
            }
            lane.bell.ring();
        }
    }

    /// Tells all others that this worker lost its rooms. What the rooms still had to say is dropped: it is void.
    pub(super) fn tell_rooms_lost(&mut self) {
        for lane in &mut self.outgoing {
            lane.waiting.clear();
            lane.waiting.push_back(Said::RoomsLost);
        }
        self.send_notices(std::iter::empty());
    }

    /// Takes up to so much of what each other worker tells; false: nothing came.
    pub(super) fn take_notices(&mut self, most: usize, mut each: impl FnMut(WorkerIndex, Said)) -> bool {
        let mut came = false;
        for lane in &mut self.incoming {
            for _ in 0..most {
                let Ok(notice) = lane.notices.pop() else { break };
                each(lane.from, notice);
                came = true;
            }
        }
        came
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ParticipantId, RoomId};
    use crate::relay::{Kind, News, Relayed};
    use crate::transport::Channel;

    const ROOM: RoomId = RoomId::from_bytes([1; 12]);

    fn batch(number: u8) -> Batch {
        let mut batch = Batch::default();
        let participant = ParticipantId::from_bytes([2; 12]);
        assert!(batch.push(Relayed { room: ROOM, participant, kind: Kind::Rtp, packet: &[number] }));
        batch
    }

    #[test]
    fn batches_arrive_in_order_and_come_back_empty() {
        let mut lanes = Lanes::between(2);
        let mut sent = 0;
        loop {
            let mut out = batch(sent);
            lanes[0].send_batches([(1, &mut out)].into_iter());
            if !out.is_empty() {
                break;
            }
            sent += 1;
        }
        assert_eq!(usize::from(sent), BATCHES, "one that finds no room stays");
        let mut got = Vec::new();
        while lanes[1].take_batches(|batch| got.extend(batch.iter().map(|relayed| relayed.packet[0]))) {}
        assert!(got.into_iter().eq(0..sent));
        assert!(!lanes[0].take_batches(|_| {}), "nothing goes the other way");
        assert_eq!(lanes[0].outgoing[0].empty.slots(), BATCHES);
    }

    #[test]
    fn notices_wait_in_order_for_room() {
        let mut lanes = Lanes::between(3);
        let notice = |cost| (2, Notice { room: ROOM, news: News::DataTaken { channel: Channel::Lossy, cost } });
        lanes[0].send_notices((0..NOTICES + 10).map(notice));
        assert!(lanes[0].is_waiting());
        let mut got = Vec::new();
        let mut take = |lanes: &mut Vec<Lanes>| {
            lanes[2].take_notices(NOTICES, |from, said| {
                let Said::Notice(Notice { news: News::DataTaken { cost, .. }, .. }) = said else { panic!("{said:?}") };
                got.push((from, cost));
            })
        };
        assert!(take(&mut lanes));
        lanes[0].send_notices(std::iter::empty());
        assert!(!lanes[0].is_waiting() && take(&mut lanes) && !take(&mut lanes));
        assert!(got.into_iter().eq((0..NOTICES + 10).map(|cost| (0, cost))));
    }

    /// Red if the end of a worker's rooms overtakes what they said, or gets lost behind a full queue.
    #[test]
    fn that_rooms_are_lost_is_told_after_what_they_said() {
        let mut lanes = Lanes::between(2);
        let notice = |cost| (1, Notice { room: ROOM, news: News::DataTaken { channel: Channel::Lossy, cost } });
        lanes[0].send_notices((0..NOTICES + 10).map(notice));
        lanes[0].tell_rooms_lost();
        let mut got = Vec::new();
        while lanes[1].take_notices(1, |_, said| got.push(matches!(said, Said::RoomsLost))) {
            lanes[0].send_notices(std::iter::empty());
        }
        assert_eq!(got.iter().position(|lost| *lost), Some(NOTICES), "what waited is void");
        assert_eq!(got.len(), NOTICES + 1);
    }

    #[test]
    fn whoever_falls_asleep_is_rung_or_sees_what_came() {
        let mut lanes = Lanes::between(2);
        assert!(lanes[1].fall_asleep());
        lanes[0].send_batches([(1, &mut batch(0))].into_iter());
        assert!(!lanes[1].bell.asleep.load(Ordering::SeqCst), "rung");
        assert!(!lanes[1].fall_asleep(), "something came");
        assert!(Lanes::between(1)[0].fall_asleep(), "one alone just sleeps");
    }
}
