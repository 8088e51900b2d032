//! What users may write into a key themselves.

/// Checks a `REDIS_KEY_PREFIX` or what the builder got in its place. Empty means none.
///
/// # Errors
///
/// What is wrong with it and what to write instead.
pub(crate) fn check_prefix(prefix: &str) -> Result<(), &'static str> {
    check_characters(prefix)?;
    check_hash_tag(prefix)
}

/// Checks a namespace that the user pinned.
///
/// # Errors
///
/// What is wrong with it and what to write instead.
pub(crate) fn check_namespace(namespace: &str) -> Result<(), &'static str> {
    if namespace.is_empty() {
        return Err("a namespace cannot be empty; write a name or remove the option");
    }
    if namespace.contains([':', '@', '<', '>']) {
        return Err("`:` `@` `<` and `>` separate the parts of a key; use `.` or `-`");
    }
    check_characters(namespace)?;
    check_hash_tag(namespace)
}

/// Checks a whole key that the user gives to `Cache::entry`: it may be any key but a token's or a lock's.
///
/// # Errors
///
/// What is wrong with it and what to write instead.
pub(crate) fn check_key(key: &str) -> Result<(), &'static str> {
    if key.is_empty() {
        return Err("a key cannot be empty; write a name");
    }
    if key.contains("%t") || key.contains("%l") {
        return Err(
            "a key cannot hold `%t` or `%l`, which name tokens and locks; write `%25` for `%`",
        );
    }
    Ok(())
}

fn check_characters(text: &str) -> Result<(), &'static str> {
    if text.contains('%') {
        return Err("`%` begins an escape; use another character");
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("no white space or control character can stand in it; use `-` or `_`");
    }
    Ok(())
}

/// Redis Cluster hashes what stands between the first `{` and the first `}` after it; anything else in braces would
/// hash otherwise than it reads.
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
