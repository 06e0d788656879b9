//! Strings against a vector of bytes, flat and in chunks.

use super::*;
use crate::memory;
use crate::reclaim;
use crate::value::held::Held;
use crate::value::{Edited, bitmap, deep_copy, memory_bytes, object_encoding};

fn bytes_of(held: &Held) -> Vec<u8> {
    let string = Str::of(held.entry()).expect("a string");
    let all = string.to_cow().into_owned();
    assert_eq!(all.len(), string.len());
    assert!(string.equals(&all));
    all
}

fn after(held: Held, value: NewValue<'static>) -> Held {
    Held::after(Some(held), Edited::Changed(value)).expect("a value")
}

#[test]
fn changes_in_part_agree_with_a_vector_at_every_length() {
    let before = memory::counted_here().0;
    let mut random = fastrand::Rng::with_seed(3);
    for start in [0, 100, 16_000, 16_385, 100_000] {
        let mut model: Vec<u8> = (0..start).map(|_| random.u8(..)).collect();
        let mut held = Held::new(bytes(&model));
        for _ in 0..200 {
            let patch: Vec<u8> = (0..random.usize(1..300)).map(|_| random.u8(..)).collect();
            // What stands in an argument outlives the call of the command.
            let patch: &'static [u8] = Box::leak(patch.into_boxed_slice());
            let old = Str::of(held.entry()).expect("a string");
            let value = match random.u8(..8) {
                0 | 1 => {
                    model.extend_from_slice(patch);
                    append(Some(old), patch)
                }
                2 if model.len() < 20_000 => {
                    model.splice(0..0, patch.iter().copied());
                    prepend(old, patch)
                }
                3 => {
                    let at = random.usize(..=8 * model.len() + 8);
                    model.resize(model.len().max(at / 8 + 1), 0);
                    model[at / 8] |= 0x80 >> (at % 8);
                    bitmap::set_bit(Some(old), at, true).map(|(_, value)| value)
                }
                _ => {
                    let at = random.usize(..=model.len() + 20);
                    model.resize(model.len().max(at + patch.len()), 0);
                    model[at..at + patch.len()].copy_from_slice(patch);
                    set_range(Some(old), at, patch)
                }
            };
            held = after(held, value.expect("not too long"));
            assert_eq!(bytes_of(&held), model);
            assert_eq!(object_encoding(held.entry()), Encoding::Raw);
            let live = memory::counted_here().0 - before;
            assert_eq!(live as usize, memory_bytes(held.entry()));
        }
        let copy = Held::new(deep_copy(held.entry()));
        held = after(held, bytes(b"short"));
        assert_eq!(
            (bytes_of(&copy), bytes_of(&held)),
            (model, b"short".to_vec())
        );
        drop((copy, held));
        assert_eq!(memory::counted_here().0, before);
    }
}

#[test]
fn only_a_change_in_part_makes_chunks() {
    let long = vec![b'x'; FLAT_BYTES_MAX + 1];
    let held = Held::new(bytes(&long));
    assert_eq!(held.entry().form(), Form::Apart);
    let old = Str::of(held.entry()).expect("a string");
    assert_eq!(old.as_slice(), Some(&long[..]));
    let held = after(held, append(Some(old), b"y").expect("not too long"));
    let string = Str::of(held.entry()).expect("a string");
    assert_eq!((held.entry().form(), string.as_slice()), (Form::Tree, None));
    assert_eq!(string.byte(FLAT_BYTES_MAX + 1), Some(b'y'));
    assert_eq!(string.byte(FLAT_BYTES_MAX + 2), None);
    assert!(held.entry().memory_bytes() < 100);
}

#[test]
fn one_byte_far_away_takes_zeros_before_it() {
    let value = set_range(None, 3 << 20, b"x").expect("not too long");
    let held = Held::new(value);
    let string = Str::of(held.entry()).expect("a string");
    assert_eq!(string.len(), (3 << 20) + 1);
    assert_eq!(
        string.parts().flatten().filter(|byte| **byte != 0).count(),
        1
    );
    let overhead = memory_bytes(held.entry()) as f64 / string.len() as f64;
    assert!(overhead < 1.01, "{overhead}");
    assert!(set_range(Some(string), STRING_BYTES_MAX, b"x").is_err());
}

#[test]
fn long_strings_are_no_integers() {
    let digits = vec![b'1'; FLAT_BYTES_MAX];
    let held = Held::new(append(Some(Str::from_slice(&digits)), b"1").expect("not too long"));
    let string = Str::of(held.entry()).expect("a string");
    assert_eq!(string.integer(), None);
    assert_eq!(sum(Some(string), 1).unwrap_err(), Error::NotAnInteger);
    assert_eq!(
        wrapping_increment(string, 1).unwrap_err(),
        Error::NotAnInteger
    );
}

/// A buffer with a request in it, and where in it the value stands.
fn request(value_bytes: usize, capacity: usize) -> (Received, Range<usize>) {
    let mut buffer = Vec::with_capacity(capacity);
    buffer.extend_from_slice(b"SET key ");
    let start = buffer.len();
    buffer.resize(start + value_bytes, b'v');
    buffer.extend_from_slice(b"\r\n");
    (Received::new(buffer), start..start + value_bytes)
}

#[test]
fn a_long_string_stays_where_it_was_received() {
    let before = memory::counted_here().0;
    let (request, value) = request(100_000, 101_000);
    let value = &request.bytes()[value];
    // Tried twice, as where somebody else was faster.
    drop(received(value, Some(&request)));
    let held = Held::new(received(value, Some(&request)));
    let string = Str::of(held.entry()).expect("a string");
    assert_eq!(string.as_slice().map(<[u8]>::as_ptr), Some(value.as_ptr()));
    assert!(memory_bytes(held.entry()) >= 101_000);
    let live = memory::counted_here().0 - before;
    assert_eq!(live as usize, memory_bytes(held.entry()));
    assert!(request.into_buffer().is_err());
    let reply = string.to_long().expect("a long string");
    drop(held);
    reclaim::settle();
    assert_eq!(memory::counted_here().0, before);
    let (buffer, place) = reply.into_parts();
    assert_eq!(buffer[place], vec![b'v'; 100_000]);
}

#[test]
fn what_does_not_fill_its_buffer_is_copied() {
    for (value_bytes, capacity) in [(100_000, 115_000), (FLAT_BYTES_MAX, FLAT_BYTES_MAX + 100)] {
        let (request, value) = request(value_bytes, capacity);
        let value = &request.bytes()[value];
        let held = Held::new(received(value, Some(&request)));
        let string = Str::of(held.entry()).expect("a string");
        assert_eq!(string.as_slice(), Some(value));
        assert_ne!(string.as_slice().map(<[u8]>::as_ptr), Some(value.as_ptr()));
        let buffer = request.into_buffer().expect("nobody keeps it");
        assert!(buffer.capacity() >= capacity);
    }
}
