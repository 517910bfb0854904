//! The environment that started programs get: a short list passes, and nothing else by accident.
//!
//! Keys and secrets in the environment of the plane are not for every program that an agent starts. This file is
//! given the environment; it never reads it.

use std::collections::BTreeMap;

/// The variables that always pass.
pub const PASSED_VARIABLES: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];

/// Gives the environment of a program: what [`PASSED_VARIABLES`] and `allow` let pass of `from`, and `extra` over it.
///
/// A name in `allow` that ends in `*` lets every variable pass that begins so; other names are compared exactly. The
/// result is sorted by name and has each name once; of a name that comes twice in
/// `from` the last wins. A name that no program could read, empty or with `=` or NUL in it, is left out, and so is a
/// value with NUL in it.
pub fn environment(
    allow: &[&str],
    from: impl Iterator<Item = (String, String)>,
    extra: &BTreeMap<String, String>,
) -> Vec<(String, String)> {
    let allows = |name: &str, pattern: &str| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    };
    let passes =
        |name: &str| PASSED_VARIABLES.contains(&name) || allow.iter().any(|pattern| allows(name, pattern));
    let mut passed: BTreeMap<String, String> = from.filter(|(name, _)| passes(name)).collect();
    passed.extend(extra.iter().map(|(name, value)| (name.clone(), value.clone())));
    passed.retain(|name, value| is_representable(name, value));
    passed.into_iter().collect()
}

fn is_representable(name: &str, value: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
}
