//! Escapes within keys.
//!
//! The one rule: **a string never holds a character that means something where the string stands.**

/// Whether a string escapes this character wherever it stands. A test pins the set, because `is_whitespace`
/// follows Unicode.
pub(super) fn always(c: char) -> bool {
    matches!(c, ':' | '%' | '{' | '}') || c.is_control() || c.is_whitespace()
}

/// Whether a string inside brackets escapes this character.
pub(super) fn in_brackets(c: char) -> bool {
    matches!(c, '(' | ')' | '[' | ']' | ',' | '=' | '~') || always(c)
}

/// For each byte, whether a character that begins with it may be escaped somewhere: most texts hold none such, and a
/// character is several times dearer to look at.
pub(super) static MAY_BE_ESCAPED: [bool; 256] = {
    let mut table = [true; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        table[byte as usize] = !byte.is_ascii_graphic()
            || matches!(
                byte,
                b':' | b'%' | b'{' | b'}' | b'(' | b')' | b'[' | b']' | b',' | b'=' | b'~'
            );
        byte += 1;
    }
    table
};

/// The place of the first byte with which a character begins that may be escaped.
fn first_to_look_at(bytes: &[u8]) -> Option<usize> {
    let may_be_escaped = |byte: &u8| MAY_BE_ESCAPED[usize::from(*byte)];
    // Eight at a time, because a step of a loop costs more than a look at a byte.
    let (eights, _) = bytes.as_chunks::<8>();
    let is_plain = |eight: &&[u8; 8]| {
        !eight
            .iter()
            .fold(false, |any, byte| any | may_be_escaped(byte))
    };
    let plain = 8 * eights.iter().take_while(is_plain).count();
    let next = bytes[plain..].iter().position(may_be_escaped);
    next.map(|next| plain + next)
}

/// Appends `text`, its characters percent-escaped where `special` says so.
pub(super) fn push(text: &str, special: impl Fn(char) -> bool, out: &mut String) {
    let (mut plain, mut at) = (0, 0);
    while let Some(next) = first_to_look_at(&text.as_bytes()[at..]) {
        at += next;
        // Characters that are not ASCII seldom stand alone.
        for c in text[at..].chars() {
            let begin = at;
            at += c.len_utf8();
            if special(c) {
                out.push_str(&text[plain..begin]);
                push_char(c, out);
                plain = at;
            } else if c.is_ascii() {
                break;
            }
        }
    }
    out.push_str(&text[plain..]);
}

/// Appends a character, percent-escaped.
fn push_char(c: char, out: &mut String) {
    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
        out.push('%');
        hex(byte, b"0123456789ABCDEF", out);
    }
}

/// Reads the escaped character that `text` begins with, in the form in which it is written, and what follows it.
pub(super) fn read(text: &str) -> Option<(char, &str)> {
    let mut bytes = [0; 4];
    let mut rest = text;
    for len in 1..=bytes.len() {
        let digits = rest.strip_prefix('%')?.get(..2)?;
        if digits.contains(|c| !matches!(c, '0'..='9' | 'A'..='F')) {
            return None;
        }
        bytes[len - 1] = u8::from_str_radix(digits, 16).ok()?;
        rest = &rest[3..];
        if let Ok(read) = std::str::from_utf8(&bytes[..len]) {
            return read.chars().next().map(|c| (c, rest));
        }
    }
    None
}

/// Appends two hexadecimal digits.
pub(super) fn hex(byte: u8, digits: &[u8; 16], out: &mut String) {
    out.push(char::from(digits[usize::from(byte >> 4)]));
    out.push(char::from(digits[usize::from(byte & 15)]));
}

/// The character that a template's piece before `literal` must not hold; `None` if pieces never hold it.
pub(super) fn border(literal: &str) -> Option<char> {
    if literal.chars().any(always) {
        return None;
    }
    literal.chars().next()
}

/// Rewrites the template's piece that begins at `start` so that no `border` is in it, still one to one.
pub(super) fn keep_apart(start: usize, border: char, out: &mut String) {
    let piece = &out[start..];
    // Looked at first, because most pieces stay as they are.
    if piece.contains(border) || piece.contains('%') {
        let piece = out.split_off(start);
        apart(&piece, border, out);
    }
}

/// Appends a template's piece without any `border` in it.
///
/// A mark (`%` without two upper-case hexadecimal digits) stands only at the beginning. The text after a mark is escaped
/// as a whole, `%` too, because the border may be part of its syntax. A scalar holds only escapes and plain characters.
fn apart(text: &str, border: char, out: &mut String) {
    let mut chars = text.chars();
    if let Some(rest) = text.strip_prefix('%')
        && !rest.starts_with(|c: char| matches!(c, '0'..='9' | 'A'..='F'))
    {
        out.push('%');
        for c in rest.chars() {
            if c == border || c == '%' {
                push_char(c, out);
            } else {
                out.push(c);
            }
        }
        return;
    }
    while let Some(c) = chars.next() {
        if c == '%' {
            out.push(c);
            out.extend(chars.by_ref().take(2));
        } else if c == border {
            push_char(c, out);
        } else {
            out.push(c);
        }
    }
}
