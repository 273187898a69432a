//! Layers in, a checked configuration out, or all its faults.
//!
//! A layer is a JSON value with some of the keys; a later one overrides an earlier one. Each layer is checked alone, so that a
//! fault names where it comes from; that works since every key of the schema has a default. A key without a value, as a
//! section whose lines are all commented out leaves it, counts as absent.

use std::path::Path;

use serde_json::{Map, Value};

use super::fault::{Fault, Faults};
use super::machine::{self, Machine};
use super::ranges::Ranges;
use super::{Config, LogConfig, rules};
use crate::cli::Sources;
use crate::environment::Environment;
use crate::tls;

/// A layer and where it comes from.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) source: String,
    pub(crate) value: Value,
}

/// A configuration without faults.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// What was found on the way that is probably not meant.
    pub(crate) warnings: Vec<Fault>,
}

impl Loaded {
    /// What works and is probably not meant, here and now.
    pub(crate) fn warnings(&self, dev: bool) -> Vec<Fault> {
        let mut warnings = self.warnings.clone();
        warnings.extend(
            rules::warnings(&self.config).into_iter().filter(|warning| !dev || !warning.key.starts_with("keys.")),
        );
        warnings.extend(machine::warnings(&self.config, &Machine::here(), dev));
        warnings
    }
}

/// All layers; `flags` is the topmost.
pub(crate) fn load(sources: &Sources, flags: Value) -> Result<Loaded, Faults> {
    let flags = Layer { source: "command line".to_owned(), value: flags };
    layered(sources.config.as_deref(), true, Some(flags))
}

/// How to log, as far as the layers tell: a fault in another key is to be logged in this way.
pub(crate) fn log(sources: &Sources, flags: Value) -> LogConfig {
    let file = sources.config.as_deref().and_then(|path| from_file(path).ok()).map(|layer| layer.value);
    let environment = Environment::read(std::env::vars_os(), &Ranges::new()).layer.value;
    let mut merged = Value::Object(Map::new());
    for layer in file.into_iter().chain([environment, flags]) {
        merge(&mut merged, layer);
    }
    serde_json::from_value(merged["log"].take()).unwrap_or_default()
}

/// What `madang config check` found.
pub(crate) struct Check {
    pub(crate) faults: Vec<Fault>,
    pub(crate) warnings: Vec<Fault>,
}

/// Checks a file by all that the start looks at, except that nothing is bound. `strict`: as on the machine and in the
/// environment that it is for, with the files that it names.
pub(crate) fn check(file: &Path, strict: bool) -> Check {
    let loaded = match layered(Some(file), strict, None) {
        Ok(loaded) => loaded,
        Err(Faults(faults)) => return Check { faults, warnings: Vec::new() },
    };
    let mut warnings = loaded.warnings(false);
    if loaded.config.keys.0.is_empty() {
        let remedy = "set keys in the file, MADANG_KEYS or MADANG_KEYS_FILE in the environment, or --keys ID:SECRET";
        warnings.push(Fault::new("keys", "there is no API key, without which the server does not start", remedy));
    }
    let files = loaded.config.tls.as_ref().filter(|_| strict);
    let faults = files.and_then(|files| tls::check(files).err());
    let remedy = "name a PEM file with the chain and one with its private key, which this user can read";
    let faults = faults.map(|error| Fault::new("tls", format!("{error:#}"), remedy)).into_iter().collect();
    Check { faults, warnings }
}

fn layered(file: Option<&Path>, environment: bool, flags: Option<Layer>) -> Result<Loaded, Faults> {
    let ranges = Ranges::new();
    let mut faults = Vec::new();
    let mut layers = Vec::new();
    match file.map(from_file).transpose() {
        Ok(layer) => layers.extend(layer),
        Err(fault) => faults.push(fault),
    }
    let mut warnings = Vec::new();
    if environment {
        let environment = Environment::read(std::env::vars_os(), &ranges);
        faults.extend(environment.faults);
        warnings = environment.warnings;
        layers.push(environment.layer);
    }
    layers.extend(flags);
    for layer in &layers {
        faults.extend(check_layer(layer, &ranges));
    }
    Faults(faults).none_or_error()?;
    let mut merged = Value::Object(Map::new());
    for layer in layers {
        merge(&mut merged, layer.value);
    }
    let config: Config =
        serde_json::from_value(merged).map_err(|error| Faults(vec![Fault::new("", error.to_string(), "")]))?;
    Faults(rules::faults(&config)).none_or_error()?;
    Ok(Loaded { config, warnings })
}

/// A YAML file.
fn from_file(path: &Path) -> Result<Layer, Fault> {
    let source = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Fault::new(&source, format!("cannot read it: {error}"), "name a file that this user can read")
    })?;
    // Into YAML's own value first, which refuses a key that stands twice.
    let wrong = |error| not_yaml(&source, &error);
    let value: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text).map_err(wrong)?;
    let value: Value = serde_yaml_ng::from_value(value).map_err(wrong)?;
    match without_nulls(value) {
        Value::Null => Ok(Layer { source, value: Value::Object(Map::new()) }),
        value @ Value::Object(_) => Ok(Layer { source, value }),
        _ => {
            Err(Fault::new(source, "there are no keys with values in it", "madang.sample.yaml shows how it is written"))
        }
    }
}

/// A number that is too large is told without the number: it may be a secret that nobody put in quotes.
fn not_yaml(source: &str, error: &serde_yaml_ng::Error) -> Fault {
    let text = error.to_string();
    match text.split_once(": invalid type: integer") {
        Some((key, _)) => {
            Fault::new(key, "a number of more than 64 bits", "write texts, such as secrets, in quotes").of(source)
        }
        None => Fault::new(source, text, "madang.sample.yaml shows how it is written"),
    }
}

/// Ranges first, whose errors help more; then what only the types know.
fn check_layer(layer: &Layer, ranges: &Ranges) -> Vec<Fault> {
    let mut faults = ranges.check(&layer.value);
    for (path, leaf) in leaves(&layer.value) {
        let key = path.join(".");
        let told = |fault: &Fault| fault.key == key || fault.key.starts_with(&format!("{key}."));
        if faults.iter().any(told) {
            continue;
        }
        let alone =
            path.iter().rev().fold(leaf.clone(), |inner, key| Value::Object(Map::from_iter([(key.clone(), inner)])));
        if let Err(error) = serde_json::from_value::<Config>(alone) {
            faults.push(Fault::new(&key, error.to_string(), ranges.remedy(&key)));
        }
    }
    faults.into_iter().map(|fault| fault.of(&layer.source)).collect()
}

/// Lays one value over another: maps key by key, anything else as a whole.
pub(crate) fn merge(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                merge(below.entry(key).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above,
    }
}

/// Leaves out keys without a value.
pub(crate) fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let present = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(present.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        other => other,
    }
}

/// Every value that is no map, with the keys that lead to it.
fn leaves(value: &Value) -> Vec<(Vec<String>, &Value)> {
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, inner)| {
                leaves(inner).into_iter().map(move |(mut path, leaf)| {
                    path.insert(0, key.clone());
                    (path, leaf)
                })
            })
            .collect(),
        leaf => vec![(Vec::new(), leaf)],
    }
}

#[cfg(test)]
impl Loaded {
    /// One layer alone, from a file that is not there.
    pub(crate) fn from_value(value: Value) -> Result<Self, Faults> {
        layered(None, false, Some(Layer { source: "file.yaml".to_owned(), value: without_nulls(value) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_later_layer_overrides_single_keys() {
        let mut below = json!({ "a": { "x": 1, "y": 2 }, "list": [1, 2] });
        merge(&mut below, json!({ "a": { "y": 3 }, "list": [4] }));
        assert_eq!(below, json!({ "a": { "x": 1, "y": 3 }, "list": [4] }));
    }

    #[test]
    fn keys_without_values_are_absent() {
        assert_eq!(without_nulls(json!({ "a": null, "b": { "c": null, "d": 1 } })), json!({ "b": { "d": 1 } }));
        Loaded::from_value(json!({ "tls": null, "http": {}, "media": { "workers": null } })).unwrap();
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let value = json!({ "ports": { "htpp": 1, "tcp": "x" }, "sessions": { "ping_interval": "0s" }, "bind": "no" });
        let Faults(faults) = Loaded::from_value(value).unwrap_err();
        let mut keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["bind", "ports.htpp", "ports.tcp", "sessions.ping_interval"]);
    }
}
