//! What the operating system says about this process.

use std::time::Duration;

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeVal;

use super::text::TextFormat;

pub(super) fn render(page: &mut TextFormat) {
    match getrusage(UsageWho::RUSAGE_SELF) {
        Ok(usage) => {
            let help = "User and system time of the process.";
            page.head("process_cpu_seconds_total", "counter", help);
            page.sample("process_cpu_seconds_total", &[], cpu(&usage).as_secs_f64());
        }
        Err(error) => tracing::warn!(%error, "the system does not tell the time used"),
    }
    if let Some(bytes) = resident_bytes() {
        page.gauge("process_resident_memory_bytes", "Memory of the process.", bytes);
    }
}

fn cpu(usage: &Usage) -> Duration {
    let duration = |time: TimeVal| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        let microseconds = u64::try_from(time.tv_usec()).unwrap_or(0);
        Duration::from_secs(seconds) + Duration::from_micros(microseconds)
    };
    duration(usage.user_time()) + duration(usage.system_time())
}

/// `VmRSS` of `/proc/self/status`, which is in units of 1,024 bytes.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?;
    Some(kibibytes * 1024)
}
