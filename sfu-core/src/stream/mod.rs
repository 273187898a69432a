//! (skeleton) stream
