//! The tasks without which the server is none: if one ends before it is told to, the process ends with the reason.

use std::fmt::Display;

use tokio::task::JoinSet;

/// The running tasks.
#[derive(Default)]
pub(crate) struct Parts(JoinSet<Ended>);

/// A part that ended, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) part: &'static str,
    pub(crate) reason: String,
}

impl Parts {
    /// Starts a part. It is to run until the process stops.
    pub(crate) fn spawn<E: Display + Send + 'static>(
        &mut self,
        part: &'static str,
        run: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let task = tokio::spawn(run);
        self.0.spawn(async move {
            let reason = match task.await {
                Ok(Ok(())) => "it returned".to_owned(),
                Ok(Err(error)) => error.to_string(),
                // The panic itself was logged when it happened.
                Err(error) if error.is_panic() => "it panicked".to_owned(),
                Err(error) => error.to_string(),
            };
            Ended { part, reason }
        });
    }

    /// Waits for the first part that ends. Waits for ever where there is none.
    pub(crate) async fn ended(&mut self) -> Ended {
        match self.0.join_next().await {
            Some(Ok(ended)) => ended,
            Some(Err(error)) => Ended { part: "a supervisor", reason: error.to_string() },
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_ends_is_named_with_its_reason() {
        let mut parts = Parts::default();
        parts.spawn("lasting", std::future::pending::<Result<(), String>>());
        parts.spawn("returning", async { Ok::<_, String>(()) });
        assert_eq!(parts.ended().await, Ended { part: "returning", reason: "it returned".to_owned() });
        parts.spawn("failing", async { Err("no descriptors") });
        assert_eq!(parts.ended().await, Ended { part: "failing", reason: "no descriptors".to_owned() });
        // Without the hook: other tests count what it sees.
        parts.spawn::<String>("panicking", async { std::panic::resume_unwind(Box::new("as the test wants it")) });
        assert_eq!(parts.ended().await, Ended { part: "panicking", reason: "it panicked".to_owned() });
    }
}
