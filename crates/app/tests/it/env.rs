//! An environment of its own for each test: home, data folder, and a `PATH` with nothing but what is named here.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// The programs that tests, the sample project and git itself need; no agent is among them.
const PROGRAMS: [&str; 16] = [
    "sh", "git", "tr", "sed", "dirname", "cat", "rm", "head", "printf", "touch", "mkdir", "grep", "env",
    "tail", "ls", "tmux",
];

/// A place where one test lives. Its daemon ends with it.
pub(crate) struct TestEnv {
    folder: TempDir,
    home: PathBuf,
}

/// What a command did.
pub(crate) struct Ran {
    /// Its exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    /// Standard output, with the folders of the test replaced.
    pub(crate) stdout: String,
    /// Standard error, likewise.
    pub(crate) stderr: String,
    /// The whole outcome.
    pub(crate) output: Output,
}

impl TestEnv {
    /// Makes an empty one.
    pub(crate) fn new() -> Self {
        Self::with_home("home")
    }

    /// Makes one whose data folder has this name.
    pub(crate) fn with_home(name: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("adj").tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for made in ["user", "bin", "work", "tmp"] {
            fs::create_dir(root.join(made)).unwrap();
        }
        let path = std::env::var_os("PATH").unwrap();
        for program in PROGRAMS {
            let found =
                std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file());
            if let Some(found) = found {
                symlink(found, root.join("bin").join(program)).unwrap();
            }
        }
        TestEnv { home: root.join(name), folder }
    }

    /// Gives the data folder.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// Gives a path in the folder that commands run in.
    pub(crate) fn work(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join("work").join(name)
    }

    /// Writes a file into the folder that commands run in.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.work(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Gives a command of the binary, ready to run.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.program(env!("CARGO_BIN_EXE_adjutant"));
        command.args(args);
        command
    }

    /// Gives a command of another program, with the same environment.
    pub(crate) fn program(&self, program: &str) -> Command {
        let root = self.folder.path().canonicalize().unwrap();
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", root.join("bin"))
            .env("HOME", root.join("user"))
            .env("TMPDIR", root.join("tmp"))
            .env("XDG_RUNTIME_DIR", root.join("tmp"))
            .env("ADJUTANT_HOME", &self.home)
            .env("COLUMNS", "100")
            .env("LANG", "C.UTF-8")
            .current_dir(root.join("work"))
            .stdin(Stdio::null());
        command
    }

    /// Runs the binary to its end.
    #[must_use]
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.finish(&mut self.command(args))
    }

    /// Runs a command to its end.
    #[must_use]
    pub(crate) fn finish(&self, command: &mut Command) -> Ran {
        let output = command.output().unwrap();
        let stdout = self.redacted(&output.stdout);
        let stderr = self.redacted(&output.stderr);
        Ran { code: output.status.code(), stdout, stderr, output }
    }

    fn redacted(&self, bytes: &[u8]) -> String {
        let root = self.folder.path().canonicalize().unwrap();
        let text = String::from_utf8_lossy(bytes);
        text.replace(&*self.home.to_string_lossy(), "[HOME]").replace(&*root.to_string_lossy(), "[ROOT]")
    }

    /// Reads `daemon.json`, when it is there.
    pub(crate) fn daemon_json(&self) -> Option<Value> {
        serde_json::from_str(&fs::read_to_string(self.home.join("daemon.json")).ok()?).ok()
    }

    /// Gives the daemon's pid.
    pub(crate) fn daemon_pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.daemon_json()?["pid"].as_i64()?).ok()?)
    }

    /// Makes a project: a repository with the sample project in it.
    pub(crate) fn project(&self) -> PathBuf {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/sample-project");
        let project = self.work("project");
        fs::create_dir_all(project.join("tests")).unwrap();
        for name in ["slug.sh", "tests/run.sh", "README.md"] {
            fs::copy(sample.join(name), project.join(name)).unwrap();
        }
        let person = ["-c", "user.name=T", "-c", "user.email=t@localhost"];
        for args in [
            &["init", "--quiet"][..],
            &["add", "--all"],
            &[&person[..], &["commit", "--quiet", "-m", "one"]].concat(),
        ] {
            let mut git = self.program("git");
            assert!(git.arg("-C").arg(&project).args(args).status().unwrap().success());
        }
        project
    }
}

impl Drop for TestEnv {
    fn drop(&mut self) {
        // A killed daemon parks its runs like any other; nothing of it is looked at after this.
        if let Some(pid) = self.daemon_pid() {
            kill_process(pid, Signal::KILL).ok();
        }
    }
}

impl Ran {
    /// Says what happened when it did not end with this code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}
