//! Compares values with the schema of the configuration: unknown keys, types, ranges.
//!
//! The schema is made from the attributes of the types, so each range is written once. This reads the keywords that those
//! attributes make, and no other part of JSON Schema. Extensions: `x-minimum` and `x-maximum` bound durations,
//! `x-expected` says in words what a text must be. A schema with `writeOnly` is a secret, whose value is never told.

use std::fmt::Write;
use std::net::IpAddr;

use serde_json::{Map, Value};
use sfu_signal::duration;

use super::fault::Fault;
use super::{Config, schema};

/// Names that are less alike are no slips of the pen.
const ALIKE: f64 = 0.8;

/// The schema, and the defaults that remedies name.
pub(crate) struct Ranges {
    schema: Value,
    defaults: Value,
}

impl Ranges {
    pub(crate) fn new() -> Self {
        let defaults = serde_json::to_value(Config::default()).expect("the configuration is JSON");
        Self { schema: schema(), defaults }
    }

    /// The first level of keys.
    pub(crate) fn top_keys(&self) -> impl Iterator<Item = &str> {
        properties(&self.schema).into_iter().flat_map(Map::keys).map(String::as_str)
    }

    /// All keys that hold no further ones, with dots between levels.
    pub(crate) fn leaf_keys(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.visit("", &self.schema, &mut |path, schema| {
            if properties(schema).is_none() {
                found.push(path.to_owned());
            }
        });
        found
    }

    /// Everything that is wrong with some of the keys.
    pub(crate) fn check(&self, value: &Value) -> Vec<Fault> {
        let mut faults = Vec::new();
        self.value("", &self.schema, value, &mut faults);
        faults
    }

    /// What may be written at a key.
    pub(crate) fn remedy(&self, path: &str) -> String {
        let schema = path.split('.').try_fold(&self.schema, |at, key| properties(self.resolve(at))?.get(key));
        schema.map_or_else(String::new, |schema| self.write(path, self.resolve(schema)))
    }

    /// Calls `each` with every key and its schema.
    fn visit<'a>(&'a self, path: &str, schema: &'a Value, each: &mut impl FnMut(&str, &'a Value)) {
        for (key, inner) in properties(schema).into_iter().flatten() {
            let (path, inner) = (join(path, key), self.resolve(inner));
            each(&path, inner);
            self.visit(&path, inner, each);
        }
    }

    /// What a reference or an optional schema stands for.
    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let named = schema["$ref"].as_str().and_then(|name| self.schema.pointer(name.strip_prefix('#')?));
        let present = || schema["anyOf"].as_array()?.iter().find(|inner| inner["type"] != "null");
        match named.or_else(present) {
            Some(inner) => self.resolve(inner),
            None => schema,
        }
    }

    fn value(&self, path: &str, schema: &Value, value: &Value, faults: &mut Vec<Fault>) {
        let schema = self.resolve(schema);
        let wrong = match value {
            _ if !has_type(schema, value) => Some(format!("{} where it cannot be", kind(value))),
            Value::Object(map) => return self.object(path, schema, map, faults),
            Value::Array(items) => {
                items.iter().for_each(|item| self.value(path, &schema["items"], item, faults));
                list(schema, items)
            }
            Value::String(text) => string(schema, text),
            Value::Number(number) => outside(number.as_i128(), schema["minimum"].as_i64(), schema["maximum"].as_i64())
                .map(|how| format!("{number} is {how}")),
            Value::Bool(_) | Value::Null => None,
        };
        faults.extend(wrong.map(|reason| Fault::new(path, reason, self.write(path, schema))));
    }

    fn object(&self, path: &str, schema: &Value, map: &Map<String, Value>, faults: &mut Vec<Fault>) {
        for (key, value) in map {
            let inner = join(path, key);
            match properties(schema).and_then(|known| known.get(key)) {
                Some(schema) => self.value(&inner, schema, value, faults),
                None if schema["additionalProperties"].is_object() => {
                    let name = outside(Some(key.len() as i128), schema["propertyNames"]["minLength"].as_i64(), None);
                    if name.is_some() {
                        faults.push(Fault::new(path, "an id is empty", "give each secret an id: `ID: SECRET`"));
                    }
                    self.value(&inner, &schema["additionalProperties"], value, faults);
                }
                None => {
                    let known: Vec<&str> =
                        properties(schema).into_iter().flat_map(Map::keys).map(String::as_str).collect();
                    faults.push(Fault::new(inner, "no such key", instead(key, &known)));
                }
            }
        }
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for key in required.filter(|key| !map.contains_key(*key)) {
            let inner = self.resolve(&schema["properties"][key]);
            faults.push(Fault::new(join(path, key), "not there", self.write("", inner)));
        }
    }

    /// "write ...".
    fn write(&self, path: &str, schema: &Value) -> String {
        let mut text = format!("write {}", self.expected(schema));
        let default = self.defaults.pointer(&format!("/{}", path.replace('.', "/")));
        if let Some(default) =
            default.filter(|default| default.is_string() || default.is_number() || default.is_boolean())
        {
            let default = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
            let _ = write!(text, " (default: {default})");
        }
        text
    }

    fn expected(&self, schema: &Value) -> String {
        let bound = |name: &str| schema[name].as_i64();
        if let Some(text) = schema["x-expected"].as_str() {
            return text.to_owned();
        }
        if let Some(names) = choices(schema) {
            return format!("one of {}", names.join(", "));
        }
        if let (Some(min), Some(max)) = (schema["x-minimum"].as_str(), schema["x-maximum"].as_str()) {
            return format!("a duration from {min} to {max}, with its unit: ms, s, m or h");
        }
        match (type_of(schema), bound("minLength"), bound("maxLength")) {
            ("integer", ..) => match (bound("minimum"), bound("maximum")) {
                (Some(min), Some(max)) => format!("a whole number from {min} to {max}"),
                _ => "a whole number".to_owned(),
            },
            ("boolean", ..) => "true or false".to_owned(),
            ("string", ..) if schema["format"] == "ip" => "an IP address such as 203.0.113.7".to_owned(),
            ("string", Some(min), Some(max)) => format!("text of {min} to {max} characters, in quotes"),
            ("array", ..) => {
                let least = bound("minItems").filter(|least| *least > 0).map(|least| format!(" of at least {least}"));
                let items = self.expected(self.resolve(&schema["items"]));
                let each = if schema["uniqueItems"] == true { "each once and" } else { "each" };
                format!("a list{}, [...], {each} {items}", least.unwrap_or_default())
            }
            ("object", ..) => match properties(schema) {
                Some(known) => format!("keys with values: {}", known.keys().cloned().collect::<Vec<_>>().join(", ")),
                None => format!("`ID: SECRET`, each secret {}", self.expected(&schema["additionalProperties"])),
            },
            _ => "text".to_owned(),
        }
    }
}

/// "did you mean" and what there is.
fn instead(key: &str, known: &[&str]) -> String {
    let all = format!("known: {}", known.join(", "));
    match nearest(key, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`? {all}"),
        None => all,
    }
}

/// The name that was probably meant.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema["properties"].as_object()
}

/// Of an enumeration.
fn choices(schema: &Value) -> Option<Vec<&str>> {
    let plain = || Some(schema["enum"].as_array()?.iter().filter_map(Value::as_str).collect());
    let explained = || Some(schema["oneOf"].as_array()?.iter().filter_map(|one| one["const"].as_str()).collect());
    plain().or_else(explained)
}

/// The schema's type; of an optional value, that of the value.
fn type_of(schema: &Value) -> &str {
    match &schema["type"] {
        Value::String(name) => name,
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or_default(),
        _ if choices(schema).is_some() => "string",
        _ => "",
    }
}

fn has_type(schema: &Value, value: &Value) -> bool {
    match type_of(schema) {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        _ => true,
    }
}

/// A value's kind, with the value where it can be no secret: those are texts and what holds texts.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "nothing stands".to_owned(),
        Value::Bool(value) => format!("{value} stands"),
        Value::Number(value) => format!("the number {value} stands"),
        Value::String(_) => "a text stands".to_owned(),
        Value::Array(_) => "a list stands".to_owned(),
        Value::Object(_) => "a map of keys stands".to_owned(),
    }
}

fn string(schema: &Value, text: &str) -> Option<String> {
    let shown = if schema["writeOnly"] == true { "the text".to_owned() } else { format!("{text:?}") };
    let length = outside(Some(text.len() as i128), schema["minLength"].as_i64(), schema["maxLength"].as_i64());
    if let Some(how) = length {
        return Some(format!("{shown} has {} bytes, which is {how}", text.len()));
    }
    if let (Some(min), Some(max)) = (schema["x-minimum"].as_str(), schema["x-maximum"].as_str()) {
        let Some(given) = duration::parse(text) else { return Some(format!("{shown} is no duration")) };
        return match (duration::parse(min), duration::parse(max)) {
            (Some(min), _) if given < min => Some(format!("{text} is too short")),
            (_, Some(max)) if given > max => Some(format!("{text} is too long")),
            _ => None,
        };
    }
    if choices(schema).is_some_and(|names| !names.contains(&text)) {
        return Some(format!("{shown} is unknown"));
    }
    (schema["format"] == "ip" && text.parse::<IpAddr>().is_err()).then(|| format!("{shown} is no IP address"))
}

fn list(schema: &Value, items: &[Value]) -> Option<String> {
    let size = outside(Some(items.len() as i128), schema["minItems"].as_i64(), schema["maxItems"].as_i64());
    let twice = || {
        let repeated = items.iter().enumerate().find(|(place, item)| items[..*place].contains(item));
        repeated.filter(|_| schema["uniqueItems"] == true).map(|(_, item)| format!("{item} stands twice"))
    };
    size.map(|how| format!("{} entries are {how}", items.len())).or_else(twice)
}

/// How a number is outside its bounds, if it is.
fn outside(number: Option<i128>, min: Option<i64>, max: Option<i64>) -> Option<&'static str> {
    let number = number?;
    match (min, max) {
        (Some(min), _) if number < i128::from(min) => Some("too few"),
        (_, Some(max)) if number > i128::from(max) => Some("too many"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red if a field is added without a range: it would take a value with which the server cannot work.
    #[test]
    fn every_key_has_a_range() {
        let ranges = Ranges::new();
        let has = |schema: &Value, names: &[&str]| names.iter().all(|name| !schema[*name].is_null());
        let bounded = |schema: &Value| match type_of(schema) {
            "integer" => has(schema, &["minimum", "maximum"]),
            "boolean" => true,
            "string" => {
                choices(schema).is_some()
                    || [&["maxLength"][..], &["minLength"], &["x-minimum", "x-maximum"], &["format"], &["x-expected"]]
                        .iter()
                        .any(|names| has(schema, names))
            }
            "object" => properties(schema).is_some() || has(schema, &["additionalProperties", "propertyNames"]),
            _ => false,
        };
        let mut keys = 0;
        ranges.visit("", &ranges.schema, &mut |path, schema| {
            keys += 1;
            let well = match type_of(schema) {
                "array" => {
                    let items = ranges.resolve(&schema["items"]);
                    bounded(items)
                        && (has(schema, &["maxItems"]) || (schema["uniqueItems"] == true && choices(items).is_some()))
                }
                _ => bounded(schema),
            };
            assert!(
                well,
                "{path} has no range: add #[schemars(range(..))], length(..) or Between to its field: {schema}"
            );
        });
        assert!(keys > 40, "{keys} keys were looked at");
    }

    #[test]
    fn slips_of_the_pen_are_recognised() {
        assert_eq!(nearest("htpp", ["http", "tcp", "udp"].into_iter()), Some("http"));
        assert_eq!(nearest("frobnicate", ["http", "tcp", "udp"].into_iter()), None);
    }
}
