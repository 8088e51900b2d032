use std::{collections::HashMap, ffi::OsString, time::Duration};

use expect_test::{Expect, expect};

use super::{Config, Hint, StoreChoice, builder::CacheBuilder};
use crate::{
    auth::{Auth, Login, Secret},
    error::{Error, ErrorKind},
};

const SECRET: &str = "hunter2-Zq/9";

fn environment(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<OsString> + use<> {
    let variables: HashMap<String, OsString> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).into()))
        .collect();
    move |name| variables.get(name).cloned()
}

fn config(variables: &[(&str, &str)]) -> Result<Config, Error> {
    Config::from_environment(environment(variables))
}

/// The endpoint in one line, for comparison.
fn endpoint(config: Result<Config, Error>) -> String {
    let StoreChoice::Redis(endpoint) = config.expect("a valid configuration").store else {
        return "memory".to_owned();
    };
    #[cfg(feature = "tls")]
    let tls = if endpoint.tls.is_some() {
        "tls"
    } else {
        "plain"
    };
    #[cfg(not(feature = "tls"))]
    let tls = "plain";
    let auth = match &endpoint.auth {
        Auth::None => "no login".to_owned(),
        Auth::Entra(login) => format!(
            "entra {} for {}, {} before",
            login.username.as_deref().unwrap_or("its user"),
            login.scope,
            humantime::format_duration(login.margin),
        ),
        Auth::Password(Login { username, password }) => {
            format!(
                "{} {}",
                username.as_deref().unwrap_or("default"),
                password.expose()
            )
        }
    };
    format!("{tls} {endpoint} db {} {auth}", endpoint.db)
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(" <- ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// What each of these environments is refused with.
fn check_refused(environments: &[&[(&str, &str)]], expected: &Expect) {
    let mut table = String::new();
    for variables in environments {
        for (name, value) in *variables {
            table.push_str(&format!("{name}={value:?}\n"));
        }
        let error = config(variables).expect_err(&format!("{variables:?} is refused"));
        assert_eq!(error.kind(), ErrorKind::Config);
        table.push_str(&format!("  {}\n", chain(&error)));
    }
    expected.assert_eq(&table);
}

#[test]
fn without_host_and_url_values_stay_in_this_process() {
    let config = config(&[]).unwrap();
    assert!(matches!(config.store, StoreChoice::Memory));
    assert_eq!(config.prefix, "");
    assert_eq!(config.timeout, Duration::from_millis(250));
    assert_eq!(config.memory_capacity, 10_000);
    assert_eq!(config.max_value, 16 * 1024 * 1024);
    // What only a server has is of no account then, but must still be readable.
    assert_eq!(
        endpoint(self::config(&[
            ("REDIS_PASSWORD", SECRET),
            ("REDIS_AUTH", "entra")
        ])),
        "memory"
    );
    assert!(self::config(&[("REDIS_DB", "one")]).is_err());
}

#[test]
fn a_cache_that_is_off_has_no_store_whatever_says_where_redis_is() {
    let is_off = |config: &Config| matches!(config.store, StoreChoice::Off);
    let off = ("REDIS_CACHE", "off");
    for variables in [
        &[off][..],
        &[("REDIS_CACHE", " Off ")],
        &[("REDIS_CACHE", "false")],
        &[off, ("REDIS_URL", "redis://cache")],
        // What is wrong with a server that is not asked waits for the day on which it is.
        &[off, ("REDIS_URL", "cache"), ("REDIS_HOST", "cache")],
    ] {
        let config = config(variables).unwrap();
        assert!(is_off(&config), "{variables:?}");
        assert_eq!(config.hints, [Hint::Off], "{variables:?}");
    }
    for on in ["on", "ON", "true", "", " "] {
        let url = ("REDIS_URL", "redis://cache");
        assert_eq!(
            endpoint(config(&[("REDIS_CACHE", on), url])),
            "plain cache:6379 db 0 no login"
        );
    }
    // It says nothing of how keys are written.
    let prefixed = config(&[off, ("REDIS_KEY_PREFIX", "shop")]).unwrap();
    assert_eq!(prefixed.prefix, "shop");
    assert!(config(&[off, ("REDIS_DB", "one")]).is_err());

    // Code that asks the environment is told, whatever else it says; other code does not hear of it.
    let build = |builder: CacheBuilder| builder.build_config_in(environment(&[off])).unwrap();
    let builder = CacheBuilder::default;
    for asking in [builder().url("redis://cache"), builder().in_memory()] {
        assert!(is_off(&build(asking.clone().from_env())));
        assert!(!is_off(&build(asking)));
    }
    let config = Config::off().unwrap();
    assert!(is_off(&config));
    assert_eq!((&*config.prefix, config.hints), ("", vec![]));
}

#[test]
fn an_empty_variable_is_not_set() {
    let names = [
        "REDIS_HOST",
        "REDIS_PORT",
        "REDIS_URL",
        "REDIS_AUTH",
        "REDIS_USERNAME",
        "REDIS_PASSWORD",
        "REDIS_TLS",
        "REDIS_TLS_CA",
        "REDIS_DB",
        "REDIS_KEY_PREFIX",
        "REDIS_TIMEOUT",
        "REDIS_MAX_VALUE",
    ];
    assert_eq!(endpoint(config(&names.map(|name| (name, "")))), "memory");
    let all_but_url = names.map(|name| (name, if name == "REDIS_URL" { "redis://h" } else { "" }));
    assert_eq!(endpoint(config(&all_but_url)), "plain h:6379 db 0 no login");
}

#[test]
fn the_url_says_all() {
    for (url, expected) in [
        ("redis://cache", "plain cache:6379 db 0 no login"),
        ("redis://cache/", "plain cache:6379 db 0 no login"),
        ("redis://cache:7000/3", "plain cache:7000 db 3 no login"),
        (
            "redis://127.0.0.1:7000",
            "plain 127.0.0.1:7000 db 0 no login",
        ),
        ("redis://[::1]:7000/15", "plain [::1]:7000 db 15 no login"),
        ("redis://my_cache", "plain my_cache:6379 db 0 no login"),
        ("redis://:pw@cache", "plain cache:6379 db 0 default pw"),
        ("redis://app:pw@cache/1", "plain cache:6379 db 1 app pw"),
        (
            "redis://a%3Ab:p%40ss%2Fw%C3%B6rd%25@cache",
            "plain cache:6379 db 0 a:b p@ss/wörd%",
        ),
        (
            "redis://app:100%sure+1@cache",
            "plain cache:6379 db 0 app 100%sure+1",
        ),
        // An access key of Azure's, as it comes.
        (
            "redis://:6Zw0=AzCaABC+x=@cache",
            "plain cache:6379 db 0 default 6Zw0=AzCaABC+x=",
        ),
        ("  redis://cache\n", "plain cache:6379 db 0 no login"),
        ("redis://:@cache", "plain cache:6379 db 0 no login"),
    ] {
        assert_eq!(endpoint(config(&[("REDIS_URL", url)])), expected, "{url}");
    }
}

#[cfg(feature = "tls")]
#[test]
fn tls_has_its_own_default_port() {
    for (variables, expected) in [
        (
            &[("REDIS_URL", "rediss://cache")][..],
            "tls cache:6380 db 0 no login",
        ),
        (
            &[("REDIS_URL", "rediss://cache:7000")],
            "tls cache:7000 db 0 no login",
        ),
        (
            &[("REDIS_URL", "rediss://cache"), ("REDIS_TLS", "yes")],
            "tls cache:6380 db 0 no login",
        ),
        (
            &[
                ("REDIS_HOST", "::1"),
                ("REDIS_AUTH", "none"),
                ("REDIS_TLS", "on"),
            ],
            "tls [::1]:6380 db 0 no login",
        ),
        (
            &[
                ("REDIS_HOST", "cache"),
                ("REDIS_PASSWORD", "pw"),
                ("REDIS_TLS", "1"),
            ],
            "tls cache:6380 db 0 default pw",
        ),
        (
            &[
                ("REDIS_HOST", "cache"),
                ("REDIS_PASSWORD", "pw"),
                ("REDIS_TLS", "FALSE"),
            ],
            "plain cache:6379 db 0 default pw",
        ),
    ] {
        assert_eq!(endpoint(config(variables)), expected, "{variables:?}");
    }
}

#[test]
fn host_and_login_are_said_apart() {
    for (variables, expected) in [
        (
            &[("REDIS_HOST", "cache"), ("REDIS_PASSWORD", "pw")][..],
            "plain cache:6379 db 0 default pw",
        ),
        (
            &[
                ("REDIS_HOST", "[::1]"),
                ("REDIS_PASSWORD", " pw\n"),
                ("REDIS_USERNAME", " app "),
            ],
            "plain [::1]:6379 db 0 app  pw\n",
        ),
        (
            &[
                ("REDIS_HOST", "cache"),
                ("REDIS_AUTH", "NONE"),
                ("REDIS_PORT", "7000"),
                ("REDIS_DB", "2"),
            ],
            "plain cache:7000 db 2 no login",
        ),
        (
            &[
                ("REDIS_HOST", "cache"),
                ("REDIS_AUTH", "password"),
                ("REDIS_PASSWORD", "pw"),
            ],
            "plain cache:6379 db 0 default pw",
        ),
        // A URL from the deployment, its secrets from elsewhere.
        (
            &[
                ("REDIS_URL", "redis://cache"),
                ("REDIS_PASSWORD", "pw"),
                ("REDIS_USERNAME", "app"),
                ("REDIS_DB", "4"),
            ],
            "plain cache:6379 db 4 app pw",
        ),
        (
            &[("REDIS_URL", "redis://app@cache"), ("REDIS_PASSWORD", "pw")],
            "plain cache:6379 db 0 app pw",
        ),
    ] {
        assert_eq!(endpoint(config(variables)), expected, "{variables:?}");
    }
}

#[test]
fn a_port_that_kubernetes_sets_says_nothing() {
    let port = ("REDIS_PORT", "tcp://10.96.0.11:6379");
    assert_eq!(endpoint(config(&[port])), "memory");
    assert_eq!(
        endpoint(config(&[port, ("REDIS_URL", "redis://redis:7000")])),
        "plain redis:7000 db 0 no login"
    );
    assert_eq!(
        endpoint(config(&[
            port,
            ("REDIS_HOST", "redis"),
            ("REDIS_AUTH", "none")
        ])),
        "plain redis:6379 db 0 no login"
    );
}

#[test]
fn the_other_settings_are_read() {
    let config = config(&[
        ("REDIS_KEY_PREFIX", "shop:{eu}"),
        ("REDIS_TIMEOUT", "1s 500ms"),
    ])
    .unwrap();
    assert_eq!(config.prefix, "shop:{eu}");
    assert_eq!(config.timeout, Duration::from_millis(1500));
    for (text, bytes) in [
        ("1", 1),
        ("1048576", 1 << 20),
        ("700B", 700),
        ("100 KiB", 100 << 10),
        ("2MiB", 2 << 20),
        (" 512mib ", 512 << 20),
    ] {
        let config = self::config(&[("REDIS_MAX_VALUE", text)]).unwrap();
        assert_eq!(config.max_value, bytes, "{text}");
    }
}

#[test]
fn a_bad_value_is_named_with_what_is_accepted() {
    check_refused(
        &[
            &[("REDIS_CACHE", "maybe")],
            &[("REDIS_CACHE", "redis://:hunter2@cache")],
            &[("REDIS_HOST", "cache:6379")],
            &[("REDIS_HOST", "redis://cache")],
            &[("REDIS_HOST", "/var/run/redis.sock")],
            &[("REDIS_HOST", "10.0.0.300")],
            &[("REDIS_HOST", "ca che\n1")],
            &[("REDIS_PORT", "70000")],
            &[("REDIS_HOST", "cache"), ("REDIS_PORT", "0")],
            &[("REDIS_URL", "http://cache")],
            &[("REDIS_URL", "cache:6379")],
            &[("REDIS_URL", "cache")],
            &[("REDIS_URL", "redis://")],
            &[("REDIS_URL", "redis:///2")],
            &[("REDIS_URL", "redis://cache:70000")],
            &[("REDIS_URL", "redis://cache:0")],
            &[("REDIS_URL", "redis://cache/two")],
            &[("REDIS_URL", "redis://cache/2/")],
            &[("REDIS_URL", "redis://cache?protocol=resp3")],
            &[("REDIS_URL", "redis://ca%20che")],
            &[("REDIS_URL", "redis://:%FF@cache")],
            &[("REDIS_AUTH", "kerberos")],
            &[("REDIS_AUTH", SECRET)],
            &[("REDIS_TLS", "maybe")],
            &[("REDIS_DB", "-1")],
            &[("REDIS_DB", "4294967296")],
            &[("REDIS_TIMEOUT", "250")],
            &[("REDIS_TIMEOUT", "0s")],
            &[("REDIS_TIMEOUT", "2h")],
            &[(
                "REDIS_TIMEOUT",
                "soon, or when a whole paragraph about it has been written down here",
            )],
            &[("REDIS_MAX_VALUE", "0")],
            &[("REDIS_MAX_VALUE", "1GiB")],
            &[("REDIS_MAX_VALUE", "1.5MiB")],
            &[("REDIS_MAX_VALUE", "16MB")],
            &[("REDIS_MAX_VALUE", "MiB")],
            &[("REDIS_MAX_VALUE", "18446744073709551615KiB")],
        ],
        &expect![[r#"
            REDIS_CACHE="maybe"
              `REDIS_CACHE` is `maybe`; it is `on` or `off`, and where Redis is goes into `REDIS_URL`
            REDIS_CACHE="redis://:hunter2@cache"
              `REDIS_CACHE` is something else; it is `on` or `off`, and where Redis is goes into `REDIS_URL`
            REDIS_HOST="cache:6379"
              `REDIS_HOST` is `cache:6379`, which holds a port; the port goes into `REDIS_PORT`
            REDIS_HOST="redis://cache"
              `REDIS_HOST` is a URL; a URL goes into `REDIS_URL`
            REDIS_HOST="/var/run/redis.sock"
              `REDIS_HOST` is `/var/run/redis.sock`, which is no name and no address; a host is written as `cache.example.com`, `10.0.0.7` or `::1`
            REDIS_HOST="10.0.0.300"
              `REDIS_HOST` is `10.0.0.300`, which is no address; an IPv4 address is four numbers up to 255, for example `10.0.0.7`
            REDIS_HOST="ca che\n1"
              `REDIS_HOST` is `ca che\n1`, which is no name and no address; a host is written as `cache.example.com`, `10.0.0.7` or `::1`
            REDIS_PORT="70000"
              `REDIS_PORT` is `70000`; it is a number from 1 to 65535
            REDIS_HOST="cache"
            REDIS_PORT="0"
              `REDIS_PORT` is `0`; a port is a number from 1 to 65535
            REDIS_URL="http://cache"
              `REDIS_URL` has the scheme `http`; write `redis://user:password@host:port/db`, or `rediss://…` for TLS
            REDIS_URL="cache:6379"
              `REDIS_URL` has no scheme; write `redis://user:password@host:port/db`, or `rediss://…` for TLS
            REDIS_URL="cache"
              `REDIS_URL` cannot be read (relative URL without a base); write `redis://user:password@host:port/db`, or `rediss://…` for TLS, with `%40` for an `@` in the password, and the like for `:` `/` `?` `#` `%`
            REDIS_URL="redis://"
              `REDIS_URL` has no host; write `redis://user:password@host:port/db`, or `rediss://…` for TLS
            REDIS_URL="redis:///2"
              `REDIS_URL` has no host; write `redis://user:password@host:port/db`, or `rediss://…` for TLS
            REDIS_URL="redis://cache:70000"
              `REDIS_URL` cannot be read (invalid port number); write `redis://user:password@host:port/db`, or `rediss://…` for TLS, with `%40` for an `@` in the password, and the like for `:` `/` `?` `#` `%`
            REDIS_URL="redis://cache:0"
              `REDIS_URL` has the port 0; the port is a number from 1 to 65535
            REDIS_URL="redis://cache/two"
              `REDIS_URL` has a path that is no database; the path is the database's number, for example `/2`
            REDIS_URL="redis://cache/2/"
              `REDIS_URL` has a path that is no database; the path is the database's number, for example `/2`
            REDIS_URL="redis://cache?protocol=resp3"
              `REDIS_URL` has a part after `?` or `#`, of which there is none; write `redis://user:password@host:port/db`, or `rediss://…` for TLS, with `%3F` for a `?` and `%23` for a `#` in the password
            REDIS_URL="redis://ca%20che"
              `REDIS_URL` has a host that is no name and no address; a host is written as `cache.example.com`, `10.0.0.7` or `::1`
            REDIS_URL="redis://:%FF@cache"
              `REDIS_URL` has a user or password whose percent escapes are not UTF-8
            REDIS_AUTH="kerberos"
              `REDIS_AUTH` is `kerberos`; it is `entra`, `password` or `none`, and the password itself goes into `REDIS_PASSWORD`
            REDIS_AUTH="hunter2-Zq/9"
              `REDIS_AUTH` is something else; it is `entra`, `password` or `none`, and the password itself goes into `REDIS_PASSWORD`
            REDIS_TLS="maybe"
              `REDIS_TLS` is `maybe`; it is `true` or `false`
            REDIS_DB="-1"
              `REDIS_DB` is `-1`; it is a database's number, 0 or more
            REDIS_DB="4294967296"
              `REDIS_DB` is `4294967296`; it is a database's number, 0 or more
            REDIS_TIMEOUT="250"
              `REDIS_TIMEOUT` is `250`; it is a duration with its unit, for example `250ms` or `1s`
            REDIS_TIMEOUT="0s"
              `REDIS_TIMEOUT` is `0s`; it is from `1ms` to `1h`
            REDIS_TIMEOUT="2h"
              `REDIS_TIMEOUT` is `2h`; it is from `1ms` to `1h`
            REDIS_TIMEOUT="soon, or when a whole paragraph about it has been written down here"
              `REDIS_TIMEOUT` is `soon, or when a whole paragraph about it has been written do…`; it is a duration with its unit, for example `250ms` or `1s`
            REDIS_MAX_VALUE="0"
              `REDIS_MAX_VALUE` is 0; it is from 1 to 536870912 bytes, the most that redis takes
            REDIS_MAX_VALUE="1GiB"
              `REDIS_MAX_VALUE` is 1073741824; it is from 1 to 536870912 bytes, the most that redis takes
            REDIS_MAX_VALUE="1.5MiB"
              `REDIS_MAX_VALUE` is `1.5MiB`; it is a number of bytes, for example `1048576`, `1024KiB` or `1MiB`
            REDIS_MAX_VALUE="16MB"
              `REDIS_MAX_VALUE` is `16MB`; it is a number of bytes, for example `1048576`, `1024KiB` or `1MiB`
            REDIS_MAX_VALUE="MiB"
              `REDIS_MAX_VALUE` is `MiB`; it is a number of bytes, for example `1048576`, `1024KiB` or `1MiB`
            REDIS_MAX_VALUE="18446744073709551615KiB"
              `REDIS_MAX_VALUE` is `18446744073709551615KiB`; it is a number of bytes, for example `1048576`, `1024KiB` or `1MiB`
        "#]],
    );
}

/// What a prefix may hold is the key module's to say.
#[test]
fn a_bad_prefix_is_named() {
    for prefix in ["my shop", "100%", "{}shop", "{a}{b}", "}a{", "a{b"] {
        let error = config(&[("REDIS_KEY_PREFIX", prefix)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let named = format!("`REDIS_KEY_PREFIX` is `{prefix}`: ");
        assert!(error.to_string().starts_with(&named), "{error}");
    }
}

#[test]
fn a_contradiction_is_named_by_both_sides() {
    check_refused(
        &[
            &[("REDIS_URL", "redis://cache"), ("REDIS_HOST", "cache")],
            &[("REDIS_URL", "redis://cache"), ("REDIS_PORT", "6379")],
            &[("REDIS_URL", "redis://:a@cache"), ("REDIS_PASSWORD", "a")],
            &[
                ("REDIS_URL", "redis://app:a@cache"),
                ("REDIS_USERNAME", "app"),
            ],
            &[("REDIS_URL", "redis://cache/1"), ("REDIS_DB", "1")],
            &[("REDIS_URL", "redis://cache"), ("REDIS_TLS", "true")],
            &[("REDIS_URL", "rediss://cache"), ("REDIS_TLS", "false")],
            &[("REDIS_URL", "redis://:a@cache"), ("REDIS_AUTH", "none")],
            &[("REDIS_URL", "redis://:a@cache"), ("REDIS_AUTH", "entra")],
            &[("REDIS_URL", "redis://cache"), ("REDIS_AUTH", "entra")],
            &[("REDIS_URL", "redis://cache"), ("REDIS_AUTH", "password")],
            &[
                ("REDIS_HOST", "cache"),
                ("REDIS_PASSWORD", "a"),
                ("REDIS_AUTH", "none"),
            ],
            &[("REDIS_HOST", "cache"), ("REDIS_AUTH", "password")],
            &[
                ("REDIS_HOST", "cache"),
                ("REDIS_AUTH", "entra"),
                ("REDIS_TLS", "no"),
            ],
            &[
                ("REDIS_HOST", "shop.redis.cache.windows.net"),
                ("REDIS_TLS", "no"),
            ],
            &[
                ("REDIS_URL", "rediss://:a@cache"),
                ("REDIS_ENTRA_SCOPE", "https://redis.azure.com/.default"),
            ],
            &[
                ("REDIS_HOST", "cache"),
                ("REDIS_ENTRA_SCOPE", "https://redis.azure.com/.default"),
            ],
            &[
                ("REDIS_HOST", "cache"),
                ("REDIS_AUTH", "entra"),
                ("REDIS_ENTRA_SCOPE", "redis; rm -rf"),
            ],
            &[
                ("REDIS_HOST", "cache"),
                ("REDIS_PASSWORD", "a"),
                ("REDIS_TLS_CA", "/ca.pem"),
            ],
            &[("REDIS_URL", "redis://cache"), ("REDIS_TLS_CA", "/ca.pem")],
        ],
        &expect![[r#"
            REDIS_URL="redis://cache"
            REDIS_HOST="cache"
              `REDIS_URL` and `REDIS_HOST` both say where Redis is; remove one of them
            REDIS_URL="redis://cache"
            REDIS_PORT="6379"
              `REDIS_URL` and `REDIS_PORT` both say where Redis is; remove one of them
            REDIS_URL="redis://:a@cache"
            REDIS_PASSWORD="a"
              `REDIS_URL` and `REDIS_PASSWORD` both set the password; remove one of them
            REDIS_URL="redis://app:a@cache"
            REDIS_USERNAME="app"
              `REDIS_URL` and `REDIS_USERNAME` both set the user; remove one of them
            REDIS_URL="redis://cache/1"
            REDIS_DB="1"
              `REDIS_URL` and `REDIS_DB` both set the database; remove one of them
            REDIS_URL="redis://cache"
            REDIS_TLS="true"
              `REDIS_URL` begins with `redis://`, which is not TLS, but `REDIS_TLS=true` says otherwise; remove `REDIS_TLS=true`
            REDIS_URL="rediss://cache"
            REDIS_TLS="false"
              `REDIS_URL` begins with `rediss://`, which is TLS, but `REDIS_TLS=false` says otherwise; remove `REDIS_TLS=false`
            REDIS_URL="redis://:a@cache"
            REDIS_AUTH="none"
              `REDIS_AUTH=none` goes without a password, but `REDIS_URL` sets one; remove one of them
            REDIS_URL="redis://:a@cache"
            REDIS_AUTH="entra"
              `REDIS_AUTH=entra` goes without a password, but `REDIS_URL` sets one; remove one of them
            REDIS_URL="redis://cache"
            REDIS_AUTH="entra"
              Entra ID login needs TLS, but `REDIS_URL` begins with `redis://`, which is not TLS; write `rediss://`
            REDIS_URL="redis://cache"
            REDIS_AUTH="password"
              `REDIS_AUTH=password` needs a password, and none is set; set `REDIS_PASSWORD`
            REDIS_HOST="cache"
            REDIS_PASSWORD="a"
            REDIS_AUTH="none"
              `REDIS_AUTH=none` goes without a password, but `REDIS_PASSWORD` sets one; remove one of them
            REDIS_HOST="cache"
            REDIS_AUTH="password"
              `REDIS_AUTH=password` needs a password, and none is set; set `REDIS_PASSWORD`
            REDIS_HOST="cache"
            REDIS_AUTH="entra"
            REDIS_TLS="no"
              Entra ID login, the default for a name of Azure's without a password, needs TLS, but `REDIS_TLS=false` is without; set `REDIS_PASSWORD`, or `REDIS_AUTH=none` for a server without a password
            REDIS_HOST="shop.redis.cache.windows.net"
            REDIS_TLS="no"
              Entra ID login, the default for a name of Azure's without a password, needs TLS, but `REDIS_TLS=false` is without; set `REDIS_PASSWORD`, or `REDIS_AUTH=none` for a server without a password
            REDIS_URL="rediss://:a@cache"
            REDIS_ENTRA_SCOPE="https://redis.azure.com/.default"
              `REDIS_ENTRA_SCOPE` is for Entra ID login, which is not used here; remove it, or set `REDIS_AUTH=entra`
            REDIS_HOST="cache"
            REDIS_ENTRA_SCOPE="https://redis.azure.com/.default"
              `REDIS_ENTRA_SCOPE` is for Entra ID login, which is not used here; remove it, or set `REDIS_AUTH=entra`
            REDIS_HOST="cache"
            REDIS_AUTH="entra"
            REDIS_ENTRA_SCOPE="redis; rm -rf"
              `REDIS_ENTRA_SCOPE` is `redis; rm -rf`; it is a scope, for example `https://redis.azure.com/.default`
            REDIS_HOST="cache"
            REDIS_PASSWORD="a"
            REDIS_TLS_CA="/ca.pem"
              `REDIS_TLS_CA` names certificate authorities, but there is no TLS; set `REDIS_TLS=true`, or write `rediss://`
            REDIS_URL="redis://cache"
            REDIS_TLS_CA="/ca.pem"
              `REDIS_TLS_CA` names certificate authorities, but there is no TLS; set `REDIS_TLS=true`, or write `rediss://`
        "#]],
    );
}

#[cfg(unix)]
#[test]
fn what_is_not_utf8_is_refused_by_name() {
    use std::os::unix::ffi::OsStringExt;
    for name in ["REDIS_HOST", "REDIS_PASSWORD"] {
        let error = Config::from_environment(|asked| {
            (asked == name).then(|| OsString::from_vec(vec![b'a', 0xff]))
        })
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("`{name}` is not UTF-8; write it in UTF-8")
        );
    }
}

#[test]
fn entra_id_is_chosen_for_a_name_of_azures_alone() {
    let transport = if cfg!(feature = "tls") {
        "tls"
    } else {
        "plain"
    };
    for (variables, login) in [
        (
            &[("REDIS_HOST", "cache"), ("REDIS_AUTH", "entra")][..],
            "cache:6380 db 0 entra its user for https://redis.azure.com/.default",
        ),
        (
            &[
                ("REDIS_HOST", "shop.redis.cache.usgovcloudapi.net"),
                ("REDIS_USERNAME", "app"),
                ("REDIS_ENTRA_SCOPE", "https://redis.azure.us/.default"),
            ],
            "shop.redis.cache.usgovcloudapi.net:6380 db 0 entra app for https://redis.azure.us/.default",
        ),
    ] {
        assert_eq!(
            endpoint(config(variables)),
            format!("{transport} {login}, 5m before")
        );
    }
    for host in [
        "shop.redis.cache.windows.net",
        "Shop.Redis.Cache.Windows.Net.",
        "shop.privatelink.redis.cache.windows.net",
        "shop.redis.cache.chinacloudapi.cn",
        "shop.westeurope.redis.azure.net",
        "shop.westeurope.privatelink.redis.azure.net",
        "shop.westeurope.redisenterprise.cache.azure.net",
        "shop.privatelink.redisenterprise.cache.azure.net",
    ] {
        let config = config(&[("REDIS_HOST", host)]).unwrap();
        assert_eq!(config.hints, []);
        let entra = "entra its user for https://redis.azure.com/.default, 5m before";
        assert_eq!(
            endpoint(Ok(config)),
            format!("{transport} {host}:6380 db 0 {entra}")
        );
        // A password says that it is none of Entra's.
        let config = self::config(&[("REDIS_HOST", host), ("REDIS_PASSWORD", "pw")]).unwrap();
        assert_eq!(config.hints, []);
        assert_eq!(
            endpoint(Ok(config)),
            format!("plain {host}:6379 db 0 default pw")
        );
    }
    let url = [
        ("REDIS_URL", "rediss://cache:7000"),
        ("REDIS_AUTH", "entra"),
    ];
    #[cfg(feature = "tls")]
    assert_eq!(
        endpoint(config(&url)),
        "tls cache:7000 db 0 entra its user for https://redis.azure.com/.default, 5m before"
    );
    #[cfg(not(feature = "tls"))]
    assert!(config(&url).is_ok());
    let builder = CacheBuilder::default()
        .host("cache")
        .entra_id()
        .username("app")
        .token_margin(Duration::from_secs(60));
    assert_eq!(
        endpoint(builder.build_config()),
        format!(
            "{transport} cache:6380 db 0 entra app for https://redis.azure.com/.default, 1m before"
        )
    );
}

#[test]
fn a_host_that_is_not_azures_is_a_plain_server_and_one_line_says_so() {
    for host in [
        "redis",
        "localhost",
        "127.0.0.1",
        "::1",
        "redis.shop.svc.cluster.local",
        "cache.amazonaws.com",
        // Nobody's cache, and somebody else's name.
        "redis.cache.windows.net",
        "shopredis.cache.windows.net.example.com",
    ] {
        let plain = Hint::Plain {
            name: "REDIS_HOST",
            host: host.to_owned(),
        };
        for (variables, login) in [
            (&[("REDIS_HOST", host)][..], "no login"),
            (&[("REDIS_HOST", host), ("REDIS_USERNAME", "app")], "app "),
        ] {
            let config = config(variables).unwrap();
            assert_eq!(config.hints, std::slice::from_ref(&plain));
            let host = match host {
                "::1" => "[::1]",
                host => host,
            };
            let expected = format!("plain {host}:6379 db 0 {login}");
            assert_eq!(endpoint(Ok(config)), expected);
        }
        for said in [
            ("REDIS_AUTH", "none"),
            ("REDIS_AUTH", "entra"),
            ("REDIS_PASSWORD", "pw"),
        ] {
            let config = config(&[("REDIS_HOST", host), said]).unwrap();
            assert_eq!(config.hints, [], "{said:?}");
        }
    }
    let config = config(&[("REDIS_URL", "redis://localhost")]).unwrap();
    assert_eq!(config.hints, []);
}

/// An ACL user with `nopass`.
#[test]
fn a_user_without_a_password_logs_in_with_an_empty_one() {
    for variables in [
        &[("REDIS_URL", "redis://app@cache")][..],
        &[("REDIS_URL", "redis://app:@cache")],
        &[("REDIS_URL", "redis://app@cache"), ("REDIS_AUTH", "none")],
        &[("REDIS_URL", "redis://cache"), ("REDIS_USERNAME", "app")],
        &[
            ("REDIS_HOST", "cache"),
            ("REDIS_USERNAME", "app"),
            ("REDIS_AUTH", "none"),
        ],
    ] {
        let expected = "plain cache:6379 db 0 app ";
        assert_eq!(endpoint(config(variables)), expected, "{variables:?}");
    }
}

#[test]
fn what_is_likely_a_mistake_is_hinted_at() {
    let prefix = |prefix: &str| Hint::PrefixWithColon {
        name: "REDIS_KEY_PREFIX",
        prefix: prefix.to_owned(),
    };
    let padded = |name| Hint::PaddedPassword { name };
    for (variables, hints) in [
        (&[][..], vec![Hint::InProcess]),
        (&[("REDIS_URL", "redis://cache")], vec![]),
        (
            &[
                ("REDIS_URL", "redis://cache"),
                ("REDIS_KEY_PREFIX", "shop:"),
            ],
            vec![prefix("shop:")],
        ),
        (
            &[
                ("REDIS_URL", "redis://cache"),
                ("REDIS_KEY_PREFIX", "shop:eu"),
            ],
            vec![],
        ),
        (
            &[("REDIS_URL", "redis://cache"), ("REDIS_PASSWORD", "pw\n")],
            vec![padded("REDIS_PASSWORD")],
        ),
        (
            &[("REDIS_HOST", "cache"), ("REDIS_PASSWORD", " p w")],
            vec![padded("REDIS_PASSWORD")],
        ),
        (
            &[("REDIS_HOST", "cache"), ("REDIS_PASSWORD", "p w")],
            vec![],
        ),
        (
            &[("REDIS_URL", "redis://:pw%0D%0A@cache")],
            vec![padded("REDIS_URL")],
        ),
    ] {
        assert_eq!(config(variables).unwrap().hints, hints, "{variables:?}");
    }
    // Said in code, it is meant.
    let in_memory = CacheBuilder::default().from_env().in_memory();
    let config = in_memory.build_config_in(environment(&[])).unwrap();
    assert_eq!(config.hints, []);
    assert_eq!(CacheBuilder::default().build_config().unwrap().hints, []);
}

#[test]
fn a_token_margin_without_effect_is_refused() {
    for (margin, shown) in [(0, "0s"), (2 * 24 * 3600, "2days")] {
        let builder = CacheBuilder::default()
            .host("cache")
            .entra_id()
            .token_margin(Duration::from_secs(margin));
        assert_eq!(
            builder.build_config().unwrap_err().to_string(),
            format!("`token_margin` is `{shown}`; it is from `1s` to `1day`")
        );
    }
}

#[cfg(not(feature = "entra-id"))]
#[test]
fn entra_id_without_its_feature_is_refused_by_the_features_name() {
    for variables in [
        &[("REDIS_HOST", "shop.redis.cache.windows.net")][..],
        &[("REDIS_HOST", "cache"), ("REDIS_AUTH", "entra")],
        &[("REDIS_URL", "rediss://cache"), ("REDIS_AUTH", "entra")],
    ] {
        let refusal = crate::Cache::new(config(variables).unwrap()).unwrap_err();
        assert_eq!(refusal.kind(), ErrorKind::Config);
        let refusal = refusal.to_string();
        assert!(
            refusal.contains("add the feature `entra-id` of cache-runtime"),
            "{refusal}"
        );
        assert!(refusal.contains("REDIS_AUTH=none"), "{refusal}");
    }
}

#[cfg(not(feature = "tls"))]
#[test]
fn tls_without_its_feature_is_refused_by_the_features_name() {
    for variables in [
        &[("REDIS_URL", "rediss://cache")][..],
        &[
            ("REDIS_HOST", "cache"),
            ("REDIS_AUTH", "none"),
            ("REDIS_TLS", "true"),
        ],
    ] {
        let error = config(variables).unwrap_err().to_string();
        assert!(
            error.ends_with("asks for TLS; add the feature `tls` of cache-runtime"),
            "{error}"
        );
    }
}

#[cfg(feature = "tls")]
mod certificates {
    use super::*;

    const CA: &str = "\
-----BEGIN CERTIFICATE-----
MIIBmDCCAT2gAwIBAgIUWDrJ9PJZVW7qxCxGh/h9Wj0z9ZcwCgYIKoZIzj0EAwIw
IDEeMBwGA1UEAwwVY2FjaGUtcnVudGltZSB0ZXN0IENBMCAXDTI2MTEyMjE4MjQz
MVoYDzIxMjYxMDI5MTgyNDMxWjAgMR4wHAYDVQQDDBVjYWNoZS1ydW50aW1lIHRl
c3QgQ0EwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATq4qQrnZUtovT50Av/de14
vnnwq8uPXiWvhteUbzvSsQHqLU9v6rWUNZ+RccbGaUK9MkdjGk66SRGHhl8k814r
o1MwUTAdBgNVHQ4EFgQU11OY/dxJBAT3dI0KM5ikwul4nBQwHwYDVR0jBBgwFoAU
11OY/dxJBAT3dI0KM5ikwul4nBQwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQD
AgNJADBGAiEArm/t1AG/x9NKS+X1Vzs/D/9xueO+wBE30iFBjw3pLawCIQD8LD12
lbar+spgbgVdxdl39futazWdbKtfAtBad6538A==
-----END CERTIFICATE-----
";

    fn authorities(pem: impl Into<Vec<u8>>) -> Result<usize, String> {
        let config = CacheBuilder::default()
            .url("rediss://cache")
            .tls_ca_pem(pem)
            .build_config();
        let StoreChoice::Redis(endpoint) = config.map_err(|error| chain(&error))?.store else {
            unreachable!("a URL is set")
        };
        Ok(endpoint.tls.unwrap().authorities.unwrap().len())
    }

    #[test]
    fn are_read_from_pem() {
        assert_eq!(authorities(CA), Ok(1));
        assert_eq!(authorities(format!("words between\n{CA}\n{CA}")), Ok(2));
    }

    #[test]
    fn that_cannot_be_read_are_refused() {
        assert_eq!(
            authorities(""),
            Err(
                "`tls_ca_pem` holds no certificate; write `-----BEGIN CERTIFICATE-----` blocks"
                    .to_owned()
            )
        );
        assert_eq!(
            authorities(CA.replace("-----END CERTIFICATE-----", "")),
            Err(
                "`tls_ca_pem` is broken PEM; write `-----BEGIN CERTIFICATE-----` blocks".to_owned()
            )
        );
        assert_eq!(
            authorities(CA.replace("MIIBmDCC", "MIIBmDCD")),
            Err("`tls_ca_pem` holds a certificate that cannot be used (invalid peer certificate: BadEncoding)".to_owned())
        );
    }

    #[test]
    fn come_from_the_named_file() {
        let missing = config(&[
            ("REDIS_URL", "rediss://cache"),
            ("REDIS_TLS_CA", "/nowhere/ca.pem"),
        ])
        .unwrap_err();
        assert_eq!(
            chain(&missing),
            "`REDIS_TLS_CA` is `/nowhere/ca.pem`, which cannot be read; name a file of certificates in PEM form \
             <- No such file or directory (os error 2)"
        );
        let no_certificate = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let error = config(&[
            ("REDIS_URL", "rediss://cache"),
            ("REDIS_TLS_CA", no_certificate),
        ])
        .unwrap_err();
        assert!(
            error.to_string().ends_with(
                "which holds no certificate; write `-----BEGIN CERTIFICATE-----` blocks"
            )
        );
    }

    #[test]
    fn a_host_that_no_certificate_can_be_for_is_refused() {
        let label = "a".repeat(64);
        let error = CacheBuilder::default()
            .host(&*label)
            .no_auth()
            .tls(true)
            .build_config()
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("which no certificate can be for"),
            "{error}"
        );
        assert!(
            CacheBuilder::default()
                .host(&*label)
                .no_auth()
                .build_config()
                .is_ok()
        );
    }
}

#[test]
fn the_builder_means_what_the_variables_mean() {
    let builder = CacheBuilder::default;
    let built = |builder: CacheBuilder| endpoint(builder.build_config());
    assert_eq!(built(builder()), "memory");
    assert_eq!(
        built(builder().url("redis://app:pw@cache/2")),
        "plain cache:6379 db 2 app pw"
    );
    assert_eq!(
        built(builder().host("cache").port(7000).no_auth().db(3)),
        "plain cache:7000 db 3 no login"
    );
    assert_eq!(
        built(builder().host("cache").username("app").password("pw")),
        "plain cache:6379 db 0 app pw"
    );
    assert_eq!(built(builder().url("redis://cache").in_memory()), "memory");
    let config = builder()
        .prefix("shop")
        .timeout(Duration::from_secs(1))
        .memory_capacity(5)
        .max_value(6)
        .build_config()
        .unwrap();
    assert_eq!(
        (&*config.prefix, config.timeout, config.memory_capacity),
        ("shop", Duration::from_secs(1), 5)
    );
    assert_eq!(config.max_value, 6);
    let coordination = config.coordination;
    assert_eq!(coordination.background_runs, 256);
    assert_eq!(coordination.background_timeout, Duration::from_secs(300));
    let seconds = Duration::from_secs;
    assert_eq!(coordination.refresh_pause, seconds(1)..=seconds(30));
    assert_eq!(coordination.cluster_wait, seconds(30));
    assert_eq!(coordination.run_wait, seconds(30));
    assert_eq!(coordination.background_runs_per_function, 64);
    let coordination = builder()
        .background_runs(7)
        .background_timeout(seconds(6))
        .refresh_pause(seconds(2)..=seconds(2))
        .cluster_wait(seconds(5))
        .run_wait(seconds(4))
        .background_runs_per_function(3)
        .build_config()
        .unwrap()
        .coordination;
    assert_eq!(coordination.background_runs, 7);
    assert_eq!(coordination.background_timeout, seconds(6));
    assert_eq!(coordination.refresh_pause, seconds(2)..=seconds(2));
    assert_eq!(coordination.cluster_wait, seconds(5));
    assert_eq!(coordination.run_wait, seconds(4));
    assert_eq!(coordination.background_runs_per_function, 3);
}

#[test]
fn the_builder_is_refused_by_its_own_words() {
    let builder = CacheBuilder::default;
    for (builder, expected) in [
        (
            builder().password(SECRET),
            "`password` is set, but not where Redis is; set `host` or `url`, or `in_memory` to do without",
        ),
        (
            builder().url("redis://cache").host("cache"),
            "`url` and `host` both say where Redis is; remove one of them",
        ),
        (
            builder().host("cache").no_auth().password(SECRET),
            "`no_auth` goes without a password, but `password` sets one; remove one of them",
        ),
        (
            builder().url("rediss://cache").tls(false),
            "`url` begins with `rediss://`, which is TLS, but `tls(false)` says otherwise; remove `tls(false)`",
        ),
        (
            builder().timeout(Duration::ZERO),
            "`timeout` is `0s`; it is from `1ms` to `1h`",
        ),
        (
            builder().memory_capacity(0),
            "`memory_capacity` is 0, which would keep nothing; use 1 or more",
        ),
        (
            builder().max_value(0),
            "`max_value` is 0; it is from 1 to 536870912 bytes, the most that redis takes",
        ),
        (
            builder().background_runs(0),
            "`background_runs` is 0, which would refresh nothing; use 1 or more",
        ),
        (
            builder().background_runs_per_function(0),
            "`background_runs_per_function` is 0, which would refresh nothing; use 1 or more",
        ),
        (
            builder().background_timeout(Duration::ZERO),
            "`background_timeout` is `0s`; it is from `1ms` to `1day`",
        ),
        (
            builder().refresh_pause(Duration::from_secs(2)..=Duration::from_secs(1)),
            "`refresh_pause` is `2s` to `1s`; it is a shorter and a longer pause, from `1ms` to `1day`",
        ),
        (
            builder().refresh_pause(Duration::ZERO..=Duration::from_secs(1)),
            "`refresh_pause` is `0s` to `1s`; it is a shorter and a longer pause, from `1ms` to `1day`",
        ),
        (
            builder().cluster_wait(Duration::from_secs(3601)),
            "`cluster_wait` is `1h 1s`; it is from `1ms` to `1h`",
        ),
        (
            builder().run_wait(Duration::ZERO),
            "`run_wait` is `0s`; it is from `1ms` to `1h`",
        ),
    ] {
        assert_eq!(builder.build_config().unwrap_err().to_string(), expected);
    }
}

#[test]
fn code_wins_over_the_environment() {
    let variables = [
        ("REDIS_URL", "redis://there:1111/7"),
        ("REDIS_PASSWORD", "pw"),
        ("REDIS_KEY_PREFIX", "env"),
        ("REDIS_TIMEOUT", "1s"),
    ];
    let built = |builder: CacheBuilder| builder.build_config_in(environment(&variables));
    let from_env = || CacheBuilder::default().from_env();
    assert_eq!(
        endpoint(built(from_env())),
        "plain there:1111 db 7 default pw"
    );
    assert_eq!(
        endpoint(built(from_env().host("here"))),
        "plain here:6379 db 0 default pw"
    );
    assert_eq!(
        endpoint(built(from_env().password("own"))),
        "plain there:1111 db 7 default own"
    );
    assert_eq!(endpoint(built(from_env().in_memory())), "memory");
    assert_eq!(endpoint(built(CacheBuilder::default())), "memory");
    let config = built(from_env().prefix("code")).unwrap();
    assert_eq!(
        (&*config.prefix, config.timeout),
        ("code", Duration::from_secs(1))
    );
    // Without a server in the environment, a password in code is no mistake: it waits for one.
    let nowhere = from_env().password("own").build_config_in(environment(&[]));
    assert_eq!(endpoint(nowhere), "memory");
}

/// However it is misplaced, no message and no `Debug` shows the password.
#[test]
fn p8_no_configuration_shows_a_secret() {
    let encoded = SECRET.replace('/', "%2F");
    let urls = [
        format!("redis://app:{encoded}@cache"),
        format!("redis://app:{SECRET}@cache"),
        format!("redis://:{encoded}@cache:notaport"),
        format!("redis://:{encoded}@cache/two"),
        format!("redis://:{encoded}@ca che"),
        format!("redis://:{encoded}@"),
        format!("redis://:{encoded}@cache?x"),
        format!("redis://cache/{encoded}"),
        format!("redis://cache?password={encoded}"),
        format!("redis://{encoded}"),
        format!("http://:{encoded}@cache"),
        format!("app:{encoded}@cache:6379"),
        format!("{encoded}@cache"),
        encoded.clone(),
        format!("cache,password={encoded},ssl=True"),
    ];
    let mut environments: Vec<Vec<(&str, &str)>> = Vec::new();
    for url in &urls {
        environments.push(vec![("REDIS_URL", url)]);
        environments.push(vec![("REDIS_URL", url), ("REDIS_PASSWORD", SECRET)]);
        environments.push(vec![("REDIS_URL", url), ("REDIS_AUTH", "none")]);
        if url.contains(['@', '=']) || url.contains("://") {
            environments.push(vec![("REDIS_HOST", url), ("REDIS_PASSWORD", SECRET)]);
        }
    }
    environments.push(vec![("REDIS_AUTH", SECRET)]);
    environments.push(vec![("REDIS_HOST", "cache"), ("REDIS_PASSWORD", SECRET)]);
    environments.push(vec![
        ("REDIS_HOST", "cache"),
        ("REDIS_PASSWORD", SECRET),
        ("REDIS_AUTH", "none"),
    ]);
    environments.push(vec![
        ("REDIS_HOST", "cache"),
        ("REDIS_PASSWORD", SECRET),
        ("REDIS_AUTH", "entra"),
    ]);
    let (mut accepted, mut refused) = (0, 0);
    for variables in &environments {
        let shown = match config(variables) {
            Ok(config) => {
                accepted += 1;
                format!("{config:?} {config:#?}")
            }
            Err(error) => {
                refused += 1;
                format!("{} {error:?} {error:#?}", chain(&error))
            }
        };
        assert!(!shown.contains("hunter2"), "{variables:?} shows {shown}");
    }
    assert!(accepted >= 2 && refused >= 50, "{accepted} {refused}");

    let builder = CacheBuilder::default().url(&*urls[0]).password(SECRET);
    assert!(!format!("{builder:?} {builder:#?}").contains("hunter2"));
    assert_eq!(format!("{:?}", Secret::new(SECRET)), "<redacted>");
}
