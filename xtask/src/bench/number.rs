//! Numbers as people read them.

/// A number with three digits that count, or all before the point, in groups of three.
pub(super) fn figure(value: f64) -> String {
    if value >= 100.0 || value == 0.0 {
        return grouped(value.round() as u64);
    }
    three_digits(value)
}

/// A ratio, with three digits or fewer.
pub(super) fn ratio(value: f64) -> String {
    if value >= 100.0 {
        return grouped(value.round() as u64);
    }
    if value >= 0.1 {
        return format!("{value:.2}");
    }
    three_digits(value)
}

fn three_digits(value: f64) -> String {
    match value {
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        0.01.. => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    }
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_grouped_and_small_ones_keep_their_digits() {
        let numbers = [0.0, 0.0421, 2.5, 93.0, 999.6, 69_000.4, 1_234_567.0].map(figure);
        assert_eq!(numbers, ["0", "0.042", "2.50", "93.0", "1,000", "69,000", "1,234,567"]);
    }

    #[test]
    fn ratios_are_short() {
        assert_eq!(
            [0.0046, 0.0432, 0.5, 2.456, 31.2, 123.4].map(ratio),
            ["0.0046", "0.043", "0.50", "2.46", "31.20", "123"]
        );
    }
}
