//! Floats as Redis prints them in replies: the shortest digits that read back the same, plain or
//! with an exponent, whichever fpconv takes.

/// So many zeros may follow a whole number's digits before it gets an exponent; one less if it is
/// negative.
const TRAILING_ZEROS_MAX: i32 = 7;

/// Appends the text of a float.
pub(super) fn push_double(value: f64, out: &mut Vec<u8>) {
    /// Floats up to here that are integers are printed as such.
    const INTEGER_MAX: f64 = (i64::MAX / 2) as f64;
    if value.is_nan() {
        return out.extend_from_slice(b"nan");
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let magnitude = value.abs();
    if magnitude.is_infinite() {
        return out.extend_from_slice(b"inf");
    }
    if magnitude <= INTEGER_MAX && magnitude.fract() == 0.0 {
        let mut digits = itoa::Buffer::new();
        return out.extend_from_slice(digits.format(magnitude as u64).as_bytes());
    }
    let (digits, exponent) = decimal(magnitude);
    push_decimal(&digits, exponent, value.is_sign_negative(), out);
}

/// The shortest digits of a float, and the power of ten of the last of them.
fn decimal(magnitude: f64) -> (Vec<u8>, i32) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(magnitude);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().expect("zmij writes numbers");
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = [whole.as_bytes(), fraction.as_bytes()].concat();
    let mut exponent = exponent - fraction.len() as i32;
    while digits.len() > 1 && digits.ends_with(b"0") {
        digits.pop();
        exponent += 1;
    }
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    digits.drain(..zeros.min(digits.len() - 1));
    (digits, exponent)
}

fn push_decimal(digits: &[u8], exponent: i32, is_negative: bool, out: &mut Vec<u8>) {
    let len = digits.len() as i32;
    let first = exponent + len - 1;
    let zeros_max = TRAILING_ZEROS_MAX - i32::from(is_negative);
    if exponent >= 0 && first < len + zeros_max {
        out.extend_from_slice(digits);
        out.resize(out.len() + exponent as usize, b'0');
    } else if exponent < 0 && (exponent > -7 || first.abs() < 4) {
        let (whole, zeros) = match usize::try_from(len + exponent) {
            Ok(whole) => (whole, 0),
            Err(_) => (0, (-exponent - len) as usize),
        };
        match whole {
            0 => out.push(b'0'),
            _ => out.extend_from_slice(&digits[..whole]),
        }
        out.push(b'.');
        out.resize(out.len() + zeros, b'0');
        out.extend_from_slice(&digits[whole..]);
    } else {
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.extend_from_slice(if first < 0 { b"e-" } else { b"e+" });
        let mut buffer = itoa::Buffer::new();
        out.extend_from_slice(buffer.format(first.unsigned_abs()).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_printed_as_redis_prints_them() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-2.5, "-2.5"),
            (0.1, "0.1"),
            (1.0150000000000001e302, "1.0150000000000001e+302"),
            (9_007_199_254_740_994.0, "9007199254740994"),
            (1_152_921_504_606_846_976.0, "1152921504606846976"),
            (9.223372036854776e18, "9223372036854776000"),
            (-9.223372036854776e18, "-9223372036854776000"),
            (1.2345678901234568e29, "1.2345678901234568e+29"),
            (1e20, "1e+20"),
            (0.000_015, "0.000015"),
            (0.000_001_5, "1.5e-6"),
            (1.5e-9, "1.5e-9"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "inf"),
        ] {
            let mut out = Vec::new();
            push_double(value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
