//! How a fault of the configuration is told: the key, the reason and the remedy, and which layer it came from.

use std::fmt;

/// One thing that is wrong, or that looks wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The file, `environment` or `command line`; empty where no single layer is to blame.
    pub(crate) source: String,
    /// The key, with dots between levels, or the environment variable.
    pub(crate) key: String,
    /// What is wrong, with the value where it is no secret.
    pub(crate) reason: String,
    /// What to write, or to do, instead.
    pub(crate) remedy: String,
}

impl Fault {
    pub(crate) fn new(key: impl Into<String>, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { source: String::new(), key: key.into(), reason: reason.into(), remedy: remedy.into() }
    }

    pub(crate) fn of(mut self, source: &str) -> Self {
        source.clone_into(&mut self.source);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.source, &self.key].into_iter().filter(|part| !part.is_empty()) {
            write!(f, "{part}: ")?;
        }
        write!(f, "{}", self.reason)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}

/// All faults of a configuration.
#[derive(Debug)]
pub(crate) struct Faults(pub(crate) Vec<Fault>);

impl Faults {
    /// An error if there is one.
    pub(crate) fn none_or_error(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => one.fmt(f),
            several => {
                write!(f, "{} faults in the configuration", several.len())?;
                several.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
            }
        }
    }
}

impl std::error::Error for Faults {}
