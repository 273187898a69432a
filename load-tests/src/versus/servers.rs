//! Starting the servers that are compared, each on ports that were free, and ending them.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, bail};
use reqwest::Url;
use tokio::process::{Child, Command};

use super::START_TIMEOUT;
use crate::cli::{Opponent, Target, VersusArgs};

/// Starts Janus on loopback; see there.
const JANUS_SCRIPT: &str = "scripts/janus-loopback";

/// A server that runs. It is killed when this is dropped.
pub struct Running {
    child: Child,
    /// Its process.
    pub pid: u32,
    /// Where it is.
    pub url: Url,
    /// How to join.
    pub target: Target,
}

impl Running {
    /// Starts a server and waits until it takes connections.
    pub async fn start(server: Opponent, args: &VersusArgs) -> anyhow::Result<Self> {
        let port = free_port()?;
        let (mut command, target, scheme) = match server {
            Opponent::Madang => (madang(args, port), Target::WhipWhep, "http"),
            Opponent::Floor => (baseline("floor", port)?, Target::WhipWhep, "http"),
            Opponent::FloorSendto => (baseline("floor-sendto", port)?, Target::WhipWhep, "http"),
            Opponent::Webrtc => (baseline("webrtc", port)?, Target::WhipWhep, "http"),
            Opponent::Janus => (janus(port), Target::Janus, "ws"),
        };
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn();
        let mut child = child.with_context(|| format!("starting {server:?} ({:?})", command.as_std().get_program()))?;
        let pid = child.id().context("it ended at once")?;
        wait_for(&mut child, port).await.with_context(|| format!("{server:?}"))?;
        Ok(Self { child, pid, url: Url::parse(&format!("{scheme}://127.0.0.1:{port}"))?, target })
    }

    /// Ends it.
    pub async fn stop(mut self) {
        // One that has ended by itself needs no killing.
        let _ = self.child.kill().await;
    }
}

/// Free a moment ago; nobody else starts servers meanwhile.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

async fn wait_for(child: &mut Child, port: u16) -> anyhow::Result<()> {
    let start = Instant::now();
    while start.elapsed() < START_TIMEOUT {
        if let Some(status) = child.try_wait()? {
            bail!("it ended: {status}");
        }
        if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    bail!("it does not take connections")
}

fn madang(args: &VersusArgs, port: u16) -> Command {
    let mut command = Command::new(&args.madang);
    command.args(["serve", "--dev", "--bind", "127.0.0.1", "--udp-port", "0", "--tcp-port", "0"]);
    command.args(["--operator", "127.0.0.1:0", "--workers", "1", "--log-filter", "error"]);
    command.args(["--http-port", &port.to_string()]);
    command
}

fn baseline(kind: &str, port: u16) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("this program's file")?);
    command.args(["baseline", kind, "--bind", &format!("127.0.0.1:{port}")]);
    Ok(command)
}

/// The script ends by becoming Janus, so that the process is the server's.
fn janus(port: u16) -> Command {
    let mut command = Command::new(PathBuf::from(JANUS_SCRIPT));
    command.arg(port.to_string());
    command
}
