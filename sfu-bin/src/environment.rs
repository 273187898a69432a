//! `MADANG_SECTION__KEY=value`: the environment as a layer of the configuration.
//!
//! The environment is shared with others who use our prefix: Kubernetes sets variables for services called `madang...`,
//! `madang-load` has its own, an operator keeps one for a script. So only names count whose first part is a key of the
//! configuration, alone or before two underscores; of the others a warning tells, unless they are Kubernetes' own.
//!
//! `MADANG_KEYS_FILE` and `MADANG_ICE_SERVERS_FILE` name files that hold the value, for secrets that are mounted.

use std::ffi::OsString;
use std::path::Path;

use serde_json::{Map, Value};

use crate::config::fault::Fault;
use crate::config::load::{Layer, merge, without_nulls};
use crate::config::ranges::{Ranges, nearest};

/// The prefix of our variables.
const PREFIX: &str = "MADANG_";
/// Where errors say they come from.
const SOURCE: &str = "environment";
/// Keys with secrets, which a file may hold.
const IN_FILES: [&str; 2] = ["KEYS", "ICE_SERVERS"];

/// What the environment says.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) layer: Layer,
    pub(crate) faults: Vec<Fault>,
    pub(crate) warnings: Vec<Fault>,
}

/// What a variable is for.
enum Meaning<'a> {
    /// A key of the configuration.
    Key(&'a str),
    /// A file with the value of a key.
    File(&'a str),
    /// Ours, but no layer: the path of the file.
    Path,
    /// Of a Kubernetes service.
    Link,
    /// Unknown.
    Foreign,
}

impl Environment {
    /// Reads variables, those of the process for instance.
    pub(crate) fn read(variables: impl Iterator<Item = (OsString, OsString)>, ranges: &Ranges) -> Self {
        let layer = Layer { source: SOURCE.to_owned(), value: Value::Object(Map::new()) };
        let mut this = Self { layer, faults: Vec::new(), warnings: Vec::new() };
        let known: Vec<String> = ranges.top_keys().map(str::to_ascii_uppercase).collect();
        // Names that are no UTF-8 are not ours.
        let mut ours: Vec<(String, OsString)> = variables
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with(PREFIX))
            .collect();
        ours.sort();
        for (name, value) in &ours {
            let Some(text) = value.to_str() else {
                this.faults.push(fault(name, "the value is no UTF-8", "write it as UTF-8"));
                continue;
            };
            match meaning(&name[PREFIX.len()..], text, &known) {
                // As if it were not there: that is what `${NAME:-}` of Compose makes of a variable that is not set.
                Meaning::Key(_) | Meaning::File(_) if text.trim().is_empty() => {}
                Meaning::Key(key) => this.set(name, key, text),
                Meaning::File(key) if ours.iter().any(|(other, _)| other.strip_prefix(PREFIX) == Some(key)) => {
                    this.faults.push(fault(name, format!("{PREFIX}{key} is there as well"), "set one of the two"));
                }
                Meaning::File(key) => match std::fs::read_to_string(Path::new(text)) {
                    Ok(content) => this.set(name, key, &content),
                    Err(error) => this.faults.push(fault(
                        name,
                        format!("cannot read {text}: {error}"),
                        "name a file that can be read",
                    )),
                },
                Meaning::Path | Meaning::Link => {}
                Meaning::Foreign => this.warnings.push(foreign(name, ranges)),
            }
        }
        this
    }

    /// The value is YAML, so that numbers, lists and maps can be written. What it holds may be a secret, and is not told.
    fn set(&mut self, name: &str, key: &str, text: &str) {
        let Ok(parsed) = serde_yaml_ng::from_str::<Value>(text) else {
            let remedy = "quote texts that hold one of : # { } [ ] , & * ! | > ' \" % @";
            return self.faults.push(fault(name, "the value is no YAML", remedy));
        };
        let key = key.to_ascii_lowercase();
        let nested =
            key.rsplit("__").fold(parsed, |inner, part| Value::Object(Map::from_iter([(part.to_owned(), inner)])));
        merge(&mut self.layer.value, without_nulls(nested));
    }
}

fn fault(name: &str, reason: impl Into<String>, remedy: &str) -> Fault {
    Fault::new(name, reason, remedy).of(SOURCE)
}

fn meaning<'a>(key: &'a str, value: &str, known: &[String]) -> Meaning<'a> {
    let is_known = |name: &str| known.iter().any(|known| known == name);
    if is_link(key, value) {
        return Meaning::Link;
    }
    if let Some(base) = key.strip_suffix("_FILE").filter(|base| IN_FILES.contains(base)) {
        return Meaning::File(base);
    }
    match key.split_once("__") {
        _ if key == "CONFIG" => Meaning::Path,
        Some((first, _)) if is_known(first) => Meaning::Key(key),
        None if is_known(key) => Meaning::Key(key),
        _ => Meaning::Foreign,
    }
}

/// Whether Kubernetes set it for a service (`NAME_SERVICE_HOST`, `NAME_SERVICE_PORT_HTTP`, `NAME_PORT=tcp://10.0.0.1:80`,
/// `NAME_PORT_80_TCP_ADDR`); of a service called `madang` the name is empty.
fn is_link(key: &str, value: &str) -> bool {
    let key = format!("_{key}");
    let after_port = key.split("_PORT_").skip(1);
    let names_a_port = |rest: &str| {
        rest.split_once('_').is_some_and(|(number, rest)| {
            number.parse::<u16>().is_ok() && ["TCP", "UDP", "SCTP"].iter().any(|protocol| rest.starts_with(protocol))
        })
    };
    key.ends_with("_SERVICE_HOST")
        || key.contains("_SERVICE_PORT")
        || (key.ends_with("_PORT") && value.contains("://"))
        || after_port.into_iter().any(names_a_port)
}

fn foreign(name: &str, ranges: &Ranges) -> Fault {
    let names: Vec<String> = ranges
        .leaf_keys()
        .iter()
        .map(|key| format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase()))
        .collect();
    // One underscore for two is the commonest slip.
    let single = names.iter().find(|known| known.replace("__", "_") == *name);
    let meant = single
        .map(String::as_str)
        .or_else(|| nearest(name, names.iter().map(String::as_str)).filter(|_| name.len() > 12));
    let remedy = match meant {
        Some(meant) => format!("did you mean {meant}?"),
        None => "names are MADANG_, the key in upper case, and two underscores between levels".to_owned(),
    };
    fault(name, "no key of the configuration, and ignored", &remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(variables: &[(&str, &str)]) -> Environment {
        Environment::read(variables.iter().map(|(name, value)| (name.into(), value.into())), &Ranges::new())
    }

    fn told(faults: &[Fault]) -> Vec<String> {
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_are_paths_and_values_are_yaml() {
        let read = read(&[
            ("MADANG_PORTS__HTTP", "8080"),
            ("MADANG_KEYS", "{a: secret}"),
            ("MADANG_MEDIA__EXTERNAL_IPS", "[192.0.2.1]"),
            ("MADANG_CONFIG", "/etc/madang.yaml"),
            ("MADANG_LOG__FILTER", ""),
            ("HOME", "/root"),
        ]);
        let expected =
            json!({ "ports": { "http": 8080 }, "keys": { "a": "secret" }, "media": { "external_ips": ["192.0.2.1"] } });
        assert_eq!(read.layer.value, expected);
        assert!(read.faults.is_empty() && read.warnings.is_empty());
    }

    #[test]
    fn what_kubernetes_sets_for_services_is_passed_over_in_silence() {
        let read = read(&[
            ("MADANG_PORT", "tcp://10.0.0.1:7880"),
            ("MADANG_PORT_7880_TCP_ADDR", "10.0.0.1"),
            ("MADANG_SERVICE_HOST", "10.0.0.1"),
            ("MADANG_SERVICE_PORT", "80"),
            ("MADANG_HTTP_SERVICE_HOST", "10.0.0.2"),
            ("MADANG_HTTP_SERVICE_PORT_HTTP", "80"),
            ("MADANG_HTTP_PORT", "tcp://10.0.0.2:80"),
            ("MADANG_MEDIA_PORT_30881_TCP", "tcp://10.0.0.3:30881"),
            ("MADANG_MEDIA_PORT_30882_UDP_PROTO", "udp"),
            ("MADANG_MEDIA__X_SERVICE_HOST", "10.0.0.4"),
        ]);
        assert_eq!(read.layer.value, json!({}));
        assert!(read.faults.is_empty() && read.warnings.is_empty(), "{:?}", read.warnings);
    }

    #[test]
    fn other_names_are_told_of_and_do_not_count() {
        let read = read(&[
            ("MADANG_LOAD_SECRET", "hidden-secret"),
            ("MADANG_PORTS_HTTP", "8080"),
            ("MADANG_PORT__HTTP", "8080"),
            ("MADANG_THEME__COLOUR", "blue"),
            ("MADANG_HTTP_PORT", "8080"),
        ]);
        assert_eq!(read.layer.value, json!({}));
        let told = told(&read.warnings);
        assert_eq!(told.len(), 5, "{told:?}");
        assert!(
            told.iter().any(|line| line.contains("MADANG_PORTS_HTTP") && line.contains("mean MADANG_PORTS__HTTP?")),
            "{told:?}"
        );
        assert!(
            told.iter().any(|line| line.contains("MADANG_PORT__HTTP") && line.contains("mean MADANG_PORTS__HTTP?")),
            "{told:?}"
        );
        assert!(told.iter().all(|line| !line.contains("hidden-secret")), "{told:?}");
    }

    #[test]
    fn a_value_that_cannot_be_read_is_a_fault_and_stays_hidden() {
        use std::os::unix::ffi::OsStringExt;
        let unreadable = OsString::from_vec(vec![0xff, 0xfe]);
        let variables = [
            (OsString::from("MADANG_BIND"), unreadable.clone()),
            (unreadable.clone(), unreadable),
            ("MADANG_KEYS".into(), "{a: [hidden".into()),
        ];
        let read = Environment::read(variables.into_iter(), &Ranges::new());
        let told = told(&read.faults);
        assert!(told.len() == 2 && told[0].contains("MADANG_BIND") && told[1].contains("MADANG_KEYS"), "{told:?}");
        assert!(!told[1].contains("hidden"), "{told:?}");
    }

    #[test]
    fn secrets_may_be_in_files() {
        let file = std::env::temp_dir().join(format!("madang-keys-{}", std::process::id()));
        std::fs::write(&file, "prod: a-secret-of-at-least-32-bytes-0123456789\n").unwrap();
        let path = file.to_str().unwrap();
        let found = read(&[("MADANG_KEYS_FILE", path)]);
        let both = read(&[("MADANG_KEYS_FILE", path), ("MADANG_KEYS", "{a: b}")]);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(found.layer.value, json!({ "keys": { "prod": "a-secret-of-at-least-32-bytes-0123456789" } }));
        assert!(told(&both.faults)[0].contains("MADANG_KEYS is there as well"));
        assert!(told(&read(&[("MADANG_KEYS_FILE", path)]).faults)[0].contains("cannot read"));
    }
}
