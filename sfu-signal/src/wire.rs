//! JSON in, JSON out.

use serde::Deserialize;

use crate::error::{ErrorCode, SignalError};
use crate::protocol::{ClientMessage, Reply, ServerMessage, WireError};

/// Reads a client's message. Total: any text is a message or a typed error, and the work is bounded by its length.
pub fn decode(text: &str) -> Result<ClientMessage, WireError> {
    serde_json::from_str(text).map_err(|error| {
        // Where, and not what: serde's text may quote the input, and a join's secret is nobody's business.
        let place = format!("not a message of docs/protocol.md (line {}, column {})", error.line(), error.column());
        SignalError::new(ErrorCode::BadRequest, place).into()
    })
}

/// The `id` of a text that [`decode`] refused, so that its error can carry it. 0: it has none.
pub(crate) fn message_id(text: &str) -> u32 {
    #[derive(Deserialize)]
    struct Id {
        id: u32,
    }
    serde_json::from_str::<Id>(text).map(|message| message.id).unwrap_or(0)
}

/// A reply's text.
pub(crate) fn encode_reply(id: u32, reply: Reply) -> String {
    serde_json::to_string(&ServerMessage::Reply { id, reply })
        .expect("replies have string keys and finite numbers or null")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_is_a_message_or_an_error(text: String) {
            if decode(&text).is_err() {
                message_id(&text);
            }
        }

        #[test]
        fn any_members_are_a_message_or_an_error(kind in "[a-z_]{0,12}", id: u64, tail in "[^\\x00-\\x1f]{0,40}") {
            let text = format!("{{\"id\":{id},\"type\":\"{kind}\",\"track\":{tail:?}}}");
            let _ = decode(&text);
        }
    }

    #[test]
    fn errors_do_not_quote_their_input() {
        let error = decode(r#"{"id":1,"type":"resume","secret":"hush","session":[]}"#).unwrap_err();
        assert!(!error.message.contains("hush"));
        assert_eq!(message_id(r#"{"id":7,"type":"no such type"}"#), 7);
        assert_eq!(message_id("[]"), 0);
    }
}
