use cache_runtime::{Cache, Cacheable, Entry, redis_cached};
use serde::Serialize;

mod users {
    use cache_runtime::redis_cached;

    #[redis_cached(ttl = 300)]
    pub async fn r#type(id: u64, lang: &str) -> Result<Option<String>, std::io::Error> {
        Ok(Some(format!("{id} {lang}")))
    }
}

// Another error, and another name for each parameter.
#[redis_cached(ttl = 60, entry = users::r#type)]
async fn kind(number: u64, language: &str) -> Result<Option<String>, std::fmt::Error> {
    Ok(Some(format!("{number} {language}")))
}

struct Place {
    user: u64,
    lang: String,
}

// Parts of its parameters.
#[redis_cached(ttl = 60, entry = users::r#type, key_args(place.user, lang))]
async fn kind_at(lang: &str, place: &Place) -> Option<String> {
    Some(format!("{} {lang} {}", place.user, place.lang))
}

#[redis_cached(ttl = 60)]
async fn load<T: Serialize + Clone, V: Cacheable + Default>(id: T) -> V {
    drop(id);
    V::default()
}

#[redis_cached(ttl = 60, entry = load::<T, V>, stale_while_revalidate = 60)]
async fn load_later<T, V: Cacheable + Default>(id: T) -> V
where
    T: Serialize + Clone + Send + 'static,
{
    drop(id);
    V::default()
}

#[derive(Clone, Serialize)]
struct Repo<T> {
    of: T,
}

impl<T: Serialize + Clone> Repo<T> {
    #[redis_cached(ttl = 60)]
    async fn first(&self, id: u64) -> u64 {
        id
    }

    #[redis_cached(ttl = 60, entry = Self::first)]
    async fn second(&self, id: u64) -> u64 {
        id
    }

    #[redis_cached(ttl = 60, in_impl)]
    async fn whole(self) -> u64 {
        drop(self.of);
        1
    }

    #[redis_cached(ttl = 60, entry = Self::whole)]
    async fn whole_too(self) -> u64 {
        drop(self.of);
        1
    }
}

trait Numbers {
    async fn number(&self, cache: &Cache, id: u64) -> u64;
}

impl<T: Serialize + Clone> Numbers for Repo<T> {
    #[redis_cached(ttl = 60, trait_impl, entry = Self::first, key_args(self, id), cache = cache)]
    async fn number(&self, cache: &Cache, id: u64) -> u64 {
        id
    }
}

// Where a trait impl left no room for a companion, one can be written.
fn number_entry(cache: &Cache, id: u64) -> Entry<u64> {
    cache.entry(&format!("number:{id}"))
}

#[redis_cached(ttl = 60, entry = number, cache = cache, skip(cache))]
async fn number_by_hand(cache: &Cache, id: u64) -> u64 {
    let _ = number_entry;
    id
}

// Methods called as that whose entries they share.
#[redis_cached(ttl = 60)]
async fn rank(id: u64) -> u64 {
    id
}

struct Ranks;

impl Ranks {
    #[redis_cached(ttl = 60, entry = rank, skip(self))]
    async fn rank(&self, id: u64) -> u64 {
        id
    }
}

trait Ranked {
    async fn rank(&self, id: u64) -> u64;
}

impl Ranked for Ranks {
    #[redis_cached(ttl = 60, trait_impl, entry = Self::rank, skip(self))]
    async fn rank(&self, id: u64) -> u64 {
        id
    }
}

fn main() {
    // Nothing is run.
    drop((users::r#type(1, ""), kind(1, ""), kind_at("", &Place { user: 1, lang: String::new() })));
    drop((load::<_, u8>(1), load_later::<_, u8>(1)));
    drop((rank(1), Ranks.rank(1), Ranked::rank(&Ranks, 1)));
    let repo = Repo { of: 1 };
    drop((repo.first(1), repo.second(1)));
    drop((repo.clone().whole(), repo.clone().whole_too()));
    let cache = Cache::builder().in_memory().build().expect("a cache");
    drop((repo.number(&cache, 1), number_by_hand(&cache, 1)));
}
