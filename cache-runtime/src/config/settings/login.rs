//! How connections log in, and whether they are TLS, because the one asks for the other.
//!
//! The one rule: **a password or a token is never sent where the settings leave a doubt**: a login that the
//! settings contradict, and an Entra ID login without TLS, are errors that name the setting to change.

use std::time::Duration;

use super::{
    super::{
        azure::is_azures,
        hint::Hint,
        setting::{Setting, shown},
    },
    AuthChoice, NamedServer, Settings,
};
use crate::{
    auth::{Auth, EntraLogin, Login, Secret},
    error::Error,
};

/// Azure Cache for Redis and Azure Managed Redis, in the public cloud.
const DEFAULT_SCOPE: &str = "https://redis.azure.com/.default";
/// The SDKs' own margin: a credential of theirs, and `az`, keep a token and hand out the same one until about then.
const DEFAULT_MARGIN: Duration = Duration::from_secs(300);

impl Settings {
    pub(super) fn auth(
        &mut self,
        server: &NamedServer,
        hints: &mut Vec<Hint>,
    ) -> Result<Auth, Error> {
        #[cfg(feature = "entra-id")]
        if let (None, Some(credential)) = (&self.auth, &self.credential) {
            self.auth = Some(Setting::new(credential.name, AuthChoice::Entra));
        }
        let choice = match (&self.auth, &self.password, &server.url) {
            (Some(choice), _, _) => choice.value,
            (None, Some(_), _) => AuthChoice::Password,
            // Azure gives its users a host and no password; a URL holds the whole login.
            (None, None, None) if is_azures(&server.host) => AuthChoice::Entra,
            (None, None, _) => AuthChoice::None,
        };
        if let (true, Some(name)) = (choice != AuthChoice::Entra, self.of_entra()) {
            return Err(Error::config(format!(
                "`{name}` is for Entra ID login, which is not used here; remove it, or set `REDIS_AUTH=entra`"
            )));
        }
        if self.auth.is_none() && choice == AuthChoice::None && server.url.is_none() {
            hints.push(Hint::Plain {
                name: server.name,
                host: server.host.clone(),
            });
        }
        if let Some(Setting { value, name }) = &self.password
            && value.expose().trim() != value.expose()
        {
            hints.push(Hint::PaddedPassword { name });
        }
        let said = self.auth.as_ref().map_or("", |choice| choice.name);
        match (choice, self.password.take(), self.username.take()) {
            (AuthChoice::Password, Some(password), username) => Ok(Auth::Password(Login {
                username: username.map(|username| username.value),
                password: password.value,
            })),
            (AuthChoice::Password, None, _) => Err(Error::config(format!(
                "`{said}` needs a password, and none is set; set `REDIS_PASSWORD`"
            ))),
            (_, Some(password), _) => Err(Error::config(format!(
                "`{said}` goes without a password, but `{}` sets one; remove one of them",
                password.name
            ))),
            // An ACL user with `nopass` takes any password.
            (AuthChoice::None, None, Some(username)) => Ok(Auth::Password(Login {
                username: Some(username.value),
                password: Secret::new(""),
            })),
            (AuthChoice::None, None, None) => Ok(Auth::None),
            (AuthChoice::Entra, None, username) => Ok(Auth::Entra(EntraLogin {
                username: username.map(|username| username.value),
                scope: self.scope()?,
                margin: self.margin()?,
                #[cfg(feature = "entra-id")]
                credential: self.credential.take().map(|credential| credential.value),
            })),
        }
    }

    fn scope(&mut self) -> Result<String, Error> {
        let Some(Setting { value, name }) = self.entra_scope.take() else {
            return Ok(DEFAULT_SCOPE.to_owned());
        };
        // The Azure CLIs' credentials take no other characters.
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '/');
        if value.is_empty() || !value.chars().all(named) {
            return Err(Error::config(format!(
                "`{name}` is `{}`; it is a scope, for example `{DEFAULT_SCOPE}`",
                shown(&value)
            )));
        }
        Ok(value)
    }

    fn margin(&self) -> Result<Duration, Error> {
        match &self.token_margin {
            None => Ok(DEFAULT_MARGIN),
            Some(Setting { value, name }) => {
                // Without a margin, every token runs out before the next one has come.
                if !(Duration::from_secs(1)..=Duration::from_secs(24 * 3600)).contains(value) {
                    return Err(Error::config(format!(
                        "`{name}` is `{}`; it is from `1s` to `1day`",
                        humantime::format_duration(*value)
                    )));
                }
                Ok(*value)
            }
        }
    }

    /// Whether there is TLS.
    pub(super) fn tls(&self, server: &NamedServer, auth: &Auth) -> Result<bool, Error> {
        let entra = matches!(auth, Auth::Entra(_));
        let tls = match (server.url, &self.tls) {
            (Some(scheme), Some(Setting { value, name })) if scheme != *value => {
                let scheme = if scheme {
                    "`rediss://`, which is TLS"
                } else {
                    "`redis://`, which is not TLS"
                };
                return Err(Error::config(format!(
                    "`{}` begins with {scheme}, but `{name}` says otherwise; remove `{name}`",
                    server.name
                )));
            }
            (Some(scheme), _) => scheme,
            (None, Some(Setting { value, .. })) => *value,
            (None, None) => entra,
        };
        if entra && server.url.is_some() && !tls {
            return Err(Error::config(format!(
                "Entra ID login needs TLS, but `{}` begins with `redis://`, which is not TLS; write `rediss://`",
                server.name
            )));
        }
        if entra && !tls {
            let by = self.tls.as_ref().map_or(server.name, |tls| tls.name);
            return Err(Error::config(format!(
                "Entra ID login, the default for a name of Azure's without a password, needs TLS, but `{by}` is without; \
                 set `REDIS_PASSWORD`, or `REDIS_AUTH=none` for a server without a password"
            )));
        }
        if let (false, Some(authorities)) = (tls, &self.authorities) {
            return Err(Error::config(format!(
                "`{}` names certificate authorities, but there is no TLS; set `REDIS_TLS=true`, or write `rediss://`",
                authorities.name
            )));
        }
        // Entra ID login is refused elsewhere, with the name of its own feature, which brings this one.
        if cfg!(not(feature = "tls")) && tls && !entra {
            let by = self.tls.as_ref().map_or(server.name, |tls| tls.name);
            return Err(Error::config(format!(
                "`{by}` asks for TLS; add the feature `tls` of cache-runtime"
            )));
        }
        Ok(tls)
    }
}
