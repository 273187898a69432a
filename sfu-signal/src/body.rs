//! Request bodies: bounded each, bounded together, and read only for whoever may send one.
//!
//! A handler checks the token, the room and the Content-Type first. Then a body has `http.body_timeout` to arrive, may have
//! `limits.http_body_bytes`, and takes its bytes from a budget that all bodies under way share (`http.body_budget`).

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;

use crate::error::{ErrorCode, SignalError};
use crate::server::Server;

/// Bytes that bodies under way may have together.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    limit: usize,
}

impl Budget {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { used: AtomicUsize::new(0), limit }
    }

    /// Bytes that are taken now.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        let taken = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }
}

/// A body, whose bytes are given back to the budget when it is dropped.
#[derive(Debug)]
pub(crate) struct Text<'a> {
    text: String,
    bytes: usize,
    budget: &'a Budget,
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl Drop for Text<'_> {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Server {
    /// Reads a body.
    pub(crate) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Text<'_>, SignalError> {
        let limit = self.config.limits.http_body_bytes;
        let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: usize| length > limit) {
            return Err(ErrorCode::MessageTooLarge.into());
        }
        let read = tokio::time::timeout(self.config.http.body_timeout, self.collect(body, limit));
        read.await.map_err(|_| SignalError::from(ErrorCode::RequestTimeout))?
    }

    async fn collect(&self, body: Body, limit: usize) -> Result<Text<'_>, SignalError> {
        // It holds what was taken so far, so that every way out gives it back.
        let mut text = Text { text: String::new(), bytes: 0, budget: &self.bodies };
        let mut collected = Vec::new();
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| SignalError::new(ErrorCode::BadRequest, "the body cannot be read"))?;
            if collected.len() + chunk.len() > limit {
                return Err(ErrorCode::MessageTooLarge.into());
            }
            if !self.bodies.take(chunk.len()) {
                let text = "the server reads too many request bodies at once; try again in a second";
                return Err(SignalError::new(ErrorCode::ServerBusy, text));
            }
            text.bytes += chunk.len();
            collected.extend_from_slice(&chunk);
        }
        text.text = String::from_utf8(collected)
            .map_err(|_| SignalError::new(ErrorCode::BadRequest, "the body is not UTF-8"))?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_together_never_have_more_than_the_budget() {
        let budget = Budget::new(100);
        assert!(budget.take(60) && !budget.take(41) && budget.take(40) && !budget.take(1));
        assert!(!budget.take(usize::MAX));
        drop(Text { text: String::new(), bytes: 60, budget: &budget });
        assert_eq!(budget.used(), 40);
        assert!(budget.take(60));
    }
}
