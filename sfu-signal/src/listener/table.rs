//! Who is connected: which newcomer is let in, and which connection makes room for it. A data structure that is told the time.
//!
//! Invariants:
//! - There are never more connections, in all and of one address, than the limits say, and never more strangers.
//! - A newcomer displaces a stranger before it is refused, so that sockets that say nothing shut nobody out.
//! - The stranger that makes room belongs to the address with the most of them, and is the oldest there: many sockets of one
//!   address displace each other, not other people's.
//! - A stranger keeps its place for [`GRACE`]: in a storm of honest joins a newcomer waits for so long instead.
//!
//! What counts as one address is a [`Prefix`].

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use sfu_core::limiter::Prefix;

/// How long a stranger may take for its first bytes before a newcomer displaces it.
pub(super) const GRACE: Duration = Duration::from_millis(50);

/// How many connections there may be. Each at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// In all.
    pub connections: usize,
    /// Of one address.
    pub per_address: usize,
    /// Strangers in all.
    pub strangers: usize,
    /// Strangers of one address.
    pub strangers_per_address: usize,
}

/// What a connection has shown of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// No valid token yet.
    Stranger,
    /// A valid token, and no WebSocket that joined.
    Guest,
    /// A WebSocket that joined or resumed.
    Joined,
    /// Of a trusted proxy: it counts in all only. The proxy's clients are counted by their requests.
    Proxy,
}

impl Standing {
    /// Every standing, in the order of its index.
    pub(crate) const ALL: [Self; 4] = [Self::Stranger, Self::Guest, Self::Joined, Self::Proxy];

    /// The text in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Guest => "guest",
            Self::Joined => "joined",
            Self::Proxy => "proxy",
        }
    }
}

/// A connection's number. Later ones are greater.
pub(crate) type Id = u64;

/// Why a newcomer is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No place, and nobody that makes room.
    Full,
    /// None for this address.
    Address,
    /// The process has no file descriptor left, and nobody makes room.
    Descriptors,
}

impl Refusal {
    /// Every reason, in the order of its index.
    pub(crate) const ALL: [Self; 3] = [Self::Full, Self::Address, Self::Descriptors];

    /// The text in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "connections",
            Self::Address => "connections_per_address",
            Self::Descriptors => "descriptors",
        }
    }
}

/// What becomes of a newcomer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is in, as `id`; `evicted` is out.
    Admitted {
        id: Id,
        evicted: Option<Id>,
    },
    /// Whoever would make room has its place until then.
    Wait(Instant),
    Refused(Refusal),
}

#[derive(Debug)]
struct Entry {
    prefix: Prefix,
    standing: Standing,
    since: Instant,
}

/// The connections of one address.
#[derive(Debug, Default)]
struct Tally {
    /// Connections, and requests under way that a proxy passed on.
    all: usize,
    strangers: BTreeSet<Id>,
    guests: BTreeSet<Id>,
}

impl Tally {
    /// Those that may have to make room.
    fn evictable(&mut self, standing: Standing) -> Option<&mut BTreeSet<Id>> {
        match standing {
            Standing::Stranger => Some(&mut self.strangers),
            Standing::Guest => Some(&mut self.guests),
            Standing::Joined | Standing::Proxy => None,
        }
    }
}

/// All connections of a listener.
#[derive(Debug)]
pub(super) struct Table {
    limits: Limits,
    next: Id,
    entries: HashMap<Id, Entry>,
    tallies: HashMap<Prefix, Tally>,
    /// By the index of [`Standing::ALL`].
    counts: [usize; 4],
}

impl Table {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, next: 0, entries: HashMap::new(), tallies: HashMap::new(), counts: [0; 4] }
    }

    /// Connections by standing, in the order of [`Standing::ALL`].
    pub(super) const fn counts(&self) -> [usize; 4] {
        self.counts
    }

    /// Lets a newcomer in as a stranger, or does not.
    pub(super) fn admit(&mut self, now: Instant, prefix: Prefix) -> Verdict {
        let (all, strangers) = self.tallies.get(&prefix).map_or((0, 0), |tally| (tally.all, tally.strangers.len()));
        let crowded = all >= self.limits.per_address;
        let full = self.entries.len() >= self.limits.connections;
        let evicted = if crowded {
            match self.oldest_of(prefix) {
                Some(victim) => Some(victim),
                None => return Verdict::Refused(Refusal::Address),
            }
        } else if full || self.counts[Standing::Stranger as usize] >= self.limits.strangers {
            match self.fairest(Standing::Stranger).or_else(|| self.fairest(Standing::Guest)) {
                Some(victim) => Some(victim),
                None => return Verdict::Refused(Refusal::Full),
            }
        } else if strangers >= self.limits.strangers_per_address {
            // Within the limit of all strangers an address may have a few more for a moment.
            self.oldest_of(prefix).filter(|victim| self.place_ends(*victim) <= now)
        } else {
            None
        };
        if let Some(victim) = evicted {
            let place_ends = self.place_ends(victim);
            if place_ends > now {
                return Verdict::Wait(place_ends);
            }
            self.remove(victim);
        }
        Verdict::Admitted { id: self.insert(now, prefix, Standing::Stranger), evicted }
    }

    /// Lets a trusted proxy's connection in, or does not.
    pub(super) fn admit_proxy(&mut self, now: Instant, prefix: Prefix) -> Verdict {
        let full = self.entries.len() >= self.limits.connections;
        let evicted = self.fairest(Standing::Stranger).or_else(|| self.fairest(Standing::Guest)).filter(|_| full);
        if full && evicted.is_none() {
            return Verdict::Refused(Refusal::Full);
        }
        if let Some(victim) = evicted {
            self.remove(victim);
        }
        Verdict::Admitted { id: self.insert(now, prefix, Standing::Proxy), evicted }
    }

    /// Takes out the stranger that makes room when the process has no descriptor left.
    pub(super) fn relieve(&mut self) -> Option<Id> {
        let victim = self.fairest(Standing::Stranger)?;
        self.remove(victim);
        Some(victim)
    }

    /// A connection has shown more of itself. It never shows less, and a proxy's stays what it is.
    pub(super) fn promote(&mut self, id: Id, to: Standing) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let from = entry.standing;
        if from == Standing::Proxy || from as usize >= to as usize {
            return;
        }
        entry.standing = to;
        self.counts[from as usize] -= 1;
        self.counts[to as usize] += 1;
        let tally = self.tallies.entry(entry.prefix).or_default();
        if let Some(set) = tally.evictable(from) {
            set.remove(&id);
        }
        if let Some(set) = tally.evictable(to) {
            set.insert(id);
        }
    }

    /// A connection ended. Nothing happens if it was taken out before.
    pub(super) fn remove(&mut self, id: Id) {
        let Some(Entry { prefix, standing, .. }) = self.entries.remove(&id) else { return };
        self.counts[standing as usize] -= 1;
        if standing == Standing::Proxy {
            return;
        }
        if let Some(set) = self.tallies.entry(prefix).or_default().evictable(standing) {
            set.remove(&id);
        }
        self.leave(prefix);
    }

    /// Counts a request that a proxy passed on for a client as a connection of that client. False: it has too many.
    pub(super) fn enter(&mut self, prefix: Prefix) -> bool {
        let tally = self.tallies.entry(prefix).or_default();
        let admitted = tally.all < self.limits.per_address;
        tally.all += usize::from(admitted);
        admitted
    }

    /// The end of what [`Self::enter`] counted.
    pub(super) fn leave(&mut self, prefix: Prefix) {
        let Some(tally) = self.tallies.get_mut(&prefix) else { return };
        tally.all -= 1;
        if tally.all == 0 {
            self.tallies.remove(&prefix);
        }
    }

    fn insert(&mut self, since: Instant, prefix: Prefix, standing: Standing) -> Id {
        let id = self.next;
        self.next += 1;
        self.entries.insert(id, Entry { prefix, standing, since });
        self.counts[standing as usize] += 1;
        if standing != Standing::Proxy {
            let tally = self.tallies.entry(prefix).or_default();
            tally.all += 1;
            if let Some(set) = tally.evictable(standing) {
                set.insert(id);
            }
        }
        id
    }

    fn oldest_of(&self, prefix: Prefix) -> Option<Id> {
        self.tallies.get(&prefix)?.strangers.first().copied()
    }

    /// The oldest of the address that has the most of them.
    fn fairest(&self, standing: Standing) -> Option<Id> {
        let sets = self.tallies.values().map(|tally| match standing {
            Standing::Stranger => &tally.strangers,
            _ => &tally.guests,
        });
        let most = sets.filter_map(|set| Some((set.len(), *set.first()?)));
        most.max_by_key(|(count, oldest)| (*count, std::cmp::Reverse(*oldest))).map(|(_, oldest)| oldest)
    }

    fn place_ends(&self, id: Id) -> Instant {
        self.entries[&id].since + GRACE
    }
}

#[cfg(test)]
mod tests;
