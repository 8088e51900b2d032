//! The grammar by example.

use serde::Serialize;

use super::*;

fn args(parts: &[&dyn KeyPart]) -> String {
    let mut out = String::new();
    arguments(parts, &mut out).unwrap();
    out
}

fn space(path: &str, function: &str, types: &[&str]) -> Option<String> {
    let mut out = String::new();
    Namespace::of_path(path, function)
        .write(types, &mut out)
        .ok()?;
    Some(out)
}

#[test]
fn smoke() {
    println!(
        "{}",
        args(&[
            &1,
            &"a b",
            &(1,),
            &Some(Some(None::<u8>)),
            &[0.1f32, 0.5],
            &""
        ])
    );
    for (p, f, t) in [
        ("app::get::here", "get", &[][..]),
        ("app::get::here", "get", &["u8", "alloc::vec::Vec<u8>"]),
        ("app::users::f::{{closure}}::here", "f", &[]),
        ("app::users::__redis_cached_f_site::here", "f", &[]),
        ("app::Repo::f::here", "f", &["app::Repo"]),
        ("app::Repo::f::here", "f", &["app::Repo", "u8"]),
        ("a::Gen<_>::site::here", "site", &["a::Gen<u8>"]),
        ("a::Gen<_>::site::here", "site", &[]),
        ("a::Gen<_>::site::inner::here", "inner", &[]),
        ("a::Arr<N>::site::here", "site", &["a::Arr<3>"]),
        ("a::Arr<N>::site::here", "site", &[]),
        ("<a::Gen<_> as a::Tr<_>>::m::here", "m", &["a::Gen<u8>"]),
        ("<a::Gen<_> as a::Tr<u8>>::m::here", "m", &["a::Gen<u8>"]),
        (
            "<alloc::boxed::Box<dyn core::ops::function::Fn(&'_ str) -> u8 + core::marker::Send> as a::Tr<u8>>::m::here",
            "m",
            &[],
        ),
        (
            "<&_ as a::Tr<alloc::string::String>>::m::here",
            "m",
            &["&u8"],
        ),
        (
            "a::other::y::<impl a::Tr<a::other::X> for a::Arr2<a::other::X>>::m::here",
            "m",
            &["a::Arr2<a::other::X>"],
        ),
        (
            "a::other::y::<impl a::Gen<_>>::in_other::here",
            "in_other",
            &["a::Gen<a::other::X>"],
        ),
        ("<(u8, a::Gen<()>) as a::Tr<u8>>::m::here", "m", &[]),
        ("a::_::<impl a::other::X>::inconst::here", "inconst", &[]),
    ] {
        println!("{p} {t:?}\n    {:?}", space(p, f, t));
    }
}
