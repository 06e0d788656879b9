//! What a slot holds: 64 bits that change together.
//!
//! ```text
//!  63  51   50     49     48                                 3  2      1         0
//!  +-----+-----+-------+------------------------------------+------+---------+-----+
//!  | tag |small|expires| address of an entry or descriptor  |frozen|tentative|owned|
//!  +-----+-----+-------+------------------------------------+------+---------+-----+
//! ```
//!
//! The tag is part of the key's hash, so that most slots with other keys are passed over without
//! a look at their entry; *expires* says that the entry has an expiry, so that who looks for such
//! passes over the others, and *small* that eviction has it in its small queue. That is a hint: an
//! entry can leave the queue without the word, so words that differ in nothing else name the same.
//! Addresses have 48 bits on the machines we serve and are multiples of four; they stand a bit
//! further to the left. The provenance of every address is exposed when it enters a word.

use std::ptr::NonNull;

/// How many bits of a hash the tag has.
const TAG_BITS: u32 = 13;
const TAG_SHIFT: u32 = 64 - TAG_BITS;
/// So many bytes at the start of an entry tell how large it is: its header, and behind a key of up
/// to 36 bytes what a long string takes beside it. They are on two lines at most.
const TELLING_BYTES: usize = 64;
/// What is named is in eviction's small queue, or was.
const SMALL: u64 = 1 << 50;
/// What is named has an expiry.
const EXPIRES: u64 = 1 << 49;
const ADDRESS: u64 = (EXPIRES - 1) & !FLAGS;
/// How far an address stands to the left.
const ADDRESS_SHIFT: u32 = 1;
const FLAGS: u64 = OWNED | TENTATIVE | FROZEN;
const FLAG_BITS: u32 = FLAGS.count_ones();
/// The address is that of a transaction's descriptor.
const OWNED: u64 = 1;
/// The insertion is not committed by the word alone; see `insert`.
const TENTATIVE: u64 = 1 << 1;
/// The segment is being split: the word never changes again.
pub(super) const FROZEN: u64 = 1 << 2;

/// The tag of a hash.
pub(super) fn tag_of(hash: u64) -> u16 {
    hash as u16 & ((1 << TAG_BITS) - 1)
}

/// What a slot names: an entry, or a descriptor that says which entry counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Occupied(u64);

impl PartialEq for Occupied {
    fn eq(&self, other: &Occupied) -> bool {
        (self.0 ^ other.0) & !SMALL == 0
    }
}

impl Eq for Occupied {}

impl Occupied {
    /// Names an entry, which expires or does not.
    pub(crate) fn entry(address: NonNull<()>, expires: bool) -> Occupied {
        Occupied::new(address, if expires { EXPIRES } else { 0 })
    }

    /// The same, of an entry in eviction's small queue or not.
    pub(crate) fn in_small_queue(self, is_small: bool) -> Occupied {
        Occupied(self.0 & !SMALL | if is_small { SMALL } else { 0 })
    }

    /// Names a descriptor.
    pub(crate) fn descriptor(address: NonNull<()>) -> Occupied {
        Occupied::new(address, OWNED)
    }

    fn new(address: NonNull<()>, flags: u64) -> Occupied {
        let bits = (address.as_ptr().expose_provenance() as u64) << ADDRESS_SHIFT;
        debug_assert_eq!(bits & !ADDRESS, 0, "48 bits, a multiple of four");
        Occupied(bits | flags)
    }

    /// Whether it is a descriptor that is named.
    pub(crate) fn is_descriptor(self) -> bool {
        self.0 & OWNED != 0
    }

    /// Whether it is an entry with an expiry that is named.
    pub(crate) fn expires(self) -> bool {
        self.0 & EXPIRES != 0
    }

    /// Whether the entry that is named was in eviction's small queue when it was.
    pub(crate) fn is_small(self) -> bool {
        self.0 & SMALL != 0
    }

    /// The address of the entry or descriptor.
    pub(crate) fn address(self) -> NonNull<()> {
        let address = std::ptr::with_exposed_provenance_mut(address_in(self.0));
        NonNull::new(address).expect("an occupied slot names something")
    }

    pub(super) fn word(self, tag: u16) -> Word {
        Word(self.0 | u64::from(tag) << TAG_SHIFT)
    }
}

fn address_in(bits: u64) -> usize {
    ((bits & ADDRESS) >> ADDRESS_SHIFT) as usize
}

/// A slot's content as it was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

impl Word {
    pub(super) const EMPTY: Word = Word(0);

    /// Nothing there, frozen or not.
    pub(super) fn is_empty(self) -> bool {
        self.0 & ADDRESS == 0
    }

    /// Whether it names the entry at an address.
    pub(super) fn names(self, address: usize) -> bool {
        address_in(self.0) == address && self.0 & (OWNED | TENTATIVE) == 0
    }

    pub(super) fn has_tag(self, tag: u16) -> bool {
        // What is left when both are alike is less than the lowest bit of a tag.
        self.flipped(tag).0 < 1 << TAG_SHIFT
    }

    /// The word with the bits of a tag flipped: one that had the tag becomes less than any that had
    /// not.
    pub(super) fn flipped(self, tag: u16) -> Word {
        Word(self.0 ^ (u64::from(tag) << TAG_SHIFT))
    }

    /// Whether it has the tag and names an entry, whatever the control word says; not told of a
    /// frozen one.
    pub(super) fn is_plain_with(self, tag: u16) -> bool {
        // With the flags in front, what has one, or another tag, or is empty, is out of one range.
        let bits = self.flipped(tag).0.rotate_right(FLAG_BITS);
        bits.wrapping_sub(1) < (ADDRESS | EXPIRES | SMALL) >> FLAG_BITS
    }

    /// The part of the key's hash.
    pub(super) fn tag(self) -> u16 {
        (self.0 >> TAG_SHIFT) as u16
    }

    pub(super) fn is_tentative(self) -> bool {
        self.0 & TENTATIVE != 0
    }

    pub(super) fn tentative(self) -> Word {
        Word(self.0 | TENTATIVE)
    }

    /// The word of a committed insertion.
    pub(super) fn committed(self) -> Word {
        Word(self.0 & !TENTATIVE)
    }

    /// The word as it goes on in a successor of its segment.
    pub(super) fn thawed(self) -> Word {
        Word(self.0 & !(TENTATIVE | FROZEN))
    }

    /// What it names; the slot must not be empty.
    pub(super) fn occupied(self) -> Occupied {
        debug_assert!(!self.is_empty());
        Occupied(self.0 & (ADDRESS | OWNED | EXPIRES | SMALL))
    }

    /// Fetches the first line of what it names: all that a hash needs, mostly.
    pub(super) fn prefetch_start(self) {
        super::prefetch(address_in(self.0));
    }

    /// Fetches what eviction goes by of what it names: its uses, its age and its size.
    pub(super) fn prefetch_standing(self) {
        self.prefetch_start();
        super::prefetch(address_in(self.0) + TELLING_BYTES - 1);
    }

    /// Fetches the lines on which the first so many bytes of what it names are.
    pub(super) fn prefetch(self, bytes: usize) {
        let start = address_in(self.0);
        // As many steps wherever it starts: the last can be to a line that was asked for already.
        let last = start + bytes - 1;
        (0..bytes + 63)
            .step_by(64)
            .for_each(|offset| super::prefetch(last.min(start + offset)));
    }
}

/// The word beside a home bucket's slots: what insertions of its keys serialise on.
///
/// ```text
///  63                      24 23    18 17       9 8        1   0
///  +-------------------------+--------+----------+-+-------+------+
///  | insertions              | stashed| position |0|pending|frozen|
///  +-------------------------+--------+----------+-+-------+------+
/// ```
///
/// `insertions` rises with every committed insertion: a search that found nothing still holds as
/// long as it has not changed. `stashed` counts the home's keys in the stash. While `pending` is
/// set, the slot at `position` holds the word of the insertion that set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Control(pub(super) u64);

const CONTROL_FROZEN: u64 = 1;
const CONTROL_PENDING: u64 = 1 << 1;
const POSITION_SHIFT: u32 = 9;
const POSITION: u64 = 0x1FF << POSITION_SHIFT;
const STASHED_ONE: u64 = 1 << 18;
const STASHED: u64 = 0x3F << 18;
const INSERTION: u64 = 1 << 24;

impl Control {
    pub(super) fn is_frozen(self) -> bool {
        self.0 & CONTROL_FROZEN != 0
    }

    pub(super) fn is_pending(self) -> bool {
        self.0 & CONTROL_PENDING != 0
    }

    /// Whether nothing is to be done before the home is searched or changed.
    pub(super) fn is_settled(self) -> bool {
        self.0 & (CONTROL_FROZEN | CONTROL_PENDING) == 0
    }

    pub(super) fn position(self) -> usize {
        ((self.0 & POSITION) >> POSITION_SHIFT) as usize
    }

    /// How many insertions of the home have committed.
    pub(super) fn insertions(self) -> u64 {
        self.0 / INSERTION
    }

    pub(super) fn stashed(self) -> usize {
        ((self.0 & STASHED) / STASHED_ONE) as usize
    }

    pub(super) fn frozen(self) -> Control {
        Control(self.0 | CONTROL_FROZEN)
    }

    /// After the commit of an insertion at `position`, which still has to be tidied up.
    pub(super) fn inserted(self, position: usize, in_stash: bool) -> Control {
        debug_assert!(!self.is_frozen() && !self.is_pending());
        let insertions = (self.0 & !(INSERTION - 1)).wrapping_add(INSERTION);
        let stashed = (self.0 & STASHED) + if in_stash { STASHED_ONE } else { 0 };
        Control(insertions | stashed | (position as u64) << POSITION_SHIFT | CONTROL_PENDING)
    }

    /// After the tidying up.
    pub(super) fn settled(self) -> Control {
        Control(self.0 & !(CONTROL_PENDING | POSITION))
    }

    /// After one of the home's keys left the stash.
    pub(super) fn unstashed(self) -> Control {
        debug_assert!(self.stashed() > 0);
        Control(self.0 - STASHED_ONE)
    }

    /// After one of the home's keys was put into the stash of a private segment.
    pub(super) fn stashed_one_more(self) -> Control {
        Control(self.0 + STASHED_ONE)
    }

    /// In a successor of the segment: other insertions than any before, and a new count.
    pub(super) fn succeeded(self, stashed: usize) -> Control {
        let insertions = (self.0 & !(INSERTION - 1)).wrapping_add(INSERTION);
        Control(insertions | (stashed as u64 * STASHED_ONE))
    }
}
