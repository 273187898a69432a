//! Log lines, on stderr.
//!
//! A thread of its own writes them, so that nobody waits where stderr takes none: a full disk, a pipe whose reader stands
//! still. Lines that find [`WAITING`] before them are dropped.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::{LogConfig, LogFormat};
use crate::panics;

/// Lines that may wait to be written: about a megabyte.
const WAITING: usize = 4096;

/// The running log.
#[derive(Clone)]
pub(crate) struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
}

/// Starts logging. May be called once. What waits is written when the guard is dropped.
pub(crate) fn start(config: &LogConfig) -> anyhow::Result<(Log, WorkerGuard)> {
    let filter = EnvFilter::try_new(&config.filter).with_context(|| format!("log.filter: {:?}", config.filter))?;
    let (filter, handle) = reload::Layer::new(filter);
    let (writer, guard) =
        NonBlockingBuilder::default().lossy(true).buffered_lines_limit(WAITING).thread_name("log").finish(io::stderr());
    let lines = fmt::layer().with_writer(writer).with_ansi(io::stderr().is_terminal()).log_internal_errors(false);
    let lines = match config.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).init();
    panics::install();
    Ok((Log { filter: handle }, guard))
}

impl Log {
    /// Takes another filter; false if it is none.
    pub(crate) fn set_filter(&self, filter: &str) -> bool {
        EnvFilter::try_new(filter).is_ok_and(|filter| self.filter.reload(filter).is_ok())
    }
}

/// Says why the process ends: in the log, where that has begun and takes errors.
pub(crate) fn fatal(error: &anyhow::Error) {
    // `{:#}` joins the causes, innermost last.
    if tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!("{error:#}");
    } else {
        let _ = writeln!(io::stderr(), "madang: {error:#}");
    }
}
