//! The `madang` binary: command line, configuration, metrics, embedded demo, shutdown.
//!
//! It puts the parts together and holds no logic of its own: the media plane is `sfu-core`, the control plane `sfu-signal`.

mod addresses;
mod cli;
mod config;
mod demo;
mod descriptors;
mod environment;
mod logging;
mod media;
mod metrics;
mod node;
mod operator;
mod panics;
mod parts;
mod reload;
mod serve;
mod signals;
mod tls;
mod token;
mod trim;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, ConfigCommand};
use crate::config::load::{self, Check};

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // `{:#}` joins the causes, innermost last.
            let _ = writeln!(io::stderr(), "madang: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Token(args) => print(&token::mint(&args)?),
        Command::Config { command: ConfigCommand::Schema } => print(&format!("{:#}", config::schema())),
        Command::Config { command: ConfigCommand::Check { file, strict } } => check(&file, strict),
    }
}

/// Warnings and faults on stderr, one a line.
fn check(file: &Path, strict: bool) -> anyhow::Result<()> {
    let Check { faults, warnings } = load::check(file, strict);
    let lines = warnings.iter().map(|warning| format!("warning: {warning}"));
    let lines = lines.chain(faults.iter().map(|fault| format!("error: {fault}")));
    for line in lines {
        writeln!(io::stderr(), "{line}")?;
    }
    let wrong = faults.len() + if strict { warnings.len() } else { 0 };
    anyhow::ensure!(wrong == 0, "{}: {wrong} to mend", file.display());
    print(&format!("{}: no error", file.display()))
}

fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(io::stdout(), "{text}") {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
