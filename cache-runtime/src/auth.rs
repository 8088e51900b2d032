//! Who a connection says it is.
//!
//! The rule: a connection asks here, each time it is made, and nowhere else. So a login that changes
//! with time has one place to come from.

mod credential;

use crate::{
    config::{Auth, Login},
    error::Error,
};

/// The user and password to log in with, or `None` for a server that asks for none.
pub(crate) fn login(auth: &Auth) -> Result<Option<&Login>, Error> {
    match auth {
        Auth::None => Ok(None),
        Auth::Password(login) => Ok(Some(login)),
        Auth::Entra => Err(credential::refusal()),
    }
}
