//! Keys that stand beside a value's key, in its Redis Cluster slot.
//!
//! The one rule: **such a key lies in the slot of the value's key, and is never a value's key**, so that a script can touch
//! both and no value is taken for a lease.

use std::{fmt::Write as _, sync::LazyLock};

/// How many slots a Redis Cluster has.
const SLOTS: usize = 16384;

/// The key of the lease, which is the right to store under `key`. `prefix` is what `key` begins with (empty: none).
///
/// The lease's key has the same prefix, so that an access rule `~prefix*` holds for both. It is never a value's key,
/// because no `%t` can stand there.
pub(crate) fn lease_key(prefix: &str, key: &str) -> String {
    beside(prefix, key, "%t")
}

/// The key of the lock that lets one process at a time compute the value under `key`; otherwise as [`lease_key`].
pub(crate) fn lock_key(prefix: &str, key: &str) -> String {
    beside(prefix, key, "%l")
}

/// A key with this mark beside `key`. No two keys have the same one, because the place of the mark, and whether the first
/// `}` ends the text, tell the three forms apart.
fn beside(prefix: &str, key: &str, mark: &str) -> String {
    let mut out = String::with_capacity(prefix.len() + key.len() + 8);
    if hash_tag(key).is_some() {
        out.push_str(key);
        out.push_str(mark);
        return out;
    }
    // A prefix with a hash tag is not written, because keys with that prefix have the tag and were answered above.
    if !prefix.is_empty() && !prefix.contains(['{', '}']) {
        out.push_str(prefix);
        out.push(':');
    }
    out.push_str(mark);
    // Writing to a `String` never fails.
    let _ = if key.is_empty() || key.contains('}') {
        // A number that hashes like the key stands in for it, because braces round the key would enclose something else.
        write!(out, ":{{{}}}:{key}", namesake(slot(key.as_bytes())))
    } else {
        write!(out, ":{{{key}}}")
    };
    out
}

/// The part of a key that Redis Cluster hashes, if it is not the whole key.
fn hash_tag(key: &str) -> Option<&str> {
    let (_, rest) = key.split_once('{')?;
    let (tag, _) = rest.split_once('}')?;
    (!tag.is_empty()).then_some(tag)
}

/// The smallest number whose digits lie in `slot`.
pub(super) fn namesake(slot_wanted: u16) -> u32 {
    // Searched once for all slots, because each miss would pay a millisecond for the search of one.
    static NAMESAKES: LazyLock<Vec<u32>> = LazyLock::new(|| {
        let mut found = vec![None; SLOTS];
        let (mut missing, mut digits) = (SLOTS, String::new());
        for n in 0.. {
            if missing == 0 {
                break;
            }
            digits.clear();
            // Writing to a `String` never fails.
            let _ = write!(digits, "{n}");
            let first = &mut found[usize::from(slot(digits.as_bytes()))];
            if first.is_none() {
                *first = Some(n);
                missing -= 1;
            }
        }
        // No slot is left out, because the numbers below 109,758 lie in all slots.
        found.into_iter().flatten().collect()
    });
    NAMESAKES[usize::from(slot_wanted)]
}

/// The slot of bytes that hold no hash tag: CRC-16/XMODEM, as the Redis Cluster specification has it.
pub(super) fn slot(bytes: &[u8]) -> u16 {
    let crc = bytes.iter().fold(0u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            }
        })
    });
    crc % 16384
}
