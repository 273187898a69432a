//! The real server as a child process: `madang serve --dev` on loopback, on ports that were free.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long the server may take to say that it is ready.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A server that ends with this value.
pub(crate) struct Madang {
    child: Child,
    /// Where it serves HTTP.
    pub(crate) url: String,
    /// What it logged, where that is kept.
    log: Arc<Mutex<Vec<String>>>,
}

impl Madang {
    /// Starts it with one worker and waits until it is ready.
    #[allow(dead_code, reason = "every test file that includes this module compiles it anew")]
    pub(crate) fn start() -> Self {
        Self::with(&["--workers", "1"], &[])
    }

    /// The same with two workers; a room with more than two participants is on both.
    #[allow(dead_code, reason = "every test file that includes this module compiles it anew")]
    pub(crate) fn spread() -> Self {
        Self::with(&["--workers", "2"], &[("MADANG_ROOMS__PARTICIPANTS_PER_WORKER", "2")])
    }

    /// The same with two workers that can be told to panic, and its log, in JSON, kept. Only debug builds can.
    #[allow(dead_code, reason = "every test file that includes this module compiles it anew")]
    pub(crate) fn breakable(operator: &str) -> Self {
        let log = ["--log-format", "json", "--log-filter", "info"];
        Self::with(&[&["--workers", "2", "--test-commands", "--operator", operator], &log[..]].concat(), &[])
    }

    /// Lines of the log so far.
    #[allow(dead_code, reason = "every test file that includes this module compiles it anew")]
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().expect("nobody panics with it").clone()
    }

    /// One worker, and as many open files at most; where the operator and ICE-TCP are, is said beforehand.
    #[cfg(unix)]
    #[allow(dead_code, reason = "every test file that includes this module compiles it anew")]
    pub(crate) fn with_open_files(limit: u32, operator: &str, tcp_port: &str) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {limit} && exec \"$0\" \"$@\"")]).arg(binary());
        Self::spawn(shell, &["--workers", "1", "--operator", operator, "--tcp-port", tcp_port], &[])
    }

    fn with(more: &[&str], env: &[(&str, &str)]) -> Self {
        Self::spawn(Command::new(binary()), more, env)
    }

    fn spawn(mut program: Command, more: &[&str], env: &[(&str, &str)]) -> Self {
        let flags = ["serve", "--dev", "--bind", "127.0.0.1", "--http-port", "0", "--udp-port", "0"];
        let otherwise = [["--tcp-port", "0"], ["--operator", "127.0.0.1:0"], ["--log-filter", "warn"]];
        let otherwise = otherwise.iter().filter(|[flag, _]| !more.contains(flag)).flatten();
        let keeps_log = more.contains(&"--log-filter");
        let mut child = program
            .args(flags)
            .args(otherwise)
            .args(more)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(if keeps_log { Stdio::piped() } else { Stdio::inherit() })
            .spawn()
            .expect("the madang binary can be started");
        let stdout = child.stdout.take().expect("stdout is piped");
        let log = Arc::<Mutex<Vec<String>>>::default();
        if let Some(stderr) = child.stderr.take() {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    log.lock().expect("nobody panics with it").push(line);
                }
            });
        }
        let mut madang = Self { child, url: String::new(), log };
        // Read on another thread, which also keeps the pipe empty afterwards.
        let (ready, url) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some((_, url)) = line.split_once("Madang is ready: ") {
                    let _ = ready.send(url.trim().replace("localhost", "127.0.0.1"));
                }
            }
        });
        madang.url = url.recv_timeout(START_TIMEOUT).expect("madang says that it is ready");
        madang
    }

    /// Its process.
    #[allow(dead_code, reason = "every test file that includes this module compiles it anew")]
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Madang {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `MADANG_BIN`, or `madang` in the profile directory that this test was built into.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("MADANG_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("a test knows its executable");
    let profile = test.parent().and_then(|deps| deps.parent()).expect("tests are built into target/PROFILE/deps");
    let path = profile.join(format!("madang{}", std::env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "there is no {}: build the server first with `cargo build -p sfu-bin` (add --release for a release test), \
         or name it in MADANG_BIN",
        path.display()
    );
    path
}
