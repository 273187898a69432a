//! Asks the processor for memory that is needed soon.
//!
//! A packet to fifty subscribers touches many cache lines of each, which the kernel's work for the packet before has mostly
//! pushed out. The address of one is often found in another, so that they would be waited for one after the other. Who walks
//! along subscribers therefore asks for what is needed of those ahead: first for what is theirs, and nearer to them for what
//! that points to (see [`Distance`]). What came of it is in docs/performance.md.
//!
//! On processors other than x86-64 nothing is asked for: Rust has no stable intrinsic there.

#![allow(unsafe_code)]

/// How long it is until something is needed, and so which part of it can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distance {
    /// The thing itself.
    Far,
    /// What it points to: the thing itself was asked for before.
    Near,
}

/// A cache line.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;

/// Asks for all of `value`, though not for what it points to.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn prefetch<T>(value: &T) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

    let start = std::ptr::from_ref(value).cast::<i8>();
    // SAFETY: a prefetch reads and writes nothing as far as a program can tell, and of no address does it fault; those here
    // are inside of `value`. All x86-64 processors have it.
    let line_at = |offset| unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(offset)) };
    let mut offset = 0;
    while offset < size_of::<T>() {
        line_at(offset);
        offset += LINE;
    }
    // A value may begin in the middle of a line and end in one more than its length says.
    line_at(size_of::<T>().saturating_sub(1));
}

/// Asks for nothing.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(crate) fn prefetch<T>(_value: &T) {}
