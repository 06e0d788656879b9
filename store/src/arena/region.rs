//! The arena's address space: slabs, their records, and the pool of those that hold nothing.

use std::ptr::{self, NonNull};
use std::sync::OnceLock;

use super::slab::{Records, Slab};
use super::{Extent, IS_USED};
use crate::reclaim::{self, Drain};
use crate::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// A slab's length and alignment.
pub(crate) const SLAB_BYTES: usize = 64 << 10;
/// What the kernel maps at once where it can.
const HUGE_PAGE_BYTES: usize = 2 << 20;
const SLABS_PER_HUGE_PAGE: u32 = (HUGE_PAGE_BYTES / SLAB_BYTES) as u32;
/// With so many slabs left of a huge page the next one is made ready. Zeroing it takes the kernel
/// up to a millisecond, for which no write should wait.
const SLABS_AHEAD: u32 = 8;
/// Less address space than this is not worth having.
const SPAN_BYTES_MIN: usize = 256 << 20;
/// More than this no machine needs.
const SPAN_BYTES_MAX: usize = 16 << 40;

/// How many neighbouring slabs are used as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Units {
    One = 1,
    /// A pair: the first has an even number.
    Two = 2,
}

/// Reserved address space and what is known about its slabs.
pub(super) struct Region {
    /// Invariant: `span` slabs of memory that may be written from here on, never unmapped.
    base: NonNull<u8>,
    pub(super) records: Records,
    /// Slabs below were in use at some time.
    frontier: AtomicU32,
    /// Slabs below were in use or made ready.
    ready: AtomicU32,
    /// Free slabs in physical memory.
    resident: Bits,
    /// Free slabs the kernel has taken back.
    returned: Bits,
    /// Slabs that are being emptied.
    pub(super) evacuated: Bits,
}

// SAFETY: the base is an address; what lies behind it belongs to who allocated it.
unsafe impl Send for Region {}
// SAFETY: what threads share are atomics; the base never changes.
unsafe impl Sync for Region {}

/// A set of slabs.
pub(super) struct Bits {
    words: &'static [AtomicU64],
    count: AtomicUsize,
}

/// The region, reserved at the first call; none where the arena is not used or there is no address
/// space.
pub(super) fn region() -> Option<&'static Region> {
    #[cfg(any(mayfly_loom, mayfly_shuttle))]
    if let Some(region) = super::world::region() {
        return Some(region);
    }
    static REGION: OnceLock<Option<Region>> = OnceLock::new();
    if !IS_USED {
        return None;
    }
    REGION.get_or_init(Region::reserve).as_ref()
}

impl Region {
    /// Reserves as much as fits below some limit of the process, from twice the machine's memory.
    fn reserve() -> Option<Region> {
        // SAFETY: these calls only read.
        let pages = unsafe { libc::sysconf(libc::_SC_PHYS_PAGES) };
        // SAFETY: this call only reads.
        let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let memory = usize::try_from(pages).ok()? * usize::try_from(page_bytes).ok()?;
        let most = memory
            .next_power_of_two()
            .clamp(SPAN_BYTES_MIN, SPAN_BYTES_MAX / 2)
            * 2;
        let sizes = std::iter::successors(Some(most), |bytes| Some(bytes / 2));
        sizes
            .take_while(|&bytes| bytes >= SPAN_BYTES_MIN)
            .find_map(Region::reserve_bytes)
    }

    fn reserve_bytes(bytes: usize) -> Option<Region> {
        let start = map(bytes + HUGE_PAGE_BYTES)?;
        let skipped = start.as_ptr().addr().next_multiple_of(HUGE_PAGE_BYTES);
        let skipped = skipped - start.as_ptr().addr();
        // SAFETY: less than a huge page, by which more was mapped.
        let base = unsafe { start.add(skipped) };
        // SAFETY: the mapping is ours. Without huge pages all works as well.
        unsafe { libc::madvise(base.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE) };
        // SAFETY: so much is mapped from there on.
        unsafe { Region::over(base, bytes / SLAB_BYTES) }
    }

    /// Nothing of it is in use.
    ///
    /// # Safety
    /// So many slabs from `base` on are the region's for all time.
    pub(super) unsafe fn over(base: NonNull<u8>, span: usize) -> Option<Region> {
        let words = span.div_ceil(64);
        let records = Records::zeroed(span)?;
        let bits = [zeroed(words)?, zeroed(words)?, zeroed(words)?];
        let [resident, returned, evacuated] = bits.map(|words| Bits {
            words,
            count: AtomicUsize::new(0),
        });
        Some(Region {
            base,
            records,
            frontier: AtomicU32::new(0),
            ready: AtomicU32::new(0),
            resident,
            returned,
            evacuated,
        })
    }

    pub(super) fn base(&self) -> usize {
        self.base.as_ptr().addr()
    }

    /// How many slabs there are at most.
    pub(super) fn span(&self) -> usize {
        self.records.len()
    }

    pub(super) fn slab(&'static self, index: u32) -> Slab {
        Slab::new(self, index)
    }

    /// Where a slot starts.
    pub(super) fn address(&self, index: u32, offset: usize) -> NonNull<u8> {
        debug_assert!((index as usize) < self.span() && offset < 2 * SLAB_BYTES);
        // SAFETY: inside the region, by the invariant of `base`.
        unsafe { self.base.add(index as usize * SLAB_BYTES + offset) }
    }

    /// A slab of the pool, which is the caller's then: the lowest that is in physical memory, or
    /// else one that is not. None at the end of the address space.
    pub(super) fn take(&self) -> Option<u32> {
        let frontier = self.frontier.load(Ordering::Relaxed);
        if let Some(index) = self.resident.take_lowest(frontier) {
            return Some(index);
        }
        if let Some(index) = self.returned.take_lowest(frontier) {
            return Some(index);
        }
        self.take_new(Units::One)
    }

    /// Two neighbours of the pool, as [`Region::take`]. None, too, where the pool has other slabs.
    pub(super) fn take_pair(&self) -> Option<u32> {
        let frontier = self.frontier.load(Ordering::Relaxed);
        for bits in [&self.resident, &self.returned] {
            if bits.count.load(Ordering::Relaxed) > 0 {
                return bits.take_lowest_pair(frontier);
            }
        }
        self.take_new(Units::Two)
    }

    /// Slabs that were never used.
    fn take_new(&self, units: Units) -> Option<u32> {
        let units = units as u32;
        let behind = |frontier: u32| frontier.next_multiple_of(units) + units;
        let next = |frontier| {
            let next = behind(frontier);
            (next as usize <= self.span()).then_some(next)
        };
        let relaxed = Ordering::Relaxed;
        let before = self
            .frontier
            .fetch_update(Ordering::AcqRel, relaxed, next)
            .ok()?;
        let index = before.next_multiple_of(units);
        // What lies before a pair is for others.
        (before..index).for_each(|skipped| self.put(skipped));
        let ahead = (before + SLABS_AHEAD).next_multiple_of(SLABS_PER_HUGE_PAGE);
        if ahead < behind(before) + SLABS_AHEAD
            && ((ahead + SLABS_PER_HUGE_PAGE) as usize) <= self.span()
        {
            reclaim::reap(Box::new(HugePage(ahead)));
        }
        Some(index)
    }

    fn use_up_ready(&self) {
        let before = self.end();
        let whole = before.next_multiple_of(SLABS_PER_HUGE_PAGE);
        let ready = whole.max(self.ready.load(Ordering::Relaxed));
        let end = ready.min(self.span() as u32);
        // Who takes a slab meanwhile has a use for what is ready.
        let (order, relaxed) = (Ordering::AcqRel, Ordering::Relaxed);
        let is_ours = before < end
            && self
                .frontier
                .compare_exchange(before, end, order, relaxed)
                .is_ok();
        if is_ours {
            (before..end).for_each(|index| self.put(index));
        }
    }

    /// Lets the kernel put a huge page behind the frontier into physical memory.
    fn make_ready(&self, first: u32) {
        let start = self.address(first, 0).as_ptr().cast();
        // SAFETY: inside the mapping, of which this changes no content: somebody may be faster and
        // use it already. A kernel before 5.14 refuses, and the first write does it.
        let answer = unsafe { libc::madvise(start, HUGE_PAGE_BYTES, libc::MADV_POPULATE_WRITE) };
        if answer == 0 {
            self.ready
                .fetch_max(first + SLABS_PER_HUGE_PAGE, Ordering::Relaxed);
        }
    }

    /// Puts a slab into the pool that the caller holds and nobody uses.
    pub(super) fn put(&self, index: u32) {
        self.resident.set(index);
    }

    /// How many slabs are somebody's.
    pub(super) fn slabs_in_use(&self) -> usize {
        let [free, returned] =
            [&self.resident, &self.returned].map(|bits| bits.count.load(Ordering::Relaxed));
        let used = self.frontier.load(Ordering::Relaxed) as usize;
        used.saturating_sub(free + returned)
    }

    /// Slabs from this one on were never used.
    pub(super) fn end(&self) -> u32 {
        self.frontier.load(Ordering::Relaxed)
    }

    pub(super) fn extent(&self) -> Extent {
        let used = self.frontier.load(Ordering::Relaxed) as usize;
        let returned = self.returned.count.load(Ordering::Relaxed);
        let free = self.resident.count.load(Ordering::Relaxed);
        // The huge page at the frontier is there as a whole, and at times the next.
        let whole = used.next_multiple_of(SLABS_PER_HUGE_PAGE as usize);
        let last = whole.max(self.ready.load(Ordering::Relaxed) as usize) - used;
        let bytes = |slabs: usize| (slabs * SLAB_BYTES) as u64;
        Extent {
            resident_bytes: bytes((used + last).saturating_sub(returned)),
            free_bytes: bytes(free + last),
            records_bytes: self.records.bytes(used),
        }
    }
}

/// What the reaper thread is told to make ready: the number of its first slab.
struct HugePage(u32);

impl Drain for HugePage {
    fn drain_slice(&mut self) -> bool {
        if let Some(region) = region() {
            region.make_ready(self.0);
        }
        false
    }
}

impl Bits {
    /// Each is counted before anybody can know of it.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    pub(super) fn has(&self, index: u32) -> bool {
        // Mostly there is none.
        if self.is_empty() {
            return false;
        }
        let word = self.words[index as usize / 64].load(Ordering::Relaxed);
        word >> (index % 64) & 1 != 0
    }

    /// Counted first: whoever clears a bit finds it counted, and the count is never below zero.
    pub(super) fn set(&self, index: u32) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.words[index as usize / 64].fetch_or(1 << (index % 64), Ordering::Release);
    }

    /// Takes an index out; whether it was in.
    pub(super) fn clear(&self, index: u32) -> bool {
        let bit = 1 << (index % 64);
        let before = self.words[index as usize / 64].fetch_and(!bit, Ordering::AcqRel);
        let was_in = before & bit != 0;
        if was_in {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        was_in
    }

    /// Takes the lowest index below `end` out.
    fn take_lowest(&self, end: u32) -> Option<u32> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        for (at, word) in self.words[..(end as usize).div_ceil(64)].iter().enumerate() {
            let mut bits = word.load(Ordering::Relaxed);
            while bits != 0 {
                let index = at as u32 * 64 + bits.trailing_zeros();
                if self.clear(index) {
                    return Some(index);
                }
                bits &= bits - 1;
            }
        }
        None
    }

    /// Takes the lowest two neighbours below `end` out, of which the first is even.
    fn take_lowest_pair(&self, end: u32) -> Option<u32> {
        const EVEN: u64 = u64::MAX / 3;
        for (at, word) in self.words[..(end as usize).div_ceil(64)].iter().enumerate() {
            let bits = word.load(Ordering::Relaxed);
            let mut pairs = bits & (bits >> 1) & EVEN;
            while pairs != 0 {
                let index = at as u32 * 64 + pairs.trailing_zeros();
                match (self.clear(index), self.clear(index + 1)) {
                    (true, true) => return Some(index),
                    // Somebody else took one meanwhile.
                    (true, false) => self.set(index),
                    (false, true) => self.set(index + 1),
                    (false, false) => {}
                }
                pairs &= pairs - 1;
            }
        }
        None
    }

    /// The highest index below `end`.
    fn highest(&self, end: u32) -> Option<u32> {
        let words = &self.words[..(end as usize).div_ceil(64)];
        words.iter().enumerate().rev().find_map(|(at, word)| {
            let mut bits = word.load(Ordering::Relaxed);
            if at == end as usize / 64 {
                bits &= (1 << (end % 64)) - 1;
            }
            (bits != 0).then(|| at as u32 * 64 + 63 - bits.leading_zeros())
        })
    }
}

/// Puts what was made ready for growth, and not used yet, into the pool of free slabs: for who
/// expects no more growth.
pub(crate) fn use_up_ready() {
    if let Some(region) = region() {
        region.use_up_ready();
    }
}

/// Gives the kernel free slabs beyond `reserve_bytes`, at most `slabs_max`, the highest first.
/// How many bytes that were.
pub(crate) fn release(reserve_bytes: u64, slabs_max: usize) -> u64 {
    let Some(region) = region() else { return 0 };
    let reserve = reserve_bytes as usize / SLAB_BYTES;
    let free = region.resident.count.load(Ordering::Relaxed);
    let mut left = free.saturating_sub(reserve).min(slabs_max);
    let mut end = region.frontier.load(Ordering::Relaxed);
    let mut released = 0;
    while left > 0 {
        let Some(last) = region.resident.highest(end) else {
            break;
        };
        // A run of neighbours is one call to the kernel.
        let mut first = last + 1;
        while left > 0 && first > 0 && region.resident.clear(first - 1) {
            first -= 1;
            left -= 1;
        }
        end = first;
        if first > last {
            // Somebody took it.
            end = last;
            continue;
        }
        region.give_to_kernel(first, (last - first + 1) as usize);
        released += u64::from(last - first + 1) * SLAB_BYTES as u64;
    }
    released
}

impl Region {
    /// The slabs were taken from the pool by the caller.
    fn give_to_kernel(&self, first: u32, slabs: usize) {
        let start = self.address(first, 0);
        let bytes = slabs * SLAB_BYTES;
        // SAFETY: the slabs hold nothing and are in no one else's hands; the mapping stays.
        let answer = unsafe { libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_DONTNEED) };
        for index in first..first + slabs as u32 {
            match answer {
                0 => self.returned.set(index),
                _ => self.resident.set(index),
            }
        }
    }
}

#[cfg(any(mayfly_loom, mayfly_shuttle))]
pub(super) use super::world::zeroed;

/// Zeroed memory for all time, in physical memory as far as it is used.
#[cfg(not(any(mayfly_loom, mayfly_shuttle)))]
pub(super) fn zeroed<T>(count: usize) -> Option<&'static [T]> {
    let bytes = count * size_of::<T>();
    let start = map(bytes)?;
    // Little of it is used at first, where it is many.
    // SAFETY: the mapping is ours; this changes no content.
    unsafe { libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_NOHUGEPAGE) };
    // SAFETY: the mapping is so long, zeroed, aligned to a page and never unmapped; all `T` here
    // are made of atomic integers, for which zero is a value.
    Some(unsafe { std::slice::from_raw_parts(start.as_ptr().cast(), count) })
}

pub(super) fn map(bytes: usize) -> Option<NonNull<u8>> {
    // SAFETY: a new mapping, wherever the kernel likes it, replaces nothing.
    let start = unsafe {
        libc::mmap(
            ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    match start {
        libc::MAP_FAILED => None,
        start => NonNull::new(start.cast()),
    }
}

#[cfg(all(test, any(mayfly_loom, mayfly_shuttle)))]
impl Region {
    /// Whether a slab is in the pool, and then in one part of it.
    pub(super) fn is_in_pool(&self, index: u32) -> bool {
        let is_in = [&self.resident, &self.returned].map(|bits| bits.has(index));
        assert_ne!(is_in, [true, true]);
        is_in != [false, false]
    }

    /// Every set has as many slabs as it says.
    pub(super) fn check_counts(&self) {
        for bits in [&self.resident, &self.returned, &self.evacuated] {
            let slabs = (0..self.span() as u32).filter(|&index| bits.has(index));
            assert_eq!(slabs.count(), bits.count.load(Ordering::Relaxed));
        }
    }
}
