//! CPU time that a server has used: the sum over `/proc/PID/task/*/schedstat` of its processes, in nanoseconds.
//!
//! A thread that ends takes its line with it. A [`CpuMeter`] therefore adds up what each thread used since the meter
//! saw it last, and is read often enough by its owner; what a thread uses between the last reading and its end is lost.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::process;

/// Follows one process, or several.
#[derive(Debug)]
pub struct CpuMeter {
    /// The first must be there, the others may end.
    tasks: Vec<PathBuf>,
    seen: HashMap<String, u64>,
    used: u64,
}

impl CpuMeter {
    /// Starts at zero, for a process and those that descend from it now. Fails if there is no such process, or no `/proc`.
    pub fn of_tree(pid: u32) -> io::Result<Self> {
        Self::at(process::tree(pid).into_iter().map(|pid| format!("/proc/{pid}/task").into()).collect())
    }

    /// The process that runs this.
    pub fn of_self() -> io::Result<Self> {
        Self::at(vec!["/proc/self/task".into()])
    }

    fn at(tasks: Vec<PathBuf>) -> io::Result<Self> {
        let seen = read_all(&tasks)?;
        Ok(Self { tasks, seen, used: 0 })
    }

    /// CPU time used since the meter was made. Fails if the process is gone.
    pub fn read(&mut self) -> io::Result<Duration> {
        let now = read_all(&self.tasks)?;
        for (task, nanos) in &now {
            self.used += nanos.saturating_sub(self.seen.get(task).copied().unwrap_or(0));
        }
        self.seen = now;
        Ok(Duration::from_nanos(self.used))
    }
}

fn read_all(tasks: &[PathBuf]) -> io::Result<HashMap<String, u64>> {
    let (first, others) = tasks.split_first().expect("a meter follows a process");
    let mut all = read_process(first)?;
    for process in others {
        // The numbers of threads are unique among all processes.
        all.extend(read_process(process).unwrap_or_default());
    }
    Ok(all)
}

fn read_process(tasks: &Path) -> io::Result<HashMap<String, u64>> {
    let mut all = HashMap::new();
    for entry in std::fs::read_dir(tasks)? {
        let entry = entry?;
        // A thread may end between the listing and the reading.
        if let Ok(line) = std::fs::read_to_string(entry.path().join("schedstat")) {
            all.insert(entry.file_name().to_string_lossy().into_owned(), parse(&line));
        }
    }
    Ok(all)
}

/// `time on the CPU, time waiting for one (both ns), timeslices`.
fn parse(schedstat: &str) -> u64 {
    schedstat.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::time::Instant;

    fn burn(time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            std::hint::black_box(0);
        }
    }

    #[test]
    fn a_busy_thread_is_counted_and_a_reading_never_falls() {
        let mut meter = CpuMeter::of_self().unwrap();
        let start = Instant::now();
        let mut last = Duration::ZERO;
        // Other processes may hold the processors: spin until enough time was really used.
        while last < Duration::from_millis(50) {
            assert!(start.elapsed() < Duration::from_secs(20), "50 ms of work were not seen: {last:?}");
            burn(Duration::from_millis(10));
            let reading = meter.read().unwrap();
            assert!(reading >= last);
            last = reading;
        }
    }

    #[test]
    fn a_thread_that_ended_stays_counted() {
        let mut meter = CpuMeter::of_self().unwrap();
        let (done, wait) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            burn(Duration::from_millis(30));
            wait.recv().unwrap();
        });
        std::thread::sleep(Duration::from_millis(60));
        let before = meter.read().unwrap();
        done.send(()).unwrap();
        thread.join().unwrap();
        assert!(meter.read().unwrap() >= before);
    }

    #[test]
    fn no_such_process_is_an_error() {
        assert!(CpuMeter::of_tree(u32::MAX).is_err());
    }

    #[test]
    fn the_first_field_counts() {
        assert_eq!(parse("123 456 7\n"), 123);
        assert_eq!(parse(""), 0);
    }
}
