//! What the operating system and the allocator say about this process.

use std::fs;
use std::path::Path;

/// The allocator this executable was built with.
pub(crate) const ALLOCATOR: &str = if cfg!(feature = "jemalloc") {
    "jemalloc"
} else if cfg!(feature = "mimalloc") {
    "mimalloc"
} else {
    "libc"
};

/// Memory, in bytes; 0 where it is not known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// In physical memory now.
    pub(crate) resident_bytes: u64,
    /// The most that ever was in physical memory.
    pub(crate) peak_resident_bytes: u64,
    /// Handed out by the allocator.
    pub(crate) allocated_bytes: u64,
    /// Pages from which the allocator hands out.
    pub(crate) active_bytes: u64,
    /// What the allocator keeps mapped.
    pub(crate) allocator_resident_bytes: u64,
    /// In physical memory now, without files.
    pub(crate) anonymous_bytes: u64,
}

/// What this process takes.
pub(crate) fn memory() -> Memory {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    Memory {
        resident_bytes: kilobytes(&status, "VmRSS:"),
        peak_resident_bytes: kilobytes(&status, "VmHWM:"),
        anonymous_bytes: kilobytes(&status, "RssAnon:"),
        ..allocator()
    }
}

/// What the store wants to know, read the cheap way, and beside it the bytes of free pages that the
/// allocator keeps.
pub(crate) fn for_store() -> (store::memory::Process, u64) {
    // Pages: the whole size, what is resident, and what of that is mapped files.
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut pages = statm.split_whitespace().skip(1).map(|field| field.parse());
    let (resident, files) = match (pages.next(), pages.next()) {
        (Some(Ok(resident)), Some(Ok(files))) => (resident, files),
        _ => (0, 0),
    };
    let page_bytes = rustix::param::page_size() as u64;
    let process = store::memory::Process {
        resident_bytes: u64::saturating_sub(resident, files) * page_bytes,
        file_bytes: files * page_bytes,
        allocated_bytes: allocator().allocated_bytes,
    };
    (process, free_pages() * page_bytes)
}

/// The machine's physical memory, in bytes.
pub(crate) fn system_memory_bytes() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    kilobytes(&info, "MemTotal:")
}

/// The memory this process may take: the machine's, or less if its control group has less.
pub(crate) fn memory_there_is_bytes() -> u64 {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        match controllers {
            "" => group_limit("/sys/fs/cgroup", path, "memory.max"),
            "memory" => group_limit("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes"),
            _ => None,
        }
    });
    let machine = system_memory_bytes();
    limits.fold(machine, u64::min)
}

/// The lowest limit of a control group and those it is in; in a container all may be seen from
/// its own root.
fn group_limit(root: &str, path: &str, file: &str) -> Option<u64> {
    let mut limit: Option<u64> = None;
    for group in Path::new(path).ancestors() {
        let group = group.strip_prefix("/").unwrap_or(group);
        let text = fs::read_to_string(Path::new(root).join(group).join(file));
        // "max" is no number.
        let bytes = text.ok().and_then(|text| text.trim().parse().ok());
        limit = limit.into_iter().chain(bytes).min();
    }
    limit
}

/// A line of the kernel's such as `VmRSS:  1234 kB`, in bytes.
fn kilobytes(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |kilobytes| kilobytes << 10)
}

#[cfg(feature = "jemalloc")]
fn allocator() -> Memory {
    use tikv_jemalloc_ctl::{Access, AsName, epoch, stats};
    /// Of all arenas, what threads keep at hand: nobody uses it, but it counts as allocated.
    const CACHED: &[u8] = b"stats.arenas.4096.tcache_bytes\0";
    // The statistics are those of the last advance.
    if epoch::advance().is_err() {
        return Memory::default();
    }
    let bytes = |read: tikv_jemalloc_ctl::Result<usize>| read.map_or(0, |bytes| bytes as u64);
    let cached = bytes(CACHED.name().read());
    Memory {
        allocated_bytes: bytes(stats::allocated::read()).saturating_sub(cached),
        active_bytes: bytes(stats::active::read()),
        allocator_resident_bytes: bytes(stats::resident::read()),
        ..Memory::default()
    }
}

/// How many free pages the allocator keeps, as of the last advance of its statistics.
#[cfg(feature = "jemalloc")]
fn free_pages() -> u64 {
    use tikv_jemalloc_ctl::{Access, AsName};
    /// Of all arenas.
    const DIRTY: &[u8] = b"stats.arenas.4096.pdirty\0";
    let pages: tikv_jemalloc_ctl::Result<usize> = DIRTY.name().read();
    pages.map_or(0, |pages| pages as u64)
}

#[cfg(not(feature = "jemalloc"))]
fn free_pages() -> u64 {
    0
}

/// How long the allocator keeps free pages: most are used again.
#[cfg(feature = "jemalloc")]
const PAGES_KEPT_MS: isize = 500;

/// Has the allocator give all free pages back to the kernel now. Each that is used again costs a
/// page fault then.
#[cfg(feature = "jemalloc")]
pub(crate) fn give_free_pages_back() {
    use tikv_jemalloc_ctl::{Access, AsName, Mib, arenas};
    let of_one: tikv_jemalloc_ctl::Result<Mib<[usize; 3]>> =
        b"arena.0.dirty_decay_ms\0"[..].name().mib();
    let (Ok(mut of_one), Ok(arenas)) = (of_one, arenas::narenas::read()) else {
        log::warn!("the allocator does not give free pages back");
        return;
    };
    for arena in 0..arenas as usize {
        of_one[1] = arena;
        // It gives back at once what it is to keep no longer. One that no thread uses yet refuses,
        // and has nothing to give.
        let _ = of_one.write(0_isize);
        let _ = of_one.write(PAGES_KEPT_MS);
    }
}

#[cfg(not(feature = "jemalloc"))]
pub(crate) fn give_free_pages_back() {}

#[cfg(not(feature = "jemalloc"))]
fn allocator() -> Memory {
    Memory::default()
}

/// Seconds of processor time this process took: in its own code, and in the kernel.
pub(crate) fn cpu_seconds() -> (f64, f64) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may have blanks; what follows it has not.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks_per_s = rustix::param::clock_ticks_per_second() as f64;
    let mut ticks = fields
        .split_whitespace()
        .skip(11)
        .map(|field| field.parse::<f64>().unwrap_or(0.0) / ticks_per_s);
    (ticks.next().unwrap_or(0.0), ticks.next().unwrap_or(0.0))
}

/// The system's name, release and machine, as `uname` has them.
pub(crate) fn system_name() -> String {
    let name = rustix::system::uname();
    let parts = [name.sysname(), name.release(), name.machine()];
    parts
        .map(|part| part.to_string_lossy().into_owned())
        .join(" ")
}

/// The path of the executable.
pub(crate) fn executable() -> String {
    std::env::current_exe()
        .map(|path| path.display().to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_about_this_process() {
        let memory = memory();
        assert!(memory.resident_bytes > 1 << 20);
        assert!(memory.peak_resident_bytes >= memory.resident_bytes);
        assert!(system_memory_bytes() > memory.resident_bytes);
        assert!(system_name().starts_with("Linux"));
    }
}
