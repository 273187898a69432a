//! Attributes of a session or a media section, by name.

use rtc::sdp::description::common::Attribute;

/// The `a=` lines of one level.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes<'a>(pub &'a [Attribute]);

impl<'a> Attributes<'a> {
    /// The value of the first with this name; empty if it has none.
    pub(super) fn value(self, name: &str) -> Option<&'a str> {
        self.values(name).next()
    }

    /// The values of all with this name.
    pub(super) fn values(self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |attribute| attribute.key == name).map(value)
    }

    /// Whether there is one with this name.
    pub(super) fn has(self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// All, as name and value.
    pub(super) fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().map(|attribute| (attribute.key.as_str(), value(attribute)))
    }
}

fn value(attribute: &Attribute) -> &str {
    attribute.value.as_deref().unwrap_or_default().trim()
}
