//! The operator's listener, without authentication and so on loopback unless configured otherwise:
//!
//! - `/livez`: 503 means that the process must be restarted: a media thread ended or hangs.
//! - `/readyz`: 503 means that no new participants should be sent here: starting, or shutting down.
//! - `/startupz`: 503 until the server took its first look at the world.
//! - `/metrics`: Prometheus' text format.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sfu_core::net::Workers;

use crate::metrics;

/// What the endpoints look at.
#[derive(Clone)]
pub(crate) struct Operator {
    pub(crate) workers: Arc<Workers>,
    pub(crate) server: Arc<sfu_signal::Server>,
}

impl Operator {
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/livez", get(|State(this): State<Self>| async move { status(this.workers.is_alive()) }))
            .route("/readyz", get(|State(this): State<Self>| async move { status(this.is_ready()) }))
            .route("/startupz", get(|State(this): State<Self>| async move { status(this.is_ready()) }))
            .route("/metrics", get(|State(this): State<Self>| async move { this.metrics() }))
            .with_state(self)
    }

    fn is_ready(&self) -> bool {
        self.server.is_ready() && self.workers.is_alive()
    }

    fn metrics(&self) -> Response {
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        match metrics::gather(&self.workers, &self.server.counters(), tasks) {
            Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    }
}

fn status(well: bool) -> (StatusCode, &'static str) {
    if well { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ok\n") }
}
