//! Which hosts are Azure's.
//!
//! The one rule: **the end of a host's name decides, and nobody is asked**, because a configuration is made before there
//! is a connection.

/// How the names of Azure's caches end, in each of its clouds. The name of a private endpoint has `privatelink` before that.
const ENDINGS: [&str; 10] = [
    ".redis.cache.windows.net",
    ".redis.cache.usgovcloudapi.net",
    ".redis.cache.chinacloudapi.cn",
    ".redis.cache.cloudapi.de",
    ".redis.azure.net",
    ".redis.azure.us",
    ".redis.azure.cn",
    ".redisenterprise.cache.azure.net",
    ".redisenterprise.cache.azure.us",
    ".redisenterprise.cache.azure.cn",
];

/// Whether `host` is the name of a cache of Azure's, which takes TLS and tokens of Entra ID.
pub(super) fn is_azures(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    ENDINGS.iter().any(|ending| {
        host.strip_suffix(ending)
            .is_some_and(|name| !name.is_empty())
    })
}
