//! Memory that a process has: its proportional set size, which divides shared pages by those who share them, and how it
//! grows with participants.

use std::io;

/// PSS of a process alone, in bytes. Fails if there is no such process, or no `/proc`.
pub fn pss(pid: u32) -> io::Result<u64> {
    parse(&std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "smaps_rollup without Pss"))
}

fn parse(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// The slope of a line through points by least squares; `None` where `x` does not vary.
pub fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let variance: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let covariance: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    (points.len() > 2 && variance > 0.0).then(|| covariance / variance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rollup_is_read() {
        let text = "55d0-7fff ---p 00000000 00:00 0 [rollup]\nRss:      5000 kB\nPss:      1200 kB\nPss_Dirty: 3 kB\n";
        assert_eq!(parse(text), Some(1_228_800));
        assert_eq!(parse("Rss: 1 kB"), None);
    }

    #[test]
    fn the_slope_of_a_line() {
        let points: Vec<_> = (0..10).map(|x| (f64::from(x), 3.0 + 2.5 * f64::from(x))).collect();
        assert!((slope(&points).unwrap() - 2.5).abs() < 1e-9);
        assert_eq!(slope(&[(1.0, 1.0); 5]), None);
    }
}
