//! (skeleton) net
