//! Requests on a stream of frames of which a keyframe is so much larger.

use super::*;

const RTT: Duration = Duration::from_millis(20);

/// A frame of a camera at 30 per second.
const FRAME: u64 = 5_000;
const EVERY: u64 = 33;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// An encoding whose publisher answers a request with its next frame.
struct Stream {
    start: Instant,
    requests: KeyframeRequests,
    bytes: u64,
    keyframe_bytes: u64,
    wanted: bool,
    /// When keyframes came, ms.
    keyframes: Vec<u64>,
    times: u64,
}

impl Stream {
    /// Of which a keyframe takes so many times the bytes of another frame.
    fn new(times: u64) -> Self {
        let requests = KeyframeRequests::default();
        Self {
            start: Instant::now(),
            requests,
            bytes: 0,
            keyframe_bytes: 0,
            wanted: false,
            keyframes: Vec::new(),
            times,
        }
    }

    /// Lets time pass from one ms to another; before each tick of 5 ms `before` may ask for something.
    fn run(&mut self, range: std::ops::Range<u64>, mut before: impl FnMut(u64, Instant, &mut KeyframeRequests)) {
        for at in range {
            let now = self.start + millis(at);
            if at % EVERY == 0 {
                let keyframe = std::mem::take(&mut self.wanted);
                let len = if keyframe { self.times * FRAME } else { FRAME };
                self.bytes += len;
                self.requests.on_packet(now, keyframe, true, at as u32, (len, self.bytes));
                if keyframe {
                    self.keyframes.push(at);
                    self.keyframe_bytes += len;
                }
            }
            if at % 5 == 0 {
                before(at, now, &mut self.requests);
                self.wanted |= self.requests.poll(now, RTT, self.bytes);
            }
        }
    }
}

#[test]
fn requests_are_coalesced_and_repeated() {
    let start = Instant::now();
    let mut requests = KeyframeRequests::default();
    assert!(!requests.poll(start, RTT, 0), "nobody waits");
    requests.request();
    requests.request();
    assert!(requests.poll(start, RTT, 0));
    requests.request();
    assert!(!requests.poll(start + millis(399), RTT, 0), "one is on its way");
    assert!(requests.poll(start + millis(400), RTT, 0), "it got lost");
    assert!(!requests.poll(start + millis(900), Duration::from_secs(1), 0), "a long way takes longer");
    requests.on_packet(start + millis(1_000), true, true, 0, (1, 1));
    assert!(!requests.poll(start + millis(9_000), RTT, 1), "answered");
    assert_eq!(requests.sent, 2);
}

#[test]
fn who_no_longer_waits_is_not_asked_for() {
    let start = Instant::now();
    let mut requests = KeyframeRequests::default();
    requests.set_awaited(true);
    assert!(requests.poll(start, RTT, 0));
    requests.set_awaited(false);
    assert!(!requests.poll(start + millis(1_000), RTT, 0));
}

#[test]
fn what_was_missing_before_a_keyframe_is_no_reason_for_another() {
    let start = Instant::now();
    let mut requests = KeyframeRequests::default();
    requests.on_packet(start, true, true, 0, (1, 1));
    assert!(!requests.is_missing_since(start - millis(1)));
    assert!(requests.is_missing_since(start), "it may be a part of the keyframe");
}

#[test]
fn no_request_is_wasted_right_after_a_keyframe() {
    let start = Instant::now();
    let mut requests = KeyframeRequests::default();
    requests.on_packet(start, true, true, 0, (1, 1));
    requests.request();
    assert!(!requests.poll(start + millis(299), RTT, 1));
    assert!(requests.poll(start + millis(300), RTT, 1));
}

/// Red if one that comes after a quiet time waits, or the one after it.
#[test]
fn a_first_picture_is_asked_for_at_once() {
    let mut stream = Stream::new(8);
    for second in [5_000, 5_500, 15_000] {
        let from = stream.keyframes.len();
        stream.run(second - 500..second + 200, |at, _, requests| requests.set_awaited(at == second));
        assert_eq!(stream.keyframes.len(), from + 1, "{second}");
        assert!(stream.keyframes[from] - second <= 2 * EVERY);
    }
}

/// People who come and go all the time: small keyframes within their share of the bits, large ones once a second.
#[test]
fn churn_makes_no_more_than_one_a_second() {
    for times in [2, 5, 10, 40] {
        let mut stream = Stream::new(times);
        stream.run(0..60_000, |_, _, requests| requests.set_awaited(true));
        let within = stream.keyframe_bytes <= stream.bytes / SHARE + 2 * times * FRAME;
        assert!(within || stream.keyframes.len() <= 62, "{times}: {}", stream.keyframes.len());
        let waits = stream.keyframes.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(waits.max().unwrap() <= 1_000 + 2 * EVERY, "nobody waits for longer than a second");
    }
}

/// Red if repairs, whoever asks for them, take more than their share of the bits.
#[test]
fn repairs_take_a_tenth_of_the_bits() {
    for times in [2, 5, 8] {
        let mut stream = Stream::new(times);
        stream.run(0..60_000, |_, _, requests| requests.request());
        let (share, lent) = (stream.bytes / SHARE, 2 * times * FRAME);
        assert!(stream.keyframe_bytes <= share + lent, "{times}: {} of {}", stream.keyframe_bytes, stream.bytes);
        assert!(stream.keyframe_bytes >= share * 8 / 10, "{times}: no less than it may");
    }
}

/// The row of the review: ten PLI a second of one viewer made 3.3 keyframes a second for everybody.
#[test]
fn one_viewer_causes_three_keyframes_and_then_one_in_four_seconds() {
    let mut stream = Stream::new(5);
    let mut asker = Asker::new(stream.start);
    stream.run(0..40_000, |at, now, requests| {
        if at % 100 == 0 && !requests.is_wanted() && asker.may_repair(now) {
            requests.request();
        }
    });
    assert!((11..=14).contains(&stream.keyframes.len()), "{:?}", stream.keyframes);
}

#[test]
fn a_line_that_switches_to_and_fro_pays_for_it() {
    let start = Instant::now();
    let mut asker = Asker::new(start);
    let mut granted = 0;
    for step in 0..400 {
        let now = start + millis(step * 50);
        let encoding = Some((step % 2) as u8);
        granted += u32::from(asker.awaits(now, encoding).is_some());
    }
    assert!((12..=12 + 20).contains(&granted), "{granted} in 20 s");
    let calm = start + Duration::from_secs(60);
    assert_eq!(asker.awaits(calm, None), None);
    assert!((0..1_000).all(|tick| asker.awaits(calm + millis(tick), Some(2)) == Some(2)), "waiting costs once");
}
