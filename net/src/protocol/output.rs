//! Replies on their way to a client.

use std::io::IoSlice;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

use smallvec::SmallVec;

/// What is to be sent: bytes, and between them long ones that are sent from where they stand.
///
/// Bytes are appended as to the vector that it leads to. Lengths and positions count all that is to
/// be sent; those of that vector mean nothing here.
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
}

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
        self.bytes.truncate(self.sent + len - self.attached_bytes);
    }

    /// The bytes from one position to another, between which nothing is attached.
    pub(crate) fn between(&self, start: usize, end: usize) -> &[u8] {
        let mut from = self.sent + start;
        for attached in &self.attached {
            if attached.place + attached.len() > from {
                break;
            }
            from -= attached.len();
        }
        &self.bytes[from..from + (end - start)]
    }

    /// Puts bytes before what has been appended since [`Output::place`] told this place.
    pub(crate) fn insert(&mut self, place: usize, inserted: &[u8]) {
        self.bytes.splice(place..place, inserted.iter().copied());
        let behind = self.attached.iter_mut().rev();
        for attached in behind.take_while(|attached| attached.place > place) {
            attached.place += inserted.len();
        }
    }

    /// Where the next byte goes; as long as nothing is sent.
    pub(crate) fn place(&self) -> usize {
        self.bytes.len()
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
        if self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            for attached in &mut self.attached {
                attached.place -= self.sent;
            }
            self.sent = 0;
        }
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
        Attach(Vec<u8>),
        /// Two appended replies, of which the second is taken back.
        AttachInVain(Vec<u8>),
        /// What an array's header does, once it is known how long that is.
        Surround(Vec<u8>),
        /// The socket takes one part of so many.
        Send(usize),
        Forget,
    }

    fn attach(output: &mut Output, bytes: &[u8]) {
        let buffer = [b"<", bytes, b">"].concat();
        output.attach(Arc::new(buffer), 1..1 + bytes.len());
    }

    fn step() -> impl Strategy<Value = Step> {
        let bytes = || prop::collection::vec(any::<u8>(), 1..20);
        prop_oneof![
            bytes().prop_map(Step::Append),
            bytes().prop_map(Step::Attach),
            bytes().prop_map(Step::AttachInVain),
            bytes().prop_map(Step::Surround),
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
                    Step::Attach(bytes) => {
                        expected.extend_from_slice(&bytes);
                        attach(&mut output, &bytes);
                    }
                    Step::AttachInVain(bytes) => {
                        let start = output.len();
                        attach(&mut output, &bytes);
                        output.extend_from_slice(&bytes);
                        attach(&mut output, &bytes);
                        output.truncate(start);
                    }
                    Step::Surround(bytes) => {
                        let place = output.place();
                        output.push(b'$');
                        attach(&mut output, &bytes);
                        output.insert(place, &bytes);
                        expected.extend([&bytes[..], b"$", &bytes].concat());
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
