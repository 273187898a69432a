//! Servers that are not Madang, to compare with: the least that anybody must spend, and what a plain program on a common
//! library spends. They speak WHIP and WHEP as far as `madang-load` needs it, take any token and have one room.
//!
//! - [`floor`]: opens what the publisher sends, and for each viewer copies, seals and sends it: the same packets, the
//!   same profile, the same system calls as Madang (its `net`), and no router between.
//! - [`forwarder`]: `TrackRemote` to `TrackLocalStaticRTP` on the `webrtc` crate.

pub mod floor;
pub mod forwarder;

use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use sfu_core::net::UdpMode;

use crate::cli::{Baseline, BaselineArgs};

/// What a baseline does with offers.
#[async_trait]
pub trait Server: Send + Sync + 'static {
    /// Answers a publisher's or a viewer's offer; gives the session's number and the answer.
    async fn answer(&self, offer: String, publishes: bool) -> anyhow::Result<(u64, String)>;
    /// Ends a session.
    async fn end(&self, session: u64);
    /// What it counts of its sockets, named as Madang's metrics are; nothing by default.
    fn metrics(&self) -> String {
        String::new()
    }
}

/// Serves until the process is told to stop. `ready` is told the address.
pub async fn serve(args: &BaselineArgs, ready: impl FnOnce(std::net::SocketAddr)) -> anyhow::Result<()> {
    let ip = args.bind.ip();
    let server: Arc<dyn Server> = match args.kind {
        Baseline::Webrtc => Arc::new(forwarder::Forwarder::new(ip)),
        Baseline::Floor => Arc::new(floor::Floor::start(ip, UdpMode::Fast)?),
        Baseline::FloorSendto => Arc::new(floor::Floor::start(ip, UdpMode::Portable)?),
    };
    let router = Router::new()
        .route("/whip/{room}", post(whip))
        .route("/whep/{room}", post(whep))
        .route("/session/{session}", delete(end))
        .route("/metrics", get(|State(server): State<Arc<dyn Server>>| async move { server.metrics() }))
        .with_state(server);
    let listener =
        tokio::net::TcpListener::bind(args.bind).await.with_context(|| format!("listening on {}", args.bind))?;
    ready(listener.local_addr()?);
    Ok(axum::serve(listener, router).await?)
}

async fn whip(State(server): State<Arc<dyn Server>>, offer: String) -> Response {
    answer(&*server, offer, true).await
}

async fn whep(State(server): State<Arc<dyn Server>>, offer: String) -> Response {
    answer(&*server, offer, false).await
}

async fn end(State(server): State<Arc<dyn Server>>, Path(session): Path<u64>) -> StatusCode {
    server.end(session).await;
    StatusCode::OK
}

async fn answer(server: &dyn Server, offer: String, publishes: bool) -> Response {
    match server.answer(offer, publishes).await {
        Ok((session, answer)) => {
            let headers: [(HeaderName, String); 2] = [
                (header::LOCATION, format!("/session/{session}")),
                (header::CONTENT_TYPE, "application/sdp".to_owned()),
            ];
            (StatusCode::CREATED, headers, answer).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error:#}")).into_response(),
    }
}
