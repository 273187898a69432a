//! Durations in configuration files: a number with a unit (`250ms`, `30s`, `5m`, `6h`).
//!
//! A field says its range by [`Between`], from which the JSON schema has it and so all that reads the schema: the check of a
//! file, editors, the Helm chart.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serializer};

/// The units, largest first, in milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// For `#[serde(with)]`.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&text(*duration))
}

/// For `#[serde(with)]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = <Cow<'de, str>>::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| serde::de::Error::custom("expected a duration such as 250ms, 30s, 5m or 6h"))
}

/// A number of milliseconds, seconds, minutes or hours; `None` for any other text.
pub fn parse(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..unit_at].parse().ok()?;
    let unit = text[unit_at..].trim();
    let millis = UNITS.iter().find(|(name, _)| *name == unit)?.1;
    number.checked_mul(millis).map(Duration::from_millis)
}

/// With the largest unit that leaves no rest.
pub fn text(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let whole = |(_, unit): &&(&str, u64)| millis != 0 && millis.is_multiple_of(*unit);
    let (name, unit) = UNITS.iter().find(whole).unwrap_or(&("s", 1000));
    format!("{}{name}", millis / unit)
}

/// The schema of a duration from `MIN` to `MAX` milliseconds, both included: for `#[schemars(with = "Between<..>")]`.
///
/// `pattern` takes exactly the texts within the range; `x-minimum` and `x-maximum` are for those who explain it.
pub struct Between<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> JsonSchema for Between<MIN, MAX> {
    fn schema_name() -> Cow<'static, str> {
        format!("Duration{MIN}To{MAX}").into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": pattern(MIN, MAX),
            "x-minimum": text(Duration::from_millis(MIN)),
            "x-maximum": text(Duration::from_millis(MAX)),
        })
    }
}

/// A regular expression for durations from `min` to `max` milliseconds.
fn pattern(min: u64, max: u64) -> String {
    let units = UNITS.iter().rev().filter_map(|(name, unit)| {
        let numbers = numbers(min.div_ceil(*unit), max / unit);
        (!numbers.is_empty()).then(|| format!("({}) ?{name}", numbers.join("|")))
    });
    format!("^0*({})$", units.collect::<Vec<_>>().join("|"))
}

/// Regular expressions that together match the decimal numbers from `min` to `max`: each a head, a range for one digit, and
/// any digits behind it.
fn numbers(min: u64, max: u64) -> Vec<String> {
    let mut parts = Vec::new();
    let mut low = min;
    while low <= max {
        // The largest block of numbers that differ in their last digits alone, and lies within the range.
        let (mut size, mut free) = (1, 0);
        while low > 0 && low.is_multiple_of(size * 10) && low + (size * 10 - 1) <= max {
            size *= 10;
            free += 1;
        }
        let (head, first) = (low / size / 10, low / size % 10);
        let last = (first..=9).rev().find(|digit| low + (digit - first + 1) * size - 1 <= max).unwrap_or(first);
        let head = if head == 0 { String::new() } else { head.to_string() };
        let digit = if first == last { first.to_string() } else { format!("[{first}-{last}]") };
        let rest = match free {
            0 => String::new(),
            1 => "[0-9]".to_owned(),
            more => format!("[0-9]{{{more}}}"),
        };
        parts.push(head + &digit + &rest);
        low += (last - first + 1) * size;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_required_and_understood() {
        assert_eq!(parse("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse("30s"), Some(Duration::from_secs(30)));
        assert_eq!(parse("5 m"), Some(Duration::from_secs(300)));
        for wrong in ["", "30", "s", "-1s", "1d", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_written_is_read_alike() {
        for (millis, expected) in [(0, "0s"), (1, "1ms"), (1500, "1500ms"), (90_000, "90s"), (300_000, "5m")] {
            assert_eq!(text(Duration::from_millis(millis)), expected);
            assert_eq!(parse(expected), Some(Duration::from_millis(millis)));
        }
    }

    /// Matches `numbers` without a library for regular expressions: its parts are heads, one class, and free digits.
    fn matches(part: &str, number: u64) -> bool {
        let (mut number, mut part) = (number.to_string(), part.to_owned());
        let free = match part.find("[0-9]{").filter(|at| *at > 0) {
            Some(at) => part[at + 6..part.len() - 1].parse().unwrap(),
            None => usize::from(part.len() > 5 && part.ends_with("[0-9]")),
        };
        if free > 0 {
            part.truncate(part.rfind("[0-9]").unwrap());
        }
        if number.len() <= free {
            return false;
        }
        number.truncate(number.len() - free);
        match part.split_once('[') {
            Some((head, class)) => {
                let (first, last) = (class.as_bytes()[0], class.as_bytes()[2]);
                number
                    .strip_prefix(head)
                    .is_some_and(|digit| digit.len() == 1 && (first..=last).contains(&digit.as_bytes()[0]))
            }
            None => number == part,
        }
    }

    #[test]
    fn a_pattern_takes_exactly_the_numbers_of_its_range() {
        for (min, max) in [(0, 0), (0, 60), (1, 300), (7, 7), (8, 1234), (95, 105), (100, 999), (250, 10_000)] {
            let parts = numbers(min, max);
            for number in 0..=max + 1200 {
                let count = parts.iter().filter(|part| matches(part, number)).count();
                assert_eq!(count, usize::from((min..=max).contains(&number)), "{number} of {min} to {max}: {parts:?}");
            }
        }
        assert!(numbers(1, 0).is_empty());
        let expected = "^0*(([1-9][0-9]{3}|[1-9][0-9]{4}|[1-2][0-9]{5}|300000) ?ms|\
                        ([1-9]|[1-9][0-9]|[1-2][0-9]{2}|300) ?s|([1-5]) ?m)$";
        assert_eq!(pattern(1000, 300_000), expected);
    }
}
