//! Starting the servers that are compared, each on ports that were free, and ending them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reqwest::Url;
use tokio::process::{Child, Command};

use crate::cli::{Changes, HostArgs, Opponent, RunArgs, Target};

/// How long a server may take until it serves.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Starts Janus on one address; see there.
const JANUS_SCRIPT: &str = "scripts/janus-loopback";
/// No room is full: what ends a run is the server's work, and not its configuration.
const NO_ROOM_LIMIT: (&str, &str) = ("MADANG_LIMITS__PARTICIPANTS_PER_ROOM", "1000000");
/// Starts mediasoup; see there.
const MEDIASOUP_SCRIPT: &str = "scripts/mediasoup";

/// A server that runs. It is killed when this is dropped.
pub struct Running {
    child: Child,
    /// Its process.
    pub pid: u32,
    /// Where it is.
    pub url: Url,
    /// Its address.
    pub address: SocketAddr,
    /// How to join.
    pub target: Target,
    /// Where it tells of its sockets.
    metrics: Option<Url>,
}

/// How a server is started.
struct Recipe {
    program: Vec<String>,
    target: Target,
    scheme: &'static str,
    metrics: Option<SocketAddr>,
}

impl Running {
    /// Starts a server and waits until it takes connections.
    pub async fn start(server: Opponent, host: &HostArgs) -> anyhow::Result<Self> {
        let address = SocketAddr::new(host.address, free_port()?);
        let recipe = recipe(server, host, address)?;
        Self::launch(host, recipe, address, &[NO_ROOM_LIMIT], Stdio::null()).await
    }

    /// Starts Madang with few descriptors and with its log on a full disk.
    pub async fn start_to_be_hurt(host: &HostArgs, descriptors: u32, env: &[(&str, &str)]) -> anyhow::Result<Self> {
        let address = SocketAddr::new(host.address, free_port()?);
        let operator = SocketAddr::new(host.address, free_port()?);
        let limited = format!("ulimit -n {descriptors} && exec \"$@\"");
        let mut program = ["sh", "-c", &limited, "sh"].map(str::to_owned).to_vec();
        program.extend(madang(host, address, operator, "debug"));
        let recipe = Recipe { program, target: Target::Madang, scheme: "http", metrics: Some(operator) };
        let full_disk = std::fs::File::options().write(true).open("/dev/full").context("/dev/full")?;
        Self::launch(host, recipe, address, env, full_disk.into()).await
    }

    async fn launch(
        host: &HostArgs,
        recipe: Recipe,
        address: SocketAddr,
        env: &[(&str, &str)],
        stderr: Stdio,
    ) -> anyhow::Result<Self> {
        let words = wrap(host, recipe.program);
        let mut command = Command::new(&words[0]);
        command.envs(env.iter().copied());
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("starting {words:?}"))?;
        let pid = child.id().context("it ended at once")?;
        wait_for(&mut child, address).await.with_context(|| format!("{words:?}"))?;
        let url = Url::parse(&format!("{}://{address}", recipe.scheme))?;
        let metrics = recipe.metrics.map(|address| Url::parse(&format!("http://{address}/metrics"))).transpose()?;
        Ok(Self { child, pid, url, address, target: recipe.target, metrics })
    }

    /// What runs a scenario against it.
    pub fn run_args(&self, scenario: &str, changes: Changes) -> RunArgs {
        RunArgs {
            scenario: scenario.to_owned(),
            target: self.target,
            url: self.url.clone(),
            token_key: "devkey".to_owned(),
            token_secret: "secret-for-development-only-do-not-use".to_owned(),
            room: "versus".to_owned(),
            server_pid: Some(self.pid),
            threads: None,
            changes,
            json: None,
            html: None,
            quiet: true,
        }
    }

    /// Datagrams sent per message that the kernel cut up, if it counts them and there were any.
    pub async fn datagrams_per_train(&self) -> Option<f64> {
        let metrics = self.metrics().await.ok()?;
        let trains = metrics.sum("madang_udp_sent_trains_total");
        (trains > 0.0).then(|| metrics.sum("madang_udp_sent_datagrams_total") / trains)
    }

    /// All that it tells.
    pub async fn metrics(&self) -> anyhow::Result<Metrics> {
        let url = self.metrics.clone().context("this server has no metrics")?;
        Ok(Metrics(reqwest::get(url).await?.error_for_status()?.text().await?))
    }

    /// Whether its threads are.
    pub async fn is_alive(&self) -> bool {
        let Some(url) = self.metrics.as_ref().and_then(|metrics| metrics.join("/livez").ok()) else { return false };
        reqwest::get(url).await.is_ok_and(|answer| answer.status().is_success())
    }

    /// All its metrics now, those of all workers apart.
    pub async fn counters(&self) -> anyhow::Result<BTreeMap<String, f64>> {
        let address = self.metrics.clone().context("this server has no metrics")?;
        let text = reqwest::get(address).await?.text().await?;
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        Ok(samples.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
    }

    /// Ends it.
    pub async fn stop(mut self) {
        // One that has ended by itself needs no killing.
        let _ = self.child.kill().await;
    }
}

/// Metrics in the Prometheus text format.
pub struct Metrics(String);

impl Metrics {
    /// Of all samples of one; 0 if there are none.
    pub fn sum(&self, name: &str) -> f64 {
        let is_sample = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let samples = self.0.lines().filter(is_sample);
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

/// Free a moment ago on all addresses of this namespace; in another one nobody else starts servers.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?.local_addr()?.port())
}

async fn wait_for(child: &mut Child, address: SocketAddr) -> anyhow::Result<()> {
    let start = Instant::now();
    while start.elapsed() < START_TIMEOUT {
        if let Some(status) = child.try_wait()? {
            bail!("it ended: {status}");
        }
        if tokio::net::TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("it does not take connections at {address}")
}

/// `ip` and `taskset` become what they start, so that the process is the server's.
fn wrap(host: &HostArgs, program: Vec<String>) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    if let Some(netns) = &host.netns {
        words.extend(["ip", "netns", "exec", netns].map(str::to_owned));
    }
    if let Some(core) = &host.core {
        words.extend(["taskset", "-c", core].map(str::to_owned));
    }
    words.extend(program);
    words
}

fn recipe(server: Opponent, host: &HostArgs, address: SocketAddr) -> anyhow::Result<Recipe> {
    let whip = |program, metrics| Recipe { program, target: Target::WhipWhep, scheme: "http", metrics };
    Ok(match server {
        Opponent::Madang => {
            let operator = SocketAddr::new(host.address, free_port()?);
            whip(madang(host, address, operator, "error"), Some(operator))
        }
        Opponent::Floor => whip(baseline("floor", address)?, Some(address)),
        Opponent::FloorSendto => whip(baseline("floor-sendto", address)?, Some(address)),
        Opponent::Webrtc => whip(baseline("webrtc", address)?, None),
        Opponent::Janus => {
            let program = script(JANUS_SCRIPT, address);
            Recipe { program, target: Target::Janus, scheme: "ws", metrics: None }
        }
        Opponent::Mediasoup => {
            let program = script(MEDIASOUP_SCRIPT, address);
            Recipe { program, target: Target::Mediasoup, scheme: "http", metrics: None }
        }
    })
}

fn madang(host: &HostArgs, address: SocketAddr, operator: SocketAddr, log: &str) -> Vec<String> {
    let (ip, port, workers) = (address.ip().to_string(), address.port().to_string(), host.workers.to_string());
    // All microphones: the others forward all of them.
    let fixed = ["serve", "--dev", "--udp-port", "0", "--tcp-port", "0", "--loudest-speakers", "0"];
    let fixed = fixed.into_iter().chain(["--workers", &workers, "--log-filter", log]);
    let mut words = vec![host.madang.display().to_string()];
    words.extend(fixed.map(str::to_owned));
    words.extend(["--bind", &ip, "--http-port", &port, "--operator", &operator.to_string()].map(str::to_owned));
    words
}

fn baseline(kind: &str, address: SocketAddr) -> anyhow::Result<Vec<String>> {
    let program = std::env::current_exe().context("this program's file")?.display().to_string();
    Ok([&program, "baseline", kind, "--bind", &address.to_string()].map(str::to_owned).to_vec())
}

/// Such a script ends by becoming the server.
fn script(path: &str, address: SocketAddr) -> Vec<String> {
    let mut words = vec![path.to_owned(), address.port().to_string()];
    if address.ip() != IpAddr::V4(Ipv4Addr::LOCALHOST) {
        words.push(address.ip().to_string());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_summed_over_workers() {
        let text = "# HELP a_total x\na_total{worker=\"0\"} 3\na_total{worker=\"1\"} 4\na_total_more 9\nb_total 5\n";
        let metrics = Metrics(text.to_owned());
        assert_eq!(["a_total", "b_total", "c"].map(|name| metrics.sum(name)), [7.0, 5.0, 0.0]);
    }
}
