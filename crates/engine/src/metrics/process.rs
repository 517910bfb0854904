//! What this process takes of the machine, under the names that every Prometheus client gives it.
//!
//! It is read where Linux says it; other systems do not, and there it is left out.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};
use std::fmt;
use std::fs;

/// What this process takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Process {
    resident_bytes: u64,
    virtual_bytes: u64,
    cpu_seconds: f64,
    threads: u64,
    open_fds: u64,
    max_fds: Option<u64>,
    start_seconds: f64,
}

/// Looks at this process.
pub(super) fn look() -> Option<Process> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let machine = fs::read_to_string("/proc/stat").ok()?;
    let open_fds = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    let max_fds = getrlimit(Resource::Nofile).current;
    Some(Process { open_fds, max_fds, ..read(&stat, &machine)? })
}

/// Reads the line of a process, and what the machine says of its start.
fn read(stat: &str, machine: &str) -> Option<Process> {
    // The program's name stands in brackets and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
    let booted: u64 = machine.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let ticks = clock_ticks_per_second();
    Some(Process {
        cpu_seconds: per_second(number(11)? + number(12)?, ticks),
        threads: number(17)?,
        start_seconds: per_second(booted.checked_mul(ticks)?.checked_add(number(19)?)?, ticks),
        virtual_bytes: number(20)?,
        resident_bytes: number(21)?.checked_mul(page_size() as u64)?,
        open_fds: 0,
        max_fds: None,
    })
}

#[expect(clippy::cast_precision_loss, reason = "2^53 ticks are millions of years")]
fn per_second(ticks: u64, ticks_per_second: u64) -> f64 {
    ticks as f64 / ticks_per_second as f64
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge = |name, help, value: f64| {
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        gauge("process_resident_memory_bytes", "Resident memory size in bytes", lossy(self.resident_bytes))?;
        gauge("process_virtual_memory_bytes", "Virtual memory size in bytes", lossy(self.virtual_bytes))?;
        gauge("process_threads", "Number of OS threads in the process", lossy(self.threads))?;
        gauge("process_open_fds", "Number of open file descriptors", lossy(self.open_fds))?;
        if let Some(max) = self.max_fds {
            gauge("process_max_fds", "Maximum number of open file descriptors", lossy(max))?;
        }
        let help = "Start time of the process since unix epoch in seconds";
        gauge("process_start_time_seconds", help, self.start_seconds)?;
        let cpu = ConstCounter::new(self.cpu_seconds);
        let help = "Total user and system CPU time spent in seconds";
        cpu.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, cpu.metric_type())?)
    }
}

#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 nobody counts to the last one")]
fn lossy(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_moves_no_field() {
        let rest = "S 1 1 1 0 -1 4194304 1 0 0 0 300 200 0 0 20 0 9 0 5000 1048576 25 1844674407";
        let machine = "cpu 1 2\nbtime 1000\nprocesses 3\n";
        let read_as = |name: &str| read(&format!("7 ({name}) {rest}"), machine).expect("it is read");
        let plain = read_as("adjutant");
        assert_eq!(plain, read_as("a) S 9 (b c"));
        assert_eq!((plain.threads, plain.virtual_bytes), (9, 1_048_576));
        let ticks = clock_ticks_per_second();
        assert!((plain.cpu_seconds - per_second(500, ticks)).abs() < 1e-9);
        assert!((plain.start_seconds - 1000.0 - per_second(5000, ticks)).abs() < 1e-6);
        assert_eq!(read("nothing", machine), None);
    }
}
