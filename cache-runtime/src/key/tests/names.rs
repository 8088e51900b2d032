//! Namespaces as the compiler spells them, prefixes, and the keys beside a key.

use std::collections::HashSet;

use super::super::slot::{namesake, slot};
use super::super::*;

fn write(namespace: &Namespace, types: &[&str]) -> Result<String, KeyError> {
    let mut out = String::new();
    namespace.write(types, &mut out)?;
    for odd in [':', '%', '@', '{', '}', ' '] {
        assert!(!out.contains(odd), "{odd:?} in {out}");
    }
    Ok(out)
}

/// The namespace of `function` in the crate `app`.
fn of(path: &str, function: &str, types: &[&str]) -> Option<String> {
    write(&Namespace::of_path(path, function), types).ok()
}

#[test]
fn both_ways_to_expand_give_one_namespace() {
    let wanted = Some("app.users.get_user".to_owned());
    let split = "app::users::__redis_cached_call_get_user_add_in_impl_or_trait_impl::__REDIS_CACHED_SITE::here";
    assert_eq!(of(split, "get_user", &[]), wanted);
    assert_eq!(
        of(
            "app::users::get_user::__REDIS_CACHED_SITE::here",
            "get_user",
            &[]
        ),
        wanted
    );
    assert_eq!(
        of(
            "app::users::get_user::{{closure}}::__REDIS_CACHED_SITE::here",
            "get_user",
            &[]
        ),
        wanted
    );
    assert_eq!(
        of(
            "app::__redis_cached_call_f_add_in_impl_or_trait_impl::__REDIS_CACHED_SITE::here",
            "f",
            &[]
        ),
        Some("app.f".to_owned())
    );
    assert_eq!(
        of("app::type::here", "r#type", &[]),
        Some("app.type".to_owned())
    );
    let nested = "app::outer::{{closure}}::__redis_cached_call_f_add_in_impl_or_trait_impl::__REDIS_CACHED_SITE::here";
    assert_eq!(of(nested, "f", &[]), Some("app.outer.f".to_owned()));
}

#[test]
fn types_are_named_where_the_path_does_not() {
    let named = |path, types: &[&str]| of(path, "get", types).unwrap();
    assert_eq!(
        named("app::get::here", &["u64", "alloc::string::String"]),
        "app.get<u64,alloc.string.String>"
    );
    assert_eq!(
        named("app::Repo::get::here", &["app::Repo"]),
        "app.Repo.get"
    );
    assert_eq!(
        named("app::Repo::get::here", &["app::Repo", "u8"]),
        "app.Repo.get<u8>"
    );
    assert_eq!(
        named("app::Get::get::here", &["app::Repo"]),
        "app.Get.get<app.Repo>"
    );
    assert_eq!(
        named("app::Repo<_>::get::here", &["app::Repo<u8>"]),
        "app.Repo<u8>.get"
    );
    assert_eq!(
        named("app::Arr<N>::get::here", &["app::Arr<3>"]),
        "app.Arr<3>.get"
    );
    assert_eq!(
        named("<&_ as app::Get<u8>>::get::here", &["&app::Repo"]),
        "<&app.Repo-as-app.Get<u8>>.get"
    );
    assert_eq!(
        named("app::x::<impl app::Repo<_>>::get::here", &["app::Repo<u8>"]),
        "app.x.<impl-app.Repo<u8>>.get"
    );
    assert_eq!(
        named(
            "app::x::<impl app::Get<app::y::Y> for app::Repo<_>>::get::here",
            &["app::Repo<u8>"]
        ),
        "app.x.<impl-app.Get<app.y.Y>-for-app.Repo<u8>>.get"
    );
    // Which of two is missing must show.
    assert_ne!(
        named("app::Repo::get::here", &["app::Repo", "u8"]),
        named("app::Repo::get::here", &["u8", "app::Repo"])
    );
    // An item inside a function knows nothing of the impl around it.
    assert_eq!(
        named("app::Repo<_>::outer::get::here", &[]),
        "app.Repo<_>.outer.get"
    );
    let long = "app::Long".repeat(30);
    let digested = named("app::get::here", &[&long]);
    assert!(
        digested.starts_with("app.get<#") && digested.len() < 50,
        "{digested}"
    );
}

#[test]
fn what_the_compiler_leaves_open_has_no_namespace() {
    for (path, types) in [
        ("app::Repo<_>::get::here", &[][..]),
        ("app::Arr<N>::get::here", &[]),
        ("app::Repo<_>::get::here", &["u8"]),
        ("<app::Repo as app::Get<_>>::get::here", &["app::Repo"]),
        ("<app::Repo as app::Get<N>>::get::here", &["app::Repo"]),
        (
            "<app::Repo<_> as app::Get<_>>::get::here",
            &["app::Repo<u8>"],
        ),
        ("app::_::<impl app::Repo>::get::here", &["app::Repo"]),
        ("app::get::here", &["app::main::{{closure}}"]),
        ("app::get::here", &["alloc::vec::Vec<_>"]),
    ] {
        assert_eq!(of(path, "get", types), None, "{path}");
    }
}

#[test]
fn a_pinned_namespace_still_tells_types_apart() {
    let pinned = |path, types: &[&str]| {
        write(&Namespace::of_path(path, "get").pinned("users"), types).unwrap()
    };
    assert_eq!(pinned("app::get::here", &[]), "users");
    assert_eq!(pinned("app::get::here", &["u8"]), "users<u8>");
    assert_eq!(pinned("app::Repo::get::here", &["app::Repo"]), "users");
    assert_eq!(
        pinned("app::Repo<_>::get::here", &["app::Repo<u8>"]),
        "users<app.Repo<u8>>"
    );
    // Pinning is the mend for what is open.
    assert_eq!(
        pinned("<app::Repo as app::Get<_>>::get::here", &["app::Repo"]),
        "users"
    );
}

/// One of each place where a function can stand, spelled by this compiler.
mod places {
    use super::*;

    /// The path of an item here, and `Self` where there is one.
    macro_rules! here {
        ($($own:ty)?) => {{
            fn here() {}
            (std::any::type_name_of_val(&here), [$(std::any::type_name::<$own>())?].to_vec())
        }};
    }

    type Place = (&'static str, Vec<&'static str>);

    struct Repo;
    struct Gen<T, U = u8>(T, U);
    struct Borrowed<'a, T>(std::marker::PhantomData<&'a T>);
    struct Arr<const N: usize>;

    trait Get<T> {
        fn get(&self) -> Place;
    }

    mod one {
        pub(super) fn get() -> super::Place {
            here!()
        }
    }
    mod two {
        pub(super) fn get() -> super::Place {
            here!()
        }
        impl super::Gen<super::Repo> {
            pub(super) fn far() -> super::Place {
                here!(Self)
            }
        }
    }
    fn outer() -> [Place; 2] {
        fn inner() -> Place {
            here!()
        }
        [here!(), inner()]
    }
    impl Repo {
        fn get() -> Place {
            here!(Self)
        }
        fn other() -> Place {
            fn get() -> Place {
                here!()
            }
            get()
        }
    }
    impl<T, U> Gen<T, U> {
        fn get() -> Place {
            here!(Self)
        }
    }
    impl<T> Borrowed<'_, T> {
        fn get() -> Place {
            here!(Self)
        }
    }
    impl<const N: usize> Arr<N> {
        fn get() -> Place {
            here!(Self)
        }
    }
    impl Get<u8> for Repo {
        fn get(&self) -> Place {
            here!(Self)
        }
    }
    impl Get<String> for Repo {
        fn get(&self) -> Place {
            here!(Self)
        }
    }
    impl<T> Get<u8> for Vec<T> {
        fn get(&self) -> Place {
            here!(Self)
        }
    }
    impl Get<u8> for [u8; 2] {
        fn get(&self) -> Place {
            here!(Self)
        }
    }
    type Boxed = Box<dyn Fn(&str) -> (u8, i8) + Send>;

    impl Get<u8> for Boxed {
        fn get(&self) -> Place {
            here!(Self)
        }
    }

    #[test]
    fn p1_no_two_places_share_a_namespace() {
        let boxed: Boxed = Box::new(|_| (0, 0));
        let mut places = vec![
            one::get(),
            two::get(),
            Repo::get(),
            Repo::other(),
            Gen::<u8, u8>::get(),
            Gen::<u8, i8>::get(),
            Gen::<u16>::get(),
            Gen::<Repo>::far(),
            Borrowed::<u8>::get(),
            Borrowed::<i8>::get(),
            Arr::<1>::get(),
            Arr::<2>::get(),
            Get::<u8>::get(&Repo),
            Get::<String>::get(&Repo),
            Get::<u8>::get(&vec![1_u8]),
            Get::<u8>::get(&vec![1_i8]),
            [1, 2].get(),
            boxed.get(),
        ];
        places.extend(outer());
        let mut seen = HashSet::new();
        for (path, types) in places {
            let name = of(path, "f", &types).unwrap_or_else(|| panic!("{path} with {types:?}"));
            assert!(seen.insert(name.clone()), "{name} twice");
        }
    }
}

/// As Redis Cluster finds a key's slot.
fn redis_slot(key: &str) -> u16 {
    let tag = key.find('{').and_then(|open| {
        let close = key[open..].find('}')? + open;
        (close > open + 1).then(|| &key[open + 1..close])
    });
    slot(tag.unwrap_or(key).as_bytes())
}

#[test]
fn slots_are_those_of_redis_cluster() {
    // From the Redis Cluster specification, and from `CLUSTER KEYSLOT`.
    assert_eq!(slot(b"123456789"), 0x31C3);
    assert_eq!(slot(b"foo"), 12182);
    assert_eq!(slot(b""), 0);
}

#[test]
fn a_token_and_a_lock_lie_in_their_keys_slot_and_are_no_values_key() {
    let mut seen = HashSet::new();
    for prefix in ["", "shop", "{shop}", "a{shop}b"] {
        for rest in [
            "app.f:42", "app.f", "{u}:1", "a{u}b:1", "", "}", "{", "{}", "a{}b", "a}b{c", "{}{x}",
            "x{{y}}z", "é", "{é}", "a{b}c{d}", "}{x}", "100%", "%", "a b",
        ] {
            let key = if prefix.is_empty() {
                rest.to_owned()
            } else {
                format!("{prefix}:{rest}")
            };
            assert!(seen.insert(key.clone()), "{key} twice");
            for beside in [lease_key(prefix, &key), lock_key(prefix, &key)] {
                assert_eq!(redis_slot(&beside), redis_slot(&key), "{beside} for {key}");
                assert!(beside.starts_with(prefix), "{beside} without {prefix}");
                assert!(
                    CacheKey::from(&beside).into_text().is_err(),
                    "{beside} looks like a value's key"
                );
                assert!(seen.insert(beside.clone()), "{beside} twice");
            }
        }
    }
    let both = |prefix, key| [lease_key(prefix, key), lock_key(prefix, key)];
    assert_eq!(
        both("shop", "shop:app.f:42"),
        ["shop:%t:{shop:app.f:42}", "shop:%l:{shop:app.f:42}"]
    );
    assert_eq!(both("", "app.f:42"), ["%t:{app.f:42}", "%l:{app.f:42}"]);
    assert_eq!(
        both("{shop}", "{shop}:app.f:42"),
        ["{shop}:app.f:42%t", "{shop}:app.f:42%l"]
    );
}

#[test]
fn every_slot_has_a_number() {
    let slots: HashSet<u16> = (0..109_758_u32)
        .map(|n| slot(n.to_string().as_bytes()))
        .collect();
    assert_eq!(slots.len(), 16384);
    assert_eq!(slot(namesake(16383).to_string().as_bytes()), 16383);
}
