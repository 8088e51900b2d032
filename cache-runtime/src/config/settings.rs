//! Settings as they were given, and the one place that makes a [`Config`] of them.
//!
//! The one rule: **a setting that is given twice, or that contradicts another one, is refused**, and the message
//! names both by the names that the user wrote.

mod login;

use std::{fmt, time::Duration};

use super::{
    Config, Coordination, Endpoint, Hint, StoreChoice,
    address::{self, Address},
    setting::{Authorities, Setting, shown},
};
#[cfg(feature = "entra-id")]
use crate::auth::OwnCredential;
use crate::{auth::Secret, error::Error, key::check_prefix, testing::Injected};

/// All settings; `None` where nothing was said.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    /// Whether there is to be a cache at all.
    pub(super) cache: Option<Setting<bool>>,
    pub(super) url: Option<Setting<Secret>>,
    pub(super) host: Option<Setting<GivenHost>>,
    pub(super) port: Option<Setting<u16>>,
    pub(super) auth: Option<Setting<AuthChoice>>,
    pub(super) username: Option<Setting<String>>,
    pub(super) password: Option<Setting<Secret>>,
    pub(super) entra_scope: Option<Setting<String>>,
    pub(super) token_margin: Option<Setting<Duration>>,
    #[cfg(feature = "entra-id")]
    pub(super) credential: Option<Setting<OwnCredential>>,
    pub(super) tls: Option<Setting<bool>>,
    pub(super) authorities: Option<Setting<Authorities>>,
    pub(super) db: Option<Setting<u32>>,
    pub(super) prefix: Option<Setting<String>>,
    pub(super) timeout: Option<Setting<Duration>>,
    pub(super) memory_capacity: Option<Setting<u64>>,
    /// In bytes.
    pub(super) max_value: Option<Setting<u64>>,
}

/// A host as it was given: it may be a URL in the wrong place, and hold a password.
#[derive(Clone)]
pub(super) struct GivenHost(pub(super) String);

impl fmt::Debug for GivenHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match address::check_host(&self.0) {
            Ok(_) => fmt::Debug::fmt(&self.0, f),
            Err(_) => f.write_str("<not a host>"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum AuthChoice {
    None,
    Password,
    Entra,
}

const DEFAULT_TIMEOUT: Duration = Duration::from_millis(250);
const DEFAULT_MEMORY_CAPACITY: u64 = 10_000;
const DEFAULT_MAX_VALUE: usize = 16 << 20;
/// A server ends a connection that sends a longer argument, unless its `proto-max-bulk-len` says otherwise.
const LARGEST_VALUE: usize = 512 << 20;

impl Settings {
    /// These settings, and where they say nothing those of `other`.
    ///
    /// Host, port and URL count as one setting: where `self` has a host or a URL, `other`'s port does not count either.
    pub(super) fn or(self, other: Self) -> Self {
        let Self {
            cache,
            url,
            host,
            port,
            auth,
            username,
            password,
            entra_scope,
            token_margin,
            #[cfg(feature = "entra-id")]
            credential,
            tls,
            authorities,
            db,
            prefix,
            timeout,
            memory_capacity,
            max_value,
        } = self;
        let (url, host, port) = if url.is_some() || host.is_some() {
            (url, host, port)
        } else {
            (other.url, other.host, port.or(other.port))
        };
        Self {
            cache: cache.or(other.cache),
            url,
            host,
            port,
            auth: auth.or(other.auth),
            username: username.or(other.username),
            password: password.or(other.password),
            entra_scope: entra_scope.or(other.entra_scope),
            token_margin: token_margin.or(other.token_margin),
            #[cfg(feature = "entra-id")]
            credential: credential.or(other.credential),
            tls: tls.or(other.tls),
            authorities: authorities.or(other.authorities),
            db: db.or(other.db),
            prefix: prefix.or(other.prefix),
            timeout: timeout.or(other.timeout),
            memory_capacity: memory_capacity.or(other.memory_capacity),
            max_value: max_value.or(other.max_value),
        }
    }

    /// The name of a setting that only a server has, if there is one.
    pub(super) fn of_a_server(&self) -> Option<&'static str> {
        let Self {
            port,
            auth,
            username,
            password,
            tls,
            authorities,
            db,
            ..
        } = self;

        None.or(port.as_ref().map(|s| s.name))
            .or(auth.as_ref().map(|s| s.name))
            .or(username.as_ref().map(|s| s.name))
            .or(password.as_ref().map(|s| s.name))
            .or(self.of_entra())
            .or(tls.as_ref().map(|s| s.name))
            .or(authorities.as_ref().map(|s| s.name))
            .or(db.as_ref().map(|s| s.name))
    }

    /// The name of a setting that means nothing without Entra ID login, if there is one.
    fn of_entra(&self) -> Option<&'static str> {
        #[cfg(feature = "entra-id")]
        let credential = self.credential.as_ref().map(|s| s.name);
        #[cfg(not(feature = "entra-id"))]
        let credential = None;
        credential
            .or(self.entra_scope.as_ref().map(|s| s.name))
            .or(self.token_margin.as_ref().map(|s| s.name))
    }

    pub(super) fn names_a_server(&self) -> bool {
        self.url.is_some() || self.host.is_some()
    }

    /// The configuration that these settings mean.
    pub(super) fn into_config(self, coordination: Coordination) -> Result<Config, Error> {
        let prefix = match &self.prefix {
            None => String::new(),
            Some(Setting { value, name }) => {
                check_prefix(value).map_err(|what| {
                    Error::config(format!("`{name}` is `{}`: {what}", shown(value)))
                })?;
                value.clone()
            }
        };
        let timeout = match self.timeout {
            None => DEFAULT_TIMEOUT,
            Some(Setting { value, name }) => {
                // A shorter timeout is less than a round trip on any network; a longer one is a hang.
                if !(Duration::from_millis(1)..=Duration::from_secs(3600)).contains(&value) {
                    return Err(Error::config(format!(
                        "`{name}` is `{}`; it is from `1ms` to `1h`",
                        humantime::format_duration(value)
                    )));
                }
                value
            }
        };
        let memory_capacity = match self.memory_capacity {
            None => DEFAULT_MEMORY_CAPACITY,
            Some(Setting { value: 0, name }) => {
                return Err(Error::config(format!(
                    "`{name}` is 0, which would keep nothing; use 1 or more"
                )));
            }
            Some(Setting { value, .. }) => value,
        };
        let max_value = match self.max_value {
            None => DEFAULT_MAX_VALUE,
            Some(Setting { value, name }) => usize::try_from(value)
                .ok()
                .filter(|bytes| (1..=LARGEST_VALUE).contains(bytes))
                .ok_or_else(|| {
                    Error::config(format!(
                        "`{name}` is {value}; it is from 1 to {LARGEST_VALUE} bytes, the most that redis takes"
                    ))
                })?,
        };
        let mut hints = Vec::new();
        if let Some(Setting { value, name }) = &self.prefix
            && value.ends_with(':')
        {
            hints.push(Hint::PrefixWithColon {
                name,
                prefix: value.clone(),
            });
        }
        let is_off = matches!(self.cache, Some(Setting { value: false, .. }));
        let store = if is_off {
            hints.push(Hint::Off);
            StoreChoice::Off
        } else if self.names_a_server() {
            StoreChoice::Redis(self.endpoint(&mut hints)?)
        } else {
            StoreChoice::Memory
        };
        Ok(Config {
            store,
            prefix,
            timeout,
            memory_capacity,
            max_value,
            coordination,
            faults: Injected::default(),
            hints,
        })
    }

    fn endpoint(mut self, hints: &mut Vec<Hint>) -> Result<Endpoint, Error> {
        let server = self.server()?;
        let auth = self.auth(&server, hints)?;
        let tls = self.tls(&server, &auth)?;
        let port = server.port.unwrap_or(if tls { 6380 } else { 6379 });
        Ok(Endpoint {
            #[cfg(feature = "tls")]
            tls: match tls {
                true => Some(super::Tls::new(
                    server.name,
                    &server.host,
                    self.authorities.take(),
                )?),
                false => None,
            },
            host: server.host,
            port,
            auth,
            db: i64::from(self.db.map_or(0, |db| db.value)),
        })
    }

    /// Where the server is. A URL's user, password and database become settings like the others.
    fn server(&mut self) -> Result<NamedServer, Error> {
        let Some(url) = self.url.take() else {
            // `names_a_server` was asked before: without a URL there is a host.
            let Setting {
                value: GivenHost(value),
                name,
            } = self.host.take().expect("a host or a URL is set");
            if let Some(Setting { value: 0, name }) = self.port {
                return Err(Error::config(format!(
                    "`{name}` is `0`; a port is a number from 1 to 65535"
                )));
            }
            let host = address::check_host(&value).map_err(|what| {
                // A URL or a connection string may hold a password.
                if value.contains(['@', '=', ',']) || value.contains("://") {
                    Error::config(format!("`{name}` {what}"))
                } else {
                    Error::config(format!("`{name}` is `{}`, which {what}", shown(&value)))
                }
            })?;
            return Ok(NamedServer {
                host,
                port: self.port.as_ref().map(|port| port.value),
                url: None,
                name,
            });
        };
        let name = url.name;
        let host = self.host.as_ref().map(|host| host.name);
        if let Some(other) = host.or(self.port.as_ref().map(|port| port.name)) {
            return Err(twice(name, other, "say where Redis is"));
        }
        let Address {
            tls,
            host,
            port,
            username,
            password,
            db,
        } = address::parse(url.value.expose())
            .map_err(|what| Error::config(format!("`{name}` {what}")))?;
        merge(&mut self.username, username, name, "set the user")?;
        merge(&mut self.password, password, name, "set the password")?;
        merge(&mut self.db, db, name, "set the database")?;
        Ok(NamedServer {
            host,
            port,
            url: Some(tls),
            name,
        })
    }
}

/// A server, as the settings name it.
struct NamedServer {
    host: String,
    port: Option<u16>,
    /// Whether a URL names it, and if so whether with TLS.
    url: Option<bool>,
    /// The setting that names it.
    name: &'static str,
}

/// Makes what a URL says a setting, unless it is one already.
fn merge<T>(
    setting: &mut Option<Setting<T>>,
    from_url: Option<T>,
    url: &'static str,
    what: &str,
) -> Result<(), Error> {
    let Some(value) = from_url else { return Ok(()) };
    if let Some(setting) = setting {
        return Err(twice(url, setting.name, what));
    }
    *setting = Some(Setting::new(url, value));
    Ok(())
}

fn twice(one: &str, other: &str, what: &str) -> Error {
    Error::config(format!(
        "`{one}` and `{other}` both {what}; remove one of them"
    ))
}
