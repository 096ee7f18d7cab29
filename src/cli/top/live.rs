//! The live view: keys and answers of the proxy, whichever comes first, and the screen behind each.

use std::process::ExitCode;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::bill::Bill;
use super::screen::{Screen, Then};
use crate::cli::admin_client::AdminClient;
use crate::cli::failure::Failure;
use crate::clock::Clock;
use crate::config;

/// Shows the bill until somebody quits. The terminal is left as it was found, by whatever this ends.
pub(super) async fn show(
    client: &AdminClient,
    admin: &config::Admin,
    screen: Screen,
    every: Duration,
) -> Result<ExitCode, Failure> {
    let unusable = |reason| Failure::failed(format!("the terminal cannot be used: {reason}"));
    let heard = |kind| signal(kind).map_err(unusable);
    let mut terminated = heard(SignalKind::terminate())?;
    // The key is no signal here; who sends one from elsewhere means the same.
    let (mut interrupted, mut hung_up) = (heard(SignalKind::interrupt())?, heard(SignalKind::hangup())?);
    // Restores it in a panic, too.
    let terminal = ratatui::try_init().inspect_err(|_| ratatui::restore()).map_err(unusable)?;
    let shown = tokio::select! {
        shown = until_quit(terminal, client, admin, screen, every) => shown.map_err(unusable),
        _ = terminated.recv() => Ok(()),
        _ = interrupted.recv() => Ok(()),
        _ = hung_up.recv() => Ok(()),
    };
    ratatui::try_restore().map_err(unusable)?;
    shown.map(|()| ExitCode::SUCCESS)
}

async fn until_quit(
    mut terminal: DefaultTerminal,
    client: &AdminClient,
    admin: &config::Admin,
    mut screen: Screen,
    every: Duration,
) -> std::io::Result<()> {
    let (clock, mut keys) = (Clock::system(), keys());
    loop {
        let asked = async { client.get("/api/status").await?.document(admin) };
        tokio::pin!(asked);
        // Keys are answered while the proxy is asked.
        let told = loop {
            tokio::select! {
                told = &mut asked => break told,
                key = keys.recv() => if react(&mut screen, key, &mut terminal)? == Then::Quit { return Ok(()) },
            }
        };
        screen.told(told.map_err(|failure| failure.lines.join(" ")).and_then(Bill::read));
        terminal.draw(|frame| screen.draw(frame))?;
        let pause = clock.sleep(every);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => break,
                key = keys.recv() => if react(&mut screen, key, &mut terminal)? == Then::Quit { return Ok(()) },
            }
        }
    }
}

/// Does what a key, or another size of the terminal, asks for. Who can read no keys any more quits: nobody could later.
fn react(screen: &mut Screen, event: Option<Event>, terminal: &mut DefaultTerminal) -> std::io::Result<Then> {
    let then = match event {
        Some(Event::Key(key)) => screen.key(key),
        Some(Event::Resize(..)) => Then::Draw,
        Some(_) => Then::Nothing,
        None => Then::Quit,
    };
    if then == Then::Draw {
        terminal.draw(|frame| screen.draw(frame))?;
    }
    Ok(then)
}

/// What is typed, read by a thread of its own: to read it waits. It ends with the process.
fn keys() -> UnboundedReceiver<Event> {
    let (sender, receiver) = unbounded_channel();
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.send(event).is_err() {
                return;
            }
        }
    });
    receiver
}
