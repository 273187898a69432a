use std::collections::HashMap;

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

const MANY: usize = 1 << 20;

fn session(replay_limit: usize) -> Session {
    Session::new(Bounds { messages: replay_limit, bytes: MANY }, &mut StdRng::seed_from_u64(1))
}

fn link(messages: usize) -> (Link, Queue) {
    Link::new(Bounds { messages, bytes: MANY })
}

fn numbers(missed: Option<Vec<Outgoing>>) -> Option<Vec<String>> {
    let text = |outgoing| match outgoing {
        Outgoing::Event { seq, event } => with_seq(seq, &event),
        other => panic!("{other:?}"),
    };
    missed.map(|missed| missed.into_iter().map(text).collect())
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
        prop_assert_eq!(numbers(session.missed(last_seq)), possible.then_some(wanted));
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
    let (link, _queue) = link(2);
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
    let links: HashMap<_, _> = ["old", "new"].map(|name| (name, link(1).0)).into();
    session.attach(links["old"].clone());
    session.attach(links["new"].clone());
    assert!(!session.detach(links["old"].id(), Instant::now()));
    assert_eq!(session.lost_at(), None);
    assert!(session.detach(links["new"].id(), Instant::now()));
}

#[test]
fn state_of_the_moment_is_neither_counted_nor_kept_nor_a_reason_to_cut() {
    let mut session = session(8);
    let (link, mut queue) = link(4);
    session.attach(link);
    (1..=8).for_each(|number| session.hint(&event(number)));
    assert!(session.behind && session.link().is_some());
    assert!(!session.is_behind(), "it has not caught up with the rest");
    assert_eq!((session.seq(), session.missed(0)), (0, Some(Vec::new())));
    let text = |number: u64| Outgoing::Event { seq: 0, event: event(number) };
    for number in 1..=3 {
        assert_eq!(queue.receiver.try_recv().unwrap(), text(number), "half of the queue is for what must arrive");
    }
    assert!(queue.receiver.try_recv().is_err());
    queue.waiting.store(0, Ordering::Relaxed);
    assert!(session.is_behind());
    session.catch_up(&[event(9)]);
    assert_eq!(queue.receiver.try_recv().unwrap(), text(9));
    assert!(!session.is_behind());
}

/// Red if large messages take more memory than small ones may, or if what was written still counts.
#[tokio::test]
async fn the_queue_is_bounded_in_bytes() {
    let (link, mut queue) = Link::new(Bounds { messages: 100, bytes: 1_000 });
    let large = || Outgoing::Reply("x".repeat(400));
    assert!(link.send(large()) && link.send(large()) && !link.send(large()));
    assert!(link.send(Outgoing::Snapshot("x".repeat(5_000))), "a room's size is not the client's to choose");
    assert!(link.has_room_for(&[Outgoing::Reply("x".repeat(200))]) && !link.has_room_for(&[large()]));
    queue.next().await.unwrap();
    assert!(!link.send(large()), "it is being written");
    queue.next().await.unwrap();
    assert!(link.send(large()), "it was written");
    queue.next().await.unwrap();
    queue.next().await.unwrap();
    let (link, _queue) = Link::new(Bounds { messages: 100, bytes: 10 });
    assert!(link.send(large()) && !link.send(Outgoing::Reply("x".into())), "one alone always finds room");
}

#[test]
fn what_is_kept_is_bounded_in_bytes_and_shared() {
    let (mut session, now) = (session(100), Instant::now());
    session.bounds.bytes = 1_000;
    let event: Arc<str> = format!("{{\"type\":\"{}\"}}", "x".repeat(389)).into();
    assert!((0..9).all(|_| session.emit(&event, now) == Delivery::Kept));
    assert_eq!((session.missed(7).map(|missed| missed.len()), session.missed(6)), (Some(2), None));
    assert_eq!(Arc::strong_count(&event), 3, "no copies");
    let huge: Arc<str> = format!("{{\"type\":\"{}\"}}", "x".repeat(2_000)).into();
    session.emit(&huge, now);
    assert_eq!((session.missed(9), session.missed(10)), (None, Some(Vec::new())));
}
