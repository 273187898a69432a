//! Layers of configuration: each is a JSON value with some of the keys; a later one overrides an earlier one.
//!
//! An error names the layer and the key. Serde knows neither once layers are merged, so each layer is checked alone; that
//! works since every key of the schema has a default.

use std::path::Path;

use anyhow::{Context, anyhow, bail};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The prefix of environment variables.
const PREFIX: &str = "MADANG_";

/// A layer and where it comes from, for errors.
pub(crate) struct Layer {
    pub(crate) source: String,
    pub(crate) value: Value,
}

/// A YAML file.
pub(crate) fn from_file(path: &Path) -> anyhow::Result<Layer> {
    let source = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {source}"))?;
    let value: Value = serde_yaml_ng::from_str(&text).with_context(|| source.clone())?;
    match value {
        Value::Null => Ok(Layer { source, value: Value::Object(Map::new()) }),
        Value::Object(_) => Ok(Layer { source, value }),
        _ => bail!("{source}: expected keys with values"),
    }
}

/// `MADANG_SECTION__KEY=value`; values are YAML, so that numbers, lists and maps can be written.
pub(crate) fn from_env(variables: impl Iterator<Item = (String, String)>) -> anyhow::Result<Layer> {
    let mut value = Value::Object(Map::new());
    for (name, text) in variables {
        let Some(key) = name.strip_prefix(PREFIX).filter(|key| !is_foreign(key)) else { continue };
        let parsed: Value = serde_yaml_ng::from_str(&text).with_context(|| format!("environment: {name}"))?;
        let key = key.to_ascii_lowercase();
        let nested =
            key.rsplit("__").fold(parsed, |inner, part| Value::Object(Map::from_iter([(part.to_owned(), inner)])));
        merge(&mut value, nested);
    }
    Ok(Layer { source: "environment".to_owned(), value })
}

/// Variables with our prefix that are no configuration: the file's path, and what Kubernetes sets for a service that is
/// called `madang` (`MADANG_PORT_7880_TCP_ADDR` and the like).
fn is_foreign(key: &str) -> bool {
    key == "CONFIG" || key == "PORT" || key.starts_with("PORT_") || key.starts_with("SERVICE_")
}

/// Lays all layers over each other and reads the result.
pub(crate) fn resolve<T: DeserializeOwned>(layers: impl IntoIterator<Item = Layer>) -> anyhow::Result<T> {
    let mut merged = Value::Object(Map::new());
    for layer in layers {
        check::<T>(&layer)?;
        merge(&mut merged, layer.value);
    }
    Ok(serde_json::from_value(merged)?)
}

fn merge(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                merge(below.entry(key).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above,
    }
}

fn check<T: DeserializeOwned>(layer: &Layer) -> anyhow::Result<()> {
    let Err(error) = serde_json::from_value::<T>(layer.value.clone()) else { return Ok(()) };
    let culprit = leaves(&layer.value).into_iter().find_map(|(path, leaf)| {
        let alone =
            path.iter().rev().fold(leaf.clone(), |inner, key| Value::Object(Map::from_iter([(key.clone(), inner)])));
        let error = serde_json::from_value::<T>(alone).err()?;
        Some(anyhow!("{}: {}: {error}", layer.source, path.join(".")))
    });
    Err(culprit.unwrap_or_else(|| anyhow!("{}: {error}", layer.source)))
}

/// Every value that is no map, with the keys that lead to it.
fn leaves(value: &Value) -> Vec<(Vec<String>, &Value)> {
    match value {
        Value::Object(map) if !map.is_empty() => map
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
    fn environment_names_are_paths_and_values_are_yaml() {
        let variables = [
            ("MADANG_PORTS__HTTP", "8080"),
            ("MADANG_KEYS", "{a: secret}"),
            ("MADANG_MEDIA__EXTERNAL_IPS", "[192.0.2.1]"),
            ("MADANG_CONFIG", "/etc/madang.yaml"),
            ("MADANG_PORT", "tcp://10.0.0.1:7880"),
            ("MADANG_SERVICE_HOST", "10.0.0.1"),
            ("HOME", "/root"),
        ];
        let layer = from_env(variables.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned()))).unwrap();
        let expected =
            json!({ "ports": { "http": 8080 }, "keys": { "a": "secret" }, "media": { "external_ips": ["192.0.2.1"] } });
        assert_eq!(layer.value, expected);
    }
}
