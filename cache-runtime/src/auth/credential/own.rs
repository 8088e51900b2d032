//! The user's own credential.
//!
//! The one rule: **it equals itself alone, and nothing of it is shown**, because its code is the user's.

use std::{fmt, sync::Arc};

use azure_core::credentials::TokenCredential;

/// What the builder's `credential` was given.
#[derive(Clone)]
pub(crate) struct OwnCredential(Arc<dyn TokenCredential>);

impl From<Arc<dyn TokenCredential>> for OwnCredential {
    fn from(credential: Arc<dyn TokenCredential>) -> Self {
        Self(credential)
    }
}

impl OwnCredential {
    pub(super) fn get(&self) -> Arc<dyn TokenCredential> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for OwnCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnCredential(..)")
    }
}

impl PartialEq for OwnCredential {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
