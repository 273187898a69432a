//! What happens while a run is measured: people leave and others come, mute and unmute, come in a storm, or step by step.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, interval_at};

use crate::fleet::{Fleet, Member, Role};
use crate::run::is_webrtc;
use crate::scenario::Scenario;
use crate::stamp::Kind;
use crate::synthetic::Id;
use crate::viewer::JoinTimes;

type Joining = FuturesUnordered<JoinHandle<anyhow::Result<Member>>>;

/// The events of a scenario.
pub struct Events {
    fleet: Arc<Fleet>,
    scenario: Scenario,
    churn: Option<Interval>,
    mutes: Option<Interval>,
    step: Option<Interval>,
    joining: Joining,
    leaving: FuturesUnordered<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Counts those who joined, to spread peers of the `webrtc` crate.
    count: usize,
    viewers: u32,
    /// Tracks that are muted, by their member's first connection.
    muted: Vec<(Id, Kind)>,
    /// Of receivers that left.
    pub joins: Vec<JoinTimes>,
    /// Joins that failed, and why the first did.
    pub failures: (usize, Option<String>),
}

impl Events {
    /// `count`: how many have joined before.
    pub fn new(fleet: Arc<Fleet>, scenario: &Scenario, count: usize) -> Self {
        let now = Instant::now();
        let every = |per_second: f64| {
            let period = Duration::from_secs_f64(1.0 / per_second.max(1e-6));
            (per_second > 0.0).then(|| interval_at(now + period, period))
        };
        let mut events = Self {
            churn: every(scenario.churn),
            mutes: every(scenario.mutes),
            step: scenario.step.as_ref().map(|step| interval_at(now + step.every.0, step.every.0)),
            joining: Joining::new(),
            leaving: FuturesUnordered::new(),
            count,
            viewers: scenario.viewers,
            muted: Vec::new(),
            joins: Vec::new(),
            failures: (0, None),
            fleet,
            scenario: scenario.clone(),
        };
        events.join_viewers(scenario.storm);
        events
    }

    /// Waits for the next event and lets it happen. Waits for ever if nothing is to happen.
    pub async fn next(&mut self, members: &mut Vec<Member>) -> anyhow::Result<()> {
        tokio::select! {
            Some(joined) = self.joining.next() => match joined? {
                Ok(member) => members.push(member),
                Err(error) => {
                    self.failures.0 += 1;
                    self.failures.1.get_or_insert_with(|| format!("{error:#}"));
                }
            },
            Some(()) = self.leaving.next() => {}
            () = tick(&mut self.churn) => self.replace(members),
            () = tick(&mut self.mutes) => self.toggle(members)?,
            () = tick(&mut self.step) => self.take_step(),
        }
        Ok(())
    }

    /// Waits for those who are on their way, so that all leave in the end.
    pub async fn finish(mut self, members: &mut Vec<Member>) {
        while let Some(joined) = self.joining.next().await {
            members.extend(joined.into_iter().flatten());
        }
        while self.leaving.next().await.is_some() {}
    }

    fn join(&mut self, room: usize, role: Role, after: Duration) {
        let (fleet, share, index) = (Arc::clone(&self.fleet), self.scenario.webrtc_share, self.count);
        self.count += 1;
        self.joining.push(tokio::spawn(async move {
            tokio::time::sleep(after).await;
            fleet.join(room, role, is_webrtc(index, share)).await
        }));
    }

    /// `count` per room, at the scenario's rate.
    fn join_viewers(&mut self, count: u32) {
        for index in 0..count * self.scenario.rooms {
            let after = Duration::from_secs_f64(f64::from(index) / self.scenario.join_rate);
            self.join((index % self.scenario.rooms) as usize, Role::VIEWER, after);
        }
    }

    /// The member that has been here for longest leaves; members of the `webrtc` crate stay, since theirs is a share.
    fn replace(&mut self, members: &mut Vec<Member>) {
        let is_leaving = |member: &Member| member.role.receives && !member.is_webrtc();
        let Some(index) = members.iter().position(is_leaving) else { return };
        let member = members.remove(index);
        self.joins.push(member.join_times());
        self.join(member.room, member.role, Duration::ZERO);
        let fleet = Arc::clone(&self.fleet);
        self.leaving.push(Box::pin(async move { member.leave(&fleet.engine).await }));
    }

    /// Half of the time the track that was muted first is unmuted; else another one is muted.
    fn toggle(&mut self, members: &[Member]) -> anyhow::Result<()> {
        let engine = &self.fleet.engine;
        let first = |member: &Member| member.parts.first().map(|part| part.id);
        if !self.muted.is_empty() && (self.muted.len() >= members.len() || rand::random()) {
            let (id, kind) = self.muted.remove(0);
            let member = members.iter().find(|member| first(member) == Some(id));
            return member.map_or(Ok(()), |member| member.set_muted(engine, kind, false));
        }
        let kind = if self.scenario.video.is_some() && rand::random() { Kind::Video } else { Kind::Audio };
        let senders = members.iter().filter(|member| member.role.sends);
        let free: Vec<(Id, &Member)> = senders
            .filter_map(|member| Some((first(member)?, member)))
            .filter(|(id, _)| !self.muted.contains(&(*id, kind)))
            .collect();
        let Some((id, member)) = free.get(rand::random::<u32>() as usize % free.len().max(1)) else { return Ok(()) };
        self.muted.push((*id, kind));
        member.set_muted(engine, kind, true)
    }

    fn take_step(&mut self) {
        let Some(step) = self.scenario.step.clone() else { return };
        let more = step.viewers.min(step.max.saturating_sub(self.viewers));
        self.viewers += more;
        self.join_viewers(more);
    }
}

async fn tick(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}
