//! Replies on their way to a client.

use std::io::IoSlice;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

use smallvec::SmallVec;

/// What is to be sent: bytes, and between them long ones that are sent from where they stand.
///
/// Bytes are appended as to the vector that it leads to. Lengths and positions count all that is to
/// be sent; those of that vector mean nothing here. Replies of many elements fill one buffer after
/// the other: a single one would be moved whenever it has to grow, which takes milliseconds for
/// some megabytes, and again when its first half is sent.
#[derive(Debug, Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    /// So many of `bytes` are sent.
    sent: usize,
    /// In order. Invariant: no place of these is in what is sent.
    attached: Vec<Attached>,
    /// The lengths of these together.
    attached_bytes: usize,
}

/// Bytes that are not copied.
#[derive(Debug)]
struct Attached {
    /// Before the byte at this place they are to be sent.
    place: usize,
    buffer: Arc<Vec<u8>>,
    /// Which part of the buffer is to be sent still.
    part: Range<usize>,
}

impl Attached {
    fn len(&self) -> usize {
        self.part.len()
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[self.part.clone()]
    }

    /// Keeps so many bytes; the others.
    fn split_off(&mut self, len: usize) -> Attached {
        let middle = self.part.start + len;
        let behind = middle..std::mem::replace(&mut self.part.end, middle);
        Attached {
            place: self.place,
            buffer: Arc::clone(&self.buffer),
            part: behind,
        }
    }
}

/// Buffers of so many bytes are filled one after the other.
const BUFFER_BYTES: usize = if cfg!(test) { 64 } else { 1 << 18 };
/// One with less in it is moved to a larger one when it is full.
const MOVED_BYTES_MAX: usize = BUFFER_BYTES / 2;

/// The most pieces of memory that are sent together.
const SLICES_MAX: usize = 64;

/// Pieces to be sent together.
pub(crate) type Slices<'o> = SmallVec<[IoSlice<'o>; SLICES_MAX]>;

impl Deref for Output {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Output {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Output {
    /// How many bytes are to be sent.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.sent + self.attached_bytes
    }

    /// Whether there is nothing to send.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes room for so many bytes to be appended, behind which others may go elsewhere.
    #[inline]
    pub(crate) fn make_room(&mut self, bytes: usize) {
        let len = self.bytes.len();
        if len > MOVED_BYTES_MAX && self.bytes.capacity() - len < bytes {
            self.grow(bytes);
        }
    }

    #[cold]
    fn grow(&mut self, bytes: usize) {
        if self.is_whole() {
            self.set_aside(Vec::with_capacity(bytes.max(BUFFER_BYTES)));
        } else {
            self.bytes.reserve(bytes);
        }
    }

    /// Whether all that is attached stands before what is to be sent of `bytes`.
    fn is_whole(&self) -> bool {
        let last = self.attached.last();
        last.is_none_or(|last| last.place == self.sent)
    }

    /// Goes on in another buffer, when the present one [is whole](Output::is_whole).
    fn set_aside(&mut self, next: Vec<u8>) {
        let full = Arc::new(std::mem::replace(&mut self.bytes, next));
        let unsent = std::mem::take(&mut self.sent)..full.len();
        for attached in &mut self.attached {
            attached.place = 0;
        }
        self.attach(full, unsent);
    }

    /// Appends a part of a buffer, which stays where it is until it is sent.
    pub(crate) fn attach(&mut self, buffer: Arc<Vec<u8>>, part: Range<usize>) {
        if part.is_empty() {
            return;
        }
        self.attached_bytes += part.len();
        let place = self.bytes.len();
        self.attached.push(Attached {
            place,
            buffer,
            part,
        });
    }

    /// Takes back what is behind the first `len` bytes, where something was appended.
    pub(crate) fn truncate(&mut self, len: usize) {
        while let Some(last) = self.attached.last()
            && last.place - self.sent + self.attached_bytes - last.len() >= len
        {
            self.attached_bytes -= last.len();
            self.attached.pop();
        }
        if let Some(last) = self.attached.last_mut() {
            // It was filled before it was known that some of it is to be taken back.
            let excess = (last.place - self.sent + self.attached_bytes).saturating_sub(len);
            last.part.end -= excess;
            self.attached_bytes -= excess;
        }
        self.bytes.truncate(self.sent + len - self.attached_bytes);
    }

    /// The bytes from one position to another, which were appended without room made in between.
    pub(crate) fn between(&self, start: usize, end: usize) -> &[u8] {
        let mut from = self.sent + start;
        for attached in &self.attached {
            let Some(inside) = from.checked_sub(attached.place) else {
                break;
            };
            if inside < attached.len() {
                return &attached.bytes()[inside..inside + (end - start)];
            }
            from -= attached.len();
        }
        &self.bytes[from..from + (end - start)]
    }

    /// Puts bytes before what has been appended since there were `at` bytes to be sent.
    pub(crate) fn insert(&mut self, at: usize, inserted: &[u8]) {
        let (mut number, mut attached_before) = (0, 0);
        while let Some(attached) = self.attached.get_mut(number) {
            let start = attached.place - self.sent + attached_before;
            if at <= start {
                break;
            }
            let before = attached.len().min(at - start);
            if before < attached.len() {
                let behind = attached.split_off(before);
                self.attached.insert(number + 1, behind);
            }
            attached_before += before;
            number += 1;
        }
        let place = self.sent + at - attached_before;
        self.bytes.splice(place..place, inserted.iter().copied());
        for attached in &mut self.attached[number..] {
            attached.place += inserted.len();
        }
    }

    /// All that is to be sent, if it stands in one piece.
    #[inline]
    pub(crate) fn as_one(&self) -> Option<&[u8]> {
        self.attached.is_empty().then(|| &self.bytes[self.sent..])
    }

    /// The first pieces of what is to be sent, up to so many bytes.
    pub(crate) fn slices(&self, bytes_max: usize) -> Slices<'_> {
        let mut slices = Slices::new();
        let mut room = bytes_max;
        let mut from = self.sent;
        let attached = self
            .attached
            .iter()
            .map(|attached| (attached.place, attached.bytes()));
        for (place, attached) in attached.chain([(self.bytes.len(), &[][..])]) {
            if room == 0 || slices.len() == SLICES_MAX {
                break;
            }
            for piece in [&self.bytes[from..place], attached] {
                let piece = &piece[..piece.len().min(room)];
                if !piece.is_empty() && slices.len() < SLICES_MAX {
                    slices.push(IoSlice::new(piece));
                    room -= piece.len();
                }
            }
            from = place;
        }
        slices
    }

    /// So many bytes more are sent.
    pub(crate) fn advance(&mut self, mut bytes: usize) {
        let mut whole = 0;
        for attached in &mut self.attached {
            let before = bytes.min(attached.place - self.sent);
            self.sent += before;
            bytes -= before;
            let of_it = bytes.min(attached.len());
            attached.part.start += of_it;
            bytes -= of_it;
            self.attached_bytes -= of_it;
            if attached.len() > 0 {
                break;
            }
            whole += 1;
        }
        self.attached.drain(..whole);
        self.sent += bytes;
        if self.is_empty() {
            self.bytes.clear();
            self.sent = 0;
        }
    }

    /// Forgets what is sent, when it is more than what then has to be moved.
    pub(crate) fn forget_sent(&mut self) {
        if self.sent <= self.bytes.len() / 2 {
            return;
        }
        if self.bytes.len() - self.sent > MOVED_BYTES_MAX && self.is_whole() {
            self.set_aside(Vec::new());
            return;
        }
        self.bytes.drain(..self.sent);
        for attached in &mut self.attached {
            attached.place -= self.sent;
        }
        self.sent = 0;
    }

    /// The memory it takes. What others hold on to, too, is theirs.
    pub(crate) fn memory_bytes(&self) -> usize {
        let is_alone = |attached: &&Attached| Arc::strong_count(&attached.buffer) == 1;
        let alone = self.attached.iter().filter(is_alone);
        let attached_bytes: usize = alone.map(|attached| attached.buffer.capacity()).sum();
        self.bytes.capacity() + attached_bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What may happen to an output.
    #[derive(Clone, Debug)]
    enum Step {
        Append(Vec<u8>),
        /// So often, with room made for each.
        AppendElements(Vec<u8>, usize),
        Attach(Vec<u8>),
        /// What is appended, perhaps behind something attached, and taken back.
        AppendInVain(Vec<u8>, bool),
        /// What an array's header does, once it is known how long that is.
        Surround(Vec<u8>, usize),
        /// The socket takes one part of so many.
        Send(usize),
        Forget,
    }

    fn attach(output: &mut Output, bytes: &[u8]) {
        let buffer = [b"<", bytes, b">"].concat();
        output.attach(Arc::new(buffer), 1..1 + bytes.len());
    }

    fn append_elements(output: &mut Output, bytes: &[u8], count: usize) {
        for _ in 0..count {
            output.make_room(bytes.len());
            output.extend_from_slice(bytes);
        }
        let (len, end) = (bytes.len(), output.len());
        for element in (1..=count).map(|from_last| end - from_last * len) {
            assert_eq!(output.between(element, element + len), bytes);
        }
    }

    fn step() -> impl Strategy<Value = Step> {
        let bytes = || prop::collection::vec(any::<u8>(), 1..20);
        prop_oneof![
            bytes().prop_map(Step::Append),
            (bytes(), 1..20_usize).prop_map(|(bytes, count)| Step::AppendElements(bytes, count)),
            bytes().prop_map(Step::Attach),
            (bytes(), any::<bool>())
                .prop_map(|(bytes, is_behind)| Step::AppendInVain(bytes, is_behind)),
            (bytes(), 0..20_usize).prop_map(|(bytes, count)| Step::Surround(bytes, count)),
            (1..5_usize).prop_map(Step::Send),
            Just(Step::Forget),
        ]
    }

    #[test]
    fn memory_is_counted_where_nobody_else_has_it() {
        let buffer = Arc::new(vec![b'x'; 100_000]);
        let mut output = Output::default();
        output.attach(Arc::clone(&buffer), 1..50_000);
        assert_eq!(output.memory_bytes(), 0);
        drop(buffer);
        assert_eq!(output.memory_bytes(), 100_000);
    }

    proptest! {
        #[test]
        fn what_is_sent_is_what_was_appended(steps in prop::collection::vec(step(), 0..60)) {
            let (mut output, mut expected) = (Output::default(), Vec::new());
            let mut sent = Vec::new();
            for step in steps {
                match step {
                    Step::Append(bytes) => {
                        let start = output.len();
                        output.extend_from_slice(&bytes);
                        prop_assert_eq!(output.between(start, output.len()), &bytes);
                        expected.extend_from_slice(&bytes);
                    }
                    Step::AppendElements(bytes, count) => {
                        append_elements(&mut output, &bytes, count);
                        expected.extend_from_slice(&bytes.repeat(count));
                    }
                    Step::Attach(bytes) => {
                        expected.extend_from_slice(&bytes);
                        attach(&mut output, &bytes);
                    }
                    Step::AppendInVain(bytes, is_behind) => {
                        let start = output.len();
                        if is_behind {
                            attach(&mut output, &bytes);
                        }
                        append_elements(&mut output, &bytes, 10);
                        attach(&mut output, &bytes);
                        output.truncate(start);
                    }
                    Step::Surround(bytes, count) => {
                        let start = output.len();
                        output.push(b'$');
                        append_elements(&mut output, &bytes, count);
                        attach(&mut output, &bytes);
                        output.insert(start, &bytes);
                        expected.extend([&bytes[..], b"$", &bytes.repeat(count + 1)].concat());
                    }
                    Step::Send(part) => {
                        let bytes = output.len().div_ceil(part);
                        let slices = output.slices(bytes).into_vec();
                        let taken: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
                        let taken = taken.concat();
                        prop_assert!(taken.len() == bytes || slices.len() == SLICES_MAX);
                        sent.extend_from_slice(&taken);
                        output.advance(taken.len());
                    }
                    Step::Forget => output.forget_sent(),
                }
                prop_assert_eq!(sent.len() + output.len(), expected.len());
            }
            while !output.is_empty() {
                let one = output.slices(usize::MAX)[0].to_vec();
                prop_assert!(output.as_one().is_none_or(|all| all == one));
                sent.extend_from_slice(&one);
                output.advance(one.len());
            }
            prop_assert_eq!(sent, expected);
        }
    }
}
