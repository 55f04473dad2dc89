//! Medians, and what is too restless to have one.

/// The value with so much of all values below it; sorts them.
pub fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * part) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// The middle one, the upper of two; NaN of none.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    quantile(&mut values.to_vec(), 0.5)
}

/// The median of the blocks' own ratios.
#[must_use]
pub fn ratio(ours: &[f64], baseline: &[f64]) -> f64 {
    let ratios: Vec<_> = ours.iter().zip(baseline).map(|(ours, baseline)| ours / baseline).collect();
    median(&ratios)
}

/// Whether a baseline's blocks differ by more than a factor of two, the outermost
/// tenths left out.
#[must_use]
pub fn is_noise(baseline: &[f64]) -> bool {
    let mut values = baseline.to_vec();
    quantile(&mut values, 0.9) > 2.0 * quantile(&mut values, 0.1)
}

/// How evenly a whole is shared: 1 if all have the same, 1/n if one has it all
/// (Jain, Chiu, Hawe 1984).
#[must_use]
pub fn fairness(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    sum * sum / (shares.len() as f64 * squares)
}

#[cfg(test)]
#[path = "statistics_tests.rs"]
mod tests;
