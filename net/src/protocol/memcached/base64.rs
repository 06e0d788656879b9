//! Keys in base64. As in memcached, bits that are left over in the last digit do not matter.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::request::KeyRoom;

const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Puts the bytes that `text` stands for into `room`; whether it stands for any.
pub(super) fn decode(text: &[u8], room: &mut KeyRoom) -> bool {
    room.resize(base64::decoded_len_estimate(text.len()), 0);
    let decoded = ENGINE.decode_slice(text, room);
    room.truncate(decoded.unwrap_or(0));
    !room.is_empty()
}

/// Appends what stands for `bytes`.
pub(super) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    ENGINE
        .encode_slice(bytes, &mut out[start..])
        .expect("room for all digits");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back() {
        for len in 0..20 {
            let bytes: Vec<u8> = (0..len)
                .map(|at: u8| at.wrapping_mul(13).wrapping_add(200))
                .collect();
            let mut text = b"head".to_vec();
            encode(&bytes, &mut text);
            let mut room = KeyRoom::new();
            assert_eq!(decode(&text[4..], &mut room), len > 0);
            assert_eq!(&room[..], bytes);
        }
    }

    #[test]
    fn what_is_no_base64_is_no_key() {
        let mut room = KeyRoom::new();
        for text in ["", "a", "abc", "ab=c", "ab c", "====", "abc!"] {
            assert!(!decode(text.as_bytes(), &mut room), "{text}");
        }
        assert!(decode(b"Zm9vYh==", &mut room), "bits left over");
        assert_eq!(&room[..], b"foob");
    }
}
