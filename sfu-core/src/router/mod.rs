//! (skeleton) router
