//! The environment that a started program sees: what is named, and nothing else.

use std::collections::BTreeMap;

/// The variables that always pass.
pub const ALWAYS: &[&str] = &["PATH", "HOME", "LANG", "TMPDIR"];

/// Gives a program's whole environment: what passes of `from`, and `extra` over it.
///
/// A name in `allow` that ends in `*` lets every variable pass that begins so.
pub fn cleaned(
    from: &[(String, String)],
    allow: &[&str],
    extra: &BTreeMap<String, String>,
) -> Vec<(String, String)> {
    let passes = |name: &str| {
        ALWAYS.contains(&name)
            || allow.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => name == *pattern,
            })
    };
    let passed = from.iter().filter(|(name, _)| passes(name) && !extra.contains_key(name)).cloned();
    passed.chain(extra.iter().map(|(name, value)| (name.clone(), value.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_passes_and_extras_win() {
        let from = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let given =
            from(&[("PATH", "/bin"), ("SECRET", "x"), ("CLAUDE_A", "1"), ("CLAUD", "2"), ("LANG", "C")]);
        let extra = BTreeMap::from([("LANG".to_owned(), "de".to_owned())]);
        assert_eq!(
            cleaned(&given, &["CLAUDE_*"], &extra),
            from(&[("PATH", "/bin"), ("CLAUDE_A", "1"), ("LANG", "de")])
        );
        assert_eq!(cleaned(&given, &[], &BTreeMap::new()), from(&[("PATH", "/bin"), ("LANG", "C")]));
    }
}
