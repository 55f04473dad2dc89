use super::*;

#[test]
fn a_quantile_is_a_value_that_was_seen() {
    let mut values: Vec<f64> = (1..=1000).rev().map(f64::from).collect();
    assert_eq!(quantile(&mut values, 0.5), 501.0);
    assert_eq!(quantile(&mut values, 0.99), 991.0);
    assert_eq!(quantile(&mut values, 0.999), 1000.0);
    assert_eq!(quantile(&mut values, 1.0), 1000.0);
    assert_eq!(quantile(&mut values, 0.0), 1.0);
    assert_eq!(quantile(&mut [7.0], 0.999), 7.0);
    assert!(median(&[]).is_nan());
}

#[test]
fn the_ratio_is_of_blocks_not_of_medians() {
    // Both got slower together: each block says 2, the medians say otherwise.
    let (baseline, ours) = ([1.0, 10.0, 3.0], [2.0, 20.0, 6.0]);
    assert_eq!(ratio(&ours, &baseline), 2.0);
    assert_eq!(ratio(&[8.0, 20.0, 3.0], &baseline), 2.0);
}

#[test]
fn noise_is_a_spread_over_two_without_the_outer_tenths() {
    assert!(!is_noise(&[1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 99.0]));
    assert!(is_noise(&[1.0, 1.0, 1.0, 1.0, 1.5, 1.5, 1.5, 2.1, 2.2, 2.3, 2.4]));
    assert!(!is_noise(&[1.0; 5]));
}

#[test]
fn fairness_is_one_for_equals_and_a_part_for_one_of_many() {
    assert_eq!(fairness(&[3.0; 10]), 1.0);
    assert_eq!(fairness(&[5.0, 0.0, 0.0, 0.0]), 0.25);
    assert!((fairness(&[1.0, 2.0, 3.0]) - 36.0 / 42.0).abs() < 1e-12);
}
