//! Numbers as Redis reads and writes them.
//!
//! Integers are canonical: no plus sign, no leading zeros, no blanks. Floating-point numbers in
//! INCRBYFLOAT and HINCRBYFLOAT are x87's 80-bit `long double` in Redis, written with 17 decimals
//! and without trailing zeros. [`LongDouble`] computes the same results in software: a 64-bit
//! mantissa, rounded to nearest even, and arithmetic on big integers for the decimal conversions.

/// The integer a canonical decimal text spells, if it is one of 64 bits with sign.
pub fn parse_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut magnitude: u64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        // Nineteen digits fit into 64 bits.
        magnitude = magnitude * 10 + u64::from(digit - b'0');
    }
    match negative {
        false => i64::try_from(magnitude).ok(),
        true if magnitude <= i64::MIN.unsigned_abs() => Some(magnitude.wrapping_neg() as i64),
        true => None,
    }
}

/// A floating-point number with x87's 64-bit mantissa.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongDouble {
    negative: bool,
    magnitude: Magnitude,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Magnitude {
    Zero,
    /// `mantissa * 2^exponent`. Invariant: the mantissa's top bit is set.
    Finite {
        mantissa: u64,
        exponent: i32,
    },
    Infinite,
}

/// `mantissa * 2^exponent` above this exponent is infinite.
const EXPONENT_MAX: i32 = 16383 - 63;
/// Below this even the smallest denormal of x87 has rounded to zero.
const EXPONENT_MIN: i32 = -16445 - 63;
/// Decimal exponents beyond this are out of range whatever the digits.
const DECIMAL_EXPONENT_MAX: i64 = 6000;
/// The longest text Redis tries to read as a number.
const TEXT_BYTES_MAX: usize = 5 * 1024;
/// Decimals that are written.
const DECIMALS: usize = 17;

impl LongDouble {
    /// Zero.
    pub const ZERO: LongDouble = LongDouble {
        negative: false,
        magnitude: Magnitude::Zero,
    };

    /// Reads what C's `strtold` reads as a whole, without blanks and without NaN. Infinity is
    /// read, so that a sum with it fails as in Redis; what is out of range is not.
    pub fn parse(text: &[u8]) -> Option<LongDouble> {
        if text.len() >= TEXT_BYTES_MAX {
            return None;
        }
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let lower = text.to_ascii_lowercase();
        let magnitude = match lower.as_slice() {
            b"inf" | b"infinity" => Magnitude::Infinite,
            [b'0', b'x', hexadecimal @ ..] => parse_digits(hexadecimal, 16)?,
            decimal => parse_digits(decimal, 10)?,
        };
        Some(LongDouble {
            negative,
            magnitude,
        })
    }

    /// The sum, rounded to nearest even; none if it is infinite or not a number.
    #[allow(
        clippy::should_implement_trait,
        reason = "a sum can fail, which `Add` has no place for"
    )]
    pub fn add(self, other: LongDouble) -> Option<LongDouble> {
        use Magnitude::{Finite, Infinite, Zero};
        let ((a, a_exponent), (b, b_exponent)) = match (self.magnitude, other.magnitude) {
            (Infinite, _) | (_, Infinite) => return None,
            (Zero, _) => return Some(other),
            (_, Zero) => return Some(self),
            (
                Finite {
                    mantissa: a,
                    exponent: i,
                },
                Finite {
                    mantissa: b,
                    exponent: j,
                },
            ) => ((a, i), (b, j)),
        };
        if (b_exponent, b) > (a_exponent, a) {
            return other.add(self);
        }
        // The larger has its top bit at 126, so that a sum's carry fits; the smaller keeps all
        // its bits, or what is lost counts as one sticky bit far below the rounding position.
        let shift = (a_exponent - b_exponent) as u32;
        let large = u128::from(a) << 63;
        let small = u128::from(b) << 63;
        let (small, sticky) = match shift {
            0..128 => {
                let kept = small >> shift;
                (kept, u128::from(kept << shift != small))
            }
            _ => (0, 1),
        };
        let sum = match self.negative == other.negative {
            true => (large + small) | sticky,
            false => (large - small - sticky) | sticky,
        };
        let magnitude = round(sum, a_exponent - 63);
        match magnitude {
            Infinite => None,
            _ => Some(LongDouble {
                negative: self.negative && magnitude != Zero,
                magnitude,
            }),
        }
    }

    /// The decimal text: never an exponent, at most 17 decimals, no trailing zeros.
    pub fn to_text(self) -> Vec<u8> {
        let mut text = match self.magnitude {
            Magnitude::Zero => b"0".to_vec(),
            Magnitude::Infinite => b"inf".to_vec(),
            Magnitude::Finite { mantissa, exponent } if exponent >= 0 => {
                let mut integer = Natural::from(u128::from(mantissa));
                integer.shift_left(exponent as usize);
                integer.to_decimal()
            }
            Magnitude::Finite { mantissa, exponent } => {
                decimal_fraction(mantissa, exponent.unsigned_abs())
            }
        };
        if self.negative && text != b"0" {
            text.insert(0, b'-');
        }
        text
    }
}

/// `mantissa / 2^shift` with 17 decimals, less trailing zeros.
fn decimal_fraction(mantissa: u64, shift: u32) -> Vec<u8> {
    let scaled = u128::from(mantissa) * 10u128.pow(DECIMALS as u32);
    let rounded = match shift {
        0..128 => {
            let floor = scaled >> shift;
            let rest = scaled - (floor << shift);
            let half = 1u128 << (shift - 1);
            floor + u128::from(rest > half || (rest == half && floor & 1 == 1))
        }
        _ => 0,
    };
    let digits = format!("{rounded:0width$}", width = DECIMALS + 1);
    let (integer, fraction) = digits.split_at(digits.len() - DECIMALS);
    let fraction = fraction.trim_end_matches('0');
    match fraction {
        "" => integer.as_bytes().to_vec(),
        _ => format!("{integer}.{fraction}").into_bytes(),
    }
}

/// `value * 2^exponent`, rounded to 64 bits.
fn round(value: u128, exponent: i32) -> Magnitude {
    if value == 0 {
        return Magnitude::Zero;
    }
    let zeros = value.leading_zeros();
    let value = value << zeros;
    let mut exponent = exponent - zeros as i32 + 64;
    let mut mantissa = (value >> 64) as u64;
    let rest = value as u64;
    let half = 1 << 63;
    if rest > half || (rest == half && mantissa & 1 == 1) {
        let (up, carried) = mantissa.overflowing_add(1);
        mantissa = if carried { half } else { up };
        exponent += i32::from(carried);
    }
    match exponent {
        _ if exponent > EXPONENT_MAX => Magnitude::Infinite,
        _ if exponent < EXPONENT_MIN => Magnitude::Zero,
        _ => Magnitude::Finite { mantissa, exponent },
    }
}

/// Digits with a point and an exponent, in base 10 (`e`, of ten) or 16 (`p`, of two).
fn parse_digits(text: &[u8], base: u32) -> Option<Magnitude> {
    let mark = if base == 10 { b'e' } else { b'p' };
    let (digits, exponent) = match text.iter().position(|&byte| byte == mark) {
        Some(at) => (&text[..at], parse_exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let mut value = Natural::from(0);
    let mut seen = false;
    let mut decimals: Option<i64> = None;
    for &byte in digits {
        if byte == b'.' && decimals.is_none() {
            decimals = Some(0);
            continue;
        }
        value.multiply_add(base, char::from(byte).to_digit(base)?);
        seen = true;
        decimals = decimals.map(|count| count + 1);
    }
    if !seen {
        return None;
    }
    if value.is_zero() {
        return Some(Magnitude::Zero);
    }
    let decimals = decimals.unwrap_or(0);
    let magnitude = if base == 10 {
        from_decimal(value, exponent - decimals)?
    } else {
        let exponent = i32::try_from(exponent - 4 * decimals).ok()?;
        value.round(exponent)
    };
    matches!(magnitude, Magnitude::Finite { .. }).then_some(magnitude)
}

fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0i64, |value, digit| {
        (value * 10 + i64::from(digit - b'0')).min(1_000_000)
    });
    Some(if negative { -value } else { value })
}

/// `digits * 10^exponent`.
fn from_decimal(mut digits: Natural, exponent: i64) -> Option<Magnitude> {
    if exponent.abs() > DECIMAL_EXPONENT_MAX {
        return None;
    }
    let mut power = Natural::from(1);
    for _ in 0..exponent.abs() {
        power.multiply_add(10, 0);
    }
    if exponent >= 0 {
        for _ in 0..exponent {
            digits.multiply_add(10, 0);
        }
        return Some(digits.round(0));
    }
    // The quotient gets 100 bits or one less: more than a mantissa, and less than 128.
    const QUOTIENT_BITS: i64 = 100;
    let shift = QUOTIENT_BITS - 1 + power.bits() as i64 - digits.bits() as i64;
    match shift {
        0.. => digits.shift_left(shift as usize),
        _ => power.shift_left(shift.unsigned_abs() as usize),
    }
    let (quotient, exact) = digits.divide(power, QUOTIENT_BITS as usize);
    let sticky = u128::from(!exact);
    Some(round(
        quotient << 1 | sticky,
        i32::try_from(-shift - 1).ok()?,
    ))
}

/// A natural number of any size: digits of 32 bits, the lowest first, the highest not zero.
#[derive(Clone, Debug)]
struct Natural(Vec<u32>);

impl From<u128> for Natural {
    fn from(value: u128) -> Natural {
        let mut digits: Vec<u32> = (0..4).map(|at| (value >> (32 * at)) as u32).collect();
        while digits.last() == Some(&0) {
            digits.pop();
        }
        Natural(digits)
    }
}

impl Natural {
    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn bits(&self) -> usize {
        match self.0.last() {
            Some(top) => 32 * self.0.len() - top.leading_zeros() as usize,
            None => 0,
        }
    }

    fn multiply_add(&mut self, factor: u32, summand: u32) {
        let mut carry = u64::from(summand);
        for digit in &mut self.0 {
            carry += u64::from(*digit) * u64::from(factor);
            *digit = carry as u32;
            carry >>= 32;
        }
        if carry != 0 {
            self.0.push(carry as u32);
        }
    }

    fn shift_left(&mut self, bits: usize) {
        self.multiply_add(1 << (bits % 32), 0);
        if !self.is_zero() {
            self.0.splice(0..0, std::iter::repeat_n(0, bits / 32));
        }
    }

    fn halve(&mut self) {
        let mut carry = 0;
        for digit in self.0.iter_mut().rev() {
            let low = *digit & 1;
            *digit = *digit >> 1 | carry << 31;
            carry = low;
        }
        self.trim();
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn is_less_than(&self, other: &Natural) -> bool {
        let by_length = self.0.len().cmp(&other.0.len());
        by_length
            .then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
            .is_lt()
    }

    /// Subtracts what is not larger.
    fn subtract(&mut self, other: &Natural) {
        let mut borrow = 0;
        for (at, digit) in self.0.iter_mut().enumerate() {
            let difference = i64::from(*digit) - i64::from(*other.0.get(at).unwrap_or(&0)) - borrow;
            *digit = difference as u32;
            borrow = i64::from(difference < 0);
        }
        self.trim();
    }

    /// The quotient, known to be below `2^bits`, and whether nothing is left over.
    fn divide(mut self, mut divisor: Natural, bits: usize) -> (u128, bool) {
        divisor.shift_left(bits);
        let mut quotient = 0u128;
        for _ in 0..=bits {
            quotient <<= 1;
            if !self.is_less_than(&divisor) {
                self.subtract(&divisor);
                quotient |= 1;
            }
            divisor.halve();
        }
        (quotient, self.is_zero())
    }

    /// This times `2^exponent`, rounded.
    fn round(mut self, exponent: i32) -> Magnitude {
        let mut exponent = i64::from(exponent);
        let mut sticky = false;
        // Whole digits below the top four only say whether something is there.
        let surplus = self.0.len().saturating_sub(3);
        for digit in self.0.drain(..surplus) {
            sticky |= digit != 0;
        }
        exponent += 32 * surplus as i64;
        let top = self.0.iter().rev();
        let value = top.fold(0u128, |value, &digit| value << 32 | u128::from(digit));
        let exponent = exponent.clamp(-100_000, 100_000) as i32;
        round(value << 1 | u128::from(sticky), exponent - 1)
    }

    fn to_decimal(&self) -> Vec<u8> {
        let mut rest = self.clone();
        let mut groups = Vec::new();
        while !rest.is_zero() {
            let mut remainder = 0u64;
            for digit in rest.0.iter_mut().rev() {
                remainder = remainder << 32 | u64::from(*digit);
                *digit = (remainder / 1_000_000_000) as u32;
                remainder %= 1_000_000_000;
            }
            rest.trim();
            groups.push(remainder);
        }
        let Some(first) = groups.pop() else {
            return b"0".to_vec();
        };
        let mut text = first.to_string();
        for group in groups.iter().rev() {
            text.push_str(&format!("{group:09}"));
        }
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_are_canonical() {
        let good = [
            ("0", 0),
            ("-1", -1),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ];
        for (text, value) in good {
            assert_eq!(parse_integer(text.as_bytes()), Some(value));
        }
        let bad = [
            "",
            "-",
            "+1",
            "01",
            "-0",
            " 1",
            "1 ",
            "1.0",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
            "1e3",
        ];
        for text in bad {
            assert_eq!(parse_integer(text.as_bytes()), None, "{text}");
        }
    }

    fn sum(a: &str, b: &str) -> Option<String> {
        let a = LongDouble::parse(a.as_bytes()).expect(a);
        let b = LongDouble::parse(b.as_bytes()).expect(b);
        a.add(b)
            .map(|sum| String::from_utf8(sum.to_text()).expect("ASCII"))
    }

    /// Answers of redis-server 7.0 on x86-64.
    #[test]
    fn sums_are_those_of_redis() {
        for (a, b, expected) in SUMS {
            assert_eq!(sum(a, b).as_deref(), Some(*expected), "{a} + {b}");
        }
        assert_eq!(sum("inf", "1"), None);
        assert_eq!(sum("1e4932", "1e4932"), None);
    }

    const SUMS: &[(&str, &str, &str)] = &[
        ("10.50", "0.1", "10.6"),
        ("5.0e3", "200", "5200"),
        ("0", "-0", "0"),
        ("-0.5", "0.5", "0"),
        ("0x10", "1", "17"),
        ("1024.067426931", "0", "1024.06742693099999997"),
        ("0.1", "0.2", "0.3"),
        ("3.0", "1.1e-3", "3.0011"),
        (
            "123456789.123456789",
            "0.000000001",
            "123456789.12345678999554366",
        ),
        ("1e-18", "0", "0"),
        ("5e-18", "0", "0"),
        ("15e-18", "0", "0.00000000000000002"),
        ("-1e-20", "0", "0"),
        ("1e30", "-1e-17", "1000000000000000000024696061952"),
        ("18446744073709551615", "0.5", "18446744073709551616"),
        ("18446744073709551616", "1", "18446744073709551616"),
        ("1.0000000000000000001", "1", "2"),
        ("-3.14159", "1e2", "96.85841"),
        ("0x1.8p3", "0", "12"),
        (".5", "5.", "5.5"),
        ("+1.5", "+1", "2.5"),
        ("99999999999999999999", "0.01", "100000000000000000000"),
        ("0x1p-20", "0", "0.00000095367431641"),
        (
            "-0.9478653606090632",
            "7243.628666754276",
            "7242.68080139366693659",
        ),
        (
            "3.656889169125855e-12",
            "0.3749565844198488",
            "0.37495658442350569",
        ),
        (
            "-6.985542357461894e-12",
            "-59110.50607898916",
            "-59110.50607898916698346",
        ),
        (
            "94744970.07074875",
            "0.5771029486174987",
            "94744970.64785169861715985",
        ),
        (
            "9.7625510559292e-12",
            "2.8960928633167626e-09",
            "0.00000000290585541",
        ),
        (
            "57091.36896467344",
            "103055.71244359136",
            "160147.08140826480000385",
        ),
        (
            "37239.754272573125",
            "5643682.931333867",
            "5680922.68560644012495686",
        ),
        (
            "49641.44951134918",
            "-77.7228774980807",
            "49563.7266338510993009",
        ),
        (
            "-3.6158235594456636e-06",
            "6.989944337295714e-06",
            "0.00000337412077785",
        ),
        (
            "5744.23710258671",
            "-87513749557.3429",
            "-87513743813.1057974174618721",
        ),
        (
            "-2.8793776489018654e-11",
            "5.119328306475491e-08",
            "0.00000005116448929",
        ),
        (
            "-151.98453466050478",
            "-39207257.04743766",
            "-39207409.03197232050297316",
        ),
        (
            "764570.8662128131",
            "-0.03401223621911955",
            "764570.83220057688089355",
        ),
        (
            "-57.98952042824922",
            "8.399677805125415e-05",
            "-57.98943643147116874",
        ),
        (
            "-6.970420678269282e-11",
            "0.0007311593346408904",
            "0.00073115926493668",
        ),
        (
            "-0.28459553209414923",
            "-2.256292805558857",
            "-2.54088833765300623",
        ),
        (
            "-1.6804837890654457e-10",
            "-58954419331.3104",
            "-58954419331.31040000170469284",
        ),
        (
            "-1.2934022201868423e-06",
            "-390949703133227.06",
            "-390949703133227.05999755859375",
        ),
        (
            "-8.058130120013862",
            "-5.494399091440374e-09",
            "-8.05813012550826109",
        ),
        (
            "-8.639844696985152e-05",
            "-986467081.0011861",
            "-986467081.00127249845536426",
        ),
        (
            "-9.577312039639913e-09",
            "1.7621772849037033e-06",
            "0.00000175259997286",
        ),
        (
            "1206305984379.885",
            "2.627466192985379e-13",
            "1206305984379.88499999046325684",
        ),
        (
            "0.041894650112532794",
            "-9530979255.250954",
            "-9530979255.20905935019254684",
        ),
        (
            "456643722202874.75",
            "-0.3980696305556508",
            "456643722202874.3519287109375",
        ),
        (
            "0.4815228181651947",
            "1.9060953756680787e-07",
            "0.48152300877473227",
        ),
    ];

    #[test]
    fn what_strtold_refuses_is_refused() {
        for text in [
            "", ".", "e1", "1e", "1e+", "nan", " 1", "1 ", "1e5000", "1e-6000", "--1", "1.2.3",
        ] {
            assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn integers_add_as_integers(a in -(1i64 << 62)..1 << 62, b in -(1i64 << 62)..1 << 62) {
            prop_assert_eq!(sum(&a.to_string(), &b.to_string()), Some((a + b).to_string()));
        }

        #[test]
        fn short_decimals_come_back(a in 0u64..64, b in 1u64..1_000_000_000) {
            let text = format!("{a}.{:09}", b);
            let trimmed = text.trim_end_matches('0');
            prop_assert_eq!(sum(&text, "0"), Some(trimmed.to_string()));
        }
    }
}
