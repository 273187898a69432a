//! The `madang-load` program.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use indicatif::ProgressBar;
use load_tests::cli::{BaselineArgs, Cli, Command, CompareArgs, GoalsArgs, HostileArgs, RunArgs, SoakArgs, VersusArgs};
use load_tests::report::{Report, compare, html};

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => run(&args),
        Command::Show(args) => args.text().and_then(|text| print(&text)),
        Command::Compare(args) => compare(&args),
        Command::Baseline(args) => baseline(&args),
        Command::Versus(args) => versus(&args),
        Command::Goals(args) => goals(&args),
        Command::Soak(args) => soak(&args),
        Command::Hostile(args) => hostile(&args),
        Command::Publish(args) => load_tests::publish::publish(&args).map(|()| ExitCode::SUCCESS),
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

fn compare(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    let comparison = compare::compare(&compare::read(&args.a)?, &compare::read(&args.b)?, args.max_worse);
    print(&comparison.table)?;
    Ok(if comparison.worse.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(4) })
}

fn baseline(args: &BaselineArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(load_tests::baseline::serve(args, |address| {
        // Nobody may be reading.
        let _ = writeln!(std::io::stdout(), "ready: http://{address}");
    }))?;
    Ok(ExitCode::SUCCESS)
}

fn versus(args: &VersusArgs) -> anyhow::Result<ExitCode> {
    let (runtime, bar) = (tokio::runtime::Builder::new_multi_thread().enable_all().build()?, progress());
    let summary = runtime.block_on(load_tests::versus::versus(args, command_line(), &bar))?;
    bar.finish_and_clear();
    runtime.shutdown_background();
    let text = summary.markdown();
    if let Some(path) = &args.json {
        save(path, &summary.json()?)?;
    }
    if let Some(path) = &args.markdown {
        save(path, &text)?;
    }
    print(&text)
}

fn goals(args: &GoalsArgs) -> anyhow::Result<ExitCode> {
    let (runtime, bar) = (tokio::runtime::Builder::new_multi_thread().enable_all().build()?, progress());
    let found = runtime.block_on(load_tests::goals::goals(args, command_line(), &bar))?;
    bar.finish_and_clear();
    runtime.shutdown_background();
    if let Some(path) = &args.json {
        save(path, &(serde_json::to_string_pretty(&found)? + "\n"))?;
    }
    print(&found.markdown())
}

fn soak(args: &SoakArgs) -> anyhow::Result<ExitCode> {
    let (runtime, bar) = (tokio::runtime::Builder::new_multi_thread().enable_all().build()?, progress());
    let report = runtime.block_on(load_tests::soak::soak(args, &bar))?;
    bar.finish_and_clear();
    runtime.shutdown_background();
    print(&report.markdown())?;
    Ok(if report.is_well() { ExitCode::SUCCESS } else { ExitCode::from(4) })
}

fn hostile(args: &HostileArgs) -> anyhow::Result<ExitCode> {
    let (runtime, bar) = (tokio::runtime::Builder::new_multi_thread().enable_all().build()?, progress());
    let table = runtime.block_on(load_tests::hostile::hostile(args, command_line(), &bar))?;
    bar.finish_and_clear();
    runtime.shutdown_background();
    if let Some(path) = &args.json {
        save(path, &(serde_json::to_string_pretty(&table)? + "\n"))?;
    }
    if let Some(path) = &args.document {
        table.write_into(path)?;
    }
    print(&table.markdown())
}

fn progress() -> ProgressBar {
    let bar = ProgressBar::new(0);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// As it was typed, the program by its name.
fn command_line() -> String {
    let words: Vec<String> = std::env::args().skip(1).collect();
    format!("madang-load {}", words.join(" "))
}

fn save(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| path.display().to_string())
}

fn write(report: &Report, args: &RunArgs) -> anyhow::Result<()> {
    if let Some(path) = &args.html {
        save(path, &html::page(report)?)?;
    }
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(report)? + "\n";
        if path == Path::new("-") {
            return print(&text).map(drop);
        }
        save(path, &text)?;
    }
    print(&report.table()).map(drop)
}

fn print(text: &str) -> anyhow::Result<ExitCode> {
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
