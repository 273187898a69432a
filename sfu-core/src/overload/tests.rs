//! What holds whatever the load does, and how a worker behaves whose load follows the level.

use proptest::prelude::*;

use super::*;

fn window() -> impl Strategy<Value = Window> {
    let load = prop_oneof![0u64..=1_000, 850u64..=1_000];
    (load, prop_oneof![3 => Just(0), 1 => 1u64..1_000]).prop_map(|(load, dropped)| Window { load, dropped })
}

/// A controller after some windows, and what time it is.
fn after(windows: &[Window]) -> (Overload, Instant) {
    let (mut overload, mut now) = (Overload::default(), Instant::now());
    for window in windows {
        now += WINDOW;
        overload.on_window(now, *window);
    }
    (overload, now)
}

proptest! {
    #[test]
    fn a_busier_window_never_leads_to_a_lower_level(
        windows in prop::collection::vec(window(), 0..200), one in window(), other in window(),
    ) {
        let (overload, now) = after(&windows);
        let less = Window { load: one.load.min(other.load), dropped: one.dropped.min(other.dropped) };
        let more = Window { load: one.load.max(other.load), dropped: one.dropped.max(other.dropped) };
        let level = |window| {
            let mut overload = overload.clone();
            overload.on_window(now + WINDOW, window);
            overload.level()
        };
        prop_assert!(level(more) >= level(less));
        prop_assert!(level(more) <= ALL);
    }

    #[test]
    fn calm_ends_it(windows in prop::collection::vec(window(), 0..600), load in 0..=ROOM) {
        let (mut overload, start) = after(&windows);
        let mut now = start;
        while overload.level() > 0 {
            now += WINDOW;
            overload.on_window(now, Window { load, dropped: 0 });
            prop_assert!(now - start <= RECOVERY, "still at {}", overload.level());
        }
    }
}

/// A worker that sends what the level leaves of its video.
struct Worker {
    /// What audio and the rest take of what it can, in thousandths.
    base: f64,
    /// What all video would take.
    video: f64,
    /// Load at which a quota throttles it, and it seems to be busy always; 1,000: none.
    quota: f64,
    /// Windows until a level has its effect.
    delay: usize,
}

/// How it went.
#[derive(Debug)]
struct Course {
    /// Windows in which there was more to do than could be done.
    overloaded: usize,
    changes: usize,
    /// The mean of what was sent.
    sent: f64,
    windows: usize,
}

impl Worker {
    /// For `seconds`, with load that swings by a hundredth; what counts begins after `settled`.
    fn run(&self, overload: &mut Overload, settled: u64, seconds: u64) -> Course {
        let per = |seconds: u64| (seconds * 1_000 / WINDOW.as_millis() as u64) as usize;
        let (mut now, mut levels) = (Instant::now(), vec![overload.level(); self.delay + 1]);
        let mut course = Course { overloaded: 0, changes: 0, sent: 0.0, windows: per(seconds) - per(settled) };
        for index in 0..per(seconds) {
            now += WINDOW;
            let effective = levels[levels.len() - 1 - self.delay];
            let wanted = self.base + self.video * f64::from(ALL - effective) / 1e3;
            let swing = [0.0, 0.01, -0.005, 0.005, -0.01][index % 5];
            let wanted = wanted * (1.0 + swing);
            let load = if wanted > self.quota { 1_000.0 } else { wanted };
            let changed = overload.on_window(now, Window { load: load as u64, dropped: 0 }).is_some();
            levels.push(overload.level());
            if index >= per(settled) {
                course.overloaded += usize::from(load >= 1_000.0);
                course.changes += usize::from(changed);
                course.sent += wanted.min(self.quota) / course.windows as f64;
            }
        }
        course
    }
}

#[test]
fn it_comes_to_rest_where_the_worker_is_well_used() {
    for video in [1_100.0, 1_500.0, 2_000.0, 4_000.0, 8_000.0] {
        for base in [50.0, 400.0] {
            for delay in [1, 2] {
                let worker = Worker { base, video, quota: 1_000.0, delay };
                let course = worker.run(&mut Overload::default(), 15, 300);
                let what = format!("{base} + {video}, {delay}: {course:?}");
                assert!(course.sent >= 880.0, "{what}");
                assert!(course.overloaded * 100 <= course.windows, "{what}");
                assert!(course.changes <= 40, "{what}");
            }
        }
    }
}

#[test]
fn within_two_seconds_and_a_half_twice_the_capacity_is_shed() {
    let worker = Worker { base: 100.0, video: 1_900.0, quota: 1_000.0, delay: 1 };
    let mut overload = Overload::default();
    worker.run(&mut overload, 0, 5);
    let kept = 100.0 + 1.9 * f64::from(ALL - overload.level());
    assert!((700.0..=1_000.0).contains(&kept), "{kept}");
    let course = worker.run(&mut Overload::default(), 0, 10);
    assert!(course.overloaded <= 13, "{course:?}");
}

/// There is nothing between too much and calm: who looks for more without end is throttled without end.
#[test]
fn a_quota_is_found_and_not_tried_all_the_time() {
    for quota in [200.0, 500.0] {
        let worker = Worker { base: 20.0, video: 2.0 * quota, quota, delay: 2 };
        let course = worker.run(&mut Overload::default(), 60, 600);
        assert!(course.sent >= 0.85 * quota, "{course:?}");
        assert!(course.overloaded * 100 <= 2 * course.windows, "{course:?}");
    }
}

#[test]
fn it_recovers_by_itself_and_soon() {
    let mut overload = Overload::default();
    Worker { base: 50.0, video: 3_000.0, quota: 1_000.0, delay: 1 }.run(&mut overload, 0, 60);
    assert!(overload.level() > 600);
    Worker { base: 50.0, video: 500.0, quota: 1_000.0, delay: 1 }.run(&mut overload, 0, 90);
    assert_eq!(overload.level(), 0);
}

#[test]
fn a_burst_or_a_short_queue_is_no_overload() {
    let (busy, idle) = (Window { load: 1_000, dropped: 0 }, Window { load: 500, dropped: 0 });
    assert_eq!(after(&[busy, idle, idle, idle, idle, idle, busy]).0.level(), 0);
    assert_eq!(after(&[Window { load: 300, dropped: 50 }; 10]).0.level(), 0, "a queue that is too short");
    assert_eq!(after(&[busy, busy]).0.level(), 150);
    assert_eq!(after(&[Window { load: 900, dropped: 50 }]).0.level(), 150, "what the kernel drops does not wait");
}

#[test]
fn what_never_suffices_withholds_everything() {
    assert_eq!(after(&[Window { load: 1_000, dropped: 1 }; 100]).0.level(), ALL);
}
