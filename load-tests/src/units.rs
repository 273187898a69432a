//! Durations and bitrates as people write them, on the command line and in YAML: `10s`, `500ms`, `2m`; `1500k`, `2.5M`.
//! In JSON they are numbers: seconds, and bits per second.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bits per second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bitrate(pub u64);

impl FromStr for Bitrate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, factor) = match text.as_bytes().last() {
            Some(b'k' | b'K') => (&text[..text.len() - 1], 1e3),
            Some(b'm' | b'M') => (&text[..text.len() - 1], 1e6),
            _ => (text, 1.0),
        };
        let bits = number.parse::<f64>().ok().map(|number| number * factor);
        match bits {
            Some(bits) if (0.0..=1e9).contains(&bits) => Ok(Self(bits.round() as u64)),
            _ => Err("expected bits per second, at most 1000M: 1500k, 2.5M, 64000".to_owned()),
        }
    }
}

/// A length of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3_600.0)];
        let seconds =
            units.iter().find_map(|(unit, factor)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor));
        match seconds {
            Some(seconds) if seconds > 0.0 && seconds <= 7.0 * 86_400.0 => Ok(Self(Duration::from_secs_f64(seconds))),
            _ => Err("expected a number with a unit, at most a week: 500ms, 10s, 2m, 8h".to_owned()),
        }
    }
}

impl Serialize for Bitrate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.as_secs_f64())
    }
}

impl<'de> Deserialize<'de> for Bitrate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrNumber::new("a bitrate: 1500k, 2.5M, 64000"))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrNumber::new("a length of time: 500ms, 10s, 2m, or seconds"))
    }
}

/// What a plain number means.
trait FromNumber: FromStr<Err = String> {
    fn from_number(number: f64) -> Option<Self>;
}

impl FromNumber for Bitrate {
    fn from_number(number: f64) -> Option<Self> {
        number.to_string().parse().ok()
    }
}

impl FromNumber for Span {
    fn from_number(number: f64) -> Option<Self> {
        format!("{number}s").parse().ok()
    }
}

/// One visitor for both, which differ only in what a plain number means.
struct TextOrNumber<T> {
    expected: &'static str,
    of: PhantomData<T>,
}

impl<T> TextOrNumber<T> {
    const fn new(expected: &'static str) -> Self {
        Self { expected, of: PhantomData }
    }
}

impl<T: FromNumber> Visitor<'_> for TextOrNumber<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.visit_f64(number as f64)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        T::from_number(number).ok_or_else(|| E::invalid_value(Unexpected::Float(number), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_numbers_mean_the_same() {
        #[derive(Deserialize)]
        struct Both {
            bitrate: Bitrate,
            span: Span,
        }
        for text in ["{bitrate: 2.5M, span: 2m}", "{bitrate: 2500000, span: 120}"] {
            let both: Both = serde_yaml_ng::from_str(text).unwrap();
            assert_eq!((both.bitrate, both.span), (Bitrate(2_500_000), Span(Duration::from_secs(120))));
        }
        assert!(serde_yaml_ng::from_str::<Span>("-3").is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "10", "-1s", "nans", "1y", "s"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        for text in ["", "fast", "é", "-1", "2000M", "k"] {
            assert!(text.parse::<Bitrate>().is_err(), "{text}");
        }
    }
}
