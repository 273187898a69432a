//! Charts as inline SVG.

use anyhow::anyhow;
use plotters::prelude::*;

const SIZE: (u32, u32) = (760, 240);
/// Distinct for the colour-blind: blue, vermilion, green (Okabe and Ito).
const COLOURS: [RGBColor; 3] = [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115)];
const INK: RGBColor = RGBColor(90, 90, 90);

/// A named line.
pub struct Line {
    /// In the legend.
    pub name: String,
    /// In the order of `x`.
    pub points: Vec<(f64, f64)>,
}

/// Lines over one axis; the empty string if there is nothing to draw.
pub fn lines(x_label: &str, y_label: &str, lines: &[Line]) -> anyhow::Result<String> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let (Some(from), Some(to)) = (
        points().map(|point| point.0).reduce(f64::min),
        points().map(|point| point.0).reduce(f64::max).filter(|_| points().count() > 1),
    ) else {
        return Ok(String::new());
    };
    let top = points().map(|point| point.1).fold(0.0, f64::max);
    // Some air above, and never an axis without length.
    let top = if top > 0.0 { top * 1.1 } else { 1.0 };
    let to = if to > from { to } else { from + 1.0 };
    let mut svg = String::new();
    draw(&mut svg, x_label, y_label, lines, (from..to, 0.0..top))
        .map_err(|error| anyhow!("drawing a chart: {error}"))?;
    Ok(svg)
}

type Ranges = (std::ops::Range<f64>, std::ops::Range<f64>);

fn draw(
    svg: &mut String,
    x_label: &str,
    y_label: &str,
    lines: &[Line],
    (x, y): Ranges,
) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart =
        ChartBuilder::on(&root).margin(8).x_label_area_size(34).y_label_area_size(64).build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(INK.mix(0.15))
        .axis_style(INK.mix(0.5))
        .label_style(("sans-serif", 12, &INK))
        .x_desc(x_label)
        .y_desc(y_label)
        .y_labels(6)
        .x_label_formatter(&|value| number(*value))
        .y_label_formatter(&|value| number(*value))
        .draw()?;
    for (line, colour) in lines.iter().zip(COLOURS) {
        let series = LineSeries::new(line.points.iter().copied(), colour.stroke_width(2));
        let entry = chart.draw_series(series)?;
        if lines.len() > 1 {
            let sample = move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2));
            entry.label(&line.name).legend(sample);
        }
    }
    if lines.len() > 1 {
        let style = ("sans-serif", 12, &INK);
        chart.configure_series_labels().position(SeriesLabelPosition::UpperRight).label_font(style).draw()?;
    }
    root.present()?;
    Ok(())
}

/// Short enough for an axis.
fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 1e6 => format!("{:.1}M", value / 1e6),
        large if large >= 1e4 => format!("{:.0}k", value / 1e3),
        large if large >= 10.0 || value == 0.0 => format!("{value:.0}"),
        large if large >= 1.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_its_lines_and_labels() {
        let line = |name: &str, points: &[(f64, f64)]| Line { name: String::from(name), points: points.to_vec() };
        let svg = lines("s", "packets/s", &[line("a", &[(0.0, 1.0), (1.0, 2e6)]), line("b", &[(0.0, 0.0)])]).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("packets/s") && svg.contains("1.5M"), "{svg}");
        assert!(svg.matches("<polyline").count() >= 2, "{svg}");
    }

    #[test]
    fn nothing_is_no_chart() {
        assert_eq!(lines("s", "x", &[Line { name: "a".into(), points: vec![(1.0, 1.0)] }]).unwrap(), "");
        assert_eq!(lines("s", "x", &[]).unwrap(), "");
    }
}
