//! A logarithm in integers: floating point differs between platforms, an order must not.

/// Bits after the point.
const FRACTION: u32 = 32;

/// -log2((x + 1) / 2^64) in fixed point with 32 bits after the point: 0 for the largest `x`,
/// 64.0 for zero.
pub(super) fn surprise(x: u64) -> u64 {
    let Some(number) = x.checked_add(1) else { return 0 };
    (64 << FRACTION) - log2(number)
}

/// log2 of a number above zero: the whole part by counting bits, then one bit of the fraction for
/// each squaring of the mantissa, which doubles its logarithm.
fn log2(number: u64) -> u64 {
    let whole = number.ilog2();
    // In [1, 2), with 63 bits after the point.
    let mut mantissa = number << (63 - whole);
    let mut result = u64::from(whole);
    for _ in 0..FRACTION {
        let square = (u128::from(mantissa) * u128::from(mantissa)) >> 63;
        let carry = square >> 64;
        result = result << 1 | u64::from(carry != 0);
        mantissa = u64::try_from(square >> carry).expect("halved when it reached 2");
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_agrees_with_floating_point() {
        for number in [1, 2, 3, 7, 10, 1000, 1 << 40, (1 << 52) + 12345, u64::MAX >> 11] {
            #[expect(clippy::cast_precision_loss, reason = "the numbers fit 53 bits")]
            let (exact, fixed) =
                ((number as f64).log2(), log2(number) as f64 / (1u64 << 32) as f64);
            assert!((exact - fixed).abs() < 1e-8, "{number}: {exact} and {fixed}");
        }
    }

    #[test]
    fn a_larger_number_is_never_more_surprising() {
        let mut last = u64::MAX;
        for step in 0..=1000u64 {
            let next = surprise(step * (u64::MAX / 1000));
            assert!(next <= last);
            last = next;
        }
        assert_eq!((surprise(0), surprise(u64::MAX)), (64 << FRACTION, 0));
    }
}
