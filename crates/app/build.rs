//! How the program is linked.
//!
//! `adjutant hook` is a whole process that an agent waits for before each of its tools. At an address that is not fixed, the
//! loader writes the program's 99 000 pointers to itself at every start, which is half of the time that such a process
//! lives (`adjutant bench hook`: 6.0 ms so, 3.8 ms at a fixed address). Where the heap, the stack and the libraries lie
//! stays random.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[expect(clippy::disallowed_methods, reason = "cargo tells a build script its target this way alone")]
    let of_target = |name| std::env::var(name).unwrap_or_default();
    if of_target("PROFILE") == "release"
        && of_target("CARGO_CFG_TARGET_OS") == "linux"
        && of_target("CARGO_CFG_TARGET_ENV") == "gnu"
    {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
