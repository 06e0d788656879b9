//! Where received bytes stand until they are used, and buffers that nobody uses.

use std::cell::RefCell;

use store::memory::LongBuffers;
use store::{Received, Store};

/// The least room for a read, in bytes, and the usual length of a buffer.
pub(super) const READ_BYTES_MIN: usize = 16 << 10;
/// So much is read at most before the thread's other clients have their turn.
pub(super) const READ_BYTES_MAX: usize = 1 << 20;
/// So much is read at once of several long requests that wait, or where there is room for more than
/// [`READ_BYTES_MAX`].
pub(super) const READ_BYTES_OF_MANY: usize = 1 << 18;
/// Requests of so many bytes are read one by one: their values stay in the buffer of each.
const ALONE_BYTES_MIN: usize = 1 << 16;
/// The most room that a client gets for what it only has announced.
const PROVEN_BYTES_MAX: usize = 1 << 24;
/// The most room for the rest of a request whose length is known, to what was sent of it: memory
/// that is never written to is none, and what is written is moved less often.
const ROOM_TO_SENT: usize = 3;
/// After so many shorter requests in a row room is made for such.
const SHORTER_MAX: u32 = 8;
/// What is used stays where it is as long as it is no more than one part of so many of the rest.
const USED_PARTS: usize = 8;
/// A request that has asked for more than before no more often than this has few words: it asks for
/// a first byte, for its long word, and for what is behind that.
const RISES_OF_FEW_WORDS: u32 = 3;

/// Received bytes.
#[derive(Default)]
pub(super) struct Input {
    /// From `start` on not used yet.
    bytes: Vec<u8>,
    start: usize,
    /// The most that a request asked for since the buffer was empty.
    needed_bytes: usize,
    /// What the request that is not complete asked for last, and how often that was more than
    /// before.
    asked_bytes: usize,
    rises: u32,
    /// Room for so many bytes is made at once: the last request that was long had as many, or so
    /// many came together.
    proven_bytes: usize,
    /// So many times in a row less came, and at most so many bytes.
    shorter: u32,
    shorter_bytes_max: usize,
    /// What counts of the buffer against the memory limit: it stays with it when a batch takes it,
    /// unless that may keep it.
    charged: LongBuffers,
}

impl Input {
    /// How many bytes are not used yet.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// The bytes not used yet.
    pub(super) fn unused(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// The same, for who changes them while they are read.
    pub(super) fn unused_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }

    /// Where in the memory the buffer stands.
    pub(super) fn address(&self) -> usize {
        self.bytes.as_ptr().addr()
    }

    /// Takes the buffer out, so that a value can be made of it, with how much of it is used;
    /// [`Input::take_back`] is to follow. It is charged no longer: a write makes room for what it
    /// keeps, and would do so a second time.
    pub(super) fn share(&mut self) -> (Received, usize) {
        self.charged.charge(0);
        let received = Received::new(std::mem::take(&mut self.bytes));
        (received, std::mem::take(&mut self.start))
    }

    /// Takes the buffer back, of which all but the last so many bytes are used; another one, if a
    /// value was made of it.
    pub(super) fn take_back(&mut self, received: Received, left: usize) {
        match received.into_buffer() {
            Ok(buffer) => {
                self.bytes = buffer;
                self.keep_last(left);
            }
            Err(kept) => {
                let bytes = kept.bytes();
                self.note_used(bytes.len());
                self.begin_request();
                if left > 0 {
                    self.bytes = Input::buffer_with(left + self.room_beyond(left, 0));
                    self.bytes.extend_from_slice(&bytes[bytes.len() - left..]);
                }
            }
        }
    }

    /// All but the last so many bytes are used.
    pub(super) fn keep_last(&mut self, bytes: usize) {
        if bytes < self.len() {
            self.begin_request();
        }
        self.start = self.bytes.len() - bytes;
    }

    fn begin_request(&mut self) {
        (self.asked_bytes, self.rises) = (0, 0);
    }

    /// What the buffer takes.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// What it takes beyond what most do.
    pub(super) fn long_bytes(&self) -> usize {
        self.capacity().saturating_sub(READ_BYTES_MIN)
    }

    /// Lets that count against the memory limit.
    pub(super) fn charge(&mut self, store: &Store, now_ms: u64) {
        let bytes = self.long_bytes();
        store.charge_buffers(&mut self.charged, bytes, now_ms);
    }

    /// Gives the buffer back if nothing is in it.
    pub(super) fn release(&mut self) {
        if self.len() > 0 {
            return;
        }
        if !self.bytes.is_empty() {
            self.note_used(self.bytes.len());
        }
        (self.start, self.needed_bytes) = (0, 0);
        self.charged.charge(0);
        Spare::keep_input(std::mem::take(&mut self.bytes));
    }

    /// So many bytes are used, those of the request that asked for most among them. What is proven
    /// falls only after [`SHORTER_MAX`] shorter requests: clients mix long and short ones.
    fn note_used(&mut self, bytes: usize) {
        // What came as a whole asked for nothing.
        let proven = self.proven_bytes.min(bytes);
        let proven = proven.max(std::mem::take(&mut self.needed_bytes));
        if proven < self.proven_bytes / 2 && self.shorter < SHORTER_MAX {
            self.shorter += 1;
            self.shorter_bytes_max = self.shorter_bytes_max.max(proven);
            return;
        }
        self.proven_bytes = proven.max(self.shorter_bytes_max);
        (self.shorter, self.shorter_bytes_max) = (0, 0);
    }

    /// Makes room for a read: for `bytes_needed` as far as the client has sent as much already, and
    /// for as much as its last long request had.
    pub(super) fn make_room(&mut self, bytes_needed: usize) {
        let len = self.len();
        let was_filled = !self.bytes.is_empty() && self.bytes.len() == self.bytes.capacity();
        let is_of_many = was_filled && bytes_needed < ALONE_BYTES_MIN;
        if is_of_many && self.proven_bytes > READ_BYTES_MIN {
            let twice = (2 * self.proven_bytes).min(READ_BYTES_OF_MANY);
            self.proven_bytes = self.proven_bytes.max(twice);
        }
        if self.moves_to_start() {
            self.bytes.copy_within(self.start.., 0);
            self.bytes.truncate(len);
            self.start = 0;
        }
        self.needed_bytes = self.needed_bytes.max(bytes_needed);
        self.rises += u32::from(bytes_needed > self.asked_bytes);
        self.asked_bytes = bytes_needed;
        let Some(room) = self.room_to_make(bytes_needed) else {
            return;
        };
        if self.bytes.is_empty() {
            Spare::keep_input(std::mem::take(&mut self.bytes));
            self.bytes = Input::buffer_with(room);
        }
        self.bytes.reserve_exact(room);
    }

    /// How much room the next read gets, if the buffer has to grow for it. Behind the start of a
    /// long request what is left is enough if it is worth a read: sockets seldom give as much as
    /// there is room for, and a buffer that grew before each read would be copied each time.
    fn room_to_make(&self, bytes_needed: usize) -> Option<usize> {
        let len = self.len();
        let room = self.room_beyond(len, bytes_needed);
        let enough = match len > 0 && bytes_needed >= ALONE_BYTES_MIN {
            true => room.min(READ_BYTES_MIN),
            false => room,
        };
        let used = if self.moves_to_start() { 0 } else { self.start };
        let left = self.bytes.capacity() - used - len;
        (left < enough).then_some(room)
    }

    /// Whether what is not used yet moves to the start of the buffer before the next read.
    fn moves_to_start(&self) -> bool {
        self.start > self.len() / USED_PARTS
    }

    /// An empty buffer with so much room.
    fn buffer_with(bytes: usize) -> Vec<u8> {
        match bytes > READ_BYTES_MIN {
            true => Vec::with_capacity(bytes),
            false => Spare::input(),
        }
    }

    /// How much room the next read gets behind `len` bytes that are there.
    fn room_beyond(&self, len: usize, bytes_needed: usize) -> usize {
        let proven = len.max(self.proven_bytes + 1).max(READ_BYTES_MIN);
        let has_few_words = self.rises <= RISES_OF_FEW_WORDS;
        // A byte more than what will come: what does not fill the room was all.
        if bytes_needed >= ALONE_BYTES_MIN {
            let most = len.max(proven.min(PROVEN_BYTES_MAX));
            if !has_few_words {
                // As much again, or it would be moved for each of its words.
                return most;
            }
            // At once, rather than to be moved again and again.
            let missing = (bytes_needed + 1).saturating_sub(len);
            return missing.clamp(1, most.max(ROOM_TO_SENT * len));
        }
        let missing = (bytes_needed.max(self.proven_bytes) + 1).saturating_sub(len);
        // More than what is known to be missing would keep a value from filling the buffer.
        let is_known = len > 0 && bytes_needed > len && has_few_words;
        let least = if is_known { 1 } else { READ_BYTES_MIN };
        missing.clamp(least, proven.min(READ_BYTES_MAX))
    }

    /// Whether the next read takes more memory, beyond what most do.
    pub(super) fn will_grow(&self, bytes_needed: usize) -> bool {
        let room = self.room_to_make(bytes_needed);
        room.is_some_and(|room| self.len() + room > READ_BYTES_MIN)
    }

    /// What is read goes behind what is there.
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

/// A thread's buffers for whichever of its connections reads next. The one used last is in the
/// cache still.
#[derive(Default)]
pub(super) struct Spare {
    /// Empty, with room for [`READ_BYTES_MIN`] bytes each.
    inputs: Vec<Vec<u8>>,
    /// Empty.
    outputs: Vec<Vec<u8>>,
}

/// The most spare buffers of a kind.
const SPARE_MAX: usize = 64;

thread_local! {
    static SPARE: RefCell<Spare> = RefCell::default();
}

impl Spare {
    fn input() -> Vec<u8> {
        SPARE.with_borrow_mut(|spare| spare.inputs.pop().unwrap_or_default())
    }

    fn keep_input(mut bytes: Vec<u8>) {
        SPARE.with_borrow_mut(|spare| {
            if bytes.capacity() == READ_BYTES_MIN && spare.inputs.len() < SPARE_MAX {
                bytes.clear();
                spare.inputs.push(bytes);
            }
        });
    }

    /// An empty buffer for replies.
    pub(super) fn output() -> Vec<u8> {
        SPARE.with_borrow_mut(|spare| spare.outputs.pop().unwrap_or_default())
    }

    /// Keeps an empty buffer for others.
    pub(super) fn keep_output(bytes: Vec<u8>) {
        SPARE.with_borrow_mut(|spare| {
            if bytes.capacity() > 0 && spare.outputs.len() < SPARE_MAX {
                spare.outputs.push(bytes);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Receives a request that says in its first bytes how long it is; in how many reads, and the
    /// room for the first.
    fn receive(input: &mut Input, request_bytes: usize) -> (usize, usize) {
        let (mut reads, mut first_room, mut needed) = (0, 0, 1);
        while input.len() < request_bytes {
            input.make_room(needed);
            let bytes = input.room();
            let room = bytes.capacity() - bytes.len();
            bytes.resize(request_bytes.min(bytes.len() + room), b'x');
            reads += 1;
            needed = request_bytes;
            first_room = if reads == 1 { room } else { first_room };
        }
        input.keep_last(0);
        input.release();
        (reads, first_room)
    }

    #[test]
    fn room_is_made_for_what_the_client_has_proven() {
        let mut input = Input::default();
        // 16, 64 and 256 kB; then all at once, as long as such come.
        let long = [(4, READ_BYTES_MIN), (1, 300_001), (1, 300_001)];
        assert_eq!([300_000; 3].map(|bytes| receive(&mut input, bytes)), long);
        // Short ones between them change nothing.
        assert_eq!(
            [100, 300_000].map(|bytes| receive(&mut input, bytes)),
            [(1, 300_001); 2]
        );
        let all_shorter = |input: &mut Input, bytes, rooms: [usize; 2]| {
            for _ in 0..=SHORTER_MAX {
                assert_eq!(receive(input, bytes), (1, rooms[0]));
            }
            assert_eq!(receive(input, bytes), (1, rooms[1]));
        };
        all_shorter(&mut input, 50_000, [300_001, 50_001]);
        all_shorter(&mut input, 100, [50_001, READ_BYTES_MIN]);
    }

    #[test]
    fn long_requests_that_wait_are_read_together() {
        const REQUEST_BYTES: usize = 20_000;
        let mut input = Input::default();
        receive(&mut input, REQUEST_BYTES);
        let mut read = 0;
        let rooms: Vec<_> = (0..6)
            .map(|_| {
                input.make_room(1);
                let bytes = input.room();
                let room = bytes.capacity() - bytes.len();
                bytes.resize(bytes.capacity(), b'x');
                read += room;
                // What is whole is carried out.
                input.keep_last(read % REQUEST_BYTES);
                room
            })
            .collect();
        let (first, later) = rooms.split_at(4);
        assert_eq!(first, [20_001, 40_000, 80_000, 160_000]);
        let is_most = |room: &usize| READ_BYTES_OF_MANY.abs_diff(*room) < REQUEST_BYTES;
        assert!(later.iter().all(is_most), "{later:?}");
    }

    #[test]
    fn a_request_that_comes_in_parts_fills_its_buffer() {
        const REQUEST_BYTES: usize = 20_000;
        let mut input = Input::default();
        receive(&mut input, REQUEST_BYTES);
        for parts in [&[10_000, 10_000][..], &[5_000, 1, 14_999]] {
            for &bytes in parts {
                input.make_room(if input.len() > 0 { REQUEST_BYTES } else { 1 });
                let length = input.len() + bytes;
                input.room().resize(length, b'x');
            }
            assert_eq!(input.capacity(), REQUEST_BYTES + 1);
            input.keep_last(0);
            input.release();
        }
    }

    /// Receives a request in parts, of which it says before each how much it needs by then at
    /// least; how often the buffer grew.
    fn growths(request_bytes: usize, part_bytes: usize, needed: impl Fn(usize) -> usize) -> usize {
        let mut input = Input::default();
        let mut growths = 0;
        while input.len() < request_bytes {
            let (before, len) = (input.capacity(), input.len());
            let needed = if len == 0 { 1 } else { needed(len) };
            let will_grow = input.will_grow(needed);
            input.make_room(needed);
            let grew = input.capacity() > before;
            assert_eq!(will_grow, grew && input.capacity() > READ_BYTES_MIN);
            growths += usize::from(grew);
            let part = part_bytes.min(request_bytes - len);
            let bytes = input.room();
            let end = bytes.capacity().min(len + part);
            assert!(end > len, "room for a read");
            bytes.resize(end, b'x');
        }
        growths
    }

    #[test]
    fn a_buffer_is_not_moved_for_each_part_of_a_request() {
        const REQUEST_BYTES: usize = 50_000_000;
        // Of one long word, of many, of very many short ones.
        assert!(growths(REQUEST_BYTES, 200_000, |_| REQUEST_BYTES) <= 7);
        for word_bytes in [1_000_000, 6_000, 10] {
            let by_then = |len: usize| (len + word_bytes).min(REQUEST_BYTES);
            let growths = growths(REQUEST_BYTES, 200_000, by_then);
            assert!(growths <= 24, "{word_bytes}: {growths}");
        }
    }

    #[test]
    fn what_is_not_used_stays() {
        let mut input = Input::default();
        input.make_room(0);
        input.room().extend_from_slice(b"used and left");
        input.keep_last(4);
        input.release();
        input.make_room(READ_BYTES_MIN);
        assert_eq!((input.unused(), input.len()), (&b"left"[..], 4));
        assert!(input.long_bytes() < READ_BYTES_MIN);
    }
}
