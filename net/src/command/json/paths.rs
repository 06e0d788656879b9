//! Compiled paths, kept for the next use.
//!
//! An application names few paths, again and again, and compiling one costs as much as following
//! it. So each thread keeps some, in a table where the hash of a text says its one place. A text
//! whose place is taken gets it when it comes twice in a row: texts made for one use, with an index
//! or a name in them, do not drive out those that stay. Only paths of names and indexes are kept,
//! whose size their text bounds: a regular expression may take a megabyte.

use std::cell::RefCell;
use std::rc::Rc;

use json::{Path, PathError};

const PLACES: usize = 128;
/// Longer texts are compiled each time.
const TEXT_BYTES_MAX: usize = 128;

/// A path, or why its text is none.
pub(super) type Compiled = Result<Rc<Path>, PathError>;

thread_local! {
    static KEPT: RefCell<Vec<Place>> = RefCell::new(vec![Place::default(); PLACES]);
}

#[derive(Clone, Default)]
struct Place {
    text: Box<[u8]>,
    /// What the text means, once there is one.
    path: Option<Rc<Path>>,
    /// The hash of the last text that came here in vain.
    last_missed: u64,
}

/// Compiles a text of either syntax, or finds what it was compiled to before.
pub(super) fn compiled(text: &[u8]) -> Compiled {
    if text.len() > TEXT_BYTES_MAX {
        return Path::parse(text).map(Rc::new);
    }
    let hash = rapidhash::v3::rapidhash_v3(text);
    KEPT.with_borrow_mut(|kept| kept[hash as usize % PLACES].compiled(text, hash))
}

impl Place {
    fn compiled(&mut self, text: &[u8], hash: u64) -> Compiled {
        if let Some(path) = &self.path
            && *self.text == *text
        {
            return Ok(Rc::clone(path));
        }
        let path = Rc::new(Path::parse(text)?);
        let has_claim = self.path.is_none() || self.last_missed == hash;
        self.last_missed = hash;
        if has_claim && path.is_singular() {
            self.text = text.into();
            self.path = Some(Rc::clone(&path));
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Rc<Path> {
        compiled(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_path_is_compiled_once() {
        assert!(Rc::ptr_eq(&path("$.a[0].b"), &path("$.a[0].b")));
        assert!(path("$.a[0].b").is_singular());
        assert!(path(".a").is_legacy());
        assert!(compiled(b"$.a[").is_err());
    }

    #[test]
    fn what_comes_once_does_not_drive_out_what_stays() {
        let stays = path("$.stays");
        for number in 0..10 * PLACES {
            path(&format!("$.once[{number}]"));
        }
        assert!(Rc::ptr_eq(&path("$.stays"), &stays));
        for number in 0..10 * PLACES {
            let text = format!("$.twice[{number}]");
            path(&text);
            assert!(Rc::ptr_eq(&path(&text), &path(&text)));
        }
    }

    #[test]
    fn what_may_be_large_is_not_kept() {
        let kept = compiled(b"$[?@.name =~ 'a']").unwrap();
        assert_eq!(Rc::strong_count(&kept), 1);
        let long = format!("$.{}", "x".repeat(TEXT_BYTES_MAX));
        assert_eq!(Rc::strong_count(&compiled(long.as_bytes()).unwrap()), 1);
    }
}
