//! What is linked into the binary: permissive licences only, and one library for TLS.

use serde_json::Value;
use std::process::Command;

/// Licences that may be there; one of the alternatives of an expression suffices, all parts of an `AND` are needed.
const ALLOWED: [&str; 13] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "0BSD",
];

/// Packages that may not be there, and why.
const BANNED: [(&str, &str); 4] = [
    ("aws-lc-sys", "ring does the same without a minute of C"),
    ("aws-lc-rs", "ring does the same without a minute of C"),
    ("openssl-sys", "TLS is rustls"),
    ("native-tls", "TLS is rustls"),
];

fn packages() -> Vec<Value> {
    let cargo = env!("CARGO");
    let version = Command::new(cargo).arg("-vV").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    // Packages of other platforms are not downloaded, so offline only this one's can be looked at.
    let args = ["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", host];
    let output = Command::new(cargo).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// Judges an SPDX expression of the simple forms that packages have: alternatives of conjunctions, or the reverse in
/// brackets.
fn is_permissive(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    let expression = expression.trim();
    if let Some((left, right)) = split(expression, " AND ") {
        return is_permissive(left) && is_permissive(right);
    }
    if let Some((left, right)) = split(expression, " OR ") {
        return is_permissive(left) || is_permissive(right);
    }
    match expression.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
        Some(inner) => is_permissive(inner),
        None => ALLOWED.contains(&expression),
    }
}

/// Splits at an operator that stands outside of all brackets.
fn split<'e>(expression: &'e str, operator: &str) -> Option<(&'e str, &'e str)> {
    let depth = |text: &str| text.matches('(').count() == text.matches(')').count();
    expression
        .match_indices(operator)
        .map(|(at, _)| (&expression[..at], &expression[at + operator.len()..]))
        .find(|(left, _)| depth(left))
}

#[test]
fn no_dependency_is_copyleft() {
    let packages = packages();
    assert!(packages.len() > 50, "the list is complete");
    let refused: Vec<String> = packages
        .iter()
        .filter(|package| !package["license"].as_str().is_some_and(is_permissive))
        .map(|package| format!("{} {}", package["name"], package["license"]))
        .collect();
    assert_eq!(refused, [""; 0]);
}

#[test]
fn no_dependency_is_banned() {
    let packages = packages();
    for (name, why) in BANNED {
        assert!(packages.iter().all(|package| package["name"] != name), "{name}: {why}");
    }
}

#[test]
fn expressions_are_judged_by_all_their_parts() {
    for (expression, expected) in [
        ("MIT", true),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("MIT AND MPL-2.0", false),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("(MIT OR Apache-2.0) AND LGPL-2.1", false),
        ("Apache-2.0 WITH LLVM-exception OR GPL-2.0", true),
    ] {
        assert_eq!(is_permissive(expression), expected, "{expression}");
    }
}
