//! Settings in code.
//!
//! The one rule: **no method fails; everything is checked at once, when the cache is built.**

#[cfg(feature = "entra-id")]
use std::sync::Arc;
use std::{ffi::OsString, fmt, ops::RangeInclusive, path::PathBuf, time::Duration};

use super::{
    Config, Hint, StoreChoice,
    coordination::CoordinationSettings,
    setting::{Authorities, Setting},
    settings::{AuthChoice, GivenHost, Settings},
};
#[cfg(feature = "entra-id")]
use crate::auth::azure_core;
#[cfg(feature = "testing")]
use crate::testing::Faults;
use crate::{auth::Secret, base::clock::ManualClock, error::Error, testing::Injected};

/// Configures a [`Cache`](crate::Cache) in code; [`Cache::builder`](crate::Cache::builder) makes one.
///
/// With neither [`url`](Self::url) nor [`host`](Self::host) the values are kept in this process.
/// Variables of the environment count only after [`from_env`](Self::from_env).
#[derive(Clone, Default)]
#[must_use = "a builder does nothing until it is built"]
pub struct CacheBuilder {
    settings: Settings,
    coordination: CoordinationSettings,
    in_memory: bool,
    from_env: bool,
    faults: Injected,
}

impl CacheBuilder {
    /// Where Redis is, how to log in, and the database: `redis://user:password@host:port/db`, or
    /// `rediss://…` for TLS. What has a meaning in URLs is percent-encoded.
    ///
    /// Default: none. `REDIS_URL`.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.settings.url = Some(Setting::new("url", Secret::new(url)));
        self
    }

    /// The server's name or address.
    ///
    /// Without a password, a name that ends as those of Azure's caches do (`.redis.cache.windows.net`,
    /// `.redis.azure.net`, `.redisenterprise.cache.azure.net`, and those of its other clouds) means TLS and Entra ID login,
    /// unless [`no_auth`](Self::no_auth) is said. Any other is a server that asks for no password.
    ///
    /// Default: none. `REDIS_HOST`.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.settings.host = Some(Setting::new("host", GivenHost(host.into())));
        self
    }

    /// The server's port.
    ///
    /// Azure Managed Redis listens on 10000.
    ///
    /// Default: 6380 with TLS, else 6379. `REDIS_PORT`.
    pub fn port(mut self, port: u16) -> Self {
        self.settings.port = Some(Setting::new("port", port));
        self
    }

    /// Whether the connection is TLS.
    ///
    /// Default: what the URL's scheme says; for a host, true with Entra ID login, else false. `REDIS_TLS`.
    pub fn tls(mut self, tls: bool) -> Self {
        self.settings.tls = Some(Setting::new(
            if tls { "tls(true)" } else { "tls(false)" },
            tls,
        ));
        self
    }

    /// The certificate authorities to trust instead of the system's, as PEM text.
    ///
    /// Default: the system's.
    pub fn tls_ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.settings.authorities = Some(Setting::new("tls_ca_pem", Authorities::Pem(pem.into())));
        self
    }

    /// A PEM file of the certificate authorities to trust instead of the system's. It is read once,
    /// when the cache is built.
    ///
    /// Default: the system's. `REDIS_TLS_CA`.
    pub fn tls_ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.authorities =
            Some(Setting::new("tls_ca_file", Authorities::File(path.into())));
        self
    }

    /// The ACL user to log in as.
    ///
    /// Default: with Entra ID, the object id that the token names (its `oid` claim); else `default`, as
    /// Redis has it. `REDIS_USERNAME`.
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.settings.username = Some(Setting::new("username", username.into()));
        self
    }

    /// The password to log in with.
    ///
    /// Default: none. `REDIS_PASSWORD`.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.settings.password = Some(Setting::new("password", Secret::new(password)));
        self
    }

    /// Logs in with tokens of Microsoft Entra ID, which are renewed before they expire.
    ///
    /// Default: said by a [`host`](Self::host) of Azure's without a password. `REDIS_AUTH=entra`.
    pub fn entra_id(mut self) -> Self {
        self.settings.auth = Some(Setting::new("entra_id", AuthChoice::Entra));
        self
    }

    /// The credential to get Entra ID tokens from; it also says [`entra_id`](Self::entra_id).
    ///
    /// It is asked by one task, once at a time, each time for at most 10 seconds, and again later for
    /// ever, so it need not try again by itself.
    ///
    /// ```
    /// use azure_identity::AzureCliCredential;
    /// use cache_runtime::Cache;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache = Cache::builder()
    ///     .host("shop.redis.cache.windows.net")
    ///     .credential(AzureCliCredential::new(None)?) // asked when a connection is first needed
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Default: the first that serves of the environment's service principal, workload identity, managed
    /// identity, Azure CLI and Azure Developer CLI.
    #[cfg(feature = "entra-id")]
    pub fn credential(
        mut self,
        credential: Arc<dyn azure_core::credentials::TokenCredential>,
    ) -> Self {
        self.settings.credential = Some(Setting::new("credential", credential.into()));
        self
    }

    /// What Entra ID tokens are for: another cloud than the public one has another scope.
    ///
    /// Default: `https://redis.azure.com/.default`. `REDIS_ENTRA_SCOPE`.
    pub fn entra_scope(mut self, scope: impl Into<String>) -> Self {
        self.settings.entra_scope = Some(Setting::new("entra_scope", scope.into()));
        self
    }

    /// How long before its expiry an Entra ID token is replaced, from 1 second to 1 day, at most half of
    /// its life.
    ///
    /// More than the default is in vain where somebody keeps tokens and hands out the same one again: a
    /// credential of Azure's SDK that was given in code, until 300 seconds before the token's expiry; the
    /// service that answers for managed identities; `az`. A service principal and a workload identity of
    /// the environment get a new token each time.
    ///
    /// Default: 300 seconds.
    pub fn token_margin(mut self, margin: Duration) -> Self {
        self.settings.token_margin = Some(Setting::new("token_margin", margin));
        self
    }

    /// Says that the server asks for no password.
    ///
    /// Default: not said, so that a [`host`](Self::host) of Azure's without a password means Entra ID login.
    /// `REDIS_AUTH=none`.
    pub fn no_auth(mut self) -> Self {
        self.settings.auth = Some(Setting::new("no_auth", AuthChoice::None));
        self
    }

    /// The database's number.
    ///
    /// Default: the URL's, else 0. `REDIS_DB`.
    pub fn db(mut self, db: u32) -> Self {
        self.settings.db = Some(Setting::new("db", db));
        self
    }

    /// What every key begins with, before a `:`; for example the service's name.
    ///
    /// It holds no `%`, white space or control characters, and braces only as one hash tag.
    ///
    /// Default: none. `REDIS_KEY_PREFIX`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.settings.prefix = Some(Setting::new("prefix", prefix.into()));
        self
    }

    /// What one cache operation may take before it is given up as a miss, from 1 ms to 1 hour.
    ///
    /// Default: 250 ms. `REDIS_TIMEOUT`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = Some(Setting::new("timeout", timeout));
        self
    }

    /// How many entries the in-process store holds at most.
    ///
    /// An expired entry is never answered, though it may keep its memory until as many others were stored. The ages of
    /// entries are told by a coarse clock, to within a few milliseconds.
    ///
    /// Default: 10,000.
    pub fn memory_capacity(mut self, entries: u64) -> Self {
        self.settings.memory_capacity = Some(Setting::new("memory_capacity", entries));
        self
    }

    /// How many bytes of JSON a value may have to be stored, from 1 to 512 MiB, the most that Redis takes.
    ///
    /// A larger one is returned all the same. It is encoded up to this point, the log names the function once a minute, and for a
    /// minute what calls of the same key return is neither encoded nor stored. An [`Entry::put`](crate::Entry::put) of
    /// one is an error. Without Redis, a value whose type is `Clone` is kept as it is, however large, but for debug builds,
    /// which look at its JSON.
    ///
    /// Default: 16 MiB. `REDIS_MAX_VALUE`.
    pub fn max_value(mut self, bytes: u64) -> Self {
        self.settings.max_value = Some(Setting::new("max_value", bytes));
        self
    }

    /// How many bodies may run in the background of the process (refreshes, and those slower than a soft
    /// timeout), those of other caches among them. While there are so many, stale values are answered and
    /// nothing is refreshed.
    ///
    /// Default: 256.
    pub fn background_runs(mut self, runs: usize) -> Self {
        self.coordination.background_runs = Some(Setting::new("background_runs", runs));
        self
    }

    /// How many bodies of one function may run in the background for this cache, so that a source that hangs
    /// leaves room for the refreshes of other functions. While there are so many, its stale values are answered
    /// and none is refreshed.
    ///
    /// Default: 64.
    pub fn background_runs_per_function(mut self, runs: usize) -> Self {
        self.coordination.background_runs_per_function =
            Some(Setting::new("background_runs_per_function", runs));
        self
    }

    /// How long a body may run in the background before it is given up, as if it had failed; from 1 ms to 1
    /// day. No caller's own time limit reaches it there.
    ///
    /// Default: 5 minutes.
    pub fn background_timeout(mut self, timeout: Duration) -> Self {
        self.coordination.background_timeout = Some(Setting::new("background_timeout", timeout));
        self
    }

    /// How long a key is left alone after its refresh failed: the first pause, which doubles with each
    /// failure in a row, and the longest one. Each is up to a tenth longer by chance.
    ///
    /// So the source of a key is asked at most once in the longest pause while it is down for long. Calls
    /// that fall back on `stale_if_error` keep to it as well.
    ///
    /// Default: 1 second to 30 seconds.
    pub fn refresh_pause(mut self, pauses: RangeInclusive<Duration>) -> Self {
        self.coordination.refresh_pause = Some(Setting::new("refresh_pause", pauses));
        self
    }

    /// How long a call of a function with `coalesce = "cluster"` waits for another process that computes
    /// the same value, before it runs its body as well; from 1 ms to 1 hour.
    ///
    /// Default: 30 seconds.
    pub fn cluster_wait(mut self, wait: Duration) -> Self {
        self.coordination.cluster_wait = Some(Setting::new("cluster_wait", wait));
        self
    }

    /// How long a call waits for another call in this process whose body computes the same value, before one of
    /// those who wait runs its body as well; from 1 ms to 1 hour, by tokio's clock.
    ///
    /// The first of the two bodies to end answers all calls that wait. The others wait again for as long, so a source
    /// that takes one and a half of this is asked twice, and not by everybody. A wait for another process is bounded by
    /// [`cluster_wait`](Self::cluster_wait), and this begins after it. A tokio runtime without timers bounds no wait.
    ///
    /// Default: 30 seconds.
    pub fn run_wait(mut self, wait: Duration) -> Self {
        self.coordination.run_wait = Some(Setting::new("run_wait", wait));
        self
    }

    /// A clock that tells the ages of values, for tests.
    ///
    /// Default: the machine's, and the server's for what is in Redis.
    pub fn clock(mut self, clock: &ManualClock) -> Self {
        self.coordination.clock = Some(clock.clone());
        self
    }

    /// What a test breaks of the cache, on demand.
    ///
    /// Default: nothing.
    #[cfg(feature = "testing")]
    pub fn faults(mut self, faults: &Faults) -> Self {
        self.faults = Injected::new(faults);
        self
    }

    /// Keeps the values in this process, whatever else says where Redis is.
    ///
    /// Default: as the other settings say.
    pub fn in_memory(mut self) -> Self {
        self.in_memory = true;
        self
    }

    /// Takes what is not set here from the environment's variables, which are read when the cache is built.
    ///
    /// A [`url`](Self::url) or [`host`](Self::host) set here replaces `REDIS_URL`, `REDIS_HOST` and
    /// `REDIS_PORT` together; every other setting replaces its own variable. Nothing replaces `REDIS_CACHE=off`: with it
    /// the cache is [off](crate::Cache::off), whatever is set here.
    ///
    /// Default: the environment is not looked at.
    pub fn from_env(mut self) -> Self {
        self.from_env = true;
        self
    }

    /// Checks everything.
    pub(crate) fn build_config(self) -> Result<Config, Error> {
        self.build_config_in(|name| std::env::var_os(name))
    }

    pub(super) fn build_config_in(
        self,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Config, Error> {
        let Self {
            mut settings,
            coordination,
            in_memory,
            from_env,
            faults,
        } = self;
        if from_env {
            settings = settings.or(Settings::from_environment(environment)?);
        } else if let (false, false, Some(name)) =
            (in_memory, settings.names_a_server(), settings.of_a_server())
        {
            return Err(Error::config(format!(
                "`{name}` is set, but not where Redis is; set `host` or `url`, or `in_memory` to do without"
            )));
        }
        if in_memory {
            (settings.url, settings.host) = (None, None);
        }
        let mut config = settings.into_config(coordination.check()?)?;
        config.faults = faults;
        if from_env && !in_memory && matches!(config.store, StoreChoice::Memory) {
            config.hints.push(Hint::InProcess);
        }
        Ok(config)
    }
}

impl Config {
    /// The configuration of a cache that is off.
    ///
    /// # Errors
    ///
    /// None, because nothing but the defaults is checked.
    pub(crate) fn off() -> Result<Self, Error> {
        let config = CacheBuilder::default()
            .in_memory()
            .build_config_in(|_| None)?;
        Ok(Self {
            store: StoreChoice::Off,
            ..config
        })
    }

    /// The configuration that the variables mean; `lookup` is `std::env::var_os` outside tests.
    pub(crate) fn from_environment(
        lookup: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Error> {
        CacheBuilder::default().from_env().build_config_in(lookup)
    }
}

impl fmt::Debug for CacheBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            settings,
            coordination,
            in_memory,
            from_env,
            faults: _,
        } = self;
        f.debug_struct("CacheBuilder")
            .field("settings", settings)
            .field("coordination", coordination)
            .field("in_memory", in_memory)
            .field("from_env", from_env)
            .finish()
    }
}
