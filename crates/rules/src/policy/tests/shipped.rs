//! The policy of a fresh install: `-` stands for no rule at all.

use super::*;

const DELETE: &str = "delete-outside-the-workspace";
const HISTORY: &str = "rewrite-shared-history";
const DISKS: &str = "destroy-disks";
const STOP: &str = "stop-the-machine";
const OPEN: &str = "open-the-machine";
const FILES: &str = "data-folder-files";
const FOLDER: &str = "data-folder";

#[track_caller]
fn check(rows: &[(&str, &str)]) {
    let set = plane(rules(DEFAULT_POLICY));
    for (text, expected) in rows {
        let verdict = shell_judged(&set, text, &line(text));
        assert_eq!(verdict.rule.as_deref().unwrap_or("-"), *expected, "{text} {verdict:?}");
        assert_eq!(verdict.effect == PolicyEffect::Deny, *expected != "-", "{text}");
    }
}

#[test]
fn every_shipped_rule_says_why() {
    assert!(rules(DEFAULT_POLICY).iter().all(|rule| rule.reason.is_some()));
}

#[test]
fn ordinary_work_is_not_hindered() {
    check(&[
        ("ls -la", "-"),
        ("cargo test --workspace", "-"),
        ("git commit -m x", "-"),
        ("git push -u origin feature", "-"),
        ("git push origin $BRANCH", "-"),
        ("git push origin HEAD:refs/heads/x", "-"),
        ("git add -f x", "-"),
        ("rm -rf target", "-"),
        ("rm -rf ./build ; mkdir build", "-"),
        ("rm -rf /home/a/.local/share/adjutant/workspaces/run_1/target", "-"),
        ("rm -rf $PWD/target", "-"),
        ("rm -rf *", "-"),
        ("rm -rf .cache .gitignored", "-"),
        ("cd src ; rm -rf gen", "-"),
        ("cd .. ; ls", "-"),
        ("rm notes.txt", "-"),
        ("rm -f /tmp/x", "-"),
        ("find . -name x -delete", "-"),
        ("find . -name x ; [find] rm -rf {}", "-"),
        ("find / -depth -ls", "-"),
        ("chmod -R u+w .", "-"),
        ("cd /home/a/.local/share/adjutant/workspaces/run_1 ; rm -rf gen", "-"),
        ("[xargs] rm -f", "-"),
        ("npm install ; npm test", "-"),
        ("curl https://example.org/a.tar.gz", "-"),
        ("dd if=a.img of=b.img", "-"),
        ("dd if=a.img of=/dev/null", "-"),
        ("echo shutdown", "-"),
        ("cat src/reboot.rs", "-"),
        ("kill -9 4711", "-"),
        ("kill -1 4711", "-"),
        ("chmod +x run.sh", "-"),
        ("chmod -R u+rwX build", "-"),
        ("cp /etc/hosts .", "-"),
        ("cat /etc/hosts >/dev/null", "-"),
        ("echo $X", "-"),
        ("systemctl status x", "-"),
        ("cat /home/a/.local/share/adjutant/workspaces/run_1/src/main.rs", "-"),
        ("cat /home/a/.local/share/other/token", "-"),
    ]);
}

#[test]
fn destruction_is_refused_however_it_is_written() {
    check(&[
        ("rm -rf /", DELETE),
        ("rm -fr /", DELETE),
        ("rm -r -f /", DELETE),
        ("rm / -r -f", DELETE),
        ("rm -rfv --one-file-system /", DELETE),
        ("rm --recursive --force /", DELETE),
        ("rm --recurs /home", DELETE),
        ("rm -R /etc", DELETE),
        ("rm -rf -- /", DELETE),
        ("rm -rf a /etc b", DELETE),
        ("rm -rf /*", DELETE),
        ("rm -rf /home/a/.local/share/adjutant/workspaces/run_1", DELETE),
        ("rm -rf /home/a/.local/share/adjutant/workspaces/run_1/../run_2", DELETE),
        ("rm -rf /home/a/.local/share/adjutant/workspaces/run_12", DELETE),
        ("[sudo] [sh_-c] rm -rf /", DELETE),
        ("echo / ; [xargs] rm -rf", DELETE),
        ("rm $FLAGS /", DELETE),
        ("rm -$F /", DELETE),
        ("rm -rf $X", DELETE),
        ("rm -rf ~", DELETE),
        ("rm -rf ~/work", DELETE),
        ("rm -rf $HOME", DELETE),
        ("rm -rf ${HOME}/x", DELETE),
        ("rm -rf ..", DELETE),
        ("rm -rf ../other", DELETE),
        ("rm -rf a/../../b", DELETE),
        ("rm -rf .*", DELETE),
        ("rm -rf ./", DELETE),
        ("cd / ; cd x ; rm -rf y", DELETE),
        ("cd / ; rm -rf home", DELETE),
        ("cd ; rm -rf work", DELETE),
        ("cd $X ; rm -rf work", DELETE),
        ("pushd /tmp ; rm -r x", DELETE),
        ("rm -rf .git", DELETE),
        ("rm -rf ./.git/", DELETE),
        ("rm -rf a/../.git", DELETE),
        ("rm -rf .g*", DELETE),
        ("rm -rf .gi?", DELETE),
        ("rm -rf .[g]it", DELETE),
        ("rm -rf sub/.git/refs", DELETE),
        ("find / -delete", DELETE),
        ("find .. -name x -delete", DELETE),
        ("find / -name x ; [find] rm -rf {}", DELETE),
        ("git push --force", HISTORY),
        ("git push --forc", HISTORY),
        ("git push origin main --force", HISTORY),
        ("git push -f origin main", HISTORY),
        ("git -C x push -uf origin main", HISTORY),
        ("git push --force-with-lease=main", HISTORY),
        ("git push origin --delete main", HISTORY),
        ("git push origin :main", HISTORY),
        ("git push origin +main", HISTORY),
        ("git push --mirror", HISTORY),
        ("git push $FLAGS", HISTORY),
        ("mkfs.ext4 /dev/sda1", DISKS),
        ("[sudo] mkfs /dev/sda", DISKS),
        ("wipefs -a /dev/sda", DISKS),
        ("dd if=/dev/zero of=/dev/sda bs=1M", DISKS),
        ("shred -u /dev/nvme0n1", DISKS),
        ("echo x >/dev/sda", DISKS),
        ("shutdown -h now", STOP),
        ("[sudo] shutdown now", STOP),
        ("true ; reboot", STOP),
        ("systemctl poweroff", STOP),
        ("init 0", STOP),
        ("kill -9 -1", STOP),
        ("kill -s KILL -- -1", STOP),
        (":(){ :|:& };:", STOP),
        (":() { : | : & } ; :", STOP),
        ("chmod -R 777 /", OPEN),
        ("chown -R a ~", OPEN),
        ("chmod 777 /", OPEN),
        ("echo k >/etc/passwd", OPEN),
        ("[sudo] tee /etc/hosts", OPEN),
        ("cp a /etc/cron.d", OPEN),
        ("echo k >~/.ssh/authorized_keys", OPEN),
        ("tee -a .ssh/authorized_keys", OPEN),
    ]);
}

#[test]
fn the_data_folder_is_out_of_reach_however_it_is_written() {
    check(&[
        ("cat /home/a/.local/share/adjutant/token", FILES),
        ("cat ~/.local/share/adjutant/token", FILES),
        ("cat $HOME/.local/share/adjutant/token", FILES),
        ("sqlite3 /home/a/.local/share/adjutant/store.db .dump", FILES),
        ("cat /home/a/.local/share/adjutant/t*", FOLDER),
        ("cat /home/a/.local/share/*/token", FOLDER),
        ("cat /home/a/.local/share/adjutant/x/../token", FOLDER),
        ("cat /home/a/.local//share/adjutant/token", FOLDER),
        ("ls /home/a/.local/share/adjutant", FOLDER),
        ("ls -la /home/a/.local/share/adjutant/", FOLDER),
        ("cat /home/a/.local/share/adjutant/*", FOLDER),
        ("cd /home/a/.local/share/adjutant ; cat token", FOLDER),
    ]);
}

#[test]
fn other_tools_and_steps_are_judged_alike() {
    let set = plane(rules(DEFAULT_POLICY));
    let rows = [
        ("Read", r#"{"file_path": "/home/a/.local/share/adjutant/token"}"#, FILES),
        ("Glob", r#"{"path": "/home/a/.local/share/adjutant"}"#, FOLDER),
        ("Read", r#"{"file_path": "/home/a/.local/share/adjutant/workspaces/run_1/a.rs"}"#, "-"),
        ("Write", r#"{"file_path": "README.md", "content": "never run rm -rf / here"}"#, "-"),
        ("mcp_fs_read", r#"{"paths": ["a", "/home/a/.local/share/adjutant/daemon.json"]}"#, FILES),
        ("step:function", r#"{"agent": "a", "input": 1}"#, "flows-run-their-steps"),
    ];
    for (tool, parameters, expected) in rows {
        let verdict = judged(&set, tool, &json(parameters));
        assert_eq!(verdict.rule.as_deref().unwrap_or("-"), expected, "{tool} {parameters}");
    }
    let steps = [
        (r#"{"command": ["cargo", "build"]}"#, "cargo build", "flows-run-their-steps"),
        (r#"{"command": ["sh", "-c", "rm -rf /"]}"#, "[sh_-c] rm -rf / ; sh -c x", DELETE),
        (r#"{"command": ["agent"], "input": "never run rm -rf /"}"#, "agent", "flows-run-their-steps"),
    ];
    for (parameters, read, expected) in steps {
        let (parameters, read) = (json(parameters), line(read));
        let subject = Subject { shell: Some(&read), ..Subject::new("step:command", &parameters, now()) };
        assert_eq!(judge(&[&set], &subject).rule.as_deref(), Some(expected), "{parameters}");
    }
}

#[test]
fn what_cannot_be_read_is_refused() {
    let set = plane(rules(DEFAULT_POLICY));
    let verdict = shell_judged(&set, "eval \"$X\"", &line("!an expansion is run"));
    assert_eq!(verdict.effect, PolicyEffect::Deny);
    assert!(verdict.reason.contains("an expansion is run"), "{}", verdict.reason);
}
