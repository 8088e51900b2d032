//! Text that the server gets in the place of what its clients sent.

use crate::resp;

/// What is to be replaced, and how often that was done.
#[derive(Debug, Default)]
pub(super) struct Rewrites {
    texts: Vec<(Vec<u8>, Vec<u8>)>,
    done: u64,
}

impl Rewrites {
    pub(super) fn add(&mut self, old: &str, new: &str) {
        assert!(!old.is_empty(), "nothing cannot be found");
        self.texts.push((old.into(), new.into()));
    }

    pub(super) fn done(&self) -> u64 {
        self.done
    }

    /// A command as the server is to get it; `None`: as it was sent.
    pub(super) fn apply(&mut self, args: &[Vec<u8>]) -> Option<Vec<u8>> {
        if self.texts.is_empty() {
            return None;
        }
        let mut args = args.to_vec();
        let mut found = 0;
        for (old, new) in &self.texts {
            for arg in &mut args {
                found += replace(arg, old, new);
            }
        }
        self.done += found;
        (found > 0).then(|| resp::encode(&args))
    }
}

fn replace(text: &mut Vec<u8>, old: &[u8], new: &[u8]) -> u64 {
    let (mut at, mut found) = (0, 0);
    while let Some(next) = text[at..].windows(old.len()).position(|part| part == old) {
        at += next;
        text.splice(at..at + old.len(), new.iter().copied());
        at += new.len();
        found += 1;
    }
    found
}

/// A reply to `TIME` of a server whose clock is ahead by this many seconds; anything else as it is.
pub(super) fn later(reply: Vec<u8>, seconds: u64) -> Vec<u8> {
    let lines: Option<Vec<&str>> = std::str::from_utf8(&reply)
        .ok()
        .map(|text| text.split("\r\n").collect());
    let Some(["*2", _, second, _, micros, ""]) = lines.as_deref() else {
        return reply;
    };
    match second.parse::<u64>() {
        Ok(second) => resp::encode(&[
            (second + seconds).to_string().into_bytes(),
            (*micros).as_bytes().to_vec(),
        ]),
        Err(_) => reply,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_ahead() {
        let now = b"*2\r\n$3\r\n999\r\n$2\r\n12\r\n";
        let then = b"*2\r\n$4\r\n1004\r\n$2\r\n12\r\n";
        assert_eq!(later(now.to_vec(), 5), then);
        let refused = b"-NOPERM TIME\r\n";
        assert_eq!(later(refused.to_vec(), 5), refused);
    }

    fn args(words: &[&str]) -> Vec<Vec<u8>> {
        words.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn every_place_is_rewritten_and_nothing_else() {
        let mut rewrites = Rewrites::default();
        assert_eq!(rewrites.apply(&args(&["SET", "aa", "b"])), None);
        rewrites.add("a", "xa");
        let sent = rewrites.apply(&args(&["SET", "aa", "b"])).unwrap();
        assert_eq!(sent, b"*3\r\n$3\r\nSET\r\n$4\r\nxaxa\r\n$1\r\nb\r\n");
        assert_eq!(rewrites.apply(&args(&["GET", "b"])), None);
        assert_eq!(rewrites.done(), 2);
    }
}
