//! The daemon: who owns the folder, what it leaves there, and what the next one does about it.

use crate::BINARY;
use adjutant_testkit::TestEnv;
use rustix::process::{Signal, WaitOptions, kill_process, test_kill_process};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

#[track_caller]
fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Waits until a killed daemon, which is nobody's child any more, is gone.
pub(crate) fn await_gone(pid: rustix::process::Pid) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while test_kill_process(pid).is_ok() {
        // Where tests are the first process of a container, the daemon becomes their child.
        let _not_ours = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG);
        assert!(Instant::now() < deadline, "the daemon is still there");
        std::thread::yield_now();
    }
}

#[test]
fn what_the_daemon_keeps_is_for_its_owner_alone_and_goes_when_it_stops() {
    let env = TestEnv::new(BINARY);
    env.run(&["runs"]).expect(0);
    assert_eq!(mode_of(env.home()), 0o700);
    for name in ["token", "daemon.json", "daemon.log", "store.db", "adjutant.sock"] {
        assert_eq!(mode_of(&env.home().join(name)), 0o600, "{name}");
    }
    let status = env.run(&["status"]).expect(0).stdout;
    assert!(status.starts_with(&format!("daemon {} pid ", env!("CARGO_PKG_VERSION"))), "{status}");
    env.run(&["stop"]).expect(0);
    for name in ["daemon.json", "adjutant.sock"] {
        assert!(!env.home().join(name).exists(), "{name}");
    }
    assert_eq!(env.run(&["stop"]).expect(0).stdout, "no daemon runs\n");
    let none = env.run(&["status"]).expect(3);
    assert!(none.stderr.starts_with("error: no daemon runs for [HOME]\nhint: "), "{}", none.stderr);
}

#[test]
fn a_second_daemon_says_who_owns_the_folder() {
    let env = TestEnv::new(BINARY);
    env.run(&["runs"]).expect(0);
    let pid = env.daemon_json().unwrap()["pid"].clone();
    let second = env.run(&["serve"]).expect(1);
    let error = format!("error: the data folder [HOME] is in use by another daemon (pid {pid})\n");
    assert!(second.stderr.starts_with(&error), "{}", second.stderr);
    env.run(&["status"]).expect(0);
}

#[test]
fn commands_that_start_at_once_end_with_one_daemon() {
    let env = TestEnv::new(BINARY);
    let started: Vec<_> = (0..4).map(|_| env.command(&["runs"]).spawn().unwrap()).collect();
    for mut child in started {
        assert!(child.wait().unwrap().success());
    }
    let log = fs::read_to_string(env.home().join("daemon.log")).unwrap();
    assert_eq!(log.lines().filter(|line| line.contains(" ready ")).count(), 1, "{log}");
}

#[test]
fn a_killed_daemon_is_replaced_at_once() {
    let env = TestEnv::new(BINARY);
    env.run(&["runs"]).expect(0);
    let killed = env.daemon_pid().unwrap();
    kill_process(killed, Signal::KILL).unwrap();
    await_gone(killed);
    assert!(env.home().join("daemon.json").exists() && env.home().join("adjutant.sock").exists());
    env.run(&["runs"]).expect(0);
    assert_ne!(env.daemon_pid(), Some(killed));
}

#[test]
fn a_socket_moves_when_its_path_would_be_too_long() {
    let env = TestEnv::with_home(BINARY, &"long-".repeat(24));
    env.run(&["runs"]).expect(0);
    let daemon = env.daemon_json().unwrap();
    let socket = Path::new(daemon["socket"].as_str().unwrap());
    assert!(socket.exists() && !socket.starts_with(env.home()), "{socket:?}");
    assert_eq!(mode_of(socket), 0o600);
    env.run(&["stop"]).expect(0);
    assert!(!socket.exists());
}

#[test]
fn only_loopback_is_listened_on() {
    let env = TestEnv::new(BINARY);
    for (listen, expected) in [("0.0.0.0:0", "is not on loopback"), ("nonsense", "is no address")] {
        let refused = env.run(&["serve", "--listen", listen]).expect(2);
        assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    }
}

#[test]
fn doctor_works_without_a_daemon_and_starts_none() {
    let env = TestEnv::new(BINARY);
    let said = env.run(&["doctor"]).expect(0).stdout;
    for name in ["git", "tmux", "disk", "clock", "store", "claude", "codex"] {
        assert!(said.lines().any(|line| line.split_whitespace().nth(1) == Some(name)), "{name}:\n{said}");
    }
    assert!(env.daemon_json().is_none());
}

#[test]
fn doctor_tells_which_agents_are_here_and_what_is_not_known_of_them() {
    let env = TestEnv::new(BINARY);
    let program = |name: &str, script: &str| {
        let path = env.file(&format!("bin/{name}"), &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    program("claude", "echo '2.1.400 (Claude Code)'");
    program("codex", "echo hello");
    program("gemini", "echo 9.9.9");
    // It has nobody's key.
    program("qwen", "test -z \"$OPENAI_API_KEY\" && echo 0.24.9");
    let mut command = env.command(&["doctor"]);
    let path = format!("{}:/usr/bin:/bin", env.work("bin").display());
    command.env("PATH", path).env("OPENAI_API_KEY", "sk-secret");
    let said = env.finish(&mut command).expect(0).stdout;
    let line = |name: &str| {
        let is_it = |line: &&str| line.split_whitespace().nth(1) == Some(name);
        said.lines().find(is_it).unwrap_or_else(|| panic!("no {name} in:\n{said}")).to_owned()
    };
    let claude = line("claude");
    assert!(claude.starts_with("ok ") && claude.contains(" 2.1.400 by "), "{claude}");
    assert!(
        claude.contains("headless") && claude.contains("needs the program `claude-agent-acp`"),
        "{claude}"
    );
    let codex = line("codex");
    assert!(codex.starts_with("warn") && codex.contains("the version of `codex` is not known"), "{codex}");
    let gemini = line("gemini");
    assert!(gemini.starts_with("warn") && gemini.contains("9.9.9 of `gemini` was not tried"), "{gemini}");
    assert!(line("qwen").starts_with("ok "), "{said}");
    let opencode = line("opencode");
    assert!(
        opencode.starts_with("warn") && opencode.ends_with("`opencode` was not found in PATH"),
        "{opencode}"
    );
}
