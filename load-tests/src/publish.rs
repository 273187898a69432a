//! Tables and charts of a document out of what [`crate::versus`] and [`crate::goals`] wrote: what lies between two marked
//! lines is replaced, so that nobody copies figures by hand.

mod bars;
mod section;

use std::path::Path;

use anyhow::{Context, ensure};

use crate::cli::PublishArgs;
use crate::goals::{Curve, Figures};
use crate::report::chart::{Line, lines};
use crate::versus::Summary;

/// The line before and after what is generated.
const MARK: &str = "<!-- measured -->";

/// What one file holds.
enum Results {
    Versus(Summary),
    Goals(Figures),
}

/// Results by the names of their files.
type Named<T> = Vec<(String, T)>;

/// Reads all results, writes charts, and renews the document.
pub fn publish(args: &PublishArgs) -> anyhow::Result<()> {
    let (mut summaries, mut figures): (Named<Summary>, Named<Figures>) = (Vec::new(), Vec::new());
    for path in args.results.iter().filter(|path| path.exists()) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match Results::read(path)? {
            Results::Versus(summary) => summaries.push((name, summary)),
            Results::Goals(found) => figures.push((name, found)),
        }
    }
    ensure!(!summaries.is_empty() || !figures.is_empty(), "none of the files exists");
    for (name, summary) in summaries.iter().filter(|(_, summary)| bars::has_any(summary)) {
        save(&args.images.join(image(name)), &bars::cpu(summary))?;
    }
    let curves: Vec<&Curve> = figures.iter().flat_map(|(_, found)| &found.memory).collect();
    if !curves.is_empty() {
        save(&args.images.join(section::MEMORY), &memory(&curves)?)?;
    }
    let text = std::fs::read_to_string(&args.document).with_context(|| args.document.display().to_string())?;
    let images = relative(&args.images, &args.document);
    let section = section::section(&summaries, &figures, &images);
    save(&args.document, &replace(&text, MARK, &section).with_context(|| args.document.display().to_string())?)
}

impl Results {
    fn read(path: &Path) -> anyhow::Result<Self> {
        match Summary::read(path) {
            Ok(summary) => Ok(Self::Versus(summary)),
            Err(_) => Figures::read(path).map(Self::Goals),
        }
    }
}

/// The name of the chart of a comparison.
fn image(name: &str) -> String {
    format!("compare-{name}.svg")
}

fn memory(curves: &[&Curve]) -> anyhow::Result<String> {
    let line = |curve: &&Curve| Line { name: curve.name.clone(), points: curve.points.clone() };
    lines("participants", "PSS of the server, MiB", &curves.iter().map(line).collect::<Vec<_>>())
}

/// The way from the document to the images, which lie beside or below it.
fn relative(images: &Path, document: &Path) -> String {
    let base = document.parent().unwrap_or(Path::new(""));
    images.strip_prefix(base).unwrap_or(images).display().to_string()
}

/// The document with what lies between the two lines of a mark replaced.
pub(crate) fn replace(document: &str, mark: &str, section: &str) -> anyhow::Result<String> {
    let mut parts = document.splitn(3, mark);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(before), Some(_), Some(after)) => Ok(format!("{before}{mark}\n\n{section}\n{mark}{after}")),
        _ => anyhow::bail!("it has no two lines `{mark}`"),
    }
}

fn save(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_marked_changes() {
        let document = format!("# A\n{MARK}\nold\n{MARK}\nend\n");
        let renewed = replace(&document, MARK, "new").unwrap();
        assert_eq!(renewed, format!("# A\n{MARK}\n\nnew\n{MARK}\nend\n"));
        assert_eq!(replace(&renewed, MARK, "new").unwrap(), renewed);
        assert!(replace("# A\n", MARK, "new").is_err());
    }

    #[test]
    fn images_are_named_from_the_document() {
        assert_eq!(relative(Path::new("docs/img"), Path::new("docs/performance.md")), "img");
    }
}
