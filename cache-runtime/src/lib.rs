//! Cache an async function in Redis.
