//! What is done with a connection that was let in: TLS, HTTP/1.1 or HTTP/2, and each request to the router.
//!
//! The task ends with the connection, when something does not come in time, when the connection makes room for another, and when
//! the listener closes. A WebSocket leaves this task at its upgrade; it ends by its own rules (`ws`).

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::{Request, Response};
use axum::response::IntoResponse;
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use sfu_core::limiter::Prefix;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::accept::Spares;
use super::connection::{Client, Connection, Overdue, Seat, Ticket, Underway};
use super::counters::add;
use super::socket::Socket;
use super::{Gate, Settings, Stage, Tls};
use crate::error::{ErrorCode, SignalError};

/// Header lines of one request. Behind several proxies there are more than the 100 that hyper takes by itself.
const HEADERS: usize = 256;

/// Bytes of a request's head. A token takes at most half of it.
const HEAD_BYTES: u32 = 32 << 10;

/// Bytes that a client may send ahead on one HTTP/2 stream, and on a connection.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW;

/// Streams that a client may open and reset before anything was done for them, and streams that we may reset for its faults.
const RESETS: usize = 32;

/// What all connections of a listener share.
pub(super) struct Service {
    router: TowerToHyperService<Router>,
    tls: Option<Tls>,
    settings: Settings,
    gate: Arc<Gate>,
    stage: watch::Receiver<Stage>,
    builder: auto::Builder<TokioExecutor>,
}

impl Service {
    pub(super) fn new(
        router: Router,
        tls: Option<Tls>,
        settings: Settings,
        gate: Arc<Gate>,
        stage: watch::Receiver<Stage>,
    ) -> Self {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            // Deadlines are this module's, since hyper knows none between requests.
            .header_read_timeout(None)
            .max_headers(HEADERS)
            .max_buf_size(HEAD_BYTES as usize);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(settings.streams)
            .max_header_list_size(HEAD_BYTES)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(STREAM_WINDOW as usize)
            .max_pending_accept_reset_streams(RESETS)
            .max_local_error_reset_streams(RESETS);
        Self { router: TowerToHyperService::new(router), tls, settings, gate, stage, builder }
    }

    pub(super) const fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    pub(super) const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Resolves when the listener has come so far in ending.
    pub(super) async fn reached(&self, wanted: Stage) {
        // The sender lives as long as the listener's handle; without one there is nobody who could end it.
        if self.stage.clone().wait_for(|stage| *stage >= wanted).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    pub(super) async fn admit(&self, peer: IpAddr) -> Option<Ticket> {
        self.gate.admit(Prefix::from(peer), self.settings.proxies.contains(peer)).await
    }

    /// Serves a connection to its end.
    pub(super) async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: IpAddr,
        ticket: Ticket,
        spares: Arc<Spares>,
    ) {
        let connection = ticket.0.clone();
        // Fails for a socket that is gone already, which is found out soon enough.
        let _ = stream.set_nodelay(true);
        let socket = Socket::new(stream, ticket);
        tokio::select! {
            () = self.serve(socket, peer, &connection) => {}
            () = connection.when_cut() => {}
            () = self.reached(Stage::Closed) => {}
        }
        // The descriptor is free: it may have been a spare one.
        spares.refill();
    }

    async fn serve(self: &Arc<Self>, socket: Socket, peer: IpAddr, connection: &Arc<Connection>) {
        let Some(tls) = &self.tls else { return self.http(socket, peer, connection).await };
        let handshake = TlsAcceptor::from(tls()).accept(socket);
        match tokio::time::timeout(self.settings.timeouts.header, handshake).await {
            Ok(Ok(stream)) => {
                connection.on_handshake(Instant::now());
                self.http(stream, peer, connection).await;
            }
            // Scanners and browsers that do not trust the certificate: nothing that a log gains by.
            Ok(Err(_)) => {}
            Err(_) => self.gate.counters.overdue(Overdue::Handshake),
        }
    }

    async fn http<S>(self: &Arc<Self>, stream: S, peer: IpAddr, connection: &Arc<Connection>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(|request| {
            let (this, connection) = (self.clone(), connection.clone());
            async move { Ok::<_, Infallible>(this.answer(request, peer, connection).await) }
        });
        let mut served = pin!(self.builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
        let mut closing = pin!(self.reached(Stage::Closing));
        let mut sleep = pin!(tokio::time::sleep_until(Instant::now().into()));
        let mut ending = false;
        // One future polls all of it: whatever moves the deadline happens while hyper is polled.
        let overdue = poll_fn(|cx| {
            if served.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            if !ending && closing.as_mut().poll(cx).is_ready() {
                ending = true;
                served.as_mut().graceful_shutdown();
                cx.waker().wake_by_ref();
            }
            let (deadline, what) = connection.deadline(&self.settings.timeouts);
            if sleep.deadline() != deadline.into() {
                sleep.as_mut().reset(deadline.into());
            }
            sleep.as_mut().poll(cx).map(|()| Some(what))
        });
        if let Some(what) = overdue.await {
            self.gate.counters.overdue(what);
        }
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
        peer: IpAddr,
        connection: Arc<Connection>,
    ) -> Response<Tracked> {
        let Some(underway) = connection.begin(request.version(), Instant::now()) else {
            add(&self.gate.counters.rate_limited);
            let error = SignalError::new(ErrorCode::RateLimited, "this connection asks too often; pause for a second");
            return error.into_response().map(|body| Tracked { body, _held: None });
        };
        let proxied = self.settings.proxies.contains(peer);
        let address = self.settings.proxies.client(peer, request.headers());
        let seat = proxied.then(|| Seat::take(&self.gate, address.into()));
        if let Some(None) = seat {
            let refused = SignalError::from(ErrorCode::TooManyConnections).into_response();
            return refused.map(|body| Tracked { body, _held: None });
        }
        let client = Client::new(connection, seat.flatten(), address, proxied);
        request.extensions_mut().insert(client.clone());
        let Ok(response) = self.router.call(request).await;
        response.map(|body| Tracked { body, _held: Some((underway, client)) })
    }
}

/// A response's body. Until it is written or dropped its request is under way and keeps its seat.
struct Tracked {
    body: Body,
    _held: Option<(Underway, Client)>,
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
