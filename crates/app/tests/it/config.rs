//! The settings, from the command line.

use crate::BINARY;
use adjutant_testkit::TestEnv;
use std::fs;

#[test]
fn settings_are_shown_and_changed_and_a_person_s_file_stays_theirs() {
    let env = TestEnv::new(BINARY);
    let file = env.home().join("config.toml");
    fs::create_dir_all(env.home()).unwrap();
    fs::write(&file, "# mine\n[sessions]\nmax_alive = 4   # few\n").unwrap();
    assert_eq!(env.run(&["config", "get", "sessions.max_alive"]).expect(0).stdout, "4\n");
    let set = env.run(&["config", "set", "sessions.max_alive", "32"]).expect(0).stdout;
    assert_eq!(set, "sessions.max_alive = 32\n");
    let priced = env.run(&["config", "set", "prices.'gpt-5.1'", "[1.25, 10]"]).expect(0).stdout;
    assert_eq!(priced, "prices.\"gpt-5.1\" = [1.25,10.0]\n");
    let later = env.run(&["config", "set", "telemetry.otlp_endpoint", "http://127.0.0.1:9"]).expect(0).stdout;
    assert!(later.starts_with("telemetry.otlp_endpoint = http://127.0.0.1:9, when the daemon"), "{later}");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("# mine\n[sessions]\nmax_alive = 32   # few\n"), "{text}");
    let shown = env.run(&["config", "show"]).expect(0).stdout;
    assert!(shown.contains("only after a restart: telemetry.otlp_endpoint\n"), "{shown}");
    for (args, told) in [
        (
            ["config", "set", "sessions.alive", "1"],
            "error: `sessions.alive` is no setting\nhint: of this section",
        ),
        (["config", "set", "runs.ttl_secs", "soon"], "error: `runs.ttl_secs` is a whole number"),
    ] {
        let refused = env.run(&args).expect(2);
        assert!(refused.stderr.starts_with(told), "{}", refused.stderr);
    }
    let gone = env.run(&["config", "unset", "sessions.max_alive"]).expect(0).stdout;
    assert_eq!(gone, "sessions.max_alive = 16\n");
    assert!(fs::read_to_string(&file).unwrap().starts_with("# mine\n[sessions]\n# few\n"));
    let off = env.run(&["supervisor", "auto-resume", "off"]).expect(0).stdout;
    assert_eq!(off, "agents that die by themselves stay as they are\n");
    let fleet = env.run(&["supervisor"]).expect(0).stdout;
    let (counts, jobs) = fleet.split_once("jobs:\n").unwrap();
    assert_eq!(counts, format!("sessions: 0 active\n{off}"));
    assert!(jobs.contains("  data_sweep      when there is something to do; last: "), "{jobs}");
    assert!(jobs.contains("  retention       every 60 s; last: "), "{jobs}");
}

#[test]
fn a_file_that_cannot_be_used_keeps_the_daemon_from_starting() {
    let env = TestEnv::new(BINARY);
    fs::create_dir_all(env.home()).unwrap();
    fs::write(env.home().join("config.toml"), "[sessions]\nmax_live = 3\n").unwrap();
    let refused = env.run(&["serve"]).expect(2).stderr;
    let told = "error: [HOME]/config.toml cannot be used: line 2: `sessions.max_live` is no setting\nhint: correct it";
    assert!(refused.starts_with(told), "{refused}");
}

#[test]
fn a_file_that_was_broken_by_hand_is_told_with_what_helps() {
    let env = TestEnv::new(BINARY);
    env.run(&["config", "show"]).expect(0);
    for (text, told, hint) in [
        ("[sessions]\nmax_alive = many\n", "cannot be used: ", "it is TOML"),
        (
            "[sessions]\nmax_alive = \"many\"\n",
            "cannot be used: line 2: `sessions.max_alive` is",
            "without the line",
        ),
    ] {
        fs::write(env.home().join("config.toml"), text).unwrap();
        for args in [&["config", "show"][..], &["config", "set", "sessions.max_alive", "3"]] {
            let refused = env.run(args).expect(2).stderr;
            assert!(refused.starts_with("error: config.toml ") && refused.contains(told), "{refused}");
            assert!(refused.contains(&format!("hint: correct it by hand; {hint}")), "{refused}");
            assert!(!refused.contains("config show"), "{refused}");
        }
    }
}
