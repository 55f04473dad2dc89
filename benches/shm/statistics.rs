//! Medians, and what is too restless to have one.

/// The value with so much of all values below it.
pub(crate) fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * part) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

/// The median of the blocks' own ratios.
pub(crate) fn ratio(ours: &[f64], baseline: &[f64]) -> f64 {
    let mut ratios: Vec<_> = ours.iter().zip(baseline).map(|(ours, baseline)| ours / baseline).collect();
    median(&mut ratios)
}

/// Whether a baseline's blocks differ by more than a factor of two, the outermost
/// tenths left out.
pub(crate) fn is_noise(baseline: &[f64]) -> bool {
    let mut values = baseline.to_vec();
    quantile(&mut values, 0.9) > 2.0 * quantile(&mut values, 0.1)
}

/// A ratio for people.
pub(crate) fn shown(ours: &[f64], baseline: &[f64]) -> String {
    let noise = if is_noise(baseline) { "  noise" } else { "" };
    format!("{:.3}{noise}", ratio(ours, baseline))
}
