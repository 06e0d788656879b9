//! Who clients are, and by which password they are known: AUTH and HELLO, Memcached's text login
//! and SASL all ask here.
//!
//! There is one user, `default`, whose password is `requirepass`; without it everybody is this
//! user, whatever password they give. Further users have their place here, behind the same
//! function.

use subtle::ConstantTimeEq;

use crate::config::{Setting, Settings};

/// The user a client is that has not said otherwise.
pub(crate) const DEFAULT: &str = "default";

/// Whether a user has this password. The time it takes tells no more of the right one than its
/// length.
pub(crate) fn authenticate(settings: &Settings, user: &[u8], password: &[u8]) -> bool {
    let expected = settings.text(Setting::Requirepass);
    let is_right = expected.is_empty() || bool::from(expected.as_bytes().ct_eq(password));
    user == DEFAULT.as_bytes() && is_right
}

/// Whether clients are the default user without giving a password.
pub(crate) fn is_default_open(settings: &Settings) -> bool {
    settings.text(Setting::Requirepass).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_default_user_has_the_required_password() {
        let config = Config::default().with("requirepass", "secret");
        let settings = Settings::new(&config.expect("valid"));
        assert!(!is_default_open(&settings));
        assert!(authenticate(&settings, b"default", b"secret"));
        for (user, password) in [
            ("default", "secreT"),
            ("default", "secre"),
            ("default", "secrets"),
            ("default", ""),
            ("other", "secret"),
            ("", "secret"),
        ] {
            let is_right = authenticate(&settings, user.as_bytes(), password.as_bytes());
            assert!(!is_right, "{user} {password}");
        }
        settings.set(Setting::Requirepass, "").expect("valid");
        assert!(is_default_open(&settings));
        assert!(authenticate(&settings, b"default", b"anything"));
        assert!(!authenticate(&settings, b"other", b""));
    }
}
