//! Whether a run counts, and whether it passed.

use serde::{Deserialize, Serialize};

use super::{Generator, Measured};
use crate::scenario::Scenario;

/// More loss than this voids a run, in per cent: CPU per packet means little if the work was not done.
const VOID_LOSS_PERCENT: f64 = 0.1;
/// A generator that takes more of the processors' time than this was the limit.
const VOID_GENERATOR_SHARE: f64 = 0.85;
/// Publishers that sent less than this share of their packets in time fell behind.
const VOID_IN_TIME: f64 = 0.98;

/// Whether the run counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Why the figures are worth nothing.
    pub void: Vec<String>,
    /// Which thresholds were broken.
    pub broken: Vec<String>,
}

impl Verdict {
    /// Judges what was measured.
    pub fn of(measured: &Measured, scenario: &Scenario) -> Self {
        Self { void: void(measured, scenario), broken: broken(measured, scenario) }
    }
}

/// Loss that a threshold allows, that a last mile causes or that steps look for is no reason.
fn void(measured: &Measured, scenario: &Scenario) -> Vec<String> {
    let mut reasons = Vec::new();
    let mut void = |holds: bool, reason: String| reasons.extend(holds.then_some(reason));
    let loss = measured.loss_percent;
    let allowed = scenario.thresholds.max_loss_percent.unwrap_or(0.0).max(VOID_LOSS_PERCENT);
    let is_wanted = !scenario.link.is_clear() || scenario.step.is_some();
    void(!is_wanted && loss > allowed, format!("{loss:.3} % lost, more than {allowed} %"));
    void(measured.delivered.packets() == 0, "nothing was delivered".to_owned());
    void(measured.starved > 0, format!("{} receivers saw no media before measuring", measured.starved));
    if let Some(reason) = &measured.joins.reason {
        void(true, format!("{} joins failed or ended by themselves: {reason}", measured.joins.failed));
    }
    let Generator { cpu_share, in_time, .. } = measured.generator;
    void(
        cpu_share > VOID_GENERATOR_SHARE,
        format!("the generator was the limit: it took {:.0} % of the processors' time", cpu_share * 100.0),
    );
    void(
        in_time < VOID_IN_TIME,
        format!("the generator was the limit: {:.1} % of what was due left in time", in_time * 100.0),
    );
    reasons
}

fn broken(measured: &Measured, scenario: &Scenario) -> Vec<String> {
    let limits = &scenario.thresholds;
    let mut broken = Vec::new();
    let mut at_most = |name: &str, unit: &str, found: Option<f64>, limit: Option<f64>| {
        if let (Some(found), Some(limit)) = (found, limit)
            && found > limit
        {
            broken.push(format!("{name} {found:.3} {unit} > {limit} {unit}"));
        }
    };
    at_most("loss", "%", Some(measured.loss_percent), limits.max_loss_percent);
    let cpu = measured.server.and_then(|server| server.us_per_packet);
    at_most("server CPU per packet", "µs", cpu, limits.max_cpu_us);
    at_most("latency p99", "ms", measured.latency.map(|latency| latency.p99_ms), limits.max_latency_p99_ms);
    let join = measured.joins.first_keyframe.or(measured.joins.first_packet);
    at_most("join p99", "ms", join.map(|join| join.p99_ms), limits.max_join_p99_ms);
    let freezes = limits.max_freezes.map(|limit| limit as f64);
    at_most("freezes", "times", Some(measured.picture.freezes as f64), freezes);
    if let Some(limit) = limits.min_packets_per_second.filter(|limit| measured.packets_per_second < *limit) {
        broken.push(format!("{:.0} packets/s < {limit}", measured.packets_per_second));
    }
    broken
}
