//! Charts as SVG: panels above each other over one axis of time. They have a ground of their own, so that they can be read
//! on a dark page too.

use std::fmt::Write;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 34.0;
const GAP: f64 = 30.0;
const BOTTOM: f64 = 38.0;
/// Distinct for the colour-blind: grey, blue and vermilion (Okabe and Ito).
const COLOURS: [[&str; 3]; 2] = [["#0072b2", "#d55e00", "#009e73"], ["#8a8a8a", "#0072b2", "#d55e00"]];
const INK: &str = "#444";

/// A named line.
pub struct Line {
    pub name: &'static str,
    /// Seconds and values, in their order.
    pub points: Vec<(f64, f64)>,
}

impl Line {
    /// The mean of half a second.
    pub fn smooth(mut self) -> Self {
        let means = self.points.chunks(5).map(|chunk| {
            let count = chunk.len() as f64;
            (chunk[0].0, chunk.iter().map(|point| point.1).sum::<f64>() / count)
        });
        self.points = means.collect();
        self
    }
}

/// Lines over an axis of values.
pub struct Panel {
    label: &'static str,
    height: f64,
    lines: Vec<Line>,
}

impl Panel {
    pub fn new(label: &'static str, height: u16, lines: Vec<Line>) -> Self {
        Self { label, height: f64::from(height), lines }
    }

    fn points(&self) -> impl Iterator<Item = &(f64, f64)> {
        self.lines.iter().flat_map(|line| &line.points)
    }
}

/// See the module's text.
pub struct Chart {
    pub title: &'static str,
    pub panels: Vec<Panel>,
}

impl Chart {
    pub fn to_svg(&self) -> String {
        let height = TOP + BOTTOM + self.panels.iter().map(|panel| panel.height + GAP).sum::<f64>() - GAP;
        let end = self.panels.iter().flat_map(Panel::points).map(|point| point.0).fold(1.0, f64::max).ceil();
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
             font-size=\"12\" fill=\"{INK}\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
             <text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{}</text>\n",
            self.title
        );
        let mut top = TOP;
        for panel in &self.panels {
            panel.draw(&mut svg, top, end);
            top += panel.height + GAP;
        }
        for second in (0..=end as u64).step_by(10) {
            let x = across(second as f64, end);
            writeln!(svg, "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{second} s</text>", height - 14.0)
                .unwrap();
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn across(second: f64, end: f64) -> f64 {
    LEFT + second / end * (WIDTH - LEFT - RIGHT)
}

impl Panel {
    fn draw(&self, svg: &mut String, top: f64, end: f64) {
        let highest = self.points().map(|point| point.1).fold(0.0, f64::max).max(1.0);
        let step = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 180.0, 250.0, 500.0];
        let step = step.into_iter().find(|step| highest / step <= 5.0).unwrap_or(1_000.0);
        let bottom = top + self.height;
        let up = |value: f64| bottom - value / (highest * 1.05) * self.height;
        for tick in 0..=(highest / step) as u32 {
            let value = f64::from(tick) * step;
            let y = up(value);
            writeln!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0
            )
            .unwrap();
        }
        let middle = top + self.height / 2.0;
        writeln!(
            svg,
            "<text transform=\"translate(16 {middle:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            self.label
        )
        .unwrap();
        let colours = COLOURS[usize::from(self.lines.len() > 2)];
        for (index, (line, colour)) in self.lines.iter().zip(colours).enumerate() {
            let points = line.points.iter().map(|(second, value)| (across(*second, end), up(*value)));
            let points = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ");
            let name_at = WIDTH - RIGHT - 150.0 * (self.lines.len() - index) as f64;
            writeln!(
                svg,
                "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\
                 <text x=\"{name_at:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
                top - 6.0,
                line.name
            )
            .unwrap();
        }
    }
}
