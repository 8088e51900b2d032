//! Where one command or one reply ends in a stream of bytes. Nothing is decoded further than that.

/// What the front of a buffer holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<T> {
    /// A whole one, and how many bytes it takes.
    Whole(T, usize),
    /// The beginning of one.
    Partial,
    /// Not Redis' protocol, TLS for example.
    Foreign,
}

/// Longer than any line that is not a bulk string.
const LONGEST_LINE: usize = 64 * 1024;

/// The first command of a client's stream.
pub(crate) fn command(buffer: &[u8]) -> Frame<Vec<Vec<u8>>> {
    match buffer.first() {
        None => Frame::Partial,
        Some(b'*') => array(buffer),
        Some(first) if first.is_ascii_alphabetic() || matches!(first, b'\r' | b'\n') => {
            inline(buffer)
        }
        Some(_) => Frame::Foreign,
    }
}

/// A command's bytes.
pub(crate) fn encode(args: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn array(buffer: &[u8]) -> Frame<Vec<Vec<u8>>> {
    let (count, mut at) = match line(buffer, 0) {
        Frame::Whole(line, next) => match number(&line[1..]) {
            Some(count) => (count, next),
            None => return Frame::Foreign,
        },
        Frame::Partial => return Frame::Partial,
        Frame::Foreign => return Frame::Foreign,
    };
    let mut args = Vec::new();
    for _ in 0..count {
        let (length, next) = match line(buffer, at) {
            Frame::Whole(line, next) => match line.split_first() {
                Some((b'$', digits)) => {
                    match number(digits).and_then(|n| usize::try_from(n).ok()) {
                        Some(length) => (length, next),
                        None => return Frame::Foreign,
                    }
                }
                _ => return Frame::Foreign,
            },
            Frame::Partial => return Frame::Partial,
            Frame::Foreign => return Frame::Foreign,
        };
        let Some(arg) = buffer.get(next..next + length) else {
            return Frame::Partial;
        };
        args.push(arg.to_vec());
        at = next + length + 2;
        if buffer.len() < at {
            return Frame::Partial;
        }
    }
    Frame::Whole(args, at)
}

fn inline(buffer: &[u8]) -> Frame<Vec<Vec<u8>>> {
    match buffer.iter().position(|byte| *byte == b'\n') {
        Some(end) => {
            let words = buffer[..end].split(u8::is_ascii_whitespace);
            Frame::Whole(
                words
                    .filter(|word| !word.is_empty())
                    .map(<[u8]>::to_vec)
                    .collect(),
                end + 1,
            )
        }
        None if buffer.len() > LONGEST_LINE => Frame::Foreign,
        None => Frame::Partial,
    }
}

/// The first reply (or push) of a server's stream, RESP2 or RESP3.
pub(crate) fn reply(buffer: &[u8]) -> Frame<()> {
    let mut at = 0;
    let mut missing: i64 = 1;
    while missing > 0 {
        let (header, next) = match line(buffer, at) {
            Frame::Whole(header, next) => (header, next),
            Frame::Partial => return Frame::Partial,
            Frame::Foreign => return Frame::Foreign,
        };
        at = next;
        missing -= 1;
        let Some((kind, rest)) = header.split_first() else {
            return Frame::Foreign;
        };
        match kind {
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => {}
            b'$' | b'!' | b'=' => match number(rest) {
                // -1 is RESP2's "nothing".
                Some(-1) => {}
                Some(length) => match usize::try_from(length) {
                    Ok(length) => at += length + 2,
                    Err(_) => return Frame::Foreign,
                },
                None => return Frame::Foreign,
            },
            b'*' | b'~' | b'>' => match number(rest) {
                Some(count) => missing += count.max(0),
                None => return Frame::Foreign,
            },
            b'%' => match number(rest) {
                Some(count) => missing += 2 * count.max(0),
                None => return Frame::Foreign,
            },
            // Attributes come before the reply that they describe.
            b'|' => match number(rest) {
                Some(count) => missing += 2 * count.max(0) + 1,
                None => return Frame::Foreign,
            },
            _ => return Frame::Foreign,
        }
        if buffer.len() < at {
            return Frame::Partial;
        }
    }
    Frame::Whole((), at)
}

/// The line that starts at `from`, without its end, and where the next one starts.
fn line(buffer: &[u8], from: usize) -> Frame<&[u8]> {
    let rest = buffer.get(from..).unwrap_or_default();
    match rest
        .windows(2)
        .take(LONGEST_LINE)
        .position(|pair| pair == b"\r\n")
    {
        Some(end) => Frame::Whole(&rest[..end], from + end + 2),
        None if rest.len() > LONGEST_LINE => Frame::Foreign,
        None => Frame::Partial,
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_whole_only_with_its_last_byte() {
        let bytes = b"*2\r\n$3\r\nGET\r\n$3\r\na\r\n\r\n";
        for cut in 0..bytes.len() {
            assert_eq!(command(&bytes[..cut]), Frame::Partial, "cut at {cut}");
        }
        let args = vec![b"GET".to_vec(), b"a\r\n".to_vec()];
        assert_eq!(command(bytes), Frame::Whole(args, bytes.len()));
        assert_eq!(
            command(b"PING x\r\nPING"),
            Frame::Whole(vec![b"PING".to_vec(), b"x".to_vec()], 8)
        );
        assert_eq!(command(b"\x16\x03\x01"), Frame::Foreign);
    }

    #[test]
    fn a_reply_is_whole_only_with_its_last_byte() {
        let replies: [&[u8]; 11] = [
            b"+OK\r\n",
            b"-ERR no\r\n",
            b":7\r\n",
            b"$-1\r\n",
            b"$4\r\n\r\n\r\n\r\n",
            b"_\r\n",
            b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
            b"*-1\r\n",
            b"%1\r\n+a\r\n#t\r\n",
            b">2\r\n+invalidate\r\n*1\r\n$1\r\na\r\n",
            b"|1\r\n+ttl\r\n:3\r\n$1\r\nx\r\n",
        ];
        for bytes in replies {
            for cut in 0..bytes.len() {
                assert_eq!(
                    reply(&bytes[..cut]),
                    Frame::Partial,
                    "{bytes:?} cut at {cut}"
                );
            }
            let more = [bytes, b"+NEXT\r\n"].concat();
            assert_eq!(reply(&more), Frame::Whole((), bytes.len()), "{bytes:?}");
        }
        assert_eq!(reply(b"\x15\x03\r\n"), Frame::Foreign);
    }
}
