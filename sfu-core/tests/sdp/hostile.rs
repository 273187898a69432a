//! Offers that nobody meant to write: they are answered or refused, and never do more.

use proptest::prelude::*;
use sfu_core::sdp::Negotiator;

use crate::support::{OFFERS, answer, fixture, negotiator, parse, reparse};

/// What happens to an offer. Positions are taken modulo what there is.
#[derive(Debug, Clone)]
enum Mutation {
    Delete(usize),
    Duplicate(usize),
    Move(usize, usize),
    /// Cuts a line after so many characters.
    Cut(usize, usize),
    /// Puts characters into a line.
    Insert(usize, usize, String),
    /// Ends the text after a line.
    End(usize),
}

impl Mutation {
    fn apply(&self, lines: &mut Vec<String>) {
        let count = lines.len().max(1);
        match *self {
            _ if lines.is_empty() => {}
            Self::Delete(at) => drop(lines.remove(at % count)),
            Self::Duplicate(at) => lines.insert(at % count, lines[at % count].clone()),
            Self::Move(from, to) => {
                let line = lines.remove(from % count);
                lines.insert(to % count, line);
            }
            Self::Cut(at, chars) => {
                let line = &mut lines[at % count];
                *line = line.chars().take(chars % (line.len() + 1)).collect();
            }
            Self::Insert(at, chars, ref text) => {
                let line = &mut lines[at % count];
                let (head, tail): (String, String) = {
                    let split = chars % (line.chars().count() + 1);
                    (line.chars().take(split).collect(), line.chars().skip(split).collect())
                };
                *line = head + text + &tail;
            }
            Self::End(at) => lines.truncate(at % count),
        }
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let inserted = prop_oneof![
        "[0-9]{1,10}",
        "[ ;:,/~=*-]{1,3}",
        "(send|recv|only|a=|m=|\r|\r\n|\n|\0|é|\u{85}|🦀)",
        any::<String>(),
    ];
    prop_oneof![
        4 => any::<usize>().prop_map(Mutation::Delete),
        4 => any::<usize>().prop_map(Mutation::Duplicate),
        4 => any::<(usize, usize)>().prop_map(|(from, to)| Mutation::Move(from, to)),
        2 => any::<(usize, usize)>().prop_map(|(at, chars)| Mutation::Cut(at, chars)),
        4 => (any::<usize>(), any::<usize>(), inserted).prop_map(|(at, chars, text)| Mutation::Insert(at, chars, text)),
        1 => any::<usize>().prop_map(Mutation::End),
    ]
}

fn mutated(name: &str, mutations: &[Mutation]) -> String {
    let mut lines: Vec<String> = fixture(name).lines().map(String::from).collect();
    mutations.iter().for_each(|mutation| mutation.apply(&mut lines));
    lines.iter().map(|line| format!("{line}\r\n")).collect()
}

/// An answer is SDP with the offer's m-lines in their order and only numbers of the offer; an error changes nothing.
fn check(negotiator: &mut Negotiator, text: &str) -> Result<bool, TestCaseError> {
    let before = negotiator.clone();
    let Ok(offer) = parse(text) else { return Ok(false) };
    let Ok(answer) = answer(negotiator, &offer) else {
        prop_assert_eq!(&*negotiator, &before, "an error changed the negotiator");
        return Ok(false);
    };
    let (asked, said) = (reparse(text), reparse(&answer.to_string()));
    prop_assert_eq!(asked.media_descriptions.len(), said.media_descriptions.len());
    for (asked, said) in asked.media_descriptions.iter().zip(&said.media_descriptions) {
        prop_assert_eq!(&asked.media_name.media, &said.media_name.media);
        prop_assert_eq!(&asked.media_name.protos, &said.media_name.protos);
        let known = said.media_name.formats.iter().all(|format| {
            asked
                .media_name
                .formats
                .iter()
                .any(|asked| asked == format || asked.parse::<u8>().ok() == format.parse().ok())
        });
        prop_assert!(known, "{:?} not in {:?}", said.media_name.formats, asked.media_name.formats);
        let mid =
            |lines: &rtc::sdp::MediaDescription| lines.attribute("mid").flatten().map(|mid| mid.trim().to_owned());
        prop_assert_eq!(mid(asked), mid(said));
    }
    Ok(true)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn mutated_offers_are_answered_or_refused(
        name in prop::sample::select(OFFERS.to_vec()),
        mutations in prop::collection::vec(mutation(), 0..4),
    ) {
        check(&mut negotiator(), &mutated(name, &mutations))?;
    }

    #[test]
    fn mutated_sessions_are_answered_or_refused(
        browser in prop::sample::select(vec!["chromium", "firefox"]),
        steps in prop::collection::vec((1..=3, prop::collection::vec(mutation(), 0..3)), 1..5),
    ) {
        let mut negotiator = negotiator();
        for (number, mutations) in steps {
            check(&mut negotiator, &mutated(&format!("{browser}-session-{number}"), &mutations))?;
        }
    }

    #[test]
    fn any_text_is_refused(text in any::<String>()) {
        prop_assert!(parse(&text).is_err());
    }
}

/// Without mutations `check` is not vacuous.
#[test]
fn fixtures_are_answered() {
    for name in OFFERS {
        assert!(check(&mut negotiator(), &fixture(name)).unwrap(), "{name}");
    }
}
