//! The reader: the grammar of the module above, from the text's side.

use super::{Canon, sorted};

/// Reads a piece up to `border`.
pub(super) fn read_piece(rest: &mut &str, border: Option<char>) -> String {
    let special = border.is_some_and(|border| border != ':');
    let mut raw = String::new();
    let mark = rest.strip_prefix('%').filter(|rest| !special_hex(rest));
    *rest = mark.unwrap_or(rest);
    while let Some(c) = rest.chars().next() {
        if Some(c) == border {
            break;
        }
        // Behind a mark, a border's own escaping comes off first; what is left is the plain form.
        let len = if c == '%' && (mark.is_none() || special) {
            3
        } else {
            c.len_utf8()
        };
        raw.push_str(&rest[..len]);
        *rest = &rest[len..];
    }
    if mark.is_none() {
        return unescape(&raw).expect("escapes are whole");
    }
    let text = if special {
        unescape(&raw).expect("escapes are whole")
    } else {
        raw
    };
    let read = match text.as_str() {
        "_" => Canon::Str(String::new()),
        _ => match text.strip_prefix('x') {
            Some(_) => read_argument(&format!("%{text}")).expect("bytes"),
            None => read_argument(&text).expect("the form of an argument"),
        },
    };
    format!("%{read:?}")
}

fn special_hex(text: &str) -> bool {
    text.starts_with(|c: char| matches!(c, '0'..='9' | 'A'..='F'))
}

/// Reads one argument of a default key. `None` if it is not the form of any.
pub(super) fn read_argument(text: &str) -> Option<Canon> {
    if text.starts_with(['(', '[', '.']) || text.starts_with("some(") || text.starts_with("%x") {
        let mut rest = text;
        let value = read_value(&mut rest)?;
        return rest.is_empty().then_some(value);
    }
    read_scalar(text)
}

fn read_scalar(text: &str) -> Option<Canon> {
    if text == "%_" {
        return Some(Canon::Str(String::new()));
    }
    if let Some(marked) = text.strip_prefix('~') {
        return Some(Canon::Str(unescape(marked)?));
    }
    let number = text.strip_suffix("f32").unwrap_or(text);
    let plain = matches!(text, "true" | "false" | "null") || number.parse::<f64>().is_ok();
    Some(if plain {
        Canon::Plain(text.to_owned())
    } else {
        Canon::Str(unescape(text)?)
    })
}

/// Reads a value inside brackets, up to whatever ends it.
fn read_value(rest: &mut &str) -> Option<Canon> {
    let take = |rest: &mut &str, prefix: &str| {
        rest.strip_prefix(prefix)
            .map(|after| *rest = after)
            .is_some()
    };
    if take(rest, "some(") {
        let value = read_value(rest)?;
        return take(rest, ")").then(|| Canon::Some(Box::new(value)));
    }
    if take(rest, "%x") {
        let hex = word(rest);
        let bytes = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok());
        return Some(Canon::Bytes(bytes.collect::<Option<_>>()?));
    }
    if take(rest, "()") {
        return Some(Canon::Unit);
    }
    if take(rest, ".") {
        let name = unescape(word(rest))?;
        if !rest.starts_with('(') {
            return Some(Canon::Variant(name, None));
        }
        // A list's end tells a tuple; without one, and without names, the brackets hold one value.
        let before = *rest;
        let content = match read_round(rest) {
            Some(content) => content,
            None => {
                *rest = &before[1..];
                let value = read_value(rest)?;
                if !take(rest, ")") {
                    return None;
                }
                Canon::Content(Box::new(value))
            }
        };
        return Some(Canon::Variant(name, Some(Box::new(content))));
    }
    if rest.starts_with('(') {
        return read_round(rest);
    }
    if take(rest, "[=]") {
        return Some(Canon::Map(Vec::new()));
    }
    if take(rest, "[") {
        let mut values = Vec::new();
        let mut entries = Vec::new();
        while !take(rest, "]") {
            if values.len() + entries.len() > 0 && !take(rest, ",") {
                return None;
            }
            let value = read_value(rest)?;
            if take(rest, "=") {
                entries.push((value, read_value(rest)?));
            } else {
                values.push(value);
            }
        }
        return match (values.is_empty(), entries.is_empty()) {
            (_, true) => Some(Canon::Seq(values)),
            (true, false) => Some(Canon::Map(sorted(entries))),
            (false, false) => None,
        };
    }
    match word(rest) {
        "" => None,
        text => read_scalar(text),
    }
}

/// Reads a tuple or a struct. `None` for one value alone, which only a variant has in such brackets.
fn read_round(rest: &mut &str) -> Option<Canon> {
    for (form, empty) in [
        ("(,)", Canon::Tuple(Vec::new())),
        ("(=)", Canon::Struct(Vec::new())),
    ] {
        if let Some(after) = rest.strip_prefix(form) {
            *rest = after;
            return Some(empty);
        }
    }
    *rest = rest.strip_prefix('(')?;
    let (mut values, mut fields) = (Vec::new(), Vec::new());
    loop {
        let before = *rest;
        let name = word(rest);
        if let Some(after) = rest.strip_prefix('=') {
            *rest = after;
            fields.push((unescape(name)?, read_value(rest)?));
        } else {
            *rest = before;
            values.push(read_value(rest)?);
        }
        let comma = rest.strip_prefix(',').map(|after| *rest = after).is_some();
        if let Some(after) = rest.strip_prefix(')') {
            *rest = after;
            return match (values.len(), fields.len()) {
                (1, 0) if comma => Some(Canon::Tuple(values)),
                (2.., 0) if !comma => Some(Canon::Tuple(values)),
                (0, 1..) if !comma => Some(Canon::Struct(fields)),
                _ => None,
            };
        }
        if !comma {
            return None;
        }
    }
}

/// What stands before the next character that has a meaning inside brackets.
fn word<'a>(rest: &mut &'a str) -> &'a str {
    let len = rest
        .find(['(', ')', '[', ']', ',', '='])
        .unwrap_or(rest.len());
    let (word, after) = rest.split_at(len);
    *rest = after;
    word
}

/// Percent escapes undone. `None` if one of them is not whole, in lower case, or not UTF-8.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let digits = rest.get(at + 1..at + 3)?;
        if digits.contains(|c: char| !matches!(c, '0'..='9' | 'A'..='F')) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[at + 3..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}
