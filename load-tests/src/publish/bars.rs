//! Bars of what servers take, with the range of their runs. The chart has a ground of its own, so that it can be read on a
//! dark page too.

use std::fmt::Write;

use crate::cli::Opponent;
use crate::versus::{Summary, median, rows};

const WIDTH: f64 = 860.0;
const LEFT: f64 = 230.0;
const RIGHT: f64 = 80.0;
const BAR: f64 = 22.0;
const HEADING: f64 = 34.0;
const FOOT: f64 = 14.0;
/// Distinct for the colour-blind (Okabe and Ito): ours, theirs, the floor's.
const COLOURS: [&str; 3] = ["#0072b2", "#d55e00", "#8a8a8a"];
const INK: &str = "#444";

struct Bar {
    server: Opponent,
    values: [f64; 3],
}

/// The last row that is about CPU.
const LAST_ROW: u8 = 3;

/// Whether the comparison has rows about CPU.
pub(super) fn has_any(summary: &Summary) -> bool {
    summary.runs.iter().any(|run| run.row <= LAST_ROW)
}

/// CPU per packet, a panel for each row of the comparison that is about it.
pub(super) fn cpu(summary: &Summary) -> String {
    let mut numbers: Vec<u8> = summary.runs.iter().map(|run| run.row).filter(|row| *row <= LAST_ROW).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let panels: Vec<(u8, Vec<Bar>)> = numbers.into_iter().map(|row| (row, bars(summary, row))).collect();
    let height = FOOT + panels.iter().map(|(_, bars)| HEADING + bars.len() as f64 * BAR).sum::<f64>();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\" fill=\"{INK}\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    let mut top = 0.0;
    for (row, bars) in &panels {
        draw(&mut svg, top, *row, bars);
        top += HEADING + bars.len() as f64 * BAR;
    }
    svg + "</svg>\n"
}

fn bars(summary: &Summary, row: u8) -> Vec<Bar> {
    let runs = || summary.runs.iter().filter(|run| run.row == row && run.void.is_empty());
    let mut servers: Vec<Opponent> = runs().filter_map(|run| run.server).collect();
    servers.sort_unstable();
    servers.dedup();
    let bar = |server| {
        let mut values: Vec<f64> =
            runs().filter(|run| run.server == Some(server)).filter_map(|run| run.us_per_packet).collect();
        values.sort_by(f64::total_cmp);
        Some(Bar { server, values: [*values.first()?, median(&values)?, *values.last()?] })
    };
    servers.into_iter().filter_map(bar).collect()
}

fn draw(svg: &mut String, top: f64, row: u8, bars: &[Bar]) {
    let longest = bars.iter().map(|bar| bar.values[2]).fold(f64::MIN_POSITIVE, f64::max);
    let x = |value: f64| LEFT + value / longest * (WIDTH - LEFT - RIGHT);
    // Writing to a String cannot fail.
    let _ = writeln!(
        svg,
        "<text x=\"14\" y=\"{:.0}\" font-weight=\"bold\">{}, µs per delivered packet</text>",
        top + 22.0,
        rows::name(row)
    );
    for (index, bar) in bars.iter().enumerate() {
        let y = top + HEADING + index as f64 * BAR;
        let [least, median, greatest] = bar.values.map(x);
        let colour = match bar.server {
            Opponent::Madang => COLOURS[0],
            Opponent::Floor | Opponent::FloorSendto => COLOURS[2],
            _ => COLOURS[1],
        };
        let (name, middle, text) = (bar.server.name().replace('`', ""), y + BAR / 2.0, y + BAR - 7.0);
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{text:.0}\" text-anchor=\"end\">{name}</text>\
             <rect x=\"{LEFT}\" y=\"{:.0}\" width=\"{:.1}\" height=\"{:.0}\" fill=\"{colour}\"/>\
             <path d=\"M{least:.1} {middle:.1}H{greatest:.1}\" stroke=\"#000\"/>\
             <text x=\"{:.1}\" y=\"{text:.0}\">{:.2}</text>",
            LEFT - 8.0,
            y + 2.0,
            median - LEFT,
            BAR - 4.0,
            greatest + 6.0,
            bar.values[1],
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::versus::Run;
    use crate::versus::machine::Machine;

    #[test]
    fn a_server_is_a_bar_and_void_runs_are_none() {
        let run = |server, us, void: &[&str]| Run {
            row: 1,
            server: Some(server),
            us_per_packet: Some(us),
            void: void.iter().map(|reason| (*reason).to_owned()).collect(),
            ..Run::default()
        };
        let runs = vec![
            run(Opponent::Madang, 1.0, &[]),
            run(Opponent::Madang, 3.0, &[]),
            run(Opponent::Janus, 20.0, &[]),
            run(Opponent::Janus, 99.0, &["noise"]),
        ];
        let svg = cpu(&Summary::of(Machine::default(), runs));
        assert_eq!(svg.matches("<rect").count(), 3, "the ground and two bars: {svg}");
        assert!(svg.contains(">2.00<") && svg.contains(">20.00<") && !svg.contains("99.00"), "{svg}");
    }
}
