//! Probabilities from logits.

/// `exp(x) / Σ exp(x)`, safe against overflow. The inputs are finite.
pub(crate) fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|&logit| f64::from(logit - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    #[expect(clippy::cast_possible_truncation, reason = "rounding to the precision of the model is wanted")]
    powers.iter().map(|power| (power / sum) as f32).collect()
}

/// The index of the largest value, the first of equal ones. None of nothing.
pub(crate) fn argmax(values: &[f32]) -> Option<usize> {
    let mut best = None;
    for (index, &value) in values.iter().enumerate() {
        if best.is_none_or(|(_, largest)| value > largest) {
            best = Some((index, value));
        }
    }
    best.map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_sum_to_one_whatever_the_size_of_the_logits() {
        assert_eq!(softmax(&[0.0, 0.0]), [0.5, 0.5]);
        assert_eq!(softmax(&[1e38, -1e38]), [1.0, 0.0]);
        // scipy.special.softmax([1, 2, 3])
        let expected = [0.090_030_57, 0.244_728_47, 0.665_240_94];
        for (found, expected) in softmax(&[1.0, 2.0, 3.0]).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-7, "{found} {expected}");
        }
    }

    #[test]
    fn argmax_takes_the_first_of_equal_values() {
        assert_eq!(argmax(&[1.0, 3.0, 3.0]), Some(1));
        assert_eq!(argmax(&[]), None);
    }
}
