use http_body_util::BodyExt;

use super::silence::{COMING, STILL};
use super::*;
use crate::body::Body;
use crate::clock::ManualClock;
use crate::server::room::{Silence, SilenceKind};

const SECOND: Duration = Duration::from_secs(1);
const LIMITS: Limits = Limits {
    header: Duration::from_secs(10),
    idle: Duration::from_secs(120),
    stream: Duration::from_secs(60),
};

fn connected() -> (Rc<Progress>, ManualClock) {
    let (clock, hand) = Clock::manual();
    (Progress::new(clock, Stage::Serving), hand)
}

#[track_caller]
fn assert_stage_changes(progress: &Progress, hand: &ManualClock, after: Duration, stage: Stage) {
    hand.advance(after.checked_sub(SECOND).unwrap());
    let before = progress.stage();
    progress.sweep(LIMITS);
    assert_eq!(progress.stage(), before, "a second early");
    hand.advance(SECOND);
    progress.sweep(LIMITS);
    assert_eq!(progress.stage(), stage);
}

#[test]
fn a_silent_connection_is_cut_at_the_header_time_out_from_connect() {
    let (progress, hand) = connected();
    assert_stage_changes(&progress, &hand, LIMITS.header, Stage::Cut);
}

#[test]
fn a_slow_head_is_cut_at_the_header_time_out_from_its_first_byte() {
    let (progress, hand) = connected();
    hand.advance(9 * SECOND);
    progress.note_read(b"x");
    hand.advance(5 * SECOND);
    progress.note_read(b"x");
    assert_stage_changes(&progress, &hand, 5 * SECOND, Stage::Cut);
}

#[test]
fn the_second_head_has_a_header_time_out_of_its_own() {
    let (progress, hand) = connected();
    drop(progress.begin());
    hand.advance(100 * SECOND);
    progress.note_read(b"x");
    assert_stage_changes(&progress, &hand, LIMITS.header, Stage::Cut);
}

#[test]
fn an_idle_connection_ends_at_the_idle_time_out_and_is_cut_if_it_does_not_follow() {
    let (progress, hand) = connected();
    drop(progress.begin());
    assert_stage_changes(&progress, &hand, LIMITS.idle, Stage::Ending);
    assert_stage_changes(&progress, &hand, FAREWELL, Stage::Cut);
}

#[test]
fn pings_do_not_keep_an_idle_http2_connection() {
    let (progress, hand) = connected();
    progress.note_multiplexed();
    drop(progress.begin());
    hand.advance(100 * SECOND);
    progress.note_read(b"x");
    assert_stage_changes(&progress, &hand, 20 * SECOND, Stage::Ending);
}

#[test]
fn an_http2_connection_without_a_request_is_cut_at_the_header_time_out() {
    let (progress, hand) = connected();
    progress.note_read(b"x");
    progress.note_multiplexed();
    hand.advance(5 * SECOND);
    progress.note_read(b"x");
    assert_stage_changes(&progress, &hand, 5 * SECOND, Stage::Cut);
}

#[test]
fn a_request_under_way_has_no_limit_here() {
    let (progress, hand) = connected();
    let (first, second) = (progress.begin(), progress.begin());
    drop(first);
    hand.advance(3600 * SECOND);
    progress.sweep(LIMITS);
    assert_eq!(progress.stage(), Stage::Serving);
    drop(second);
    assert_stage_changes(&progress, &hand, LIMITS.idle, Stage::Ending);
}

#[test]
fn an_answer_from_memory_that_nobody_takes_is_cut() {
    let (progress, hand) = connected();
    progress.note_multiplexed();
    let (sending, awaited) = (progress.begin(), progress.begin());
    sending.note_answered(&Body::empty());
    hand.advance(10 * STALL);
    progress.sweep(LIMITS);
    drop(awaited);
    progress.sweep(LIMITS);
    hand.advance(STALL - SECOND);
    sending.note_piece();
    progress.note_written();
    progress.sweep(LIMITS);
    assert_stage_changes(&progress, &hand, STALL, Stage::Cut);
}

#[test]
fn a_streamed_answer_that_nobody_takes_is_cut_and_one_that_does_not_come_is_not() {
    let (progress, hand) = connected();
    let streamed = progress.begin();
    streamed.note_answered(&Body::stream(http_body_util::Empty::new().map_err(|never| match never {})));
    streamed.note_piece();
    streamed.note_want();
    hand.advance(10 * LIMITS.stream);
    progress.sweep(LIMITS);
    assert_eq!(progress.stage(), Stage::Serving);
    streamed.note_piece();
    progress.sweep(LIMITS);
    assert_stage_changes(&progress, &hand, LIMITS.stream, Stage::Cut);
}

/// The connection is never still, and its other requests go on.
#[tokio::test]
async fn an_http2_stream_that_nobody_takes_is_ended_whatever_else_its_connection_does() {
    let body = || Body::stream(http_body_util::Empty::new().map_err(|never| match never {}));
    for body in [body(), Body::empty()] {
        let (progress, hand) = connected();
        progress.note_multiplexed();
        let begin = || {
            let under_way = progress.begin();
            let task = tokio::spawn(std::future::pending::<()>());
            progress.streams().note_task(task.abort_handle());
            (under_way, task)
        };
        let ((stalled, task), (awaited, others)) = (begin(), begin());
        stalled.note_answered(&body);
        stalled.note_piece();
        stalled.note_want();
        hand.advance(10 * LIMITS.stream);
        progress.sweep(LIMITS);
        stalled.note_piece();
        for _ in 0..3 {
            hand.advance(LIMITS.stream / 3 - SECOND);
            drop(progress.begin());
            progress.sweep(LIMITS);
        }
        tokio::task::yield_now().await;
        assert!(!task.is_finished(), "it has its time, from the latest piece");
        hand.advance(3 * SECOND);
        progress.sweep(LIMITS);
        tokio::task::yield_now().await;
        assert!(task.is_finished());
        assert!(!others.is_finished());
        assert_eq!(progress.stage(), Stage::Serving);
        drop((stalled, awaited));
        assert!(!progress.is_busy());
    }
}

#[test]
fn a_slow_reader_on_http1_is_not_cut_while_it_takes_something() {
    let (progress, hand) = connected();
    let sending = progress.begin();
    sending.note_answered(&Body::empty());
    for _ in 0..100 {
        hand.advance(STALL - SECOND);
        progress.note_written();
        progress.sweep(LIMITS);
    }
    assert_eq!(progress.stage(), Stage::Serving);
}

#[test]
fn a_wall_clock_set_ahead_ends_no_connection() {
    let (progress, hand) = connected();
    hand.jump_wall_ahead(3600 * SECOND);
    progress.sweep(LIMITS);
    assert_eq!(progress.stage(), Stage::Serving);
}

#[test]
fn a_client_that_only_aborts_loses_its_connection() {
    let (progress, _hand) = connected();
    for _ in 1..ABORTS {
        drop(progress.begin());
    }
    assert_eq!(progress.stage(), Stage::Serving);
    drop(progress.begin());
    assert_eq!(progress.stage(), Stage::Ending);
    for _ in 0..ABORTS {
        drop(progress.begin());
    }
    assert_eq!(progress.stage(), Stage::Cut);
}

#[test]
fn a_client_that_aborts_as_often_as_it_waits_keeps_its_connection() {
    let (progress, _hand) = connected();
    for _ in 0..10 * ABORTS {
        drop(progress.begin());
        progress.begin().note_answered(&Body::empty());
    }
    assert_eq!(progress.stage(), Stage::Serving);
}

#[test]
fn a_connection_is_silent_until_something_is_done_for_it_and_once_its_reader_stalls() {
    let (progress, hand) = connected();
    let silence = |kind, since| Some(Silence { kind, since });
    let connected = progress.clock.uptime();
    assert_eq!(progress.silence(), silence(SilenceKind::Request, connected), "it has just come");
    hand.advance(COMING);
    assert_eq!(progress.silence(), silence(SilenceKind::Head, connected));
    let request = progress.begin();
    hand.advance(10 * STALL);
    progress.sweep(LIMITS);
    assert_eq!(progress.silence(), None);
    request.note_answered(&Body::empty());
    request.note_piece();
    progress.sweep(LIMITS);
    let still = progress.clock.uptime();
    hand.advance(STILL - SECOND);
    progress.sweep(LIMITS);
    assert_eq!(progress.silence(), None);
    hand.advance(SECOND);
    assert_eq!(progress.silence(), silence(SilenceKind::Reader, still));
    progress.note_written();
    assert_eq!(progress.silence(), None);
    drop(request);
    assert_eq!(progress.silence(), silence(SilenceKind::Request, progress.clock.uptime()));
}

#[test]
fn an_upload_is_silent_while_it_is_waited_for_and_nothing_of_it_comes() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let (progress, hand) = connected();
        let unread = Unread::new();
        let request = if version == Version::HTTP_2 {
            progress.note_multiplexed();
            let request = progress.begin();
            request.note_body(|| unread.clone());
            request
        } else {
            let request = progress.begin();
            progress.note_request(version, Some(unread.clone()));
            request
        };
        let pass = |time: Duration| {
            progress.sweep(LIMITS);
            hand.advance(time);
        };
        pass(10 * STILL);
        assert_eq!(progress.silence(), None, "nobody waits for it: its sender may be held up by us");
        unread.note_wait();
        let begun = progress.clock.uptime() - 10 * STILL;
        assert_eq!(progress.silence(), Some(Silence { kind: SilenceKind::Body, since: begun }));
        for _ in 0..10 {
            unread.note_came(1);
            unread.note_wait();
            assert_eq!(progress.silence(), None);
            pass(STILL - SECOND);
            assert_eq!(progress.silence(), None, "some of it came");
        }
        unread.note_came(0);
        unread.note_wait();
        hand.advance(SECOND);
        let heard = progress.clock.uptime() - STILL;
        assert_eq!(progress.silence(), Some(Silence { kind: SilenceKind::Body, since: heard }));
        unread.note_came(5);
        assert_eq!(progress.silence(), None, "it goes on, before the next sweep");
        request.note_answered(&Body::empty());
        unread.note_wait();
        pass(STILL);
        assert_eq!(progress.silence().map(|silence| silence.kind), Some(SilenceKind::Reader), "{version:?}");
    }
}

#[test]
fn who_gives_way_is_told_first_if_it_was_served_before() {
    let (silent, _) = connected();
    silent.give_way();
    assert_eq!(silent.stage(), Stage::Cut);
    let (idle, _) = connected();
    drop(idle.begin());
    let stages = [(); 2].map(|()| {
        idle.give_way();
        idle.stage()
    });
    assert_eq!(stages, [Stage::Ending, Stage::Cut]);
}

#[test]
fn who_goes_on_sending_after_its_answer_is_cut_after_a_while_and_who_pauses_sooner() {
    for (pause, total) in [(CLOSING_PAUSE - SECOND, CLOSING), (CLOSING_PAUSE, CLOSING_PAUSE)] {
        let (progress, hand) = connected();
        let begun = progress.clock.uptime();
        progress.note_closing();
        while progress.stage() < Stage::Cut {
            hand.advance(SECOND);
            progress.sweep(LIMITS);
            if (progress.clock.uptime() - begun).as_secs().is_multiple_of(pause.as_secs()) {
                progress.note_closing();
            }
            assert!(progress.clock.uptime() - begun <= CLOSING);
        }
        assert_eq!(progress.clock.uptime() - begun, total);
    }
}

#[test]
fn a_client_that_sends_no_more_is_asked_now_and_then_and_never_inside_its_answer() {
    let (progress, hand) = connected();
    let sweep = || {
        hand.advance(SECOND);
        progress.sweep(LIMITS);
        progress.take_doubt()
    };
    let request = progress.begin();
    progress.note_request(Version::HTTP_11, None);
    assert_eq!(sweep(), None);
    progress.note_silent();
    assert_eq!(sweep(), Some(Doubt::Ask));
    for _ in 1..ASK_EVERY {
        assert_eq!(sweep(), Some(Doubt::Look));
    }
    assert_eq!(sweep(), Some(Doubt::Ask));
    progress.note_silent();
    request.note_answered(&Body::empty());
    progress.note_written();
    assert_eq!(sweep(), Some(Doubt::Look));
    drop(request);

    let _request = progress.begin();
    progress.note_request(Version::HTTP_10, None);
    progress.note_silent();
    assert_eq!(sweep(), Some(Doubt::Look));
}

#[test]
fn a_request_begins_with_a_method() {
    for (bytes, expected) in [
        ("GET / HTTP/1.1\r\n", true),
        ("\r\n\r\nPOST /", true),
        ("GE", true),
        ("\r\n", true),
        ("{\"a\":1}", false),
        ("a=1", false),
        ("A=1 ", false),
        (" x", false),
    ] {
        assert_eq!(may_begin_request(bytes.as_bytes()), expected, "{bytes:?}");
    }
}
