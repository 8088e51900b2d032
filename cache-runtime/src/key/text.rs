//! The text of a key, in memory that the thread's next key uses again.
//!
//! The one rule: **a text is taken out of its thread's store, not borrowed**: what writes it is user
//! code, which may call a cached function.

use std::{
    cell::Cell,
    fmt,
    ops::{Deref, DerefMut},
};

/// So many texts of a thread wait for their next use: more are only needed where calls wait.
const SPARE: usize = 4;

/// A text that became longer than this is not kept.
const LONGEST: usize = 1024;

/// What most keys have room in.
const USUAL: usize = 64;

thread_local! {
    static TEXTS: Cell<Vec<String>> = const { Cell::new(Vec::new()) };
}

/// A `String` whose memory goes to the thread's next one.
pub(crate) struct KeyText(String);

impl KeyText {
    /// An empty text.
    pub(crate) fn new() -> Self {
        let spare = TEXTS.try_with(|texts| {
            let mut spares = texts.take();
            let spare = spares.pop();
            texts.set(spares);
            spare
        });
        // As a thread ends, there are none left.
        let spare = spare.ok().flatten();
        Self(spare.unwrap_or_else(|| String::with_capacity(USUAL)))
    }
}

impl Drop for KeyText {
    fn drop(&mut self) {
        let mut text = std::mem::take(&mut self.0);
        if text.capacity() > LONGEST {
            return;
        }
        text.clear();
        // As a thread ends, nobody needs it.
        let _ = TEXTS.try_with(|texts| {
            let mut spares = texts.take();
            if spares.len() < SPARE {
                spares.push(text);
            }
            texts.set(spares);
        });
    }
}

impl Clone for KeyText {
    fn clone(&self) -> Self {
        let mut text = Self::new();
        text.push_str(self);
        text
    }
}

impl Deref for KeyText {
    type Target = String;
    fn deref(&self) -> &String {
        &self.0
    }
}

impl DerefMut for KeyText {
    fn deref_mut(&mut self) -> &mut String {
        &mut self.0
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The memory of the texts that wait on this thread.
    fn spares() -> Vec<usize> {
        let spares = TEXTS.take();
        let capacities = spares.iter().map(String::capacity).collect();
        TEXTS.set(spares);
        capacities
    }

    #[test]
    fn the_next_text_is_empty_and_in_the_same_memory() {
        let mut text = KeyText::new();
        text.push_str("users:42");
        drop(text);
        assert_eq!(spares(), [USUAL]);
        assert_eq!(KeyText::new().as_str(), "");
        let _text = KeyText::new();
        assert!(spares().is_empty());
    }

    #[test]
    fn few_texts_wait_and_no_long_ones() {
        drop([(); 2 * SPARE].map(|()| KeyText::new()));
        assert_eq!(spares(), [USUAL; SPARE]);
        let mut long = KeyText::new();
        long.push_str(&"x".repeat(LONGEST + 1));
        drop(long);
        assert_eq!(spares(), [USUAL; SPARE - 1]);
    }
}
