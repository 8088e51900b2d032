//! Settings from environment variables.
//!
//! The one rule: **an empty variable is one that is not set**, because compose files and charts write an absent value so.
//! White space round a value is removed, except round a password. The environment is a function, so that tests can pass
//! another.

use std::{ffi::OsString, path::PathBuf, str::FromStr};

use super::{
    setting::{Authorities, Setting, shown},
    settings::{AuthChoice, GivenHost, Settings},
};
use crate::{auth::Secret, error::Error};

impl Settings {
    pub(super) fn from_environment(
        lookup: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Error> {
        let variables = Variables(lookup);
        Ok(Self {
            cache: variables.cache()?,
            url: variables.text("REDIS_URL")?.map(|url| url.map(Secret::new)),
            host: variables
                .text("REDIS_HOST")?
                .map(|host| host.map(GivenHost)),
            port: variables.port()?,
            auth: variables.auth()?,
            username: variables.text("REDIS_USERNAME")?,
            password: variables
                .raw("REDIS_PASSWORD")?
                .map(|password| password.map(Secret::new)),
            entra_scope: variables.text("REDIS_ENTRA_SCOPE")?,
            token_margin: None,
            #[cfg(feature = "entra-id")]
            credential: None,
            tls: variables.tls()?,
            authorities: variables
                .set("REDIS_TLS_CA")
                .map(|path| Setting::new("REDIS_TLS_CA", Authorities::File(PathBuf::from(path)))),
            db: variables.parsed("REDIS_DB", "a database's number, 0 or more")?,
            prefix: variables.text("REDIS_KEY_PREFIX")?,
            timeout: variables
                .parsed(
                    "REDIS_TIMEOUT",
                    "a duration with its unit, for example `250ms` or `1s`",
                )?
                .map(|timeout: Setting<humantime::Duration>| timeout.map(Into::into)),
            memory_capacity: None,
            max_value: variables
                .parsed(
                    "REDIS_MAX_VALUE",
                    "a number of bytes, for example `1048576`, `1024KiB` or `1MiB`",
                )?
                .map(|bytes: Setting<ByteCount>| bytes.map(|ByteCount(bytes)| bytes)),
        })
    }
}

impl<T> Setting<T> {
    fn map<U>(self, f: impl FnOnce(T) -> U) -> Setting<U> {
        Setting::new(self.name, f(self.value))
    }
}

/// A number of bytes, plain or with a unit.
struct ByteCount(u64);

impl FromStr for ByteCount {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            _ => return Err(()),
        };
        let number: u64 = digits.trim_end().parse().map_err(|_| ())?;
        number.checked_mul(unit).map(Self).ok_or(())
    }
}

struct Variables<F>(F);

impl<F: Fn(&str) -> Option<OsString>> Variables<F> {
    fn set(&self, name: &'static str) -> Option<OsString> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    fn raw(&self, name: &'static str) -> Result<Option<Setting<String>>, Error> {
        self.set(name)
            .map(OsString::into_string)
            .transpose()
            .map(|value| value.map(|value| Setting::new(name, value)))
            .map_err(|_| Error::config(format!("`{name}` is not UTF-8; write it in UTF-8")))
    }

    fn text(&self, name: &'static str) -> Result<Option<Setting<String>>, Error> {
        Ok(self
            .raw(name)?
            .map(|setting| setting.map(|value| value.trim().to_owned()))
            .filter(|setting| !setting.value.is_empty()))
    }

    fn parsed<T: FromStr>(
        &self,
        name: &'static str,
        accepted: &str,
    ) -> Result<Option<Setting<T>>, Error> {
        let Some(Setting { value, .. }) = self.text(name)? else {
            return Ok(None);
        };
        match value.parse() {
            Ok(value) => Ok(Some(Setting::new(name, value))),
            Err(_) => Err(Error::config(format!(
                "`{name}` is `{}`; it is {accepted}",
                shown(&value)
            ))),
        }
    }

    fn port(&self) -> Result<Option<Setting<u16>>, Error> {
        // Kubernetes sets `REDIS_PORT=tcp://10.0.0.1:6379` in every pod beside a service named `redis`. No user wrote that,
        // so it counts as not set.
        match self.text("REDIS_PORT")? {
            Some(port) if port.value.starts_with("tcp://") => Ok(None),
            _ => self.parsed("REDIS_PORT", "a number from 1 to 65535"),
        }
    }

    fn cache(&self) -> Result<Option<Setting<bool>>, Error> {
        let Some(Setting { value, name }) = self.text("REDIS_CACHE")? else {
            return Ok(None);
        };
        match switch(&value) {
            Some(on) => Ok(Some(Setting::new(name, on))),
            // Other programs take the server's URL, which may hold a password, from a variable of this name.
            None => Err(Error::config(format!(
                "`{name}` is {}; it is `on` or `off`, and where Redis is goes into `REDIS_URL`",
                shown_if_word(&value)
            ))),
        }
    }

    fn auth(&self) -> Result<Option<Setting<AuthChoice>>, Error> {
        let Some(Setting { value, name }) = self.text("REDIS_AUTH")? else {
            return Ok(None);
        };
        match &*value.to_ascii_lowercase() {
            "none" => Ok(Some(Setting::new("REDIS_AUTH=none", AuthChoice::None))),
            "password" => Ok(Some(Setting::new(
                "REDIS_AUTH=password",
                AuthChoice::Password,
            ))),
            "entra" => Ok(Some(Setting::new("REDIS_AUTH=entra", AuthChoice::Entra))),
            _ => {
                // Other programs take the password from a variable of this name.
                Err(Error::config(format!(
                    "`{name}` is {}; it is `entra`, `password` or `none`, and the password itself goes into `REDIS_PASSWORD`",
                    shown_if_word(&value)
                )))
            }
        }
    }

    fn tls(&self) -> Result<Option<Setting<bool>>, Error> {
        let Some(Setting { value, name }) = self.text("REDIS_TLS")? else {
            return Ok(None);
        };
        match switch(&value) {
            Some(true) => Ok(Some(Setting::new("REDIS_TLS=true", true))),
            Some(false) => Ok(Some(Setting::new("REDIS_TLS=false", false))),
            None => Err(Error::config(format!(
                "`{name}` is `{}`; it is `true` or `false`",
                shown(&value)
            ))),
        }
    }
}

/// What a word says of something that is on or off.
fn switch(text: &str) -> Option<bool> {
    match &*text.to_ascii_lowercase() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// A value that may be a secret, as a message shows it: only what reads as a word is repeated.
fn shown_if_word(value: &str) -> String {
    let is_word = value.len() <= 16
        && value
            .bytes()
            .all(|b| b.is_ascii_alphabetic() || b"-_".contains(&b));
    if is_word {
        format!("`{value}`")
    } else {
        "something else".to_owned()
    }
}
