//! Where a server is: `REDIS_URL` taken apart, and the check of a host's name.
//!
//! The one rule: **no message here quotes a URL, nor any part of it but its scheme**, because a URL may hold a
//! password, and a URL that cannot be read may hold it anywhere.

use std::net::{IpAddr, Ipv6Addr};

use crate::auth::Secret;

/// The parts of a URL; `None` for a part that it does not have.
#[derive(Debug, PartialEq)]
pub(super) struct Address {
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) db: Option<u32>,
}

const FORM: &str = "write `redis://user:password@host:port/db`, or `rediss://…` for TLS";

/// Takes a URL apart; the error is the rest of a sentence that begins with the setting's name.
pub(super) fn parse(text: &str) -> Result<Address, String> {
    let url = url::Url::parse(text).map_err(|error| {
        format!(
            "cannot be read ({error}); {FORM}, with `%40` for an `@` in the password, and the like for `:` `/` `?` `#` `%`"
        )
    })?;
    let tls = match url.scheme() {
        "redis" => false,
        "rediss" => true,
        // `user:password@host` has a scheme too, by its form: what stands before `://` is no password.
        scheme if url.has_authority() => return Err(format!("has the scheme `{scheme}`; {FORM}")),
        _ => return Err(format!("has no scheme; {FORM}")),
    };
    let host = match url.host_str() {
        None | Some("") => return Err(format!("has no host; {FORM}")),
        Some(host) => check_host(host).map_err(|what| format!("has a host that {what}"))?,
    };
    if url.port() == Some(0) {
        return Err("has the port 0; the port is a number from 1 to 65535".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!(
            "has a part after `?` or `#`, of which there is none; {FORM}, with `%3F` for a `?` and `%23` for a `#` in the password"
        ));
    }
    let db = match url.path() {
        "" | "/" => None,
        path => Some(path[1..].parse().map_err(|_| {
            "has a path that is no database; the path is the database's number, for example `/2`".to_owned()
        })?),
    };
    Ok(Address {
        tls,
        host,
        port: url.port(),
        username: decoded(url.username())?,
        password: url
            .password()
            .map(decoded)
            .transpose()?
            .flatten()
            .map(Secret::new),
        db,
    })
}

/// A part of the user information without its percent escapes; nothing if it is empty.
fn decoded(text: &str) -> Result<Option<String>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        match rest {
            [b'%', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(hex(*high) << 4 | hex(*low));
                rest = tail;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Ok(Some(text)),
        Err(_) => Err("has a user or password whose percent escapes are not UTF-8".to_owned()),
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => digit.to_ascii_lowercase() - b'a' + 10,
    }
}

/// The host's name or address, an IPv6 address without its brackets; the error is the rest of a sentence.
pub(super) fn check_host(text: &str) -> Result<String, &'static str> {
    let unbracketed = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    if unbracketed.unwrap_or(text).parse::<Ipv6Addr>().is_ok() {
        return Ok(unbracketed.unwrap_or(text).to_owned());
    }
    if text.contains("://") || text.contains('@') {
        return Err("is a URL; a URL goes into `REDIS_URL`");
    }
    if let Some((host, port)) = text.rsplit_once(':')
        && !host.contains(':')
        && port.parse::<u16>().is_ok()
    {
        return Err("holds a port; the port goes into `REDIS_PORT`");
    }
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.len() > 253 || !text.chars().all(named) || text.starts_with('.') || text.contains("..")
    {
        return Err(
            "is no name and no address; a host is written as `cache.example.com`, `10.0.0.7` or `::1`",
        );
    }
    // `300.1.2.3` is a typo in an address, and no name ends in a number.
    let last = text
        .trim_end_matches('.')
        .rsplit('.')
        .next()
        .unwrap_or(text);
    if last.bytes().all(|b| b.is_ascii_digit()) && text.parse::<IpAddr>().is_err() {
        return Err(
            "is no address; an IPv4 address is four numbers up to 255, for example `10.0.0.7`",
        );
    }
    Ok(text.to_owned())
}
