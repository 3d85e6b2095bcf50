//! A run on a terminal, which `script` plays, and where there is none.

use std::process::{Command, Output, Stdio};

use crate::support::{lines::assert_line, skip};

const RUN: &str =
    "run vmi --count 5 --pause 1ms --baseline 0s --settle 300ms --no-primer --no-store";
/// How a bar takes itself away before it is drawn again.
const ERASED: &str = "\r\u{1b}[2K";
const AT_REST: &str = "the run came to rest: nothing but watches in flight, and silence";

fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null());
    command
}

/// Both streams of a run, as a terminal gets them; `None` where nothing plays one.
fn on_terminal(environment: &[(&str, &str)]) -> Option<String> {
    let run = format!("{} {RUN}", env!("CARGO_BIN_EXE_kubetoll"));
    let mut script = command("script");
    script.envs(environment.iter().copied());
    let output = script.args(["-qec", &run, "/dev/null"]).output();
    let Ok(output) = output else {
        skip::because("script (util-linux) is not installed");
        return None;
    };
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// How often a colour, or a weight, is set or ended.
fn colours(text: &str) -> usize {
    let sequences = text.split("\u{1b}[").skip(1);
    let is_colour = |rest: &&str| {
        rest.trim_start_matches(|it: char| !it.is_alphabetic())
            .starts_with('m')
    };
    sequences.filter(is_colour).count()
}

#[test]
fn a_run_has_colours_and_a_bar_on_a_terminal_alone_and_no_color_takes_the_colours_away() {
    let Some(coloured) = on_terminal(&[]) else {
        return;
    };
    assert_line(
        &coloured,
        &format!("  \u{1b}[32mok\u{1b}[0m      {AT_REST}"),
    );
    assert_line(
        &coloured,
        "\u{1b}[1m5 VMIs: … calls, … each, … % wasted; … tolls each, … % wasted\u{1b}[0m",
    );
    assert_line(
        &coloured,
        "  \u{1b}[34m█\u{1b}[0m virt-controller … %  \u{1b}[36m▓\u{1b}[0m virt-handler … %  … %",
    );
    let plain = on_terminal(&[("NO_COLOR", "1")]).unwrap();
    assert_line(&plain, "  █ virt-controller … %  ▓ virt-handler … %  … %");
    assert_line(&plain, &format!("  ok      {AT_REST}"));
    assert_line(
        &plain,
        "5 VMIs: … calls, … each, … % wasted; … tolls each, … % wasted",
    );
    assert_eq!(colours(&plain), 0, "{plain:?}");
    for text in [&coloured, &plain] {
        assert!(text.contains(ERASED), "{text:?}");
        assert!(text.lines().all(|line| line != "create ..."), "{text:?}");
    }

    let Output { stdout, stderr, .. } = command(env!("CARGO_BIN_EXE_kubetoll"))
        .args(RUN.split(' '))
        .output()
        .unwrap();
    let (stdout, stderr) = (
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    );
    assert_line(&stdout, &format!("  ok      {AT_REST}"));
    assert_line(&stderr, "create ...");
    for text in [stdout, stderr] {
        assert!(!text.contains(['\u{1b}', '\r', '█']), "{text:?}");
    }
}
