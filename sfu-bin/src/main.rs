//! The `madang` binary: command line, configuration, metrics, embedded demo, shutdown.
//!
//! It puts the parts together and holds no logic of its own: the media plane is `sfu-core`, the control plane `sfu-signal`.

mod addresses;
mod cli;
mod config;
mod demo;
mod layers;
mod logging;
mod media;
mod metrics;
mod operator;
mod serve;
mod tls;
mod token;
mod trim;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, ConfigCommand};

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
        Command::Config { command: ConfigCommand::Schema } => print(&config::schema()),
        Command::Config { command: ConfigCommand::Check { file } } => {
            config::check_file(&file)?;
            print(&format!("{}: no error", file.display()))
        }
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout(), "{text}")?)
}
