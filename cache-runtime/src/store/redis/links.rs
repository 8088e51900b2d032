//! The links of one cache, one for each runtime that uses it.
//!
//! The one rule: **a call goes to the link of the runtime that it is on**, so that a runtime which ends, or which nobody
//! drives, takes no other one's connection with it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::runtime::{Handle, Id};

use super::{link::Link, live::Purpose, server::Server};
use crate::error::{Error, ErrorKind};

/// The links of one cache, one for each runtime.
#[derive(Debug)]
pub(crate) struct Links {
    server: Arc<Server>,
    links: arc_swap::ArcSwap<Vec<Arc<Link>>>,
    closed: AtomicBool,
    purpose: Purpose,
}

impl Links {
    pub(super) fn new(server: &Arc<Server>, purpose: Purpose) -> Self {
        Self {
            server: Arc::clone(server),
            links: arc_swap::ArcSwap::default(),
            closed: AtomicBool::new(false),
            purpose,
        }
    }

    /// The link of the present runtime.
    ///
    /// # Errors
    ///
    /// Outside a runtime, or where it lacks what a connection needs.
    pub(crate) fn present(&self) -> Result<Arc<Link>, Error> {
        let runtime = Handle::try_current()
            .map_err(|_| Error::new(ErrorKind::NoRuntime, "not inside a tokio runtime"))?;
        let link = match find(&self.links.load(), runtime.id()) {
            Some(link) => link,
            None => self.add(Arc::new(Link::new(&self.server, runtime, self.purpose))),
        };
        link.is_usable()?;
        Ok(link)
    }

    fn add(&self, link: Arc<Link>) -> Arc<Link> {
        let runtime = link.runtime().id();
        self.links.rcu(|links| {
            // Two callers may get here at once; the first one's link serves both.
            let mut next: Vec<_> = links
                .iter()
                .filter(|other| {
                    other.runtime().id() == runtime
                        || !other.is_idle()
                        // A caller holds the link, and is about to connect.
                        || Arc::strong_count(other) > 1
                })
                .cloned()
                .collect();
            if find(&next, runtime).is_none() {
                next.push(Arc::clone(&link));
            }
            next
        });
        let link = find(&self.links.load(), runtime).unwrap_or(link);
        // `close` may have run meanwhile, and missed this link.
        if self.closed.load(Ordering::SeqCst) {
            link.close();
        }
        link
    }

    /// Ends every connection, for good.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        for link in self.links.load().iter() {
            link.close();
        }
    }

    /// How many connections there are.
    pub(crate) fn connected(&self) -> usize {
        self.links.load().iter().filter(|link| link.is_up()).count()
    }

    /// How many callers' reads wait or are on their way right now.
    pub(crate) fn reads(&self) -> usize {
        self.links
            .load()
            .iter()
            .map(|link| link.batches().len())
            .sum()
    }
}

fn find(links: &[Arc<Link>], runtime: Id) -> Option<Arc<Link>> {
    links
        .iter()
        .find(|link| link.runtime().id() == runtime)
        .map(Arc::clone)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        auth::Auth,
        store::redis::{
            connect::Connector,
            test_server::{endpoint, server},
        },
    };

    #[test]
    fn a_link_is_forgotten_once_nobody_uses_it_and_not_before() {
        let runtime = || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
        };
        let connector = Connector::new(endpoint(1, Auth::None)).unwrap();
        let server = server(connector, Duration::from_secs(1));
        let links = Links::new(&server, Purpose::Commands);
        let (one, other) = (runtime(), runtime());
        let present = |runtime: &tokio::runtime::Runtime| {
            runtime.block_on(async { links.present().unwrap() })
        };
        let held = present(&one);
        present(&other);
        assert!(Arc::ptr_eq(&held, &present(&one)), "somebody held it");
        drop(held);
        present(&runtime());
        assert_eq!(links.links.load().len(), 1);
    }
}
