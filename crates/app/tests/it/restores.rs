//! A restore whose daemon is killed, at each change in its data folder that can be seen from outside. What the steps
//! leave is the store's own test (`store/tests/it/restore.rs`); here it is the whole program, with the command that
//! waits for it and starts the next daemon.

use crate::BINARY;
use crate::daemon::await_gone;
use adjutant_store::{Interrupt, check};
use adjutant_testkit::TestEnv;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;

/// So many daemons are killed side by side.
const WIDTH: usize = 4;
/// A restore has made fewer changes than this.
const CHANGES_MAX: usize = 200;
/// The file by which the watch is told that nothing more is to be seen.
const END: &str = "end-of-the-watch";

/// What was seen of the data folder until its daemon was killed, or until the restore was over.
#[derive(Debug, Default)]
struct Watched {
    changes: Vec<String>,
    is_killed: bool,
}

impl Watched {
    /// Tells whether the order was given: from then on there is no way back.
    fn is_ordered(&self) -> bool {
        self.changes.iter().any(|name| name == "order.json")
    }
}

/// How a story ended.
#[derive(Debug)]
struct Told {
    watched: Watched,
    is_new: bool,
}

/// A data folder whose daemon has stopped, and a backup of what it was before.
struct Template {
    env: TestEnv,
    backup: PathBuf,
}

impl Template {
    fn new() -> Template {
        let env = TestEnv::new(BINARY);
        env.file("report.txt", "all is well\n");
        env.run(&["data", "put", "early", "report.txt"]).expect(0);
        env.run(&["store", "backup", "a.backup"]).expect(0);
        env.file("report.txt", "all was well\n");
        env.run(&["data", "put", "late", "report.txt"]).expect(0);
        env.run(&["stop"]).expect(0);
        Template { backup: env.work("a.backup"), env }
    }

    /// Restores the backup in a copy, kills the daemon behind the `nth` change, and lets whoever comes next go on.
    fn tell(&self, nth: usize) -> Told {
        let env = TestEnv::new(BINARY);
        copy(self.env.home(), env.home());
        env.run(&["data", "ls"]).expect(0);
        let pid = env.daemon_pid().expect("it runs");
        let (watch, home) = (Watch::new(env.home()), env.home().to_owned());
        let watching = thread::spawn(move || watch.kill_at(nth, pid));
        let restored = env.run(&["store", "restore", self.backup.to_str().expect("UTF-8")]);
        fs::write(home.join(END), "").expect("the watch is told");
        let watched = watching.join().expect("the watch does not panic");
        if watched.is_killed {
            await_gone(pid);
        }
        let listed = env.run(&["data", "ls"]).expect(0).stdout;
        assert!(listed.contains("early"), "{watched:?}: {listed}");
        let told = Told { is_new: !listed.contains("late"), watched };
        self.look(&env, &told);
        let codes: &[i32] = if told.is_new { &[0] } else { &[1, 3] };
        let code = restored.code.expect("it ends by itself");
        assert!(codes.contains(&code), "{told:?}: {code} {}{}", restored.stdout, restored.stderr);
        told
    }

    /// Looks whether the store is one or the other, whole.
    fn look(&self, env: &TestEnv, told: &Told) {
        env.run(&["store", "check"]).expect(0);
        assert_eq!(env.run(&["data", "get", "early"]).expect(0).stdout, "all is well\n", "{told:?}");
        env.run(&["data", "get", "late"]).expect(if told.is_new { 4 } else { 0 });
        assert!(!env.home().join("restore").exists(), "{told:?}");
        let entries =
            fs::read_dir(env.home()).expect("it is there").map(|entry| entry.expect("readable").path());
        let is_replaced = |path: &PathBuf| path.to_string_lossy().contains("/replaced-");
        let replaced: Vec<PathBuf> = entries.filter(is_replaced).collect();
        assert_eq!(replaced.len(), usize::from(told.is_new), "{told:?}");
        for kept in replaced {
            let report = check::check(&kept, &Interrupt::default()).expect("it is a store");
            assert!(
                report.is_sound() && report.bodies == 2,
                "what was replaced is whole: {told:?} {report:?}"
            );
        }
        assert!(told.is_new || !told.watched.is_ordered(), "an order is carried out: {told:?}");
        assert!(told.is_new || told.watched.is_killed, "nothing else hinders it: {told:?}");
    }
}

/// What is seen of a data folder.
struct Watch {
    folder: PathBuf,
    inotify: OwnedFd,
}

impl Watch {
    fn new(folder: &Path) -> Watch {
        let inotify = inotify::init(CreateFlags::CLOEXEC).expect("the system tells of changes");
        let watch = Watch { folder: folder.to_owned(), inotify };
        watch.add(folder);
        watch
    }

    fn add(&self, folder: &Path) {
        let changes = WatchFlags::CREATE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE;
        // One that is gone again is none.
        inotify::add_watch(&self.inotify, folder, changes).ok();
    }

    fn kill_at(&self, nth: usize, pid: Pid) -> Watched {
        let mut watched = Watched::default();
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        loop {
            let event = reader.next().expect("it is readable");
            let name = event.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if name == END {
                return watched;
            }
            let is_folder = event.events().contains(ReadFlags::CREATE | ReadFlags::ISDIR);
            if is_folder && (name == "restore" || name.starts_with("replaced-")) {
                self.add(&self.folder.join(&name));
            }
            watched.changes.push(name);
            if watched.changes.len() == nth {
                watched.is_killed = kill_process(pid, Signal::KILL).is_ok();
                return watched;
            }
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder is made");
    fs::set_permissions(to, fs::metadata(from).expect("it is there").permissions()).expect("its mode is set");
    for entry in fs::read_dir(from).expect("it is there") {
        let entry = entry.expect("it is readable");
        let place = to.join(entry.file_name());
        match entry.file_type().expect("it is known").is_dir() {
            true => copy(&entry.path(), &place),
            false => drop(fs::copy(entry.path(), place).expect("it is copied")),
        }
    }
}

#[test]
fn a_daemon_that_is_killed_at_any_moment_of_a_restore_leaves_one_store_or_the_other() {
    let template = Template::new();
    let (mut old, mut new, mut first) = (0, 0, 1);
    loop {
        let told: Vec<Told> = thread::scope(|scope| {
            let telling = (first..first + WIDTH).map(|nth| {
                let template = &template;
                scope.spawn(move || template.tell(nth))
            });
            let telling: Vec<_> = telling.collect();
            telling.into_iter().map(|told| told.join().expect("a story that fails says why")).collect()
        });
        let killed = told.iter().filter(|told| told.watched.is_killed);
        new += killed.clone().filter(|told| told.is_new).count();
        old += killed.filter(|told| !told.is_new).count();
        if told.iter().any(|told| !told.watched.is_killed) {
            break;
        }
        first += WIDTH;
        assert!(first < CHANGES_MAX, "it never ends by itself");
    }
    println!("{} daemons killed in a restore: {old} kept their store, {new} have the new one", old + new);
    assert!(old > 0 && new > 0, "they were killed before the order and behind it: {old}, {new}");
}
