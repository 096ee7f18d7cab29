//! What is on the screen, at the sizes that terminals have.

use clap::ValueEnum;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::json;

use super::screen::Then;
use super::*;

fn numbers(scale: u64) -> Value {
    json!({
        "requests": scale * 100, "upstream_calls": scale * 20, "outcomes": {"hit": scale * 80, "miss": scale * 20},
        "bypasses": {"search": scale}, "saved": scale * 80, "waited_us": scale * 900, "own_429": scale % 3,
        "api_401": scale % 2, "bytes": scale * 40_000,
    })
}

/// So many callers, of which each later one is busier, two keys, and what is not told apart.
fn status(callers: u64) -> Value {
    let row = |name: String, scale: u64| {
        let (minute, hour, total) = (numbers(scale), numbers(scale * 60), numbers(scale * 1000));
        json!({"name": name, "minute": minute, "hour": hour, "total": total})
    };
    let names = (1..=callers).map(|number| row(format!("service-{number:02}"), number));
    let refused =
        json!({"status": 401, "route": "GET /api/v2/campaigns", "caller": "service-01", "at": 1_800_000_000});
    let mut dead = row("~0123456789".to_owned(), 1);
    dead["refused"] = refused;
    json!({
        "version": "1.2.3", "uptime_seconds": 3723, "shield": {"queued": 4, "breaker_open": false},
        "callers": {
            "callers": names.chain([row("other".to_owned(), 0)]).collect::<Vec<_>>(),
            "credentials": [row("~abcdefghjk".to_owned(), 9), dead],
            "limits": [],
        },
    })
}

struct Shown {
    screen: Screen,
    terminal: Terminal<TestBackend>,
}

impl Shown {
    fn new(width: u16, height: u16, status: Value) -> Self {
        let mut screen = Screen::default();
        screen.told(Bill::read(status));
        let mut shown = Self { screen, terminal: Terminal::new(TestBackend::new(width, height)).unwrap() };
        shown.draw();
        shown
    }

    fn draw(&mut self) {
        self.terminal.draw(|frame| self.screen.draw(frame)).unwrap();
    }

    fn press(&mut self, code: KeyCode) -> Then {
        let then = self.screen.key(KeyEvent::new(code, KeyModifiers::NONE));
        self.draw();
        then
    }

    /// The lines of the screen.
    fn lines(&self) -> Vec<String> {
        let buffer = self.terminal.backend().buffer();
        let width = usize::from(buffer.area.width);
        let lines = buffer
            .content()
            .chunks(width)
            .map(|line| line.iter().map(|cell| cell.symbol()).collect::<String>());
        lines.map(|line| line.trim_end().to_owned()).collect()
    }

    /// The first word of each row below the sum.
    fn names(&self) -> Vec<String> {
        let lines = self.lines();
        let rows = lines[4..lines.len() - 1].iter().filter_map(|line| line.split_whitespace().next());
        rows.map(str::to_owned).collect()
    }
}

#[test]
fn fifty_callers_are_readable_at_80_by_24_and_at_200_by_50() {
    let mut narrow = Shown::new(80, 24, status(50));
    assert_eq!(
        narrow.lines()[..6],
        [
            "instantly-proxy 1.2.3, up for 1h 2m, 4 calls wait",
            "1 to 19 of 51 callers, the last minute",
            "NAME                   REQS\u{25bc}  HIT%  CALLS  SAVED  WAITED  OUR429  API4XX   BYTES",
            "all                     127k    80  25500   102k  1147ms      51      25     48M",
            "service-50              5000    80   1000   4000    45ms       2       0    1.9M",
            "service-49              4900    80    980   3920    44ms       1       1    1.8M",
        ]
        .map(|line| line.to_owned()),
        "{:#?}",
        narrow.lines()
    );
    assert_eq!(narrow.names().len(), 19);
    assert!(narrow.lines()[23].starts_with("q quit"));
    narrow.press(KeyCode::End);
    assert_eq!(narrow.names().last().map(String::as_str), Some("other"));
    assert!(narrow.lines()[1].starts_with("33 to 51 of 51"), "{:?}", narrow.lines()[1]);

    let wide = Shown::new(200, 50, status(50));
    let titles = &wide.lines()[2];
    for column in Column::value_variants() {
        assert!(titles.contains(column.title()), "{column:?} in {titles}");
    }
    assert_eq!(wide.names().len(), 45);
}

#[test]
fn keys_sort_turn_round_and_change_what_is_shown() {
    let mut shown = Shown::new(80, 24, status(50));
    assert_eq!(shown.names()[0], "service-50");
    shown.press(KeyCode::Char('r'));
    assert_eq!(shown.names()[0], "other");
    shown.press(KeyCode::Char('r'));
    shown.press(KeyCode::Char('1'));
    assert_eq!(shown.names()[..2], ["other", "service-01"]);
    shown.press(KeyCode::Left);
    assert_eq!(shown.screen.sort, Column::Bytes, "behind the first comes the last");
    shown.press(KeyCode::Right);
    assert_eq!(shown.screen.sort, Column::Name);
    shown.press(KeyCode::Char('w'));
    assert!(shown.lines()[1].ends_with("the last hour"));
    shown.press(KeyCode::Tab);
    assert!(shown.lines()[1].starts_with("2 credentials"));
    assert_eq!(shown.names(), ["~0123456789", "~abcdefghjk"]);
    assert_eq!(shown.press(KeyCode::Char('x')), Then::Nothing);
    assert_eq!(shown.press(KeyCode::Char('q')), Then::Quit);
    let stop = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(shown.screen.key(stop), Then::Quit);
}

#[test]
fn a_dead_key_is_shown_with_its_last_refusal() {
    let mut shown = Shown::new(200, 50, status(3));
    shown.press(KeyCode::Char('k'));
    let lines = shown.lines();
    assert!(
        lines.iter().any(|line| line.starts_with("~0123456789")
            && line.ends_with("401 GET /api/v2/campaigns by service-01")),
        "{lines:#?}"
    );
}

#[test]
fn a_name_that_is_too_long_shows_its_end_and_no_screen_is_too_small() {
    let mut long = status(1);
    long["callers"]["callers"][0]["name"] = "spiffe://cluster.local/ns/production/sa/billing".into();
    let shown = Shown::new(80, 24, long.clone());
    assert!(
        shown.lines()[4].starts_with('\u{2026}') && shown.lines()[4].contains("/sa/billing "),
        "{:#?}",
        shown.lines()
    );
    for (width, height) in [(1, 1), (5, 2), (20, 3), (40, 6)] {
        let mut shown = Shown::new(width, height, long.clone());
        shown.press(KeyCode::Down);
        shown.press(KeyCode::Right);
    }
}

#[test]
fn what_is_wrong_is_said_and_what_was_told_before_stays() {
    let mut shown = Shown::new(80, 24, status(2));
    shown.screen.told(Err("no answer from http://127.0.0.1:8081/api/status".to_owned()));
    shown.draw();
    assert!(shown.lines()[23].starts_with("no answer") && shown.names()[0] == "service-02");
    let apart = Shown::new(80, 24, json!({"version": "1.2.3", "uptime_seconds": 5}));
    assert!(apart.lines().iter().any(|line| line == NOT_TOLD_APART), "{:#?}", apart.lines());
}

#[test]
fn lines_have_every_column_and_cut_nothing() {
    let mut long = status(2);
    let name = "spiffe://cluster.local/ns/production/sa/billing";
    long["callers"]["callers"][0]["name"] = name.into();
    let mut screen = Screen::default();
    screen.told(Bill::read(long));
    let text = lines::text(&screen);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert!(lines[0].starts_with("NAME") && lines[0].ends_with("LAST REFUSAL"), "{text}");
    assert!(lines[1].starts_with("all ") && lines[3].starts_with(name), "{text}");
}
