//! Header extensions of an m-line: `a=extmap` (RFC 8285 section 8).

use crate::rtp::Extension;

use super::error::NegotiationError;
use super::value::Direction;

/// A header extension that was offered and that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfferedExtension {
    /// Which one.
    pub extension: Extension,
    /// 1 to 255, but not 15.
    pub id: u8,
    /// Who uses it, from the client's side, where the offer says so. Otherwise whoever sends.
    pub direction: Option<Direction>,
}

impl OfferedExtension {
    /// Whether it is of use on an m-line that we answer with `answered`. On an inactive one it may become so.
    pub(super) fn is_useful(self, answered: Direction) -> bool {
        let ours = self.direction.unwrap_or(Direction::SendRecv).reversed();
        match answered {
            Direction::Inactive => ours != Direction::Inactive,
            _ => (ours.sends() && answered.sends()) || (ours.receives() && answered.receives()),
        }
    }
}

/// The header extensions of an m-line, while its attributes are read.
#[derive(Debug, Default)]
pub(super) struct Extmap<'a> {
    /// Each id with its URI. At most 255.
    taken: Vec<(u8, &'a str)>,
    pub(super) known: Vec<OfferedExtension>,
}

impl<'a> Extmap<'a> {
    /// `a=extmap:{value}`: an id with an optional direction, a URI, and attributes that we do not need. An id of two bytes is
    /// one that the offerer has not decided on (4096 to 4351, RFC 8285 section 7) or of no header: what has it is left out.
    pub(super) fn note(&mut self, value: &'a str) -> Result<(), NegotiationError> {
        let mut words = value.split_whitespace();
        let (Some(number), Some(uri)) = (words.next(), words.next()) else {
            return Err(NegotiationError::malformed("a=extmap"));
        };
        let (id, direction) = match number.split_once('/') {
            Some((id, direction)) => {
                let direction: Direction = direction.parse().map_err(|()| NegotiationError::malformed("a=extmap"))?;
                (id, Some(direction))
            }
            None => (number, None),
        };
        let id: u32 = id.parse().ok().filter(|id| *id != 0).ok_or_else(|| {
            NegotiationError::contradiction(format!("the header extension id {id} is not between 1 and 255"))
        })?;
        let Ok(id) = u8::try_from(id) else { return Ok(()) };
        self.add(id, uri, direction)
    }

    fn add(&mut self, id: u8, uri: &'a str, direction: Option<Direction>) -> Result<(), NegotiationError> {
        match self.taken.iter().find(|(taken, _)| *taken == id) {
            // The session and its m-line may say the same.
            Some((_, same)) if *same == uri => return Ok(()),
            Some(_) => {
                return Err(NegotiationError::contradiction(format!("the header extension id {id} is used twice")));
            }
            None => self.taken.push((id, uri)),
        }
        let Some(extension) = Extension::from_uri(uri) else { return Ok(()) };
        if self.known.iter().any(|known| known.extension == extension) {
            return Err(NegotiationError::contradiction(format!("the header extension {uri} has two ids")));
        }
        // 15 ends an extension block of the one-byte form (RFC 8285 section 4.2): what has it is left out.
        if id != 15 {
            self.known.push(OfferedExtension { extension, id, direction });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

    fn read(lines: &[String]) -> Result<Vec<OfferedExtension>, &'static str> {
        let mut extmap = Extmap::default();
        lines.iter().try_for_each(|line| extmap.note(line)).map_err(|error| error.code())?;
        Ok(extmap.known)
    }

    #[test]
    fn ids_out_of_range_or_used_twice_are_contradictions() {
        for number in ["0", "-1", "x"] {
            assert_eq!(read(&[format!("{number} {MID}")]), Err("sdp_contradiction"), "{number}");
        }
        assert_eq!(read(&[format!("3 {MID}"), "3 urn:other".into()]), Err("sdp_contradiction"));
        assert_eq!(read(&[format!("3 {MID}"), format!("4 {MID}")]), Err("sdp_contradiction"));
        assert_eq!(read(&[format!("3/sideways {MID}")]), Err("sdp_malformed"));
        assert_eq!(read(&["3".into()]), Err("sdp_malformed"));
    }

    #[test]
    fn ids_that_no_header_can_have_are_left_out() {
        let lines: Vec<String> = ["256", "4096", "4351"].iter().map(|id| format!("{id} {MID}")).collect();
        assert_eq!(read(&lines), Ok(vec![]));
        assert_eq!(read(&[format!("4096 {MID}"), format!("4096 {MID}"), format!("3 {MID}")]).unwrap()[0].id, 3);
    }

    #[test]
    fn the_session_and_an_m_line_may_say_the_same() {
        assert_eq!(read(&[format!("3 {MID}"), format!("3 {MID}")]).unwrap().len(), 1);
    }

    #[test]
    fn directions_are_seen_from_the_other_side() {
        let known = read(&[format!("3/sendonly {MID} attribute=1")]).unwrap()[0];
        assert_eq!((known.extension, known.id), (Extension::Mid, 3));
        assert!(known.is_useful(Direction::RecvOnly) && known.is_useful(Direction::Inactive));
        assert!(!known.is_useful(Direction::SendOnly));
    }

    #[test]
    fn the_reserved_id_is_left_out() {
        assert_eq!(read(&[format!("15 {MID}")]), Ok(vec![]));
        assert_eq!(read(&[format!("16 {MID}")]).unwrap()[0].id, 16);
    }
}
