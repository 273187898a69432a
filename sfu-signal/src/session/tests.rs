use std::collections::HashMap;

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

fn session(replay_limit: usize) -> Session {
    Session::new(replay_limit, &mut StdRng::seed_from_u64(1))
}

fn event(number: u64) -> Arc<str> {
    format!("{{\"type\":\"test\",\"number\":{number}}}").into()
}

proptest! {
    /// A replay is exactly the events after `last_seq`, or refused; never too few, never another's number.
    #[test]
    fn a_replay_is_whole_or_refused(limit in 0usize..20, told in 0u64..40, last_seq in 0u64..50) {
        let mut session = session(limit);
        (1..=told).for_each(|number| {
            session.emit(&event(number), Instant::now());
        });
        let wanted: Vec<_> =
            (last_seq + 1..=told).map(|number| format!("{{\"seq\":{number},\"type\":\"test\",\"number\":{number}}}")).collect();
        let possible = last_seq <= told && told - last_seq <= limit as u64;
        prop_assert_eq!(session.missed(last_seq), possible.then_some(wanted));
    }
}

#[test]
fn only_the_whole_secret_matches() {
    let session = session(0);
    let secret = session.secret().expose();
    assert!(session.secret().matches(&secret));
    for wrong in [String::new(), secret[1..].to_owned(), format!("{secret}0"), "0".repeat(64)] {
        assert!(!session.secret().matches(&wrong));
    }
}

#[test]
fn a_full_queue_cuts_its_websocket_and_the_session_waits() {
    let mut session = session(8);
    let (link, _queue) = Link::new(2);
    session.attach(link.clone());
    let now = Instant::now();
    let fates: Vec<_> = (1..=4).map(|number| session.emit(&event(number), now)).collect();
    assert_eq!(fates, [Delivery::Kept, Delivery::Kept, Delivery::Slow, Delivery::Kept]);
    assert!(*link.cut.borrow() && session.link().is_none());
    assert_eq!(session.lost_at(), Some(now));
    assert_eq!(session.missed(2).unwrap().len(), 2, "what it could not be sent is there for a resume");
}

#[test]
fn the_end_of_an_older_websocket_changes_nothing() {
    let mut session = session(0);
    let links: HashMap<_, _> = ["old", "new"].map(|name| (name, Link::new(1).0)).into();
    session.attach(links["old"].clone());
    session.attach(links["new"].clone());
    assert!(!session.detach(links["old"].id(), Instant::now()));
    assert_eq!(session.lost_at(), None);
    assert!(session.detach(links["new"].id(), Instant::now()));
}

#[test]
fn state_of_the_moment_is_neither_counted_nor_kept_nor_a_reason_to_cut() {
    let mut session = session(8);
    let (link, mut queue) = Link::new(4);
    session.attach(link);
    (1..=8).for_each(|number| session.hint(&event(number)));
    assert!(session.behind && session.link().is_some());
    assert!(!session.is_behind(), "it has not caught up with the rest");
    assert_eq!((session.seq(), session.missed(0)), (0, Some(Vec::new())));
    let text = |number: u64| Outgoing::Text(format!("{{\"seq\":0,\"type\":\"test\",\"number\":{number}}}"));
    for number in 1..=3 {
        assert_eq!(queue.try_recv().unwrap(), text(number), "half of the queue is for what must arrive");
    }
    assert!(queue.try_recv().is_err() && session.is_behind());
    session.catch_up(&[event(9)]);
    assert_eq!(queue.try_recv().unwrap(), text(9));
    assert!(!session.is_behind());
}
