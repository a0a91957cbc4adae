//! Axes: round tick values that cover the data, positions on the page, and numbers as people read them.

/// A scale from values to positions, linear or logarithmic.
#[derive(Debug, Clone)]
pub struct Axis {
    low: f64,
    high: f64,
    log: bool,
    from: f64,
    to: f64,
    /// Values at which there is a tick, within the data's range.
    pub ticks: Vec<f64>,
}

impl Axis {
    /// Covers `values` with round numbers; position `from` is the low end, `to` the high end. About `wanted` ticks.
    pub fn round(values: impl Iterator<Item = f64>, [from, to]: [f64; 2], wanted: usize) -> Self {
        let (low, high) = extent(values);
        let step = round_step((high - low) / wanted.max(1) as f64);
        let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
        Self {
            low,
            high,
            log: false,
            from,
            to,
            ticks: multiples(low, high, step),
        }
    }

    /// Covers `values` exactly, ticks at the round numbers inside.
    pub fn exact(values: impl Iterator<Item = f64>, [from, to]: [f64; 2], wanted: usize) -> Self {
        let (low, high) = extent(values);
        let step = round_step((high - low) / wanted.max(1) as f64);
        Self {
            low,
            high,
            log: false,
            from,
            to,
            ticks: multiples((low / step).ceil() * step, high, step),
        }
    }

    /// From zero to one, for shares.
    pub fn unit([from, to]: [f64; 2]) -> Self {
        Self {
            low: 0.0,
            high: 1.0,
            log: false,
            from,
            to,
            ticks: multiples(0.0, 1.0, 0.25),
        }
    }

    /// Logarithmic over whole powers of ten, for values that span several of them; `None` where a value is not positive.
    pub fn logarithmic(values: &[f64], [from, to]: [f64; 2]) -> Option<Self> {
        if values.is_empty() || values.iter().any(|value| *value <= 0.0) {
            return None;
        }
        let (low, high) = extent(values.iter().copied());
        let (low, high) = (low.log10().floor(), high.log10().ceil());
        let (low, high) = (low, if high > low { high } else { low + 1.0 });
        let every = ((high - low) / 5.0).ceil().max(1.0);
        let ticks = multiples(low, high, every).into_iter();
        Some(Self {
            low,
            high,
            log: true,
            from,
            to,
            ticks: ticks.map(|power| 10f64.powf(power)).collect(),
        })
    }

    /// Logarithmic from the smallest to the largest value, ticks at the powers of ten inside; `None` where a value is not
    /// positive or there are not two.
    pub fn powers(values: impl Iterator<Item = f64>, [from, to]: [f64; 2]) -> Option<Self> {
        let values: Vec<f64> = values.collect();
        let (low, high) = extent(values.iter().copied());
        if values.iter().any(|value| *value <= 0.0) || values.iter().all(|value| *value == low) {
            return None;
        }
        let (low, high) = (low.log10(), high.log10());
        let ticks = multiples(low.ceil(), high, 1.0).into_iter();
        Some(Self {
            low,
            high,
            log: true,
            from,
            to,
            ticks: ticks.map(|power| 10f64.powf(power)).collect(),
        })
    }

    /// Where a value stands, to a tenth of a unit.
    pub fn at(&self, value: f64) -> f64 {
        let value = if self.log { value.log10() } else { value };
        let share = (value - self.low) / (self.high - self.low);
        let position = self.from + share.clamp(0.0, 1.0) * (self.to - self.from);
        (position * 10.0).round() / 10.0
    }

    /// The text of a tick: as many decimals as tell it from its neighbour.
    pub fn label(&self, tick: f64) -> String {
        if self.log {
            return number(tick);
        }
        let step = match self.ticks.as_slice() {
            [first, second, ..] => second - first,
            _ => return number(tick),
        };
        if step < 1e-4 {
            return number(tick);
        }
        let decimals = (-step.log10() - 1e-9).ceil().clamp(0.0, 4.0) as usize;
        // A quarter needs one decimal more than its size says.
        let plain = (step * 10f64.powi(decimals as i32)).fract();
        let decimals = decimals + usize::from(plain > 1e-6 && plain < 1.0 - 1e-6);
        let tick = if tick.abs() < step / 2.0 { 0.0 } else { tick };
        grouped(&format!("{tick:.decimals$}"))
    }
}

/// Smallest and largest finite value, a little apart where they are one.
fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = values.filter(|value| value.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    match (low <= high, low < high) {
        (false, _) => (0.0, 1.0),
        (true, true) => (low, high),
        (true, false) => {
            let room = (low.abs() / 2.0).max(if low == 0.0 { 1.0 } else { 0.0 });
            (low - room, high + room)
        }
    }
}

/// The round number (1, 2, 2.5 or 5 times a power of ten) at or above `rough`.
fn round_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.max(f64::MIN_POSITIVE).log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
    let enough = steps.iter().find(|step| *step * power >= rough * 0.999_999);
    enough.unwrap_or(&10.0) * power
}

/// Multiples of `step` from `low` to `high`, both included up to rounding.
fn multiples(low: f64, high: f64, step: f64) -> Vec<f64> {
    let count = ((high - low) / step + 1e-6).floor().clamp(0.0, 50.0) as usize;
    (0..=count).map(|i| low + i as f64 * step).collect()
}

/// A number in about four significant digits.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "not a number".into();
    }
    if value == 0.0 {
        return "0".into();
    }
    let size = value.abs();
    if !(1e-4..1e7).contains(&size) {
        let text = format!("{value:.3e}");
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}e{power}", trimmed(digits));
    }
    if value.fract() == 0.0 {
        return grouped(&format!("{value:.0}"));
    }
    let decimals = (3 - size.log10().floor() as i32).clamp(0, 7) as usize;
    let text = format!("{value:.decimals$}");
    // Zeros that came from rounding say how exact the number is.
    let whole = text.parse() == Ok(value);
    grouped(if whole { trimmed(&text) } else { &text })
}

/// A share as a percentage.
pub fn percent(value: f64) -> String {
    format!("{:.1} %", 100.0 * value)
}

/// Seconds as people say them.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 60.0 => format!("{s:.0} s"),
        s if s < 3600.0 => format!(
            "{:.0} min {:02.0} s",
            (s / 60.0).floor(),
            (s % 60.0).floor()
        ),
        s => format!(
            "{:.0} h {:02.0} min",
            (s / 3600.0).floor(),
            (s % 3600.0 / 60.0).floor()
        ),
    }
}

fn trimmed(digits: &str) -> &str {
    match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.'),
        false => digits,
    }
}

/// A comma between thousands, from five digits on, and a true minus sign.
fn grouped(text: &str) -> String {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => ("\u{2212}", rest),
        None => ("", text),
    };
    let (whole, rest) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let mut out = sign.to_owned();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && whole.len() > 4 && (whole.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_data() {
        let axis = Axis::round([0.13, 4.62].into_iter(), [100.0, 0.0], 5);
        assert_eq!(axis.ticks, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(
            (axis.at(0.0), axis.at(5.0), axis.at(2.5)),
            (100.0, 0.0, 50.0)
        );
        assert_eq!(axis.label(3.0), "3");
        let small = Axis::round([0.0, 0.001].into_iter(), [0.0, 1.0], 4);
        let labels: Vec<String> = small.ticks.iter().map(|tick| small.label(*tick)).collect();
        assert_eq!(
            labels,
            ["0", "0.00025", "0.00050", "0.00075", "0.00100"].map(|l| if l == "0" {
                "0.00000".into()
            } else {
                l.to_owned()
            })
        );
    }

    #[test]
    fn one_value_and_no_value_have_an_axis_too() {
        for values in [vec![], vec![3.0], vec![0.0], vec![f64::NAN]] {
            let axis = Axis::round(values.into_iter(), [0.0, 10.0], 4);
            assert!(axis.ticks.len() >= 2, "{axis:?}");
            assert!(axis.ticks.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn powers_of_ten_where_values_span_them() {
        let axis = Axis::logarithmic(&[0.02, 450.0], [0.0, 50.0]);
        let ticks = axis.map(|axis| axis.ticks);
        let expected = [0.01, 0.1, 1.0, 10.0, 100.0, 1000.0];
        let near = |got: Vec<f64>| {
            got.iter()
                .zip(expected)
                .all(|(a, b)| (a / b - 1.0).abs() < 1e-9)
        };
        assert!(ticks.is_some_and(|ticks| ticks.len() == 6 && near(ticks)));
        assert!(Axis::logarithmic(&[0.0, 1.0], [0.0, 1.0]).is_none());
    }

    #[test]
    fn numbers_are_short_and_honest() {
        for (value, expected) in [
            (0.0, "0"),
            (0.512_34, "0.5123"),
            (7.799_6, "7.800"),
            (-1.5, "\u{2212}1.5"),
            (2.5e-4, "0.00025"),
            (2.5e-7, "2.5e-7"),
            (12345.0, "12,345"),
            (1234.0, "1234"),
            (123456.789, "123,457"),
            (3e9, "3e9"),
        ] {
            assert_eq!(number(value), expected);
        }
        assert_eq!(
            (percent(0.6123), duration(83.4)),
            ("61.2 %".into(), "1 min 23 s".into())
        );
    }
}
