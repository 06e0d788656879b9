//! Edits of one collection that come in a row: made one after the other of a version that nobody
//! else sees, which is published once.
//!
//! A client that fills a hash sends one HSET after the other. Each for itself would pay for an
//! entry, a version of the tree and a swap of the slot; together they pay once, and a leaf that
//! several of them change is copied once. Each is answered as if it had run alone, and nothing is
//! sent before all is published. Since a single swap publishes them, they happen at one moment in
//! their order: whoever looks sees none of them or all, and nothing comes between, as it may be
//! when they run one by one.
//!
//! Who begins a run ([`Run::begin`]) has each request carried out in
//! [`Place::Run`](super::dispatch::Place), asks after each whether more may follow
//! ([`Run::may_go_on`]), and publishes. If that fails, since somebody else was faster, no request
//! has had an effect and all replies must be taken back.

use std::cell::RefCell;
use std::fmt;

use store::value::Limits;
use store::value::hash::HashEdit;
use store::value::set::SetEdit;
use store::{Basis, Db, Error};

use super::collection;

/// One step of a run: changes the hash, or fails and has changed nothing.
pub(crate) type HashStep<'s> = &'s mut dyn FnMut(&mut HashEdit<'_>) -> Result<(), Error>;
/// As above, of a set.
pub(crate) type SetStep<'s> = &'s mut dyn FnMut(&mut SetEdit<'_>) -> Result<(), Error>;

/// The collection of a run, as the commands of its family edit it.
pub(crate) trait Edits: fmt::Debug {
    /// Edits the hash at `key`.
    ///
    /// # Errors
    /// [`Error::WrongType`], and what `step` returns.
    fn edit_hash(&self, key: &[u8], step: HashStep<'_>) -> Result<(), Error>;

    /// Edits the set at `key`.
    ///
    /// # Errors
    /// As above.
    fn edit_set(&self, key: &[u8], step: SetStep<'_>) -> Result<(), Error>;
}

/// A run in progress.
#[derive(Debug)]
pub(crate) struct Run<'k, 'g> {
    db: Db<'g>,
    name: &'k [u8],
    limits: Limits,
    basis: Basis<'k, 'g>,
    edit: RefCell<Edit<'g>>,
}

#[derive(Debug)]
enum Edit<'g> {
    /// Nobody has looked yet, or found that it is no such collection.
    None,
    Hash(HashEdit<'g>),
    Set(SetEdit<'g>),
}

impl<'k, 'g> Run<'k, 'g> {
    /// Begins a run on the collection at `key`.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub(crate) fn begin(db: Db<'g>, key: &'k [u8], limits: Limits) -> Result<Self, Error> {
        Ok(Run {
            db,
            name: key,
            limits,
            basis: db.basis(key)?,
            edit: RefCell::new(Edit::None),
        })
    }

    /// Whether another request may follow. Not where the key goes: one that comes after it makes
    /// a new one, without the expiry of the old.
    pub(crate) fn may_go_on(&self) -> bool {
        match &*self.edit.borrow() {
            Edit::None => true,
            Edit::Hash(edit) => !edit.is_emptied(),
            Edit::Set(edit) => !edit.is_emptied(),
        }
    }

    /// Makes all that so many requests did visible; false, and nothing of it has happened, if
    /// somebody else has changed the key since the beginning.
    pub(crate) fn publish(self, requests: u32) -> bool {
        let edited = match self.edit.into_inner() {
            Edit::None => return true,
            Edit::Hash(edit) => edit.finish(),
            Edit::Set(edit) => edit.finish(),
        };
        let change = collection::change(self.basis.entry(), edited);
        self.db.publish(&self.basis, change, requests)
    }
}

impl Edits for Run<'_, '_> {
    fn edit_hash(&self, key: &[u8], step: HashStep<'_>) -> Result<(), Error> {
        assert_eq!(key, self.name, "a run is of one key");
        let mut edit = self.edit.borrow_mut();
        if matches!(*edit, Edit::None) {
            *edit = Edit::Hash(HashEdit::new(self.basis.entry(), &self.limits)?);
        }
        match &mut *edit {
            Edit::Hash(edit) => step(edit),
            Edit::Set(_) | Edit::None => unreachable!("a run is of one family"),
        }
    }

    fn edit_set(&self, key: &[u8], step: SetStep<'_>) -> Result<(), Error> {
        assert_eq!(key, self.name, "a run is of one key");
        let mut edit = self.edit.borrow_mut();
        if matches!(*edit, Edit::None) {
            *edit = Edit::Set(SetEdit::new(self.basis.entry(), &self.limits)?);
        }
        match &mut *edit {
            Edit::Set(edit) => step(edit),
            Edit::Hash(_) | Edit::None => unreachable!("a run is of one family"),
        }
    }
}
