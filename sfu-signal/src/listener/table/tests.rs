use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { connections: 8, per_address: 6, strangers: 5, strangers_per_address: 3 };

fn prefix(number: u8) -> Prefix {
    IpAddr::from([192, 0, 2, number]).into()
}

fn admit(table: &mut Table, at: Instant, from: u8) -> Option<(Id, Option<Id>)> {
    match table.admit(at, prefix(from)) {
        Verdict::Admitted { id, evicted } => Some((id, evicted)),
        _ => None,
    }
}

#[test]
fn idle_strangers_shut_nobody_out() {
    let (start, mut table) = (Instant::now(), Table::new(LIMITS));
    let mut at = start;
    for _ in 0..100 {
        at += GRACE;
        assert!(admit(&mut table, at, 1).is_some(), "each newcomer displaces an older one");
    }
    let (visitor, evicted) = admit(&mut table, at + GRACE, 2).unwrap();
    assert_eq!(evicted, None, "one address has no more than its share");
    table.promote(visitor, Standing::Guest);
    for _ in 0..100 {
        at += GRACE;
        admit(&mut table, at, 1);
    }
    assert!(table.entries.contains_key(&visitor));
}

#[test]
fn many_of_one_address_displace_each_other_and_not_others() {
    let (start, mut table) = (Instant::now(), Table::new(Limits { strangers_per_address: 5, ..LIMITS }));
    let lone = admit(&mut table, start, 9).unwrap().0;
    let flood: Vec<_> = (0..4).map(|_| admit(&mut table, start, 1).unwrap().0).collect();
    let (_, evicted) = admit(&mut table, start + GRACE, 2).unwrap();
    assert_eq!(evicted, Some(flood[0]), "the oldest of the many, although {lone} is older");
}

#[test]
fn in_a_storm_newcomers_wait_and_nobody_is_displaced_before_its_grace() {
    let (start, mut table) = (Instant::now(), Table::new(LIMITS));
    let storm: Vec<_> = (0..5).map(|_| admit(&mut table, start, 1).unwrap()).collect();
    assert!(storm.iter().all(|(_, evicted)| evicted.is_none()), "over the address' share for a moment");
    assert_eq!(table.admit(start, prefix(1)), Verdict::Wait(start + GRACE));
    table.promote(storm[0].0, Standing::Joined);
    assert_eq!(admit(&mut table, start, 1).unwrap().1, None, "who has joined left its place to another");
}

#[test]
fn participants_are_never_displaced() {
    let (start, mut table) = (Instant::now(), Table::new(LIMITS));
    for from in 1..=8 {
        let (id, _) = admit(&mut table, start, from).unwrap();
        table.promote(id, Standing::Joined);
    }
    assert_eq!(table.admit(start + GRACE, prefix(9)), Verdict::Refused(Refusal::Full));
    assert_eq!(table.admit_proxy(start + GRACE, prefix(9)), Verdict::Refused(Refusal::Full));
    assert_eq!(table.relieve(), None);
}

#[test]
fn a_guest_makes_room_where_there_is_no_stranger() {
    let (start, mut table) = (Instant::now(), Table::new(LIMITS));
    let ids = (1..=8).map(|from| {
        let (id, _) = admit(&mut table, start, from).unwrap();
        table.promote(id, Standing::Guest);
        id
    });
    let ids: Vec<_> = ids.collect();
    assert_eq!(admit(&mut table, start + GRACE, 9).unwrap().1, Some(ids[0]));
}

#[test]
fn an_address_full_of_participants_is_refused() {
    let (start, mut table) = (Instant::now(), Table::new(LIMITS));
    for _ in 0..6 {
        let (id, _) = admit(&mut table, start, 1).unwrap();
        table.promote(id, Standing::Joined);
    }
    assert_eq!(table.admit(start + GRACE, prefix(1)), Verdict::Refused(Refusal::Address));
    assert!(!table.enter(prefix(1)), "neither through a proxy");
    assert!(admit(&mut table, start + GRACE, 2).is_some());
}

#[test]
fn a_proxy_counts_for_itself_in_all_only_and_its_requests_for_their_clients() {
    let (start, mut table) = (Instant::now(), Table::new(LIMITS));
    for _ in 0..8 {
        assert!(matches!(table.admit_proxy(start, prefix(1)), Verdict::Admitted { evicted: None, .. }));
    }
    assert!((0..6).all(|_| table.enter(prefix(7))));
    assert!(!table.enter(prefix(7)) && table.enter(prefix(8)));
    table.leave(prefix(7));
    assert!(table.enter(prefix(7)));
}

#[derive(Debug, Clone)]
enum Step {
    Admit(u8),
    Proxy,
    Promote(u64, Standing),
    Remove(u64),
    Relieve,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..4).prop_map(Step::Admit),
        1 => Just(Step::Proxy),
        2 => (0u64..40, 0usize..3).prop_map(|(id, to)| Step::Promote(id, Standing::ALL[to])),
        2 => (0u64..40).prop_map(Step::Remove),
        1 => Just(Step::Relieve),
        2 => (0u64..100).prop_map(Step::Pass),
    ]
}

proptest! {
    /// Whatever happens, no limit is passed (but an address' strangers within the grace), counts are those of the entries, and
    /// nothing is remembered of addresses that nobody comes from.
    #[test]
    fn limits_hold_and_nothing_is_left_behind(steps in prop::collection::vec(step(), 1..200)) {
        let (mut now, mut table) = (Instant::now(), Table::new(LIMITS));
        for step in steps {
            match step {
                Step::Admit(from) => { table.admit(now, prefix(from)); }
                Step::Proxy => { table.admit_proxy(now, prefix(200)); }
                Step::Promote(id, to) => table.promote(id, to),
                Step::Remove(id) => table.remove(id),
                Step::Relieve => { table.relieve(); }
                Step::Pass(millis) => now += Duration::from_millis(millis),
            }
            prop_assert!(table.entries.len() <= LIMITS.connections);
            prop_assert!(table.counts[0] <= LIMITS.strangers);
            for (index, standing) in Standing::ALL.into_iter().enumerate() {
                prop_assert_eq!(table.counts[index], table.entries.values().filter(|e| e.standing == standing).count());
            }
            for (prefix, tally) in &table.tallies {
                let here = |standing| table.entries.values().filter(|e| e.prefix == *prefix && e.standing == standing).count();
                prop_assert_eq!(tally.strangers.len(), here(Standing::Stranger));
                prop_assert_eq!(tally.guests.len(), here(Standing::Guest));
                prop_assert_eq!(tally.all, tally.strangers.len() + tally.guests.len() + here(Standing::Joined));
                prop_assert!(tally.all > 0 && tally.all <= LIMITS.per_address);
            }
        }
        let ids: Vec<_> = table.entries.keys().copied().collect();
        ids.into_iter().for_each(|id| table.remove(id));
        prop_assert!(table.tallies.is_empty() && table.counts == [0; 4]);
    }
}
