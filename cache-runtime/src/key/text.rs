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
    static TEXTS: Texts = const {
        Texts {
            next: Cell::new(String::new()),
            others: Cell::new(Vec::new()),
        }
    };
}

/// The texts that wait on a thread for their next use.
struct Texts {
    /// The one that is used first. Without room where there is none, and then there are no others.
    next: Cell<String>,
    others: Cell<Vec<String>>,
}

/// A `String` whose memory goes to the thread's next one.
pub(crate) struct KeyText(String);

impl KeyText {
    /// An empty text.
    #[inline]
    pub(crate) fn new() -> Self {
        // A thread that ends has no store any more.
        let next = TEXTS.try_with(|texts| texts.next.take());
        match next {
            Ok(next) if next.capacity() > 0 => Self(next),
            Ok(_) | Err(_) => Self::another(),
        }
    }

    #[cold]
    fn another() -> Self {
        let other = TEXTS.try_with(|texts| {
            let mut others = texts.others.take();
            let other = others.pop();
            texts.others.set(others);
            other
        });
        let other = other.ok().flatten();
        Self(other.unwrap_or_else(|| String::with_capacity(USUAL)))
    }
}

impl Drop for KeyText {
    #[inline]
    fn drop(&mut self) {
        let mut text = std::mem::take(&mut self.0);
        if text.capacity() > LONGEST {
            return;
        }
        text.clear();
        // A thread that ends has no store any more, and needs no text.
        let _ = TEXTS.try_with(|texts| {
            let other = texts.next.replace(text);
            if other.capacity() > 0 {
                texts.keep(other);
            }
        });
    }
}

impl Texts {
    #[cold]
    fn keep(&self, other: String) {
        let mut others = self.others.take();
        if others.len() < SPARE - 1 {
            others.push(other);
        }
        self.others.set(others);
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
        TEXTS.with(|texts| {
            let (next, others) = (texts.next.take(), texts.others.take());
            let waits = |text: &&String| text.capacity() > 0;
            let next_first = [&next].into_iter().filter(waits).chain(&others);
            let capacities = next_first.map(String::capacity).collect();
            texts.next.set(next);
            texts.others.set(others);
            capacities
        })
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
