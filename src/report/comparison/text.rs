//! A comparison for people: on a terminal, and in a pull request.

use crate::{
    budgets::cost_name::is_cost_name,
    comparison::{
        ranking::{folded, shown},
        tolls,
    },
    history::text::including,
    number::{detailed, signed},
    text::{align_right, table},
};
use record::{
    Comparison, GroupInfo, Kept, Learned, LimitVerdict, MetricComparison, ScenarioComparison,
    Verdict,
};

/// Runs of a group that are named one by one.
const NAMED: usize = 3;

/// Text for a terminal. Without `all`, metrics that don't differ are only counted.
pub fn text(found: &Comparison, all: bool) -> String {
    let mut text = String::new();
    put_line!(text, "A  {}", group(&found.a));
    put_line!(text, "B  {}", group(&found.b));
    for warning in warnings(found) {
        put_line!(text, "{warning}");
    }
    for scenario in &found.scenarios {
        put_line!(text, "\n{}", title(scenario));
        let mut head = vec!["METRIC", "A", "B", "DIFFERENCE", "", "PER OBJECT"];
        head.extend(tolls::are_known(scenario).then_some("TOLLS"));
        let numbers: Vec<usize> = (1..head.len()).collect();
        head.push("VERDICT");
        let mut table = table(&head);
        for metric in shown(scenario, all) {
            table.add_row(cells(metric, scenario, found.alpha));
        }
        align_right(&mut table, &numbers);
        if !table.is_empty() {
            table.put(&mut text, "  ");
        }
        for line in tolls::left_out(scenario)
            .into_iter()
            .chain(folded(scenario, all))
        {
            put_line!(text, "  {line}");
        }
        put_line!(text, "  {}", rest(scenario, all));
    }
    if !found.limits.is_empty() || found.learned.is_some() {
        text.push_str("\nLimits\n");
    }
    for limit in shown_limits(found, all) {
        let word = match limit.kept {
            Kept::Yes => "ok      ",
            Kept::No => "EXCEEDED",
            Kept::Unknown => "MISSING ",
        };
        put_line!(text, "  {word}  {}", limit_line(limit));
    }
    if let Some(learned) = &found.learned {
        put_line!(text, "  {}", learned_line(found, learned));
    }
    text
}

/// A comment for a pull request.
pub fn markdown(found: &Comparison, all: bool) -> String {
    let failed = found.limits.iter().filter(|limit| limit.kept != Kept::Yes);
    let verdict = match (failed.count(), found.limits.len(), &found.learned) {
        (0, 0, None) => String::new(),
        (0, 0, Some(_)) => ": no bound could be learned".to_owned(),
        (0, all, _) => format!(": {all} limits kept"),
        (failed, all, _) => format!(": {failed} of {all} limits not kept"),
    };
    let mut text = format!(
        "### API calls{verdict}\n\n**A**: {}\n**B**: {}\n",
        escaped(&group(&found.a)),
        escaped(&group(&found.b))
    );
    for warning in warnings(found) {
        put_line!(text, "\n> {}", escaped(&warning));
    }
    for scenario in &found.scenarios {
        put_line!(text, "\n**{}**", escaped(&title(scenario)));
        text.push('\n');
        let rows = shown(scenario, all);
        if !rows.is_empty() {
            let (head, line) = match tolls::are_known(scenario) {
                true => (" tolls |", " ---: |"),
                false => ("", ""),
            };
            put_line!(
                text,
                "| metric | A | B | difference | | per object |{head} verdict |"
            );
            put_line!(
                text,
                "| --- | ---: | ---: | ---: | ---: | ---: |{line} --- |"
            );
        }
        for metric in rows {
            let cells = cells(metric, scenario, found.alpha);
            let cells: Vec<String> = cells.iter().map(|cell| escaped(cell)).collect();
            put_line!(text, "| {} |", cells.join(" | "));
        }
        for line in tolls::left_out(scenario)
            .into_iter()
            .chain(folded(scenario, all))
        {
            put_line!(text, "\n{}", escaped(&line));
        }
        put_line!(text, "\n{}", rest(scenario, all));
    }
    markdown_limits(&mut text, found, all);
    text
}

fn markdown_limits(text: &mut String, found: &Comparison, all: bool) {
    let mut limits = shown_limits(found, all).peekable();
    if limits.peek().is_some() {
        text.push_str("\n| limit | |\n| --- | --- |\n");
    }
    for limit in limits {
        let word = match limit.kept {
            Kept::Yes => "ok",
            Kept::No => "**exceeded**",
            Kept::Unknown => "**missing**",
        };
        put_line!(text, "| {} | {word} |", escaped(&limit_line(limit)));
    }
    if let Some(learned) = &found.learned {
        put_line!(text, "\n{}", learned_line(found, learned));
    }
}

fn group(group: &GroupInfo) -> String {
    let origins: Vec<&str> = group.origins.iter().map(|origin| origin.as_str()).collect();
    let runs = match group.runs.len() {
        1 => "1 run".to_owned(),
        runs => format!("{runs} runs"),
    };
    let mut text = format!("{}: {runs}, {}", group.name, origins.join(" and "));
    if let Some(including) = including(group.not_valid) {
        put!(text, ", {including}");
    }
    if group.runs.len() <= NAMED && !group.runs.contains(&group.name) {
        put!(text, " ({})", group.runs.join(", "));
    }
    text
}

fn warnings(found: &Comparison) -> Vec<String> {
    let mut warnings = Vec::new();
    if found.mixed_origins {
        warnings.push(
            "NUMBERS OF DIFFERENT ORIGINS: estimates are up to a ninth above what they estimate, \
             and windows differ; the differences below are not changes of the software"
                .to_owned(),
        );
    } else if found.a.origins.iter().any(|origin| !origin.is_exact()) {
        warnings.push("estimates by Prometheus, no exact counts".to_owned());
    }
    for scenario in &found.not_compared {
        let name = or_none(scenario);
        warnings.push(format!(
            "not compared: scenario {name} is in one of them only"
        ));
    }
    warnings
}

fn or_none(name: &str) -> &str {
    if name.is_empty() { "(none)" } else { name }
}

fn title(scenario: &ScenarioComparison) -> String {
    let mut title = format!(
        "{}, {} against {}",
        or_none(&scenario.scenario),
        scenario.a_runs,
        scenario.b_runs
    );
    if scenario.per_object {
        title.push_str("; different numbers of objects, so counts are per object");
    } else if let Some(objects) = scenario.a_objects {
        put!(title, "; {objects} objects each");
    }
    title
}

fn shown_limits(found: &Comparison, all: bool) -> impl Iterator<Item = &LimitVerdict> {
    let many = |limit: &&LimitVerdict| limit.limit == "learned" && limit.kept == Kept::Yes;
    found.limits.iter().filter(move |limit| all || !many(limit))
}

/// How many metrics are not shown, and how many of the differences chance makes.
fn rest(scenario: &ScenarioComparison, all: bool) -> String {
    let count = |verdict: Verdict| {
        let metrics = scenario.metrics.iter();
        metrics.filter(|metric| metric.verdict == verdict).count()
    };
    let tested = count(Verdict::Differs) + count(Verdict::Noise);
    let mut text = format!(
        "{} metrics are equal in all runs, {} differ by no more than chance explains",
        count(Verdict::Equal),
        count(Verdict::Noise)
    );
    if !all && count(Verdict::Equal) + count(Verdict::Noise) > 0 {
        text.push_str(" (--all shows them)");
    }
    if tested > 0 {
        put!(text, "; {tested} were tested");
    }
    text
}

pub(crate) fn cells(
    metric: &MetricComparison,
    scenario: &ScenarioComparison,
    alpha: f64,
) -> Vec<String> {
    let runs = (scenario.a_runs, scenario.b_runs);
    let per_object = match (metric.a.per_object, metric.b.per_object) {
        (None, None) => String::new(),
        (a, b) => format!("{} -> {}", optional(a), optional(b)),
    };
    let mut cells = vec![
        tolls::named(&metric.metric),
        optional(metric.a.median),
        optional(metric.b.median),
        metric.difference.map_or_else(String::new, signed),
        metric
            .percent
            .map_or_else(String::new, |percent| format!("{percent:+.1} %")),
        per_object,
    ];
    cells.extend(tolls::are_known(scenario).then(|| tolls::cell(metric)));
    cells.push(format!(
        "{}{}",
        explained(metric, alpha),
        presence(metric, runs)
    ));
    cells
}

/// How many runs have a metric, if not all of a group or none.
fn presence(metric: &MetricComparison, runs: (usize, usize)) -> String {
    let sides = [(metric.a.runs, runs.0), (metric.b.runs, runs.1)];
    if sides.iter().all(|(with, all)| with == all || *with == 0) {
        return String::new();
    }
    let [(a, of_a), (b, of_b)] = sides;
    format!(" (in {a} of {of_a} and {b} of {of_b} runs)")
}

/// The verdict with what it rests on.
fn explained(metric: &MetricComparison, alpha: f64) -> String {
    let p = metric.p.unwrap_or(1.0);
    match metric.verdict {
        Verdict::Changed => "changed: all runs of A agree, all of B agree".to_owned(),
        Verdict::Differs => match metric.interval {
            Some([low, high]) => {
                format!(
                    "differs by {} to {}, {}",
                    signed(low),
                    signed(high),
                    p_text(p)
                )
            }
            None => format!("differs, {}", p_text(p)),
        },
        Verdict::Missing if is_cost_name(&metric.metric) => "not known in B".to_owned(),
        Verdict::New if is_cost_name(&metric.metric) => "not known in A".to_owned(),
        Verdict::Missing => "missing in B".to_owned(),
        Verdict::New => "new in B".to_owned(),
        Verdict::Unknown => format!(
            "unknown: {} against {} runs can't give p < {alpha}",
            metric.a.runs, metric.b.runs
        ),
        Verdict::Noise => format!("noise, {}", p_text(p)),
        Verdict::Equal => "equal".to_owned(),
    }
}

fn p_text(p: f64) -> String {
    if p < 0.0001 {
        "p < 0.0001".to_owned()
    } else {
        format!("p = {p:.4}")
    }
}

pub(crate) fn limit_line(limit: &LimitVerdict) -> String {
    let found = match limit.found {
        None if limit.meant.is_empty() => "missing".to_owned(),
        None if is_cost_name(&limit.metric) => format!("not known ({})", limit.meant),
        None => format!("no run has it ({})", limit.meant),
        Some(found) if found.is_infinite() => "a rise from 0".to_owned(),
        Some(found) if limit.allowed.ends_with('%') => format!("{} %", detailed(found)),
        Some(found) => detailed(found),
    };
    let of = if limit.scenario.is_empty() {
        String::new()
    } else {
        format!("{}: ", limit.scenario)
    };
    let name = if limit.limit == "learned" {
        &limit.metric
    } else {
        &limit.limit
    };
    format!("{of}{name}: {found}, allowed {}", limit.allowed)
}

/// What the false-alarm rate is, and for how many bounds.
fn learned_line(found: &Comparison, learned: &Learned) -> String {
    let mut line = format!(
        "learned from {}: {} bounds ({} of them equality), each with at most {:.2} % false alarms \
         if nothing changed, at least one of them with at most {:.0} %",
        found.a.name,
        learned.bounds,
        learned.equal,
        100.0 * learned.rate,
        100.0 * learned.rate_of_any
    );
    if learned.too_short > 0 {
        put!(
            line,
            "; {} metrics have no bound, for it takes {} runs since their last step",
            learned.too_short,
            learned.runs_needed
        );
    }
    line
}

fn optional(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), detailed)
}

/// What Markdown would take for a table's or a heading's own signs.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if "|<*_`[]\\".contains(letter) {
            escaped.push('\\');
        }
        escaped.push(if letter.is_control() { ' ' } else { letter });
    }
    escaped
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use record::{Origin, Side};

    fn metric(name: &str, a: f64, b: f64, verdict: Verdict) -> MetricComparison {
        let side = |value: f64| Side {
            runs: 3,
            median: Some(value),
            min: Some(value),
            max: Some(value),
            per_object: Some(value / 100.0),
            tolls: None,
        };
        MetricComparison {
            metric: name.to_owned(),
            a: side(a),
            b: side(b),
            difference: Some(b - a),
            percent: Some(100.0 * (b - a) / a),
            shift: Some(b - a),
            interval: None,
            p: Some(0.1),
            smallest_p: Some(0.1),
            verdict,
        }
    }

    fn limit(limit: &str, found: Option<f64>, kept: Kept) -> LimitVerdict {
        LimitVerdict {
            limit: limit.to_owned(),
            scenario: "vmi".to_owned(),
            metric: "PATCH-pods-count".to_owned(),
            found,
            allowed: "at most 5 %".to_owned(),
            kept,
            meant: String::new(),
        }
    }

    pub(crate) fn comparison() -> Comparison {
        let group = |name: &str| GroupInfo {
            name: name.to_owned(),
            runs: vec!["r1".to_owned(), "r2".to_owned(), "r3".to_owned()],
            not_valid: 0,
            origins: vec![Origin::Counted],
        };
        Comparison {
            a: group("kubevirt=v1|<b>"),
            b: group("kubevirt=v2"),
            mixed_origins: false,
            alpha: 0.01,
            scenarios: vec![ScenarioComparison {
                scenario: "vmi".to_owned(),
                a_runs: 3,
                b_runs: 3,
                a_objects: Some(100),
                b_objects: Some(100),
                per_object: false,
                a_unpriced: None,
                b_unpriced: None,
                metrics: vec![
                    metric("CREATE-pods-count", 100.0, 100.0, Verdict::Equal),
                    metric("GET-nodes-count", 30.0, 31.5, Verdict::Unknown),
                    metric("PATCH-pods-count", 201.0, 301.0, Verdict::Changed),
                ],
            }],
            not_compared: vec!["vm".to_owned()],
            limits: vec![
                limit("PATCH-pods>5%", Some(49.75), Kept::No),
                limit("GET-pods>5%", None, Kept::Unknown),
            ],
            learned: None,
            exit_code: 4,
        }
    }

    #[test]
    fn text_shows_what_differs_and_counts_the_rest() {
        insta::assert_snapshot!(text(&comparison(), false), @r"
        A  kubevirt=v1|<b>: 3 runs, counted (r1, r2, r3)
        B  kubevirt=v2: 3 runs, counted (r1, r2, r3)
        not compared: scenario vm is in one of them only

        vmi, 3 against 3; 100 objects each
          METRIC              A      B  DIFFERENCE             PER OBJECT  VERDICT
          PATCH-pods-count  201    301        +100  +49.8 %  2.01 -> 3.01  changed: all runs of A agree, all of B agree
          GET-nodes-count    30  31.50       +1.50   +5.0 %  0.3 -> 0.315  unknown: 3 against 3 runs can't give p < 0.01
          1 metrics are equal in all runs, 0 differ by no more than chance explains (--all shows them)

        Limits
          EXCEEDED  vmi: PATCH-pods>5%: 49.75 %, allowed at most 5 %
          MISSING   vmi: GET-pods>5%: missing, allowed at most 5 %
        ");
    }

    #[test]
    fn markdown_takes_no_sign_of_a_name_for_its_own() {
        let text = markdown(&comparison(), true);
        assert!(
            text.starts_with("### API calls: 2 of 2 limits not kept"),
            "{text}"
        );
        assert!(text.contains(r"kubevirt=v1\|\<b>"), "{text}");
        let row = "| PATCH-pods-count | 201 | 301 | +100 | +49.8 % | 2.01 -> 3.01 | changed";
        assert!(text.contains(row), "{text}");
        assert!(
            text.contains("| vmi: PATCH-pods>5%: 49.75 %, allowed at most 5 % | **exceeded** |")
        );
    }

    #[test]
    fn the_largest_effect_comes_first_and_what_is_missing_or_unknown_is_folded() {
        let mut found = comparison();
        let mut metrics = vec![metric("SMALL-count", 100.0, 101.0, Verdict::Differs)];
        let unknown = (0..12).map(|at| {
            let name = format!("U{at:02}-count");
            metric(&name, 100.0, 110.0 + f64::from(at), Verdict::Unknown)
        });
        metrics.extend(unknown);
        metrics.push(metric("LARGE-count", 100.0, 140.0, Verdict::Differs));
        for at in 0..7 {
            let mut gone = metric(&format!("M{at}-count"), 10.0, 10.0, Verdict::Missing);
            (gone.b.median, gone.difference, gone.percent) = (None, None, None);
            gone.a.median = Some(f64::from(at));
            metrics.push(gone);
        }
        found.scenarios[0].metrics = metrics;
        let text = text(&found, false);
        let rows: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .filter(|word| word.ends_with("-count"))
            .collect();
        assert_eq!(
            rows[..4],
            ["LARGE-count", "SMALL-count", "U11-count", "U10-count"]
        );
        assert_eq!(rows.len(), 12, "{text}");
        for line in [
            "  2 more differ by less, and the runs are too few to tell that from chance (--all shows them)",
            "  7 missing in B: M6-count, M5-count, M4-count, M3-count, M2-count and 2 more (--all shows them)",
        ] {
            assert!(text.lines().any(|one| one == line), "{text}");
        }
        assert!(markdown(&found, true).contains("| M0-count | 0 | - |"));
    }
}
