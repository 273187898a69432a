//! (skeleton) rtcp
