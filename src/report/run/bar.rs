//! Parts of a whole as words, and as a line of blocks.

use crate::{
    bill_parts::{Part, whole},
    number::share,
};

/// What the parts are drawn with, each one different from the next also without colours.
const MARKS: [char; 6] = ['█', '▓', '▒', '░', '▚', '·'];
/// Characters of the whole.
const WIDTH: usize = 60;

/// The parts with their shares.
pub(super) fn words(text: &mut String, parts: &[Part]) {
    let all = whole(parts);
    let named = parts
        .iter()
        .map(|part| format!("{} {}", part.name, share(part.value, all)));
    put_line!(text, "  {}", named.collect::<Vec<_>>().join(", "));
}

/// The same below a line of blocks.
pub(super) fn drawn(text: &mut String, parts: &[Part]) {
    let all = whole(parts);
    let marks = || MARKS.iter().cycle();
    let widths = widths(parts, all).into_iter().zip(marks());
    let bar: String = widths
        .map(|(width, mark)| mark.to_string().repeat(width))
        .collect();
    put_line!(text, "  {bar}");
    let legend = parts
        .iter()
        .zip(marks())
        .map(|(part, mark)| format!("{mark} {} {}", part.name, share(part.value, all)));
    put_line!(text, "  {}", legend.collect::<Vec<_>>().join("  "));
}

/// Characters of each part, together as many as there are: each ends where the sum until then does.
fn widths(parts: &[Part], all: f64) -> Vec<usize> {
    let (mut sum, mut drawn) = (0.0, 0);
    let mut widths = Vec::new();
    for part in parts {
        sum += part.value;
        let end = (sum / all * WIDTH as f64).round() as usize;
        widths.push(end - drawn);
        drawn = end;
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(values: &[(&str, f64)]) -> Vec<Part> {
        let part = |(name, value): &(&str, f64)| Part {
            name: (*name).to_owned(),
            value: *value,
            is_unexplained: false,
        };
        values.iter().map(part).collect()
    }

    #[test]
    fn a_bar_has_one_length_and_its_legend_the_numbers() {
        let parts = parts(&[
            ("virt-controller", 610.0),
            ("virt-api", 386.0),
            ("kubelet", 4.0),
        ]);
        let (mut text, mut plain) = (String::new(), String::new());
        drawn(&mut text, &parts);
        words(&mut plain, &parts);
        insta::assert_snapshot!(text, @r"
          █████████████████████████████████████▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓
          █ virt-controller 61.0 %  ▓ virt-api 38.6 %  ▒ kubelet 0.4 %
        ");
        assert_eq!(
            plain,
            "  virt-controller 61.0 %, virt-api 38.6 %, kubelet 0.4 %\n"
        );
        let widths = widths(&parts, whole(&parts));
        assert_eq!((widths.iter().sum::<usize>(), widths.len()), (WIDTH, 3));
    }
}
