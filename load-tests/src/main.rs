//! The `madang-load` program.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use load_tests::cli::{Cli, Command, RunArgs};
use load_tests::report::Report;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => run(&args),
        Command::Show(args) => args.text().and_then(|text| print(&text)),
        _ => Err(anyhow::anyhow!("not in this build")),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "madang-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(load_tests::run::run(args))?;
    // Sockets of peers may take a while to close; nothing waits for them.
    runtime.shutdown_background();
    write(&report, args)?;
    Ok(ExitCode::from(report.exit_code()))
}

fn write(report: &Report, args: &RunArgs) -> anyhow::Result<()> {
    let save = |path: &Path, text: String| std::fs::write(path, text).with_context(|| path.display().to_string());
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(report)? + "\n";
        if path == Path::new("-") {
            return print(&text).map(drop);
        }
        save(path, text)?;
    }
    print(&report.table()).map(drop)
}

fn print(text: &str) -> anyhow::Result<ExitCode> {
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
