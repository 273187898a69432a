//! A report as one page that needs nothing else: the summary, charts as inline SVG, and the JSON to take away.

use std::fmt::Write;

use super::chart::{Line, lines};
use super::{Report, Sample, table};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:800px;margin:2em auto;padding:0 1em}\
h1{font-size:1.4em;margin-bottom:.2em}h2{font-size:1em;margin:1.6em 0 .3em}p{margin:.2em 0;color:#555}\
.verdict{display:inline-block;padding:.2em .7em;border-radius:4px;color:#fff;font-weight:600}\
.ok{background:#00795a}.void{background:#8a6d00}.failed{background:#b23b00}\
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}td{padding:.25em .6em .25em 0;\
border-bottom:1px solid #eee;vertical-align:top}td:first-child{color:#666;white-space:nowrap}\
svg{width:100%;height:auto}pre{overflow:auto;background:#f6f6f6;padding:1em;font-size:12px}\
@media(prefers-color-scheme:dark){body{background:#fff}}";

/// The page.
pub fn page(report: &Report) -> anyhow::Result<String> {
    let mut page = String::new();
    let title = format!("{}: {}", report.scenario.name, table::members(&report.scenario));
    let (class, verdict) = match report.exit_code() {
        0 => ("ok", "valid"),
        3 => ("void", "void: these figures mean nothing"),
        _ => ("failed", "a threshold was broken"),
    };
    // Writing to a String cannot fail.
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title><meta name=\"viewport\" \
         content=\"width=device-width\"><style>{STYLE}</style></head><body><h1>{0}</h1>\n<p>{1}<br>{2}</p>\n\
         <p><span class=\"verdict {class}\">{verdict}</span></p>\n",
        escape(&title),
        escape(&table::media(&report.scenario)),
        escape(&table::machine(&report.environment)),
    );
    write_summary(&mut page, report);
    for (heading, chart) in charts(report)? {
        if !chart.is_empty() {
            let _ = writeln!(page, "<h2>{heading}</h2>\n{chart}");
        }
    }
    let json = escape(&serde_json::to_string_pretty(report)?);
    let _ =
        writeln!(page, "<h2>All figures</h2><details><summary>JSON</summary><pre>{json}</pre></details></body></html>");
    Ok(page)
}

/// The rows of the terminal's table.
fn write_summary(page: &mut String, report: &Report) {
    page.push_str("<table>");
    for row in report.table().lines() {
        let (name, value) = row.split_at_checked(22).unwrap_or((row, ""));
        let _ = writeln!(page, "<tr><td>{}</td><td>{}</td></tr>", escape(name.trim()), escape(value.trim()));
    }
    page.push_str("</table>");
}

fn charts(report: &Report) -> anyhow::Result<Vec<(&'static str, String)>> {
    let timeline = &report.timeline;
    let over_time = |name: &str, of: fn(&Sample) -> Option<f64>| Line {
        name: name.to_owned(),
        points: timeline.iter().filter_map(|sample| Some((sample.at, of(sample)?))).collect(),
    };
    let time = "seconds since the run began";
    let mut charts = vec![
        ("Delivered", lines(time, "packets/s", &[over_time("packets", |s| Some(s.packets))])?),
        ("Forwarding latency", lines(time, "ms", &[over_time("p50", |s| s.p50_ms), over_time("p99", |s| s.p99_ms)])?),
        ("Loss", lines(time, "%", &[over_time("loss", |s| Some(s.loss_percent))])?),
        (
            "CPU",
            lines(
                time,
                "% of a core",
                &[over_time("server", |s| s.server_cpu), over_time("generator", |s| Some(s.generator_cpu))],
            )?,
        ),
        (
            "The server's memory (PSS)",
            lines(time, "MiB", &[over_time("PSS", |s| s.server_pss.map(|bytes| bytes as f64 / 1_048_576.0))])?,
        ),
        ("Members", lines(time, "members", &[over_time("members", |s| Some(s.members as f64))])?),
    ];
    charts.push(("Latency, all packets", distribution(report)?));
    let steps = &report.measured.steps;
    let step = |name: &str, of: fn(&super::StepResult) -> Option<f64>| Line {
        name: name.to_owned(),
        points: steps.iter().filter_map(|step| Some((step.members as f64, of(step)?))).collect(),
    };
    charts.push(("To the knee: packets", lines("members", "packets/s", &[step("packets", |s| Some(s.packets))])?));
    charts.push(("To the knee: latency", lines("members", "p99, ms", &[step("p99", |s| s.p99_ms)])?));
    Ok(charts)
}

/// The share of packets that were no longer under way than so many microseconds, on a logarithmic axis.
fn distribution(report: &Report) -> anyhow::Result<String> {
    let histogram = &report.measured.latency_histogram;
    let total: u64 = histogram.iter().map(|(_, count)| count).sum();
    let mut seen = 0;
    let points = histogram.iter().map(|(bound, count)| {
        seen += count;
        ((*bound as f64).log2(), seen as f64 * 100.0 / total as f64)
    });
    lines(
        "log2 of microseconds under way",
        "% of packets, at most",
        &[Line { name: "latency".to_owned(), points: points.collect() }],
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
