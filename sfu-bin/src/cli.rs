//! The command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use serde_json::{Value, json};

use crate::config::LogFormat;

/// A WebRTC SFU: people in a room see and hear each other through it.
#[derive(Debug, Parser)]
#[command(name = "madang", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Examples:
  madang serve --dev                         a group call on this machine, at http://localhost:7880
  madang serve --dev --dev-tls               the same over HTTPS, for phones on the same network
  madang serve --config madang.yaml          in production
  madang token --room demo --identity ann    a token for the room `demo`
  madang config check madang.yaml            is this file right?")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server
    Serve(Box<ServeArgs>),
    /// Print an access token
    Token(Box<TokenArgs>),
    /// Check a configuration file, or print the schema
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

/// What to do about the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the JSON schema of the configuration file
    Schema,
    /// Check a file and say everything that is wrong with it
    Check {
        /// The file
        file: PathBuf,
        /// On the machine and in the environment that it is for: files that it names are read, warnings are errors
        #[arg(long)]
        strict: bool,
    },
}

/// Where the configuration comes from, besides the flags.
#[derive(Debug, Clone, Args)]
pub(crate) struct Sources {
    /// Configuration file (YAML); `madang.sample.yaml` explains every key
    #[arg(long, env = "MADANG_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// API key, as `ID:SECRET`; may be repeated [env: MADANG_KEYS='ID: SECRET']
    #[arg(long, value_name = "ID:SECRET", value_parser = parse_pair::<':'>)]
    pub(crate) keys: Vec<(String, String)>,
}

/// Flags of `serve`. Each overrides a key of the configuration file.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Every key of the configuration file can also be set by the environment: MADANG_ and the key in
upper case, with two underscores between levels, e.g. MADANG_PORTS__HTTP=8080 or MADANG_LOG__FORMAT=json.
MADANG_KEYS_FILE and MADANG_ICE_SERVERS_FILE name files that hold the value.
Flags override the environment, which overrides the file.

Examples:
  madang serve --dev
  madang serve --config /etc/madang.yaml --external-ip 203.0.113.7
  MADANG_KEYS='prod: a-secret-of-at-least-32-bytes-0123456789' madang serve")]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) sources: Sources,
    /// For one's own machine: a well-known API key, a token endpoint for the demo, HTTP on loopback unless told otherwise
    #[arg(long)]
    pub(crate) dev: bool,
    /// Serve HTTPS with a self-signed certificate, on all addresses, so that other devices may use their cameras
    #[arg(long)]
    pub(crate) dev_tls: bool,
    /// Address that all public listeners bind
    #[arg(long, value_name = "IP")]
    pub(crate) bind: Option<IpAddr>,
    /// Address that clients reach media at, where it is not an interface's (NAT); may be repeated
    #[arg(long, value_name = "IP")]
    pub(crate) external_ip: Vec<IpAddr>,
    /// Only this network interface is advertised; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: Vec<String>,
    /// Port of HTTP and WebSocket
    #[arg(long, value_name = "PORT")]
    pub(crate) http_port: Option<u16>,
    /// First UDP port of media; worker n has the n-th after it
    #[arg(long, value_name = "PORT")]
    pub(crate) udp_port: Option<u16>,
    /// Port of ICE-TCP
    #[arg(long, value_name = "PORT")]
    pub(crate) tcp_port: Option<u16>,
    /// Address of the operator's listener (/livez /readyz /startupz /metrics)
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) operator: Option<SocketAddr>,
    /// Media threads; 0: one per processor
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<usize>,
    /// The most microphones of a room that are forwarded at a time, the loudest; 0: all
    #[arg(long, value_name = "N")]
    pub(crate) loudest_speakers: Option<usize>,
    /// Certificate chain for HTTPS (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// How log lines look
    #[arg(long, value_enum)]
    pub(crate) log_format: Option<LogFormat>,
    /// What is logged, e.g. `info,sfu_signal=debug`
    #[arg(long, value_name = "FILTER")]
    pub(crate) log_filter: Option<String>,
    /// Lets tests break parts of the server over the operator's listener
    #[cfg(debug_assertions)]
    #[arg(long, hide = true)]
    pub(crate) test_commands: bool,
}

/// Flags of `token`.
#[derive(Debug, Args)]
#[command(after_help = "Without a configured key the development key is used, which `serve --dev` knows.

Examples:
  madang token --room demo --identity ann
  madang token --room demo --identity viewer --no-publish --ttl 24h
  madang token --config madang.yaml --room stage --identity bot --publish-source screen_share")]
pub(crate) struct TokenArgs {
    #[command(flatten)]
    pub(crate) sources: Sources,
    /// The room that may be joined
    #[arg(long)]
    pub(crate) room: String,
    /// Who joins; one participant per identity and room
    #[arg(long)]
    pub(crate) identity: String,
    /// Display name
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) name: String,
    /// Free text for the application
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) metadata: String,
    /// Attribute for the application; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_pair::<'='>)]
    pub(crate) attribute: Vec<(String, String)>,
    /// How long the token is good for joining: 90s, 30m, 6h
    #[arg(long, default_value = "6h", value_parser = parse_duration)]
    pub(crate) ttl: std::time::Duration,
    /// Which configured key signs; the first by default
    #[arg(long, value_name = "ID")]
    pub(crate) key: Option<String>,
    /// May not publish tracks
    #[arg(long)]
    pub(crate) no_publish: bool,
    /// May publish only this source: camera, microphone, screen_share, screen_share_audio; may be repeated
    #[arg(long, value_name = "SOURCE", value_parser = ["camera", "microphone", "screen_share", "screen_share_audio"])]
    pub(crate) publish_source: Vec<String>,
    /// Receives no tracks
    #[arg(long)]
    pub(crate) no_subscribe: bool,
    /// May not send data
    #[arg(long)]
    pub(crate) no_data: bool,
    /// May change its own name, metadata and attributes
    #[arg(long)]
    pub(crate) update_own_metadata: bool,
    /// May administer the room
    #[arg(long)]
    pub(crate) room_admin: bool,
    /// May create rooms
    #[arg(long)]
    pub(crate) room_create: bool,
    /// May list rooms
    #[arg(long)]
    pub(crate) room_list: bool,
    /// Others do not see this participant; it publishes nothing
    #[arg(long)]
    pub(crate) hidden: bool,
    /// Records the room
    #[arg(long)]
    pub(crate) recorder: bool,
}

impl Sources {
    /// The flags as a layer of the configuration.
    pub(crate) fn layer(&self) -> Value {
        let keys: serde_json::Map<_, _> =
            self.keys.iter().map(|(id, secret)| (id.clone(), Value::from(secret.clone()))).collect();
        if keys.is_empty() { json!({}) } else { json!({ "keys": keys }) }
    }
}

impl ServeArgs {
    /// The flags as a layer of the configuration.
    pub(crate) fn layer(&self) -> Value {
        let mut layer = self.sources.layer();
        let mut set = |pointer: [&str; 2], value: Value| {
            let section = pointer[1..].iter().fold(&mut layer[pointer[0]], |at, key| &mut at[*key]);
            *section = value;
        };
        let ports = [("http", self.http_port), ("udp", self.udp_port), ("tcp", self.tcp_port)];
        for (name, port) in ports {
            if let Some(port) = port {
                set(["ports", name], port.into());
            }
        }
        if !self.external_ip.is_empty() {
            set(["media", "external_ips"], json!(self.external_ip));
        }
        if !self.interface.is_empty() {
            set(["media", "interfaces"], json!(self.interface));
        }
        let single = [
            (["media", "workers"], self.workers.map(Value::from)),
            (["media", "loudest_speakers"], self.loudest_speakers.map(Value::from)),
            (["tls", "cert"], self.tls_cert.as_ref().map(|path| json!(path))),
            (["tls", "key"], self.tls_key.as_ref().map(|path| json!(path))),
            (["log", "format"], self.log_format.map(|format| json!(format))),
            (["log", "filter"], self.log_filter.as_ref().map(|filter| json!(filter))),
        ];
        for (pointer, value) in single {
            if let Some(value) = value {
                set(pointer, value);
            }
        }
        if let Some(bind) = self.bind {
            layer["bind"] = json!(bind);
        }
        if let Some(operator) = self.operator {
            layer["operator"] = json!(operator);
        }
        layer
    }
}

fn parse_pair<const SEPARATOR: char>(text: &str) -> Result<(String, String), String> {
    let (left, right) = text.split_once(SEPARATOR).ok_or_else(|| format!("expected two parts around `{SEPARATOR}`"))?;
    Ok((left.trim().to_owned(), right.trim().to_owned()))
}

fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    sfu_signal::duration::parse(text).ok_or_else(|| "expected a number with a unit: 90s, 30m, 6h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_become_a_layer() {
        let cli = ["madang", "serve", "--dev", "--http-port", "80", "--external-ip", "203.0.113.7", "--keys", "a:b:c"];
        let Command::Serve(args) = Cli::parse_from(cli).command else { panic!("serve") };
        let expected = json!({
            "keys": { "a": "b:c" }, "ports": { "http": 80 }, "media": { "external_ips": ["203.0.113.7"] },
        });
        assert_eq!(args.layer(), expected);
    }
}
