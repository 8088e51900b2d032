//! The text of a key, in memory that the thread's next key uses again.
//!
//! The one rule: **a text is taken out of its thread's store, not borrowed**, because user code writes it, and user code
//! may call a cached function.

use std::{
    cell::Cell,
    fmt,
    ops::{Deref, DerefMut},
};

/// How many texts a thread keeps for their next use. A thread needs more only where several of its calls wait.
const SPARE: usize = 4;

/// The most room, in bytes, with which a text is kept.
const LONGEST: usize = 1024;

/// The room of a new text, in bytes, which is enough for most keys.
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
        // A thread that ends has no store any more.
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
        // A thread that ends has no store any more, and needs no text.
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
