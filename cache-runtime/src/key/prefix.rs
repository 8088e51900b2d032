//! The prefix that may stand before every key.
//!
//! The one rule: **a prefix reads as it is written**: it holds no escape, and Redis Cluster sees the hash tag in it that
//! people see.

/// Checks a `REDIS_KEY_PREFIX`, or a prefix that the builder was given. An empty text means none.
///
/// # Errors
///
/// What is wrong with it and what to write instead.
pub(crate) fn check_prefix(prefix: &str) -> Result<(), &'static str> {
    check_characters(prefix)?;
    check_hash_tag(prefix)
}

/// How many bytes a prefix takes up in a key, with the `:` behind it.
pub(crate) fn len_in_key(prefix: &str) -> usize {
    match prefix {
        "" => 0,
        prefix => prefix.len() + ":".len(),
    }
}

fn check_characters(text: &str) -> Result<(), &'static str> {
    if text.contains('%') {
        return Err("it cannot hold `%`, which begins an escape; use another character");
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("it cannot hold white space or control characters; use `-` or `_`");
    }
    Ok(())
}

/// Refuses braces other than those of one hash tag, because Redis Cluster hashes the text between the first `{` and the
/// first `}` after it, and others would hash otherwise than they read.
fn check_hash_tag(text: &str) -> Result<(), &'static str> {
    const MEND: &str = "braces may only enclose one hash tag; write `{name}` or remove them";
    match text.split_once('{') {
        None if text.contains('}') => Err(MEND),
        None => Ok(()),
        Some((before, rest)) => match rest.split_once('}') {
            Some((tag, after))
                if !tag.is_empty() && ![before, tag, after].concat().contains(['{', '}']) =>
            {
                Ok(())
            }
            _ => Err(MEND),
        },
    }
}
