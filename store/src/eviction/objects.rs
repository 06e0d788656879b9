//! For tests: objects that are asked for, and what popularity makes of their numbers.

/// The hash of an object.
pub(super) fn hash(object: u64) -> u64 {
    rapidhash::v3::rapidhash_v3(&object.to_ne_bytes())
}

/// One of about so many objects, of a popularity that falls with their number.
pub(super) fn skewed(objects: f64) -> u64 {
    objects.powf(fastrand::f64()) as u64
}
