//! On which workers a room is, and who lives where.
//!
//! A small room is on one worker, where no packet crosses to another. One that has outgrown a worker gets a part on the
//! next: parts fill up one after the other, and when no worker is left, whoever comes goes where the fewest are. One part is
//! opened at a time, since each must know those before it. Nobody moves, and no part closes before the room, but for one
//! whose worker lost it: the room goes on in the others.

use sfu_core::control::WorkerIndex;

/// A room's parts, the first of which it began with.
#[derive(Debug)]
pub(crate) struct Parts {
    open: Vec<(WorkerIndex, usize)>,
    opening: Option<WorkerIndex>,
    /// No further worker could be had.
    exhausted: bool,
}

impl Parts {
    pub(crate) fn new(first: WorkerIndex) -> Self {
        Self { open: vec![(first, 0)], opening: None, exhausted: false }
    }

    /// All workers that were told of the room.
    pub(crate) fn workers(&self) -> impl Iterator<Item = WorkerIndex> {
        self.open.iter().map(|(worker, _)| *worker).chain(self.opening)
    }

    /// Gives one more participant a place: in the first part with fewer than `limit`, or where the fewest are.
    pub(crate) fn place(&mut self, limit: usize) -> WorkerIndex {
        let roomy = self.open.iter().position(|(_, members)| *members < limit);
        let fewest = (0..self.open.len()).min_by_key(|place| self.open[*place].1);
        let (worker, members) = &mut self.open[roomy.or(fewest).unwrap_or(0)];
        *members += 1;
        *worker
    }

    /// A participant has left.
    pub(crate) fn leave(&mut self, worker: WorkerIndex) {
        if let Some((_, members)) = self.open.iter_mut().find(|(other, _)| *other == worker) {
            *members = members.saturating_sub(1);
        }
    }

    /// Whether whoever comes next should find a further part.
    pub(crate) fn wants_another(&self, limit: usize) -> bool {
        self.opening.is_none() && !self.exhausted && self.open.iter().all(|(_, members)| *members >= limit)
    }

    /// A part is being opened on a worker; `None`: there is no worker left. Returns those that it must know.
    pub(crate) fn begin(&mut self, worker: Option<WorkerIndex>) -> Option<Vec<WorkerIndex>> {
        let others = self.workers().collect();
        self.exhausted = worker.is_none();
        self.opening = worker;
        worker.map(|_| others)
    }

    /// The part is open, or could not be opened. False: there is no such part, perhaps because its worker lost it meanwhile.
    pub(crate) fn end(&mut self, worker: WorkerIndex, opened: bool) -> bool {
        let is_part = opened && self.opening == Some(worker);
        if self.opening == Some(worker) {
            self.opening = None;
        }
        if is_part {
            self.open.push((worker, 0));
        }
        is_part
    }

    /// A worker lost its part. False: it had none in which anybody could live. Whoever opens one there is told by [`Self::end`].
    pub(crate) fn lose(&mut self, worker: WorkerIndex) -> bool {
        let had = self.open.iter().any(|(other, _)| *other == worker);
        self.open.retain(|(other, _)| *other != worker);
        self.opening = self.opening.filter(|other| *other != worker);
        self.exhausted &= !had;
        had
    }

    /// Whether no part is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_fill_one_after_the_other_and_then_evenly() {
        let mut parts = Parts::new(3);
        let come = |parts: &mut Parts| {
            if parts.wants_another(2) {
                let free = [3, 0, 1].into_iter().find(|worker| parts.workers().all(|used| used != *worker));
                if parts.begin(free).is_some() {
                    assert!(!parts.wants_another(2), "one at a time");
                    assert!(parts.end(free.unwrap(), true));
                }
            }
            parts.place(2)
        };
        let placed: Vec<_> = (0..9).map(|_| come(&mut parts)).collect();
        assert_eq!(placed, [3, 3, 0, 0, 1, 1, 3, 0, 1]);
        parts.leave(0);
        assert_eq!(come(&mut parts), 0);
        parts.leave(1);
        parts.leave(1);
        assert_eq!(come(&mut parts), 1, "where there is a place");
    }

    #[test]
    fn a_part_that_cannot_be_opened_is_tried_again() {
        let mut parts = Parts::new(0);
        parts.place(1);
        assert_eq!(parts.begin(Some(1)), Some(vec![0]));
        assert_eq!(parts.place(1), 0, "nobody waits for it");
        assert!(parts.workers().eq([0, 1]), "it may be open already");
        assert!(!parts.end(1, false));
        assert!(parts.wants_another(1) && parts.workers().eq([0]));
    }

    /// Red if a part that was lost while it opened becomes one nevertheless, or takes the place of the one that opens next.
    #[test]
    fn a_part_that_is_lost_is_no_part() {
        let mut parts = Parts::new(0);
        parts.place(1);
        parts.begin(Some(1));
        assert!(!parts.lose(1), "nobody lives there");
        parts.begin(Some(2));
        assert!(!parts.end(1, true) && parts.workers().eq([0, 2]));
        assert!(parts.end(2, true));
        assert!(parts.lose(0) && !parts.is_empty());
        assert_eq!(parts.place(1), 2);
        assert!(parts.lose(2) && parts.is_empty());
    }
}
