//! The encodings of an m-line: by RID (`a=rid`, RFC 8851; `a=simulcast`, RFC 8853), and by SSRC (RFC 5576).

use crate::id::{Mid, Rid, Ssrc};

use super::error::NegotiationError;
use super::limits::{MAX_RIDS, MAX_SSRCS};

/// A simulcast encoding that the client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfferedRid {
    /// Its name.
    pub rid: Rid,
    /// Whether it starts paused (`~`).
    pub paused: bool,
}

/// `a=rid:{id} send` and `a=simulcast:send ..`, while they are read.
#[derive(Debug, Default)]
pub(super) struct Rids<'a> {
    declared: Vec<Rid>,
    simulcast: Option<&'a str>,
}

impl<'a> Rids<'a> {
    /// `a=rid:{value}`. Restrictions after the direction do not bind a receiver.
    pub(super) fn note_rid(&mut self, value: &str, mid: Mid) -> Result<(), NegotiationError> {
        let mut words = value.split_whitespace();
        let (Some(name), Some(direction)) = (words.next(), words.next()) else {
            return Err(NegotiationError::malformed("a=rid"));
        };
        let rid = rid(name)?;
        if direction != "send" {
            return Ok(());
        }
        if self.declared.contains(&rid) {
            return Err(NegotiationError::contradiction(format!("the rid {rid} is declared twice")));
        }
        if self.declared.len() == MAX_RIDS {
            return Err(NegotiationError::TooManyStreams(mid));
        }
        self.declared.push(rid);
        Ok(())
    }

    /// `a=simulcast:{value}`
    pub(super) fn note_simulcast(&mut self, value: &'a str) -> Result<(), NegotiationError> {
        if self.simulcast.replace(value).is_some() {
            return Err(NegotiationError::contradiction("a=simulcast is there twice"));
        }
        Ok(())
    }

    /// The encodings in the order of `a=simulcast`; of alternatives, the first that is declared. Names without `a=rid`
    /// are skipped (RFC 8853 section 5.2). Without `a=simulcast`, a single declared RID.
    pub(super) fn finish(self) -> Result<Vec<OfferedRid>, NegotiationError> {
        let Some(simulcast) = self.simulcast else {
            let only = (self.declared.len() == 1).then(|| OfferedRid { rid: self.declared[0], paused: false });
            return Ok(only.into_iter().collect());
        };
        let mut found: Vec<OfferedRid> = Vec::new();
        for alternatives in sent(simulcast)?.into_iter().flat_map(|streams| streams.split(';')) {
            let Some(offered) = self.first_declared(alternatives)? else { continue };
            if found.iter().any(|other| other.rid == offered.rid) {
                return Err(NegotiationError::contradiction(format!("a=simulcast lists {} twice", offered.rid)));
            }
            found.push(offered);
        }
        Ok(found)
    }

    fn first_declared(&self, alternatives: &str) -> Result<Option<OfferedRid>, NegotiationError> {
        for name in alternatives.split(',') {
            let unpaused = name.strip_prefix('~');
            let rid = rid(unpaused.unwrap_or(name))?;
            if self.declared.contains(&rid) {
                return Ok(Some(OfferedRid { rid, paused: unpaused.is_some() }));
            }
        }
        Ok(None)
    }
}

/// The streams after `send` of an `a=simulcast` value.
fn sent(simulcast: &str) -> Result<Option<&str>, NegotiationError> {
    let words: Vec<&str> = simulcast.split_whitespace().take(5).collect();
    match words[..] {
        ["send", streams] | ["send", streams, "recv", _] | ["recv", _, "send", streams] => Ok(Some(streams)),
        ["recv", _] => Ok(None),
        _ => Err(NegotiationError::malformed("a=simulcast")),
    }
}

/// A rid-id: letters, digits, `-` and `_` (RFC 8851 section 10), 1 to 16 of them.
fn rid(name: &str) -> Result<Rid, NegotiationError> {
    let legal = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    Rid::new(name).filter(|_| legal).ok_or_else(|| NegotiationError::malformed(format!("rid {name}")))
}

/// `a=ssrc` and `a=ssrc-group`, while they are read.
#[derive(Debug, Default)]
pub(super) struct Ssrcs {
    listed: Vec<Ssrc>,
    /// A stream and what retransmits or protects it.
    pairs: Vec<(Ssrc, Ssrc)>,
    repairs: Vec<Ssrc>,
    /// The encodings of a simulcast without RIDs, in the group's order.
    simulcast: Vec<Ssrc>,
}

impl Ssrcs {
    /// `a=ssrc:{value}`
    pub(super) fn note_ssrc(&mut self, value: &str, mid: Mid) -> Result<(), NegotiationError> {
        let ssrc = ssrc(value.split_whitespace().next().unwrap_or_default())?;
        if !self.listed.contains(&ssrc) {
            if self.listed.len() == MAX_SSRCS {
                return Err(NegotiationError::TooManyStreams(mid));
            }
            self.listed.push(ssrc);
        }
        Ok(())
    }

    /// `a=ssrc-group:{value}`. FID pairs a stream with its retransmissions, FEC-FR with a
    /// repair stream, which is none of its own; SIM lists the encodings of a simulcast, from the smallest, as clients did before
    /// there were RIDs. Other groups do not matter here.
    pub(super) fn note_group(&mut self, value: &str, mid: Mid) -> Result<(), NegotiationError> {
        let mut words = value.split_whitespace();
        let semantics = words.next().unwrap_or_default();
        if semantics == "SIM" {
            return self.note_simulcast(words, mid);
        }
        if semantics != "FID" && semantics != "FEC-FR" {
            return Ok(());
        }
        let (Some(primary), Some(repair), None) = (words.next(), words.next(), words.next()) else {
            return Err(NegotiationError::contradiction(format!("an {semantics} group is not of two SSRCs")));
        };
        let (primary, repair) = (ssrc(primary)?, ssrc(repair)?);
        if self.repairs.len() == MAX_SSRCS {
            return Err(NegotiationError::TooManyStreams(mid));
        }
        let taken = primary == repair || self.repairs.contains(&repair) || self.repairs.contains(&primary);
        let twice = semantics == "FID" && self.pairs.iter().any(|(known, _)| *known == primary || *known == repair);
        if taken || twice {
            return Err(NegotiationError::contradiction(format!("an SSRC is in two {semantics} groups")));
        }
        self.repairs.push(repair);
        if semantics == "FID" {
            self.pairs.push((primary, repair));
        }
        Ok(())
    }

    fn note_simulcast<'w>(&mut self, words: impl Iterator<Item = &'w str>, mid: Mid) -> Result<(), NegotiationError> {
        if !self.simulcast.is_empty() {
            return Err(NegotiationError::contradiction("there are two SIM groups"));
        }
        for word in words {
            let ssrc = ssrc(word)?;
            if self.simulcast.contains(&ssrc) {
                return Err(NegotiationError::contradiction(format!("the SIM group lists SSRC {} twice", ssrc.0)));
            }
            if self.simulcast.len() == MAX_SSRCS {
                return Err(NegotiationError::TooManyStreams(mid));
            }
            self.simulcast.push(ssrc);
        }
        Ok(())
    }

    /// Each primary SSRC with its retransmission's: the encodings of a simulcast first, in the order of its group, then the others in
    /// the order of the offer. The number is that of the encodings.
    pub(super) fn finish(self) -> (Vec<(Ssrc, Option<Ssrc>)>, usize) {
        let rtx = |ssrc| self.pairs.iter().find(|(primary, _)| *primary == ssrc).map(|(_, rtx)| *rtx);
        let simulcast = self.simulcast.iter().filter(|ssrc| !self.repairs.contains(ssrc));
        let others = self.listed.iter().filter(|ssrc| !self.repairs.contains(ssrc) && !self.simulcast.contains(ssrc));
        let encodings = simulcast.clone().count();
        (simulcast.chain(others).map(|ssrc| (*ssrc, rtx(*ssrc))).collect(), encodings)
    }
}

fn ssrc(text: &str) -> Result<Ssrc, NegotiationError> {
    text.parse().map(Ssrc).map_err(|_| NegotiationError::malformed(format!("SSRC {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mid() -> Mid {
        Mid::new("1").unwrap()
    }

    fn rids(declared: &[&str], simulcast: &str) -> Result<Vec<(String, bool)>, &'static str> {
        let mut rids = Rids::default();
        let read = (|| {
            declared.iter().try_for_each(|value| rids.note_rid(value, mid()))?;
            rids.note_simulcast(simulcast)?;
            rids.finish()
        })();
        let read = read.map_err(|error: NegotiationError| error.code())?;
        Ok(read.into_iter().map(|rid| (rid.rid.to_string(), rid.paused)).collect())
    }

    #[test]
    fn encodings_keep_the_order_of_the_simulcast_line() {
        let declared = ["f send", "q send pt=96;max-width=320", "h send", "x recv"];
        let expected = vec![("q".into(), true), ("h".into(), false), ("f".into(), false)];
        assert_eq!(rids(&declared, "send ~q;h,f;f"), Ok(expected.clone()));
        assert_eq!(rids(&declared, "recv x send ~q;h;f"), Ok(expected));
        assert_eq!(rids(&declared, "send x;nobody"), Ok(vec![]));
        assert_eq!(rids(&declared, "recv x"), Ok(vec![]));
    }

    #[test]
    fn broken_simulcast_is_refused() {
        assert_eq!(rids(&["q send", "q send"], "send q"), Err("sdp_contradiction"));
        assert_eq!(rids(&["q send"], "send q;q"), Err("sdp_contradiction"));
        assert_eq!(rids(&["q send"], "send"), Err("sdp_malformed"));
        assert_eq!(rids(&["q send"], "send q;;"), Err("sdp_malformed"));
        assert_eq!(rids(&["a=b send"], "send q"), Err("sdp_malformed"));
        let many: Vec<String> = (0..7).map(|index| format!("{index} send")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(rids(&many, "send 0"), Err("sdp_too_many_streams"));
    }

    fn ssrcs(listed: &[&str], groups: &[&str]) -> Result<Vec<(Ssrc, Option<Ssrc>)>, &'static str> {
        let mut ssrcs = Ssrcs::default();
        let read = (|| {
            listed.iter().try_for_each(|value| ssrcs.note_ssrc(value, mid()))?;
            groups.iter().try_for_each(|value| ssrcs.note_group(value, mid()))
        })();
        read.map_err(|error: NegotiationError| error.code())?;
        Ok(ssrcs.finish().0)
    }

    #[test]
    fn a_sim_group_gives_the_order_of_encodings() {
        let read = ssrcs(&["9 cname:a", "3 cname:a"], &["FID 3 13", "SIM 3 2 1", "FID 1 11"]);
        let expected = [(3, Some(13)), (2, None), (1, Some(11)), (9, None)];
        assert_eq!(read, Ok(expected.map(|(ssrc, rtx): (u32, Option<u32>)| (Ssrc(ssrc), rtx.map(Ssrc))).to_vec()));
        assert_eq!(ssrcs(&[], &["SIM 1 1"]), Err("sdp_contradiction"));
        assert_eq!(ssrcs(&[], &["SIM 1 2", "SIM 3 4"]), Err("sdp_contradiction"));
        assert_eq!(ssrcs(&[], &["SIM x"]), Err("sdp_malformed"));
    }

    #[test]
    fn streams_have_their_retransmissions() {
        let read = ssrcs(&["1 cname:a", "1 msid:b", "2 cname:a", "3 cname:a", "4 cname:a"], &["FID 1 3", "FEC-FR 1 4"]);
        assert_eq!(read, Ok(vec![(Ssrc(1), Some(Ssrc(3))), (Ssrc(2), None)]));
    }

    #[test]
    fn contradictory_groups_are_refused() {
        assert_eq!(ssrcs(&[], &["FID 1 2", "FID 1 3"]), Err("sdp_contradiction"));
        assert_eq!(ssrcs(&[], &["FID 1 2", "FID 2 3"]), Err("sdp_contradiction"));
        assert_eq!(ssrcs(&[], &["FID 1 2", "FID 3 1"]), Err("sdp_contradiction"));
        assert_eq!(ssrcs(&[], &["FID 1 1"]), Err("sdp_contradiction"));
        assert_eq!(ssrcs(&[], &["FID 1"]), Err("sdp_contradiction"));
        assert_eq!(ssrcs(&["x cname:a"], &[]), Err("sdp_malformed"));
    }
}
