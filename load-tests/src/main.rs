//! The `madang-load` program.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use load_tests::cli::{Cli, Command, RunArgs};
use load_tests::report::Report;

fn main() -> ExitCode {
    let Command::Run(args) = Cli::parse().command;
    match run(&args) {
        Ok(report) => ExitCode::from(report.exit_code()),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "madang-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &RunArgs) -> anyhow::Result<Report> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(load_tests::run::run(args))?;
    // Sockets of peers may take a while to close; nothing waits for them.
    runtime.shutdown_background();
    write(&report, args.json.as_deref())?;
    Ok(report)
}

fn write(report: &Report, json: Option<&Path>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(report)? + "\n";
        if path == Path::new("-") {
            return Ok(out.write_all(text.as_bytes())?);
        }
        std::fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    Ok(out.write_all(report.table().as_bytes())?)
}
