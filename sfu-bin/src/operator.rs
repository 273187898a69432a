//! The operator's listener, without authentication and so on loopback unless configured otherwise:
//!
//! - `/livez`: 503 means that the process must be restarted: the control plane or a media thread hangs, or no media thread is in
//!   service. One that panicked and goes on is no reason.
//! - `/readyz`: 503 means that no new participants should be sent here: starting, or shutting down.
//! - `/startupz`: 503 until the server took its first look at the world.
//! - `/metrics`: Prometheus' text format.
//!
//! It keeps file descriptors of its own and answers also when the process has no other left.
//!
//! `serve --test-commands`, which release builds do not know, adds `POST /test/panic/{part}`: `control`, or a worker's index.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sfu_core::net::Workers;
use sfu_signal::listener::Listener;

use crate::cli::ServeArgs;
use crate::metrics::Process;
use crate::node::Node;
use crate::{metrics, panics};

/// What the endpoints look at.
#[derive(Clone)]
pub(crate) struct Operator {
    pub(crate) workers: Arc<Workers>,
    pub(crate) server: Arc<sfu_signal::Server>,
    pub(crate) node: Node,
    /// The public listener, which starts after this one.
    pub(crate) public: Arc<OnceLock<Listener>>,
}

impl Operator {
    pub(crate) fn router(self, args: &ServeArgs) -> Router {
        let router = Router::new()
            .route("/livez", get(|State(this): State<Self>| async move { status(this.is_alive()) }))
            .route("/readyz", get(|State(this): State<Self>| async move { status(this.is_ready()) }))
            .route("/startupz", get(|State(this): State<Self>| async move { status(this.is_ready()) }))
            .route("/metrics", get(|State(this): State<Self>| async move { this.metrics() }));
        with_test_commands(router, args).with_state(self)
    }

    fn is_alive(&self) -> bool {
        self.workers.is_alive() && self.server.is_alive()
    }

    /// Whether new participants may be sent here.
    pub(crate) fn is_ready(&self) -> bool {
        self.server.is_ready() && self.is_alive()
    }

    /// `/healthz` of the public listener, for load balancers that probe the port they send clients to: the same as `/readyz`.
    pub(crate) fn mount_health(self, router: Router) -> Router {
        router.merge(
            Router::new()
                .route("/healthz", get(|State(this): State<Self>| async move { status(this.is_ready()) }))
                .with_state(self),
        )
    }

    fn metrics(&self) -> Response {
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let http = self.public.get().map(Listener::counters);
        let process = Process { node: &self.node, panics: panics::count(), tasks, http };
        match metrics::gather(&self.workers, &self.server.counters(), &process) {
            Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    }
}

#[cfg(not(debug_assertions))]
fn with_test_commands(router: Router<Operator>, _args: &ServeArgs) -> Router<Operator> {
    router
}

#[cfg(debug_assertions)]
fn with_test_commands(router: Router<Operator>, args: &ServeArgs) -> Router<Operator> {
    use axum::extract::Path;
    use axum::routing::post;

    let panic = |State(this): State<Operator>, Path(part): Path<String>| async move {
        match part.parse::<usize>().ok().and_then(|index| this.workers.handles().get(index)) {
            Some(worker) => status(worker.send(sfu_core::control::Command::Panic).is_ok()),
            None => {
                this.server.panic_soon();
                status(part == "control")
            }
        }
    };
    if args.test_commands { router.route("/test/panic/{part}", post(panic)) } else { router }
}

fn status(well: bool) -> (StatusCode, &'static str) {
    if well { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ok\n") }
}
