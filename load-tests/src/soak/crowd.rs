//! Clients that behave as badly as real ones do by accident: stopped laptops, crashed tabs, proxies that reset, pages that never
//! read what they are sent.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, Command};

use crate::token::{Role, TokenMint};
use crate::versus::servers::Running;

use super::footprint::descriptors;

/// Processes of participants per round: one is stopped, one is killed.
const PROCESSES: usize = 2;
/// Participants of each.
const PARTICIPANTS: usize = 4;
/// They must have joined by then.
const JOINED: Duration = Duration::from_secs(20);
/// WebSockets that send and never read.
const DEAF: u32 = 4;
/// Requests without an answer that each of them sends: more than a queue of the server holds.
const REQUESTS: usize = 2_000;
/// Connections that end by a reset, in the middle of something.
const RESET: usize = 20;
/// How long all descriptors are taken.
const EXHAUSTED: Duration = Duration::from_secs(2);
/// How long one connection of the crowd tries for something.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the crowds of all rounds need.
pub(super) struct Crowd {
    address: SocketAddr,
    descriptors: u32,
    mint: TokenMint,
    url: String,
    /// The most that the server had while all were to be taken.
    pub(super) most_descriptors: u64,
}

/// One round's.
pub(super) struct Crowded {
    processes: Vec<Child>,
    deaf: Vec<TcpStream>,
}

impl Crowd {
    pub(super) fn new(server: &Running, descriptors: u32) -> Self {
        let args = server.run_args("meeting", crate::cli::Changes::default());
        let mint = TokenMint { key: args.token_key, secret: args.token_secret, room: "deaf".to_owned() };
        Self { address: server.address, descriptors, mint, url: server.url.to_string(), most_descriptors: 0 }
    }

    /// Participants in processes of their own, of which one is stopped at once, and connections of all kinds.
    pub(super) async fn arrive(&mut self, server: &Running, round: u32) -> anyhow::Result<Crowded> {
        let mut processes = Vec::new();
        for number in 0..PROCESSES {
            processes.push(self.participants(&format!("crowd-{round}-{number}"))?);
        }
        tokio::time::timeout(JOINED, all_joined(server)).await.context("the crowd did not join")??;
        let mut deaf = Vec::new();
        for number in 0..DEAF {
            // One that the server does not want has served its purpose as well.
            let opened = tokio::time::timeout(PATIENCE, self.deaf(&format!("deaf-{number}"))).await;
            deaf.extend(opened.ok().and_then(Result::ok));
        }
        for number in 0..RESET {
            let _ = tokio::time::timeout(PATIENCE, self.reset(number)).await;
        }
        if let Some(pid) = processes[0].id() {
            kill(Pid::from_raw(pid as i32), Signal::SIGSTOP).context("stopping a client")?;
        }
        Ok(Crowded { processes, deaf })
    }

    fn participants(&self, room: &str) -> anyhow::Result<Child> {
        let program = std::env::current_exe().context("this program's file")?;
        let count = PARTICIPANTS.to_string();
        let size = ["--participants", &count, "--video-bitrate", "100k", "--duration", "30m"];
        let child = Command::new(program)
            .args(["run", "meeting", "--quiet", "--threads", "1", "--url", &self.url, "--room", room])
            .args(size)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        child.context("starting participants")
    }

    /// A WebSocket that asks and asks, and reads nothing.
    async fn deaf(&self, identity: &str) -> anyhow::Result<TcpStream> {
        let token = self.mint.mint(identity, Role::Viewer)?;
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        let mut stream = socket.connect(self.address).await?;
        let request = format!(
            "GET /v1/rtc?access_token={token} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).await?;
        // A text of two bytes, masked by zeros.
        let frame = [0x81, 0x82, 0, 0, 0, 0, b'{', b'}'];
        // The server may have closed it for what it sent.
        let _ = stream.write_all(&frame.repeat(REQUESTS)).await;
        Ok(stream)
    }

    /// A connection that is reset in the middle of nothing, of a request's head, or of its body.
    async fn reset(&self, number: usize) -> anyhow::Result<()> {
        let mut stream = TcpStream::connect(self.address).await?;
        let sent: &[u8] = match number % 3 {
            0 => b"",
            1 => b"GET /v1/rtc HTTP/1.1\r\nHost: a",
            _ => b"POST /whip/x HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\nv=0",
        };
        stream.write_all(sent).await?;
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        Ok(())
    }

    /// More connections than the server has descriptors, for a while; what it does not accept waits in the kernel's queue.
    pub(super) async fn exhaust_descriptors(&mut self, server: &Running) -> anyhow::Result<()> {
        let connect = |_| async {
            let connected = tokio::time::timeout(PATIENCE, TcpStream::connect(self.address)).await;
            connected.ok().and_then(Result::ok)
        };
        let held = futures_util::future::join_all((0..self.descriptors + 64).map(connect)).await;
        tokio::time::sleep(EXHAUSTED).await;
        self.most_descriptors = self.most_descriptors.max(descriptors(server)?);
        drop(held);
        Ok(())
    }
}

async fn all_joined(server: &Running) -> anyhow::Result<()> {
    while (server.metrics().await?.sum("madang_participants") as usize) < PROCESSES * PARTICIPANTS {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

impl Crowded {
    /// All are gone without a word: processes are killed, and the rest is closed.
    pub(super) async fn vanish(self) {
        for mut process in self.processes {
            // One that has ended by itself needs no killing.
            let _ = process.kill().await;
        }
        drop(self.deaf);
    }
}
