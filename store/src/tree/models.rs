//! Versions of a tree under every schedule (loom) or many (shuttle).
//!
//! Each model says what it proves. A slot of a table is an atomic address here: who edits a tree
//! makes the next version of what is there, by one compare-and-swap, or does without. Nodes are
//! plain memory, of which `shadow` says when it is used after its end or, under loom, written to
//! while others read; and nothing may be left at a model's end.
//!
//! Models were seen to fail, by name, when the protocol is broken:
//!
//! - an amendment is written that another edit has claimed: `two_amend_one_child`,
//!   `an_edit_is_given_up` and others;
//! - a link does not say how many amendments count: `an_old_version_under_later_ones`; or an edit
//!   overwrites one that counts for others: the same, as a data race;
//! - a copy lacks the amendments: `the_room_of_a_node_runs_out`;
//! - what was replaced is freed at once: `an_edit_is_given_up` and others; the whole tree is:
//!   `a_tree_is_removed`;
//! - a node that was amended is retired with the old version, marks of an edit stay in links, or
//!   what an edit made is not found through them: all;
//! - what was made in vain stays: `two_amend_one_child` and others.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use super::*;
use crate::entry::{Kind, Meta};
use crate::publish::{self, Provisional};
use crate::reclaim::{Guard, pin};
#[cfg(mayfly_shuttle)]
use crate::sync::model::random_seed;
use crate::sync::model::{explore, together};
use crate::sync::{AtomicPtr, Ordering};
use crate::usage::Usage;

/// As many fit into a leaf as four.
const VALUE_BYTES: usize = 200;
/// So many elements take two leaves under one inner node.
const TWO_LEAVES: usize = 6;

type Content = BTreeMap<Vec<u8>, Vec<u8>>;

thread_local! {
    /// What each version is to show, by the address of its entry.
    static CONTENTS: RefCell<BTreeMap<usize, Content>> = const { RefCell::new(BTreeMap::new()) };
}

/// A slot that names a version, or none.
struct Slot(AtomicPtr<()>);

fn key_of(number: usize) -> Vec<u8> {
    format!("field:{number}").into_bytes()
}

/// The value that who wrote it can be told by.
fn value_of(writer: u8) -> Vec<u8> {
    vec![writer; VALUE_BYTES]
}

fn shown(tree: Tree<'_, 2>) -> Content {
    let owned = |[key, value]: [&[u8]; 2]| (key.to_vec(), value.to_vec());
    tree.iter().map(|(_, group)| owned(group)).collect()
}

/// An entry of a version, with what the edit says it shows.
fn made<'g>(edit: TreeEdit<'_, 2>) -> Provisional<'g> {
    let content = shown(edit.view());
    let (root, delta) = edit.finish().expect("elements");
    let record = root.to_record(7);
    let (shape, usage) = ((Kind::Hash, Form::Tree), Usage::from_bits(0));
    let value = [&record[..]].into_iter();
    let entry = Entry::allocate(1, b"key", shape, value, &Meta::default(), usage);
    let address = entry.address().addr().get();
    CONTENTS.with_borrow_mut(|contents| contents.insert(address, content));
    Provisional::derived(entry, delta)
}

/// A version, read to the end by every way of reading: it shows what it was made with.
fn check(entry: Entry<'_>) {
    let tree = Tree::<2>::of(entry);
    let address = entry.address().addr().get();
    let content = CONTENTS.with_borrow(|contents| contents[&address].clone());
    assert_eq!(shown(tree), content);
    assert_eq!(tree.len(), content.len());
    for (index, (key, value)) in content.iter().enumerate() {
        assert_eq!(tree.find(key).map(|[_, value]| value), Some(&value[..]));
        let [key, value] = tree.nth(index);
        assert_eq!(content.get(key).map(|value| &value[..]), Some(value));
    }
}

impl Slot {
    /// With so many elements, put in one by one.
    fn with(elements: usize) -> Arc<Slot> {
        CONTENTS.take();
        let slot = Slot(AtomicPtr::new(ptr::null_mut()));
        let mut edit = Builder::new().finish();
        for number in 0..elements {
            edit.put([&key_of(number), &value_of(b'.')]);
        }
        assert!(slot.publish(None, edit, &pin()));
        Arc::new(slot)
    }

    /// The version that counts.
    fn entry<'g>(&self, _guard: &'g Guard) -> Option<Entry<'g>> {
        let address = NonNull::new(self.0.load(Ordering::Acquire))?;
        // SAFETY: seen in its slot under the guard.
        Some(unsafe { Entry::from_address(address) })
    }

    /// Puts what an edit made of a version in its place, if it is there still.
    fn publish(&self, old: Option<Entry<'_>>, edit: TreeEdit<'_, 2>, guard: &Guard) -> bool {
        let made = made(edit);
        let is_in = self.swap(old, Some(made.entry));
        match is_in {
            true => made.published(old, guard),
            false => made.discard(),
        }
        is_in
    }

    fn swap(&self, old: Option<Entry<'_>>, new: Option<Entry<'_>>) -> bool {
        let address = |entry: Option<Entry<'_>>| {
            entry.map_or(ptr::null_mut(), |entry| entry.address().as_ptr())
        };
        let (old, new) = (address(old), address(new));
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        self.0.compare_exchange(old, new, success, failure).is_ok()
    }

    /// Edits the version that counts until nobody was faster.
    fn change(&self, change: impl Fn(&mut TreeEdit<'_, 2>)) {
        loop {
            let guard = pin();
            let old = self.entry(&guard);
            let mut edit = match old {
                Some(old) => TreeEdit::of(old),
                None => Builder::new().finish(),
            };
            change(&mut edit);
            if self.publish(old, edit, &guard) {
                return;
            }
        }
    }

    fn put(&self, number: usize, writer: u8) {
        self.change(|edit| {
            edit.put([&key_of(number), &value_of(writer)]);
        });
    }

    /// Edits the version that counts, and gives the edit up.
    fn try_in_vain(&self, numbers: impl IntoIterator<Item = usize>) {
        let guard = pin();
        let mut edit = TreeEdit::of(self.entry(&guard).expect("a version"));
        for number in numbers {
            edit.put([&key_of(number), &value_of(b'!')]);
        }
    }

    /// Removes the key whose value the tree is.
    fn remove(&self) {
        loop {
            let guard = pin();
            let old = self.entry(&guard).expect("a version");
            if self.swap(Some(old), None) {
                return publish::retire_whole(old, &guard);
            }
        }
    }

    /// Reads the version that counts twice under one guard: others follow it meanwhile.
    fn read(&self) {
        let guard = pin();
        if let Some(entry) = self.entry(&guard) {
            check(entry);
            crate::sync::yield_now();
            check(entry);
        }
    }

    /// Ends a model: who wrote these elements last is known.
    fn ends_with(slot: Arc<Slot>, elements: usize, written: &[(usize, u8)]) {
        let guard = pin();
        let entry = slot.entry(&guard).expect("a version");
        check(entry);
        let mut content: Content = (0..elements)
            .map(|number| (key_of(number), value_of(b'.')))
            .collect();
        for &(number, writer) in written {
            content.insert(key_of(number), value_of(writer));
        }
        assert_eq!(shown(Tree::of(entry)), content);
        Slot::ends(slot);
    }

    fn ends(slot: Arc<Slot>) {
        let guard = pin();
        if let Some(entry) = slot.entry(&guard) {
            let root = Root::of(entry);
            assert_eq!(root.memory_bytes, usable_bytes(root.link));
            slot.remove();
        }
        drop(Arc::into_inner(slot).expect("the last of them"));
    }
}

/// The memory that the nodes below take.
fn usable_bytes(link: Link) -> u64 {
    // SAFETY: the tree is there.
    let own = unsafe { link.block() }.usable_bytes() as u64;
    // SAFETY: as above.
    match unsafe { link.node() } {
        Node::Leaf(items) => {
            let outside = items.all_outside();
            own + outside
                .map(|one| one.block.usable_bytes() as u64)
                .sum::<u64>()
        }
        Node::Inner(inner) => {
            let slots = inner.slots();
            own + slots
                .iter()
                .map(|slot| usable_bytes(slot.link))
                .sum::<u64>()
        }
    }
}

/// Elements of [`TWO_LEAVES`] in the one leaf and in the other.
fn parted(slot: &Slot) -> [Vec<usize>; 2] {
    let guard = pin();
    let root = Root::of(slot.entry(&guard).expect("a version"));
    // SAFETY: the tree is there.
    let Node::Inner(inner) = (unsafe { root.link.node() }) else {
        unreachable!("two leaves have a parent")
    };
    assert_eq!((inner.level, inner.len()), (1, 2));
    let child = |number: &usize| inner.child_of(hash_of(&key_of(*number)));
    (0..TWO_LEAVES).fold([vec![], vec![]], |mut parts, number| {
        parts[child(&number)].push(number);
        parts
    })
}

/// A tree of two leaves, with an element of the one and one of the other.
fn with_one_of_each_leaf() -> (Arc<Slot>, usize, usize) {
    let slot = Slot::with(TWO_LEAVES);
    let [left, right] = parted(&slot);
    (slot, left[0], right[0])
}

/// A tree of two leaves, with two elements of one of them.
fn with_two_of_one_leaf() -> (Arc<Slot>, usize, usize) {
    let slot = Slot::with(TWO_LEAVES);
    let [left, _] = parted(&slot);
    (slot, left[0], left[1])
}

type Step = Box<dyn FnOnce() + Send>;

fn step(slot: &Arc<Slot>, body: impl FnOnce(&Slot) + Send + 'static) -> Step {
    let slot = Arc::clone(slot);
    Box::new(move || body(&slot))
}

/// Two writers amend one node, of one version, for different children: one of them comes too late
/// and begins anew. Readers see the version that they found.
#[test]
fn two_amend_a_node_under_a_reader() {
    explore(3, || {
        let (slot, one, other) = with_one_of_each_leaf();
        together(vec![
            step(&slot, move |slot| slot.put(one, b'a')),
            step(&slot, move |slot| slot.put(other, b'b')),
            step(&slot, |slot| slot.read()),
        ]);
        Slot::ends_with(slot, TWO_LEAVES, &[(one, b'a'), (other, b'b')]);
    });
}

/// As above for one child.
#[test]
fn two_amend_one_child() {
    explore(4, || {
        let (slot, one, other) = with_two_of_one_leaf();
        together(vec![
            step(&slot, move |slot| slot.put(one, b'a')),
            step(&slot, move |slot| slot.put(other, b'b')),
        ]);
        Slot::ends_with(slot, TWO_LEAVES, &[(one, b'a'), (other, b'b')]);
    });
}

/// A reader of an old version sees nothing of the amendments that later versions make to the nodes
/// they share with it: of one child, of another, and again.
#[test]
fn an_old_version_under_later_ones() {
    explore(3, || {
        let (slot, one, other) = with_one_of_each_leaf();
        together(vec![
            step(&slot, move |slot| {
                slot.put(one, b'a');
                slot.put(other, b'b');
                slot.put(one, b'c');
            }),
            step(&slot, |slot| slot.read()),
        ]);
        Slot::ends_with(slot, TWO_LEAVES, &[(one, b'c'), (other, b'b')]);
    });
}

/// An edit that was given up has taken the amendment that another wanted, and leaves nothing else
/// behind, whatever it changed.
#[test]
fn an_edit_is_given_up() {
    explore(4, || {
        let (slot, one, other) = with_one_of_each_leaf();
        together(vec![
            step(&slot, move |slot| slot.try_in_vain([one, other, one])),
            step(&slot, move |slot| slot.put(one, b'a')),
        ]);
        Slot::ends_with(slot, TWO_LEAVES, &[(one, b'a')]);
    });
}

/// A node whose room for amendments runs out is copied, while another writer amends it.
#[test]
fn the_room_of_a_node_runs_out() {
    explore(2, || {
        let (slot, one, other) = with_one_of_each_leaf();
        for _ in 1..inner::AMENDMENTS_MAX {
            slot.put(one, b'-');
        }
        together(vec![
            step(&slot, move |slot| slot.put(one, b'a')),
            step(&slot, move |slot| slot.put(other, b'b')),
            step(&slot, |slot| slot.read()),
        ]);
        Slot::ends_with(slot, TWO_LEAVES, &[(one, b'a'), (other, b'b')]);
    });
}

/// A leaf that is split, and one that is joined with its neighbour, under a writer and a reader.
#[test]
fn leaves_are_split_and_joined() {
    explore(2, || {
        let slot = Slot::with(TWO_LEAVES);
        let [left, right] = parted(&slot);
        let (kept, other) = (left[0], right[0]);
        together(vec![
            step(&slot, move |slot| {
                let gone = left[1..].iter().chain(&right[1..]);
                let gone: Vec<_> = gone.map(|&number| key_of(number)).collect();
                slot.change(|edit| assert!(gone.iter().all(|key| edit.remove(key))));
                slot.change(|edit| {
                    for key in &gone {
                        assert!(edit.put([key, &value_of(b'c')]));
                    }
                });
            }),
            step(&slot, move |slot| slot.put(other, b'b')),
            step(&slot, |slot| slot.read()),
        ]);
        let others = (0..TWO_LEAVES).filter(|number| ![kept, other].contains(number));
        let mut written: Vec<_> = others.map(|number| (number, b'c')).collect();
        written.push((other, b'b'));
        Slot::ends_with(slot, TWO_LEAVES, &written);
    });
}

/// Elements in blocks of their own are replaced, in an amended tree, under a writer and a reader.
#[test]
fn long_elements_are_replaced() {
    explore(2, || {
        let (slot, one, other) = with_two_of_one_leaf();
        slot.change(|edit| {
            edit.put([&key_of(one), &[b'-'; 300]]);
        });
        together(vec![
            step(&slot, move |slot| {
                slot.change(|edit| {
                    edit.put([&key_of(one), &[b'+'; 300]]);
                    edit.put([&key_of(one), &[b'*'; 300]]);
                });
            }),
            step(&slot, move |slot| slot.put(other, b'b')),
            step(&slot, |slot| slot.read()),
        ]);
        slot.put(one, b'a');
        Slot::ends_with(slot, TWO_LEAVES, &[(one, b'a'), (other, b'b')]);
    });
}

/// A tree that goes as a whole stays for those who found it, whoever has shared nodes with it.
#[test]
fn a_tree_is_removed() {
    explore(3, || {
        let (slot, one, _) = with_two_of_one_leaf();
        together(vec![
            step(&slot, |slot| slot.remove()),
            step(&slot, move |slot| slot.put(one, b'a')),
            step(&slot, |slot| slot.read()),
        ]);
        Slot::ends(slot);
    });
}

#[cfg(mayfly_shuttle)]
mod random {
    use super::*;

    /// Some steps of a thread that edits, gives up, removes and reads.
    fn some(slot: &Slot, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..5 {
            let numbers: Vec<usize> = (0..random.usize(1..4))
                .map(|_| random.usize(..40))
                .collect();
            let bytes = [20, VALUE_BYTES, 300][random.usize(..3)];
            let value = vec![random.u8(..); bytes];
            match random.u8(..8) {
                0..3 => slot.change(|edit| {
                    for &number in &numbers {
                        edit.put([&key_of(number), &value]);
                    }
                }),
                3..5 => slot.change(|edit| {
                    for &number in &numbers {
                        edit.remove(&key_of(number));
                    }
                    edit.put([b"one", b"at least"]);
                }),
                5 => {
                    let guard = pin();
                    if slot.entry(&guard).is_some() {
                        slot.try_in_vain(numbers);
                    }
                }
                _ => slot.read(),
            }
        }
    }

    /// Threads that edit one tree, give edits up and read: every version shows what it was made
    /// with for as long as somebody may look, and nothing is left of it then.
    #[test]
    fn many_edit_and_read() {
        explore(0, || {
            let slot = Slot::with(24);
            let bodies = (0..3).map(|_| {
                let seed = random_seed();
                step(&slot, move |slot| some(slot, seed))
            });
            together(bodies.collect());
            Slot::ends(slot);
        });
    }
}
