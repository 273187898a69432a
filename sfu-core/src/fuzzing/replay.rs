//! The corpus under `cargo test`: every file, and mutations of it that are the same in every run.
//!
//! `FUZZ_MUTATIONS=50` tries fifty times as many. What panics is left in `target/fuzz-failure-<target>`: a file for the
//! corpus, once it is minimised and the fault is mended.

use std::fs;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use super::Target;

const MAX_LEN: usize = 128 * 1024;
const INTERESTING: [u32; 12] = [0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0xffff_ffff];

/// Replays the corpus of one target.
///
/// # Panics
///
/// If the target does, or if its corpus is missing.
pub fn replay(target: &Target) {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let corpus = read(&repository.join("fuzz/corpus").join(target.name));
    assert!(!corpus.is_empty(), "{} has no corpus", target.name);
    let times = std::env::var("FUZZ_MUTATIONS").ok().and_then(|times| times.parse::<u32>().ok()).unwrap_or(1);
    let mut rng = StdRng::seed_from_u64(0x6d61_6461_6e67);
    let mut failure =
        Failure { file: repository.join(format!("target/fuzz-failure-{}", target.name)), bytes: Vec::new() };
    for seed in &corpus {
        failure.run(target, seed.clone());
        // Three of four go on from what the one before became.
        let mut bytes = seed.clone();
        for number in 0..target.mutations.saturating_mul(times) {
            if number % 4 == 0 {
                bytes.clone_from(seed);
            }
            let other = &corpus[rng.random_range(0..corpus.len())];
            mutate(&mut bytes, other, &mut rng);
            failure.run(target, bytes.clone());
        }
    }
}

fn read(folder: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).expect("a corpus file can be read")).collect()
}

/// What is being run. Dropped by a panic, it writes that down.
struct Failure {
    file: PathBuf,
    bytes: Vec<u8>,
}

impl Failure {
    fn run(&mut self, target: &Target, bytes: Vec<u8>) {
        self.bytes = bytes;
        (target.run)(&self.bytes);
    }
}

impl Drop for Failure {
    #[allow(clippy::print_stderr, reason = "of a test that fails")]
    fn drop(&mut self) {
        if std::thread::panicking() && fs::write(&self.file, &self.bytes).is_ok() {
            eprintln!("the {} bytes that failed are in {}", self.bytes.len(), self.file.display());
        }
    }
}

/// Changes bytes as fuzzers do.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], rng: &mut StdRng) {
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..=bytes.len());
        let end = (at + rng.random_range(0..16)).min(bytes.len());
        match rng.random_range(0..10) {
            0 => drop(bytes.drain(at..end)),
            1 => bytes.truncate(at),
            2 => drop(bytes.splice(at..at, other[other.len() / 2..].iter().copied().take(64))),
            3 => drop(bytes.splice(at.., other[at.min(other.len())..].iter().copied())),
            4 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
            5 => {
                let value = INTERESTING[rng.random_range(0..INTERESTING.len())].to_be_bytes();
                let width = [1, 2, 4][rng.random_range(0..3)];
                overwrite(bytes, at, &value[4 - width..]);
            }
            6 => drop(bytes.splice(at..at, [rng.next_u32() as u8])),
            7 => overwrite(bytes, at, &[rng.next_u32() as u8]),
            8 if at < bytes.len() => bytes[at] = bytes[at].wrapping_add(rng.random_range(0..9)).wrapping_sub(4),
            _ if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            _ => {}
        }
    }
    bytes.truncate(MAX_LEN);
}

fn overwrite(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..].iter_mut().zip(value).for_each(|(byte, value)| *byte = *value);
}
