//! Keys that stand beside a value's key, in its Redis Cluster slot.

use std::{fmt::Write as _, sync::LazyLock};

/// How many slots a Redis Cluster has.
const SLOTS: usize = 16384;

/// The key of the lease, which is the right to store under `key`, which begins with `prefix` (empty: none).
///
/// It lies in the slot of `key` whatever that looks like, keeps its prefix, so that an access rule `~prefix*` holds
/// for both, and is never a value's key, where no `%t` can stand.
pub(crate) fn lease_key(prefix: &str, key: &str) -> String {
    beside(prefix, key, "%t")
}

/// The key of the lock that lets one process at a time compute the value under `key`; otherwise as [`lease_key`].
pub(crate) fn lock_key(prefix: &str, key: &str) -> String {
    beside(prefix, key, "%l")
}

/// One to one for each mark: the three forms are told apart by where the mark stands and by whether the first `}`
/// ends the text.
fn beside(prefix: &str, key: &str, mark: &str) -> String {
    let mut out = String::with_capacity(prefix.len() + key.len() + 8);
    if hash_tag(key).is_some() {
        out.push_str(key);
        out.push_str(mark);
        return out;
    }
    // A prefix with a hash tag belongs to keys that have it too, which were answered above.
    if !prefix.is_empty() && !prefix.contains(['{', '}']) {
        out.push_str(prefix);
        out.push(':');
    }
    out.push_str(mark);
    // Writing to a `String` never fails.
    let _ = if key.is_empty() || key.contains('}') {
        // Braces round this key would enclose something else, so a number that hashes like it stands in for it.
        write!(out, ":{{{}}}:{key}", namesake(slot(key.as_bytes())))
    } else {
        write!(out, ":{{{key}}}")
    };
    out
}

/// What Redis Cluster hashes instead of the whole key, if the key says so.
fn hash_tag(key: &str) -> Option<&str> {
    let (_, rest) = key.split_once('{')?;
    let (tag, _) = rest.split_once('}')?;
    (!tag.is_empty()).then_some(tag)
}

/// The smallest number whose digits lie in `slot`.
pub(super) fn namesake(slot_wanted: u16) -> u32 {
    // Searched once for all slots: a search for one takes a millisecond, which each miss would pay.
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
        // All are there: the numbers below 109,758 lie in all slots.
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
