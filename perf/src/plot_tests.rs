use super::*;

#[test]
fn an_axis_has_whole_powers_of_ten_around_its_values() {
    let axis = Axis::new([3.0, 250.0].into_iter(), 0.0, 300.0);
    assert_eq!((axis.first, axis.last), (0, 3));
    assert_eq!(axis.place(10.0), 100.0);
    assert_eq!(axis.place(1000.0), 300.0);
    let marks: Vec<_> = axis.marks().map(|(_, words)| words).collect();
    assert_eq!(marks, ["1", "10", "100", "1000"]);
    assert_eq!(Axis::new([0.02].into_iter(), 0.0, 1.0).marks().next().unwrap().1, "0.01");
    // Nothing, or one value, still makes an axis.
    assert!(Axis::new([].into_iter(), 0.0, 1.0).place(5.0).is_finite());
    assert!(Axis::new([10.0].into_iter(), 0.0, 1.0).place(10.0).is_finite());
}

#[test]
fn what_cannot_be_on_a_logarithmic_axis_is_left_out() {
    let points = vec![(1.0, 0.0), (0.0, 1.0), (f64::NAN, 1.0), (2.0, f64::INFINITY), (5.0, 50.0)];
    let curves = vec![Curve { name: "a < b & c".to_owned(), points }];
    let svg = Plot { title: "t".to_owned(), x: "x".to_owned(), y: "y".to_owned(), curves }.svg();
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    assert!(svg.contains("a &lt; b &amp; c"), "{svg}");
    // One point, and one in the legend.
    assert_eq!(svg.matches("<circle").count(), 2, "{svg}");
}

#[test]
fn the_longest_bar_is_of_the_greatest_value() {
    let bar = |name: &str, value: f64| (name.to_owned(), value, format!("{value}"));
    let svg = bars("t", &[bar("a", 1.0), bar("b", 4.0), bar("c", 2.0)]);
    let widths: Vec<f64> =
        svg.split("width=\"").skip(2).map(|rest| rest.split('"').next().unwrap().parse().unwrap()).collect();
    assert_eq!(widths, [137.5, 550.0, 275.0]);
}
