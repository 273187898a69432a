//! What one hostile member costs the others: a room of many and a small one on the same worker, first left alone, then with
//! one hostile member at a time. Audio's latency and loss in both rooms, the server's memory, what the hostile member was told,
//! and which counters rose that had not risen before.
//!
//! The first and the last row are the control: somebody who does nothing. Their ratio shows how much is noise of the machine,
//! which runs this program as well; CPU times show whether that was the limit. Latency is from the sending of a packet to the
//! kernel's stamp at its receiver, so that a receiver which reads late adds nothing.
//!
//! Speakers and the listeners that are measured are [`synthetic`](crate::synthetic); the many with data channels, and the
//! hostile member, are a [`crowd`] of clients of their own.

mod client;
mod crowd;
mod scene;
mod table;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::cli::HostileArgs;
use crate::cpu::CpuMeter;
use crate::memory::pss;
use crate::stats::Histogram;
use crate::synthetic::totals::Totals;
use crate::versus::machine::Machine;
use client::Signal;
use crowd::{Act, FILE_RATE, Tally};
pub use scene::Members;
use scene::{Hostile, Scene};
pub use table::{Outcome, Phase, Table};

/// After a hostile member has left.
const RECOVERY: Duration = Duration::from_secs(3);
/// Between looks at memory, and between attempts of a hostile member that was thrown out.
const LOOK: Duration = Duration::from_millis(250);
/// Requests a second of a flood on the WebSocket, four times as many as its limit, and joins of one.
const REQUESTS: u32 = 200;
const JOINS: u32 = 20;

/// What is hostile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attack {
    Updates,
    Publications,
    Media(Act),
    Joins,
}

const CONTROL: (&str, Attack) = ("nobody: a member that does nothing", Attack::Media(Act::Nothing));
const ATTACKS: [(&str, Attack); 8] = [
    ("200 `update` a second, 32 KiB each", Attack::Updates),
    ("`publish` and `unpublish`, 200 pairs a second", Attack::Publications),
    ("20 Mbit/s of audio", Attack::Media(Act::Audio)),
    ("data for everybody on both channels, 24 and 26 Mbit/s", Attack::Media(Act::Data)),
    ("2,000 PLI a second", Attack::Media(Act::Pli)),
    ("2,000 forged transport feedbacks a second", Attack::Media(Act::Feedback)),
    ("reliable data that it never reads: a file of 4 Mbit/s for it and 7 others", Attack::Media(Act::Deaf)),
    ("20 joins a second that never connect", Attack::Joins),
];

/// Runs all attacks.
pub async fn hostile(args: &HostileArgs, command: String, bar: &ProgressBar) -> anyhow::Result<Table> {
    crate::run::raise_file_limit();
    bar.set_message("a room of many, and a small one");
    let (scene, members) = Scene::build(args).await?;
    let mut meters = (CpuMeter::of_tree(scene.server.pid)?, CpuMeter::of_self()?);
    let chosen = |place: usize| args.only.is_empty() || args.only.contains(&(place as u8 + 1));
    let attacks = ATTACKS.into_iter().enumerate().filter(|(place, _)| chosen(*place)).map(|(_, attack)| attack);
    let mut outcomes = Vec::new();
    for (name, attack) in [CONTROL].into_iter().chain(attacks).chain([CONTROL]) {
        bar.set_message(name);
        outcomes.push(scene.measure(args, name, attack, &mut meters).await.with_context(|| name.to_owned())?);
    }
    scene.end().await;
    Ok(Table { machine: Machine::read(&args.host, command), members, outcomes })
}

/// CPU time of the server, and of this program.
type Meters = (CpuMeter, CpuMeter);

/// What has been counted so far.
struct Reading {
    at: Instant,
    large: Totals,
    small: Totals,
    counters: Counters,
    cpu: (Duration, Duration),
}

/// What a hostile member did to itself and to memory.
struct Attacked {
    told: BTreeMap<String, u64>,
    peak: u64,
    note: Option<String>,
}

impl Scene {
    async fn read(&self, meters: &mut Meters) -> anyhow::Result<Reading> {
        Ok(Reading {
            at: Instant::now(),
            large: self.large.engine.collect().await?,
            small: self.small.engine.collect().await?,
            counters: self.server.counters().await?,
            cpu: (meters.0.read()?, meters.1.read()?),
        })
    }

    async fn measure(
        &self,
        args: &HostileArgs,
        name: &str,
        attack: Attack,
        meters: &mut Meters,
    ) -> anyhow::Result<Outcome> {
        let (start, tally) = (self.read(meters).await?, self.crowd.tally().await?);
        tokio::time::sleep(args.duration.0).await;
        let idle = self.read(meters).await?;
        ensure!(self.crowd.tally().await?.packets > tally.packets, "members with data channels hear nothing");
        let (before, there) = (pss(self.server.pid)?, self.present());
        let hostile = self.enter(attack == Attack::Media(Act::Audio)).await?;
        let begin = self.read(meters).await?;
        let attacked = self.under_attack(args.duration.0, attack, hostile).await?;
        let during = self.read(meters).await?;
        tokio::time::sleep(RECOVERY).await;
        Ok(Outcome {
            attack: name.to_owned(),
            idle: phase(&start, &idle),
            during: phase(&begin, &during),
            memory_mib: attacked.peak.saturating_sub(before) as f64 / (1024.0 * 1024.0),
            gone: there.saturating_sub(self.present()),
            told: attacked.told,
            counted: risen(&start.counters, &idle.counters, &begin.counters, &during.counters),
            note: attacked.note,
        })
    }

    /// Lets the hostile member do its worst.
    async fn under_attack(&self, duration: Duration, attack: Attack, mut hostile: Hostile) -> anyhow::Result<Attacked> {
        let (begin, mut peak, mut told) = (Instant::now(), pss(self.server.pid)?, BTreeMap::new());
        let tally = self.crowd.tally().await?;
        self.act(attack, &hostile)?;
        let (mut looked, mut number, mut strangers) = (begin, 0, JoinSet::new());
        let mut ticks =
            tokio::time::interval(Duration::from_secs(1) / if attack == Attack::Joins { JOINS } else { REQUESTS });
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while begin.elapsed() < duration {
            ticks.tick().await;
            number += 1;
            match attack {
                Attack::Updates => drop(hostile.signal.request(update(number)).await),
                Attack::Publications => hostile.signal.publish_and_unpublish("0").await,
                Attack::Joins => drop(strangers.spawn(self.stranger(number))),
                Attack::Media(_) => {}
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                peak = peak.max(pss(self.server.pid)?);
                if hostile.signal.is_closed() {
                    // One that was thrown out comes back, as often as it is let in.
                    add(&mut told, &self.leave(hostile).await?);
                    hostile = self.enter(attack == Attack::Media(Act::Audio)).await?;
                    self.act(attack, &hostile)?;
                }
            }
        }
        let note = note(attack, tally, self.crowd.tally().await?, begin.elapsed());
        self.crowd.act(self.sender, Act::Nothing)?;
        add(&mut told, &self.leave(hostile).await?);
        add(&mut told, &dismiss(strangers).await);
        Ok(Attacked { told, peak, note })
    }

    fn act(&self, attack: Attack, hostile: &Hostile) -> anyhow::Result<()> {
        if let Attack::Media(act) = attack {
            self.crowd.act(hostile.index, act)?;
        }
        if attack == Attack::Media(Act::Deaf) {
            let to = self.readers.iter().copied().chain([hostile.id]);
            self.crowd.address(self.sender, to.collect())?;
            self.crowd.act(self.sender, Act::File)?;
        }
        Ok(())
    }
}

/// Those who joined leave again; for the others it is noted why they did not.
async fn dismiss(mut strangers: JoinSet<anyhow::Result<Signal>>) -> BTreeMap<String, u64> {
    let mut told = BTreeMap::new();
    while let Some(joined) = strangers.join_next().await {
        match joined {
            Ok(Ok(mut signal)) => {
                signal.request(json!({"type": "leave"})).await;
                add(&mut told, &signal.told.lock());
            }
            Ok(Err(error)) => *told.entry(format!("{error:#}")).or_default() += 1,
            Err(_) => *told.entry("a join panicked".to_owned()).or_default() += 1,
        }
    }
    told
}

fn add(sums: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    more.iter().for_each(|(what, count)| *sums.entry(what.clone()).or_default() += count);
}

/// What the honest ones of the crowd noticed.
fn note(attack: Attack, before: Tally, after: Tally, elapsed: Duration) -> Option<String> {
    match attack {
        Attack::Media(Act::Pli) => {
            Some(format!("the camera was asked for {} keyframes", after.requests - before.requests))
        }
        Attack::Media(Act::Deaf) => {
            let due = FILE_RATE * elapsed.as_secs_f64() * scene::READERS as f64;
            let percent = (after.messages - before.messages) as f64 * 100.0 / due;
            Some(format!("the others got {percent:.0} % of the file in time"))
        }
        _ => None,
    }
}

/// Metadata and attributes that are each as large as the default `limits.metadata_bytes` takes.
fn update(number: u32) -> Value {
    json!({"type": "update", "metadata": format!("{number:016384}"), "attributes": {"k": "v".repeat(16_383)}})
}

fn phase(earlier: &Reading, later: &Reading) -> Phase {
    let seconds = later.at.saturating_duration_since(earlier.at).as_secs_f64();
    let p99 = |later: &Histogram, earlier: &Histogram| {
        later.since(earlier).percentiles().map_or(f64::NAN, |percentiles| percentiles.p99_ms)
    };
    let mut audio = later.large.sequences[0].since(earlier.large.sequences[0]);
    audio.merge(later.small.sequences[0].since(earlier.small.sequences[0]));
    let percent = |now: Duration, then: Duration| now.saturating_sub(then).as_secs_f64() * 100.0 / seconds;
    Phase {
        large_ms: p99(&later.large.latency, &earlier.large.latency),
        small_ms: p99(&later.small.latency, &earlier.small.latency),
        lost_percent: audio.lost() as f64 * 100.0 / audio.expected as f64,
        server_cpu: percent(later.cpu.0, earlier.cpu.0),
        generator_cpu: percent(later.cpu.1, earlier.cpu.1),
    }
}

/// Counters of something refused, dropped or limited that rose by more than they did in peace, summed over workers.
fn risen(start: &Counters, idle: &Counters, begin: &Counters, during: &Counters) -> Vec<String> {
    let of = |counters: &Counters, name: &str| counters.get(name).copied().unwrap_or_default();
    let rise = |name: &String| {
        let (before, now) = (of(idle, name) - of(start, name), of(during, name) - of(begin, name));
        (now > before && is_telling(name)).then(|| format!("`{}` {now:.0}", name.trim_start_matches("madang_")))
    };
    during.keys().filter_map(rise).collect()
}

/// Samples of metrics by name and labels.
pub type Counters = BTreeMap<String, f64>;

fn is_telling(name: &str) -> bool {
    const WORDS: [&str; 9] =
        ["limit", "dropped", "shed_messages", "refused", "stalled", "held", "errors", "rejected", "unwanted"];
    WORDS.iter().any(|word| name.contains(word)) && name.contains("_total")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rose_by_more_than_before_counts() {
        let counters = |values: [f64; 3]| -> Counters {
            let names = ["madang_data_limited_messages_total", "madang_udp_send_dropped_total", "madang_joins_total"];
            names.map(str::to_owned).into_iter().zip(values).collect()
        };
        let (start, idle) = (counters([0.0; 3]), counters([0.0, 5.0, 0.0]));
        let risen = risen(&start, &idle, &idle, &counters([7.0, 9.0, 4.0]));
        assert_eq!(risen, ["`data_limited_messages_total` 7"]);
    }

    #[test]
    fn updates_are_as_large_as_they_may_be() {
        assert_eq!(update(7)["metadata"].as_str().unwrap().len(), 16_384);
    }

    /// Red if a file that arrives in full were not said to.
    #[test]
    fn a_file_that_all_got_is_in_time() {
        let second = Duration::from_secs(1);
        let after = Tally { messages: (FILE_RATE * scene::READERS as f64).round() as u64, ..Tally::default() };
        let note = note(Attack::Media(Act::Deaf), Tally::default(), after, second).unwrap();
        assert!(note.contains("100 %"), "{note}");
    }
}
