//! Control groups: what the kernel itself knows to belong together.
//!
//! Only version 2, and only where this user may make groups and put processes into them; that is found out by doing
//! it. A group holds one start of one agent. No controller is turned on: nothing is limited, it is only found and
//! ended as one.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// So often a group is tried to be made, while others remove what it stands in.
const GROUP_TRIES: usize = 8;

/// A folder below which groups are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroups {
    folder: PathBuf,
}

/// The group of one start of one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    folder: PathBuf,
    /// The folder that goes with the last of its groups.
    all: Option<PathBuf>,
}

impl Cgroups {
    /// Finds out where groups can be made, by making one and putting a process into it. `name` is the folder's and
    /// should be one data folder's alone: what is below it is taken for its own.
    ///
    /// The folder stands beside the caller's own group and not in it, so that ending a service ends no agents, where
    /// that is allowed. `None` where groups cannot be made.
    pub fn detect(name: &str) -> Option<Cgroups> {
        places(name).into_iter().find(|folder| is_usable(folder)).map(|folder| Cgroups { folder })
    }

    /// Kills whatever is left in the groups that [`Cgroups::detect`] would give for this name, and removes them; waits
    /// so long for their members to be gone. For those whose owner is gone and comes back no more.
    #[expect(
        clippy::disallowed_methods,
        reason = "who calls this has no runtime any more, and no event is awaited by it"
    )]
    pub fn clear(name: &str, patience: Duration) {
        for folder in places(name).into_iter().filter(|folder| folder.is_dir()) {
            let deadline = Instant::now() + patience;
            loop {
                fs::write(folder.join("cgroup.kill"), "1").ok();
                remove_empty(&folder);
                if !folder.is_dir() || Instant::now() > deadline {
                    break;
                }
                // A member that is killed leaves its group a moment later.
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Makes a group, or finds it; `None` when the system will not.
    pub fn group(&self, name: &str) -> Option<Cgroup> {
        let folder = self.folder.join(name);
        // Whoever removes the last group takes the folder with it, perhaps between these two.
        let is_made = || made(&self.folder).and_then(|()| made(&folder)).is_ok();
        let is_there = (0..GROUP_TRIES).any(|_| is_made());
        is_there.then(|| Cgroup { folder, all: Some(self.folder.clone()) })
    }

    /// Finds a group that was made before.
    pub fn found(&self, name: &str) -> Option<Cgroup> {
        let cgroup = Cgroup { folder: self.folder.join(name), all: Some(self.folder.clone()) };
        Some(cgroup).filter(|cgroup| cgroup.folder.is_dir())
    }

    /// Removes all groups that are empty, and the folder when all were.
    pub fn remove(&self) {
        remove_empty(&self.folder);
    }
}

impl Cgroup {
    /// Gives the file into which a process writes its pid to join.
    pub fn procs(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// Gives the command that joins the group and becomes a program: what that starts first is in the group already.
    pub(crate) fn joining(&self, argv: &[String]) -> Vec<String> {
        let script = "echo $$ 2>/dev/null > \"$1\"; shift; exec \"$@\"";
        let mut joining = ["/bin/sh", "-c", script, "sh"].map(str::to_owned).to_vec();
        joining.push(self.procs().to_string_lossy().into_owned());
        joining.extend_from_slice(argv);
        joining
    }

    /// Puts a process into the group.
    ///
    /// # Errors
    /// What the system said.
    pub fn put(&self, pid: u32) -> io::Result<()> {
        fs::write(self.procs(), pid.to_string())
    }

    /// Gives the pids of its members, those of groups below it included.
    pub fn members(&self) -> HashSet<i32> {
        let mut members = HashSet::new();
        let mut open = vec![self.folder.clone()];
        while let Some(folder) = open.pop() {
            let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            members.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
            open.extend(folders_in(&folder));
        }
        members
    }

    /// Makes a group in this one, or finds it; its members are this one's as well.
    pub(crate) fn below(&self, name: &str) -> Option<Cgroup> {
        let folder = self.folder.join(name);
        made(&folder).ok().map(|()| Cgroup { folder, all: None })
    }

    /// Kills all members at once, also those that are being forked meanwhile. An old kernel cannot; its members are
    /// ended one by one.
    pub(crate) fn kill(&self) {
        fs::write(self.folder.join("cgroup.kill"), "1").ok();
    }

    /// Removes the group, and the empty ones below it; one that has members stays. With the last group of a folder the
    /// folder goes.
    pub fn remove(&self) {
        remove_empty(&self.folder);
        if let Some(all) = &self.all {
            fs::remove_dir(all).ok();
        }
    }
}

/// Gives where a folder of this name may stand, the best place first.
fn places(name: &str) -> Vec<PathBuf> {
    let Some((mount, own)) = mount_point().zip(own_path()) else { return Vec::new() };
    let beside = own.parent().map(Path::to_owned);
    beside.into_iter().chain([own]).map(|path| mount.join(path).join(name)).collect()
}

fn remove_empty(folder: &Path) {
    for below in folders_in(folder) {
        remove_empty(&below);
    }
    fs::remove_dir(folder).ok();
}

fn folders_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

fn made(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

/// Tells whether groups can be made in a folder and processes be put into them. Making is not enough: who moves a
/// process must also be allowed to write where it comes from.
fn is_usable(folder: &Path) -> bool {
    let probe = folder.join("probe");
    let moved = made(folder).and_then(|()| made(&probe)).and_then(|()| move_in_and_out(&probe));
    fs::remove_dir(&probe).ok();
    // The first group makes it again; one with groups in it stays.
    fs::remove_dir(folder).ok();
    moved.is_ok()
}

/// Lets a short program go into a group and end there.
fn move_in_and_out(group: &Path) -> io::Result<()> {
    let mut program = std::process::Command::new("/bin/sh")
        .args(["-c", "echo $$ > \"$1/cgroup.procs\"", "sh"])
        .arg(group)
        .env_clear()
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()?;
    let status = program.wait()?;
    status.success().then_some(()).ok_or_else(|| io::ErrorKind::PermissionDenied.into())
}

/// Gives where cgroup v2 is mounted: by itself, or as `unified` beside version 1.
fn mount_point() -> Option<PathBuf> {
    mounted_at(&fs::read_to_string("/proc/self/mounts").ok()?)
}

fn mounted_at(mounts: &str) -> Option<PathBuf> {
    let mut fields = mounts.lines().map(|line| line.split(' '));
    let mut found = fields.find(|fields| fields.clone().nth(2) == Some("cgroup2"))?;
    found.nth(1).map(PathBuf::from)
}

/// Gives the caller's own group below the mount point.
fn own_path() -> Option<PathBuf> {
    own_in(&fs::read_to_string("/proc/self/cgroup").ok()?)
}

fn own_in(text: &str) -> Option<PathBuf> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // A group outside of the caller's namespace is shown with `..`; there is nothing to make there.
    (!path.split('/').any(|part| part == "..")).then(|| PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_and_the_own_group_are_read_from_the_kernels_tables() {
        let hybrid = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(mounted_at(hybrid), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(mounted_at("tmpfs /sys/fs/cgroup tmpfs rw 0 0\n"), None);
        assert_eq!(own_in("9:cpu:/x\n0::/user.slice/a.scope\n"), Some(PathBuf::from("user.slice/a.scope")));
        assert_eq!(own_in("0::/\n"), Some(PathBuf::new()));
        assert_eq!(own_in("0::/../other\n"), None);
        assert_eq!(own_in("9:cpu:/x\n"), None);
    }
}
