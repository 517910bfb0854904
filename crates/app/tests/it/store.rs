//! The store's care from the command line.

use crate::BINARY;
use adjutant_testkit::TestEnv;
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_store_is_backed_up_and_checked_and_tells_its_sizes() {
    let env = TestEnv::new(BINARY);
    env.file("report.txt", "all is well\n");
    env.run(&["data", "put", "report", "report.txt"]).expect(0);
    let made = env.run(&["store", "backup", "a.backup"]).expect(0).stdout;
    assert!(made.contains("a.backup: ") && made.contains("1 bodies; checked\njournal root "), "{made}");
    let file = env.work("a.backup");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = env.run(&["store", "backup", "a.backup"]).expect(1).stderr;
    assert!(again.contains("is there already\nhint: `--force`"), "{again}");
    env.run(&["store", "backup", "a.backup", "--force", "--json"]).expect(0);
    let inside = env.home().join("b.backup");
    let inside = env.run(&["store", "backup", inside.to_str().unwrap()]).expect(2).stderr;
    assert!(inside.contains("it is in the data folder"), "{inside}");

    let sizes = env.run(&["store", "sizes", "--json"]).expect(0).stdout;
    let sizes: serde_json::Value = serde_json::from_str(&sizes).unwrap();
    let bodies = sizes["kinds"].as_array().unwrap().iter().find(|kind| kind["kind"] == "bodies").unwrap();
    assert_eq!((&bodies["rows"], &bodies["bytes"]), (&1.into(), &12.into()));
    let sizes = env.run(&["store", "sizes"]).expect(0).stdout;
    assert!(sizes.starts_with("WHAT ") && sizes.contains("together"), "{sizes}");

    let sound = "the store is sound: ";
    assert!(env.run(&["store", "check"]).expect(0).stdout.starts_with(sound));
    env.run(&["stop"]).expect(0);
    assert!(env.run(&["store", "check"]).expect(0).stdout.starts_with(sound), "without a daemon, too");
    for shard in std::fs::read_dir(env.home().join("blobs")).unwrap() {
        std::fs::remove_dir_all(shard.unwrap().path()).unwrap();
    }
    let wrong = env.run(&["store", "check"]).expect(1);
    assert!(wrong.stdout.starts_with("bodies: body ") && wrong.stdout.ends_with(" is not there\n"));
    assert!(wrong.stderr.starts_with("error: 1 thing is wrong\nhint: "), "{}", wrong.stderr);
    let json = env.run(&["store", "check", "--json"]).expect(1).stdout;
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&found["ok"], &found["findings_count"]), (&false.into(), &1.into()));
    let lost = env.run(&["store", "backup", "c.backup"]).expect(1);
    assert!(lost.stdout.contains("0 bodies; checked") && lost.stderr.contains("1 bodies are not in it"));
    assert!(env.work("c.backup").exists(), "everything else is kept");
}

#[test]
fn a_store_is_restored_while_the_daemon_works_and_without_one() {
    let env = TestEnv::new(BINARY);
    env.file("report.txt", "all is well\n");
    env.run(&["data", "put", "early", "report.txt"]).expect(0);
    env.run(&["store", "backup", "a.backup"]).expect(0);
    env.run(&["data", "put", "late", "report.txt"]).expect(0);
    let address = env.daemon_json().unwrap()["address"].clone();
    let pid = env.daemon_pid();
    let restored = env.run(&["store", "restore", "a.backup"]).expect(0).stdout;
    assert!(restored.contains("a.backup is the store now\nwhat it replaced is kept in "), "{restored}");
    assert_eq!((env.daemon_pid(), &env.daemon_json().unwrap()["address"]), (pid, &address), "it lives on");
    let listed = env.run(&["data", "ls"]).expect(0).stdout;
    assert!(listed.contains("early") && !listed.contains("late"), "{listed}");
    assert_eq!(env.run(&["data", "get", "early"]).expect(0).stdout, "all is well\n");
    env.run(&["store", "check"]).expect(0);

    let wrong = env.run(&["store", "restore", "report.txt"]).expect(2).stderr;
    assert!(wrong.contains("is not a store of this program"), "{wrong}");
    env.run(&["stop"]).expect(0);
    // A store that lets no daemon start.
    std::fs::write(env.home().join("store.db"), "nonsense").unwrap();
    env.run(&["data", "ls"]).expect(3);
    assert!(
        env.run(&["store", "restore", "report.txt"]).expect(2).stderr.contains("hint: nothing was changed")
    );
    env.run(&["store", "restore", "a.backup", "--json"]).expect(0);
    assert_eq!(env.run(&["data", "get", "early"]).expect(0).stdout, "all is well\n");
    let kept = std::fs::read_dir(env.home()).unwrap();
    let kept =
        kept.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("replaced-"));
    assert_eq!(kept.count(), 2);
}

#[test]
fn without_a_store_there_is_nothing_to_check() {
    let env = TestEnv::new(BINARY);
    let none = env.run(&["store", "check"]).expect(4).stderr;
    assert!(none.starts_with("error: there is no store in [HOME]\nhint: "), "{none}");
}
