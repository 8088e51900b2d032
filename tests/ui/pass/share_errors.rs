//! Every kind of error, and every way of sharing it, also where nobody can.

#![deny(warnings)]

use std::error::Error;
use std::fmt::Display;
use std::io;
use std::rc::Rc;

use cache_runtime::{SharedError, redis_cached};

#[redis_cached(ttl = 60, share_errors = |error| io::Error::from(error.kind()))]
async fn by_closure(id: u64) -> io::Result<u64> {
    Ok(id)
}

#[redis_cached(ttl = 60, share_errors = (|error: &io::Error| io::Error::from(error.kind())))]
async fn in_parentheses(id: u64) -> io::Result<Option<u64>> {
    Ok(Some(id))
}

fn copy(error: &io::Error) -> io::Error {
    error.kind().into()
}

#[redis_cached(ttl = 60, share_errors = copy)]
async fn by_function(id: u64) -> Result<u64, io::Error> {
    Ok(id)
}

#[redis_cached(ttl = 60, share_errors = none, stale_while_revalidate = 60, soft_timeout = "1s")]
async fn by_none(id: u64) -> Result<u64, Rc<str>> {
    Ok(id)
}

#[redis_cached(ttl = 60)]
async fn boxed(id: u64) -> Result<u64, Box<dyn Error>> {
    Ok(id)
}

/// No text, no `From`, no `Clone`.
struct Bare;

#[redis_cached(ttl = 60)]
async fn bare(id: u64) -> Result<u64, Bare> {
    Ok(id)
}

/// What `impl<E: Into<anyhow::Error>> From<E>` looks like: made of any error, and no error itself.
struct Any(Box<dyn Error>);

impl<E: Error + 'static> From<E> for Any {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

#[redis_cached(ttl = 60)]
async fn any(id: u64) -> Result<u64, Any> {
    let id = id.to_string().parse::<u64>()?;
    Ok(id)
}

#[redis_cached(ttl = 60)]
async fn generic<E: From<io::Error> + 'static>(id: u64) -> Result<u64, E> {
    std::fs::read_dir("/")?;
    Ok(id)
}

#[redis_cached(ttl = 60)]
async fn told<E: From<SharedError> + Display + 'static>(id: u64) -> Result<u64, E> {
    Ok(id)
}

struct Repository;

impl Repository {
    fn copy(error: &io::Error) -> io::Error {
        error.kind().into()
    }

    #[redis_cached(ttl = 60, skip(self), share_errors = Self::copy)]
    async fn row(&self, id: u64) -> io::Result<u64> {
        Ok(id)
    }
}

fn main() {
    let _ = (by_closure(1), in_parentheses(1), by_function(1), by_none(1), boxed(1), bare(1));
    let _ = (async || any(1).await.map_err(|error| error.0), generic::<io::Error>(1));
    let _ = (told::<Box<dyn Error>>(1), Repository.row(1));
}
