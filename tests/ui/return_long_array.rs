use cache_runtime::redis_cached;

const LENGTH: usize = 64;

#[redis_cached(ttl = 300)]
async fn hash(id: u64) -> [u8; 64] {
    [id as u8; 64]
}

#[redis_cached(ttl = 300)]
async fn hashes(id: u64) -> Result<Option<Vec<(u64, [u8; 33])>>, String> {
    Ok(Some(vec![(id, [0; 33])]))
}

#[redis_cached(ttl = 300)]
async fn hash_of_a_length_elsewhere(id: u64) -> Option<[u8; LENGTH]> {
    Some([id as u8; LENGTH])
}

fn main() {}
