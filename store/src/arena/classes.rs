//! Size classes: 4 bytes apart up to 1 kB, a few percent apart above.
//!
//! Closer ones waste less in each block and more in slabs: every class in use has one that is half
//! empty. So from 160 bytes on the odd multiples of 4 have slabs of their own only where these are
//! many, and else are served by the next class ([`coarse`]).
//!
//! What the end of a slab wastes, half a slot in the mean, goes by the number of its slots. Where
//! these are few and two slabs together have less of it, two neighbours make a *pair*.

use super::Mobility;
use super::region::{SLAB_BYTES, Units};

/// The longest block the arena serves.
pub(crate) const BYTES_MAX: usize = 8192;
/// The shortest slot.
pub(crate) const BYTES_MIN: usize = 32;
/// Up to here a class has slabs of its own in any case.
const FINEST_MAX: usize = 160;
/// Up to here classes are 4 bytes apart, above a slab is cut into ever fewer equal slots.
const FINE_MAX: usize = 1024;
/// Slabs are paired for slots from this length on to [`FINE_MAX`]: so few are in a slab that the
/// bits for them stand in its record.
const PAIRED_MIN: usize = SLAB_BYTES / 128;
/// Two slabs make a pair where a slot then takes less by so many bytes.
const PAIR_GAIN_BYTES_MIN: usize = 1;

/// So many slots the next class has less.
const fn fewer_slots(slots: usize) -> usize {
    match slots / 24 {
        0 => 1,
        step => step,
    }
}

const fn next_bytes(bytes: usize) -> usize {
    match bytes {
        0 => BYTES_MIN,
        1..FINE_MAX => bytes + 4,
        _ => {
            let slots = SLAB_BYTES / bytes;
            (SLAB_BYTES / (slots - fewer_slots(slots))) & !7
        }
    }
}

/// How many classes there are.
pub(crate) const CLASSES: usize = {
    let (mut count, mut bytes) = (0, 0);
    while bytes < BYTES_MAX {
        bytes = next_bytes(bytes);
        count += 1;
    }
    count
};

/// What is to be known of a class.
#[derive(Clone, Copy)]
pub(super) struct Class {
    pub(super) bytes: u32,
    /// How many slots a slab has.
    slots: u32,
    /// How many slots a pair of slabs has; 0: it is no better than two slabs.
    pair_slots: u32,
    /// 2^32 by the bytes, rounded up: dividing an offset in a slab is a multiplication.
    reciprocal: u32,
    /// How many slots a thread takes at a time.
    pub(super) batch: u32,
}

impl Class {
    /// How many slots a slab or a pair has.
    pub(super) fn slots(&self, units: Units) -> usize {
        match units {
            Units::One => self.slots as usize,
            Units::Two => self.pair_slots as usize,
        }
    }

    /// Whether two neighbours are better than one slab.
    pub(super) fn is_paired(&self) -> bool {
        self.pair_slots > 0
    }
}

/// A slab of `slots` slots stands on its class's stack once so many are free.
pub(super) fn worthwhile(slots: usize) -> usize {
    (slots / 32).max(1)
}

/// How many slots of a length a pair has, if it is worth it.
const fn pair_slots(bytes: usize) -> usize {
    // A power of two leaves nothing, and its slots must not lie across two slabs' lines.
    if bytes < PAIRED_MIN || bytes >= FINE_MAX || bytes.is_power_of_two() {
        return 0;
    }
    let (one, two) = (SLAB_BYTES / bytes, 2 * SLAB_BYTES / bytes);
    let gain_bytes = SLAB_BYTES / one - 2 * SLAB_BYTES / two;
    if gain_bytes >= PAIR_GAIN_BYTES_MIN {
        two
    } else {
        0
    }
}

/// A thread has at most about so many bytes of a class in its cache.
const BATCH_BYTES: u32 = 8 << 10;
/// A thread has at most so many slots of a class in its cache.
pub(super) const BATCH_MAX: usize = 28;

const TABLE: [Class; CLASSES] = {
    let mut table = [Class {
        bytes: 0,
        slots: 0,
        pair_slots: 0,
        reciprocal: 0,
        batch: 0,
    }; CLASSES];
    let (mut at, mut bytes) = (0, 0);
    while at < CLASSES {
        bytes = next_bytes(bytes);
        let batch = BATCH_BYTES / bytes as u32;
        table[at] = Class {
            bytes: bytes as u32,
            slots: (SLAB_BYTES / bytes) as u32,
            pair_slots: pair_slots(bytes) as u32,
            reciprocal: (1u64 << 32).div_ceil(bytes as u64) as u32,
            batch: match batch {
                0 | 1 => 2,
                2..28 => batch,
                _ => BATCH_MAX as u32,
            },
        };
        at += 1;
    }
    table
};

static CLASSES_BY_BYTES: [u16; BYTES_MAX / 4 + 1] = {
    let mut by_bytes = [0; BYTES_MAX / 4 + 1];
    let (mut at, mut class) = (0, 0);
    while at < by_bytes.len() {
        if at * 4 > TABLE[class].bytes as usize {
            class += 1;
        }
        by_bytes[at] = class as u16;
        at += 1;
    }
    by_bytes
};

static CLASSES_TABLE: [Class; CLASSES] = TABLE;

/// The class that serves blocks of so many bytes, at most [`BYTES_MAX`].
#[inline]
pub(super) fn of_bytes(bytes: usize, mobility: Mobility) -> usize {
    let bytes = aligned(bytes, mobility);
    match bytes <= FINE_MAX {
        true => bytes.saturating_sub(BYTES_MIN) / 4,
        false => usize::from(CLASSES_BY_BYTES[bytes / 4]),
    }
}

fn aligned(bytes: usize, mobility: Mobility) -> usize {
    let last = mobility.align() - 1;
    (bytes + last) & !last
}

pub(super) fn class(index: usize) -> Class {
    CLASSES_TABLE[index]
}

/// Whether a class is between those that are there whatever is in memory.
const fn is_odd(bytes: usize) -> bool {
    bytes >= FINEST_MAX && bytes < FINE_MAX && !bytes.is_multiple_of(8)
}

/// The class whose slots serve for this one where little is in memory: an odd multiple of 4 bytes
/// has the next.
pub(super) fn coarse(index: usize) -> usize {
    let bytes = CLASSES_TABLE[index].bytes as usize;
    match is_odd(bytes) {
        true => index + 1,
        false => index,
    }
}

/// For each class the one that serves in its place where slabs are scarce: the longest of its
/// group, which ends an eighth beyond the group before it, or at a power of two.
static FEW: [u16; CLASSES] = {
    const PART: u32 = 8;
    let mut few = [0; CLASSES];
    let mut first = 0;
    while first < CLASSES {
        let before = if first == 0 {
            0
        } else {
            TABLE[first - 1].bytes
        };
        let mut last = first;
        while last + 1 < CLASSES
            && !TABLE[last].bytes.is_power_of_two()
            && TABLE[last + 1].bytes <= before + before / PART
        {
            last += 1;
        }
        if last > first && is_odd(TABLE[last].bytes as usize) {
            last -= 1;
        }
        while first <= last {
            few[first] = last as u16;
            first += 1;
        }
    }
    few
};

/// One of a few classes that serve for all, an eighth apart.
pub(super) fn few(index: usize) -> usize {
    usize::from(FEW[index])
}

/// The classes whose slots may serve for one of this class, the nearest first: longer by no more
/// than one byte in `part`. None for one whose slots are aligned to cache lines.
pub(super) fn longer_ones(index: usize, part: usize) -> impl Iterator<Item = usize> {
    let bytes = class(index).bytes as usize;
    let longest = match bytes.is_power_of_two() {
        true => bytes,
        false => bytes + bytes / part,
    };
    (index + 1..CLASSES).take_while(move |&longer| class(longer).bytes as usize <= longest)
}

/// The bytes a block takes that was asked for with `bytes`, at most [`BYTES_MAX`].
#[inline]
pub(crate) fn class_bytes(bytes: usize, mobility: Mobility) -> usize {
    let aligned = aligned(bytes, mobility);
    match aligned <= FINE_MAX {
        true => aligned.max(BYTES_MIN),
        false => class(of_bytes(bytes, mobility)).bytes as usize,
    }
}

/// The slot at an offset in a slab.
pub(super) fn slot_at(class: usize, offset: usize) -> usize {
    ((offset as u64 * u64::from(CLASSES_TABLE[class].reciprocal)) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::super::MOBILITIES;
    use super::*;

    #[test]
    fn every_length_has_the_tightest_class_that_keeps_it_aligned() {
        for (bytes, mobility) in (1..=BYTES_MAX).flat_map(|bytes| MOBILITIES.map(|m| (bytes, m))) {
            let index = of_bytes(bytes, mobility);
            let align = mobility.align();
            let fits = |index: usize| class(index).bytes as usize >= bytes;
            let is_aligned = |index: usize| (class(index).bytes as usize).is_multiple_of(align);
            assert!(fits(index) && is_aligned(index));
            assert!(!(0..index).any(|index| fits(index) && is_aligned(index)));
            let waste = class(index).bytes as usize - bytes;
            assert!(
                bytes < BYTES_MIN || waste < align.max(8.min(bytes / 20)).max(bytes / 7),
                "{bytes}: {waste}"
            );
        }
        assert_eq!(class_bytes(132, Mobility::Movable), 132);
        assert_eq!(class_bytes(132, Mobility::Fixed), 136);
        assert_eq!(class_bytes(4096, Mobility::Fixed), 4096);
    }

    #[test]
    fn a_little_longer_ones_serve_but_for_blocks_that_are_aligned_to_lines() {
        for index in 0..CLASSES {
            let bytes = class(index).bytes;
            let longer: Vec<u32> = longer_ones(index, 8).map(|at| class(at).bytes).collect();
            assert!(longer.is_sorted() && longer.iter().all(|&one| one > bytes));
            assert!(longer.iter().all(|&one| one - bytes <= bytes / 8));
            assert!(longer.is_empty() || !bytes.is_power_of_two());
        }
        assert_eq!(longer_ones(of_bytes(132, Mobility::Movable), 8).count(), 4);
    }

    #[test]
    fn coarse_classes_are_eight_apart() {
        let coarse_bytes = |bytes| class(coarse(of_bytes(bytes, Mobility::Movable))).bytes;
        for (bytes, expected) in [(132, 132), (160, 160), (164, 168), (546, 552), (552, 552)] {
            assert_eq!(coarse_bytes(bytes), expected);
        }
        assert!((0..CLASSES).all(|index| coarse(index) < CLASSES));
    }

    #[test]
    fn a_pair_has_more_slots_than_two_slabs() {
        for class in CLASSES_TABLE.iter().filter(|class| class.is_paired()) {
            let [one, two] = [Units::One, Units::Two].map(|units| class.slots(units));
            assert!(two == 2 * one + 1 && two * class.bytes as usize <= 2 * SLAB_BYTES);
        }
        let slots = |bytes| class(of_bytes(bytes, Mobility::Movable)).slots(Units::Two);
        assert_eq!([slots(546), slots(554), slots(130)], [239, 235, 0]);
    }

    #[test]
    fn the_few_classes_are_an_eighth_apart() {
        let all: Vec<usize> = (0..CLASSES).filter(|&at| few(at) == at).collect();
        assert!(all.len() < 60, "{}", all.len());
        for index in 0..CLASSES {
            let (bytes, serving) = (class(index).bytes, class(few(index)).bytes);
            assert!(serving >= bytes && all.contains(&few(index)));
            assert_eq!(coarse(few(index)), few(index));
            assert!(serving - bytes <= bytes / 8, "{bytes}: {serving}");
            assert!(!bytes.is_power_of_two() || serving == bytes);
        }
    }

    #[test]
    fn a_slot_is_found_from_any_start() {
        for index in 0..CLASSES {
            let class = class(index);
            assert!(class.slots * class.bytes <= SLAB_BYTES as u32);
            for slot in 0..class.slots.max(class.pair_slots) as usize {
                assert_eq!(slot_at(index, slot * class.bytes as usize), slot);
            }
        }
    }

    #[test]
    fn blocks_of_a_power_of_two_are_aligned_to_lines() {
        for bytes in [64, 128, 256, 512, 1024, 2048, 4096, 8192] {
            assert_eq!(class_bytes(bytes, Mobility::Fixed), bytes);
        }
    }
}
