//! Finding and ending what a program left behind.
//!
//! A process group is easily left (`setsid`, a double fork), an inherited environment is not. So the descendants of
//! a program are the members of its group, the processes that carry its marker, and the children of both. Of a
//! hosted program also the members of its session and of its cgroup are; a cgroup is left by nobody who may not write
//! there. Without a cgroup, who forked twice, began a session of its own and wiped its environment is found only while
//! its parent is, or when the program adopts its orphans (`orphans.rs`).

use super::{Cgroup, EFFECT_VARIABLE};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How long a descendant that outlived its program may take to end after TERM.
const TERM_GRACE: Duration = Duration::from_secs(1);

/// How long the kernel may take to end a process after KILL.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// How soon is looked whether they have ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// How long at most passes until the next look: the table of all processes is long.
const LOOK_INTERVAL_MAX: Duration = Duration::from_millis(100);

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
pub struct Swept {
    /// How many processes were ended.
    pub killed: usize,
    /// How many would not end, because they are another user's or stuck in the kernel.
    pub alive: usize,
}

/// Ends every process of this user that carries `marker` in its environment, and their children: TERM, a second, KILL.
///
/// For effects that a killed daemon left behind. Never ends the calling process; an empty marker sweeps nothing.
/// Finds processes on Linux only; elsewhere it does nothing. A process that replaced its environment is found only
/// while its parent is.
pub async fn sweep(marker: &str) -> Swept {
    sweep_mark(Mark::Exactly(marker.to_owned())).await
}

/// Ends every process of this user whose marker begins with `prefix`, as [`sweep`] does.
///
/// The prefix should end with a separator, so that `run_1` does not sweep `run_12`. An empty one sweeps nothing.
pub async fn sweep_prefix(prefix: &str) -> Swept {
    sweep_mark(Mark::Prefix(prefix.to_owned())).await
}

async fn sweep_mark(mark: Mark) -> Swept {
    if mark.is_empty() {
        return Swept::default();
    }
    Hunt { mark: Some(mark), ..Hunt::default() }.end(TERM_GRACE).await
}

/// A program that somebody else waits for, such as a terminal's server, and by what its descendants are known.
#[derive(Debug, Clone)]
pub struct Hosted {
    /// The program's own process.
    pub process: ProcessId,
    /// What it and its descendants carry in [`EFFECT_VARIABLE`].
    pub marker: String,
    /// The cgroup that it was put into.
    pub cgroup: Option<Cgroup>,
}

/// Ends a hosted program and all its descendants: TERM, after the grace KILL. Doing it again is fine.
///
/// The program itself is not counted. Its cgroup is removed when it is empty.
pub async fn end_hosted(hosted: &Hosted, grace: Duration) -> Swept {
    let swept = Hunt::of_hosted(hosted).end(grace).await;
    if let Some(cgroup) = &hosted.cgroup {
        cgroup.remove();
    }
    swept
}

/// Ends all members of a cgroup, whatever program has started them, and removes it when it is empty.
pub(crate) async fn end_cgroup(cgroup: Cgroup, grace: Duration) -> Swept {
    let swept = Hunt { cgroup: Some(cgroup.clone()), ..Hunt::default() }.end(grace).await;
    cgroup.remove();
    swept
}

/// Finds the process that has a pid now, also when it has ended and its parent has not asked yet.
pub fn process_of(pid: u32) -> Option<ProcessId> {
    system::process_of(Pid::from_raw(i32::try_from(pid).ok()?)?)
}

/// Makes the parent of a process that has ended ask for how it ended, when the parent has missed that.
pub fn parent_remind(pid: u32) {
    if let Some(parent) = i32::try_from(pid).ok().and_then(Pid::from_raw).and_then(system::parent_of_zombie) {
        // Who has not asked yet does so; to anybody else it means nothing.
        kill_process(parent, Signal::CHILD).ok();
    }
}

/// Which processes carry the marker.
#[derive(Debug, Clone)]
pub(super) enum Mark {
    /// Those whose marker is this one.
    Exactly(String),
    /// Those whose marker begins so.
    Prefix(String),
}

impl Mark {
    fn is_empty(&self) -> bool {
        match self {
            Mark::Exactly(text) | Mark::Prefix(text) => text.is_empty(),
        }
    }

    /// Tells whether an environment, as the kernel shows it, has the marker.
    fn is_in(&self, environ: &[u8]) -> bool {
        environ.split(|byte| *byte == 0).any(|entry| {
            let value =
                entry.strip_prefix(EFFECT_VARIABLE.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
            value.is_some_and(|value| match self {
                Mark::Exactly(text) => value == text.as_bytes(),
                Mark::Prefix(text) => value.starts_with(text.as_bytes()),
            })
        })
    }
}

/// A process that cannot be taken for a later one with the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProcessId {
    pid: Pid,
    started_ticks: u64,
}

impl ProcessId {
    /// Names a process that was found before; `None` for a pid that no process has.
    pub fn new(pid: u32, started_ticks: u64) -> Option<ProcessId> {
        Some(ProcessId { pid: Pid::from_raw(i32::try_from(pid).ok()?)?, started_ticks })
    }

    /// Gives its pid.
    pub fn pid(self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Gives when it started, in the kernel's ticks since boot.
    pub fn started_ticks(self) -> u64 {
        self.started_ticks
    }

    /// Tells whether it is there and no zombie.
    pub fn is_alive(self) -> bool {
        system::is_alive(self)
    }
}

/// The descendants of one program, or of all that carry a mark.
#[derive(Debug, Clone, Default)]
pub(super) struct Hunt {
    group: Option<Pid>,
    mark: Option<Mark>,
    /// The program, when the hunt is for it as well and somebody else waits for it: it leads its group and session.
    hosted: Option<ProcessId>,
    cgroup: Option<Cgroup>,
    // Descendants that were seen as such: when their parent has ended nothing else may tell.
    known: HashSet<ProcessId>,
}

impl Hunt {
    /// Begins with a program that leads its own group.
    pub(super) fn of_group(leader: Pid, marker: Option<&str>) -> Hunt {
        Hunt {
            group: Some(leader),
            mark: marker.map(|marker| Mark::Exactly(marker.to_owned())).filter(|mark| !mark.is_empty()),
            ..Hunt::default()
        }
    }

    fn of_hosted(hosted: &Hosted) -> Hunt {
        Hunt {
            mark: Some(Mark::Exactly(hosted.marker.clone())).filter(|mark| !mark.is_empty()),
            hosted: Some(hosted.process),
            cgroup: hosted.cgroup.clone(),
            ..Hunt::default()
        }
    }

    /// Notes who belongs to it now, and asks all of them and the leader to end.
    pub(super) async fn term(&mut self) {
        let found = self.find().await;
        self.signal_group(Signal::TERM);
        for process in found {
            self.known.insert(process);
            signal(process, Signal::TERM);
        }
    }

    /// Kills the group, its leader included.
    pub(super) fn kill_group(&self) {
        self.signal_group(Signal::KILL);
    }

    /// Ends all that are left, and says how many there were. The leader is not counted.
    pub(super) async fn end(mut self, grace: Duration) -> Swept {
        let began = Instant::now();
        let mut asked = HashSet::new();
        let mut interval = LOOK_INTERVAL;
        let counted = |asked: &HashSet<ProcessId>, hosted: Option<ProcessId>| {
            asked.iter().filter(|process| Some(**process) != hosted).count()
        };
        loop {
            let found = self.find().await;
            if found.is_empty() {
                return Swept { killed: counted(&asked, self.hosted), alive: 0 };
            }
            if began.elapsed() > grace + KILL_PATIENCE {
                let alive = found.len();
                return Swept { killed: counted(&asked, self.hosted).saturating_sub(alive), alive };
            }
            let kill = began.elapsed() >= grace;
            if let Some(cgroup) = self.cgroup.as_ref().filter(|_| kill) {
                cgroup.kill();
            }
            for process in found {
                self.known.insert(process);
                let is_new = asked.insert(process);
                if kill {
                    signal(process, Signal::KILL);
                } else if is_new {
                    signal(process, Signal::TERM);
                }
            }
            tokio::time::sleep(interval).await;
            interval = (interval * 2).min(LOOK_INTERVAL_MAX);
        }
    }

    async fn find(&self) -> Vec<ProcessId> {
        let hunt = self.clone();
        tokio::task::spawn_blocking(move || system::find(&hunt)).await.unwrap_or_default()
    }

    fn signal_group(&self, signal: Signal) {
        if let Some(group) = self.group {
            // A group that is gone, or has only members that became another user's, is no error here: what is left
            // is counted when it is looked for again.
            kill_process_group(group, signal).ok();
        }
    }
}

fn signal(process: ProcessId, signal: Signal) {
    // It may have ended since it was found; what is left is counted when it is looked for again.
    kill_process(process.pid, signal).ok();
}

#[cfg(target_os = "linux")]
mod system {
    //! Reading `/proc`.

    use super::{Hunt, ProcessId};
    use rustix::process::{Pid, getpid};
    use std::collections::{BTreeMap, HashSet};
    use std::fs;

    /// A line of the process table.
    struct Row {
        process: ProcessId,
        parent: i32,
        is_hit: bool,
    }

    /// Gives the processes that a hunt is for and that are alive, without the leader of a group and the caller.
    pub(super) fn find(hunt: &Hunt) -> Vec<ProcessId> {
        let rows = table(hunt);
        let mut children: BTreeMap<i32, Vec<ProcessId>> = BTreeMap::new();
        for row in &rows {
            children.entry(row.parent).or_default().push(row.process);
        }
        let mut open: Vec<ProcessId> = rows.iter().filter(|row| row.is_hit).map(|row| row.process).collect();
        let mut found = HashSet::new();
        while let Some(process) = open.pop() {
            if process.pid != getpid() && found.insert(process) {
                open.extend(children.get(&process.pid.as_raw_nonzero().get()).into_iter().flatten());
            }
        }
        found.into_iter().filter(|process| Some(process.pid) != hunt.group).collect()
    }

    /// Gives the parent of a process that has ended and was not asked after.
    pub(super) fn parent_of_zombie(pid: Pid) -> Option<Pid> {
        let stat = Stat::of(pid)?;
        Pid::from_raw(stat.parent).filter(|_| stat.state == b'Z')
    }

    /// Gives the process that has a pid.
    pub(super) fn process_of(pid: Pid) -> Option<ProcessId> {
        Stat::of(pid).map(|stat| ProcessId { pid, started_ticks: stat.started_ticks })
    }

    /// Tells whether a process is there and no zombie.
    pub(super) fn is_alive(process: ProcessId) -> bool {
        Stat::of(process.pid)
            .is_some_and(|stat| stat.is_alive() && stat.started_ticks == process.started_ticks)
    }

    fn table(hunt: &Hunt) -> Vec<Row> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let family = Family::of(hunt);
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
            .filter_map(|pid| row(hunt, &family, Pid::from_raw(pid)?))
            .collect()
    }

    /// By which numbers of the kernel a process is known at once.
    struct Family {
        group: Option<i32>,
        session: Option<i32>,
        members: HashSet<i32>,
    }

    impl Family {
        fn of(hunt: &Hunt) -> Family {
            // While anybody is left in a session no new process gets its number; when a new one has it, then the
            // session is over.
            let hosted = hunt.hosted.filter(|hosted| {
                Stat::of(hosted.pid).is_none_or(|stat| stat.started_ticks == hosted.started_ticks)
            });
            let number = |pid: Pid| pid.as_raw_nonzero().get();
            Family {
                group: hunt.group.or(hosted.map(|hosted| hosted.pid)).map(number),
                session: hosted.map(|hosted| number(hosted.pid)),
                members: hunt.cgroup.as_ref().map(|cgroup| cgroup.members()).unwrap_or_default(),
            }
        }

        fn has(&self, pid: Pid, stat: &Stat) -> bool {
            self.group == Some(stat.group)
                || self.session == Some(stat.session)
                || self.members.contains(&pid.as_raw_nonzero().get())
        }
    }

    fn row(hunt: &Hunt, family: &Family, pid: Pid) -> Option<Row> {
        let stat = Stat::of(pid).filter(Stat::is_alive)?;
        let process = ProcessId { pid, started_ticks: stat.started_ticks };
        let is_marked = || {
            let mark = hunt.mark.as_ref()?;
            // Another user's environment cannot be read, and another user's process is not ours.
            let environ = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).ok()?;
            Some(mark.is_in(&environ))
        };
        let is_hit = family.has(pid, &stat) || hunt.known.contains(&process) || is_marked().unwrap_or(false);
        Some(Row { process, parent: stat.parent, is_hit })
    }

    /// What is needed of `/proc/<pid>/stat`, see proc_pid_stat(5).
    pub(super) struct Stat {
        pub(super) state: u8,
        pub(super) parent: i32,
        pub(super) group: i32,
        pub(super) session: i32,
        pub(super) started_ticks: u64,
    }

    impl Stat {
        fn of(pid: Pid) -> Option<Stat> {
            Stat::parse(&fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?)
        }

        /// A zombie has ended; its parent has only not asked yet.
        fn is_alive(&self) -> bool {
            !matches!(self.state, b'Z' | b'X')
        }

        pub(super) fn parse(line: &[u8]) -> Option<Stat> {
            // The name is in parentheses and may hold anything, parentheses and spaces included.
            let name_end = line.iter().rposition(|byte| *byte == b')')?;
            let rest = std::str::from_utf8(line.get(name_end + 1..)?).ok()?;
            let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
            Some(Stat {
                state: *fields.first()?.as_bytes().first()?,
                parent: fields.get(1)?.parse().ok()?,
                group: fields.get(2)?.parse().ok()?,
                session: fields.get(3)?.parse().ok()?,
                started_ticks: fields.get(19)?.parse().ok()?,
            })
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    //! Systems that do not show other processes' environments: only the group is known.

    use super::{Hunt, ProcessId};
    use rustix::process::{Pid, Signal, kill_process_group, test_kill_process, test_kill_process_group};

    /// Zombies cannot be told from others here.
    pub(super) fn parent_of_zombie(_pid: Pid) -> Option<Pid> {
        None
    }

    /// Gives the process that has a pid; when it started is not known here.
    pub(super) fn process_of(pid: Pid) -> Option<ProcessId> {
        test_kill_process(pid).is_ok().then_some(ProcessId { pid, started_ticks: 0 })
    }

    /// Tells whether a process is there; a zombie cannot be told from others here.
    pub(super) fn is_alive(process: ProcessId) -> bool {
        process_of(process.pid).is_some()
    }

    /// Kills what is left of the group; there is no list of who that is.
    pub(super) fn find(hunt: &Hunt) -> Vec<ProcessId> {
        let group = hunt.group.or(hunt.hosted.map(|hosted| hosted.pid));
        if let Some(group) = group.filter(|group| test_kill_process_group(*group).is_ok()) {
            kill_process_group(group, Signal::KILL).ok();
        }
        Vec::new()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::system::Stat;
    use super::*;

    #[test]
    fn a_process_name_cannot_forge_the_fields() {
        let line = b"42 (a) R 1 7 (b) S 10 20 20 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 987 1 1\n";
        let stat = Stat::parse(line).unwrap();
        assert_eq!(
            (stat.state, stat.parent, stat.group, stat.session, stat.started_ticks),
            (b'S', 10, 20, 20, 987)
        );
        assert!(Stat::parse(b"").is_none());
        assert!(Stat::parse(b"42 (x)").is_none());
    }

    #[test]
    fn a_mark_is_read_from_its_own_variable_only() {
        let environ =
            b"PATH=/bin\0ADJUTANT_EFFECT=run_1/a\0NOTE=ADJUTANT_EFFECT=run_2/a\0XADJUTANT_EFFECT=run_3\0";
        let exactly = |text: &str| Mark::Exactly(text.to_owned()).is_in(environ);
        let prefix = |text: &str| Mark::Prefix(text.to_owned()).is_in(environ);
        assert!(exactly("run_1/a"));
        assert!(!exactly("run_1/"), "a part is not the whole");
        assert!(prefix("run_1/"));
        assert!(!prefix("run_2/") && !prefix("run_3") && !prefix("run_11"));
    }
}
