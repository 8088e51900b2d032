//! The kit's own way into a server: blocking, one command at a time, bounded.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::resp::{self, Frame};

/// The user as which the kit connects; it may do everything.
pub(super) const ADMIN: &str = "cache-tests-kit";

#[derive(Debug)]
pub(super) struct Admin {
    stream: UnixStream,
    unread: Vec<u8>,
}

impl Admin {
    pub(super) fn connect(socket: &Path, password: &str) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut admin = Self {
            stream,
            unread: Vec::new(),
        };
        admin.command(&["AUTH", ADMIN, password])?;
        Ok(admin)
    }

    /// The reply's bytes as text, without the last line's end; an error reply is an error.
    pub(super) fn command(&mut self, args: &[&str]) -> io::Result<String> {
        let mut bytes = format!("*{}\r\n", args.len());
        for arg in args {
            bytes.push_str(&format!("${}\r\n{arg}\r\n", arg.len()));
        }
        self.stream.write_all(bytes.as_bytes())?;
        let reply = self.read()?;
        if reply.starts_with('-') {
            return Err(io::Error::other(reply));
        }
        Ok(reply)
    }

    fn read(&mut self) -> io::Result<String> {
        loop {
            match resp::reply(&self.unread) {
                Frame::Whole((), length) => {
                    let reply: Vec<u8> = self.unread.drain(..length).collect();
                    return Ok(String::from_utf8_lossy(&reply)
                        .trim_end_matches("\r\n")
                        .to_owned());
                }
                Frame::Partial => {
                    let mut chunk = [0; 4096];
                    match self.stream.read(&mut chunk)? {
                        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                        n => self.unread.extend_from_slice(&chunk[..n]),
                    }
                }
                Frame::Foreign => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    /// The connection itself, for replies without an end.
    pub(super) fn into_stream(self) -> io::Result<UnixStream> {
        self.stream.set_read_timeout(None)?;
        Ok(self.stream)
    }
}
